"""The loop on a CUDA device."""

from pathlib import Path
from typing import Any

import pytest
import torch

from facekit.reconstruct.train.board import LOG_FILE, read_log


@pytest.mark.gpu
@pytest.mark.parametrize("amp", ["off", "bf16", "fp16"])
def test_it_learns_stops_and_goes_on(tmp_path: Path, trained: Any, amp: str) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    loop = {"steps": 200, "device": "cuda", "amp": amp, "average": 0.9, "workers": 1}
    assert trained(tmp_path, loop, signal_at=90)[0].stopped == "SIGTERM"
    result, task = trained(tmp_path, loop)
    assert next(task.net.parameters()).is_cuda
    assert result.last["fit"] < 0.6 * result.first["fit"]
    steps = [line["step"] for line in read_log(tmp_path / LOG_FILE) if "step" in line]
    assert steps == list(range(200))
