"""Several views of one face: what they have in common, and where they differ."""
