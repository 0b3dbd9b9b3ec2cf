"""Whether what an erasure set out to delete is still the subject's when it goes on.

Between a run that was killed and the next one, days may pass: a folder of the same name may have
been made again, or another subject's moved in. What is found to be the subject's anew needs no
further look; of the rest, nothing may have been written since the journal was, and no record in
it may be of somebody else.
"""

import stat
from collections.abc import Iterator
from pathlib import Path

from ...core.errors import InputError
from ..build import SUMMARY
from .finding import PREDICTION_FILE, Found, is_build_of
from .identity import names_any
from .journal import Journal
from .search import walk


def check_still_theirs(journal: Journal, found: Found) -> None:
    """Refuse to go on where something of another subject has come into what is to be deleted.

    Sessions, datasets and rigs of others are `find`'s to look for.

    Raises
    ------
    InputError
        Names the file.
    """
    began = journal.path.stat().st_mtime_ns
    subject = journal.identity.pseudonym
    for unit in sorted(journal.units):
        if found.covers(unit):
            continue
        for path in _with_inner(unit):
            what = _not_theirs(path, found, began)
            if what:
                raise InputError(
                    f"{path}: {what}, but an erasure of {subject} that was cut off was to delete "
                    f"it; if it is the subject's, delete it by hand, else move it out of {unit}; "
                    "then erase again"
                )


def _with_inner(unit: Path) -> Iterator[Path]:
    if unit.is_symlink() or unit.exists():
        yield unit
    if unit.is_dir() and not unit.is_symlink():
        yield from walk(unit)


def _not_theirs(path: Path, found: Found, began: int) -> str:
    """Return what speaks against deleting a path; empty where nothing does."""
    if path.name == PREDICTION_FILE and not names_any(path, found.identity.photographs):
        return "is of a photograph of somebody else"
    if path.name == SUMMARY and not is_build_of(path, found.identity):
        return "is of the session of somebody else"
    status = path.lstat()
    # folders change as their files are deleted, files do not
    if not stat.S_ISDIR(status.st_mode) and status.st_ctime_ns > began:
        return "has been written since"
    return ""
