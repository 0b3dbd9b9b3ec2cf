"""Memory cards as they are: DCIM folders, counters that go on, RAW beside JPEG."""

import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facekit.capture.cr3 import CANON_UUID
from facekit.capture.exif import read_exif
from facekit.capture.ingest import IngestConfig, ingest
from facekit.capture.photo import without_card_folders
from facekit.capture.scan import Pairs
from facekit.capture.session import load_session
from facekit.core.errors import InputError
from facekit.core.imaging.imageio import read_image

CARDS = ("cardA", "cardB", "cardC")
SERIALS = dict(zip(CARDS, ("1001", "1002", "1003"), strict=True))


def write_dng(path: Path, *, seed: int = 0, black: bool = False, serial: str = "1001") -> None:
    """Write a camera RAW file: 16-bit mosaic of 96 x 64, with the tags that LibRaw wants."""
    width, height = 96, 64
    rng = np.random.default_rng(seed)
    tiles = rng.integers(2000, 60000, (height // 8, width // 8))
    mosaic = np.kron(tiles, np.ones((8, 8))).astype("<u2")
    data = (mosaic * 0 if black else mosaic).tobytes()
    matrix = [10000, 0, 0, 0, 10000, 0, 0, 0, 10000]
    # fmt: off
    tags = {
        254: (4, [0]), 256: (4, [width]), 257: (4, [height]), 258: (3, [16]), 259: (3, [1]),
        262: (3, [32803]), 271: (2, b"facekit\0"), 272: (2, b"virtual\0"), 273: (4, [0]),
        274: (3, [1]), 277: (3, [1]), 278: (4, [height]), 279: (4, [len(data)]),
        33421: (3, [2, 2]), 33422: (1, bytes([0, 1, 1, 2])), 50706: (1, bytes([1, 4, 0, 0])),
        50708: (2, b"facekit virtual\0"), 50714: (3, [0]), 50717: (3, [65535]),
        50721: (10, matrix), 50728: (5, [1, 1, 1]), 50735: (2, serial.encode() + b"\0"),
        50778: (3, [21]),
    }
    # fmt: on
    formats = {3: "H", 4: "I", 5: "I", 10: "i"}
    entries, extra = b"", b""
    extra_at = 8 + 2 + 12 * len(tags) + 4
    data_at = extra_at + 400
    for tag, (kind, values) in sorted(tags.items()):
        if isinstance(values, bytes):
            packed, n = values, len(values)
        else:
            values = [data_at] if tag == 273 else values
            flat = [
                x
                for v in values
                for x in ((v, 10000 if kind == 10 else 1) if kind in (5, 10) else (v,))
            ]
            packed, n = struct.pack(f"<{len(flat)}{formats[kind]}", *flat), len(values)
        if len(packed) <= 4:
            field = packed.ljust(4, b"\0")
        else:
            field = struct.pack("<I", extra_at + len(extra))
            extra += packed + b"\0" * (len(packed) % 2)
        entries += struct.pack("<HHI", tag, kind, n) + field
    head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((head + extra).ljust(data_at, b"\0") + data)


def test_folders_of_memory_cards_tell_nothing_but_the_order():
    assert without_card_folders(("cardA", "DCIM", "101CANON")) == (("cardA",), 101)
    assert without_card_folders(("dcim", "100_0304")) == ((), 100)
    assert without_card_folders(("cam1", "100MSDCF")) == (("cam1",), 100)
    # side by side at the top they may be one a camera; and these are no such folders
    assert without_card_folders(("100CANON",)) == (("100CANON",), 0)
    assert without_card_folders(("faces", "2026-03-04")) == (("faces", "2026-03-04"), 0)


@pytest.mark.parametrize("with_serials", [True, False])
def test_cards_side_by_side_are_cameras_and_counters_go_on_in_the_next_folder(
    tmp_path, shoot, with_serials
):
    rng = np.random.default_rng(5)
    instants = np.cumsum(rng.uniform(4, 9, 6))
    for c, card in enumerate(CARDS):
        first = (9996, 3, 9999)[c]  # 9999 is followed by 0001 in another folder
        for n, t in enumerate(instants):
            count = (first + n - 1) % 9999 + 1
            folder = 100 + (first + n > 9999)
            path = tmp_path / "s" / card / "DCIM" / f"{folder}CANON" / f"IMG_{count:04d}.JPG"
            shoot(path, serial=SERIALS[card] if with_serials else None, time=1000 * c + t)
    result = ingest(tmp_path / "s", tmp_path / "out")
    session = result.session
    assert result.ok
    assert [camera.id for camera in session.cameras] == list(CARDS)
    assert [len(take.shots) for take in session.takes] == [3] * 6
    for n, take in enumerate(session.takes):
        for c, card in enumerate(CARDS):
            count = ((9996, 3, 9999)[c] + n - 1) % 9999 + 1
            assert take.shot(card).source.endswith(f"IMG_{count:04d}.JPG")
            assert take.shot(card).source.startswith(f"{card}/DCIM/")


def test_two_cards_of_one_body_are_one_camera(tmp_path, shoot):
    rng = np.random.default_rng(8)
    instants = np.cumsum(rng.uniform(4, 9, 6))
    for n, t in enumerate(instants):
        for serial, offset in (("1001", 0.0), ("1002", 800.0)):
            card = {"1001": ("cardA", "cardA2")[n >= 3], "1002": "cardB"}[serial]
            stem = f"IMG_{n + 1 + int(offset):04d}"
            path = tmp_path / "s" / card / "DCIM" / "100CANON" / f"{stem}.JPG"
            shoot(path, serial=serial, time=t + offset)
    session = ingest(tmp_path / "s", tmp_path / "out").session
    assert [camera.id for camera in session.cameras] == ["cardA", "cardB"]
    assert [len(take.shots) for take in session.takes] == [2] * 6
    assert session.takes[4].shot("cardA").source == "cardA2/DCIM/100CANON/IMG_0005.JPG"


@pytest.fixture
def pairs(tmp_path, shoot):
    """Give cards of which each exposure is there as JPEG and as RAW."""
    pytest.importorskip("rawpy")
    for c, card in enumerate(CARDS):
        for n in range(2):
            stem = tmp_path / "s" / card / "DCIM" / "100CANON" / f"IMG_{n + 1:04d}"
            shoot(stem.with_suffix(".JPG"), serial=SERIALS[card], size=(96, 64))
            write_dng(stem.with_suffix(".DNG"), seed=10 * c + n, serial=SERIALS[card])
    return tmp_path / "s"


def test_of_raw_and_jpeg_one_is_used_and_the_other_kept(pairs, tmp_path):
    result = ingest(pairs, tmp_path / "out")
    assert result.ok
    session = load_session(tmp_path / "out")
    for take in session.takes:
        assert len(take.shots) == 3
        for shot in take.shots:
            assert shot.file.endswith(".jpg")
            source = (pairs / shot.source).with_suffix(".DNG")
            assert shot.companion == f"companions/{take.id}/{shot.camera}.dng"
            assert (session.folder / shot.companion).read_bytes() == source.read_bytes()
    assert "6 exposures are there as RAW and JPEG: JPEG is used" in " ".join(session.notes)
    assert ingest(pairs, tmp_path / "out").copied == 0


def test_raw_is_used_when_asked_for_or_when_a_jpeg_is_missing(pairs, tmp_path):
    session = ingest(pairs, tmp_path / "raw", IngestConfig(pairs=Pairs.RAW)).session
    shots = [shot for take in session.takes for shot in take.shots]
    assert {Path(shot.file).suffix for shot in shots} == {".dng"}
    assert {Path(shot.companion).suffix for shot in shots} == {".jpg"}
    assert {(shot.serial, shot.bit_depth) for shot in shots} == {(s, 16) for s in SERIALS.values()}

    missing = pairs / "cardB" / "DCIM" / "100CANON" / "IMG_0002.JPG"
    missing.unlink()
    session = ingest(pairs, tmp_path / "auto").session
    assert {Path(s.file).suffix for take in session.takes for s in take.shots} == {".dng"}
    result = ingest(pairs, tmp_path / "jpeg", IngestConfig(pairs=Pairs.JPEG))
    (refusal,) = result.refused
    assert refusal.file == "cardB/DCIM/100CANON/IMG_0002.DNG"
    assert "never mixed; copy its JPEG too" in refusal.reason
    assert {Path(s.file).suffix for take in result.session.takes for s in take.shots} == {".jpg"}


def test_a_raw_file_among_the_jpegs_of_a_camera_is_not_used(pairs, tmp_path):
    for path in sorted(pairs.rglob("*.DNG")):
        if path.parts[-4] != "cardB" or path.stem != "IMG_0002":
            path.unlink()
    (pairs / "cardB" / "DCIM" / "100CANON" / "IMG_0002.JPG").unlink()
    for c, card in enumerate(CARDS):
        twin = pairs / card / "DCIM" / "100CANON" / "IMG_0001.JPG"
        image = Image.open(twin)
        image.transpose(c % 2).save(twin.with_stem("IMG_0003"), exif=image.getexif())
    result = ingest(pairs, tmp_path / "out")
    assert [refusal.file for refusal in result.refused] == ["cardB/DCIM/100CANON/IMG_0002.DNG"]
    assert "is a RAW file, camera cardB otherwise developed" in result.refused[0].reason


def test_a_raw_file_that_develops_to_black_is_refused(tmp_path):
    pytest.importorskip("rawpy")
    write_dng(tmp_path / "good.dng")
    assert read_image(tmp_path / "good.dng").std() > 1000
    assert read_exif(tmp_path / "good.dng").serial == "1001"
    write_dng(tmp_path / "dark.dng", black=True)
    with pytest.raises(InputError, match=r"dark\.dng: develops to black; its data are missing"):
        read_image(tmp_path / "dark.dng")


def test_checksums_of_the_originals_are_those_of_sha256sum(pairs, tmp_path):
    ingest(pairs, tmp_path / "out")
    lines = (tmp_path / "out" / "SHA256SUMS").read_text().splitlines()
    assert len(lines) == 12
    check = ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"]
    assert subprocess.run(check, cwd=tmp_path / "out", check=False).returncode == 0
    spoilt = min((tmp_path / "out" / "images").rglob("cardA.jpg"))
    content = bytearray(spoilt.read_bytes())
    content[-100] ^= 1
    spoilt.write_bytes(content)
    run = subprocess.run(check, cwd=tmp_path / "out", check=False, capture_output=True)
    assert run.returncode == 1


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + kind + content


def _tiff(tags: dict[int, object]) -> bytes:
    exif = Image.Exif()
    exif.update(tags)
    return exif.tobytes().removeprefix(b"Exif\0\0")


def test_exif_of_cr3_is_read_from_its_boxes(tmp_path):
    camera = _tiff({0x010F: "Canon", 0x0110: "Canon EOS R5", 0x0112: 8})
    exposure = _tiff(
        {0x9003: "2026:03:04 10:11:12", 0x9291: "25", 0xA431: "033021001234",
         0xA434: "RF85mm F1.2 L USM", 0xA435: "0230001122", 0x920A: 85.0}
    )  # fmt: skip
    canon = _box(b"CMT1", camera) + _box(b"CMT2", exposure) + _box(b"CMT4", _tiff({1: "N"}))
    moov = _box(b"moov", _box(b"uuid", CANON_UUID + canon) + _box(b"trak", b"\0" * 40))
    content = _box(b"ftyp", b"crx \0\0\0\1") + moov + _box(b"mdat", b"\0" * 100)
    path = tmp_path / "a.cr3"
    path.write_bytes(content)
    exif = read_exif(path)
    assert (exif.make, exif.model) == ("Canon", "Canon EOS R5")
    assert (exif.serial, exif.time) == ("033021001234", "2026-03-04T10:11:12.25")
    assert (exif.lens, exif.lens_serial) == ("RF85mm F1.2 L USM", "0230001122")
    assert exif.focal_mm == 85.0
    for n in range(0, len(content), 7):  # cut or damaged anywhere: less is known, nothing raises
        path.write_bytes(content[:n])
        read_exif(path)
        path.write_bytes(content[:n] + b"\xff\xff\xff\xff" + content[n + 4 :])
        read_exif(path)


def test_exif_of_real_cr3_files(shared_data):
    folder = shared_data / "raw_and_exif"
    exif = read_exif(folder / "exiv2" / "Canon-R6-pruned.CR3")
    assert (exif.serial, exif.lens_serial) == ("093022004357", "0230001122")
    assert exif.time == "2021-05-12T12:21:21.92"
    assert read_exif(folder / "exiftool" / "CanonRaw.cr3").serial == "613040000565"
