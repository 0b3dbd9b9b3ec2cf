"""Numbers come out of pickles; nothing in a pickle ever runs."""

import pickle
import pickletools
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from facekit.benchmarks.faults.hostilepickles import bombs
from facekit.core.errors import ModelFileError
from facekit.core.facemodel.plainpickle import plain_array, read_pickle


def read(path: Path) -> dict[str, Any]:
    return read_pickle(path, model="a test")


def chumpy_array(values: np.ndarray) -> bytes:
    """Return the pickle of `{'a': chumpy.ch.Ch}` as Python 2 wrote it."""
    inner = pickle.dumps(values, protocol=2)[2:-1]  # less PROTO and STOP
    # the sparse letters: a dict, its key, _reconstructor(Ch, object, None), its state, BUILD
    return (
        b"\x80\x02}U\x01a"
        b"ccopy_reg\n_reconstructor\n(cchumpy.ch\nCh\nc__builtin__\nobject\nNtR"
        b"}(U\x01x" + inner + b"U\x0b_dirty_varsc__builtin__\nset\n(]tRub"
        b"s."
    )


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize(
    "values",
    [
        np.arange(12, dtype=np.float64).reshape(3, 4),
        np.asfortranarray(np.arange(24.0).reshape(2, 3, 4)),
        np.array([[2**32 - 1, 0]], np.uint32),
        np.arange(6, dtype=">f4"),
        np.full((), 2.5, np.float32),
        np.array([True, False]),
        np.zeros((0, 3)),
    ],
)
def test_arrays_come_out_as_they_went_in(tmp_path: Path, protocol: int, values: np.ndarray) -> None:
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps({"a": values, "text": "x", "none": None}, protocol=protocol))
    out = plain_array(read(path)["a"], "a", path)
    np.testing.assert_array_equal(out, values)
    assert out.dtype == values.dtype.newbyteorder("=")


@pytest.mark.parametrize("make", [sparse.csc_matrix, sparse.csr_matrix, sparse.coo_matrix])
def test_sparse_matrices_become_dense(tmp_path: Path, make: Any) -> None:
    values = np.array([[0, 2, 0, 1], [0, 0, 3, 0], [4, 0, 0, 0.5], [0, 0, 0, 0]])
    for part in (values, values[:2]):
        path = tmp_path / "s.pkl"
        path.write_bytes(pickle.dumps({"J": make(part)}, protocol=2))
        np.testing.assert_array_equal(plain_array(read(path)["J"], "J", path), part)


def test_chumpy_is_not_needed_to_read_its_arrays(tmp_path: Path) -> None:
    path = tmp_path / "c.pkl"
    path.write_bytes(chumpy_array(np.arange(6.0).reshape(2, 3)))
    np.testing.assert_array_equal(
        plain_array(read(path)["a"], "a", path), np.arange(6.0).reshape(2, 3)
    )


def test_a_dict_saved_by_numpy_is_read(tmp_path: Path) -> None:
    path = tmp_path / "d.npy"
    np.save(path, np.array({"a": np.arange(5)}, dtype=object), allow_pickle=True)
    np.testing.assert_array_equal(plain_array(read(path)["a"], "a", path), np.arange(5))


def test_nothing_in_a_pickle_runs(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    for k, content in enumerate(bombs(mark)):
        path = tmp_path / f"bomb{k}.pkl"
        path.write_bytes(content)
        with pytest.raises(ModelFileError, match="refused, since|not a complete"):
            read(path)
    assert not mark.exists()


def test_the_bombs_would_have_gone_off(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    pickle.loads(bombs(mark)[0])
    assert mark.exists()


def test_a_few_bytes_cannot_ask_for_gigabytes(tmp_path: Path) -> None:
    path = tmp_path / "large.pkl"
    # memo entry two thousand million, for which the unpickler in C would make a table
    path.write_bytes(b"\x80\x02}r" + struct.pack("<I", 2_000_000_000) + b".")
    assert read(path) == {}
    # an array whose header promises more than there is
    text = pickle.dumps({"a": np.zeros(3)}, protocol=2).replace(
        b"K\x03\x85", b"J\xff\xff\xff\x7f\x85"
    )
    assert text != pickle.dumps({"a": np.zeros(3)}, protocol=2)
    path.write_bytes(text)
    with pytest.raises(ModelFileError, match="a: not an array of numbers"):
        plain_array(read(path)["a"], "a", path)


@pytest.mark.parametrize("value", ["text", 3, [1, 2], None, np.array(["a"]), np.array([None])])
def test_what_is_no_array_of_numbers_is_named(tmp_path: Path, value: Any) -> None:
    path = tmp_path / "v.pkl"
    path.write_bytes(pickle.dumps({"weights": value}, protocol=2))
    with pytest.raises(ModelFileError, match=r"v\.pkl: weights: not an array of numbers"):
        plain_array(read(path)["weights"], "weights", path)


def test_every_truncation_is_a_sentence(tmp_path: Path) -> None:
    whole = pickle.dumps({"a": np.arange(9.0), "J": sparse.csc_matrix(np.eye(3))}, protocol=2)
    assert max(position for _, _, position in pickletools.genops(whole)) + 1 == len(whole)
    path = tmp_path / "half.pkl"
    for n in range(len(whole) - 1):
        path.write_bytes(whole[:n])
        with pytest.raises(ModelFileError, match=r"half\.pkl"):
            read(path)


def test_damaged_bytes_are_a_sentence_or_numbers(tmp_path: Path, rng: np.random.Generator) -> None:
    whole = np.frombuffer(
        pickle.dumps({"a": np.arange(9.0), "J": sparse.csc_matrix(np.eye(3))}, protocol=2),
        np.uint8,
    )
    path = tmp_path / "damaged.pkl"
    n_refused = 0
    for _ in range(400):
        damaged = whole.copy()
        damaged[rng.integers(len(whole), size=2)] = rng.integers(256, size=2)
        path.write_bytes(damaged.tobytes())
        try:
            for name, value in read(path).items():
                plain_array(value, name, path)
        except ModelFileError:
            n_refused += 1
    assert n_refused > 200


def test_an_array_within_itself_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "loop.pkl"
    path.write_bytes(
        b"}S'a'\nccopy_reg\n_reconstructor\n(cchumpy.ch\nCh\nc__builtin__\nobject\nNtRp1\n"
        b"}S'x'\ng1\nsbs."
    )
    with pytest.raises(ModelFileError, match="a: not an array"):
        plain_array(read(path)["a"], "a", path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="no such file"):
        read(tmp_path / "nowhere.pkl")
    (tmp_path / "list.pkl").write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(ModelFileError, match="holds a list"):
        read(tmp_path / "list.pkl")
    (tmp_path / "text.pkl").write_text("no pickle")
    with pytest.raises(ModelFileError, match=r"text\.pkl"):
        read(tmp_path / "text.pkl")
