"""Arrays in MATLAB files: as scipy reads them, and refused where scipy's reader dies."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io

from facekit.core.errors import ModelFileError
from facekit.core.facemodel.matfile import read_numbers, variables_of

KINDS = ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8")


@pytest.fixture
def fields() -> dict[str, Any]:
    rng = np.random.default_rng(3)
    arrays = {f"of_{kind}": rng.integers(0, 100, (3, 5)).astype(kind) for kind in KINDS}
    return arrays | {"cube": rng.normal(size=(2, 3, 4)), "none": np.zeros((0, 4)), "one": 3.5}


@pytest.mark.parametrize("compressed", [False, True])
def test_arrays_are_what_scipy_reads(
    tmp_path: Path, fields: dict[str, Any], compressed: bool
) -> None:
    path = tmp_path / "arrays.mat"
    scipy.io.savemat(path, fields, do_compression=compressed)
    theirs = scipy.io.loadmat(path)
    variables = variables_of(path)
    assert set(variables) == set(fields)
    for name in fields:
        ours = read_numbers(path, name, variables)
        assert ours.dtype == theirs[name].dtype
        np.testing.assert_array_equal(ours, theirs[name])


def test_what_holds_no_numbers_says_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "others.mat"
    cells = np.array([["x", 1]], dtype=object)
    others = {
        "cell": cells,
        "char": "abc",
        "struct": {"a": 1},
        "complex array": np.ones((2, 2)) * 1j,
    }
    scipy.io.savemat(path, {kind.split()[0]: value for kind, value in others.items()})
    variables = variables_of(path)
    for kind in others:
        with pytest.raises(ModelFileError, match=f"a {kind} in place of numbers"):
            read_numbers(path, kind.split()[0], variables)


@pytest.mark.parametrize("kind", [0, 8, 20, 255, 65535])
def test_a_type_of_numbers_that_there_is_not_is_refused(tmp_path: Path, kind: int) -> None:
    path = tmp_path / "odd.mat"
    scipy.io.savemat(path, {"a": np.arange(40.0).reshape(4, 10)})
    content = bytearray(path.read_bytes())
    at = content.index(struct.pack("<II", 9, 320))  # doubles, so many bytes
    content[at : at + 4] = struct.pack("<I", kind)
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=r"odd\.mat: a: not readable"):
        read_numbers(path, "a", variables_of(path))


def test_fewer_numbers_than_the_shape_says_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "less.mat"
    scipy.io.savemat(path, {"a": np.arange(40.0).reshape(4, 10)})
    content = path.read_bytes().replace(struct.pack("<ii", 4, 10), struct.pack("<ii", 4, 9))
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=r"less\.mat: a: not readable"):
        read_numbers(path, "a", variables_of(path))
