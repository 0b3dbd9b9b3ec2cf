"""Folders of photographs become sessions: what is taken, what is refused, what is said."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facekit.capture.ingest import IngestConfig, IngestResult, ingest
from facekit.capture.layout import Layout
from facekit.capture.patterns import board_image
from facekit.capture.session import BoardSpec, TakeKind, load_session
from facekit.core.errors import InputError
from facekit.core.imaging.imageio import read_image, write_image

CAMERAS = ("camA", "camB", "camC")


def _folders(tmp_path: Path, shoot, n_takes: int = 3, **exif) -> Path:
    source = tmp_path / "source"
    for camera in CAMERAS:
        for take in range(n_takes):
            shoot(source / camera / f"IMG_{take + 1:04d}.jpg", serial=f"77{camera}9", **exif)
    return source


def _sources(result: IngestResult) -> dict[str, dict[str, str]]:
    return {
        take.id: {shot.camera: shot.source for shot in take.shots} for take in result.session.takes
    }


def _problems(result: IngestResult) -> str:
    return " | ".join(problem for take in result.session.takes for problem in take.problems)


def test_a_folder_per_camera_gives_complete_takes_of_unchanged_originals(tmp_path, shoot):
    source = _folders(tmp_path, shoot, lens="85 mm", focal=85.0, time=100.25)
    out = tmp_path / "session"
    result = ingest(source, out, IngestConfig(name="first"))

    assert result.ok
    assert result.copied == 9
    assert [camera.id for camera in result.session.cameras] == list(CAMERAS)
    assert all(take.complete and len(take.shots) == 3 for take in result.session.takes)
    loaded = load_session(out)
    assert loaded == result.session
    for take in loaded.takes:
        for shot in take.shots:
            original = (source / shot.source).read_bytes()
            assert loaded.path(shot).read_bytes() == original
            assert hashlib.sha256(original).hexdigest() == shot.sha256
            assert shot.source == f"{shot.camera}/IMG_000{int(take.id[-1])}.jpg"
            assert (shot.serial, shot.lens, shot.focal_mm) == (f"77{shot.camera}9", "85 mm", 85.0)
            assert shot.time == "2026-03-04T00:01:40.25"


def test_one_folder_that_is_said_to_be_a_take_holds_a_photograph_of_each_camera(tmp_path, shoot):
    for camera in ("v0", "v1", "v2"):
        shoot(tmp_path / "source" / "head" / f"{camera}.png")
    result = ingest(tmp_path / "source", tmp_path / "out", IngestConfig(layout=Layout.TAKES))
    assert _sources(result) == {"head": {c: f"head/{c}.png" for c in ("v0", "v1", "v2")}}


def test_a_folder_per_take_is_told_from_a_folder_per_camera(tmp_path, shoot):
    source = tmp_path / "source"
    for take in ("neutral", "smile", "calibration_01"):
        for camera in ("left", "mid", "right"):
            shoot(source / take / f"{camera}.png")
    result = ingest(source, tmp_path / "out")
    assert _sources(result) == {
        take: {camera: f"{take}/{camera}.png" for camera in ("left", "mid", "right")}
        for take in ("calibration_01", "neutral", "smile")
    }
    kinds = {take.id: take.kind for take in result.session.takes}
    assert kinds == {
        "calibration_01": TakeKind.TARGET,
        "neutral": TakeKind.SUBJECT,
        "smile": TakeKind.SUBJECT,
    }


def test_kind_folders_above_camera_folders(tmp_path, shoot):
    source = tmp_path / "source"
    for group, n in (("board", 3), ("faces", 2), ("colorchecker", 1), ("background", 1)):
        for camera in CAMERAS:
            for i in range(n):
                shoot(source / group / camera / f"{i:03d}.jpg")
    session = ingest(source, tmp_path / "out").session
    assert [camera.id for camera in session.cameras] == list(CAMERAS)
    assert len(session.takes_of(TakeKind.TARGET)) == 3
    assert len(session.takes_of(TakeKind.SUBJECT)) == 2
    assert [take.id for take in session.takes_of(TakeKind.COLOR_CHART)] == ["colorchecker"]
    assert [take.id for take in session.takes_of(TakeKind.EMPTY)] == ["background"]
    assert all(take.complete for take in session.takes)


@pytest.mark.parametrize(
    "pattern", ["cam{c:02d}_take{t:02d}.jpg", "take{t}-cam{c}.png", "A-B{c}x-{t:06d}.png"]
)
def test_a_flat_folder_whose_names_tell_camera_and_take(tmp_path, shoot, pattern):
    for camera in range(1, 4):
        for take in range(1, 3):
            shoot(tmp_path / "source" / pattern.format(c=camera, t=take))
    session = ingest(tmp_path / "source", tmp_path / "out").session
    assert not session.moved_camera
    assert len(session.cameras) == 3
    assert [len(take.shots) for take in session.takes] == [3, 3]
    for take in session.takes:
        numbers = {shot.source.split("take")[-1][:2] for shot in take.shots}
        assert len(numbers) == 1 or "A-B" in pattern


def test_a_flat_folder_of_several_bodies_is_sorted_by_serial_and_time(tmp_path, shoot):
    rng = np.random.default_rng(3)
    instants = np.cumsum(rng.uniform(4, 9, 6))
    for i, (serial, clock) in enumerate((("1001", 0.0), ("1002", 3605.3), ("1003", 711.8))):
        for n, t in enumerate(instants):
            # counters of the bodies overlap, but are of different instants
            shoot(
                tmp_path / "s" / f"DSC{i}_{40 + n + 2 * i:04d}.jpg", serial=serial, time=clock + t
            )
    result = ingest(tmp_path / "s", tmp_path / "out", IngestConfig(layout=Layout.FLAT))
    assert [camera.id for camera in result.session.cameras] == ["DSC0", "DSC1", "DSC2"]
    assert len(result.session.takes) == 6
    for n, take in enumerate(result.session.takes):
        assert sorted(int(shot.source[5:9]) for shot in take.shots) == [40 + n, 42 + n, 44 + n]


def test_names_that_share_nothing_are_the_cameras_of_one_take(tmp_path, shoot):
    for name in ("front", "left", "right"):
        shoot(tmp_path / "s" / f"{name}.png")
    session = ingest(tmp_path / "s", tmp_path / "out").session
    assert not session.moved_camera
    assert [camera.id for camera in session.cameras] == ["front", "left", "right"]
    assert len(session.takes) == 1


def test_one_folder_of_one_camera_has_a_take_for_each_photograph(tmp_path, shoot):
    for n in range(3):
        shoot(tmp_path / "s" / "cam7" / f"{n}.png")
    session = ingest(tmp_path / "s", tmp_path / "out").session
    assert not session.moved_camera
    assert [camera.id for camera in session.cameras] == ["cam7"]
    assert [len(take.shots) for take in session.takes] == [1, 1, 1]


def test_one_body_in_one_folder_is_a_camera_that_moved(tmp_path, shoot):
    for n, t in ((3, 10.0), (1, 20.0), (2, 30.0)):
        shoot(tmp_path / "s" / f"IMG_{n}.jpg", serial="4711", time=t, orientation=6)
    session = ingest(tmp_path / "s", tmp_path / "out").session
    assert session.moved_camera
    (take,) = session.takes
    assert [(s.camera, s.source) for s in take.shots] == [
        ("p01", "IMG_3.jpg"), ("p02", "IMG_1.jpg"), ("p03", "IMG_2.jpg"),
    ]  # fmt: skip
    assert {shot.orientation for shot in take.shots} == {6}
    assert any("moved" in note for note in session.notes)


def test_an_order_file_names_the_positions_and_its_gaps(tmp_path, shoot):
    for n in range(4):
        shoot(tmp_path / "s" / "images" / f"IMG_{n}.jpg", serial="4711")
    order = tmp_path / "order.txt"
    order.write_text("IMG_2.jpg IMG_9.jpg\nIMG_0.jpg # the end\n")
    session = ingest(tmp_path / "s", tmp_path / "out", IngestConfig(order=order)).session
    (take,) = session.takes
    assert {s.camera: s.source for s in take.shots} == {
        "p01": "images/IMG_2.jpg", "p03": "images/IMG_0.jpg",
    }  # fmt: skip
    assert take.problems == ("camera p02: IMG_9.jpg is missing",)
    assert any("left aside" in note for note in session.notes)


def test_truncated_missing_and_copied_files_are_named_and_the_rest_is_taken(tmp_path, shoot):
    source = _folders(tmp_path, shoot, n_takes=4)
    whole = (source / "camA/IMG_0002.jpg").read_bytes()
    (source / "camA/IMG_0002.jpg").write_bytes(whole[: len(whole) // 2])
    (source / "camB/IMG_0003.jpg").unlink()
    (source / "camC/IMG_0001 (1).jpg").write_bytes((source / "camC/IMG_0001.jpg").read_bytes())
    result = ingest(source, tmp_path / "out")

    assert not result.ok
    assert [refusal.file for refusal in result.refused] == ["camA/IMG_0002.jpg"]
    assert "complete" in result.refused[0].reason
    assert result.duplicates == (("camC/IMG_0001 (1).jpg", "camC/IMG_0001.jpg"),)
    takes = result.session.takes
    assert [take.complete for take in takes] == [True, False, False, True]
    assert "camA/IMG_0002.jpg" in takes[1].problems[0]
    assert takes[2].problems == ("camera camB is missing",)


@pytest.mark.parametrize(
    ("odd", "word"),
    [
        ({"serial": "77camB9"}, "swapped"),
        ({"serial": "5550001"}, "no camera here"),
        ({"serial": "77camA9", "size": (56, 32)}, "56x32 px"),
        ({"serial": "77camA9", "lens": "50 mm"}, "lens 50 mm"),
        ({"serial": "77camA9", "focal": 50.0}, "50 mm"),
    ],
)
def test_a_photograph_that_contradicts_its_camera_is_refused(tmp_path, shoot, odd, word):
    usual = {"lens": "85 mm", "focal": 85.0}
    source = _folders(tmp_path, shoot, n_takes=4, **usual)
    shoot(source / "camA/IMG_0003.jpg", **{**usual, **odd})
    result = ingest(source, tmp_path / "out")
    assert [refusal.file for refusal in result.refused] == ["camA/IMG_0003.jpg"]
    assert word in result.refused[0].reason
    assert [take.complete for take in result.session.takes] == [True, True, False, True]
    assert result.session.takes[2].shot("camA") is None


def test_an_unknown_camera_is_named_and_kept_out(tmp_path, shoot):
    source = _folders(tmp_path, shoot, n_takes=5)
    shoot(source / "phone" / "IMG_0002.jpg")
    result = ingest(source, tmp_path / "out")
    assert [camera.id for camera in result.session.cameras] == list(CAMERAS)
    assert [refusal.file for refusal in result.refused] == ["phone/IMG_0002.jpg"]
    assert "phone" in _problems(result)

    kept = ingest(source, tmp_path / "kept", IngestConfig(cameras=("cam*", "phone", "camD")))
    assert [camera.id for camera in kept.session.cameras] == [*CAMERAS, "phone"]
    assert "camera camD is missing" in _problems(kept)


def test_the_same_picture_under_two_cameras_is_refused_once(tmp_path, shoot):
    source = tmp_path / "source"
    for camera in CAMERAS:
        for n in range(3):
            shoot(source / camera / f"{n}.png")
    (source / "camB/1.png").write_bytes((source / "camA/1.png").read_bytes())
    result = ingest(source, tmp_path / "out")
    assert [refusal.file for refusal in result.refused] == ["camB/1.png"]
    assert "same picture as camA/1.png" in result.refused[0].reason


def test_a_second_run_copies_nothing_and_an_ended_one_is_completed(tmp_path, shoot):
    source, out = _folders(tmp_path, shoot), tmp_path / "out"
    first = ingest(source, out)
    manifest = (out / "session.json").read_bytes()
    times = {p: p.stat().st_mtime_ns for p in (out / "images").rglob("*.jpg")}
    again = ingest(source, out)
    assert (first.copied, again.copied, again.kept) == (9, 0, 9)
    assert {p: p.stat().st_mtime_ns for p in times} == times
    assert (out / "session.json").read_bytes() == manifest

    gone = sorted(times)[4]
    gone.unlink()
    gone.with_name(f"{gone.stem}.123.part.jpg").write_bytes(b"half")
    (out / "session.json").unlink()
    last = ingest(source, out)
    assert (last.copied, last.kept) == (1, 8)
    assert not list(out.rglob("*.part*"))
    assert (out / "session.json").read_bytes() == manifest


def test_originals_of_another_session_are_never_touched(tmp_path, shoot):
    source, out = _folders(tmp_path, shoot), tmp_path / "out"
    ingest(source, out)
    before = {p: p.read_bytes() for p in out.rglob("*.jpg")}
    for camera in CAMERAS:
        shoot(source / camera / "IMG_0001.jpg", serial=f"77{camera}9")
    with pytest.raises(InputError, match="another folder"):
        ingest(source, out)
    assert {p: p.read_bytes() for p in out.rglob("*.jpg")} == before


def test_names_cannot_leave_the_session_and_need_not_be_utf8(tmp_path, shoot):
    source = tmp_path / "source"
    for folder in ("cam..", "cam é", "CON", ".hidden"):
        for n in range(2):
            shoot(source / folder / f"{n}.png")
    strange = os.fsdecode(b"cam\xff\xfe")
    for n in range(2):
        shoot(source / strange / f"{n}.png")
    out = tmp_path / "out"
    session = ingest(source, out).session
    names = [camera.id for camera in session.cameras]
    assert len({name.lower() for name in names}) == 4
    assert all(name.isascii() and not name.startswith(".") and "/" not in name for name in names)
    made = [path for path in tmp_path.rglob("*") if path.is_file() and source not in path.parents]
    assert all(out in path.parents for path in made)
    sources = [shot.source for take in load_session(out).takes for shot in take.shots]
    assert all(source.encode() for source in sources)  # can be shown


def test_source_and_session_must_not_overlap(tmp_path, shoot):
    source = _folders(tmp_path, shoot)
    with pytest.raises(InputError, match="lies in it"):
        ingest(source, tmp_path)
    with pytest.raises(InputError, match="lies in it"):
        ingest(source, source)
    # a session beside the cameras is not read again as photographs
    inner = source / "session"
    ingest(source, inner)
    assert ingest(source, inner).copied == 0


def test_a_source_without_anything_usable_says_why(tmp_path):
    with pytest.raises(InputError, match="no such file or folder"):
        ingest(tmp_path / "absent", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no photographs"):
        ingest(tmp_path / "empty", tmp_path / "out")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/a.jpg").write_bytes(b"")
    (tmp_path / "bad/b.jpg").write_bytes(b"nonsense")
    (tmp_path / "bad/c.jpg").mkdir()
    (tmp_path / "bad/d.jpg").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"a\.jpg: empty file"):
        ingest(tmp_path / "bad", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_cameras_that_cannot_be_matched_are_not_guessed(tmp_path, shoot):
    for camera, n in (("camA", 3), ("camB", 4)):
        for i in range(n):
            shoot(tmp_path / "s" / camera / f"{camera}{'xyzw'[i]}{i + (100 if n == 4 else 0)}q.png")
    with pytest.raises(InputError, match="camA 3, camB 4"):
        ingest(tmp_path / "s", tmp_path / "out")


def test_unequal_counters_are_matched_by_order(tmp_path, shoot):
    for camera, first in (("camA", 17), ("camB", 8031)):
        for i in range(4):
            shoot(tmp_path / "s" / camera / f"DSC_{first + i}.png")
    result = ingest(tmp_path / "s", tmp_path / "out")
    assert _sources(result)["t03"] == {"camA": "camA/DSC_19.png", "camB": "camB/DSC_8033.png"}


def test_a_damaged_file_does_not_shift_the_order_of_the_others(tmp_path, shoot):
    for camera, first in (("camA", 17), ("camB", 8031)):
        for i in range(4):
            shoot(tmp_path / "s" / camera / f"DSC_{first + i}.png")
    (tmp_path / "s/camA/DSC_18.png").write_bytes(b"\x89PNG")
    result = ingest(tmp_path / "s", tmp_path / "out")
    takes = _sources(result)
    assert takes["t02"] == {"camB": "camB/DSC_8032.png"}
    assert takes["t04"] == {"camA": "camA/DSC_20.png", "camB": "camB/DSC_8034.png"}


def test_masks_are_found_checked_and_kept_with_their_photographs(tmp_path, shoot):
    source = tmp_path / "s"
    for n in range(3):
        shoot(source / "images" / f"IMG_{n}.jpg", serial="4711")
    white = np.zeros((32, 48), np.uint8)
    white[8:24, 8:40] = 255
    (source / "masks").mkdir()
    Image.fromarray(white).save(source / "masks/IMG_0_mask.png")
    Image.fromarray(white > 0).save(source / "masks/IMG_1.png")
    Image.fromarray(white[:-1]).save(source / "masks/IMG_2_mask.png")
    result = ingest(source, tmp_path / "out")
    (take,) = result.session.takes
    for camera in ("p01", "p02"):
        mask = result.session.mask_path(take.shot(camera))
        np.testing.assert_array_equal(read_image(mask), white)
    assert take.shot("p03").mask is None
    assert "48x31" in result.refused[0].reason
    assert "its mask is not used" in take.problems[0]


def test_kinds_by_option_by_pattern_and_by_the_markers_of_the_board(tmp_path, shoot):
    spec = BoardSpec(squares_x=6, squares_y=5, square_mm=20, marker_mm=15, dictionary="DICT_4X4_50")
    source = tmp_path / "s"
    for i, camera in enumerate(CAMERAS):
        shoot(source / camera / "0.png", size=(320, 240))
        board = board_image(spec, px_per_mm=2, margin_mm=25 + i)
        write_image(source / camera / "1.png", board[:240, :320])
    session = ingest(source, tmp_path / "a", IngestConfig(board=spec)).session
    assert [take.kind for take in session.takes] == [TakeKind.SUBJECT, TakeKind.TARGET]
    assert load_session(tmp_path / "a").board == spec
    session = ingest(source, tmp_path / "b", IngestConfig(kind=TakeKind.TARGET)).session
    assert {take.kind for take in session.takes} == {TakeKind.TARGET}
    config = IngestConfig(kind=TakeKind.TARGET, kinds=("t01=empty",))
    session = ingest(source, tmp_path / "c", config).session
    assert [take.kind for take in session.takes] == [TakeKind.TARGET, TakeKind.EMPTY]
    with pytest.raises(InputError, match="PATTERN=KIND"):
        ingest(source, tmp_path / "d", IngestConfig(kinds=("t01=mask",)))


def test_a_single_file_becomes_a_session_or_is_refused(tmp_path, shoot):
    photo = shoot(tmp_path / "one.jpg", orientation=8)
    session = ingest(photo, tmp_path / "out").session
    assert session.takes[0].shots[0].orientation == 8
    assert not session.moved_camera
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(photo.read_bytes()[:-40])
    with pytest.raises(InputError, match=r"bad\.jpg: .*copy it again"):
        ingest(bad, tmp_path / "none")
