"""Whether cameras still stand as calibrated, and their repair."""
