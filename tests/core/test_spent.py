"""What work cost is what it did."""

import time

import numpy as np

from facekit.core.spent import peak_gb, timed


def test_sleep_takes_time_and_no_processor() -> None:
    answer, spent = timed(lambda: time.sleep(0.2) or 7)
    assert answer == 7
    assert spent.wall_s >= 0.2 and spent.cpu_s < 0.15
    assert 0.02 < spent.peak_gb < 64


def test_the_peak_stays_when_memory_is_given_back() -> None:
    before = peak_gb()
    block = np.ones(60_000_000)
    during = peak_gb()
    del block
    # half a gigabyte; the kernel counts pages in batches, a thousandth is its slack
    assert during >= before and peak_gb() >= 0.99 * during
    assert during > 0.48
