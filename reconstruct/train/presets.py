"""Settings that facekit ships, by name, and how a training's settings are put together."""

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from ...core.config import from_mapping, load_yaml, with_overrides
from ...core.errors import ConfigError

Config = TypeVar("Config")

_FOLDER = Path(str(files(__package__).joinpath("configs")))


def preset_names() -> list[str]:
    """Return the names of the settings that come with facekit."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def settings_file(named: str) -> Path:
    """Return the file of settings: a path, or a name of those that come with facekit.

    Raises
    ------
    ConfigError
        It is neither.
    """
    path = Path(named)
    if path.is_file():
        return path
    if named in preset_names():
        return _FOLDER / f"{named}.yaml"
    known = ", ".join(preset_names())
    raise ConfigError(f"--config {named}: neither a file nor one of {known}")


def training_config(
    config_type: type[Config],
    named: str,
    *,
    given: Mapping[str, Any],
    assignments: Sequence[str],
) -> Config:
    """Return a training's settings: of a file or a preset, then the options, then `--set`.

    Parameters
    ----------
    given : mapping
        Options by the dotted names of their settings; None: not given.

    Raises
    ------
    ConfigError
        A setting is unknown or cannot be used.
    """
    path = settings_file(named)
    values = load_yaml(path)
    for name, value in given.items():
        if value is None:
            continue
        place = values
        *outer, last = name.split(".")
        for part in outer:
            place = place.setdefault(part, {})
        place[last] = value
    return with_overrides(from_mapping(config_type, values, where=str(path)), assignments)
