"""Runs a benchmark: cases to scores, the official files, tables, curves, a page."""
