"""From cameras to a session on disk."""
