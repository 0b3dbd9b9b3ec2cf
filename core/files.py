"""Atomic writes, content hashes, JSON, and the `stage.json` record."""

import hashlib
import json
import math
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import InputError, SchemaError
from .folderlock import in_use, only_writer

STAGE_RECORD = "stage.json"

_MOST_JSON = 1 << 28  # bytes
_LONGEST_NAME, _LONGEST_PATH = 255, 900  # bytes and characters that file systems take
_LONG_NUMBER = re.compile(r"\d{19}|[eE]\+?\d{3}")
"""What may be beyond 64 bits, or infinite once read."""

_UNFINISHED = re.compile(r".*\.[0-9a-f]{8}\.part(\.\w+)?")


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary name beside `path`; move it to `path` when the block ends well.

    The temporary keeps the suffix (`mesh.1f09ab3c.part.ply`), since writers choose their
    format by it; its name is drawn, so that threads may write the same file. When the block
    raises, the temporary is removed and an older `path` stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.stem}.{secrets.token_hex(4)}.part{path.suffix}")
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder beside `path`; move it to `path` when the block ends well.

    When the block raises, the folder is removed; `path` must not be there yet.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")  # none of its like
    try:
        part.mkdir()
        yield part
        part.rename(path)
    finally:
        shutil.rmtree(part, ignore_errors=True)


@contextmanager
def scratch_folder(place: Path) -> Iterator[Path]:
    """Give a folder in `place` for what is of no use afterwards; a killed process leaves it.

    `clear_unfinished` then removes it.
    """
    scratch = place / f".scratch.{secrets.token_hex(4)}.part"
    try:
        scratch.mkdir(parents=True)
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def is_unfinished(path: Path) -> bool:
    """Whether this has a name that `atomic_path` and `atomic_folder` give to what is unfinished."""
    return _UNFINISHED.fullmatch(path.name) is not None


def clear_unfinished(folder: Path, *, of: Path | None = None) -> None:
    """Remove what killed writers left unfinished in `folder`; for its only writer.

    Parameters
    ----------
    of : Path, optional
        Remove the unfinished files of this one alone.
    """
    for path in folder.iterdir() if folder.is_dir() else ():
        if not is_unfinished(path) or (of is not None and not path.name.startswith(f"{of.stem}.")):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path` atomically."""
    with atomic_path(path) as part:
        part.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 `text` to `path` atomically."""
    write_bytes(path, text.encode())


def read_text(path: Path) -> str:
    """Read UTF-8 text.

    Raises
    ------
    InputError
        The file is absent, or holds no text.
    """
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not readable as text ({error})") from error


def write_private_text(path: Path, text: str) -> None:
    """Write UTF-8 `text` that its owner alone can read, atomically and down to the disk."""
    with atomic_path(path) as part:
        # private from its first byte on
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically; NaN and infinities are refused."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def _from_json(text: str, *, is_own: bool) -> Any:
    """Return what JSON says; in files of facekit, numbers that have no value are refused."""
    if not is_own:
        return json.loads(text)
    hooks: dict[str, Any] = {"parse_constant": _no_constant}
    if _LONG_NUMBER.search(text):  # seldom: numbers are looked at one by one then
        hooks |= {"parse_int": _whole, "parse_float": _finite}
    return json.loads(text, **hooks)


def _whole(text: str) -> int:
    if len(text) > 20 or not -(2**63) <= int(text) < 2**64:
        raise ValueError(f"{text[:20]}... is too large")
    return int(text)


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text[:20]} is too large")
    return value


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is no number")


def read_json(path: Path, *, format_name: str | None = None, version: int | None = None) -> Any:
    """Read a JSON file; with `format_name` and `version`, check the two keys that say what it is.

    Raises
    ------
    InputError
        The file is absent or no JSON.
    SchemaError
        It is not a `format_name` of this version.
    """
    try:
        if path.stat().st_size > _MOST_JSON:
            raise InputError(f"{path}: larger than any JSON of facekit or of its like")
        value = _from_json(path.read_text(encoding="utf-8"), is_own=format_name is not None)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not readable as JSON ({error})") from error
    except RecursionError:
        raise InputError(f"{path}: not readable as JSON (nested without end)") from None
    if format_name is not None:
        found = value.get("format") if isinstance(value, dict) else None
        if found != format_name:
            raise SchemaError(f"{path}: not a {format_name} file (its format is {found!r:.60})")
        if value.get("version") != version:
            raise SchemaError(
                f"{path}: {format_name} version {value.get('version')!r:.40}, "
                f"but this facekit reads version {version}"
            )
    return value


def read_json_or_unmarked(path: Path, *, format_name: str, version: int) -> Any:
    """Read as `read_json` does; but a file that names no format at all passes.

    Raises
    ------
    InputError
        The file is absent or no JSON.
    SchemaError
        It is of another format or version.
    """
    value = read_json(path)
    if not isinstance(value, dict) or "format" not in value:
        return value
    return read_json(path, format_name=format_name, version=version)


def stays_inside(name: str) -> bool:
    """Tell whether a path that a file names, with `/`, stays below the folder it is relative to."""
    if not name or not name.isprintable() or len(name) > _LONGEST_PATH:
        return False
    parts = name.split("/")
    fits = all(len(part.encode()) <= _LONGEST_NAME for part in parts)
    return fits and bool(parts[0]) and ".." not in parts


def is_file_name(name: str) -> bool:
    """Tell whether a name, with an ending, can be that of a file in a folder, and nothing else."""
    return stays_inside(name) and "/" not in name and name != "." and len(name.encode()) < 200


def sha256_file(path: Path) -> str:
    """Return the hex SHA-256 of the file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def hash_of(value: Any) -> str:
    """Return a short stable hash of a JSON-able value."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, kw_only=True)
class StageKey:
    """What determines a stage's output; equal keys mean equal outputs."""

    stage: str
    """Name of the stage, such as `calibrate`."""
    config: Mapping[str, Any]
    """Its settings, JSON-able."""
    inputs: Mapping[str, str]
    """Name of each input -> its content hash."""

    def hash(self) -> str:
        """Return the hash that `stage.json` keeps."""
        return hash_of([self.stage, self.config, self.inputs])


@dataclass
class StageRun:
    """A stage at work: collects what `stage.json` will say beside key and timing."""

    results: dict[str, Any] = field(default_factory=dict)


def finished(folder: Path, key: StageKey, *, outputs: Sequence[str]) -> dict[str, Any] | None:
    """Return the record in `folder` if this very stage already ended well there, else None."""
    path = folder / STAGE_RECORD
    if not path.is_file() or not all((folder / name).exists() for name in outputs):
        return None
    try:
        record = read_json(path, format_name="facekit-stage", version=1)
    except InputError:
        return None
    return record if record.get("key") == key.hash() else None


@contextmanager
def stage_run(folder: Path, key: StageKey) -> Iterator[StageRun]:
    """Run a stage that writes into `folder`; leave `stage.json` only when it ends well.

    Nobody else writes there meanwhile, and what killed runs left unfinished is removed first.

    Raises
    ------
    InputError
        Another process writes in `folder`, or erases it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with in_use(folder), only_writer(folder):
        clear_unfinished(folder)
        (folder / STAGE_RECORD).unlink(missing_ok=True)
        run, start, start_cpu = StageRun(), time.perf_counter(), time.process_time()
        yield run
        seconds = time.perf_counter() - start, time.process_time() - start_cpu
        write_json(folder / STAGE_RECORD, _record(key, run, *seconds))


def _record(key: StageKey, run: StageRun, seconds: float, cpu_seconds: float) -> dict[str, Any]:
    from .. import __version__

    return {
        "format": "facekit-stage",
        "version": 1,
        "facekit": __version__,
        "stage": key.stage,
        "key": key.hash(),
        "config": dict(key.config),
        "inputs": dict(key.inputs),
        "seconds": round(seconds, 3),
        "cpu_seconds": round(cpu_seconds, 3),
        "results": run.results,
    }
