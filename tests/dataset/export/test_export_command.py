"""`facekit export` and `facekit verify` as a shell meets them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from facekit.capture.sidecar import Purpose
from facekit.core.commandline import SentenceOnError
from facekit.core.geometry.mesh import Mesh
from facekit.core.geometry.meshio import save_mesh
from facekit.dataset.export.commands import FORMATS, PURPOSES, export, verify
from facekit.dataset.export.files import FileFormat

Make = Callable[..., Any]


def run(*arguments: str | Path) -> Result:
    group = SentenceOnError("facekit", commands={"export": export, "verify": verify})
    return CliRunner().invoke(group, [str(argument) for argument in arguments])


def test_choices_are_those_of_the_library() -> None:
    assert list(FORMATS) == list(FileFormat)
    assert list(PURPOSES) == list(Purpose)


def test_a_dataset_and_files_in_one_go(make_subject: Make, tmp_path: Path) -> None:
    subject_made = make_subject("one", takes=("smile",))
    build = subject_made.build
    registered, _ = subject_made.takes["smile"]
    scan = Mesh(vertices=registered.posed(), faces=registered.model.faces)
    save_mesh(build / "smile" / "mesh.ply", scan)
    answer = run(
        "export", build, "--hdf5", tmp_path / "data", "--files", tmp_path / "files",
        "--format", "albedo", "--facescape", tmp_path / "scape", "--licence", "CC0", "--json",
    )  # fmt: skip
    assert answer.exit_code == 0, answer.output
    told = json.loads(answer.stdout)
    assert told["hdf5"]["captures"] == 1
    (subject,) = told["hdf5"]["subjects"]
    assert (tmp_path / "files" / subject / "smile" / "albedo.png").is_file()
    assert (tmp_path / "scape" / "dpmap" / f"{subject}_smile.png").is_file()

    answer = run("verify", tmp_path / "data", "--read-data", "--json")
    assert answer.exit_code == 0
    assert json.loads(answer.stdout)["images"] == 3
    shard = tmp_path / "data" / "subjects" / f"{subject}.h5"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 16
    shard.write_bytes(content)
    answer = run("verify", tmp_path / "data", "--read-data")
    assert answer.exit_code == 2
    assert shard.name in answer.stderr


def test_a_refused_subject_shows_in_the_exit_code(
    make_subject: Make, tmp_path: Path, consent_of: Make
) -> None:
    both = (Purpose.RESEARCH, Purpose.COMMERCIAL)
    yes = make_subject("one", takes=("a",), consent=consent_of("AAAAAAA", purposes=both)).build
    no = make_subject("two", takes=("a",), consent=consent_of("BBBBBBB")).build
    answer = run("export", yes, no, "--hdf5", tmp_path / "data", "--purpose", "commercial")
    assert answer.exit_code == 3
    assert "covers research, not commercial" in answer.stderr
    assert (tmp_path / "data" / "subjects" / "AAAAAAA.h5").is_file()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ((), "nothing to do"),
        (("--hdf5", "out", "--format", "obj"), "--format is of --files"),
        (("--hdf5", "out"), "no build.json"),
    ],
)
def test_wrong_options_are_one_sentence(
    tmp_path: Path, options: tuple[str, ...], sentence: str
) -> None:
    answer = run("export", tmp_path, *options)
    assert answer.exit_code == 2
    assert sentence in answer.stderr
    assert len(answer.stderr.splitlines()) == 1
