"""NumPy's files from anywhere: what a header claims is not believed."""

import io
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facekit.core.errors import InputError, SchemaError
from facekit.core.npzfile import check_arrays, npz_names, read_npy, read_npz


def npy(header: str, body: bytes = b"") -> bytes:
    """Return the bytes of an array file with any header."""
    packed = header.encode()
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(packed)) + packed + body


def plain(array: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def zipped(path: Path, members: dict[str, bytes], kind: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12.0).reshape(3, 4), np.asfortranarray(np.arange(12).reshape(3, 4)),
        np.float32(2.5), np.zeros((0, 3)), np.array(["a", "ü", ""]), np.array([True, False]),
        np.array("text"), np.arange(6, dtype=">i4"), np.array([], dtype=str),
        np.array([b"ab", b"c"]), np.zeros(3, "<U0"),
    ],
)  # fmt: skip
def test_plain_arrays_come_back_as_numpy_reads_them(tmp_path: Path, array: Any) -> None:
    np.savez_compressed(tmp_path / "a.npz", one=array, two=array)
    np.save(tmp_path / "a.npy", array)
    for found in (
        read_npz(tmp_path / "a.npz")["two"],
        read_npy(tmp_path / "a.npy"),
        read_npy(tmp_path / "a.npy", mapped=True),
    ):
        np.testing.assert_array_equal(found, array)
        assert found.dtype == np.asarray(array).dtype and found.shape == np.shape(array)
    assert set(read_npz(tmp_path / "a.npz", names=("one", "other"))) == {"one"}
    assert npz_names(tmp_path / "a.npz") == {"one", "two"}
    assert npz_names(tmp_path / "a.npy") == frozenset()


HEADER = "{{'descr': '{}', 'fortran_order': False, 'shape': {}, }}\n"


@pytest.mark.parametrize(
    "content",
    [
        npy(HEADER.format("<f8", "(2147483648,)")),  # 16 GB of nothing
        npy(HEADER.format("<f8", "(300000000, 3)"), b"\0" * 64),
        npy(HEADER.format("<f8", "(1, 4611686018427387904)")),
        npy(HEADER.format("<f8", "(-1,)"), b"\0" * 8),
        npy(HEADER.format("<f8", "(1e9,)")),
        npy(HEADER.format("<f8", "(1,) * 9"), b"\0" * 8),
        npy(HEADER.format("<f8", "(4"), b"\0" * 32),  # the tokeniser's error
        npy(HEADER.format("<f8", "(((((((((("), b"\0" * 32),
        npy("[" * 5000),
        npy(HEADER.format("|O", "(1,)"), b"cos\nsystem\n(S'true'\ntR."),
        npy(HEADER.format("|V100", "(1,)"), b"\0" * 100),
        npy(HEADER.format("<M8[s]", "(1,)"), b"\0" * 8),
        npy(HEADER.format("<U1", "(1,)"), b"\xff\xff\xff\xff"),  # no character
        npy(HEADER.format("<U1", "(1,)"), struct.pack("<I", 0xD800)),  # half of one
        npy(HEADER.format("x", "(1,)"), b"\0" * 8),
        npy(HEADER.format("<f8", "(1,)"), b"\0" * 9),  # more than it says
        plain(np.array({"a": 1}, dtype=object)),
        b"\x93NUMPY\x09\x09",
        b"",
    ],
)
def test_headers_that_lie_are_refused(tmp_path: Path, content: bytes) -> None:
    path = zipped(tmp_path / "a.npz", {"x.npy": content, "other.npy": plain(np.zeros(2))})
    with pytest.raises(InputError, match=r"a\.npz: damaged \(x: .*bake it again"):
        read_npz(path, again="bake it again")
    assert set(read_npz(path, names=("other",))) == {"other"}  # the rest is as it was
    (tmp_path / "a.npy").write_bytes(content)
    for mapped in (False, True):
        if mapped and b"U1" in content:  # texts are looked at where they are read
            continue
        with pytest.raises(InputError, match=r"a\.npy: not readable as an array"):
            read_npy(tmp_path / "a.npy", mapped=mapped)


def test_archives_that_lie_are_refused(tmp_path: Path) -> None:
    whole = zipped(tmp_path / "a.npz", {"x.npy": plain(np.zeros(500))}).read_bytes()
    broken = {
        "cut": whole[: len(whole) // 2],
        "flipped": whole[:60] + bytes([whole[60] ^ 0xFF]) + whole[61:],
        "no zip": b"text",
        "empty": b"",
    }
    for content in broken.values():
        (tmp_path / "b.npz").write_bytes(content)
        with pytest.raises(InputError, match=r"b\.npz: damaged"):
            read_npz(tmp_path / "b.npz")
        npz_names(tmp_path / "b.npz")
    for kind in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        zipped(tmp_path / "c.npz", {"x.npy": plain(np.zeros(3))}, kind)
        with pytest.raises(InputError, match="packed in a way that is not read"):
            read_npz(tmp_path / "c.npz")
    with pytest.raises(InputError, match="no such file; make it"):
        read_npz(tmp_path / "absent.npz", again="make it")
    with pytest.raises(InputError, match="claims 0 MB"):
        read_npz(tmp_path / "a.npz", most_bytes=100)


def test_a_name_that_stands_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", plain(np.zeros(3)))
        archive.writestr("x.npy", plain(np.ones(3)))
    with pytest.raises(InputError, match="stands twice"):
        read_npz(path)


def test_fields_are_checked_by_kind_and_by_shape(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    fields = {"depth": ("f", ("height", "width")), "seen": ("b", ("height", "width")),
              "n": ("iu", ())}  # fmt: skip
    good: dict[str, Any] = {
        "depth": np.zeros((3, 4)), "seen": np.zeros((3, 4), bool), "n": np.array(1),
    }  # fmt: skip
    check_arrays(path, good, fields, again="again")
    for change, words in (
        ({"seen": np.zeros((4, 3), bool)}, r"seen: bool of shape \(4, 3\), but 3x4 belongs"),
        ({"seen": np.zeros((3, 4))}, "seen: float64"),
        ({"depth": np.zeros(12)}, "depth: float64 of shape"),
        ({"n": np.zeros(1, int)}, "but one value belongs"),
    ):
        with pytest.raises(SchemaError, match=words):
            check_arrays(path, good | change, fields, again="again", error=SchemaError)
    with pytest.raises(InputError, match="depth is absent; again"):
        check_arrays(path, {"n": np.array(1)}, fields, again="again")
