"""The small trainings as their commands run them: what is known as truth is learnt."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from facekit.reconstruct.checkpoint import load_deretouch, load_hrn
from facekit.reconstruct.facetensors import FaceTensors
from facekit.reconstruct.train.task import SCORE, TOTAL

CPU_SECONDS = 220.0
"""Most that one may take: all three are to end within five minutes on two cores."""

FALLING = {
    "deretouch": (TOTAL, "layer", "retouched", "inner"),
    # colours stay what light and albedo of untrained coefficients make of them, and regularisers
    # rise from zero
    "detail": (
        TOTAL,
        "vertices",
        "deformation",
        "relief",
        "slope",
        "landmark",
        "judge_mid",
        "judge_high",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", FALLING)
def test_the_smoke_training_by_its_command(
    kind: str, tmp_path: Path, head_face: FaceTensors
) -> None:
    command = [sys.executable, "-m", "facekit", "train", kind, "--smoke", "--json"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [*command, "--device", "cpu", "--out", str(tmp_path)],
        capture_output=True, text=True, check=False, timeout=3000,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr[-3000:]
    assert after.ru_utime - before.ru_utime < CPU_SECONDS
    result = json.loads(done.stdout)
    assert result["steps"] == result["of"] and result["stopped"] is None
    assert all(result["last"][name] < result["first"][name] for name in FALLING[kind])
    assert SCORE in result["validation"]
    (weights,) = (tmp_path / "weights").glob("*.safetensors")
    if kind == "deretouch":
        load_deretouch(weights)
    else:
        load_hrn(weights, head_face.model, n_albedo=head_face.n_albedo)
