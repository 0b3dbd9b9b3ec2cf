"""`facekit cluster` and `facekit worker`: from start to Ctrl-C, and what is said without Dask."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest
from click.testing import CliRunner

from facekit.core.errors import ConfigError, InputError, MissingDependencyError
from facekit.core.jobs.commands import cluster, worker
from facekit.core.jobs.engine import run
from facekit.core.jobs.job import Job, Where

MAIN = """
from facekit.core.commandline import SentenceOnError
from facekit.core.jobs.commands import cluster, worker
SentenceOnError(commands={"cluster": cluster, "worker": worker})()
"""
IMPORTS = """
import sys
import facekit.cli, facekit.core.jobs.commands, facekit.core.jobs.engine
print([name for name in ("dask", "distributed", "cryptography", "tornado") if name in sys.modules])
"""


def test_nothing_of_dask_is_imported_unasked() -> None:
    command = [sys.executable, "-c", IMPORTS]
    assert subprocess.run(command, capture_output=True, text=True).stdout.strip() == "[]"


def test_without_dask_the_extra_is_named(
    work: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    job = Job(name="a", stage="x", work=work.found, given={})
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'facekit\[cluster\]'"):
        list(run([job], Where(scheduler="tls://127.0.0.1:1")))
    for command in (cluster, worker):
        given = ["--folder", str(tmp_path)] if command is cluster else [str(tmp_path)]
        result = CliRunner().invoke(command, given)
        assert isinstance(result.exception, MissingDependencyError)
    assert next(run([job], Where())).answer == {"fresh": []}


def test_from_start_to_ctrl_c(work: ModuleType, tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    pytest.importorskip("cryptography")
    folder = tmp_path / "cluster"
    process = subprocess.Popen(
        [sys.executable, "-c", MAIN, "cluster", "--folder", str(folder), "--workers", "2"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        file = process.stdout.readline().strip()
        assert file == str(folder / "scheduler.json")
        jobs = [
            Job(name=f"{i}", stage="x", work=work.square, given={"number": i}) for i in range(4)
        ]
        found = list(run(jobs, Where(scheduler=file)))
        assert sum(one.answer["square"] for one in found if one.answer) == 14
        second = subprocess.run(
            [sys.executable, "-c", MAIN, "cluster", "--folder", str(folder)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert second.returncode == 2
        assert "another process is writing there" in second.stderr
        assert Path(file).is_file()  # the first one's
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0
    assert "cluster ended" in told
    assert "Traceback" not in told
    assert not (folder / "scheduler.json").exists()
    assert not _workers_of(folder)


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    pytest.importorskip("cryptography")
    given = ["cluster", "--folder", str(tmp_path), "--host", "203.0.113.7", "--port", "4000"]
    result = subprocess.run(
        [sys.executable, "-c", MAIN, *given], capture_output=True, text=True, check=False
    )
    assert result.returncode == 2
    (sentence,) = result.stderr.splitlines()
    assert sentence.startswith("facekit: 203.0.113.7:4000: cannot be listened at")
    assert "give another --host or --port" in sentence


def test_a_worker_without_scheduler_says_so(tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    result = CliRunner().invoke(worker, [str(tmp_path / "none.json")])
    assert isinstance(result.exception, InputError)
    assert "no such file" in str(result.exception)


def test_the_batch_script_goes_to_stdout(tmp_path: Path) -> None:
    given = [str(tmp_path / "scheduler.json"), "--gpu", "1", "--lifetime", "7h", "--print-slurm"]
    result = CliRunner().invoke(worker, given)
    assert result.exit_code == 0
    assert result.output.startswith("#!/bin/bash\n")
    assert "facekit worker" in result.output
    bad = CliRunner().invoke(worker, [str(tmp_path), "--lifetime", "long", "--print-slurm"])
    assert isinstance(bad.exception, ConfigError)


def _workers_of(folder: Path) -> list[str]:
    """Return the command lines of workers that are still there."""
    end = time.monotonic() + 5
    while time.monotonic() < end:
        found = []
        for process in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                line = process.read_bytes().decode(errors="replace")
            except OSError:
                continue
            if str(folder) in line and "jobs.worker" in line:
                found.append(line)
        if not found:
            return []
        time.sleep(0.2)
    return found
