"""From calibrated views to depth, normal and confidence per view."""
