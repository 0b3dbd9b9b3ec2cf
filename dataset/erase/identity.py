"""By what a subject's files are known: a pseudonym, the hashes of photographs, the sessions."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import h5py

from ...capture.pseudonym import kept_pseudonym, pseudonym_of
from ...capture.session import SESSION_FILE, Session, TakeKind, load_session
from ...core.errors import InputError
from ...core.files import read_json
from ..audit import audited
from ..export.hdf5 import EXPORT_FILE
from ..manifest import MANIFEST, files_of
from ..seal import check_seal

SHARDS = "subjects"
"""Folder of a dataset that holds a file for each subject."""
_LISTS = ("photographs", "originals", "sessions", "titles", "shared_titles")


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What tells that a file is of a subject."""

    pseudonym: str
    photographs: frozenset[str] = frozenset()
    """SHA-256 of originals, companions and of the small copies in shards."""
    originals: frozenset[str] = frozenset()
    """SHA-256 of the photographs that were taken of the subject."""
    sessions: frozenset[str] = frozenset()
    """Resolved paths of the session folders, there or erased already."""
    titles: frozenset[str] = frozenset()
    """Names of those sessions that no session of another subject has: pages bear them."""
    shared_titles: frozenset[str] = frozenset()
    """Names of those sessions that sessions of other subjects have, too."""

    @property
    def is_known(self) -> bool:
        """Whether anything of the subject was found."""
        return bool(self.sessions or self.photographs)

    def with_all(self, other: "Identity") -> "Identity":
        """Return both together."""
        return replace(
            self,
            photographs=self.photographs | other.photographs,
            originals=self.originals | other.originals,
            sessions=self.sessions | other.sessions,
            titles=self.titles | other.titles,
            shared_titles=self.shared_titles | other.shared_titles,
        )


@dataclass
class People:
    """Everyone found in a tree."""

    sessions: dict[Path, str] = field(default_factory=dict)
    """Session folder -> pseudonym."""
    datasets: dict[Path, tuple[str, ...]] = field(default_factory=dict)
    """Dataset folder -> pseudonyms of its shards."""
    remarks: list[str] = field(default_factory=list)
    """What could not be read."""

    def others(self, pseudonym: str) -> tuple[str, ...]:
        """Return everyone but one."""
        every = {*self.sessions.values(), *(s for names in self.datasets.values() for s in names)}
        return tuple(sorted(every - {pseudonym}))


def people_in(paths: Iterable[Path]) -> People:
    """Find out whose sessions and datasets are among the files of a tree."""
    people = People()
    for path in paths:
        if path.name == SESSION_FILE:
            try:
                people.sessions[path.parent] = pseudonym_of(load_session(path.parent))
            except InputError as error:
                people.remarks.append(f"{error}; whose it is cannot be told")
        elif path.name in (MANIFEST, EXPORT_FILE) and (path.parent / SHARDS).is_dir():
            shards = files_of(path.parent / SHARDS, ".h5")
            people.datasets[path.parent] = tuple(shard.stem for shard in shards)
    return people


def identity_of(pseudonym: str, people: People) -> Identity:
    """Return what is known of a subject; empty where nothing is."""
    found = Identity(pseudonym=pseudonym)
    mine = [folder for folder, subject in people.sessions.items() if subject == pseudonym]
    foreign = {_name_of(folder) for folder, who in people.sessions.items() if who != pseudonym}
    for folder in mine:
        session = load_session(folder)
        originals = photographs_of(session)
        found = found.with_all(
            Identity(
                pseudonym=pseudonym, photographs=originals, originals=originals,
                sessions=frozenset([str(folder.resolve())]),
                titles=frozenset({session.name} - foreign - {""}),
                shared_titles=frozenset({session.name} & foreign - {""}),
            )
        )  # fmt: skip
    for folder, subjects in people.datasets.items():
        if pseudonym in subjects:
            try:
                copies, originals = _hashes_in(folder / SHARDS / f"{pseudonym}.h5")
            except InputError as error:
                people.remarks.append(str(error))
                continue
            found = found.with_all(
                Identity(
                    pseudonym=pseudonym, photographs=copies | originals, originals=originals,
                )
            )  # fmt: skip
    people.remarks += _other_names(mine, pseudonym)
    return found


def photographs_of(session: Session) -> frozenset[str]:
    """Return the SHA-256 of a session's photographs of the subject, and of their other files."""
    shots = [shot for take in session.takes_of(TakeKind.SUBJECT) for shot in take.shots]
    others = {shot.companion_sha256 for shot in shots} - {None}
    return frozenset({shot.sha256 for shot in shots} | {str(sha256) for sha256 in others})


def _other_names(sessions: Iterable[Path], pseudonym: str) -> list[str]:
    """Tell what else a session's subject was called before its form came."""
    names = {folder: kept_pseudonym(folder) for folder in sessions}
    return [
        f"{folder}: its subject went by {name} before the form came; exports of that time bear "
        f"that name: facekit erase {name}"
        for folder, name in names.items()
        if name not in (None, pseudonym)
    ]


def _name_of(folder: Path) -> str:
    values = read_json(folder / SESSION_FILE)
    return str(values.get("name", ""))


def _hashes_in(shard: Path) -> tuple[frozenset[str], frozenset[str]]:
    """Return the hashes of the pictures in a shard, and of the photographs they were made of."""
    copies, originals = set(), set()
    check_seal(shard)  # a damaged file may make HDF5 trip over the next one
    with audited(shard) as file:
        for capture in file["captures"].values():
            images = capture.get("images")
            for image in images.values() if isinstance(images, h5py.Group) else ():
                copies.add(hashlib.sha256(image[()].tobytes()).hexdigest())
                originals.add(str(image.attrs["sha256_original"]))
    return frozenset(copies), frozenset(originals)


def to_json(identity: Identity) -> dict[str, object]:
    """Return an identity as JSON keeps it."""
    lists: dict[str, object] = {name: sorted(getattr(identity, name)) for name in _LISTS}
    return {"pseudonym": identity.pseudonym, **lists}


def from_json(values: dict[str, Sequence[str]]) -> Identity:
    """Return the identity that `to_json` wrote."""
    given = {"shared_titles": (), **values}  # a run of an older facekit did not tell them
    lists = {name: frozenset(map(str, given[name])) for name in _LISTS}
    return Identity(pseudonym=str(values["pseudonym"]), **lists)


def names_any(path: Path, hashes: frozenset[str]) -> bool:
    """Whether a JSON file names one of the photographs by its hash."""
    if not hashes:
        return False
    try:
        content = path.read_bytes()
    except OSError:
        return False
    return any(sha256.encode() in content for sha256 in hashes)
