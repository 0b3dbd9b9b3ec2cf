"""What one gate of the fault suite answers: attempts, failures in words, worst cost."""

import math
from dataclasses import dataclass
from typing import Any


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

    @property
    def passed(self) -> bool:
        """Whether something was tried and nothing failed."""
        return self.cases > 0 and not self.failures

    def figures(self) -> dict[str, Any]:
        """Return the gate's own figures, ready for JSON."""
        return {}
