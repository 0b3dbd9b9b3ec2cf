"""What was said of captures with a mistake, as it is found."""

from dataclasses import dataclass, field


@dataclass
class Found:
    """What was found so far."""

    cases: int = 0
    kinds: int = 0
    sound: int = 0
    """Sound takes that were checked for being left in peace."""
    unnamed: list[str] = field(default_factory=list)
    """A sentence for each mistake of which nothing was said."""
    accused: list[str] = field(default_factory=list)
    """A sentence for each word that was said of something sound."""
