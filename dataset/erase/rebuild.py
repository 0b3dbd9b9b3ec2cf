"""What lists a subject among others, made anew without it: every step may be run twice."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ...core.files import read_json, sha256_file, write_json, write_text
from ..export.datasheet import datasheet
from ..export.hdf5 import EXPORT_FILE
from ..manifest import MANIFEST, SUMS, files_of, listed_files, read_manifest, read_sums
from ..shardcheck import verify_shard
from .identity import SHARDS

DATASHEET = "DATASHEET.md"
INDEXES = {"reconstruct.json": "photographs", "multiview.json": "faces"}
"""File beside the folders of predictions -> what in it lists them."""
CONTACT_SHEET = "contact.jpg"


def without_subject(folder: Path, subject: str) -> list[Path]:
    """Write the index, datasheet and checksums of a dataset anew; return what was written.

    Shards of others are not touched, and their lines and splits stay as they are. Of a dataset
    that held nobody else, the index goes, too.

    Raises
    ------
    InputError
        An index is damaged.
    """
    present = {path.stem for path in files_of(folder / SHARDS, ".h5")} - {subject}
    written = []
    record = _without_record(folder / EXPORT_FILE, subject)
    if not present:
        for name in (MANIFEST, SUMS, DATASHEET, EXPORT_FILE):
            (folder / name).unlink(missing_ok=True)
        return [folder / MANIFEST]
    if record is not None:
        write_json(folder / EXPORT_FILE, record)
        written.append(folder / EXPORT_FILE)
    if (folder / MANIFEST).is_file():
        splits = _without_entry(folder, subject)
        written.append(folder / MANIFEST)
        if record is not None and (folder / DATASHEET).is_file():
            name = str(read_json(folder / MANIFEST)["name"])
            write_text(folder / DATASHEET, datasheet(name, record, splits))
            written.append(folder / DATASHEET)
    if (folder / SUMS).is_file():
        _write_sums(folder, written)
        written.append(folder / SUMS)
    return written


def _without_record(path: Path, subject: str) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    record = dict(read_json(path))
    record["subjects"] = {n: e for n, e in record.get("subjects", {}).items() if n != subject}
    return record


def _without_entry(folder: Path, subject: str) -> dict[str, str]:
    """Rewrite `dataset.json`; return the splits of those who stay."""
    manifest = read_manifest(folder)  # checks what follows
    values = dict(read_json(folder / MANIFEST))
    values["subjects"] = [entry for entry in values["subjects"] if entry["id"] != subject]
    stay = [entry for entry in manifest.subjects if entry.id != subject]
    values["counts"] = {
        "subjects": len(stay),
        "captures": sum(len(entry.captures) for entry in stay),
        "images": sum(len(capture.views) for entry in stay for capture in entry.captures),
    }
    # the newest capture of all may have been the subject's
    times = [verify_shard(folder / entry.path).attributes["created_utc"] for entry in stay]
    values["created_utc"] = max(map(str, times), default=values["created_utc"])
    write_json(folder / MANIFEST, values)
    return {entry.id: entry.split for entry in stay}


def _write_sums(folder: Path, written: Iterable[Path]) -> None:
    """Write the checksums; of what has not changed they are taken over, not read again."""
    before = read_sums(folder)
    fresh = {path.relative_to(folder).as_posix() for path in written}
    lines = []
    for name in listed_files(folder):
        known = before.get(name) if name not in fresh else None
        lines.append(f"{known or sha256_file(folder / name)}  {name}\n")
    write_text(folder / SUMS, "".join(lines))


def without_predictions(folder: Path, names: Iterable[str]) -> list[Path]:
    """Take predictions out of the index beside them; the sheet of all faces goes.

    Parameters
    ----------
    names : iterable of str
        Of the folders that were deleted.
    """
    written = []
    gone = set(names)
    for index, key in INDEXES.items():
        path = folder / index
        if not path.is_file():
            continue
        values = dict(read_json(path))
        for part in (key, "failed"):
            values[part] = {n: e for n, e in values.get(part, {}).items() if n not in gone}
        if not values[key]:
            path.unlink()
        else:
            values.pop("contact_sheet", None)
            write_json(path, values)
        (folder / CONTACT_SHEET).unlink(missing_ok=True)
        written.append(path)
    return written
