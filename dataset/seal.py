"""The seal of a shard: a hash of all that follows, in the block that HDF5 leaves to its users.

Checksums of HDF5 cover the data but not the names, shapes and attributes around them; the seal
covers every bit of the file, and travels with it. Other HDF5 programs skip the block.
"""

import hashlib
from pathlib import Path

from ..core.errors import InputError, SchemaError

SEAL_BYTES = 512
_WORDS = "facekit-hdf5/1 sha256 {} of the bytes from 512 on\n"
_AT_ONCE = 1 << 20


def seal(path: Path) -> None:
    """Write the seal of a closed file that was made with a user block of `SEAL_BYTES`.

    Raises
    ------
    OSError
        The file cannot be read or written.
    """
    with path.open("r+b") as stream:
        stream.write(_block(_hash_of_rest(path)))


def check_seal(path: Path) -> None:
    """Check that no bit of a file has changed since it was sealed.

    Raises
    ------
    InputError
        Absent, or changed.
    SchemaError
        There is no seal.
    """
    try:
        with path.open("rb") as stream:
            block = stream.read(SEAL_BYTES)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    # either word alone: one flipped bit is damage, not another format
    if not block.startswith(b"facekit-hdf5") and b" sha256 " not in block:
        raise SchemaError(f"{path}: not a sealed facekit-hdf5 file")
    if block != _block(_hash_of_rest(path)):
        raise InputError(f"{path}: changed since it was written; restore it from a copy")


def _block(digest: str) -> bytes:
    return _WORDS.format(digest).encode("ascii").ljust(SEAL_BYTES, b"\0")


def _hash_of_rest(path: Path) -> str:
    found = hashlib.sha256()
    with path.open("rb") as stream:
        stream.seek(SEAL_BYTES)
        while block := stream.read(_AT_ONCE):
            found.update(block)
    return found.hexdigest()
