"""Delete a subject: find, note, delete, rebuild, search; killed anywhere, the next run goes on.

1. find what is the subject's (`finding`), and keep other processes out of it;
2. draw probes from it (`probes`) and write all of that into a journal (`journal`);
3. note the subject as erased (`capture.tombstones`): it is not taken in again from here on;
4. delete; write anew what listed the subject among others (`rebuild`, `packs`);
5. search the whole tree for the probes and the pseudonym (`search`);
6. delete the journal.
"""

import logging
import os
import random
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from ...capture.sidecar import PSEUDONYM
from ...capture.tombstones import ERASED_FILE, bury, erased_on
from ...core.errors import InputError
from ...core.files import clear_unfinished
from ...core.folderlock import WRITING, in_use, only_writer
from ..schema import NAME
from .finding import Found, find
from .journal import JOURNAL, Journal, open_journal
from .locks import check_idle, check_nobody_in
from .packs import rows_of, without_person
from .probes import draw_from_rows, draw_probes
from .rebuild import without_predictions, without_subject
from .resumed import check_still_theirs
from .search import Probes, Searched, search, walk

log = logging.getLogger(__name__)

BEYOND = (
    "copies outside of the folders searched: backups, other disks, memory cards, the cloud, and "
    "whoever the data were given to",
    "weights of networks that were trained with the subject: they hold no file of it, but what "
    "they learned; train again without it if the consent asks for that",
    "blocks that the disk has freed but not overwritten: snapshots of the file system keep them, "
    "as do drives; encrypt the disk",
    "who stands behind the pseudonym: facekit never knew; delete the line in your own list",
)
"""What erasing cannot reach, said every time."""


def erase(
    pseudonym: str, roots: Sequence[Path], *, dry_run: bool = False,
    rng: random.Random | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Erase a subject from folders; or say what would go.

    Parameters
    ----------
    roots : sequence of Path
        Folders that hold all that was ever made of the subject.
    dry_run : bool
        Look, draw probes and search, but change nothing.
    rng : Random, optional
        Where probes are drawn; the system's own chance by default.

    Returns
    -------
    dict
        JSON-able: `subject`, `dry_run`, `deleted` (path -> why), `deleted_files`,
        `deleted_bytes`, `rebuilt`, `kept_subjects`, `erase` (`probes`, `probes_found`,
        `found_in`), `mentions`, `not_searched`, `searched_files`, `searched_bytes`, `remarks`,
        `trainings`, `not_reached`.

    Raises
    ------
    InputError
        Nothing is known of the subject, another process is at work on its files, or a folder
        that would go holds what is another subject's.
    """
    if NAME.fullmatch(pseudonym) is None:
        raise InputError(f"{pseudonym!r}: not a subject's pseudonym")
    places = _outermost(roots)
    with ExitStack() as stack:
        for root in places if not dry_run else ():
            stack.enter_context(only_writer(root))  # one erasure at a time
        journal, found, places = _found(pseudonym, places)
        if not found.is_known and (drawn := pseudonym.upper()) != pseudonym:
            journal, found, places = _found(drawn, places)  # typed in small letters
        if not found.is_known:
            return _nothing(pseudonym, places, dry_run=dry_run)
        if journal is not None:
            check_still_theirs(journal, found)
        for folder in _worked_in(found):
            stack.enter_context(in_use(folder, alone=True))
        check_nobody_in(_beside(found, places) - set(_worked_in(found)))
        check_idle(found.units, found.datasets)
        journal = _joined(journal, found, places, rng or secrets.SystemRandom())
        if dry_run:
            return _told(journal, found, _searched(journal, found, dry_run=True), [], dry_run=True)
        return _carry_out(journal, found)


def _found(
    pseudonym: str, places: tuple[Path, ...]
) -> tuple[Journal | None, Found, tuple[Path, ...]]:
    """Return the journal of a run that was cut off, what is found, and where to look."""
    journal = open_journal(places, pseudonym)
    if journal is not None:
        log.info("%s: going on with an erasure that was cut off", journal.path)
        places = _outermost([*places, *journal.roots])
    found = find(
        pseudonym, places, known=None if journal is None else journal.identity,
        listed=() if journal is None else journal.units, leave=_ours(places),
    )  # fmt: skip
    return journal, found, places


def _carry_out(journal: Journal, found: Found) -> dict[str, Any]:
    """Delete, rebuild and search what the journal says."""
    _clear(journal)
    journal.save()
    for root in journal.roots:
        bury(root, journal.identity.pseudonym, journal.identity.originals)
    undeleted = _delete(journal)
    rebuilt = _rebuild(journal)
    _to_disk(journal, rebuilt)  # before the journal goes
    searched = _searched(journal, found, dry_run=False)
    result = _told(journal, found, searched, rebuilt, dry_run=False)
    if not journal.probes:
        result["remarks"].append("no probe could be drawn: only names and texts were searched")
    if undeleted:
        result["remarks"] += undeleted
        result["erase"]["undeleted"] = len(undeleted)
    else:
        journal.path.unlink()
    return result


def _clear(journal: Journal) -> None:
    """Remove what a run that was cut off left half written: probes are in it, too."""
    for root in journal.roots:
        for name in (JOURNAL, ERASED_FILE):
            clear_unfinished(root, of=Path(name))
    for folder in (*journal.datasets, *journal.packs, *journal.predictions):
        clear_unfinished(folder)


def _outermost(roots: Sequence[Path]) -> tuple[Path, ...]:
    """Return the folders resolved, without those that lie in others."""
    for root in roots:
        if not root.is_dir():
            raise InputError(f"{root}: no such folder")
    every = list(dict.fromkeys(root.resolve() for root in roots))
    return tuple(p for p in every if not any(p != q and p.is_relative_to(q) for q in every))


def _ours(roots: Sequence[Path]) -> set[Path]:
    return {root / name for root in roots for name in (JOURNAL, ERASED_FILE, WRITING)}


def _worked_in(found: Found) -> list[Path]:
    """Return the folders that nobody may begin to work with while they are erased."""
    whole = [path for path in found.units if path.is_dir() and not path.is_symlink()]
    return sorted({*whole, *found.datasets, *found.packs, *found.predictions})


def _beside(found: Found, roots: Sequence[Path]) -> set[Path]:
    """Return the folders above what goes, and within it: who works there may hold them."""
    above = {folder for path in (*found.units, *_worked_in(found)) for folder in path.parents}
    above = {p for p in above if any(p.is_relative_to(root) for root in roots)}
    whole = (path for path in found.units if path.is_dir() and not path.is_symlink())
    within = (p for folder in whole for p in walk(folder))
    return above | {p for p in within if p.is_dir() and not p.is_symlink()}


def _nothing(pseudonym: str, roots: Sequence[Path], *, dry_run: bool) -> dict[str, Any]:
    spellings = {pseudonym, pseudonym.upper()}
    dates = [date for root in roots for name in spellings if (date := erased_on(root, name))]
    if not dates:
        raise InputError(
            f"{', '.join(map(str, roots))}: nothing is known of a subject {pseudonym} here; give "
            "the folders that hold its sessions and datasets with --in"
        )
    return {
        "subject": pseudonym, "dry_run": dry_run, "erased_before": dates[0], "deleted": {},
        "deleted_files": 0, "deleted_bytes": 0, "rebuilt": [], "kept_subjects": [],
        "erase": {"probes": 0, "probes_found": 0, "found_in": {}}, "mentions": [],
        "not_searched": [], "searched_files": 0, "searched_bytes": 0, "trainings": [],
        "remarks": [f"was erased on {dates[0]}; nothing of it is found here"],
        "not_reached": list(BEYOND),
    }  # fmt: skip


def _joined(
    before: Journal | None, found: Found, roots: tuple[Path, ...], rng: random.Random
) -> Journal:
    """Return the journal of this run: what one that was cut off knew, and what is found now."""
    journal = before or Journal(identity=found.identity, roots=roots)
    first = before is None
    new = {path: why for path, why in found.units.items() if path not in journal.units}
    for file in (file for path in new for file in _files_of(path)):
        journal.files += 1
        journal.n_bytes += file.lstat().st_size
    journal.probes |= draw_probes(found.units if first else new, rng)
    for folder in found.packs - journal.packs:
        with suppress(InputError):  # damaged: told when its rows are taken out
            journal.probes |= draw_from_rows(rows_of(folder, found.identity.pseudonym), rng)
    journal.identity = found.identity
    journal.roots = roots if first else tuple(dict.fromkeys([*journal.roots, *roots]))
    journal.units |= new
    journal.datasets |= found.datasets
    journal.packs |= found.packs
    for folder, names in found.predictions.items():
        journal.predictions.setdefault(folder, set()).update(names)
    return journal


def _files_of(path: Path) -> Iterator[Path]:
    if path.is_dir() and not path.is_symlink():
        yield from (p for p in walk(path) if p.is_symlink() or not p.is_dir())
    elif path.is_symlink() or path.exists():
        yield path


def _delete(journal: Journal) -> list[str]:
    """Delete all units; return what could not be, with the reason."""
    failed: list[str] = []

    def note(function: Any, path: str, info: Any) -> None:
        if not isinstance(info[1], FileNotFoundError):
            failed.append(f"{path}: could not be deleted ({info[1].strerror})")

    for path in sorted(journal.units):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, onerror=note)  # does not follow links
            continue
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            failed.append(f"{path}: could not be deleted ({error.strerror})")
    return failed


def _rebuild(journal: Journal) -> list[str]:
    """Write anew what listed the subject among others."""
    subject = journal.identity.pseudonym
    written: list[Path] = []
    for folder in sorted(journal.datasets):
        if folder.is_dir():
            written += without_subject(folder, subject)
    for folder in sorted(journal.packs):
        written += without_person(folder, subject) if folder.is_dir() else []
    for folder, names in sorted(journal.predictions.items()):
        written += without_predictions(folder, names) if folder.is_dir() else []
    return [str(path) for path in written]


def _to_disk(journal: Journal, rebuilt: Sequence[str]) -> None:
    """Force what was deleted and written to the disk, as far as its file system lets us."""
    changed = [path.parent for path in (*journal.units, *map(Path, rebuilt))]
    for path in sorted({*changed, *map(Path, rebuilt), *journal.roots}):
        if path.exists():
            handle = os.open(path, os.O_RDONLY)
            with suppress(OSError):
                os.fsync(handle)
            os.close(handle)


def _searched(journal: Journal, found: Found, *, dry_run: bool) -> Searched:
    """Search the tree; of a dry run what would be left of it."""
    going = {*found.units, *found.packs} if dry_run else set()
    leave = _ours(journal.roots) | going
    name = journal.identity.pseudonym
    words = {name, name.lower()} if PSEUDONYM.fullmatch(name) else {name}
    searched = search(
        journal.roots, Probes(journal.probes), words,
        hashes=journal.identity.photographs, leave=leave,
    )  # fmt: skip
    if dry_run:  # those would be written anew
        lists = (*journal.datasets, *journal.packs, *journal.predictions)
        searched.mentions = [
            text for text in searched.mentions
            if not any(Path(text).is_relative_to(folder) for folder in lists)
        ]  # fmt: skip
    return searched


def _doubtful(found: Found) -> set[str]:
    """Return what only somebody who looks at it can tell, less what went with a folder."""
    return {str(path) for path in found.doubtful if not found.covers(path)}


def _told(
    journal: Journal, found: Found, searched: Searched, rebuilt: list[str], *, dry_run: bool
) -> dict[str, Any]:
    return {
        "subject": journal.identity.pseudonym,
        "dry_run": dry_run,
        "deleted": {str(path): why for path, why in sorted(journal.units.items())},
        "deleted_files": journal.files,
        "deleted_bytes": journal.n_bytes,
        "rebuilt": rebuilt,
        "kept_subjects": list(found.people.others(journal.identity.pseudonym)),
        "erase": {
            "probes": len(journal.probes),
            "probes_found": len(searched.probes),
            "found_in": searched.found,
        },
        "mentions": sorted({*searched.mentions, *_doubtful(found)}),
        "not_searched": searched.shut,
        "searched_files": searched.files,
        "searched_bytes": searched.n_bytes,
        "trainings": sorted(map(str, found.runs)),
        "remarks": found.remarks,
        "not_reached": list(BEYOND),
    }
