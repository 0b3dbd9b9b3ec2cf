"""A subject's data: found, deleted, and shown to be gone."""
