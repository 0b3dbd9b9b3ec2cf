"""What names of folders and files tell: cameras, takes, kinds; and names that are safe to write."""

import re
import unicodedata
from collections.abc import Iterable, Sequence

from .session import TakeKind

KIND_WORDS = {  # beginnings of words, the first kind that fits
    TakeKind.COLOR_CHART: ("chart", "color", "colour", "macbeth", "xrite", "greycard", "graycard"),
    TakeKind.TARGET: (
        "board", "calib", "charuco", "target", "checker", "chess", "aruco", "apriltag", "dots",
    ),
    TakeKind.EMPTY: ("empty", "background", "plate", "cleanplate", "backplate"),
    TakeKind.SUBJECT: ("subject", "face", "neutral", "smile", "expression", "head", "person"),
}  # fmt: skip

CAMERA_NAME = re.compile(
    r"(?<![a-z0-9])(?:camera|cam|kamera|view|pod)[-_ ]?(?:[a-z]?\d+|[a-z](?![a-z]))"
    r"|(?<![a-z])cam(?:era)?[-_ ][a-z]+"
    r"|(?<![a-z0-9])c\d{1,3}(?![0-9a-z])",
    re.IGNORECASE,
)
"""`cam01`, `camera_2`, `Cam-B`, `cam_left`, `view3`, `C05` within a name."""

TAKE_NAME = re.compile(
    r"(?<![a-z0-9])(?:take|shot|frame|trigger|pose|sync|instant|scan|t)[-_ ]?\d+", re.IGNORECASE
)
"""`take02`, `shot-3`, `T07` within a name."""

RESERVED = frozenset(
    {"con", "prn", "aux", "nul"} | {f"{d}{n}" for d in ("com", "lpt") for n in "123456789"}
)

MAX_NAME = 60  # characters


def printable(path: object) -> str:
    """Return a path as text that can be shown and written: bytes outside UTF-8 spelt out."""
    return str(path).encode("utf-8", "backslashreplace").decode()


def safe_name(text: str, *, fallback: str) -> str:
    """Return a name of ASCII letters, digits, `_`, `-` and `.` that no path can hide in."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    kept = re.sub(r"[^A-Za-z0-9._-]+", "_", plain).strip("._-")[:MAX_NAME].rstrip("._-")
    if not kept:
        return fallback
    return f"{kept}_" if kept.split(".")[0].lower() in RESERVED else kept


def safe_names(labels: Iterable[str], *, fallback: str) -> dict[str, str]:
    """Return a safe name for each label; different labels never share one, in any case."""
    names: dict[str, str] = {}
    used: set[str] = set()
    for label in labels:
        if label in names:
            continue
        base = name = safe_name(label, fallback=fallback)
        n = 2
        while name.lower() in used:
            name, n = f"{base}-{n}", n + 1
        used.add(name.lower())
        names[label] = name
    return names


def listed(names: Sequence[str], most: int = 12) -> str:
    """Return names for a message, `a, b, c`, cut short where they are many."""
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def count_of(n: int, noun: str) -> str:
    """Return `1 take`, `2 takes`."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def natural_key(text: str) -> tuple[tuple[int, int, str], ...]:
    """Return a sort key by which `IMG_9` comes before `IMG_10`."""
    return tuple(
        (0, int(piece), "") if piece.isdigit() and piece.isascii() else (1, 0, piece)
        for piece in re.split(r"([0-9]+)", text.casefold())
        if piece
    )


def last_number(stem: str) -> int | None:
    """Return the last number in a name."""
    numbers = re.findall(r"[0-9]+", stem)
    return int(numbers[-1]) if numbers else None


def kind_of_names(names: Sequence[str]) -> TakeKind | None:
    """Return the kind that the first telling name tells, None where none does."""
    for name in names:
        words = re.findall(r"[a-z]+", name.lower())
        for kind, beginnings in KIND_WORDS.items():
            if any(word.startswith(beginnings) for word in words):
                return kind
    return None


def without_stamp(text: str) -> str:
    """Return a name without a time stamp of eight or more digits."""
    return re.sub(r"[-_. ]*[0-9]{8,}[-_. ]*", "", text).strip("-_. ")


def split_name(stem: str, rule: str) -> tuple[str, str] | None:
    """Split a file's stem into camera and take by one rule, None where it does not fit.

    Parameters
    ----------
    rule
        One of `NAME_RULES`.
    """
    if rule == "camera word":
        match = CAMERA_NAME.search(stem)
        if match is None:
            return None
        rest = f"{stem[: match.start()]}_{stem[match.end() :]}".strip("-_. ")
        return match.group(), re.sub(r"[-_. ]{2,}", "_", rest)
    if rule == "last number":
        match = re.fullmatch(r"(.*[^0-9].*?)[-_. ]*([0-9]+)", stem)
        # a time stamp before the number belongs to neither
        return (without_stamp(match[1]), match[2]) if match and without_stamp(match[1]) else None
    if rule == "first number":
        match = re.fullmatch(r"([0-9]+)[-_. ]+(.*[A-Za-z].*)", stem)
        return (match[2], match[1]) if match else None
    match = re.fullmatch(r"(.+)[-_. ]([^-_. ]*[A-Za-z][^-_. ]*)", stem)
    return (match[2], match[1]) if match else None


NAME_RULES = ("camera word", "last number", "first number", "last word")
"""Rules of `split_name`, the safest first."""
