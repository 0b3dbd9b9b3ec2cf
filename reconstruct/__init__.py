"""From images to faces."""
