"""Faults on purpose: damaged files, killed processes, full disks; nothing may be lost or wrong."""
