"""Who was erased, as hashes alone: so that nobody is taken in again by mistake.

`facekit-erased.json` (mode 0600) lies in the folder that a subject was erased from. It keeps
neither pseudonym nor photograph, but what can be compared with them: a slow salted hash of the
pseudonym (scrypt: it has few enough letters to try them all) and a keyed hash of each
photograph's SHA-256, which tells nothing to who does not have the photograph.
"""

import datetime
import hashlib
import hmac
import json
import secrets
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from ..core.errors import InputError, SchemaError
from ..core.files import read_json, write_private_text

ERASED_FILE = "facekit-erased.json"
ERASED_FORMAT, ERASED_VERSION = "facekit-erased", 1


def bury(
    folder: Path, pseudonym: str, photographs: Collection[str] = (), *,
    today: datetime.date | None = None,
) -> Path:  # fmt: skip
    """Note in `folder` that a subject was erased; a second time changes nothing.

    Parameters
    ----------
    photographs : collection of str
        SHA-256 of the subject's originals.
    """
    path = folder / ERASED_FILE
    values = _read(path) if path.is_file() else _empty()
    salt = bytes.fromhex(values["salt"])
    subject = _hash_of_name(pseudonym, salt)
    entries = values["erased"]
    entry = next((known for known in entries if known["subject"] == subject), None)
    if entry is None:
        date = (today or datetime.date.today()).isoformat()
        entry = {"subject": subject, "date": date, "photographs": []}
        entries.append(entry)
    hashes = {_hash_of_photograph(sha256, salt) for sha256 in photographs}
    entry["photographs"] = sorted(hashes | set(entry["photographs"]))
    write_private_text(path, json.dumps(values, indent=1) + "\n")
    return path


def erased_on(folder: Path, pseudonym: str) -> str | None:
    """Return the day a subject was erased from `folder`, YYYY-MM-DD; None: it was not."""
    path = folder / ERASED_FILE
    if not path.is_file():
        return None
    values = _read(path)
    subject = _hash_of_name(pseudonym, bytes.fromhex(values["salt"]))
    return next((e["date"] for e in values["erased"] if e["subject"] == subject), None)


def refuse_erased(
    out: Path, *, pseudonym: str | None = None, photographs: Collection[str] = ()
) -> None:
    """Refuse who was erased from `out`, or from a folder above it.

    Raises
    ------
    InputError
        Names the file that says so.
    """
    for path in _tombstones_above(out):
        if pseudonym is not None and (date := erased_on(path.parent, pseudonym)) is not None:
            raise InputError(
                f"{path}: subject {pseudonym} was erased on {date} and is not taken in again; if "
                "the person agreed anew, give a form with a new pseudonym (`facekit consent`)"
            )
        if not photographs:
            continue
        values = _read(path)
        salt = bytes.fromhex(values["salt"])
        known = {h: entry["date"] for entry in values["erased"] for h in entry["photographs"]}
        for sha256 in photographs:
            if (date := known.get(_hash_of_photograph(sha256, salt))) is not None:
                raise InputError(
                    f"{path}: a photograph of the source is of a subject who was erased on "
                    f"{date}; delete the source, too (memory cards, backups)"
                )


def _tombstones_above(folder: Path) -> Iterator[Path]:
    place = folder.resolve()
    for above in (place, *place.parents):
        if (above / ERASED_FILE).is_file():
            yield above / ERASED_FILE


def _empty() -> dict[str, Any]:
    return {
        "format": ERASED_FORMAT,
        "version": ERASED_VERSION,
        "salt": secrets.token_hex(16),
        "erased": [],
    }


def _read(path: Path) -> dict[str, Any]:
    values = read_json(path, format_name=ERASED_FORMAT, version=ERASED_VERSION)
    try:
        bytes.fromhex(values["salt"])
        for entry in values["erased"]:
            if not (isinstance(entry["subject"], str) and isinstance(entry["date"], str)):
                raise TypeError("subject and date are text")
            set(entry["photographs"])
    except (KeyError, TypeError, ValueError) as error:
        raise SchemaError(f"{path}: not as the format has it ({error})") from error
    return dict(values)


def _hash_of_name(pseudonym: str, salt: bytes) -> str:
    # 16 MB and some 50 ms a try: 2^25 to 2^40 pseudonyms are weeks to thousands of years
    return hashlib.scrypt(pseudonym.encode(), salt=salt, n=1 << 14, r=8, p=1, dklen=16).hex()


def _hash_of_photograph(sha256: str, salt: bytes) -> str:
    return hmac.new(salt, sha256.encode(), "sha256").hexdigest()[:32]
