"""Captures that lack or mistake something: each is named, none is used without a word.

A folder of photographs of nine cameras gets one mistake that people make, is ingested, checked and
put on its page; the faulty take has to tell of the camera, and no sound take and no other camera
may be accused. Mistakes that the picture alone tells (another expression, a subject that moved
between two exposures, exchanged photographs without serial numbers) are tried in full runs, on a
virtual head (`mistakentakes.py`).
"""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...capture.ingest import ingest
from ...capture.quality import check_quality
from ..session_report import write_report
from .gate import Gate
from .mistakes import MISTAKES, SAMPLED, Mistake, make_source
from .named import Found

_SEEDS = 3
"""Of a full run: other cameras, other takes."""


@dataclass(frozen=True, kw_only=True)
class CaptureFaults(Gate):
    """What came of captures with a mistake."""

    kinds: int = 0
    unnamed: int = 0
    """Mistakes of which nothing was said."""
    accused: int = 0
    """Sound takes and cameras of which something was said."""
    sound: int = 0
    """Sound takes that were checked for being left in peace, beside those of the captures."""

    def figures(self) -> dict[str, Any]:
        """Return the counts."""
        return {
            "kinds": self.kinds, "unnamed": self.unnamed, "accused": self.accused,
            "sound": self.sound,
        }  # fmt: skip


def capture_faults(folder: Path, *, full: bool, seed: int) -> CaptureFaults:
    """Make each mistake in a capture of its own; in full three times, and those of pictures."""
    mistakes = [one for one in MISTAKES if full or one.name in SAMPLED]
    found = Found(kinds=len(mistakes))
    for mistake in mistakes:
        for number in range(_SEEDS if full else 1):
            place = folder / f"{mistake.name}-{number}"
            _try(mistake, place, np.random.default_rng([seed, number]), found)
    if full:
        from .mistakentakes import try_takes

        try_takes(folder / "takes", seed=seed, found=found)
    return CaptureFaults(
        cases=found.cases, failures=(*found.unnamed, *found.accused), kinds=found.kinds,
        unnamed=len(found.unnamed), accused=len(found.accused), sound=found.sound,
    )  # fmt: skip


def _try(mistake: Mistake, place: Path, rng: np.random.Generator, found: Found) -> None:
    source = make_source(place / "source", rng)
    faulty = mistake.make(source, rng)
    session = ingest(source.folder, place / "session").session
    quality = check_quality(session)
    page = write_report(session.folder, out=place / "report.html").read_text(encoding="utf-8")
    found.cases += 1
    said: dict[str, list[str]] = {take.id: list(take.problems) for take in session.takes}
    for entry in quality["takes"]:
        said[entry["id"]] += entry["remarks"]
    reasons = [f"{one.file}: {one.reason}" for one in session.refused]
    told = [*said.get(faulty.take, []), *reasons]
    shown, guilty = html.unescape(page), (*faulty.names, *faulty.beside)
    for name in faulty.names:
        about = [sentence for sentence in told if name in sentence]
        if not about:
            found.unnamed.append(f"{mistake.name}: nothing is said of {name} in {faulty.take}")
        elif not any(sentence in shown for sentence in about):
            found.unnamed.append(f"{mistake.name}: the page says nothing of {name}")
    found.accused += [
        f"{mistake.name}: {take}: {sentence}"
        for take, sentences in said.items()
        for sentence in sentences
        if take != faulty.take or names_another(sentence, source.cameras, guilty)
    ]


def names_another(sentence: str, cameras: Sequence[str], guilty: Sequence[str]) -> bool:
    """Whether a sentence speaks of a camera, and of none that is guilty."""
    return any(name in sentence for name in cameras) and not any(g in sentence for g in guilty)
