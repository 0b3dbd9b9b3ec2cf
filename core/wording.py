"""Names in sentences."""

from collections.abc import Sequence


def listed(names: Sequence[str], *, most: int = 6) -> str:
    """Return the first names, and how many there are more: `a, b and 3 more`."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
