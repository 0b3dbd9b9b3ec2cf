"""By which names a subject's files are known, and by which they are not."""

import json
import shutil
from pathlib import Path

import pytest

from facekit.benchmarks.session_report import write_report
from facekit.core.errors import InputError
from facekit.dataset.erase.erase import erase
from facekit.dataset.erase.finding import find
from facekit.dataset.erase.packs import people_of_pack

GONE, OTHER = "QF7M2TZ", "KX3WVB5"


def found_in(root: Path, pseudonym: str) -> set[str]:
    """Return what would be deleted, relative to the root."""
    units = find(pseudonym, [root.resolve()]).units
    return {path.relative_to(root.resolve()).as_posix() for path in units}


def test_small_letters_are_the_same_name(lab: Path) -> None:
    (lab / "desk" / GONE.lower()).mkdir(parents=True)
    (lab / "desk" / GONE.lower() / "view.png").write_bytes(b"a picture")
    (lab / "desk" / f"{GONE.lower()}_late.txt").write_text("came late")
    (lab / "desk" / f"x{GONE.lower()}.txt").write_text("is another word")
    (lab / "desk" / "list.txt").write_text(f"{OTHER}, {GONE.lower()}")
    result = erase(GONE.lower(), [lab])
    assert result["subject"] == GONE
    assert not (lab / "one/session").exists()
    assert {path.name for path in (lab / "desk").iterdir()} == {f"x{GONE.lower()}.txt", "list.txt"}
    assert result["mentions"] == [str(lab.resolve() / "desk/list.txt")]
    assert "erased_before" in erase(GONE.lower(), [lab])


def test_what_is_left_after_its_session_and_shard_is_found_by_name(lab: Path) -> None:
    """A machine for training holds no session; neither does a disk of exports."""
    for name in ("one", "data", "predictions", "report-one.html"):
        path = lab / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    result = erase(GONE, [lab])
    assert not (lab / "files" / GONE).exists()
    assert GONE not in people_of_pack(lab / "packed")
    assert "only what bears its name is found" in result["remarks"][-1]


def test_a_copy_of_packed_pixels_is_found(lab: Path) -> None:
    for path in lab.iterdir():
        if path.name != "packed":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert erase(GONE, [lab], dry_run=True)["erase"]["probes_found"] == 0
    (lab / "copy.bin").write_bytes((lab / "packed/part-0000000/image.npy").read_bytes())
    told = erase(GONE, [lab])["erase"]
    assert told["probes"] >= 16  # four a sample
    assert told["found_in"] == {str(lab.resolve() / "copy.bin"): told["probes_found"]}


def test_a_build_goes_whole_where_its_session_has_been_moved(lab: Path) -> None:
    (lab / "one/session").rename(lab / "aside")
    for name, moved in (("one", True), ("two", False)):
        path = lab / name / "build/build.json"
        there = "../gone" if moved else "../session"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"session_folder": there}))
    units = found_in(lab, GONE)
    assert {"one/build", "aside"} <= units
    assert not [unit for unit in units if unit.startswith("two/build")]


def test_a_word_is_nobody_s_name(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("read me")
    with pytest.raises(InputError, match="nothing is known of a subject README"):
        erase("README", [tmp_path])


def test_a_page_says_of_whom_it_is_where_sessions_share_a_name(lab: Path) -> None:
    for name in ("one", "two"):
        path = lab / name / "session/session.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"name": "photos"}))
        write_report(path.parent, out=lab / f"{name}.html")
    (lab / "old.html").write_text("<title>photos</title><p>whose?</p>")
    assert "one.html" in (units := found_in(lab, GONE))
    assert not {"two.html", "old.html"} & units
    result = erase(GONE, [lab], dry_run=True)
    assert str(lab.resolve() / "old.html") in result["mentions"]
    assert any("old.html: its title is the name of a session of" in r for r in result["remarks"])


def test_a_page_without_a_mark_goes_by_its_title(lab: Path) -> None:
    assert "report-one.html" in found_in(lab, GONE)
    assert "report-two.html" not in found_in(lab, GONE)
