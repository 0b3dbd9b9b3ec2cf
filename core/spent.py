"""What work cost: seconds, CPU seconds, memory."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

Answer = TypeVar("Answer")


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What work cost that ran in a process of its own."""

    wall_s: float
    cpu_s: float
    """Of all threads."""
    peak_gb: float
    """Most memory that the process held, loaded modules and inputs included."""


def timed(work: Callable[[], Answer]) -> tuple[Answer, Spent]:
    """Return the answer of `work()` and what it cost."""
    cpu, wall = time.process_time(), time.perf_counter()
    answer = work()
    spent = Spent(
        wall_s=time.perf_counter() - wall, cpu_s=time.process_time() - cpu, peak_gb=peak_gb()
    )
    return answer, spent


def peak_gb() -> float:
    """Return the most memory, GB, that this process held since it was started; 0 if not told.

    `ru_maxrss` of a started process also counts what its parent held at that moment; Linux
    tells its own apart.
    """
    try:
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return float(line.split()[1]) * 1024 / 1e9
    except OSError:
        pass
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
