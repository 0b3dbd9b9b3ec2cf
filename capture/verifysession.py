"""Check that the originals of a session are there and are what was taken in."""

from dataclasses import dataclass
from pathlib import Path

from ..core.errors import InputError
from ..core.files import sha256_file
from .attachments import sums_of
from .session import load_session


@dataclass(frozen=True, kw_only=True)
class SessionFigures:
    """What a verified session holds."""

    takes: int
    originals: int
    """Photographs, and RAW files or JPEGs kept beside them."""
    bytes_read: int
    """0 where data were not read."""


def verify_session(folder: Path, *, read_data: bool = False) -> SessionFigures:
    """Check a session's originals against `session.json`.

    Parameters
    ----------
    read_data : bool
        Also read every byte and compare the SHA-256; else presence and sizes are checked.

    Raises
    ------
    InputError
        A photograph is missing or changed: the first is named.
    SchemaError
        The session is not as its format has it.
    """
    session = load_session(folder)
    sizes = {shot.file: shot.bytes for take in session.takes for shot in take.shots}
    bytes_read = 0
    for name, sha256 in sums_of(session).items():
        path = folder / name
        if not path.is_file():
            raise InputError(f"{path}: missing; restore it from a copy")
        size = path.stat().st_size
        if size != sizes.get(name, size) or (read_data and sha256_file(path) != sha256):
            raise InputError(f"{path}: changed since it was taken in; restore it from a copy")
        bytes_read += size if read_data else 0
    return SessionFigures(
        takes=len(session.takes), originals=len(sums_of(session)), bytes_read=bytes_read
    )
