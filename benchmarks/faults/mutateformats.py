"""Damage that only who knows the format can do: sizes blown up under right checksums, bombs, traps.

Random bytes fail at the first checksum; these get past it.
"""

import io
import pickle
import struct
import zipfile
import zlib
from contextlib import suppress
from typing import Any

import numpy as np

from .canary import Canary
from .mutate import BYTES, INTEGERS, Mutation, mutated
from .mutatetext import JSON, TEXT, WORDS

_BOMB = 1 << 26
"""Bytes that a bomb unpacks to; a thousandth of it packed."""
_BLOCK = 1 << 20


def change_png(content: bytes, rng: np.random.Generator) -> bytes:
    """Change a chunk of a PNG, its checksum set right; or let its pixels be a bomb."""
    chunks = _png_chunks(content)
    if not chunks:
        return mutated(content, rng, BYTES)
    at = int(rng.integers(len(chunks)))
    kind, body = chunks[at]
    match int(rng.integers(5)):
        case 0:
            side = INTEGERS[int(rng.integers(len(INTEGERS)))] & 0xFFFFFFFF
            offset = int(rng.choice((0, 4)))
            at, body = 0, chunks[0][1][:offset] + struct.pack(">I", side)
            body += chunks[0][1][len(body) :]
            kind = chunks[0][0]
        case 1 if kind == b"IDAT":
            with suppress(zlib.error):  # of a piece that was damaged before
                body = zlib.compress(mutated(zlib.decompressobj().decompress(body), rng, BYTES))
        case 2 if kind == b"IDAT":
            body = _bomb()
        case 3:
            texts = (b"zTXt", b"iTXt", b"iCCP", b"eXIf", b"PLTE", b"tRNS", b"acTL", b"fdAT")
            kind, body = texts[int(rng.integers(len(texts)))], _odd_chunk(rng)
            chunks.insert(at, (kind, body))
        case _:
            body = mutated(body, rng, BYTES)
    chunks[at] = (kind, body)
    parts = [content[:8]]
    for name, data in chunks:
        parts.append(struct.pack(">I", len(data)) + name + data)
        parts.append(struct.pack(">I", zlib.crc32(name + data)))
    return b"".join(parts)


def change_archive(content: bytes, rng: np.random.Generator) -> bytes:
    """Change a member of a zip archive under a right checksum; its name, its size, what it is."""
    members = _members(content)
    if not members:
        return mutated(content, rng, BYTES)
    names = list(members)
    name = names[int(rng.integers(len(names)))]
    kind = zipfile.ZIP_STORED
    match int(rng.integers(8)):
        case 0:
            members[_odd_name(rng, name)] = members.pop(name)
        case 1:
            del members[name]
        case 2:
            members[name] = b"\0" * (_BOMB >> int(rng.integers(0, 4)))
            kind = zipfile.ZIP_DEFLATED
        case 3:
            members[name] = _npy(_odd_array(rng))
        case 4 | 5:
            members[name] = change_npy(members[name], rng)
        case 6:
            members[name] = members[names[int(rng.integers(len(names)))]]
        case _:
            members[name] = mutated(members[name], rng, BYTES)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", kind, compresslevel=1) as archive:
        for key, data in members.items():
            archive.writestr(zipfile.ZipInfo(key), data, kind)
    return out.getvalue()


def change_npy(content: bytes, rng: np.random.Generator) -> bytes:
    """Change the header of an array: its shape, its type; or make it a pickle."""
    if content[:6] != b"\x93NUMPY" or len(content) < 10:
        return mutated(content, rng, BYTES)
    shapes = (
        "()", "(0,)", "(1,)", "(-1,)", "(2147483648,)", "(1, 4611686018427387904)", "(0, 3)",
        "(100000000, 3)", "(3, 100000000, 3)", "(1,) * 9", "(2, 2, 2, 2, 2, 2, 2, 2)", "(None,)",
        "(1e9,)", "('a',)",
    )  # fmt: skip
    kinds = ("<f8", "<f4", ">f8", "|O", "<U9", "|S1", "|V100", "<c16", "<M8[s]", "|b1", "<i8", "x")
    length = struct.unpack_from("<H", content, 8)[0]
    header, body = content[10 : 10 + length].decode("latin-1"), content[10 + length :]
    match int(rng.integers(6)):
        case 0 | 1:
            start = header.find("(")
            stop = header.find(")", start) + 1
            header = header[:start] + shapes[int(rng.integers(len(shapes)))] + header[stop:]
        case 2:
            start = header.find("'descr': ") + 10
            stop = header.find("'", start)
            header = header[:start] + kinds[int(rng.integers(len(kinds)))] + header[stop:]
        case 3:
            start = header.find("'descr': ") + 10
            stop = header.find("'", start)
            header, body = header[:start] + "|O" + header[stop:], pickled_canary(rng)
        case 4:
            body = b"".join(
                struct.pack("<d", v) for v in rng.choice((np.nan, np.inf, -1e308, 0, 1), 64)
            ) + body[512:]  # fmt: skip
        case _:
            body = mutated(body, rng, BYTES)
    packed = header.encode("latin-1", "replace")
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(packed) & 0xFFFF) + packed + body


def pickled_canary(rng: np.random.Generator, holder: Any = None) -> bytes:
    """Return a pickle that runs code when it is unpickled as Python does; in any protocol."""
    protocol = int(rng.integers(0, 6))
    canary = Canary(("os", "module", "eval")[int(rng.integers(3))])
    return pickle.dumps([canary] if holder is None else {**holder, "trap": canary}, protocol)


def be_canary(content: bytes, rng: np.random.Generator) -> bytes:
    """Be nothing but a pickle that runs code."""
    del content
    return pickled_canary(rng)


def change_pickle(content: bytes, rng: np.random.Generator) -> bytes:
    """Put a trap into the stream of a pickle, or an operation with an absurd length."""
    match int(rng.integers(4)):
        case 0:
            trap = b"cos\nsystem\n(S'true'\ntR0" if rng.integers(2) else b"\x80\x04"
            at = int(rng.integers(2, max(3, min(len(content), 4000))))
            return content[:at] + trap + content[at:]
        case 1:
            operations = (b"B", b"X", b"T", b"\x8a", b"\x8b", b"\x8d", b"\x8e", b"\x96", b"\x95")
            name = operations[int(rng.integers(len(operations)))]
            value = INTEGERS[int(rng.integers(len(INTEGERS)))]
            at = int(rng.integers(2, max(3, len(content))))
            return content[:at] + name + struct.pack("<Q", value) + content[at:]
        case 2:
            at = int(rng.integers(2, max(3, min(len(content), 4000))))
            return content[:at] + b"(" * int(rng.choice((10, 100_000))) + content[at:]
        case _:
            return mutated(content[:4000], rng, BYTES) + content[4000:]


def change_safetensors(content: bytes, rng: np.random.Generator) -> bytes:
    """Change the JSON at the head of a safetensors file, its length set right."""
    if len(content) < 8:
        return content + b"\0"
    (length,) = struct.unpack_from("<Q", content)
    head, body = content[8 : 8 + min(length, len(content))], content[8 + length :]
    if rng.integers(8):
        head = mutated(head, rng, JSON)
    else:
        body = mutated(body, rng, BYTES)
    size = len(head) if rng.integers(8) else INTEGERS[int(rng.integers(len(INTEGERS)))]
    return struct.pack("<Q", size & (2**64 - 1)) + head + body


def change_header(content: bytes, rng: np.random.Generator) -> bytes:
    """Change the text in front of binary data, as PLY has it."""
    head, mark, body = content.partition(b"end_header\n")
    return mutated(head, rng, TEXT) + mark + body


def change_xml(content: bytes, rng: np.random.Generator) -> bytes:
    """Declare entities that grow or read files, nest without end, double attributes."""
    head, _, rest = content.partition(b"?>")
    rest = rest or head
    declared = (
        b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
        b'<!DOCTYPE a [<!ENTITY x "' + b"x" * 60 + b'"><!ENTITY y "' + b"&x;" * 60
        + b'"><!ENTITY z "' + b"&y;" * 60 + b'">]>',
        b'<!DOCTYPE a SYSTEM "http://127.0.0.1:9/a.dtd">',
    )[int(rng.integers(3))]  # fmt: skip
    match int(rng.integers(4)):
        case 0:
            entity = (b"&x;", b"&z;")[int(rng.integers(2))]
            return b'<?xml version="1.0"?>' + declared + rest.replace(b"0", entity, 3)
        case 1:
            depth = int(rng.choice((100, 20_000)))
            at = rest.find(b">") + 1
            return rest[:at] + b"<a>" * depth + b"</a>" * depth + rest[at:]
        case 2:
            return rest.replace(b" ", b' id="7" ', 1) if rng.integers(2) else declared + rest
        case _:
            encodings = (b"utf-16", b"utf-7", b"x", b"utf-8", b"ascii", b"cp037", b"idna")
            name = encodings[int(rng.integers(len(encodings)))]
            return b'<?xml version="1.0" encoding="' + name + b'"?>' + rest


def change_yaml(content: bytes, rng: np.random.Generator) -> bytes:
    """Ask for objects and code, grow by aliases, nest, take values for other kinds."""
    traps = (
        b"!!python/object/apply:os.system ['true']", b"!!python/name:os.system", b"!!binary Zm9v",
        b"!!python/object/new:facekit.benchmarks.faults.canary.sing []", b"&a [*a]", b"*unknown",
        b"!!timestamp 2001-99-99", b"2001-99-99", b"!!int x", b"!!float nan", b"1:" * 60 + b"1",
        b"!!set {1, 2}", b"? [1, 2]\n: 3", b"<<: [1]", b"0o9", b"0x", b"1e", b"!!omap [1]",
        b"1_0", b"=", b"~", b"|\n  x", b"2001-01-01T99:99:99Z",
    )  # fmt: skip
    trap = traps[int(rng.integers(len(traps)))]
    match int(rng.integers(4)):
        case 0:
            lines = [b"b0: &b0 [x,x,x,x,x,x,x,x,x]"]
            for i in range(1, 9):
                lines.append(b"b%d: &b%d [%s]" % (i, i, b",".join([b"*b%d" % (i - 1)] * 9)))
            return content + b"\n" + b"\n".join(lines) + b"\n"
        case 1:
            return trap
        case _:
            lines = content.split(b"\n")
            at = int(rng.integers(len(lines)))
            key, colon, _ = lines[at].partition(b":")
            lines[at] = key + (colon or b":") + b" " + trap
            return b"\n".join(lines)


def _png_chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    chunks, at = [], 8
    while at + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, at)
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + length]))
        at += 12 + length
    return chunks


def _odd_chunk(rng: np.random.Generator) -> bytes:
    return (b"x\0\0" + _bomb(), rng.bytes(60), b"")[int(rng.integers(3))]


def _bomb() -> bytes:
    """Return zlib's stream of `_BOMB` zeros: one block over and over."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    block = packer.compress(b"\0" * _BLOCK) + packer.flush(zlib.Z_FULL_FLUSH)
    adler = (_BOMB % 65521) << 16 | 1
    return b"\x78\xda" + block * (_BOMB // _BLOCK) + packer.flush() + struct.pack(">I", adler)


def _members(content: bytes) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return {
                info.filename: archive.read(info)
                for info in archive.infolist()
                if info.file_size < 1 << 24
            }
    except (zipfile.BadZipFile, zlib.error, ValueError, NotImplementedError, RuntimeError, OSError,
            KeyError, EOFError):  # fmt: skip
        return {}


def _odd_name(rng: np.random.Generator, name: str) -> str:
    word = WORDS[int(rng.integers(len(WORDS)))].encode("utf-8", "replace").decode()
    return (word or "x") + (".npy" if rng.integers(2) else name)


def _odd_array(rng: np.random.Generator) -> np.ndarray[Any, Any]:
    arrays: tuple[Any, ...] = (
        np.zeros(0), np.zeros((0, 3)), np.float64(1), np.array("text"), np.array(["a", "b"]),
        np.full((4, 4), np.nan), np.zeros((3, 3), bool), np.zeros(3, complex), np.zeros(5, "u1"),
        np.zeros(2, [("a", "f4"), ("b", "i4")]), np.array(b"bytes"), np.zeros((2, 2, 2, 2)),
        np.full(7, -1), np.full(7, 2**62), np.zeros(3, "M8[s]"),
    )  # fmt: skip
    return np.asarray(arrays[int(rng.integers(len(arrays)))])


def _npy(array: np.ndarray[Any, Any]) -> bytes:
    out = io.BytesIO()
    np.save(out, array, allow_pickle=False)
    return out.getvalue()


PNG: tuple[Mutation, ...] = (*(change_png,) * 10, *BYTES)
ARCHIVE: tuple[Mutation, ...] = (*(change_archive,) * 16, be_canary, *BYTES)
NPY: tuple[Mutation, ...] = (*(change_npy,) * 10, be_canary, *BYTES)
PICKLE: tuple[Mutation, ...] = (*(change_pickle,) * 10, be_canary, *BYTES)
SAFETENSORS: tuple[Mutation, ...] = (*(change_safetensors,) * 12, be_canary, *BYTES)
HEADED: tuple[Mutation, ...] = (*(change_header,) * 12, *BYTES)
XML: tuple[Mutation, ...] = (*(change_xml,) * 4, *TEXT)
YAML: tuple[Mutation, ...] = (*(change_yaml,) * 6, *TEXT)
