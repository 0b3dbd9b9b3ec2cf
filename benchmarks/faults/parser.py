"""A reader of files under test: how a small valid input of it is made, and how it is read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .mutate import Mutation


@dataclass(frozen=True, kw_only=True)
class Parser:
    """One public reader, or the readers of one kind of file."""

    name: str
    """Such as `obj` or `session-json`."""
    make: Callable[[Path], None]
    """Writes small valid files into an empty folder."""
    read: Callable[[Path], Any]
    """Reads them; raises nothing but a `FacekitError`."""
    damage: Mapping[str, tuple[Mutation, ...]] = field(default_factory=dict)
    """Pattern of file names within the folder -> what may happen to these; files that no
    pattern fits stay whole."""
    slow: bool = False
    """Making and reading an input takes a tenth of a second: a sample has fewer."""
    alone: bool = False
    """Each input has a process of its own: a library keeps in mind what was damaged."""
    needs: str | None = None
    """A package without which there is nothing to try."""
