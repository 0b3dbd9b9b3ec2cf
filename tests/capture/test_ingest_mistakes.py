"""Slips of a person who ingests: misspelt options, sessions in the source, stray files."""

import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facekit.capture.ingest import IngestConfig, ingest
from facekit.capture.session import TakeKind
from facekit.core.errors import InputError


def _rig(source: Path, shoot, n_takes: int = 2) -> Path:
    for camera in range(3):
        for take in range(1, n_takes + 1):
            shoot(source / f"cam{camera}" / f"t{take}.png")
    return source


def test_a_kind_for_a_take_that_is_not_there_is_refused_before_anything_is_copied(tmp_path, shoot):
    source = _rig(tmp_path / "s", shoot)
    known = [take.id for take in ingest(source, tmp_path / "a").session.takes]
    with pytest.raises(InputError) as error:
        ingest(source, tmp_path / "out", IngestConfig(kinds=(f"{known[0]}=target", "zz=target")))
    assert str(error.value) == (
        f"--kinds zz=target: no take of that name; there are {', '.join(known)}"
    )
    assert not (tmp_path / "out").exists()
    told = ingest(source, tmp_path / "b", IngestConfig(kinds=(f"{known[0]}=target",))).session
    assert [take.kind for take in told.takes] == [TakeKind.TARGET, TakeKind.SUBJECT]


def test_an_expected_camera_that_is_not_there_is_named_and_no_file_is_blamed(tmp_path, shoot):
    source = _rig(tmp_path / "s", shoot)
    # a misplaced copy is refused too, but is not what is wrong here
    (source / "cam1/t1.png").write_bytes((source / "cam0/t1.png").read_bytes())
    with pytest.raises(InputError) as error:
        ingest(source, tmp_path / "out", IngestConfig(cameras=("zz",)))
    assert str(error.value) == "--camera zz: no camera of that name; there are cam0, cam1, cam2"
    for take in (1, 2):
        (source / f"cam2/t{take}.png").write_bytes(b"")
    with pytest.raises(InputError, match="--camera cam2: no usable photograph of that camera"):
        ingest(source, tmp_path / "out", IngestConfig(cameras=("cam2",)))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "bodies", [("S0", "S1", "S2"), ("A1", "B1", "C1"), ("CAM_A", "CAM_B", "L")]
)
def test_short_serials_tell_the_bodies_of_a_flat_folder(tmp_path, shoot, bodies):
    for i, serial in enumerate(bodies):
        for n, t in enumerate((5.0, 13.0, 27.0)):
            shoot(tmp_path / "s" / f"IMG_{3 * n + i:04d}.jpg", serial=serial, time=t + 0.01 * i)
    session = ingest(tmp_path / "s", tmp_path / "out").session
    assert not session.moved_camera
    assert sorted(str(camera.serial) for camera in session.cameras) == sorted(bodies)
    assert [len(take.shots) for take in session.takes] == [3, 3, 3]


def test_serials_that_are_all_placeholders_are_called_not_usable(tmp_path, shoot):
    for n in range(3):
        shoot(tmp_path / "s" / f"IMG_{n}.jpg", serial="0000000")
    session = ingest(tmp_path / "s", tmp_path / "out").session
    assert session.moved_camera
    assert any("no usable serials" in note for note in session.notes)


def test_a_refused_mask_is_named_by_a_path_that_leads_to_it(tmp_path, shoot, monkeypatch):
    source = tmp_path / "s"
    for name in ("left", "right"):
        shoot(source / f"{name}.png")
    monkeypatch.chdir(tmp_path)
    for folder in (Path("given"), source / "masks"):  # 48x32 is right
        folder.mkdir()
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(folder / "left.png")
        masks = folder if folder.name == "given" else None
        (refusal,) = ingest(
            source, tmp_path / f"{folder.name}_out", IngestConfig(masks=masks)
        ).refused
        assert (source / refusal.file).samefile(folder / "left.png")
    assert refusal.file == "masks/left.png"


def test_a_session_in_the_source_is_no_source(tmp_path, shoot):
    source = _rig(tmp_path / "s", shoot)
    first = ingest(source, source / "session").session
    again = ingest(source, tmp_path / "out")
    assert again.ok
    assert [camera.id for camera in again.session.cameras] == ["cam0", "cam1", "cam2"]
    sources = [[[shot.source for shot in t.shots] for t in s.takes] for s in (first, again.session)]
    assert sources[0] == sources[1]
    assert "left aside: session, which is a facekit session itself" in again.session.notes


@pytest.mark.parametrize("stray", ["zero.jpg", "a/zero.jpg", "a/t1/zero.jpg"])
@pytest.mark.parametrize("names", [("cam0", "cam1", "cam2"), ("left", "mid", "right")])
def test_an_empty_file_does_not_change_how_the_others_are_read(tmp_path, shoot, stray, names):
    for name in names:
        shoot(tmp_path / "s/a/t1" / f"{name}.png")
    (tmp_path / "s" / stray).write_bytes(b"")
    result = ingest(tmp_path / "s", tmp_path / "out")
    assert not result.session.moved_camera
    assert [camera.id for camera in result.session.cameras] == list(names)
    assert [len(take.shots) for take in result.session.takes] == [3]
    assert [refusal.file for refusal in result.refused] == [stray]


def test_the_log_counts_in_the_singular_too(tmp_path, shoot, caplog):
    with caplog.at_level(logging.INFO, logger="facekit"):
        ingest(shoot(tmp_path / "one.png"), tmp_path / "a")
        ingest(_rig(tmp_path / "s", shoot), tmp_path / "b")
    assert "1 camera, 1 take, 1 photograph (1 copied" in caplog.text
    assert "3 cameras, 2 takes, 6 photographs (6 copied" in caplog.text
