"""Rigs from the subject itself: features, matches, mapping."""
