"""Atomic writes, content hashes, JSON, who is at work where, and the `stage.json` record."""

import fcntl
import hashlib
import json
import os
import secrets
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import InputError, SchemaError

STAGE_RECORD = "stage.json"


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
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as outer:
        part = Path(outer) / path.name
        part.mkdir()
        yield part
        part.rename(path)


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path` atomically."""
    with atomic_path(path) as part:
        part.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 `text` to `path` atomically."""
    write_bytes(path, text.encode())


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
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not readable as JSON ({error})") from error
    if format_name is not None:
        found = value.get("format") if isinstance(value, dict) else None
        if found != format_name:
            raise SchemaError(f"{path}: not a {format_name} file (its format is {found!r})")
        if value.get("version") != version:
            raise SchemaError(
                f"{path}: {format_name} version {value.get('version')!r}, "
                f"but this facekit reads version {version}"
            )
    return value


@contextmanager
def in_use(folder: Path, *, alone: bool = False) -> Iterator[None]:
    """Let other processes know that this one is at work in `folder`, which has to be there.

    Several may be, but none beside one that has to be `alone`. The lock is on the folder itself:
    it leaves no file, and ends with the process. Some network file systems have no locks; there
    nobody is kept out.

    Raises
    ------
    InputError
        Another process is at work there.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):
            try:
                fcntl.flock(handle, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
            except BlockingIOError:
                raise InputError(
                    f"{folder}: another process is at work there; wait until it has ended"
                ) from None
        yield
    finally:
        os.close(handle)


def stays_inside(name: str) -> bool:
    """Tell whether a path that a file names, with `/`, stays below the folder it is relative to."""
    return bool(name) and not name.startswith("/") and ".." not in name.split("/")


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
    """Run a stage that writes into `folder`; leave `stage.json` only when it ends well."""
    from .. import __version__

    folder.mkdir(parents=True, exist_ok=True)
    (folder / STAGE_RECORD).unlink(missing_ok=True)
    run, start, start_cpu = StageRun(), time.perf_counter(), time.process_time()
    yield run
    write_json(
        folder / STAGE_RECORD,
        {
            "format": "facekit-stage",
            "version": 1,
            "facekit": __version__,
            "stage": key.stage,
            "key": key.hash(),
            "config": dict(key.config),
            "inputs": dict(key.inputs),
            "seconds": round(time.perf_counter() - start, 3),
            "cpu_seconds": round(time.process_time() - start_cpu, 3),
            "results": run.results,
        },
    )
