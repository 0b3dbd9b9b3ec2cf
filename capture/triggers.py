"""Which photographs of different cameras belong to one instant.

Tried in this order: takes that the names tell, equal names, equal numbers at the end of names,
equal order where all cameras have equally many, times of exposure (`clocks`). Where the files
tell times, a match by names or order must agree with them up to a clock offset and drift per
camera, since counters of different bodies overlap by accident.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..core.errors import InputError
from .clocks import (
    COARSE_TOLERANCE_S,
    Instants,
    fine_tolerance,
    group_by_clocks,
    robust_line,
    usual_pause,
    whole_seconds,
)
from .naming import last_number, natural_key, without_stamp
from .photo import Photo

MIN_SHARED = 0.5  # of the photographs that must find a partner for a way of matching to count
MIN_AGREEING = 0.9  # of the photographs whose times must support a match

GIVEN_NAME = re.compile(r"(?:take|shot|trigger|pose|sync|instant|scan)[-_ ]?[0-9]+", re.IGNORECASE)

Cameras = Mapping[str, Sequence[Photo]]
"""Camera -> its photographs."""

Matched = dict[str, dict[str, Photo]]
"""Take -> camera -> photograph."""


@dataclass(frozen=True, kw_only=True)
class Match:
    """Photographs sorted into instants."""

    takes: Matched
    how: str
    late: tuple[tuple[str, str, float], ...] = ()
    """(take, camera, s) of photographs whose time does not fit their take."""


def match_triggers(cameras: Cameras, told: Mapping[str, str] | None = None) -> Match:
    """Sort the photographs of several cameras into instants.

    Parameters
    ----------
    told
        Name of each photograph -> its take, where the names tell.

    Raises
    ------
    InputError
        Neither names nor numbers nor order nor times tell which belong together.
    """
    ordered = {
        camera: sorted(photos, key=lambda photo: (photo.roll, natural_key(photo.stem)))
        for camera, photos in cameras.items()
    }
    found = _by_names(ordered, told)
    usable = [photo for photos in ordered.values() for photo in photos if photo.usable]
    timed = sum(photo.seconds is not None for photo in usable)
    if len(ordered) > 1 and timed and timed >= MIN_AGREEING * len(usable):
        return _supported_by_times(ordered, found)
    if found:
        return found[0]
    raise InputError(
        f"neither names nor times tell which photographs belong together ({_counts(ordered)}); "
        "number the files so that one instant has one number in all cameras"
    )


def _by_names(ordered: Cameras, told: Mapping[str, str] | None) -> list[Match]:
    """Return all matches by names, numbers and order that are possible, the safest first."""
    ways: list[tuple[Matched | None, str]] = [
        (_by_stem(ordered), "stem"),
        (_by_number(ordered), "number"),
        (_by_order(ordered), "order"),
    ]
    if told is not None:
        takes = _by_key(ordered, lambda _, photo: told[photo.name], least=0.0)
        ways.insert(0, (takes, "told"))
    return [Match(takes=takes, how=how) for takes, how in ways if takes is not None]


def _supported_by_times(ordered: Cameras, found: Sequence[Match]) -> Match:
    """Choose the match that the times of exposure support, or match by them alone."""
    named: list[Match] = []
    for match in found:
        agreeing, late = _against_times(match.takes)
        if agreeing < MIN_AGREEING:
            continue
        match = replace(match, late=late)
        if match.how == "told":
            return match
        if _holds(match, ordered):
            return match
        if not _by_counter(match):
            named.append(match)
    clocks = _by_time(ordered)
    if isinstance(clocks, Match):
        return clocks
    if named:
        return named[0]
    raise InputError(
        f"neither names nor times tell which photographs belong together ({_counts(ordered)}): "
        f"{clocks.reason}; number the files so that one instant has one number in all cameras "
        "(cam01_take07.jpg), or set clocks that count fractions of a second"
    )


def _holds(match: Match, ordered: Cameras) -> bool:
    """Whether counters or order can be believed: a trigger that one camera missed shifts them.

    Evenly spaced or coarse times do not show a shift, but then the ends do not meet. A single
    time that does not fit is a fault of its own only where those after it fit again.
    """
    takes = list(match.takes)
    ends = {*takes[:1], *takes[-2:]}
    if match.late and (match.how == "order" or len(match.late) > 1 or match.late[0][0] in ends):
        return False
    present = (takes[0], takes[-1]) if _by_counter(match) else ()
    return all(camera in match.takes[take] for take in present for camera in ordered)


def _by_counter(match: Match) -> bool:
    """Whether it rests on a camera's counter or on order, not on names that someone gave.

    No camera writes `take07` or `smile` by itself.
    """
    if match.how == "order":
        return True
    stems = [photo.stem for shots in match.takes.values() for photo in shots.values()]
    if all(GIVEN_NAME.search(stem) for stem in stems):
        return False
    return match.how == "number" or all(last_number(take) is not None for take in match.takes)


def _counts(ordered: Cameras) -> str:
    return ", ".join(f"{camera} {len(photos)}" for camera, photos in sorted(ordered.items()))


def _by_stem(cameras: Cameras) -> Matched | None:
    def key(camera: str, photo: Photo) -> str:
        bare = photo.stem.lower().replace(camera.lower(), "", 1).strip("-_. ")
        return without_stamp(bare) or bare or photo.stem.lower()

    return _by_key(cameras, key)


def _by_number(cameras: Cameras) -> Matched | None:
    highest = max(last_number(p.stem) or 0 for photos in cameras.values() for p in photos)
    width = max(2, len(str(highest)))

    def key(_camera: str, photo: Photo) -> str | None:
        number = last_number(photo.stem)
        return None if number is None else f"t{number:0{width}d}"

    return _by_key(cameras, key)


def _by_key(
    cameras: Cameras, key: Callable[[str, Photo], str | None], least: float = MIN_SHARED
) -> Matched | None:
    takes: Matched = {}
    n_photos = 0
    for camera, photos in cameras.items():
        for photo in photos:
            take = key(camera, photo)
            if take is None or camera in takes.setdefault(take, {}):
                return None
            takes[take][camera] = photo
            n_photos += 1
    partners = sum(len(shots) for shots in takes.values() if len(shots) > 1)
    fits = len(cameras) == 1 or partners >= least * n_photos
    return {take: takes[take] for take in sorted(takes, key=natural_key)} if fits else None


def _by_order(cameras: Cameras) -> Matched | None:
    lengths = {len(photos) for photos in cameras.values()}
    if len(lengths) > 1:
        return None
    n_takes = lengths.pop()
    width = max(2, len(str(n_takes)))
    return {
        f"t{i + 1:0{width}d}": {camera: photos[i] for camera, photos in cameras.items()}
        for i in range(n_takes)
    }


def _against_times(takes: Matched) -> tuple[float, tuple[tuple[str, str, float], ...]]:
    """Return the share of photographs whose times fit their takes, and those that do not."""
    times = {
        (take, camera): photo.seconds
        for take, shots in takes.items()
        for camera, photo in shots.items()
        if photo.seconds is not None
    }
    clocks: dict[str, list[float]] = {}
    for (_, camera), t in times.items():
        clocks.setdefault(camera, []).append(t)
    reference = max(sorted(clocks), key=lambda camera: len(clocks[camera]))
    arrays = [np.array(own) for own in clocks.values()]
    coarse = whole_seconds(arrays)
    tolerance = COARSE_TOLERANCE_S if coarse else fine_tolerance(usual_pause(arrays))
    late: list[tuple[str, str, float]] = []
    n_compared = 0
    for camera in clocks:
        pairs = [
            (take, t, times[take, reference])
            for (take, one), t in times.items()
            if one == camera and (take, reference) in times and camera != reference
        ]
        if not pairs:
            continue
        x = np.array([at for _, _, at in pairs])
        y = np.array([t for _, t, _ in pairs]) - x
        offset, drift = robust_line(x - x.mean(), y, tolerance)
        residual = y - offset - drift * (x - x.mean())
        n_compared += len(pairs)
        late += [
            (take, camera, float(r))
            for (take, _, _), r in zip(pairs, residual, strict=True)
            if abs(r) > tolerance
        ]
    return 1 - len(late) / max(1, n_compared), tuple(late)


def _by_time(cameras: Cameras) -> Match | Instants:
    """Match by times alone; where they do not decide, return why."""
    timed = {
        camera: [photo for photo in photos if photo.seconds is not None]
        for camera, photos in cameras.items()
    }
    found = group_by_clocks(
        {camera: np.array([photo.seconds for photo in photos]) for camera, photos in timed.items()}
    )
    if found.reason:
        return found
    width = max(2, len(str(len(found.instants))))
    takes = {
        f"t{i + 1:0{width}d}": {camera: timed[camera][at] for camera, at in one.items()}
        for i, one in enumerate(found.instants)
    }
    return Match(takes=takes, how="time")
