"""The virtual studio: a session with exactly known truth."""
