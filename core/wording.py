"""Names: in sentences, and of things that need one each."""

from collections.abc import Iterable, Sequence


def listed(names: Sequence[str], *, most: int = 6) -> str:
    """Return the first names, and how many there are more: `a, b and 3 more`."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def distinct(names: Iterable[str], taken: Iterable[str] = ()) -> list[str]:
    """Return the names, numbered from 2 where one is taken: `a`, `a-2`."""
    used, out = set(taken), []
    for name in names:
        one, count = name, 1
        while one in used:
            count += 1
            one = f"{name}-{count}"
        used.add(one)
        out.append(one)
    return out
