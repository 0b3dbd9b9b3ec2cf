"""Shared ground: knows no stage."""
