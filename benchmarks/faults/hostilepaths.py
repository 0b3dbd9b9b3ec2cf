"""Names that lead out of their folder, wherever a file names other files; and links that do.

A target is a file in which a name stands, with a reader that goes where the name leads. What it
would find outside is a sound file, so that nothing but the name keeps it from being read.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from .hostilerun import Case

Names = Callable[[str, str], str]
"""Path of a sound file outside, from the folder of the input; its absolute path -> a name."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """A name in a file."""

    name: str
    make: Callable[[Path], None]
    """Writes sound files."""
    put: Callable[[Path, str], None] | None
    """Writes another name into them; None: links alone are tried."""
    read: Callable[[Path], Any]
    own: str
    """The file or folder, in the input's folder, that is named."""
    suffix: bool = False
    """Whether a reader adds the endings of files to the name."""
    before: str = ""
    """Folder that the name is taken to lie in, within the input's folder."""
    links: bool = False
    """Whether links are tried, too: those in a folder of photographs are the user's own."""
    slow: bool = False
    """Reading takes a good part of a second: some names only."""


def _climbing(above: str, _: str) -> str:
    return above


def _absolute(_: str, full: str) -> str:
    return full


def _deep(name: str) -> str:
    before, _, last = name.rpartition("/")
    return f"{before}/{_DEEP}/{last}"


_DEEP = "a/b/c"  # readers that want so many folders before a name get them
NAMES: dict[str, Names] = {
    "above": _climbing,
    "absolute": _absolute,
    "above and deep": lambda above, _: _deep(above),
    "absolute and deep": lambda _, full: _deep(full),
    "above by way of a folder": lambda above, _: f"x/../{above}",
    "above by way of here": lambda above, _: f"./{above}",
    "two slashes": lambda _, full: f"/{full}",
    "slashes at the end": lambda above, _: f"{above}//",
    "backslashes": lambda above, _: above.replace("/", "\\"),
    "drive": lambda above, _: "C:\\" + above.replace("/", "\\"),
    "drive with slashes": lambda above, _: f"C:/{above}",
    "share": lambda above, _: "\\\\server\\" + above.replace("/", "\\"),
    "address": lambda _, full: f"file://{full}",
    "NUL before": lambda above, _: f"x\0/../{above}",
    "NUL behind": lambda above, _: f"{above}\0.png",
    "new line": lambda above, _: f"x\n{above}",
    "wide dots": lambda above, _: above.replace("..", "\uff0e\uff0e"),
    "other slashes": lambda above, _: above.replace("/", "\u2215"),
    "turned around": lambda above, _: f"\u202e{above}",
    "percent": lambda above, _: above.replace("..", "%2e%2e").replace("/", "%2f"),
    "home": lambda above, _: f"~/{above}",
    "variable": lambda above, _: f"$HOME/{above}",
    "blanks": lambda above, _: f" {above} ",
    "other case": lambda above, _: above.upper(),
    "long": lambda above, _: "../" * 2000 + above,
    "long part": lambda above, _: f"{'x' * 5000}/../{above}",
    "above alone": lambda above, _: "..",
    "here": lambda above, _: ".",
    "root": lambda above, _: "/",
    "nothing": lambda above, _: "",
    "surrogate": lambda above, _: f"\udc80/../{above}",
    "option": lambda above, _: f"--out={above}",
}
"""Kind of name -> how it is made."""


_FEW = ("above", "absolute", "above by way of a folder", "backslashes", "NUL behind", "long")


def path_cases(targets: tuple[Target, ...]) -> list[Case]:
    """Return a case for each target and each kind of name, and of link."""
    cases = []
    for target in targets:
        for kind, name in NAMES.items():
            if target.put is not None and (kind in _FEW or not target.slow):
                cases.append(_case(target, kind, partial(_named, target, name)))
        if target.links:
            cases.append(_case(target, "link", partial(_linked, target)))
            cases.append(_case(target, "link of a folder", partial(_linked_folder, target)))
    return cases


def _case(target: Target, kind: str, make: Callable[[Path, Path], None]) -> Case:
    # a name that is odd and leads nowhere may well be read
    return Case(name=f"{target.name}: {kind}", make=make, read=target.read, must_refuse=False)


def _named(target: Target, name: Names, root: Path, outside: Path) -> None:
    target.make(root)
    found = root / target.own
    decoy = "decoy" if target.suffix else f"decoy{found.suffix}"
    for folder in (outside, outside / _DEEP):
        folder.mkdir(parents=True, exist_ok=True)
        # a reader that adds endings wants all the files that begin so
        for path in found.parent.glob(f"{found.stem}*") if target.suffix else [found]:
            away = folder / ("decoy" + path.name.removeprefix(found.stem))
            (shutil.copytree if path.is_dir() else shutil.copyfile)(path, away)
    climbed = "../" * len(Path(target.before).parts) + f"../{outside.name}/{decoy}"
    assert target.put is not None
    target.put(root, name(climbed, f"{outside}/{decoy}"))


def _linked(target: Target, root: Path, outside: Path) -> None:
    """Let what is named be a link to the same, outside."""
    target.make(root)
    found = root / target.own
    shutil.move(found, outside / found.name)
    found.symlink_to(outside / found.name)


def _linked_folder(target: Target, root: Path, outside: Path) -> None:
    """Let the folder that it lies in be a link; the outermost one below the input's folder."""
    target.make(root)
    first = root / Path(target.own).parts[0]
    shutil.move(first, outside / first.name)
    first.symlink_to(outside / first.name)
