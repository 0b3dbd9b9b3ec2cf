"""What one gate of the fault suite answers: attempts, failures in words, worst cost."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Parts = Mapping[str, Mapping[str, Any]]
"""Part of a gate, such as a stage or a reader -> its figures, as a result in JSON has them."""
_FAILED = ("failures", "untyped")  # figures of parts that are not sound


@dataclass(frozen=True, kw_only=True)
class Gate:
    """The outcome of one kind of fault, tried many times."""

    cases: int
    """Attempts made in all."""
    failures: tuple[str, ...]
    """One sentence for each failed attempt; none when the gate is passed."""
    worst_seconds: float = math.nan
    """Of one attempt; NaN where it is not measured."""
    worst_megabytes: float = math.nan
    """Peak resident memory of one attempt; NaN where it is not measured."""
    each: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Part -> its own figures, JSON-able; none where a gate is tried as a whole."""

    @property
    def passed(self) -> bool:
        """Whether something was tried and nothing failed."""
        return self.cases > 0 and not self.failures

    def figures(self) -> dict[str, Any]:
        """Return the gate's own figures, ready for JSON."""
        return {}


def sound_parts(earlier: Mapping[str, Any] | None) -> Parts:
    """Return the parts of a gate's earlier result in which nothing failed."""
    parts = (earlier or {}).get("each", {})
    return {name: part for name, part in parts.items() if not any(map(part.get, _FAILED))}
