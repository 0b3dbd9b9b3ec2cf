"""FaceScape's benchmark of posed faces in the wild and in the lab: CD, MNE, CR."""
