"""The sample of every gate of the fault suite, as `facekit bench faults` runs it."""

from pathlib import Path

import pytest

from facekit.benchmarks.faults.gates import GATES, FaultsConfig, run_gates


@pytest.mark.slow
@pytest.mark.parametrize("name", GATES)
def test_the_sample_of_a_gate_holds(name: str, tmp_path: Path) -> None:
    result = run_gates(FaultsConfig(seed=1, gates=(name,)), tmp_path)[name]
    if "not_run" in result:
        pytest.skip(result["not_run"])
    assert result["failures"] == []
    assert result["passed"] and result["cases"] > 0
