"""Whoever was erased is not taken in again, and the file that says so tells of nobody."""

import json
import stat
from pathlib import Path

import pytest

from facekit.capture.ingest import ingest
from facekit.capture.session import load_session
from facekit.capture.tombstones import ERASED_FILE, bury, erased_on, refuse_erased
from facekit.core.errors import InputError, SchemaError
from facekit.core.folderlock import in_use

PHOTOGRAPHS = ["ab" * 32, "cd" * 32]


def test_a_tombstone_tells_neither_who_nor_what(tmp_path: Path) -> None:
    path = bury(tmp_path, "QF7M2TZ", PHOTOGRAPHS)
    text = path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "QF7M2TZ" not in text
    assert "abab" not in text
    first = json.loads(text)
    bury(tmp_path, "QF7M2TZ", PHOTOGRAPHS)
    assert json.loads(path.read_text()) == first  # a second time changes nothing
    other = tmp_path / "other"
    other.mkdir()
    second = json.loads(bury(other, "QF7M2TZ", PHOTOGRAPHS).read_text())
    assert second["erased"][0]["subject"] != first["erased"][0]["subject"]  # another salt


def test_the_erased_are_refused_there_and_below_alone(tmp_path: Path) -> None:
    lab = tmp_path / "lab"
    lab.mkdir()
    bury(lab, "QF7M2TZ", PHOTOGRAPHS)
    assert erased_on(lab, "QF7M2TZ") is not None
    assert erased_on(lab, "KX3WVB5") is None
    with pytest.raises(InputError, match=r"lab/facekit-erased\.json: subject QF7M2TZ was erased"):
        refuse_erased(lab / "a" / "b", pseudonym="QF7M2TZ")
    with pytest.raises(InputError, match="memory cards, backups"):
        refuse_erased(lab, photographs=[PHOTOGRAPHS[1]])
    refuse_erased(lab, pseudonym="KX3WVB5", photographs=["00" * 32])
    refuse_erased(tmp_path / "elsewhere", pseudonym="QF7M2TZ", photographs=PHOTOGRAPHS)
    (lab / ERASED_FILE).write_text('{"format": "facekit-erased", "version": 1, "salt": "x"}')
    with pytest.raises(SchemaError, match="not as the format has it"):
        refuse_erased(lab, pseudonym="KX3WVB5")


def test_ingestion_refuses_photographs_of_the_erased(tmp_path: Path, shoot) -> None:
    source = tmp_path / "cards"
    for camera in ("camA", "camB"):
        shoot(source / camera / "IMG_0001.jpg")
    lab = tmp_path / "lab"
    ingest(source, lab / "first")
    taken = load_session(lab / "first").takes[0].shots[0].sha256
    bury(lab, "QF7M2TZ", [taken])
    with pytest.raises(InputError, match="a photograph of the source is of a subject who was"):
        ingest(source, lab / "second")
    assert not (lab / "second" / "images").exists()


def test_one_who_wants_to_be_alone_waits_for_nobody(tmp_path: Path) -> None:
    at_work = "another process is at work there"
    with (
        in_use(tmp_path),
        in_use(tmp_path),  # several may be
        pytest.raises(InputError, match=at_work),
        in_use(tmp_path, alone=True),
    ):
        pass
    with in_use(tmp_path, alone=True), pytest.raises(InputError, match=at_work), in_use(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []
