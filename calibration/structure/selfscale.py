"""The size of a rig that was found without a board: from scale bars, or two cameras' distance."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...capture.session import Session, Take
from ...core.errors import CalibrationError, ConfigError
from ...core.geometry.camera import Camera, Rig
from ..target.scalebars import (
    ScaleBar,
    bar_warnings,
    is_marker_form,
    measure_bars,
    parse_bars,
    refuse_shared_markers,
    summarise,
)


@dataclass(frozen=True, kw_only=True)
class CameraDistance:
    """The known distance of two cameras' centres."""

    first: str
    second: str
    mm: float


KnownLength = CameraDistance | tuple[ScaleBar, ...]


@dataclass(frozen=True, kw_only=True)
class Size:
    """How many mm a unit of the rig has."""

    mm_per_unit: float
    source: str
    """Where it comes from, in words."""
    scale_bars: tuple[dict[str, Any], ...] = ()
    """`BarSummary.record` of each bar, in the sized rig."""
    warnings: tuple[str, ...] = ()


def parse_scale_bar(text: str) -> tuple[str, str, float]:
    """Return the two cameras and their distance, mm, of `camA,camB=mm`.

    Raises
    ------
    ConfigError
        Not of this form, or no distance.
    """
    names, equals, length = text.partition("=")
    cameras = [name.strip() for name in names.split(",")]
    try:
        distance = float(length)
    except ValueError:
        distance = 0.0
    if not equals or len(cameras) != 2 or not np.isfinite(distance) or distance <= 0:
        raise ConfigError(
            f"scale_bar {text!r}: expected the distance of two cameras such as `C01,C05=812.5` "
            "(mm), or of two markers such as `DICT_5X5_250:240-241=180.02`"
        )
    if cameras[0] == cameras[1]:
        raise ConfigError(f"scale_bar {text!r}: names one camera twice")
    return cameras[0], cameras[1], distance


def known_length(session: Session, given: str | Sequence[str]) -> KnownLength | None:
    """Return what `scale_bar` says; None where it is empty.

    Raises
    ------
    ConfigError
        Not of a known form, a camera that the session does not have, or a marker that its
        board has too.
    """
    if not given:
        return None
    if not isinstance(given, str) or is_marker_form(given):
        bars = parse_bars(given)
        refuse_shared_markers(bars, session.board)
        return bars
    first, second, mm = parse_scale_bar(given)
    known = [camera.id for camera in session.cameras]
    for name in (first, second):
        if name not in known:
            raise ConfigError(
                f"scale_bar {given!r}: no camera {name!r}; there are {', '.join(known)}"
            )
    return CameraDistance(first=first, second=second, mm=mm)


def takes_with_bars(session: Session, takes: Sequence[Take]) -> tuple[Take, ...]:
    """Return the takes in which bars are looked for: all that the rig stands still in."""
    return tuple(takes) if session.moved_camera else session.takes


def size_of(
    session: Session,
    cameras: Mapping[str, Camera],
    known: KnownLength,
    *,
    takes: Sequence[Take],
    cache: Path | None = None,
    n_workers: int = 2,
) -> Size:
    """Return the size of a rig of unknown scale.

    Several bars are averaged, each weighted by what is uncertain about it: its own measurement,
    and how well the rig sees it.

    Parameters
    ----------
    cameras : Mapping[str, Camera]
        In an arbitrary unit.
    takes : Sequence[Take]
        Where to look for bars.

    Raises
    ------
    CalibrationError
        A camera of the known distance has no place, or no bar is seen.
    InputError
        A photograph cannot be read.
    """
    if isinstance(known, CameraDistance):
        return _by_cameras(cameras, known)
    rig = Rig(cameras=tuple(cameras.values()), metric=False)
    lengths = measure_bars(session, rig, known, takes=takes, cache=cache, n_workers=n_workers)
    summaries = [one for one in summarise(known, lengths) if one.lengths]
    if not summaries:
        raise CalibrationError(
            f"scale_bar: {', '.join(bar.name for bar in known)}: no take shows both markers to "
            "two cameras that agree, so that the size stays unknown; check the dictionary and "
            "the ids, and hold the bar where cameras overlap"
        )
    length = np.array([one.length for one in summaries])
    mm = np.array([one.bar.mm for one in summaries])
    factor = float(np.median(mm / length))
    sigma_mm = np.hypot(
        [one.bar.sigma_mm for one in summaries], [factor * one.sigma for one in summaries]
    )
    weight = 1 / sigma_mm**2
    factor = float((weight * length * mm).sum() / (weight * length**2).sum())
    found = summarise(known, [one.scaled(factor) for one in lengths])
    names = ", ".join(f"{one.bar.name} = {one.bar.mm:g} mm" for one in summaries)
    kind = "scale bar" if len(summaries) == 1 else "scale bars"
    return Size(
        mm_per_unit=factor,
        source=f"{kind} {names}",
        scale_bars=tuple(one.record() for one in found),
        warnings=tuple(bar_warnings(found)),
    )


def _by_cameras(cameras: Mapping[str, Camera], known: CameraDistance) -> Size:
    for name in (known.first, known.second):
        if name not in cameras:
            raise CalibrationError(
                f"scale_bar: {name} could not be placed, so that its distance gives no scale; "
                f"placed are {', '.join(sorted(cameras))}"
            )
    apart = np.linalg.norm(cameras[known.first].center - cameras[known.second].center)
    return Size(
        mm_per_unit=known.mm / float(apart),
        source=f"distance of {known.first} and {known.second}: {known.mm:g} mm",
    )
