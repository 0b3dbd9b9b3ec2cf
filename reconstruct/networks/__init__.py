"""The networks of single-view reconstruction."""
