"""The batch script asks for what its worker is told to use."""

import shlex
import subprocess
from pathlib import Path

import pytest

from facekit.core.errors import ConfigError
from facekit.core.jobs.slurm import batch_script, parse_memory, parse_time


def test_a_gpu_worker(tmp_path: Path) -> None:
    file = tmp_path / "the lab's" / "scheduler.json"
    text = batch_script(file, gpu=2, lifetime="7h", memory="16GB", python="/opt/py 3/python")
    lines = text.splitlines()
    assert lines[0] == "#!/bin/bash"
    assert "#SBATCH --gres=gpu:2" in lines
    assert "#SBATCH --time=430" in lines  # minutes: ten more than the worker
    assert "#SBATCH --mem=35200M" in lines  # of both processes and their watcher
    assert shlex.split(lines[-1]) == [
        "exec", "/opt/py 3/python", "-m", "facekit", "worker", str(file),
        "--gpu", "2", "--lifetime", "7h", "--memory", "16GB",
    ]  # fmt: skip
    first_command = next(i for i, line in enumerate(lines) if not line.startswith("#"))
    assert not any(line.startswith("#SBATCH") for line in lines[first_command:])
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)


def test_a_plain_worker_asks_for_no_gpu(tmp_path: Path) -> None:
    text = batch_script(tmp_path / "scheduler.json")
    assert "gres" not in text
    assert "--time" not in text
    assert "--mem" not in text


@pytest.mark.parametrize(
    ("text", "seconds"), [("7h", 25200), ("90 min", 5400), ("1.5d", 129600), ("30s", 30)]
)
def test_times(text: str, seconds: float) -> None:
    assert parse_time(text) == seconds


@pytest.mark.parametrize("text", ["", "7", "h", "-1h", "7 years", "0h", "7h\n#SBATCH"])
def test_no_times(text: str) -> None:
    with pytest.raises(ConfigError, match="lifetime"):
        parse_time(text)


def test_sizes() -> None:
    assert parse_memory("16GB") == 16000
    assert parse_memory("800 MB") == 800
    with pytest.raises(ConfigError, match="such as 16GB"):
        parse_memory("16 apples")
