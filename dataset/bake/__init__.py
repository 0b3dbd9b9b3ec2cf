"""Ground-truth maps of a registered scan in its face model's UV chart."""
