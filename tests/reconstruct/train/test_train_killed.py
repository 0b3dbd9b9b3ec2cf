"""The real thing, killed: the training of the coefficient network as its command runs it."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from facekit.reconstruct.train.state import read_tensors

STEPS = 20
SETTINGS = (
    f"loop.steps={STEPS}", "loop.checkpoint_steps=2", "loop.validate_steps=10", "loop.threads=1",
    "loop.average=0.9", "loop.device=cpu", "data.virtual.n_people=3", "data.virtual.takes=1",
    "data.virtual.views=2", "data.virtual.size=96", "data.batch=4", "data.held_out=0.4",
)  # fmt: skip


def started(out: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "facekit", "train", "coarse", "--smoke", "--out", str(out)]
    for setting in SETTINGS:
        command += ["--set", setting]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def ended(process: subprocess.Popen[bytes]) -> None:
    _, said = process.communicate(timeout=900)
    assert process.returncode == 0, said.decode()[-3000:]


@pytest.mark.slow
def test_coarse_killed_five_times_ends_with_the_same_bits(tmp_path: Path) -> None:
    whole = started(tmp_path / "whole")
    out = tmp_path / "killed"
    chance = random.Random()
    moments = sorted(chance.sample(range(1, STEPS), 5))
    for moment in moments:
        process = started(out)
        while process.poll() is None and _lines(out / "log.jsonl") < moment:
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.3))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    ended(started(out))
    ended(whole)
    for name in ("best.safetensors", f"state/step-{STEPS:08d}.safetensors"):
        one, other = read_tensors(tmp_path / "whole" / name), read_tensors(out / name)
        assert one.keys() == other.keys()
        assert [n for n in one if not torch.equal(one[n], other[n])] == [], (name, moments)


def _lines(path: Path) -> int:
    return path.read_text().count('"step"') if path.is_file() else 0
