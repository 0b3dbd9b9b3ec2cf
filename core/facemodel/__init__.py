"""Morphable face models behind one interface."""
