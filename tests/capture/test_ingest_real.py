"""Ingestion of real captures and of real damaged files."""

from pathlib import Path

import numpy as np
import pytest

from facekit.capture.boards import parse_board
from facekit.capture.ingest import IngestConfig, ingest
from facekit.capture.inspection import inspect_files
from facekit.capture.session import TakeKind, load_session
from facekit.core.errors import InputError
from facekit.core.imaging.imageio import read_image

NO_IMAGES = ("LICENSE", "README.md", "README.markdown")


def _files(folder: Path) -> list[Path]:
    return [p for p in sorted(folder.rglob("*")) if p.is_file() and p.name not in NO_IMAGES]


def test_every_damaged_file_is_read_in_whole_or_refused_with_a_sentence(shared_data):
    found = inspect_files(_files(shared_data / "bad_inputs"))
    good = {one.path.name: one for one in found if one.header is not None}
    assert len(found) > 80
    for one in found:
        if one.header is None:
            assert 10 < len(one.reason) < 250
            assert "Error" not in one.reason
            assert "\n" not in one.reason
        else:
            pixels = read_image(one.path)
            assert pixels.shape[:2] == (one.header.height, one.header.width)
            assert pixels.dtype.itemsize * 8 == one.header.bit_depth
    assert good["hopper_orientation_6.jpg"].header.orientation == 6
    assert good["16bit.MM.cropped.tif"].header.bit_depth == 16
    assert "infinite_loop_exif.jpg" in good
    # complete to Pillow and to OpenCV, but not to the decoder beneath them
    assert "turbo-dht.jpg" not in good
    assert not any(name.startswith("id:000222") for name in good)


@pytest.mark.parametrize(
    "name",
    [
        "pillow/truncated_image.png",
        "libjpeg_turbo/mozilla_1050342/jpeg-image-001.jpg",
        "text_mangled/utf8_mangled.jpg",
        "pillow/bmp/b/badrle.bmp",
        "libjpeg_turbo/github_701/poc",
    ],
)
def test_a_damaged_file_alone_is_one_sentence_and_no_session(shared_data, tmp_path, name):
    with pytest.raises(InputError, match=Path(name).name):
        ingest(shared_data / "bad_inputs" / name, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_of_mostly_damaged_files_names_each(shared_data, tmp_path):
    result = ingest(shared_data / "bad_inputs" / "libjpeg_turbo" / "8bit", tmp_path / "good")
    assert result.ok
    result = ingest(shared_data / "bad_inputs", tmp_path / "all")
    taken = {shot.source for take in result.session.takes for shot in take.shots}
    named = {refusal.file for refusal in result.refused} | set(result.ignored)
    files = {p.relative_to(shared_data / "bad_inputs").as_posix()
             for p in (shared_data / "bad_inputs").rglob("*") if p.is_file()}  # fmt: skip
    assert not taken & named
    assert taken | named | {name for name, _ in result.duplicates} == files
    assert not result.ok


def test_raw_files_develop_or_are_refused(shared_data):
    pytest.importorskip("rawpy")
    found = {one.path.name: one for one in inspect_files(_files(shared_data / "raw_and_exif"))}
    for name in ("canon_eos_6d.dng", "CRW.CRW"):
        assert found[name].header.bit_depth == 16
        pixels = read_image(found[name].path)
        assert pixels.dtype == np.uint16
        assert pixels.std() > 1000
    for name in ("CanonRaw.cr3", "Nikon.nef", "Canon-R6-pruned.CR3"):
        assert "copy it again" in found[name].reason
    dng = found["canon_eos_6d.dng"].exif
    assert (dng.serial, dng.lens_serial) == ("033024001432", "00001066ba")
    assert found["Canon1DmkIII.jpg"].exif.serial == "500292"
    assert found["exiv2-bug1114.jpg"].exif.serial == "6435634"


@pytest.mark.parametrize("share", [0.3, 0.7, 0.97])
def test_a_truncated_raw_file_is_refused(shared_data, tmp_path, share):
    pytest.importorskip("rawpy")
    whole = (shared_data / "raw_and_exif/photoprism/canon_eos_6d.dng").read_bytes()
    part = tmp_path / "part.dng"
    part.write_bytes(whole[: round(share * len(whole))])
    with pytest.raises(InputError, match=r"part\.dng: .*copy it again"):
        ingest(part, tmp_path / "out")


def test_all_orientations_are_recorded_and_none_is_applied(shared_data):
    paths = [p for p in _files(shared_data / "raw_and_exif/exif_orientation") if p.suffix == ".jpg"]
    for one in inspect_files(paths):
        shape, tag = one.path.stem.split("_")
        assert one.header.orientation == max(1, int(tag))
        upright = (1800, 1200) if shape == "Landscape" else (1200, 1800)
        stored = upright if int(tag) < 5 else upright[::-1]
        assert (one.header.width, one.header.height) == stored


def test_a_walk_round_a_marble_head_needs_no_options(shared_data, tmp_path):
    result = ingest(shared_data / "bm_livia", tmp_path / "out")
    session = load_session(tmp_path / "out")
    assert result.ok
    assert session.moved_camera
    (take,) = session.takes
    order = (shared_data / "bm_livia/arc9.txt").read_text().split()
    assert [shot.source.split("/")[-1] for shot in take.shots] == order
    assert {shot.orientation for shot in take.shots} == {6}
    assert all(shot.mask for shot in take.shots)
    assert session.cameras[0].serial == "293075041578"
    # EF-S 18-55 at 18 mm on a 22.3 mm wide sensor: 29 mm equivalent
    assert session.cameras[0].focal_35mm == pytest.approx(29, abs=0.6)
    # zoomed between the two visits
    assert [p.split(":")[0] for p in take.problems] == ["camera p06", "camera p07"]


def test_a_real_rig_of_four_cameras_and_its_board(shared_data, tmp_path):
    source = shared_data / "sleap_anipose_4cam"
    board = parse_board(str(source / "board.toml"))
    session = ingest(source, tmp_path / "out", IngestConfig(board=board)).session
    assert [camera.id for camera in session.cameras] == ["back", "mid", "side", "top"]
    assert len(session.takes_of(TakeKind.TARGET)) == 21
    for n, take in enumerate(session.takes):
        assert take.id == f"t{n:02d}"
        assert take.complete
        assert {shot.source.rsplit("-", 1)[-1] for shot in take.shots} == {f"{n}.jpg"}
