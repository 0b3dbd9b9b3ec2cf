"""How many threads torch computes with, for a while."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def torch_threads(n_threads: int) -> Iterator[None]:
    """Let torch use `n_threads` threads of the processor within, as many as before afterwards.

    Its threads wait for each other by spinning after each operation. Where operations are small
    and other programs want the processors, that costs many times the work; and sums depend on
    how many threads shared them. One thread has neither trouble.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
