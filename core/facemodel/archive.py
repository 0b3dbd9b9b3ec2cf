"""Reading face models from `.npz` archives: every field checked before it is believed.

An archive is read without pickle, and only the fields asked for; a field's size is known from
its header before anything is unpacked.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelFileError
from ..npzfile import Arrays, Fields, read_npz

Archive = Arrays


def read_archive(
    path: Path, fields: Fields, *, model: str, optional: Sequence[str] = ()
) -> Archive:
    """Read `fields` of an archive and check kind, shape and finiteness of each.

    Parameters
    ----------
    model : str
        What the file should be, for messages: "the ICT model's .npz archive".
    optional : sequence of str
        Fields that may be absent; they are then absent from the result too.

    Raises
    ------
    ModelFileError
        The file is absent, no archive or truncated; a field is absent, damaged, too large, of
        another type or shape, or not finite. The message names file and field.
    """
    if not path.is_file():
        raise ModelFileError(f"{path}: no such file; give the path of {model}")
    data = read_npz(path, names=fields.keys(), again="fetch it again", error=ModelFileError)
    for name in fields:
        if name not in data and name not in optional:
            raise ModelFileError(f"{path}: {name}: absent; is this {model}?")
    check_fields(data, fields, path)
    return data


def check_fields(data: Archive, fields: Fields, path: Path) -> None:
    """Check kind of dtype, shape and finiteness of the fields that are there.

    Raises
    ------
    ModelFileError
        Names the file, the first field that is wrong and what is wrong.
    """
    lengths: dict[str, tuple[int, str]] = {}
    for name, (kind, shape) in fields.items():
        if name in data:
            _check_field(path, name, data[name], kind, shape, lengths)


def check_below(path: Path, name: str, values: NDArray[Any], limit: int) -> None:
    """Check that indices are 0 to `limit` - 1.

    Raises
    ------
    ModelFileError
        They are not.
    """
    if values.size and (int(values.min()) < 0 or int(values.max()) >= limit):
        raise ModelFileError(
            f"{path}: {name}: numbers {values.min()} to {values.max()} "
            f"reach beyond 0 to {limit - 1}"
        )


def _check_field(
    path: Path,
    name: str,
    values: NDArray[Any],
    kind: str,
    shape: tuple[int | str, ...],
    lengths: dict[str, tuple[int, str]],
) -> None:
    if values.dtype.kind not in kind:
        raise ModelFileError(f"{path}: {name}: numbers of type {values.dtype} are not expected")
    if values.ndim != len(shape):
        raise ModelFileError(
            f"{path}: {name}: shape {values.shape}, but {_told(shape)} belongs here"
        )
    for found, expected in zip(values.shape, shape, strict=True):
        if isinstance(expected, int):
            if found != expected:
                raise ModelFileError(
                    f"{path}: {name}: shape {values.shape}, but {_told(shape)} belongs here"
                )
            continue
        length, where = lengths.setdefault(expected, (found, name))
        if found != length:
            raise ModelFileError(
                f"{path}: {name}: shape {values.shape}, but {where} has {length} {expected}"
            )
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ModelFileError(f"{path}: {name}: holds NaN or infinite numbers")


def _told(shape: tuple[int | str, ...]) -> str:
    """Return a shape of a field for people: `(numbers of the shape, 80)`."""
    return "(" + ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "") + ")"
