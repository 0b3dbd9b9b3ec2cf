"""Which files and folders of a tree are a subject's, and what has to be made anew without them.

Whole folders go: sessions, builds, predictions, exports. They are known by what stands in them
(`session.json`, `build.json`, hashes of photographs in `stage.json`), not by where they lie; files
and folders that are called after the pseudonym go, too, in capitals or not. What belongs to
somebody else is never part of a folder that goes: the search stops with a sentence instead.
"""

import html
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...capture.session import SESSION_FILE
from ...capture.sidecar import PSEUDONYM
from ...core.errors import InputError
from ...core.files import STAGE_RECORD, read_json
from ..build import SUMMARY
from ..export.hdf5 import EXPORT_FILE
from ..manifest import MANIFEST, ORIGINALS
from ..stages import STAGES_FOLDER
from .identity import SHARDS, Identity, People, identity_of, names_any, people_in
from .packs import PACK_FILE, check_pack, people_of_pack
from .rebuild import CONTACT_SHEET, INDEXES
from .search import walk

PREDICTION_FILE = "prediction.json"
RUN_FILE = "run.json"
_PICTURES = ("panels", "tensorboard")  # of a training's folder: made anew as it goes on
_PREPARED = "progress.json"  # in a folder of samples that a training prepared for itself
_MOST_PATH = 4096
_CALIBRATIONS = ("calibrate", "self_calibrate")  # of cameras: no surface, no picture
_TITLE = re.compile(r"<title>(.*?)</title>", re.S)
PHOTOGRAPHS_MARK = "facekit-photographs"
"""Name of the `<meta>` by which a report tells the hashes of photographs that it is of."""
_MARK = re.compile(rf'<meta name="{PHOTOGRAPHS_MARK}" content="([0-9a-f ]*)">')
_PAGE_HEAD = 1 << 20  # characters that hold both


@dataclass
class Found:
    """What there is of a subject."""

    identity: Identity
    people: People
    units: dict[Path, str] = field(default_factory=dict)
    """Files and folders that go, each with the reason."""
    datasets: set[Path] = field(default_factory=set)
    packs: set[Path] = field(default_factory=set)
    predictions: dict[Path, set[str]] = field(default_factory=dict)
    """Folder with an index of predictions -> names of those that go."""
    runs: set[Path] = field(default_factory=set)
    """Trainings that saw the subject's data."""
    doubtful: list[Path] = field(default_factory=list)
    """What may be the subject's or somebody else's: named, not deleted."""
    remarks: list[str] = field(default_factory=list)

    @property
    def is_known(self) -> bool:
        """Whether there is anything of the subject: its own data, or rows and names of it."""
        return self.identity.is_known or bool(self.units or self.datasets or self.packs)

    def covers(self, path: Path) -> bool:
        """Whether a path is or lies in something that goes."""
        return path in self.units or any(above in self.units for above in path.parents)


def find(
    pseudonym: str, roots: Sequence[Path], *, known: Identity | None = None,
    listed: Collection[Path] = (), leave: Collection[Path] = (),
) -> Found:  # fmt: skip
    """Find all that is a subject's below the roots.

    Parameters
    ----------
    roots : sequence of Path
        Resolved folders.
    known : Identity, optional
        From a run that was cut off: what told it may be gone.
    listed : collection of Path
        What that run was to delete; checked like what is found now.
    leave : collection of Path
        Not looked into.

    Raises
    ------
    InputError
        A folder that would go holds something of another subject, or is a root itself.
    """
    paths = [path for root in roots for path in walk(root, leave=leave)]
    people = people_in(paths)
    identity = identity_of(pseudonym, people)
    if known is not None:
        identity = identity.with_all(known)
    found = Found(identity=identity, people=people, remarks=list(people.remarks))
    for path in paths:
        if not path.is_symlink():
            _look(path, found)
    for path in paths:
        if path.is_symlink() and not found.covers(path) and found.covers(path.resolve()):
            found.units[path] = "a link to it"
    _drop_inner(found)
    _find_trainings(paths, found)
    _check(found, roots, paths, {*found.units, *listed})
    if found.is_known and not identity.is_known:
        found.remarks.append(
            f"no session and no shard of {pseudonym} is here: only what bears its name is found"
        )
    return found


def _look(path: Path, found: Found) -> None:
    """Note what a single file or folder tells."""
    identity, name = found.identity, path.name
    if _is_called_after(name, identity.pseudonym, known=identity.is_known):
        found.units[path] = "is called after the subject"
    elif name == SESSION_FILE and str(path.parent) in identity.sessions:
        found.units[path.parent] = "session"
    elif name == SUMMARY and is_build_of(path, identity):
        found.units[path.parent] = "build"
    elif name in (MANIFEST, EXPORT_FILE) and _lists(path, identity.pseudonym):
        found.datasets.add(path.parent)
        shard = path.parent / SHARDS / f"{identity.pseudonym}.h5"
        if shard.is_file():
            found.units[shard] = "shard"
    elif name == PREDICTION_FILE and names_any(path, identity.photographs):
        _add_prediction(path.parent, found)
    elif name == STAGE_RECORD and names_any(path, identity.photographs):
        _look_at_stage(path, found)
    elif name == PACK_FILE and identity.pseudonym in people_of_pack(path.parent):
        found.packs.add(path.parent)
    elif path.suffix == ".html":
        _look_at_page(path, found)
    elif ORIGINALS in path.parts and path.stem in identity.photographs:
        found.units[path] = "original"


def _is_called_after(name: str, pseudonym: str, *, known: bool) -> bool:
    """Whether a name is the pseudonym, or begins with it as exports do.

    Other names of subjects may be words that folders have, so that they tell nothing. Nor does a
    pseudonym without a digit in small letters, or of whom nothing else is known: README is one.
    """
    n = len(pseudonym)
    if PSEUDONYM.fullmatch(pseudonym) is None or (name[n:] and name[n] not in "._-"):
        return False
    if pseudonym.isalpha():
        return known and name[:n] == pseudonym
    return name[:n].upper() == pseudonym


def _look_at_stage(path: Path, found: Found) -> None:
    folder = path.parent
    if folder.parent.name == STAGES_FOLDER:  # of a take: two levels above its record
        folder = folder.parent.parent
    values = read_json(path)
    if values.get("stage") in _CALIBRATIONS:
        found.remarks.append(
            f"{folder}: was calibrated with photographs of the subject; it holds cameras, no "
            "picture, and is kept"
        )
    elif (folder / SESSION_FILE).is_file():
        found.units.setdefault(folder, "session") if str(folder) in found.identity.sessions else (
            found.remarks.append(f"{folder}: a session of another subject has a photograph of this")
        )
    elif str(values.get("stage")).startswith("reconstruct"):
        _add_prediction(folder, found)
    else:
        found.units.setdefault(folder, str(values.get("stage")))


def _look_at_page(path: Path, found: Found) -> None:
    """Note a report of the subject: what it says it is of counts before what it is called."""
    head, identity = _head_of(path), found.identity
    title = _title_of(head)
    if marked := _MARK.search(head):
        if identity.photographs & set(marked[1].split()):
            found.units[path] = "report"
    elif title in identity.titles:
        found.units[path] = "report"
    elif title in identity.shared_titles:
        found.doubtful.append(path)
        found.remarks.append(
            f"{path}: its title is the name of a session of the subject, and of one of somebody "
            "else, too; look at it, it is kept"
        )
    elif any(name in title for name in identity.titles):
        found.remarks.append(
            f"{path}: its title names a session of the subject; look at it, it is kept"
        )


def _add_prediction(folder: Path, found: Found) -> None:
    found.units[folder] = "prediction"
    beside = folder.parent
    if any((beside / name).is_file() for name in INDEXES):
        found.predictions.setdefault(beside, set()).add(folder.name)
        sheet = beside / CONTACT_SHEET
        if sheet.is_file():
            found.units[sheet] = "sheet of predictions"


def is_build_of(path: Path, identity: Identity) -> bool:
    """Whether a `build.json` is of a session of the subject.

    Where the session has been moved, by the photographs that its takes were made of.
    """
    try:
        values = read_json(path)
    except InputError:
        return False
    told = values.get("session_folder") if isinstance(values, dict) else None
    places = [path.parent / told] if isinstance(told, str) else []
    if not places or not places[0].exists():
        places.append(path.parent.parent / "session")  # where exports look for it, too
    if any(place.exists() for place in places):
        return any(str(place.resolve()) in identity.sessions for place in places)
    records = path.parent.rglob(STAGE_RECORD)
    return any(names_any(record, identity.photographs) for record in records)


def _lists(path: Path, pseudonym: str) -> bool:
    """Whether a dataset's index has the subject, or its shard is there."""
    if (path.parent / SHARDS / f"{pseudonym}.h5").exists():
        return True
    try:
        subjects = read_json(path)["subjects"]
        return pseudonym in {s if isinstance(s, str) else s["id"] for s in subjects}
    except (InputError, KeyError, TypeError):
        return False


def _head_of(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", errors="replace") as stream:
            return stream.read(_PAGE_HEAD)
    except OSError:
        return ""


def _title_of(head: str) -> str:
    found = _TITLE.search(head)
    return html.unescape(found[1]).strip() if found else ""


def _drop_inner(found: Found) -> None:
    """Leave out what lies in something that goes anyway."""
    for path in list(found.units):
        if any(above in found.units for above in path.parents):
            del found.units[path]
    found.datasets = {path for path in found.datasets if not found.covers(path)}
    found.packs = {path for path in found.packs if not found.covers(path)}
    for path in found.packs:
        check_pack(path)  # before anything is deleted


def _find_trainings(paths: Sequence[Path], found: Found) -> None:
    """Find trainings that were given a dataset or samples with the subject."""
    touched = {*found.datasets, *found.packs}
    for path in paths:
        if path.name != RUN_FILE or found.covers(path):
            continue
        try:
            told = _texts(read_json(path))
        except InputError:
            continue
        run = path.parent
        places = {(base / text).resolve() for text in told for base in (run, run.parent, Path())}
        if touched & places:
            found.runs.add(run)
            pictures = [run / name for name in _PICTURES if (run / name).exists()]
            found.units |= dict.fromkeys(pictures, "pictures of a training with the subject")
    for path in paths:
        if path.name == _PREPARED and any(run in found.runs for run in path.parents):
            found.units[path.parent] = "prepared samples of a training with the subject"


def _texts(value: Any) -> list[str]:
    """Return the texts in JSON that may be paths."""
    if isinstance(value, str):
        return [value] if value and "\0" not in value and len(value) < _MOST_PATH else []
    inner = list(value.values()) if isinstance(value, dict) else value
    return [t for entry in inner for t in _texts(entry)] if isinstance(inner, list) else []


def _check(
    found: Found, roots: Sequence[Path], paths: Sequence[Path], units: Collection[Path]
) -> None:
    """Refuse to take away what is somebody else's, or the folder that is searched."""
    for path in units:
        if path in roots:
            raise InputError(
                f"{path}: all of it is the subject's; give the folder above it with --in"
            )
    pseudonym = found.identity.pseudonym
    foreign: dict[Path, str] = {
        folder: f"the session of {who}"
        for folder, who in found.people.sessions.items()
        if who != pseudonym
    }
    for folder, names in found.people.datasets.items():
        if set(names) - {pseudonym}:
            foreign[folder] = "a dataset with other subjects"
    for path in paths:
        if path.name == SUMMARY and not found.covers(path):
            foreign |= _needed_by(path)
    for path, what in foreign.items():
        if path in units or any(above in units for above in path.parents):
            raise InputError(
                f"{path}: {what}, but it lies in a folder of {pseudonym}; move it out, then erase"
            )


def _needed_by(path: Path) -> Mapping[Path, str]:
    """Return the rig that somebody else's build was made with."""
    try:
        values = read_json(path)
    except InputError:
        return {}
    rig = values.get("rig_file") if isinstance(values, dict) else None
    if not isinstance(rig, str):
        return {}
    return {(path.parent / rig).resolve(): f"the rig of {path.parent}"}
