"""`session.json` says the same after a round trip, and what is wrong with it otherwise."""

import json
from pathlib import Path

import pytest

from facekit.capture.session import (
    BoardSpec,
    CameraInfo,
    Refusal,
    Session,
    Shot,
    Take,
    TakeKind,
    load_session,
    save_session,
)
from facekit.core.errors import InputError, SchemaError


@pytest.fixture
def session(tmp_path: Path) -> Session:
    """Give a saved session of one camera and one take."""
    (tmp_path / "images/t01").mkdir(parents=True)
    (tmp_path / "images/t01/a.jpg").write_bytes(b"x")
    shot = Shot(camera="a", file="images/t01/a.jpg", sha256="0", bytes=1, width=4, height=3)
    board = BoardSpec(
        squares_x=8, squares_y=6, square_mm=20, marker_mm=15, dictionary="DICT_4X4_50"
    )
    made = Session(
        folder=tmp_path,
        name="one",
        cameras=(CameraInfo(id="a", width=4, height=3, focal_mm=85.0),),
        takes=(Take(id="t01", kind=TakeKind.TARGET, shots=(shot,), problems=("odd",)),),
        board=board,
        refused=(Refusal(file="b.jpg", reason="empty file"),),
        notes=("folders tell the cameras",),
    )
    save_session(made)
    return made


def test_a_session_is_the_same_after_a_round_trip(session):
    assert load_session(session.folder) == session


def test_a_missing_photograph_is_named_when_it_is_read(session):
    shot = session.takes[0].shots[0]
    session.path(shot).unlink()
    with pytest.raises(InputError, match=r"images/t01/a\.jpg.*missing"):
        load_session(session.folder).checked_path(shot)


def test_a_photograph_changed_after_ingestion_is_named(session):
    shot = session.takes[0].shots[0]
    session.path(shot).write_bytes(b"another photograph")
    with pytest.raises(
        InputError, match=r"images/t01/a\.jpg: not the photograph that was ingested"
    ):
        session.checked_path(shot)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"version": 99}, "version 99"),
        ({"format": "facekit-rig"}, "not a facekit-session"),
        ({"takes": [{"id": "t01"}]}, "shots"),
        ({"cameras": [{"id": "a", "width": 4, "height": 3, "colour": 1}]}, "colour"),
        ({"takes": [{"id": "t01", "kind": "party", "shots": [], "problems": []}]}, "party"),
    ],
)
def test_a_file_that_is_no_session_is_a_sentence(session, change, word):
    path = session.folder / "session.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(InputError, match=word):
        load_session(session.folder)


@pytest.mark.parametrize("name", ["../outside.jpg", "/etc/passwd"])
def test_a_session_cannot_name_files_outside_itself(session, name):
    path = session.folder / "session.json"
    values = json.loads(path.read_text())
    values["takes"][0]["shots"][0]["file"] = name
    path.write_text(json.dumps(values))
    with pytest.raises(SchemaError, match="outside"):
        load_session(session.folder)
