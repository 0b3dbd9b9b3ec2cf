"""How a take came about, in few words: the records of its stages without paths and names.

A record travels with the dataset, so that it must not tell what `restricted/` keeps: no path of
the machine, no name of a file, no list of the photographs' hashes (one hash of all stands for
them).
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...core.errors import InputError
from ...core.files import STAGE_RECORD, hash_of, read_json

MOST_BYTES = 60_000
"""Of all stages of a take; HDF5 keeps attributes of at most 64 kB."""

_PATH = re.compile(r"(^|\s)([A-Za-z]:\\|~?/)\S|\.(jpe?g|png|tiff?|json|npz|ply|obj)\b", re.I)
_MOST_TEXT = 200
_RESULTS_DEPTH = 2


def stages_of(folders: Sequence[Path]) -> dict[str, Any]:
    """Return stage -> its condensed record, of all stages below folders."""
    found = {}
    for path in [p for folder in folders for p in sorted(folder.rglob(STAGE_RECORD))]:
        try:
            record = read_json(path, format_name="facekit-stage", version=1)
        except InputError:
            continue  # a stage that was cut off; what follows from it is missing, too
        found[str(record.get("stage"))] = _condensed(record)
    return found


def stages_json(
    folders: Sequence[Path], *, renamed: Mapping[str, str] | None = None, **facts: Any
) -> str:
    """Return the stages, and further facts of the take, as JSON of at most `MOST_BYTES`.

    Where they are too long, results go first, then settings.

    Parameters
    ----------
    renamed : mapping of str to str, optional
        Name of a camera -> what it is called in the dataset.
    """
    names = {old: new for old, new in (renamed or {}).items() if old != new}
    stages = _renamed(stages_of(folders), names) if names else stages_of(folders)
    for left_out in ((), ("results",), ("results", "config"), ("results", "config", "inputs")):
        kept = {
            stage: {key: value for key, value in record.items() if key not in left_out}
            for stage, record in stages.items()
        }
        text = json.dumps({**facts, "stages": kept}, allow_nan=False, separators=(",", ":"))
        if len(text.encode()) <= MOST_BYTES:
            return text
    return json.dumps({**facts, "stages": sorted(stages)[:100]}, allow_nan=False)


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    """Replace whole words by others, in keys and texts at any depth."""
    if isinstance(value, dict):
        return {_renamed(key, names): _renamed(entry, names) for key, entry in value.items()}
    if isinstance(value, list):
        return [_renamed(entry, names) for entry in value]
    if not isinstance(value, str):
        return value
    either = "|".join(map(re.escape, sorted(names, key=len, reverse=True)))
    return re.sub(
        rf"(?<![A-Za-z0-9])(?:{either})(?![A-Za-z0-9])", lambda found: names[found[0]], value
    )


def config_of(folders: Sequence[Path]) -> dict[str, Any]:
    """Return stage -> its settings, of all stages below folders."""
    return {stage: record["config"] for stage, record in stages_of(folders).items()}


def sha256_of(value: Any) -> str:
    """Return the hex SHA-256 of a JSON-able value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _condensed(record: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "facekit": record.get("facekit"),
        "key": record.get("key"),
        "config": _clean(record.get("config", {}), depth=4),
        "inputs": hash_of(record.get("inputs", {})),
        "seconds": record.get("seconds"),
        "cpu_seconds": record.get("cpu_seconds"),
        "results": _clean(record.get("results", {}), depth=_RESULTS_DEPTH),
    }


def _clean(value: Any, *, depth: int) -> Any:
    """Return numbers and short words; what may name a file, or lies too deep, is left out."""
    if isinstance(value, dict):
        if depth == 0:
            return None
        cleaned = {str(key): _clean(entry, depth=depth - 1) for key, entry in value.items()}
        return {key: entry for key, entry in cleaned.items() if entry is not None}
    if isinstance(value, (list, tuple)):
        if depth == 0 or len(value) > 64:
            return None
        return [_clean(entry, depth=depth - 1) for entry in value]
    if isinstance(value, str):
        return value if len(value) <= _MOST_TEXT and not _PATH.search(value) else None
    return value if isinstance(value, (bool, int, float)) else None
