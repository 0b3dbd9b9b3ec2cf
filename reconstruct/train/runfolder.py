"""A run's folder: whose it is, and that one training at a time writes in it.

run.json        task and settings: another training is refused
state/          states to go on from (`state`)
best.safetensors  weights with the best score so far
weights/        what the task exports, of the best so far
log.jsonl       a line per step and per validation (`board`)
tensorboard/, panels/
stage.json      the result, when the training has ended
"""

import fcntl
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...core.errors import ConfigError, InputError
from ...core.files import read_json, write_json
from .config import LoopConfig, Resume

RUN_RECORD = "run.json"
_FORMAT = "facekit-train-run"
_VERSION = 1


def claim(
    out: Path, task: str, settings: Mapping[str, Any], config: LoopConfig, resume: Resume
) -> None:
    """Make the folder a run's, or see that it is this run's already.

    Raises
    ------
    ConfigError
        It belongs to another task or to other settings, or `resume` says otherwise.
    InputError
        It cannot be written.
    """
    now = {"task": task, "settings": json.loads(json.dumps(settings, default=str))}
    path = out / RUN_RECORD
    if not path.is_file():
        if resume is Resume.ONLY:
            raise ConfigError(f"{out}: no run is there to be resumed (--resume only)")
        try:
            write_json(path, {"format": _FORMAT, "version": _VERSION, **now})
        except OSError as error:
            raise InputError(f"{out}: cannot be written ({error.strerror or error})") from error
        return
    if resume is Resume.NEVER:
        raise ConfigError(f"{out}: holds a run already; give another --out (--resume never)")
    then = read_json(path, format_name=_FORMAT, version=_VERSION)
    if then.get("task") != task:
        raise ConfigError(f"{out}: holds a training of {then.get('task')!r}; give another --out")
    _refuse_other_settings(out, then["settings"], now["settings"], config.free)


def _refuse_other_settings(
    out: Path, then: Mapping[str, Any], now: Mapping[str, Any], free: Sequence[str] | frozenset[str]
) -> None:
    before, after = _flat(then), _flat(now)
    differing = [
        name
        for name in dict.fromkeys([*before, *after])
        if before.get(name) != after.get(name)
        and not (name.startswith("loop.") and name.removeprefix("loop.") in free)
    ]
    if not differing:
        return
    name = differing[0]
    more = f" (and {len(differing) - 1} more)" if len(differing) > 1 else ""
    raise ConfigError(
        f"{out}: holds a run with {name} = {before.get(name)!r}, not {after.get(name)!r}{more}: "
        "give another --out, or the same settings"
    )


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return settings by dotted names."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


@contextmanager
def alone(out: Path) -> Iterator[None]:
    """Keep other trainings out of a folder within; a killed process keeps nobody out.

    Raises
    ------
    InputError
        Another training is at work there.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        handle = (out / ".lock").open("w")
    except OSError as error:
        raise InputError(f"{out}: cannot be written ({error.strerror or error})") from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"{out}: another training is at work there; wait for it, or give another --out"
            ) from None
        yield
