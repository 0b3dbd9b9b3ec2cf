"""The scale benchmark: its sums, its page, and (slowly) a small run of all of it."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facekit.benchmarks.perf.page import page
from facekit.benchmarks.perf.plans import plan_figures
from facekit.benchmarks.perf.processcost import cpu_seconds
from facekit.benchmarks.perf.scale import ScaleBenchConfig, Step, bench_scale, growth
from facekit.core.errors import ConfigError


def _steps(cost_of: Any, n: int = 8, each: int = 25, look: float = 0.0) -> list[Step]:
    return [
        Step(
            takes=each * (i + 1), added=each, wall_s=1.0, coordinator_s=0.1,
            cpu_s=each * cost_of(each * (i + 0.5)) + look * each * i,
        )
        for i in range(n)
    ]  # fmt: skip


def test_a_cost_that_does_not_grow_has_no_growth() -> None:
    found = growth(_steps(lambda size: 0.7, look=0.05), look_cpu_s=0.05)
    assert found["growth_percent"] == pytest.approx(0, abs=1e-9)
    assert found["growth_se_percent"] == pytest.approx(0, abs=1e-9)


def test_growth_is_told_from_an_empty_data_set_to_a_full_one() -> None:
    found = growth(_steps(lambda size: 0.5 * (1 + 0.3 * size / 200)), look_cpu_s=0.0)
    assert found["growth_percent"] == pytest.approx(30)
    assert found["growth_ms_per_100"] == pytest.approx(1000 * 0.5 * 0.3 / 2)


def test_the_standard_error_of_growth_covers_it(rng: np.random.Generator) -> None:
    ratios = []
    for _ in range(200):
        noise = rng.standard_normal(8)
        costs = iter(1 + 0.02 * noise)
        found = growth(_steps(lambda size, costs=costs: next(costs)), look_cpu_s=0.0)
        ratios.append(found["growth_percent"] / found["growth_se_percent"])
    # Student's t of 6 degrees of freedom: 64 % lie within one standard error
    assert 0.54 < np.mean(np.abs(ratios) < 1) < 0.74


def test_the_kernel_tells_the_processor_time_of_a_process() -> None:
    import os

    before = cpu_seconds([os.getpid()])
    start = time.process_time()
    while time.process_time() - start < 0.3:
        pass
    assert cpu_seconds([os.getpid()]) - before == pytest.approx(0.3, abs=0.1)
    assert cpu_seconds([2**22 + 1]) == 0  # beyond the largest process


def test_sizes_grow_to_all_takes() -> None:
    assert ScaleBenchConfig(takes=200, steps=8).sizes == [25, 50, 75, 100, 125, 150, 175, 200]
    assert ScaleBenchConfig(takes=7, steps=3).sizes == [2, 5, 7]
    both = ScaleBenchConfig(takes=200, steps=8, workers=(1, 2))
    assert both.sizes_on(1) == [25, 50] and both.sizes_on(2) == both.sizes
    with pytest.raises(ConfigError, match="steps"):
        ScaleBenchConfig(takes=3, steps=4)


def _found(**fields: Any) -> dict[str, Any]:
    row = {
        "takes": 200, "takes_per_min": 41.0, "cpu_s_per_take": 0.71,
        "coordinator_s_per_take": 0.016, "growth_percent": 2.0, "growth_se_percent": 3.0,
        "growth_ms_per_100": 7.0, "found_again_s": 0.03, "found_again_cpu_s": 0.018,
    }  # fmt: skip
    alone = {**row, "growth_se_percent": None}
    return {
        "takes": 200, "layout": "pair", "megapixels": 0.02, "cores": 2, "load": 1.5,
        "workers": {"1": alone, "2": row}, "speedup": 1.9, "meshes_differ": 0,
        "plans": plan_figures(40, (1, 64), coordinator_s=0.016, seed=0), **fields,
    }  # fmt: skip


def test_the_page_says_what_was_measured_and_what_assumed() -> None:
    text = page(_found())
    assert "| 1 | 200 | 41 | 0.71 | 16 | – | 30 / 18 |" in text
    assert "| 2 | 200 | 41 | 0.71 | 16 | +2 ± 3 % (+7 ms per 100 takes) | 30 / 18 |" in text
    assert "No mesh differs by a byte" in text
    assert "40 captures" in text
    assert text.count("**assumed**") > 5 and text.count("**measured**") > 5
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert len(tables) > 25
    assert "3 meshes differ" in page(_found(meshes_differ=3))
    assert "What grows" not in text  # less than its error
    grown = _found()
    grown["workers"]["2"] = {**grown["workers"]["2"], "growth_percent": 20.0}
    assert "What grows" in page(grown)


@pytest.mark.slow
def test_a_small_run(tmp_path: Path) -> None:
    config = ScaleBenchConfig(takes=6, steps=3, workers=(1, 2), captures=40)
    result = bench_scale(config, tmp_path)
    assert result["meshes_differ"] == 0
    for found in result["workers"].values():
        assert found["takes_per_min"] > 0
        # to look at a finished take costs far less than to make it
        assert found["found_again_cpu_s"] < 0.3 * found["cpu_s_per_take"]
    assert len(list((tmp_path / "workers-2" / "build").glob("*/mesh.ply"))) == 6
