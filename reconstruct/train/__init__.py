"""Trainings of HRN's networks: one loop, and a task for each."""
