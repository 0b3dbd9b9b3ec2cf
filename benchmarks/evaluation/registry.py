"""The benchmarks by name; a benchmark's modules are loaded when it is asked for."""

import difflib
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING

from ...core.errors import InputError

if TYPE_CHECKING:  # numpy takes its time, and the command line only needs names
    from .protocol import Benchmark

_PLACES: Mapping[str, tuple[str, str]] = {
    "realy": ("realy", "BENCHMARK"),
    "now": ("now", "BENCHMARK"),
    "facescape-wild": ("facescape", "WILD"),
    "facescape-lab": ("facescape", "LAB"),
    "esrc": ("esrc", "BENCHMARK"),
    "micc": ("micc", "GANFIT"),
    "micc-deep3d": ("micc", "DEEP3D"),
    "virtual": ("heads", "BENCHMARK"),
}
"""Name -> folder in `benchmarks/`, and the object's name in its `benchmark.py`."""

NAMES = tuple(_PLACES)

DATA_NAMES: Mapping[str, str] = {
    "facescape-wild": "facescape",
    "facescape-lab": "facescape",
    "micc-deep3d": "micc",
}
"""Benchmark -> whose data folder it shares; others have one of their own name."""


def get(name: str) -> "Benchmark":
    """Return a benchmark.

    Raises
    ------
    InputError
        There is none of that name.
    """
    if name not in _PLACES:
        near = difflib.get_close_matches(name, NAMES, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(NAMES)}"
        raise InputError(f"no benchmark {name!r}; {hint}")
    folder, attribute = _PLACES[name]
    module = import_module(f"..{folder}.benchmark", __package__)  # by name: none imports another
    benchmark: Benchmark = getattr(module, attribute)
    return benchmark


def data_name(name: str) -> str:
    """Return the name that a benchmark's data folder is registered or found by."""
    return DATA_NAMES.get(name, name)
