"""Frozen dataclass configs: load and dump, refuse unknown keys, override from the command line."""

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping, Sequence
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

import yaml

from .errors import ConfigError

Config = TypeVar("Config")

_MOST_CHARACTERS = 200_000  # some seconds of reading
_MOST_VALUES = 100_000  # of a YAML file: hundreds are common


def from_mapping(config_type: type[Config], values: Mapping[str, Any], *, where: str) -> Config:
    """Build a config dataclass from plain values.

    A config class may name, in its `SHORT_FORMS`, functions that read a setting from text.

    Raises
    ------
    ConfigError
        A key is unknown (the nearest known one is named) or a value has the wrong type.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where}: expected a mapping, got {_shown(values)}")
    hints = typing.get_type_hints(config_type)
    known = [f.name for f in dataclasses.fields(config_type)]  # type: ignore[arg-type]
    short_forms = getattr(config_type, "SHORT_FORMS", {})
    given: dict[str, Any] = {}
    for key, value in values.items():
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
            raise ConfigError(f"{where}: unknown setting {key!r}; {hint}")
        if isinstance(value, str) and key in short_forms:
            given[key] = short_forms[key](value)
            continue
        given[key] = _convert(hints[key], value, where=f"{where}: {key}")
    try:
        return config_type(**given)
    except (TypeError, ValueError, OverflowError) as error:
        raise ConfigError(f"{where}: {_first(error)}") from error


def known_fields(config_type: type[Any], values: Any) -> Any:
    """Return what a config class has fields for: records of a later minor version may tell more.

    Settings of settings as well; what is no mapping is returned as it is, for `from_mapping` to
    refuse.
    """
    if not isinstance(values, Mapping):
        return values
    names = {entry.name for entry in dataclasses.fields(config_type)}
    known = {key: value for key, value in values.items() if key in names}
    within = [key for key, value in known.items() if isinstance(value, Mapping)]
    hints = typing.get_type_hints(config_type) if within else {}
    for key in within:
        if dataclasses.is_dataclass(hints[key]) and isinstance(hints[key], type):
            known[key] = known_fields(hints[key], known[key])
    return known


def load_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping; ConfigError when the file is absent or something else."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not readable as YAML ({error})") from error
    values = parse_yaml(text, where=str(path))
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected `key: value` lines")
    return values


def parse_yaml(text: str, *, where: str) -> Any:
    """Return what a YAML text says, plain values alone.

    Raises
    ------
    ConfigError
        It is no YAML, or its aliases make it say the same things without end.
    """
    if len(text) > _MOST_CHARACTERS:
        raise ConfigError(f"{where}: {len(text)} characters are too many for settings")
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{where}: not readable as YAML ({_first(error)})") from error
    # of dates and numbers that are none, and of brackets without end
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise ConfigError(f"{where}: a value cannot be read as YAML ({_first(error)})") from error
    if not _is_bounded(values):
        raise ConfigError(f"{where}: too many values, or aliases of aliases")
    return values


def _is_bounded(values: Any) -> bool:
    """Whether a walk through nested values ends; aliases may make a small text endless."""
    waiting, n = [values], 0
    while waiting:
        value = waiting.pop()
        n += 1
        if n > _MOST_VALUES:
            return False
        if isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, (list, tuple, set)):
            waiting += value
    return True


def _first(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def with_overrides(config: Config, assignments: Sequence[str]) -> Config:
    """Apply `key=value` assignments of the command line (values in YAML).

    A setting of a setting has a dot: `relief.window=9`.
    """
    merged = to_mapping(config)
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals:
            raise ConfigError(f"--set {assignment}: expected key=value")
        *outer, name = key.strip().split(".")
        place: Any = merged
        for part in outer:
            place = place.get(part)
            if not isinstance(place, dict):
                raise ConfigError(f"--set {assignment}: {part!r} has no settings of its own")
        place[name] = parse_yaml(text, where=f"--set {assignment}")
    return from_mapping(type(config), merged, where="--set")


def to_mapping(config: Any) -> dict[str, Any]:
    """Return the config as plain values, ready for YAML, JSON and hashing."""
    return dataclasses.asdict(config)


def _shown(value: Any) -> str:
    """Return a value as a message can hold it."""
    if isinstance(value, int) and value.bit_length() > 256:  # such have no text, or a long one
        return "a number of too many digits"
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _convert(hint: Any, value: Any, *, where: str) -> Any:
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if isinstance(value, hint):
            return value
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where}: expected a mapping")
        return from_mapping(hint, value, where=where)
    origin = typing.get_origin(hint)
    if origin is tuple and isinstance(value, (list, tuple)):
        element = typing.get_args(hint)
        if len(element) == 2 and element[1] is Ellipsis:
            return tuple(
                _convert(element[0], v, where=f"{where}[{i}]") for i, v in enumerate(value)
            )
        if len(element) != len(value):
            raise ConfigError(f"{where}: expected {len(element)} values, got {len(value)}")
        return tuple(_convert(h, v, where=where) for h, v in zip(element, value, strict=True))
    if origin is tuple:
        raise ConfigError(f"{where}: expected a list of values, got {_shown(value)}")
    if origin in (types.UnionType, typing.Union):
        arms = [arm for arm in typing.get_args(hint) if arm is not type(None)]
        optional = len(arms) < len(typing.get_args(hint))
        if len(arms) > 1 or (value is None and optional):  # of several types: accepted as given
            return value
        return _convert(arms[0], value, where=where)
    if origin is not None:
        return value
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise ConfigError(f"{where}: {_shown(value)} is too large") from None
    if isinstance(hint, type) and not isinstance(value, hint):
        if isinstance(value, bool) and issubclass(hint, Enum):
            value = "on" if value else "off"  # words that YAML takes for truth values
        if hint is str and not isinstance(value, (int, float)):  # anything has a text: numbers do
            raise ConfigError(f"{where}: expected a text, got {_shown(value)}")
        with suppress(TypeError, ValueError, OverflowError):
            return hint(value)
        if issubclass(hint, Enum):
            known = ", ".join(str(member.value) for member in hint)
            raise ConfigError(f"{where}: expected one of {known}; got {_shown(value)}")
        raise ConfigError(f"{where}: expected {hint.__name__}, got {_shown(value)}")
    return value
