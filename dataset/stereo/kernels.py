"""What the compiled kernels of stereo share."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

FAST = {"contract", "reassoc", "nsz", "arcp", "afn"}
"""LLVM's fast-math flags but for those that forbid NaN and infinity."""


@contextmanager
def quiet_threads() -> Iterator[None]:
    """Silence numba's remark that Open3D's older TBB is loaded: it then takes OpenMP."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The TBB threading layer")
        yield
