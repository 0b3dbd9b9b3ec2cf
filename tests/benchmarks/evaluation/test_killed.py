"""A run that is killed in the middle and started again gives the same official bytes."""

import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

RUN = """
import sys
if __name__ == "__main__":
    from facekit.benchmarks.evaluation.commands import evaluate
    evaluate.main(sys.argv[1:])
"""


def start(folder: Path, out: str) -> subprocess.Popen[bytes]:
    script = folder / "run.py"
    script.write_text(RUN)
    words = [sys.executable, script, "--benchmark", "now", "--data", folder, "--predictions",
             folder / "preds", "--out", folder / out]  # fmt: skip
    return subprocess.Popen(list(map(str, words)), stdout=subprocess.DEVNULL)


@pytest.mark.slow
def test_killed_and_started_again(shared_fixtures: Path, tmp_path: Path) -> None:
    with tarfile.open(shared_fixtures / "now" / "layout_end_to_end.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    assert start(tmp_path, "whole").wait() == 0
    run = start(tmp_path, "killed")
    cases = tmp_path / "killed" / "cases"
    while not list(cases.glob("*.json")) and run.poll() is None:
        time.sleep(0.005)
    run.send_signal(signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL
    assert not (tmp_path / "killed" / "scores.json").exists()
    first = next(iter(sorted(cases.glob("*.json"))))
    made = first.stat().st_mtime_ns
    assert start(tmp_path, "killed").wait() == 0
    assert first.stat().st_mtime_ns == made
    official = sorted((tmp_path / "whole" / "official").iterdir())
    assert official
    for path in official:
        assert (tmp_path / "killed" / "official" / path.name).read_bytes() == path.read_bytes()
