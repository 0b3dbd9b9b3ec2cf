"""The command line: what a user meets when something is wrong, and what scripts get."""

import errno
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result

from facekit import cli
from facekit.benchmarks.commands import bench
from facekit.calibration.commands import RIG_FORMATS
from facekit.core import commandline
from facekit.core.errors import CalibrationError, InputError, MissingDependencyError
from facekit.core.facemodel.commands import assets
from facekit.dataset.plan.commands import rig
from facekit.reconstruct.train.commands import train

GROUPS = {"assets": assets, "bench": bench, "rig": rig, "train": train}
COMMANDS = [
    *((name,) for name in sorted(cli.main.commands) if name not in GROUPS),
    *((group, name) for group, members in GROUPS.items() for name in sorted(members.commands)),
]


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli.main, [str(argument) for argument in arguments])


def test_help_answers_within_three_tenths_of_a_second() -> None:
    def seconds() -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "facekit", "--help"], check=True,
                       capture_output=True, cwd="/")  # fmt: skip
        return time.perf_counter() - start

    assert min(seconds() for _ in range(3)) < 0.3


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself_and_speaks_json(command: tuple[str, ...]) -> None:
    answer = run(*command, "--help")
    assert answer.exit_code == 0
    assert "--json" in answer.stdout


@pytest.mark.parametrize(
    ("error", "exit_code", "sentence"),
    [
        (InputError("a.jpg: not a complete image; copy it again"), 2, "a.jpg: not a complete"),
        (CalibrationError("cam03 sees no board"), 3, "cam03 sees no board"),
        (MissingDependencyError("rawpy is not installed"), 4, "rawpy is not installed"),
        (OSError(errno.ENOSPC, "No space left on device", "/full/x.png"), 2, "/full/x.png: No sp"),
        (ZeroDivisionError("oh"), 1, "a fault in facekit itself (ZeroDivisionError: oh)"),
    ],
)
def test_errors_become_one_sentence_and_an_exit_code(
    error: Exception, exit_code: int, sentence: str
) -> None:
    @click.group(cls=commandline.SentenceOnError)
    def group() -> None:
        pass

    @group.command()
    def fail() -> None:
        raise error

    answer = CliRunner().invoke(group, ["fail"])
    assert answer.exit_code == exit_code
    assert answer.stderr.startswith(f"facekit: {sentence}")
    assert len(answer.stderr.splitlines()) == 1
    assert answer.stdout == ""


def test_a_folder_without_a_session_is_named(tmp_path: Path) -> None:
    for command in ("calibrate", "report"):
        answer = run(command, tmp_path, "--out", tmp_path / "out.html")
        assert answer.exit_code == 2
        assert re.search(r"no session\.json here; make a session with `facekit ingest`",
                         answer.stderr)  # fmt: skip


def test_an_unknown_setting_names_the_nearest(tmp_path: Path) -> None:
    answer = run("studio", "--out", tmp_path / "s", "--set", "megapixel=2")
    assert answer.exit_code == 2
    assert "unknown setting 'megapixel'; did you mean 'megapixels'?" in answer.stderr


def test_options_win_over_the_file_and_set_over_both(tmp_path: Path) -> None:
    from facekit.capture.virtual.studio import StudioConfig

    file = tmp_path / "studio.yaml"
    file.write_text("seed: 3\nlayout: pair\nmegapixels: 0.5\n")
    config = commandline.settings(
        StudioConfig, file, ["megapixels=0.25"], seed=None, layout="five", megapixels=2.0
    )
    assert (config.seed, config.layout, config.megapixels) == (3, "five", 0.25)


def test_numbers_of_numpy_become_numbers_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    commandline.print_json(
        {"a": np.float32(0.5), "b": np.int64(3), "c": Path("x/y"), "d": np.bool_(True)}
    )
    assert json.loads(capsys.readouterr().out) == {"a": 0.5, "b": 3, "c": "x/y", "d": True}


def test_doctor_says_what_is_there_as_json() -> None:
    answer = run("doctor", "--json")
    findings = {finding["name"]: finding for finding in json.loads(answer.stdout)}
    assert findings["opencv-python"]["ok"]
    assert "pip install" in findings["nvdiffrast"]["fix"]
    assert "libusb-1.0-0" in findings["libusb-1.0.so.0"]["fix"]
    missing = [f for f in findings.values() if f["needed"] and not f["ok"]]
    assert answer.exit_code == (4 if missing else 0)


def test_target_prints_what_it_wrote(tmp_path: Path) -> None:
    out = tmp_path / "board.pdf"
    answer = run("target", "--board", "7x5:20:15:DICT_4X4_50", "--out", out, "--json")
    assert answer.exit_code == 0, answer.stderr
    written = json.loads(answer.stdout)
    assert out.read_bytes().startswith(b"%PDF")
    assert written["width_mm"] >= 7 * 20
    assert written["height_mm"] >= 5 * 20


def test_a_board_that_is_too_large_for_the_paper_is_told(tmp_path: Path) -> None:
    answer = run("target", "--paper", "A4", "--out", tmp_path / "board.pdf", "--board",
                 "30x20:20:15:DICT_5X5_1000")  # fmt: skip
    assert answer.exit_code == 2
    assert "does not fit on A4" in answer.stderr
    assert not (tmp_path / "board.pdf").exists()


def test_rigs_go_out_and_come_back(tmp_path: Path) -> None:
    from facekit.calibration.interchange.interop import RigFormat
    from facekit.calibration.rigfile import load_rig, save_rig
    from facekit.capture.virtual.layouts import draw_rig, load_layout

    assert tuple(RigFormat) == RIG_FORMATS
    rig = draw_rig(load_layout("pair"), megapixels=1.0, rng=np.random.default_rng(1))
    save_rig(tmp_path / "rig.json", rig)
    out, again = tmp_path / "metashape.xml", tmp_path / "again.json"
    answer = run("export-rig", tmp_path / "rig.json", "--format", "metashape", "--out", out)
    assert answer.exit_code == 0, answer.stderr
    assert run("import-rig", out, "--out", again).exit_code == 0
    assert np.abs(load_rig(again).centers - rig.centers).max() < 1e-6
