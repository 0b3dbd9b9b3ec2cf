"""Published results that ship with facekit, each with where it was read.

A file of `leaderboards/`:

    title: NoW, test set
    note: what must be known to compare
    rows:                      # row of the benchmark's table -> title of its columns
      all: non-metrical
    methods:
      - name: DECA
        values: {all: {median: 1.09, mean: 1.38, std: 1.18}}
        source: README of Deep3DFaceRecon_pytorch
        standing: read         # or second-hand, or recalled: see `Standing`
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib import resources
from typing import Any

import yaml

from ...core.errors import SchemaError


class Standing(StrEnum):
    """How sure a published number is."""

    READ = "read"
    """In the source named."""
    SECOND_HAND = "second-hand"
    """Somebody else quotes it."""
    RECALLED = "recalled"
    """Not checked against its source: may be wrong in a digit or a row."""


MARKS: Mapping[Standing, str] = {
    Standing.READ: "",
    Standing.SECOND_HAND: "†",
    Standing.RECALLED: "‡",
}
"""What a table sets behind a method's name."""


@dataclass(frozen=True, kw_only=True)
class Published:
    """A method's published results."""

    name: str
    values: Mapping[str, Mapping[str, float]]
    """Row -> metric -> value."""
    source: str
    standing: Standing


@dataclass(frozen=True, kw_only=True)
class Leaderboard:
    """Published results of a benchmark."""

    title: str
    note: str
    rows: Mapping[str, str]
    """Row of the benchmark's table -> title of its columns."""
    methods: tuple[Published, ...]


def load_leaderboard(name: str) -> Leaderboard:
    """Return a leaderboard that ships with facekit.

    Raises
    ------
    SchemaError
        There is none of that file name, or it is not as the module says.
    """
    file = resources.files(__package__).joinpath("leaderboards", name)
    try:
        return parse_leaderboard(yaml.safe_load(file.read_text(encoding="utf-8")), where=name)
    except FileNotFoundError:
        raise SchemaError(f"{name}: facekit ships no such leaderboard") from None


def parse_leaderboard(values: Any, *, where: str) -> Leaderboard:
    """Return a leaderboard of what YAML holds; raises SchemaError."""
    try:
        rows = {str(label): str(title) for label, title in values["rows"].items()}
        methods = tuple(_published(entry, rows) for entry in values["methods"])
        return Leaderboard(
            title=str(values["title"]),
            note=str(values.get("note", "")),
            rows=rows,
            methods=methods,
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise SchemaError(f"{where}: not a leaderboard ({error})") from error


def _published(entry: Any, rows: Mapping[str, str]) -> Published:
    values = {
        str(row): {str(metric): float(value) for metric, value in figures.items()}
        for row, figures in entry["values"].items()
    }
    unknown = sorted(set(values) - set(rows))
    if unknown:
        raise ValueError(f"{entry['name']}: no row {unknown[0]!r}")
    if not entry["source"]:
        raise ValueError(f"{entry['name']}: no source")
    return Published(
        name=str(entry["name"]),
        values=values,
        source=str(entry["source"]),
        standing=Standing(entry["standing"]),
    )
