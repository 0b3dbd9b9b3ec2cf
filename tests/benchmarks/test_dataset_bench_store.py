"""The store's figures come from files that were really written, and find every flipped bit."""

from pathlib import Path

import numpy as np

from facekit.benchmarks.dataset_bench_store import drawn_relief, store_figures


def test_figures_of_a_small_map(tmp_path: Path) -> None:
    figures = store_figures(tmp_path, seed=3, size=512)
    assert set(figures) == {
        "write_mb_s", "read_mb_s", "verify_mb_s", "ratio", "flips_found_of_300",
    }  # fmt: skip
    assert all(value > 0 for value in figures.values())
    assert figures["flips_found_of_300"] == 300
    assert 1.2 < figures["ratio"] < 4  # noise and relief: 10 to 13 bits of 16 say something
    assert not list(tmp_path.iterdir())


def test_drawn_relief_is_like_skin() -> None:
    relief = drawn_relief(np.random.default_rng(0), 1024)
    assert abs(relief.std() - 0.2) < 0.01
    # most of it is long waves: neighbours, 0.2 mm apart, differ by a small part of the whole
    assert np.diff(relief, axis=1).std() < 0.1 * relief.std()
