"""What a versioned format is to the suite: a file of it, and what opens that."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Format:
    """A format, a file of it, and what opens that."""

    name: str
    path: Path
    """`.json`, `.npz`, `.h5` or `.safetensors`."""
    opens: Callable[[], object]
    """Raises where the file is refused."""
    closed: tuple[str, ...] = ()
    """Objects in JSON that no later version adds keys to: their keys are names of things, or all
    of them are compared, or they are another program's. Keys joined by dots; `*` stands for a
    place in a list, and for a key of a closed object."""
    strict: bool = False
    """Refuses what it does not know on purpose: a consent may say that something is forbidden."""
    redone: bool = False
    """A record of work: of another version it is no error, the work is done again. `opens` returns
    None then."""
