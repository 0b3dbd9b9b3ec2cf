"""From predictions to published numbers."""
