"""`session.json` says the same after a round trip, and what is wrong with it otherwise."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from facekit.capture.session import (
    BoardPattern,
    BoardSpec,
    CameraInfo,
    MeasuredLength,
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
        ({"cameras": [{"width": 4, "height": 3}]}, "id"),
        ({"takes": [{"id": "t01", "kind": "party", "shots": [], "problems": []}]}, "party"),
    ],
)
def test_a_file_that_is_no_session_is_a_sentence(session, change, word):
    path = session.folder / "session.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(InputError, match=word):
        load_session(session.folder)


def test_what_a_later_minor_version_tells_is_passed_over(session):
    path = session.folder / "session.json"
    values = json.loads(path.read_text())
    known = load_session(session.folder)
    for entry in (*values["cameras"], values["board"], values["takes"][0]["shots"][0]):
        entry["colour"] = {"of": "later"}
    path.write_text(json.dumps(values))
    assert load_session(session.folder) == known


@pytest.mark.parametrize("name", ["../outside.jpg", "/etc/passwd"])
def test_a_session_cannot_name_files_outside_itself(session, name):
    path = session.folder / "session.json"
    values = json.loads(path.read_text())
    values["takes"][0]["shots"][0]["file"] = name
    path.write_text(json.dumps(values))
    with pytest.raises(SchemaError, match="outside"):
        load_session(session.folder)


def test_boards_of_earlier_sessions_are_written_as_they_were(session):
    board = json.loads((session.folder / "session.json").read_text())["board"]
    assert list(board) == [
        "squares_x", "squares_y", "square_mm", "marker_mm", "dictionary", "legacy_pattern",
        "inverted", "first_id",
    ]  # fmt: skip


def test_all_that_is_known_of_a_board_is_kept(session):
    board = BoardSpec(
        squares_x=6, squares_y=5, square_mm=39.0, marker_mm=30.0,
        dictionary="DICT_APRILTAG_36h11", pattern=BoardPattern.APRILGRID, back_first_id=30,
        thickness_mm=6.0, lengths=(MeasuredLength(first=0, second=19, mm=225.03),),
    )  # fmt: skip
    told = replace(session, board=board)
    save_session(told)
    assert load_session(session.folder) == told


def test_an_unknown_pattern_is_answered_with_the_known(session):
    path = session.folder / "session.json"
    values = json.loads(path.read_text())
    values["board"]["pattern"] = "dots"
    path.write_text(json.dumps(values))
    with pytest.raises(InputError, match="one of charuco, aprilgrid, checkerboard; got 'dots'"):
        load_session(session.folder)
