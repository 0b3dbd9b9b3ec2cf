"""`facekit view`: what every stage makes, in a browser of the same machine."""
