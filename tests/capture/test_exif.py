"""EXIF: what is believed, what is not."""

from pathlib import Path

import pytest
from PIL import Image

from facekit.capture.exif import Exif, read_exif, real_serial, same_serial


@pytest.mark.parametrize(
    "serial",
    ["600005", "033024001432", "V07", "77-camA-9", "XT4 7302381"]
    + ["S0", "A1", "CAM_A", "1", "B", "11", "left", "SN: 4711 (b)"],
)
def test_serials_of_bodies_are_kept(serial):
    assert real_serial(f" {serial} ") == serial


@pytest.mark.parametrize(
    "serial",
    [None, "", "  ", "0", "0000000000", "UTO", "00STANDA", "N/A", "12345678", "\0\0", "9" * 50]
    + ["none", "Unknown", "n/a", "0123456789", "XXXX", "99999999", "00-00", "----", "a\ufffdb"],
)
def test_placeholders_are_no_serials(serial):
    assert real_serial(serial) is None


def test_leading_zeros_do_not_tell_bodies_apart():
    assert same_serial("0560018150", "560018150")
    assert not same_serial("560018150", "560018151")
    assert not same_serial(None, None)


def test_times_keep_their_fractions_and_nonsense_is_dropped(tmp_path: Path, shoot):
    exif = read_exif(shoot(tmp_path / "a.jpg", time=3723.25, serial="0012345", focal=85.0))
    assert exif.time == "2026-03-04T01:02:03.25"
    assert (exif.serial, exif.focal_mm, exif.lens) == ("0012345", 85.0, None)


@pytest.mark.parametrize("stamp", ["0000:00:00 00:00:00", "2026:13:01 00:00:00", "yesterday", "\0"])
def test_no_time_is_none(tmp_path: Path, stamp):
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = stamp
    Image.new("RGB", (8, 8)).save(tmp_path / "a.jpg", exif=exif)
    assert read_exif(tmp_path / "a.jpg").time is None


def test_the_35_mm_equivalent_follows_from_the_pixel_pitch(tmp_path: Path):
    exif = Image.Exif()
    block = exif.get_ifd(0x8769)
    # 6000 px on 24 mm: 250 px a mm; half of full frame in both directions but 24 x 16
    block.update({0x920A: 50.0, 0xA002: 6000, 0xA003: 4000, 0xA20E: 2500.0, 0xA210: 3})
    Image.new("RGB", (60, 40)).save(tmp_path / "a.jpg", exif=exif)
    assert read_exif(tmp_path / "a.jpg").focal_35mm == pytest.approx(75.0)


def test_damaged_exif_is_no_error(tmp_path: Path, shoot):
    path = shoot(tmp_path / "a.jpg", serial="600005", lens="85 mm")
    content = bytearray(path.read_bytes())
    at = content.index(b"Exif")
    for step in range(6, 60, 3):
        content[at + step] ^= 0xFF
    path.write_bytes(content)
    assert isinstance(read_exif(path), Exif)
    path.write_bytes(b"")
    assert read_exif(path) == Exif()
