"""The batch script that lets SLURM start workers."""

import re
import shlex
import sys
from pathlib import Path

from ..errors import ConfigError

_UNITS_S = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_UNITS_MB = {"MB": 1, "MIB": 1.048576, "GB": 1000, "GIB": 1073.741824, "M": 1, "G": 1000}
_SPARE_S = 600  # between the end of a worker and that of its batch job
_SPARE_MEMORY = 1.1  # of the batch job: the watcher needs some, and the worker is ended before


def parse_time(text: str) -> float:
    """Return seconds: `7h`, `90 min`, `1.5d`.

    Raises
    ------
    ConfigError
        It is no time.
    """
    number, unit = _number(text, "lifetime", "7h")
    if unit not in _UNITS_S:
        raise ConfigError(f"lifetime {text!r}: give a number and s, min, h or d, such as 7h")
    return number * _UNITS_S[unit]


def parse_memory(text: str) -> float:
    """Return megabytes: `16GB`, `800 MB`.

    Raises
    ------
    ConfigError
        It is no size.
    """
    number, unit = _number(text, "memory", "16GB")
    if unit.upper() not in _UNITS_MB:
        raise ConfigError(f"memory {text!r}: give a number and MB or GB, such as 16GB")
    return number * _UNITS_MB[unit.upper()]


def batch_script(
    file: Path, *, gpu: int = 0, lifetime: str | None = None, memory: str | None = None,
    python: str = sys.executable,
) -> str:  # fmt: skip
    """Return the script for `sbatch`.

    Parameters
    ----------
    file : Path
        The scheduler's, on a disk that the nodes share.
    gpu : int
        GPUs that a worker takes.
    lifetime : str, optional
        After which a worker ends by itself: the batch job's limit is a little later.
    memory : str, optional
        Of each process; a worker has one, or one for each GPU.
    python : str
        The interpreter, on a disk that the nodes share.

    Raises
    ------
    ConfigError
        A time or a size is none.
    """
    lines = ["#!/bin/bash", "#SBATCH --job-name=facekit-worker", "#SBATCH --ntasks=1"]
    lines.append(f"#SBATCH --cpus-per-task={8 * max(1, gpu)}")
    options = []
    if gpu:
        lines.append(f"#SBATCH --gres=gpu:{gpu}")
        options += ["--gpu", str(gpu)]
    if lifetime is not None:
        minutes = -(-int(parse_time(lifetime) + _SPARE_S) // 60)
        lines.append(f"#SBATCH --time={minutes}")
        options += ["--lifetime", lifetime]
    if memory is not None:
        whole = parse_memory(memory) * max(1, gpu) * _SPARE_MEMORY
        lines.append(f"#SBATCH --mem={round(whole)}M")
        options += ["--memory", memory]
    command = [python, "-m", "facekit", "worker", str(file.absolute()), *options]
    return "\n".join(
        [
            *lines,
            "# 16 workers: sbatch --array=1-16 THIS_FILE; partition and account are your site's",
            f"exec {shlex.join(command)}",
            "",
        ]
    )


def _number(text: str, what: str, such_as: str) -> tuple[float, str]:
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+)\s*", text)
    if found is None or float(found[1]) <= 0:
        raise ConfigError(f"{what} {text!r}: give a number above 0 and a unit, such as {such_as}")
    return float(found[1]), found[2]
