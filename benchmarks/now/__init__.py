"""The NoW benchmark: distances of a neutral scan to a predicted neutral face."""
