"""Who may be at work where, tried with processes of their own."""

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from facekit.core.commandline import IN_FOLDER, OUT_PATH, SentenceOnError
from facekit.core.errors import InputError
from facekit.core.files import StageKey, stage_run
from facekit.core.folderlock import WRITING, folder_to_hold, in_use, only_writer

_HOLDER = """
import sys
from pathlib import Path
from facekit.core import folderlock
with getattr(folderlock, sys.argv[1])(Path(sys.argv[2])):
    print(flush=True)
    input()
"""
Holder = subprocess.Popen[bytes]


@pytest.fixture
def holder() -> Iterator[Callable[[str, Path], Holder]]:
    """Give a starter of processes that hold a folder."""
    started: list[Holder] = []

    def start(hold: str, folder: Path) -> Holder:
        process = subprocess.Popen(
            [sys.executable, "-c", _HOLDER, hold, str(folder)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        started.append(process)
        assert process.stdout is not None
        process.stdout.readline()
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_one_process_writes_and_a_killed_one_keeps_nobody_out(
    tmp_path: Path, holder: Callable[[str, Path], Holder]
) -> None:
    process = holder("only_writer", tmp_path)
    with pytest.raises(InputError, match="another process is writing there"), only_writer(tmp_path):
        pass
    key = StageKey(stage="s", config={}, inputs={})
    with pytest.raises(InputError, match="is writing there"), stage_run(tmp_path, key):
        pass
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (tmp_path / WRITING).exists()
    with only_writer(tmp_path), only_writer(tmp_path):  # who holds it may ask again
        pass
    assert list(tmp_path.iterdir()) == []


def test_who_waits_goes_on_when_the_other_has_ended(
    tmp_path: Path, holder: Callable[[str, Path], Holder]
) -> None:
    process = holder("only_writer", tmp_path)
    ended = threading.Timer(0.3, process.kill)
    ended.start()
    with only_writer(tmp_path, wait=True):
        assert process.wait() == -signal.SIGKILL
    ended.join()


def test_two_threads_do_not_write_in_one_folder(tmp_path: Path) -> None:
    refused: list[BaseException] = []

    def write() -> None:
        try:
            with only_writer(tmp_path):
                pass
        except InputError as error:
            refused.append(error)

    with only_writer(tmp_path):
        other = threading.Thread(target=write)
        other.start()
        other.join()
    assert len(refused) == 1


def test_a_folder_in_which_nothing_came_about_goes(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), only_writer(tmp_path / "new"):
        _ = 1 / 0
    assert not (tmp_path / "new").exists()


def test_what_killed_runs_left_goes_with_the_next(tmp_path: Path) -> None:
    (tmp_path / "rig.0123abcd.part.json").write_text("{")
    (tmp_path / ".part-00.0123abcd.part").mkdir()
    (tmp_path / ".part-00.0123abcd.part" / "a.npy").write_bytes(b"a")
    (tmp_path / "my.part.json").write_text("{}")  # nobody's but the user's
    with stage_run(tmp_path, StageKey(stage="s", config={}, inputs={})):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["my.part.json", "stage.json"]


def test_the_folder_to_hold_is_the_nearest_there_is(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    assert folder_to_hold(tmp_path) == tmp_path
    assert folder_to_hold(tmp_path / "a.json") == tmp_path
    assert folder_to_hold(tmp_path / "new" / "newer") == tmp_path


@click.group(cls=SentenceOnError)
@click.option("--debug", is_flag=True)
def main(debug: bool) -> None:
    """Stand in for facekit."""


@main.command()
@click.argument("source", type=IN_FOLDER)
@click.option("--out", type=OUT_PATH)
def work(source: Path, out: Path) -> None:
    """Tell which of the folders can be had alone, as `erase` needs it."""
    for folder in (source, out.parent):
        try:
            with in_use(folder, alone=True):
                click.echo("free")
        except InputError:
            click.echo("held")


def test_every_command_holds_what_it_reads_and_writes(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "made").mkdir()
    command = ["work", str(tmp_path / "source"), "--out", str(tmp_path / "made" / "new")]
    assert CliRunner().invoke(main, command).output.split() == ["held", "held"]
    for folder in (tmp_path / "source", tmp_path / "made", tmp_path):
        with in_use(folder, alone=True):  # no longer
            pass


@pytest.mark.parametrize("above", [".", "source"])
def test_no_command_begins_where_something_is_erased(tmp_path: Path, above: str) -> None:
    (tmp_path / "source" / "inner").mkdir(parents=True)
    alone: AbstractContextManager[None] = in_use(tmp_path / above, alone=True)
    command = ["work", str(tmp_path / "source" / "inner"), "--out", str(tmp_path / "x")]
    with alone:
        result = CliRunner().invoke(main, command)
    assert result.exit_code == 2
    assert "another process is at work there; wait until it has ended" in result.output


_OPEN = Path("/proc/self/fd")


@pytest.mark.skipif(not _OPEN.is_dir(), reason="tells open files on Linux alone")
def test_many_files_of_a_folder_hold_it_once(tmp_path: Path) -> None:
    seen: list[int] = []

    @main.command("many")
    @click.argument("files", type=OUT_PATH, nargs=-1)
    def many(files: tuple[Path, ...]) -> None:
        seen.append(sum(1 for _ in _OPEN.iterdir()))

    for n in (1, 50):
        names = [str(tmp_path / f"{i}.jpg") for i in range(n)]
        CliRunner().invoke(main, ["many", *names])
    assert seen[1] - seen[0] < 10
