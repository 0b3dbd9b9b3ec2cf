"""Numbers out of a pickle, and nothing else: no code of the file's choosing ever runs.

FLAME is published as pickles. Unpickling calls whatever the file names, so that a prepared file
does anything to the machine. Here every name but a handful is refused, and what these make are
inert stand-ins of our own, from which arrays are built afterwards with all sizes checked.
numpy's own reconstruction is not called either, nor the C unpickler, which a few bytes can make
ask for gigabytes.
"""

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelFileError

_MOST_BYTES = 1 << 30  # FLAME's files take 50 to 100 MB
_MOST_NUMBERS = 1 << 28
_KINDS = "fiub"


class PlainArray:
    """Stands in for `numpy.ndarray`."""

    state: Any = None

    def __init__(self, *_: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        self.state = state


class PlainDtype:
    """Stands in for `numpy.dtype`."""

    code: Any = ""
    order: Any = "|"

    def __init__(self, code: Any = "", *_: Any) -> None:
        self.code = code

    def __setstate__(self, state: Any) -> None:
        self.order = state[1] if isinstance(state, tuple) and len(state) > 1 else "|"


class PlainObject:
    """Stands in for what is known but not needed, and for the kinds below."""

    def __init__(self, *_: Any) -> None:
        self.state: dict[Any, Any] = {}

    def __setstate__(self, state: Any) -> None:
        self.state = {}
        for part in state if isinstance(state, tuple) else (state,):
            if isinstance(part, dict):
                self.state.update(part)


class _Chumpy(PlainObject):
    """An array of chumpy; its numbers are `x`."""


class _ByColumns(PlainObject):
    """scipy's csc."""


class _ByRows(PlainObject):
    """scipy's csr."""


class _Triplets(PlainObject):
    """scipy's coo."""


_STAND_INS = (PlainArray, PlainDtype, PlainObject)


def _new(kind: Any, *_: Any) -> Any:
    """Do what `numpy.core.multiarray._reconstruct` and `copyreg._reconstructor` would."""
    if not (isinstance(kind, type) and issubclass(kind, _STAND_INS)):
        raise pickle.UnpicklingError("an object of no known kind")
    return kind()


def _encoded(text: Any, encoding: Any = "latin1") -> bytes:
    """Do what `_codecs.encode` is used for by pickles of protocol 2: bytes as Latin-1 text."""
    if encoding != "latin1" or not isinstance(text, str):
        raise pickle.UnpicklingError(f"text in {encoding!r}")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """Do what pickles of protocol 2 call `bytes` for: an empty one."""
    return b""


def _from_buffer(data: Any, dtype: Any, shape: Any, order: Any) -> PlainArray:
    """Do what `numpy.core.numeric._frombuffer` would."""
    array = PlainArray()
    array.state = (1, shape, dtype, order == "F", bytes(data))
    return array


def _scalar(dtype: Any = None, data: Any = b"", *_: Any) -> PlainArray:
    """Do what `numpy.core.multiarray.scalar` would: an array of one number."""
    array = PlainArray()
    array.state = (1, (), dtype, False, data)
    return array


_NAMES: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): PlainArray,
    ("numpy", "matrix"): PlainArray,
    ("numpy.matrixlib.defmatrix", "matrix"): PlainArray,
    ("numpy", "dtype"): PlainDtype,
    ("_codecs", "encode"): _encoded,
    ("copy_reg", "_reconstructor"): _new,
    ("copyreg", "_reconstructor"): _new,
    ("chumpy.ch", "Ch"): _Chumpy,
    ("chumpy", "Ch"): _Chumpy,
}
for _core in ("numpy.core", "numpy._core"):
    _NAMES[f"{_core}.multiarray", "_reconstruct"] = _new
    _NAMES[f"{_core}.multiarray", "scalar"] = _scalar
    _NAMES[f"{_core}.numeric", "_frombuffer"] = _from_buffer
for _builtins in ("__builtin__", "builtins"):
    _NAMES[_builtins, "object"] = object
    _NAMES[_builtins, "set"] = set
    _NAMES[_builtins, "bytes"] = _no_bytes
for _kind, _stand_in in (("csc", _ByColumns), ("csr", _ByRows), ("coo", _Triplets)):
    for _module in ("", f".{_kind}", f"._{_kind}"):
        _NAMES[f"scipy.sparse{_module}", f"{_kind}_matrix"] = _stand_in
        _NAMES[f"scipy.sparse{_module}", f"{_kind}_array"] = _stand_in


class PlainReader(pickle._Unpickler):
    """The unpickler in Python: its memo is a dict, which no index can make large."""

    names: ClassVar[dict[tuple[str, str], Any]] = _NAMES
    """Module and name in a pickle -> what stands in for it; all others are refused."""
    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in of a name; raise `UnpicklingError` where there is none."""
        try:
            return self.names[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}") from None

    def load_build(self) -> None:
        """Hand a state to a stand-in only: never to a function or a class."""
        state = self.stack.pop()  # type: ignore[attr-defined]
        made = self.stack[-1]  # type: ignore[attr-defined]
        if not isinstance(made, _STAND_INS):
            raise pickle.UnpicklingError(f"a state for a {type(made).__name__}")
        made.__setstate__(state)

    def load_bytearray8(self) -> None:
        """Read before making anything as large as the file says."""
        size = int.from_bytes(self.read(8), "little")  # type: ignore[attr-defined]
        data = self.read(size)  # type: ignore[attr-defined]
        if len(data) != size:
            raise EOFError("a bytearray is cut short")
        self.append(data)  # type: ignore[attr-defined]

    dispatch[pickle.BUILD[0]] = load_build
    dispatch[pickle.BYTEARRAY8[0]] = load_bytearray8


def read_pickle(path: Path, *, model: str) -> dict[str, Any]:
    """Read the dict that a pickle holds, its arrays as stand-ins; see `plain_array`.

    Parameters
    ----------
    model : str
        What the file should be, for messages.

    Raises
    ------
    ModelFileError
        The file is absent, too large, truncated, holds no dict, or asks for anything but
        arrays of numbers.
    """
    found = _read(path, model)
    if isinstance(found, PlainArray):  # numpy.save of a dict: an array of one object
        found = _only_item(found)
    if not isinstance(found, dict):
        raise ModelFileError(f"{path}: holds a {type(found).__name__}, not the dict of {model}")
    return {str(name): value for name, value in found.items()}


def read_pickled_array(path: Path, *, model: str) -> NDArray[Any]:
    """Read the array, or the list of numbers, that a pickle holds.

    Raises
    ------
    ModelFileError
        As `read_pickle`.
    """
    found = _read(path, model)
    if not isinstance(found, (list, tuple)):
        return plain_array(found, model, path)
    numbers = [n if type(n) in (int, float) else plain_array(n, model, path) for n in found]
    try:
        return np.array(numbers)
    except (ValueError, OverflowError) as error:
        raise ModelFileError(f"{path}: {error}; that is not {model}") from error


def _read(path: Path, model: str) -> Any:
    if not path.is_file():
        raise ModelFileError(f"{path}: no such file; give the path of {model}")
    if path.stat().st_size > _MOST_BYTES:
        raise ModelFileError(f"{path}: {path.stat().st_size / 1e9:.1f} GB: not {model}")
    with path.open("rb") as stream:
        return _loaded(stream, path, model)


def _loaded(stream: BinaryIO, path: Path, model: str) -> Any:
    head = stream.read(6)
    stream.seek(0)
    if head == b"\x93NUMPY":
        skip: dict[tuple[int, int], Callable[[Any], Any]] = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }
        try:
            skip[np.lib.format.read_magic(stream)](stream)
        except (ValueError, KeyError, OSError) as error:
            raise ModelFileError(f"{path}: not a readable .npy file ({error})") from error
    try:
        return PlainReader(io.BytesIO(stream.read()), encoding="latin1").load()  # a bounded read
    except pickle.UnpicklingError as error:
        raise ModelFileError(f"{path}: refused, since {error}; that is not {model}") from error
    except Exception as error:  # a damaged pickle makes the unpickler raise anything
        said = str(error).split("\n")[0]
        raise ModelFileError(
            f"{path}: not a complete pickle ({type(error).__name__}: {said}); fetch it again"
        ) from error


def plain_array(value: Any, name: str, path: Path) -> NDArray[Any]:
    """Return a field of `read_pickle` as an array of numbers.

    Sparse matrices become dense, chumpy's arrays the numbers they hold.

    Raises
    ------
    ModelFileError
        It is no array of numbers, or sizes and data disagree.
    """
    try:
        return _array(value)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise ModelFileError(f"{path}: {name}: not an array of numbers ({error})") from error


def _array(value: Any) -> NDArray[Any]:
    if isinstance(value, _Chumpy):
        return _array(value.state["x"])
    if isinstance(value, (_ByColumns, _ByRows, _Triplets)):
        return _dense(value)
    if isinstance(value, PlainArray):
        return _numbers(value)
    raise ValueError(f"a {type(value).__name__}")


def _numbers(array: PlainArray) -> NDArray[Any]:
    _, shape, dtype, is_fortran, data = _five(array.state)
    code = str(dtype.code)
    if code[:1] not in _KINDS or dtype.order not in "<>|=":
        raise ValueError(f"numbers of type {code!r}")
    if isinstance(data, str):
        data = data.encode("latin1")
    size = np.dtype(code).itemsize
    count = _count(shape)
    if len(data) != count * size:
        raise ValueError(f"{len(data)} bytes for shape {shape} of {code}")
    order = "<" if dtype.order in "|=" else dtype.order
    values = np.frombuffer(data, np.dtype(order + code) if size > 1 else np.dtype(code))
    values = values.astype(values.dtype.newbyteorder("="))
    return values.reshape(shape, order="F" if is_fortran else "C")


def _five(state: Any) -> tuple[Any, tuple[int, ...], PlainDtype, bool, Any]:
    version, shape, dtype, is_fortran, data = state
    if not isinstance(dtype, PlainDtype) or not isinstance(shape, tuple):
        raise ValueError("its state is not an array's")
    return version, shape, dtype, bool(is_fortran), data


def _count(shape: tuple[Any, ...]) -> int:
    count = 1
    for n in shape:
        if not isinstance(n, int) or n < 0:
            raise ValueError(f"shape {shape}")
        count *= n
    if count > _MOST_NUMBERS:
        raise ValueError(f"shape {shape} is larger than any face model's")
    return count


def _dense(matrix: PlainObject) -> NDArray[Any]:
    """Return the dense array of a scipy matrix's parts."""
    state = matrix.state
    rows, columns = (int(n) for n in (state["_shape"] if "_shape" in state else state["shape"]))
    _count((rows, columns))
    data = _array(state["data"])
    if isinstance(matrix, _Triplets):
        row, col = state["coords"] if "coords" in state else (state["row"], state["col"])
        at = _array(row), _array(col)
    else:
        indices, starts = _array(state["indices"]), _array(state["indptr"]).astype(np.int64)
        if starts.ndim != 1 or (np.diff(starts) < 0).any() or starts[-1] != len(data):
            raise ValueError("its indptr does not fit its data")
        lines = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
        at = (indices, lines) if isinstance(matrix, _ByColumns) else (lines, indices)
    dense = np.zeros((rows, columns), data.dtype)
    for index, n in zip(at, dense.shape, strict=True):
        if index.shape != data.shape or (index.size and (index.min() < 0 or index.max() >= n)):
            raise ValueError("its indices do not fit its shape")
    np.add.at(dense, at, data)
    return dense


def _only_item(array: PlainArray) -> Any:
    try:
        _, shape, dtype, _, data = _five(array.state)
    except (ValueError, TypeError):
        return array
    is_one = _count(shape) == 1 and str(dtype.code).startswith("O")
    return data[0] if is_one and isinstance(data, list) and len(data) == 1 else array
