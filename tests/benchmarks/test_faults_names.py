"""Names in files by which readers once left their folder: each is refused with a sentence now."""

import json
from pathlib import Path
from typing import Any

import pytest

from facekit.benchmarks.esrc.layout import list_items
from facekit.benchmarks.faults.hostiletargets import targets
from facekit.benchmarks.heads.subjects import people_in
from facekit.benchmarks.now.layout import list_images
from facekit.capture.session import load_session
from facekit.core.errors import InputError, SchemaError
from facekit.core.files import is_file_name
from facekit.dataset.erase.journal import open_journal

MAKERS = {target.name: target.make for target in targets()}
OUT = ("../other", "/tmp/other", "a/../../other", "x\0y", "a\nb", "\u202egpj", "n" * 5000)


def changed(path: Path, keys: tuple[Any, ...], value: Any) -> None:
    values = json.loads(path.read_text(encoding="utf-8"))
    inner = values
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    path.write_text(json.dumps(values), encoding="utf-8")


@pytest.mark.parametrize("name", OUT)
@pytest.mark.parametrize("keys", [("takes", 0, "id"), ("cameras", 0, "id")])
def test_takes_and_cameras_of_a_session_are_called_by_names(
    tmp_path: Path, keys: tuple[Any, ...], name: str
) -> None:
    """Results lie in folders and files called after them."""
    MAKERS["photograph of a session"](tmp_path)
    load_session(tmp_path)
    changed(tmp_path / "session.json", keys, name)
    with pytest.raises(SchemaError, match=r"session\.json: names .*outside of it") as caught:
        load_session(tmp_path)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 1000


@pytest.mark.parametrize("name", [*OUT, "a/b", ".", ""])
def test_virtual_people_are_called_by_names_of_files(tmp_path: Path, name: str) -> None:
    MAKERS["virtual person"](tmp_path)
    assert len(people_in(tmp_path)) == 1
    changed(tmp_path / "virtual.json", ("subjects", 0, "name"), name)
    with pytest.raises(InputError, match=r"virtual\.json: damaged"):
        people_in(tmp_path)


@pytest.mark.parametrize(
    "line", ["/etc/a/b.jpg", "../../a/b/c.jpg", "x/../../a/b/c.jpg", "/a/b.jpg", "a\0/b/c.jpg"]
)
def test_lists_of_photographs_stay_in_their_folder(tmp_path: Path, line: str) -> None:
    for name in ("imagepathsvalidation.txt", "images.txt"):
        (tmp_path / name).write_text(line + "\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"imagepathsvalidation\.txt, line 1"):
        list_images(tmp_path, None)
    with pytest.raises(InputError, match=r"images\.txt, line 1"):
        list_items(tmp_path, dict.fromkeys(("a", "b"), (tmp_path, tmp_path)))


def test_a_journal_that_names_no_path(tmp_path: Path) -> None:
    MAKERS["unit of an erasure"](tmp_path)
    assert open_journal((tmp_path.resolve(),), "ABCDEFG") is not None
    journal = next(path for path in tmp_path.iterdir() if path.suffix == ".json")
    changed(journal, ("units",), {f"{tmp_path.resolve()}/x\0/y": "session"})
    with pytest.raises(SchemaError, match="which is no path"):
        open_journal((tmp_path.resolve(),), "ABCDEFG")


def test_names_of_files() -> None:
    assert is_file_name("000-builtin") and is_file_name("ü 1.ply")
    for name in (*OUT, "a/b", ".", "..", "", "x" * 200):
        assert not is_file_name(name)
