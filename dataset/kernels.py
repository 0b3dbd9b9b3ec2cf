"""What the compiled kernels of stereo share."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

FAST = {"contract", "nsz", "arcp", "afn"}
"""LLVM's fast-math flags but for those that forbid NaN and infinity, and `reassoc`.

With `reassoc`, a kernel freshly compiled and the same one from numba's cache sum in different
orders: a run after a kill would not end with the same bytes.
"""


@contextmanager
def quiet_threads() -> Iterator[None]:
    """Silence numba's remark that Open3D's older TBB is loaded: it then takes OpenMP."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The TBB threading layer")
        yield
