"""Run a compiled kernel over many items on all processors.

Python threads and kernels that release the GIL, in place of numba's own threads: those depend
on which OpenMP or TBB library another package loaded first.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

N_THREADS = os.cpu_count() or 1


def over_chunks(kernel: Callable[[int, int], object], n_items: int, *, chunk: int) -> None:
    """Call `kernel(start, end)` for consecutive pieces of [0, n_items).

    Pieces are the same whatever the number of processors, so that results never vary.
    """
    starts = range(0, n_items, chunk)

    def run(start: int) -> None:
        kernel(start, min(start + chunk, n_items))

    if len(starts) == 1:
        run(0)
        return
    with ThreadPoolExecutor(N_THREADS) as pool:
        for _ in pool.map(run, starts):  # raises what a piece raised
            pass
