"""Processor time of other processes, from what the kernel tells of them."""

import os
from collections.abc import Iterable
from pathlib import Path


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return the CPU seconds that processes used since they were started, all threads.

    Children that ended and were waited for are counted with their parent; a process that is gone
    counts nothing. NaN where the system has no `/proc`.
    """
    if not Path("/proc/self/stat").exists():
        return float("nan")
    tick = os.sysconf("SC_CLK_TCK")
    total = 0
    for pid in pids:
        try:
            text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        except OSError:
            continue
        # the name of the program, in brackets, may hold anything: count from its end
        fields = text.rpartition(")")[2].split()
        total += sum(int(field) for field in fields[11:15])  # utime stime cutime cstime
    return total / tick
