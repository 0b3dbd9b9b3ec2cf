"""What checkpoint files hold, tensor by tensor, read without torch and without their numbers.

Both containers are checked here for being whole: every tensor's bytes are where the file says,
and nothing is packed, so that a file takes no more memory than it has bytes. torch's container
is a pickle beside raw bytes; the pickle is read as `plainpickle` does, and runs nothing.
"""

import io
import json
import math
import pickle
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from ..errors import ModelFileError
from .plainpickle import PlainObject, PlainReader

_MOST_PICKLE_BYTES = 1 << 22  # HRN's has 100 kB
_MOST_HEADER_BYTES = 1 << 22
_MOST_NUMBERS = 1 << 40
_ZIP_BEGINS = b"PK\x03\x04"
_LEGACY_BEGINS = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # torch before 1.6
_STORAGES: Mapping[str, tuple[str, int]] = {
    "FloatStorage": ("float32", 4),
    "DoubleStorage": ("float64", 8),
    "HalfStorage": ("float16", 2),
    "BFloat16Storage": ("bfloat16", 2),
    "LongStorage": ("int64", 8),
    "IntStorage": ("int32", 4),
    "ShortStorage": ("int16", 2),
    "CharStorage": ("int8", 1),
    "ByteStorage": ("uint8", 1),
    "BoolStorage": ("bool", 1),
}
_SAFETENSORS: Mapping[str, tuple[str, int]] = {
    "F64": ("float64", 8), "F32": ("float32", 4), "F16": ("float16", 2), "BF16": ("bfloat16", 2),
    "I64": ("int64", 8), "I32": ("int32", 4), "U8": ("uint8", 1), "BOOL": ("bool", 1),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class TensorInfo:
    """A tensor in a file, without its numbers."""

    shape: tuple[int, ...]
    dtype: str
    """As torch and numpy call it: `float32`."""


def is_torch_file(path: Path) -> bool:
    """Tell whether the file begins as one that `torch.save` writes, of today or of old.

    Raises
    ------
    ModelFileError
        It cannot be read.
    """
    head = _head(path, len(_LEGACY_BEGINS))
    return head.startswith(_ZIP_BEGINS) or head == _LEGACY_BEGINS


def read_torch_file(path: Path, *, what: str) -> dict[str, Any]:
    """Return the dict in a file of `torch.save`, with a `TensorInfo` for every tensor.

    Parameters
    ----------
    what : str
        What the file should be, for messages.

    Raises
    ------
    ModelFileError
        It is absent, truncated, packed, no dict, or asks for anything but tensors.
    """
    is_zip = _head(path, len(_ZIP_BEGINS)) == _ZIP_BEGINS
    try:
        found = _in_zip(path, what) if is_zip else _in_legacy(path, what)
    except pickle.UnpicklingError as error:
        raise ModelFileError(f"{path}: refused, since {error}; that is not {what}") from error
    except ModelFileError:
        raise
    except Exception as error:  # a damaged pickle makes the unpickler raise anything
        said = str(error).split("\n")[0][:80] or type(error).__name__
        raise ModelFileError(
            f"{path}: cut short or damaged ({said}); fetch {what} again"
        ) from error
    if not isinstance(found, dict):
        raise ModelFileError(f"{path}: holds a {type(found).__name__}, not the dict of {what}")
    return {str(name): value for name, value in found.items()}


def read_safetensors_file(path: Path, *, what: str) -> tuple[dict[str, TensorInfo], dict[str, str]]:
    """Return the tensors of a safetensors file and its texts.

    Raises
    ------
    ModelFileError
        It is absent, truncated or no safetensors file.
    """
    size, head = _size(path), _head(path, 9)
    n = int.from_bytes(head[:8], "little")
    if len(head) < 9 or head[8:] != b"{" or not 2 <= n <= _MOST_HEADER_BYTES:
        raise ModelFileError(f"{path}: neither torch's nor a safetensors file; give {what}")
    with path.open("rb") as stream:
        text = stream.read(8 + n)[8:]
    if len(text) < n:
        raise ModelFileError(f"{path}: cut short in its header; fetch {what} again")
    try:
        header = json.loads(text)
        texts = {str(k): str(v) for k, v in header.pop("__metadata__", {}).items()}
        spans = {str(k): _span(v) for k, v in header.items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ModelFileError(f"{path}: its header is damaged; fetch {what} again") from error
    at = 0
    for name, (_, first, last) in sorted(spans.items(), key=lambda item: item[1][1:]):
        if first != at:
            raise ModelFileError(f"{path}: {_short(name)}: its bytes are not where they should be")
        at = last
    if 8 + n + at != size:
        raise ModelFileError(
            f"{path}: {size} bytes, but its header tells of {8 + n + at}; fetch {what} again"
        )
    return {name: info for name, (info, _, _) in spans.items()}, texts


def _span(entry: dict[str, Any]) -> tuple[TensorInfo, int, int]:
    dtype, width = _SAFETENSORS[entry["dtype"]]
    first, last = entry["data_offsets"]
    shape = tuple(entry["shape"])
    if not all(map(_is_size, (first, last, *shape))) or last - first != width * math.prod(shape):
        raise ValueError("sizes")
    return TensorInfo(shape=shape, dtype=dtype), first, last


@dataclass(frozen=True, kw_only=True)
class _StorageKind:
    """Stands in for `torch.FloatStorage` and the like."""

    name: str


@dataclass(frozen=True, kw_only=True)
class _Storage:
    """Raw bytes of a file that tensors look into."""

    key: str
    kind: str
    count: int


class _PlainDict(PlainObject, dict[Any, Any]):
    """Stands in for `collections.OrderedDict` and the like."""


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> TensorInfo:
    """Do what `torch._utils._rebuild_tensor_v2` would, without the numbers."""
    if not isinstance(storage, _Storage):
        raise pickle.UnpicklingError("a tensor has no numbers")
    shape, strides = tuple(shape), tuple(strides)
    if len(shape) != len(strides) or not all(map(_is_size, (offset, *shape, *strides))):
        raise pickle.UnpicklingError("a tensor's shape is no shape")
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    if math.prod(shape) and last >= storage.count:
        raise pickle.UnpicklingError("a tensor reaches past its numbers")
    return TensorInfo(shape=shape, dtype=_STORAGES[storage.kind][0])


def _is_size(n: Any) -> bool:
    return isinstance(n, int) and 0 <= n < _MOST_NUMBERS


def _parameter(tensor: Any, *_: Any) -> Any:
    """Do what `torch._utils._rebuild_parameter` would."""
    return tensor


class _TorchReader(PlainReader):
    """Reads the pickle of a checkpoint; `storages` are the raw bytes that it names."""

    names: ClassVar[dict[tuple[str, str], Any]] = {
        ("collections", "OrderedDict"): _PlainDict,
        ("collections", "Counter"): _PlainDict,
        ("torch._utils", "_rebuild_tensor_v2"): _tensor,
        ("torch._utils", "_rebuild_parameter"): _parameter,
        **{("torch", name): _StorageKind(name=name) for name in _STORAGES},
    }

    def __init__(self, stream: io.BytesIO) -> None:
        super().__init__(stream, encoding="utf-8")
        self.storages: dict[str, _Storage] = {}

    def load_dict(self) -> None:
        """Check the keys of a new dict; those below the same of one that grows."""
        _check_keys(self.stack[::2])  # type: ignore[attr-defined]
        super().load_dict()  # type: ignore[misc]

    def load_setitem(self) -> None:
        _check_keys(self.stack[-2:-1])  # type: ignore[attr-defined]
        super().load_setitem()  # type: ignore[misc]

    def load_setitems(self) -> None:
        _check_keys(self.stack[::2])  # type: ignore[attr-defined]
        super().load_setitems()  # type: ignore[misc]

    def load_additems(self) -> None:
        """Refuse sets, which no checkpoint has."""
        raise pickle.UnpicklingError("it holds a set")

    def persistent_load(self, pid: Any) -> _Storage:
        kind, storage, key, _, count = pid[:5]
        is_view = len(pid) > 5 and pid[5] is not None
        if kind != "storage" or not isinstance(storage, _StorageKind) or is_view:
            raise pickle.UnpicklingError("it names other data than tensors")
        if not _is_size(count):
            raise pickle.UnpicklingError("a tensor's size is no size")
        found = _Storage(key=_text(key), kind=storage.name, count=count)
        if self.storages.setdefault(found.key, found) != found:
            raise pickle.UnpicklingError("one tensor's numbers are told twice")
        return found

    dispatch: ClassVar[dict[int, Any]] = {
        **PlainReader.dispatch,
        pickle.DICT[0]: load_dict,
        pickle.SETITEM[0]: load_setitem,
        pickle.SETITEMS[0]: load_setitems,
        pickle.ADDITEMS[0]: load_additems,
        pickle.FROZENSET[0]: load_additems,
    }


def _check_keys(keys: Iterable[Any]) -> None:
    """Refuse what is not a name or a number: hashing nested tuples can exhaust the stack."""
    for key in keys:
        if not isinstance(key, str) and not _is_size(key):
            raise pickle.UnpicklingError(f"a {type(key).__name__} is a name in it")


def _in_zip(path: Path, what: str) -> Any:
    with zipfile.ZipFile(path) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        if len({name.lower() for name in entries}) < len(archive.infolist()):
            raise ModelFileError(f"{path}: refused, since a name stands twice; that is not {what}")
        for entry in entries.values():
            if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
                raise ModelFileError(f"{path}: refused, since it is packed; that is not {what}")
        pickles = [name for name in entries if name.endswith("/data.pkl") or name == "data.pkl"]
        if len(pickles) != 1:
            raise ModelFileError(f"{path}: a zip archive, but not one of torch; give {what}")
        if entries[pickles[0]].file_size > _MOST_PICKLE_BYTES:
            raise ModelFileError(f"{path}: {pickles[0]} is too large to be {what}")
        with archive.open(pickles[0]) as stream:
            text = stream.read()
    reader = _TorchReader(io.BytesIO(text))
    found = reader.load()
    folder = pickles[0].removesuffix("data.pkl")
    for storage in reader.storages.values():
        raw = entries.get(f"{folder}data/{storage.key}")
        if raw is None or raw.file_size != storage.count * _STORAGES[storage.kind][1]:
            raise ModelFileError(
                f"{path}: {folder}data/{_short(storage.key)}: absent or cut short; "
                f"fetch {what} again"
            )
    return found


def _in_legacy(path: Path, what: str) -> Any:
    """Read the container that torch wrote before 1.6: five pickles, then all raw bytes."""
    size = _size(path)
    data = io.BytesIO(_head(path, _MOST_PICKLE_BYTES))
    for _ in range(3):  # magic number, protocol, byte order
        _TorchReader(data).load()
    reader = _TorchReader(data)
    found = reader.load()
    keys = _TorchReader(data).load()
    at = data.tell()
    if not isinstance(keys, list) or set(map(_text, keys)) != set(reader.storages):
        raise ModelFileError(f"{path}: damaged: its tensors and their numbers differ")
    for storage in reader.storages.values():
        at += 8 + storage.count * _STORAGES[storage.kind][1]
    if at != size:
        raise ModelFileError(f"{path}: {size} bytes, but its tensors need {at}; fetch {what} again")
    return found


def _text(key: Any) -> str:
    if not isinstance(key, str):
        raise pickle.UnpicklingError("a tensor's numbers have no name")
    return key


def _size(path: Path) -> int:
    if not path.is_file():
        what = "a folder; give the file itself" if path.is_dir() else "no such file"
        raise ModelFileError(f"{path}: {what}")
    return path.stat().st_size


def _head(path: Path, n: int) -> bytes:
    _size(path)
    try:
        with path.open("rb") as stream:
            return stream.read(n)
    except OSError as error:
        raise ModelFileError(f"{path}: not readable ({error.strerror})") from error


def _short(name: str) -> str:
    """Return a name that a message can hold, whatever the file makes of it."""
    return name if len(name) <= 80 else f"{name[:77]}..."
