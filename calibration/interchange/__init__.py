"""Rigs of other programs, in and out."""
