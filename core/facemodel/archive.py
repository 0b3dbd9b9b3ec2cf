"""Reading face models from `.npz` archives: every field checked before it is believed.

An archive is read without pickle, and only the fields asked for; a field's size is known from
its header before anything is unpacked.
"""

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelFileError

Archive = dict[str, NDArray[Any]]

Fields = Mapping[str, tuple[str, tuple[int | str, ...]]]
"""Field -> (kinds of dtype, shape); a string in a shape names a length that must be the same
throughout."""

MOST_BYTES = 4 << 30
"""That the fields of a face model may take unpacked: the largest known take a tenth."""


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
    with path.open("rb") as stream:
        try:
            archive = np.load(stream, allow_pickle=False)
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise ModelFileError(
                f"{path}: not a complete .npz archive ({error}); fetch it again"
            ) from error
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise ModelFileError(f"{path}: a single array, not {model}")
        with archive:
            data: Archive = {}
            for name in fields:
                if name in archive.files:
                    data[name] = _field(archive, name, path)
                elif name not in optional:
                    raise ModelFileError(f"{path}: {name}: absent; is this {model}?")
    check_fields(data, fields, path)
    return data


def archive_fields(path: Path) -> frozenset[str]:
    """Return the names of the arrays of an archive; none for a file that is no archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            return frozenset(n.removesuffix(".npy") for n in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return frozenset()


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


def _field(archive: np.lib.npyio.NpzFile, name: str, path: Path) -> NDArray[Any]:
    zipped = archive.zip
    if zipped is not None and zipped.getinfo(f"{name}.npy").file_size > MOST_BYTES:
        raise ModelFileError(f"{path}: {name}: larger than any face model's")
    try:
        return np.asarray(archive[name])
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise ModelFileError(f"{path}: {name}: damaged ({error}); fetch the file again") from error


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
