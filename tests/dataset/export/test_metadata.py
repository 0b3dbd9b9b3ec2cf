"""Nothing that a camera or a program wrote beside the pixels goes out, in any format."""

import dataclasses
import io
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pytest
from PIL import Image as PillowImage
from PIL.PngImagePlugin import PngInfo

from facekit.capture.session import Session, load_session, save_session
from facekit.core.files import sha256_file
from facekit.dataset.export.files import FileFormat, FilesConfig, export_facescape, export_files
from facekit.dataset.export.hdf5 import ExportConfig, export_hdf5

Make = Callable[..., Any]
CANARIES = {
    "owner": b"Canary Owner", "serial": b"CANARY-0123456", "gps": b"CANARY-GPS",
    "xmp": b"canary:xmp",
    "iptc": b"CANARY-IPTC", "maker note": b"CANARY-MAKERNOTE", "comment": b"CANARY-COMMENT",
    "text": b"CANARY-TEXT",
}  # fmt: skip
PNG_CHUNKS = {b"IHDR", b"IDAT", b"IEND"}
JPEG_SEGMENTS = {0xE0, 0xDB, 0xC0, 0xC4, 0xDA, 0xDD}  # JFIF, tables, frame, scan, restarts


def exif(thumbnail: bytes) -> bytes:
    """Return an EXIF block with owner, serial number, place, maker note and a small picture."""
    block = PillowImage.Exif()
    block[0x013B] = CANARIES["owner"].decode()
    details = block.get_ifd(0x8769)
    details[0xA431] = CANARIES["serial"].decode()
    details[0x927C] = CANARIES["maker note"] * 4
    place = block.get_ifd(0x8825)
    place[27] = CANARIES["gps"]
    place[2] = (48.0, 46.0, 36.0)
    return block.tobytes() + thumbnail


def with_segments(content: bytes, thumbnail: bytes) -> bytes:
    """Return a JPEG with every kind of block that tells more than pixels."""
    segments = [
        (0xE1, exif(thumbnail)),
        (0xE1, b"http://ns.adobe.com/xap/1.0/\0<x>" + CANARIES["xmp"] + b"</x>"),
        (0xED, b"Photoshop 3.0\x008BIM\x04\x04\0\0" + CANARIES["iptc"]),
        (0xFE, CANARIES["comment"]),
    ]
    blocks = b"".join(
        bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body for marker, body in segments
    )
    return content[:2] + blocks + content[2:]


def told_session(session: Session) -> bytes:
    """Give the photographs metadata, as JPEG, PNG and TIFF; return the small picture in them."""
    pixels = PillowImage.radial_gradient("L").resize((32, 24))
    buffer = io.BytesIO()
    pixels.save(buffer, "JPEG", quality=95)
    thumbnail = buffer.getvalue()
    takes = []
    for take in session.takes:
        shots = []
        for shot, suffix in zip(take.shots, (".jpg", ".png", ".tif"), strict=True):
            old = session.folder / shot.file
            path = old.with_suffix(suffix)
            if suffix == ".jpg":
                path.write_bytes(with_segments(old.read_bytes(), thumbnail))
            else:
                image = PillowImage.open(old).convert("RGB")
                old.unlink()
                info = PngInfo()
                info.add_text("Author", CANARIES["text"].decode())
                more = {"pnginfo": info} if suffix == ".png" else {
                    "tiffinfo": {270: CANARIES["text"].decode(), 700: CANARIES["xmp"]}
                }  # fmt: skip
                image.save(path, **more, **({"exif": exif(b"")} if suffix == ".png" else {}))
            shots.append(
                dataclasses.replace(
                    shot, file=str(path.relative_to(session.folder)), sha256=sha256_file(path),
                    bytes=path.stat().st_size,
                )
            )  # fmt: skip
        takes.append(dataclasses.replace(take, shots=tuple(shots)))
    save_session(dataclasses.replace(session, takes=tuple(takes)))
    return thumbnail


def segments_of(content: bytes) -> set[int]:
    """Return the markers of a JPEG up to its scan."""
    found, at = set(), 2
    while content[at + 1] != 0xDA:
        found.add(content[at + 1])
        at += 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    return found | {0xDA}


def chunks_of(content: bytes) -> set[bytes]:
    """Return the chunks of a PNG."""
    found, at = set(), 8
    while b"IEND" not in found:  # a GLB pads what follows
        found.add(content[at + 4 : at + 8])
        at += 12 + int.from_bytes(content[at : at + 4], "big")
    return found


def check_picture(content: bytes) -> None:
    """Assert that an image file holds pixels alone."""
    if content[:2] == b"\xff\xd8":
        assert segments_of(content) <= JPEG_SEGMENTS
    elif content[:4] == b"\x89PNG":
        assert chunks_of(content) <= PNG_CHUNKS


def test_metadata_of_photographs_go_out_in_no_format(make_subject: Make, tmp_path: Path) -> None:
    pytest.importorskip("OpenEXR")
    subject = make_subject("one")
    thumbnail = told_session(subject.session)
    photographs = list((subject.session.folder / "images").rglob("*.*"))
    kept = b"".join(path.read_bytes() for path in photographs)
    for name, canary in CANARIES.items():
        assert canary in kept, name  # the originals have them
    assert thumbnail in kept
    load_session(subject.session.folder)
    out = tmp_path / "out"
    export_hdf5([subject.build], out / "data", ExportConfig())
    export_files([subject.build], out / "files", list(FileFormat), FilesConfig())
    files = [path for path in out.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} >= {".h5", ".png", ".glb", ".exr", ".obj", ".ply"}
    probes = [*CANARIES.values(), thumbnail[-64:], str(tmp_path).encode()]
    for path in files:
        content = path.read_bytes()
        assert not [probe for probe in probes if probe in content], path
        check_picture(content)
    (shard,) = (out / "data" / "subjects").iterdir()
    with h5py.File(shard) as file:
        pictures = [
            thing[()].tobytes()
            for thing in file["captures/smile/images"].values()
        ]  # fmt: skip
        told = [dict(thing.attrs) for thing in file["captures/smile/images"].values()]
    for content in pictures:
        check_picture(content)
        assert not [probe for probe in probes if probe in content]
    assert {key for attributes in told for key in attributes} == {
        "width", "height", "sha256_original", "colourspace", "scale"
    }  # fmt: skip


def test_a_glb_and_an_exr_tell_of_nobody(make_subject: Make, tmp_path: Path) -> None:
    exr = pytest.importorskip("OpenEXR")
    subject = make_subject("one", takes=("smile",))
    told_session(subject.session)
    export_files([subject.build], tmp_path / "out", [FileFormat.GLB, FileFormat.EXR], FilesConfig())
    (glb,) = (tmp_path / "out").rglob("*.glb")
    content = glb.read_bytes()
    size = int.from_bytes(content[12:16], "little")
    values = json.loads(content[20 : 20 + size])
    assert set(values["asset"]) <= {"version", "generator"}
    for image in values["images"]:
        view = values["bufferViews"][image["bufferView"]]
        start = 28 + size + view.get("byteOffset", 0)
        check_picture(content[start : start + view["byteLength"]])
    for path in (tmp_path / "out").rglob("*.exr"):
        header = exr.File(str(path), header_only=True).header()
        told = {name for name in header if not name.startswith("facekit_")}
        assert told <= {
            "channels", "chromaticities", "compression", "dataWindow", "displayWindow",
            "lineOrder", "pixelAspectRatio", "screenWindowCenter", "screenWindowWidth", "type",
        }, path  # fmt: skip


def test_a_folder_of_facescape_s_kind_holds_pixels_alone(
    make_subject: Make, tmp_path: Path
) -> None:
    """Its JPEG is made of the albedo; without a scan nothing is written."""
    subject = make_subject("one", takes=("smile",))
    told_session(subject.session)
    with pytest.raises(Exception, match="nothing could be exported"):
        export_facescape([subject.build], tmp_path / "out")
    assert not [path for path in tmp_path.glob("out/**/*.jpg") if path.is_file()]


def test_the_check_sees_what_it_looks_for() -> None:
    image = PillowImage.new("RGB", (8, 8))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG")
    with pytest.raises(AssertionError):
        check_picture(with_segments(buffer.getvalue(), b""))
    info = PngInfo()
    info.add_text("Author", "somebody")
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=info)
    with pytest.raises(AssertionError):
        check_picture(buffer.getvalue())
