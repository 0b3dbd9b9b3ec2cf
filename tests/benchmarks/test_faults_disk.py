"""The judge of full disks: half files, unclear ends; and a really full one."""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from facekit.benchmarks.faults import diskfull
from facekit.benchmarks.faults.diskfull import Means, fill_disks
from facekit.benchmarks.faults.warm import Ended
from facekit.benchmarks.faults.workplace import Stage, Workplace

Command = Callable[[Path, bool], tuple[int, str]]
WHOLE = {"a.json": '{"a": 1}', "mesh.obj": "v 1 2 3\nv 4 5 6\n"}
FULL = "facekit: mesh.obj: No space left on device\n"


def tried(monkeypatch: pytest.MonkeyPatch, folder: Path, command: Command) -> dict[str, object]:
    """Judge a function in place of a command: told its folder, and whether there is room."""

    def run(arguments: Sequence[str], *, log: Path, file_bytes: int | None = None) -> Ended:
        out = Path(arguments[0])
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            return Ended(code=2, seconds=0, said=f"facekit: {out}: {error.strerror}\n")
        if file_bytes is not None:
            code, said = command(out, False)
        else:
            code, said = 0, ""
            for name, text in WHOLE.items():
                (out / name).write_text(text)
            for path in out.glob("*.part*"):
                path.unlink()
        return Ended(code=code, seconds=0, said=said)

    monkeypatch.setattr(diskfull, "run_command", run)
    stage = Stage(name="s", command=lambda out: [str(out)])
    found = fill_disks(
        Workplace(folder), [stage], offsets=2, seed=0, means=Means.FILE_LIMIT
    )  # fmt: skip
    assert found.passed == (not found.failures)
    assert found.cases == 3  # twice full, once not to be written
    return found.figures()


def refused(out: Path, room: bool) -> tuple[int, str]:
    (out / "a.json").write_text(json.dumps({"a": 0}))  # a record of what was done so far
    return 2, FULL


def half(out: Path, room: bool) -> tuple[int, str]:
    (out / "mesh.obj").write_text(WHOLE["mesh.obj"][:9])
    return 2, FULL


def left(out: Path, room: bool) -> tuple[int, str]:
    (out / "mesh.0123abcd.part.obj").write_text("v 1")
    return 2, FULL


def crashed(out: Path, room: bool) -> tuple[int, str]:
    return -11, "Segmentation fault"


def unsaid(out: Path, room: bool) -> tuple[int, str]:
    return 1, "facekit: a fault in facekit itself (OSError: [Errno 28])\n"


@pytest.mark.parametrize(
    ("command", "half_files", "unclear"),
    [(refused, 0, 0), (half, 2, 0), (left, 2, 0), (crashed, 0, 2), (unsaid, 0, 2)],
)
def test_what_a_full_disk_leaves_is_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command, half_files: int,
    unclear: int,
) -> None:  # fmt: skip
    figures = tried(monkeypatch, tmp_path, command)
    assert (figures["half_files"], figures["unclear"]) == (half_files, unclear)
    assert figures["unmended"] == 0
    assert figures["offsets"] == 3


@pytest.mark.slow
@pytest.mark.parametrize("means", [Means.TMPFS, Means.FILE_LIMIT])
def test_an_export_to_a_disk_that_is_really_full(tmp_path: Path, means: Means) -> None:
    if means is Means.TMPFS and os.getuid() != 0:
        pytest.skip("mounts need rights that this user may not have")
    place = Workplace(tmp_path)
    stages = [place.stage(name) for name in ("ingest", "export hdf5")]
    assert fill_disks(place, stages, offsets=3, seed=1, means=means).failures == ()
