"""Reconstructs photographs as `facekit reconstruct` does, in one process, and tells what each cost.

The clock of a photograph runs from its file to all files of its result; networks, face model and
compiled loops were loaded and used once before.
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.facemodel.landmark_table import load_landmark_table
from ..core.jobs import apart
from ..core.spent import timed
from ..reconstruct.predict import ReconstructConfig, method_of, reconstruct_photographs

_WARM_UPS = 2


@dataclass(frozen=True, kw_only=True)
class ReconstructionTask:
    """What a process is asked for."""

    photographs: tuple[Path, ...]
    out: Path
    config: ReconstructConfig
    """With a table of landmarks."""
    threads: int


def reconstruct_apart(task: ReconstructionTask) -> dict[str, dict[str, Any]]:
    """Reconstruct in a process of its own that has `threads` processors.

    Returns
    -------
    dict
        File's stem -> `seconds`, `cpu_s`, and `failed`, the reason, where there is no result;
        the results lie in folders of that name in `out`.
    """
    return apart(reconstruct_all, task, threads=task.threads)


def reconstruct_all(task: ReconstructionTask) -> dict[str, dict[str, Any]]:
    """Reconstruct in this process; see `reconstruct_apart`."""
    _stay_on(task.threads)
    assert task.config.landmarks is not None
    finder = load_landmark_table(Path(task.config.landmarks))
    method = method_of(task.config)

    def reconstruct(path: Path, out: Path) -> dict[str, Any]:
        return reconstruct_photographs([path], out, task.config, method=method, finder=finder)

    for number in range(_WARM_UPS):
        reconstruct(task.photographs[0], task.out / f"warm-up-{number}")
        shutil.rmtree(task.out / f"warm-up-{number}")
    rows = {}
    for path in task.photographs:
        shutil.rmtree(task.out / path.stem, ignore_errors=True)  # a finished one would be kept
        summary, spent = timed(lambda path=path: reconstruct(path, task.out))  # type: ignore[misc]
        row: dict[str, Any] = {"seconds": spent.wall_s, "cpu_s": spent.cpu_s}
        if summary["failed"]:
            row["failed"] = summary["failed"][path.stem]
        rows[path.stem] = row
    return rows


def _stay_on(threads: int) -> None:
    """Keep this process to so many processors, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
