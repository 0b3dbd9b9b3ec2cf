"""HDF5 files that mean harm: data elsewhere, sizes without end, links in circles, odd types."""

import tempfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ...core.errors import InputError
from ...dataset.seal import check_seal, seal
from .mutate import BYTES, Mutation, mutated

_ELSEWHERE = b"/etc/hostname"
_NOT_EVERYWHERE = (
    InputError, OSError, ValueError, RuntimeError, KeyError, TypeError, MemoryError,
)  # fmt: skip
"""Not every change can be made of every object."""


def change_hdf5(content: bytes, rng: np.random.Generator) -> bytes:
    """Change one object of a file, or one attribute, and seal it anew: not the disk's doing.

    A file that was damaged before is not opened, since the library may crash in it.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "changed.h5"
        path.write_bytes(content)
        try:
            check_seal(path)
            with h5py.File(path, "r+") as file:
                names: list[str] = ["/"]
                file.visit(names.append)
                name = names[int(rng.integers(len(names)))]
                if rng.integers(3) == 0:
                    _change_attribute(file[name], rng)
                else:
                    _change_object(file, name, rng)
        except _NOT_EVERYWHERE:
            return mutated(content, rng, BYTES)
        seal(path)
        return path.read_bytes()


def _change_attribute(thing: h5py.Group | h5py.Dataset, rng: np.random.Generator) -> None:
    values: tuple[Any, ...] = (
        0, -1, 2**62, np.nan, "", "x" * 60_000, "../../x", np.zeros(100), "2.0", "1.99",
        h5py.Empty("f8"), np.bytes_(b"\xff\xfe"), [1, 2, 3], True, "\u202e",
        np.array(["a", "b"], dtype=h5py.string_dtype()), "SUBJECT",
    )  # fmt: skip
    keys = list(thing.attrs) or ["new"]
    key = keys[int(rng.integers(len(keys)))]
    match int(rng.integers(6)):
        case 0:
            del thing.attrs[key]
        case 1:
            thing.attrs["another"] = 1
        case _:
            del thing.attrs[key]
            thing.attrs[key] = values[int(rng.integers(len(values)))]


def _change_object(file: h5py.File, name: str, rng: np.random.Generator) -> None:
    old = file[name]
    above = old.parent if name != "/" else file
    key = name.rpartition("/")[2] or "more"
    shape = old.shape if isinstance(old, h5py.Dataset) else (8, 8)
    kind = old.dtype if isinstance(old, h5py.Dataset) else np.dtype("f4")
    if name != "/" and rng.integers(8):
        del above[key]
    else:
        key = f"{key}_more"
    huge = (1 << 40, 1 << 20)
    match int(rng.integers(15)):
        case 0:
            above.create_dataset(key, shape, kind, external=[(_ELSEWHERE, 0, h5py.h5f.UNLIMITED)])
        case 1:
            above[key] = h5py.ExternalLink("/etc/hostname", "/")
        case 2:
            above[key] = h5py.SoftLink(above.name)
        case 3:
            above[key] = above  # a hard link in a circle
        case 4:
            layout = h5py.VirtualLayout(shape=(4,), dtype="f4")
            layout[:] = h5py.VirtualSource("/etc/hostname", "x", shape=(4,))
            above.create_virtual_dataset(key, layout)
        case 5:
            above.create_dataset(key, data=["text"], dtype=h5py.string_dtype())
        case 6:
            above.create_dataset(key, huge, "f8", chunks=(1 << 10, 1 << 10))
        case 7:
            # a bomb: some megabytes of zeros in a few bytes
            above.create_dataset(
                key, data=np.zeros((1 << 12, 1 << 11), "u1"), chunks=True, compression="gzip",
                compression_opts=9,
            )  # fmt: skip
        case 8:
            above.create_dataset(key, data=h5py.Empty("f4"))
        case 9:
            above.create_dataset(key, shape, np.dtype([("a", "f4"), ("b", "i4")]))
        case 10:
            above.create_dataset(key, shape, h5py.vlen_dtype(np.dtype("i4")))
        case 11:
            above.create_dataset(key, shape[:-1], kind)
        case 12:
            values = np.zeros(shape, "f4")
            values.flat[::3] = np.nan
            above.create_dataset(key, data=values)
        case 13:
            inner = above.create_group(key)
            for _ in range(20):
                inner = inner.create_group("in")
        case _:
            above.create_dataset(key, shape, h5py.ref_dtype)


HDF5: tuple[Mutation, ...] = (*(change_hdf5,) * 12, *BYTES)
