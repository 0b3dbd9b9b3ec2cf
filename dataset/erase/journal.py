"""What an erasure set out to do, on the disk, so that it can be finished whatever ends it.

`.facekit-erasing.json` (mode 0600) lies in the first folder that is searched, from before the
first file is deleted until the search has ended. It holds the probes, so that what was drawn
before a kill is looked for after it.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...core.errors import InputError, SchemaError
from ...core.files import read_json, write_private_text
from .identity import Identity, from_json, to_json

JOURNAL = ".facekit-erasing.json"
FORMAT, VERSION = "facekit-erasing", 1


@dataclass(kw_only=True)
class Journal:
    """One erasure."""

    identity: Identity
    roots: tuple[Path, ...]
    units: dict[Path, str] = field(default_factory=dict)
    datasets: set[Path] = field(default_factory=set)
    packs: set[Path] = field(default_factory=set)
    predictions: dict[Path, set[str]] = field(default_factory=dict)
    probes: set[bytes] = field(default_factory=set)
    files: int = 0
    """To be deleted, when it began."""
    n_bytes: int = 0

    @property
    def path(self) -> Path:
        """Where it is kept."""
        return self.roots[0] / JOURNAL

    def save(self) -> None:
        """Write it, down to the disk, before anything is deleted."""
        values = {
            "format": FORMAT,
            "version": VERSION,
            "identity": to_json(self.identity),
            "roots": [str(path) for path in self.roots],
            "units": {str(path): why for path, why in sorted(self.units.items())},
            "datasets": sorted(map(str, self.datasets)),
            "packs": sorted(map(str, self.packs)),
            "predictions": {str(p): sorted(names) for p, names in self.predictions.items()},
            "probes": sorted(probe.hex() for probe in self.probes),
            "files": self.files,
            "bytes": self.n_bytes,
        }
        write_private_text(self.path, json.dumps(values, indent=1) + "\n")


def open_journal(roots: tuple[Path, ...], pseudonym: str) -> Journal | None:
    """Return the journal of a run that was cut off; None where there is none.

    Raises
    ------
    InputError
        It is of another subject.
    SchemaError
        It is not as it was written, or names something outside of its folders.
    """
    for root in roots:
        path = root / JOURNAL
        if not path.is_file() or path.is_symlink():
            continue
        try:
            journal = _from_json(read_json(path, format_name=FORMAT, version=VERSION))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise SchemaError(
                f"{path}: damaged ({error}); delete it, then erase the subject again"
            ) from error
        if not journal.roots:
            raise SchemaError(f"{path}: damaged: names no folder; delete it")
        if journal.identity.pseudonym != pseudonym:
            raise InputError(
                f"{path}: an erasure of {journal.identity.pseudonym} was cut off here; finish it "
                f"first: facekit erase {journal.identity.pseudonym} --in {root}"
            )
        if journal.roots[0] != root:
            raise InputError(f"{path}: was moved here from {journal.roots[0]}; delete it")
        _check(journal, path)
        return journal
    return None


def _from_json(values: dict[str, Any]) -> Journal:
    return Journal(
        identity=from_json(values["identity"]),
        roots=tuple(Path(text) for text in values["roots"]),
        units={Path(text): str(why) for text, why in values["units"].items()},
        datasets={Path(text) for text in values["datasets"]},
        packs={Path(text) for text in values["packs"]},
        predictions={Path(text): set(names) for text, names in values["predictions"].items()},
        probes={bytes.fromhex(text) for text in values["probes"]},
        files=int(values["files"]),
        n_bytes=int(values["bytes"]),
    )


def _check(journal: Journal, path: Path) -> None:
    """Refuse places that lead out of the folders that were given: links made meanwhile, too."""
    for place in (*journal.units, *journal.datasets, *journal.packs, *journal.predictions):
        if "\0" in str(place):  # which no path can hold
            raise SchemaError(f"{path}: names {str(place)[:80]!a}, which is no path")
        # of a unit the folder that it lies in: it may be a link itself
        real = place.parent.resolve() / place.name
        if ".." in place.parts or not any(
            real.is_relative_to(root) and real != root for root in journal.roots
        ):
            if place in journal.roots and place not in journal.units:
                continue  # a dataset may be what is searched
            raise SchemaError(f"{path}: names {place}, which is outside of what is searched")
