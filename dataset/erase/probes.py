"""Draw probes: 32 bytes each out of a subject's files, taken where no other file can have them.

They come from what was measured of the person: compressed pixels of photographs, and lengths and
colours in arrays, both as they lie on the disk and unpacked. They do not come from what files of
different people share: headers, tables, triangles, masks, photographs of a calibration board.
"""

import json
import mmap
import random
import re
import struct
import zipfile
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ...capture.session import SESSION_FILE, TakeKind, load_session
from ...core.errors import InputError
from ..audit import audited
from .contents import Content, Opened, contents
from .search import PROBE_BYTES, walk

PER_PIECE = 4
MOST = 16_384
"""Probes of a run; drawn evenly from all."""
_LEAST_PIECE = 256
_PACKED_HEADER = 256  # bytes at the start of a packed array that tell its shape and type
_LEAST_VALUES = 64
_LOOKED_AT = 1 << 20
_LEAST_DIFFERENT = 16
"""Values of bytes in a probe: what is flat, or repeats, is no proof."""
_LEAST_DIFFERENT_TEXT = 9  # digits, signs, points
_SHARED = re.compile(
    r"(^|[/._-])(masks?|valid|faces|uv|triangles|topology|support)([/._-]|$)", re.I
)
_PLY_SIZES = {"char": 1, "uchar": 1, "int8": 1, "uint8": 1, "short": 2, "ushort": 2, "int16": 2,
              "uint16": 2, "int": 4, "uint": 4, "int32": 4, "uint32": 4, "float": 4,
              "float32": 4, "double": 8, "float64": 8}  # fmt: skip


_DAMAGED = (
    OSError, InputError, ValueError, LookupError, TypeError, AttributeError, RecursionError,
    struct.error, zipfile.BadZipFile,
)  # fmt: skip


def draw_probes(units: Iterable[Path], rng: random.Random) -> set[bytes]:
    """Draw probes from all files of a subject.

    Parameters
    ----------
    units : iterable of Path
        Files and folders that are going to be deleted.
    rng : Random
        Where in a file: `secrets.SystemRandom` outside of tests.
    """
    probes: set[bytes] = set()
    for path in _files(units):
        try:
            probes |= probes_of(path, rng)
        except _DAMAGED:
            continue  # damaged: it is deleted all the same
    return probes if len(probes) <= MOST else set(rng.sample(sorted(probes), MOST))


def draw_from_rows(rows: Iterable[bytes], rng: random.Random) -> set[bytes]:
    """Draw probes from parts of files that stay, such as rows of an array."""
    return {probe for row in rows for probe in _drawn(row, rng, _LEAST_DIFFERENT)}


def probes_of(path: Path, rng: random.Random) -> set[bytes]:
    """Draw probes from one file; none where nothing in it is the subject's alone."""
    pieces_of = _PIECES.get(path.suffix.lower())
    if pieces_of is None or path.stat().st_size == 0:
        return set()
    least = _LEAST_DIFFERENT_TEXT if path.suffix.lower() == ".obj" else _LEAST_DIFFERENT
    probes: set[bytes] = set()
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as raw:
        for piece in pieces_of(path, raw):
            probes |= _drawn(piece, rng, least)
    return probes


def _drawn(piece: bytes, rng: random.Random, least: int) -> set[bytes]:
    found: set[bytes] = set()
    if len(piece) < max(_LEAST_PIECE, PROBE_BYTES):
        return found
    for _ in range(4 * PER_PIECE):
        start = rng.randrange(len(piece) - PROBE_BYTES + 1)
        probe = bytes(piece[start : start + PROBE_BYTES])
        if len(set(probe)) >= least:
            found.add(probe)
        if len(found) == PER_PIECE:
            break
    return found


def _files(units: Iterable[Path]) -> Iterator[Path]:
    """Yield the regular files of a subject, less those that others may have the same of."""
    for unit in units:
        every = [unit, *walk(unit)] if unit.is_dir() and not unit.is_symlink() else [unit]
        shared = _shared_files(every)
        for path in every:
            if path.is_file() and not path.is_symlink() and path not in shared:
                yield path


def _shared_files(paths: Sequence[Path]) -> Collection[Path]:
    """Return masks, and the photographs of boards, charts and the empty studio in sessions."""
    shared: set[Path] = {path for path in paths if _SHARED.search(path.name)}
    for path in paths:
        if path.name != SESSION_FILE:
            continue
        try:
            session = load_session(path.parent)
        except InputError:
            continue
        for take in session.takes:
            for shot in take.shots:
                names = [shot.mask]
                if take.kind is not TakeKind.SUBJECT:
                    names += [shot.file, shot.companion]
                shared |= {path.parent / name for name in names if name}
    return shared


def _jpeg(path: Path, raw: Content) -> Iterator[bytes]:
    """Yield what follows the last header of a scan: compressed pixels."""
    at = bytes(raw).rfind(b"\xff\xda")
    if at >= 0:
        yield bytes(raw[at + 16 : len(raw) - 2])


def _png(path: Path, raw: Content) -> Iterator[bytes]:
    """Yield the compressed chunks, and the rows."""
    at = bytes(raw[:4096]).find(b"IDAT")
    if at >= 0:
        size = int.from_bytes(raw[at - 4 : at], "big")
        yield bytes(raw[at + 4 : at + 4 + size])
    yield from _unpacked(path)


def _unpacked(path: Path) -> Iterator[bytes]:
    streams = contents(path, Opened())
    next(streams, None)  # as it lies on the disk
    yield from (bytes(content) for content in streams)


def _middle(path: Path, raw: Content) -> Iterator[bytes]:
    """Yield the second half of a file whose header is in the first."""
    yield bytes(raw[len(raw) // 2 :])


def _npz(path: Path, raw: Content) -> Iterator[bytes]:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if _SHARED.search(member.filename):
                continue
            with archive.open(member) as stream:
                array = np.lib.format.read_array(stream, allow_pickle=False)
            if not _is_measured(array):
                continue
            yield array.tobytes()
            name, extra = struct.unpack_from("<HH", bytes(raw[member.header_offset :][:30]), 26)
            start = member.header_offset + 30 + name + extra
            yield bytes(raw[start + _PACKED_HEADER : start + member.compress_size])


def _npy(path: Path, raw: Content) -> Iterator[bytes]:
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    if _is_measured(array):
        yield bytes(raw[len(raw) - array.nbytes :])


def _is_measured(array: np.ndarray[Any, np.dtype[Any]]) -> bool:
    """Whether an array is of many different values: constants are the same of everyone."""
    if array.dtype.kind != "f" and array.dtype not in (np.uint8, np.uint16):
        return False
    return len(np.unique(array.ravel()[:_LOOKED_AT])) >= _LEAST_VALUES


def _ply(path: Path, raw: Content) -> Iterator[bytes]:
    """Yield the vertices of a binary PLY; they stand before the triangles."""
    head = bytes(raw[:8192])
    end = head.find(b"end_header\n")
    found = re.search(rb"element vertex (\d+)\n((?:property .*\n)*)", head)
    if b"binary_little_endian" not in head or end < 0 or found is None:
        return
    sizes = [_PLY_SIZES[line.split()[1].decode()] for line in found[2].splitlines()]
    start = end + len(b"end_header\n")
    yield bytes(raw[start : start + int(found[1]) * sum(sizes)])


def _obj(path: Path, raw: Content) -> Iterator[bytes]:
    """Yield the lines of vertices; triangles and texture coordinates are the face model's."""
    text = bytes(raw)
    start = text.find(b"\nv ")
    ends = [at for at in (text.find(b"\nvt "), text.find(b"\nvn "), text.find(b"\nf ")) if at > 0]
    if start >= 0:
        yield text[start + 1 : min([at for at in ends if at > start], default=len(text))]


def _glb(path: Path, raw: Content) -> Iterator[bytes]:
    """Yield positions and pictures."""
    size = int.from_bytes(raw[12:16], "little")
    values = json.loads(bytes(raw[20 : 20 + size]))
    wanted = [image["bufferView"] for image in values.get("images", ()) if "bufferView" in image]
    for mesh in values.get("meshes", ()):
        for primitive in mesh["primitives"]:
            accessor = values["accessors"][primitive["attributes"]["POSITION"]]
            wanted.append(accessor["bufferView"])
    for index in wanted:
        view = values["bufferViews"][index]
        start = 28 + size + view.get("byteOffset", 0)
        piece = bytes(raw[start : start + view["byteLength"]])
        yield from _jpeg(path, piece) if piece[:2] == b"\xff\xd8" else [piece[64:]]


def _hdf5(path: Path, raw: Content) -> Iterator[bytes]:
    """Yield pictures and measured arrays: the values, and the chunks as they are stored."""
    wanted: list[h5py.Dataset] = []

    def note(name: str, thing: h5py.Group | h5py.Dataset) -> None:
        if isinstance(thing, h5py.Dataset) and name.startswith("captures/"):
            rest = name.split("/", 2)[2]
            group = rest.split("/")[0]
            if group in ("images", "maps", "mesh", "landmarks") and not _SHARED.search(rest):
                wanted.append(thing)

    with audited(path) as file:
        file.visititems(note)
        for thing in wanted:
            values = thing[()]
            if not _is_measured(values):
                continue
            is_file = values.ndim == 1 and values.dtype == np.uint8
            yield from _of_file(values.tobytes()) if is_file else [values.tobytes()]
            for index in range(thing.id.get_num_chunks()) if not is_file else ():
                chunk = thing.id.get_chunk_info(index)
                start = chunk.byte_offset
                yield bytes(raw[start : start + chunk.size])


def _of_file(content: bytes) -> Iterator[bytes]:
    if content[:2] == b"\xff\xd8":
        yield from _jpeg(Path(), content)
    else:
        yield content[len(content) // 8 :]


_PIECES: dict[str, Callable[[Path, Content], Iterator[bytes]]] = {
    ".jpg": _jpeg, ".jpeg": _jpeg, ".png": _png, ".npz": _npz, ".npy": _npy, ".ply": _ply,
    ".obj": _obj, ".glb": _glb, ".h5": _hdf5, ".hdf5": _hdf5, ".exr": _middle, ".gif": _middle,
    ".tif": _middle, ".tiff": _middle, ".dng": _middle, ".cr2": _middle, ".cr3": _middle,
    ".nef": _middle, ".arw": _middle, ".raf": _middle, ".rw2": _middle, ".orf": _middle,
    ".mp4": _middle,
}  # fmt: skip
