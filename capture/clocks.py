"""Instants from the clocks of several cameras: offset and drift of each, then one timeline.

Every camera's clock is a line of the reference camera's: `own = (1 + drift) * ref + offset`.
Two photographs are of one instant when their times agree on the reference's timeline. Where the
clocks do not decide (evenly spaced exposures fit at several offsets, whole seconds are coarser
than a burst) nothing is guessed: the answer is the reason.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..core.arrays import Floats, Ints

MAX_DRIFT = 1e-3  # of one clock against another; crystals keep within 1e-4, bad ones within this
MAX_TOLERANCE_S = 0.5  # for a shutter's delay and a clock's noise
MIN_TOLERANCE_S = 0.03  # EXIF counts hundredths
TOLERANCE_SHARE = 0.2  # of the usual pause between two instants
COARSE_TOLERANCE_S = 1.25  # two whole-second clocks differ by less than 1 s, and the offset's error
COARSE_PAUSE_S = 3.2  # below this, neighbours in time cannot be told apart by whole seconds
N_CANDIDATES = 12  # offsets with most votes that are refined
AMBIGUOUS = 0.98  # a second offset that explains as much as this of the best
MIN_INLIERS = 0.8  # of the photographs of a camera that must fit its line
MAX_VOTES = 4_000_000  # differences that vote; more photographs than that: a sample of them
MAX_BINS = 4_000_000
CHANCE = 1e-3  # of clocks that seem synchronous by accident
BINS = 4  # a tolerance, of the histogram of differences

Indices = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class ClockLine:
    """A camera's clock against the reference's."""

    offset_s: float
    """At `origin_s` of the reference's clock."""
    drift: float
    """Relative: 30e-6 gains 30 µs in a second."""
    origin_s: float
    n_inliers: int
    noise_s: float
    """Robust standard deviation of the residuals."""

    def to_reference(self, own: Floats) -> Floats:
        """Return (N,) times of this camera on the reference's clock, s."""
        t = own - self.origin_s
        return self.origin_s + (t - self.offset_s) / (1 + self.drift)


@dataclass(frozen=True, kw_only=True)
class Instants:
    """What the clocks tell."""

    instants: tuple[dict[str, int], ...] = ()
    """Camera -> index of its photograph, in order of time."""
    lines: Mapping[str, ClockLine] | None = None
    reason: str = ""
    """Why the clocks do not decide; empty where they do."""


def group_by_clocks(times: Mapping[str, Floats]) -> Instants:
    """Find the instants that photographs of several cameras share.

    Parameters
    ----------
    times : camera -> (N,) float64, s
        Times of exposure by each camera's own clock, in any order.

    Returns
    -------
    Instants
        Every photograph is in one instant; `reason` instead where clocks do not decide.

    Source
    ------
    Vote of pairwise differences, refined by iteratively reweighted lines; the rule of the
    runner-up and the timeline are ours.
    """
    times = {camera: np.asarray(own, dtype=np.float64) for camera, own in times.items() if len(own)}
    reference = max(sorted(times), key=lambda camera: len(times[camera]))
    coarse = whole_seconds(times.values())
    pause = usual_pause(times.values())
    if coarse and pause < COARSE_PAUSE_S:
        return Instants(
            reason=f"the clocks count whole seconds, but exposures follow each other in {pause:g} s"
        )
    tolerance = COARSE_TOLERANCE_S if coarse else fine_tolerance(pause)
    clock = np.sort(times[reference])
    lines = {reference: _identity(clock)}
    unclear = []
    for camera in sorted(times):
        if camera == reference:
            continue
        found = _lines(np.sort(times[camera]), clock, tolerance)
        n_least = min(len(times[camera]), len(clock))
        if not found or found[0].n_inliers < max(1, MIN_INLIERS * n_least):
            return Instants(
                reason=f"the clock of {camera} does not follow that of {reference} (set anew "
                "during the session?)"
            )
        lines[camera] = found[0]
        if _ambiguous(found, n_least, max(len(times[camera]), len(clock))):
            unclear.append(camera)
    if unclear:
        synchronous = _synchronous(times, reference, pause)
        if synchronous is None:
            return Instants(
                reason=f"the exposures of {unclear[0]} fit those of {reference} at more than one "
                "clock offset, since they are evenly spaced or too few"
            )
        lines = synchronous
    return _timeline(times, lines, coarse=coarse, pause=pause, tolerance=tolerance)


def whole_seconds(times: Iterable[Floats]) -> bool:
    """Whether no clock gives fractions of a second."""
    return all(bool(np.all(own == np.floor(own))) for own in times)


def usual_pause(times: Iterable[Floats]) -> float:
    """Return a short pause between two exposures of one camera, s: the tenth percentile.

    Infinite where every camera has one photograph.
    """
    pauses = [np.diff(np.sort(own)) for own in times if len(own) > 1]
    return float(np.percentile(np.concatenate(pauses), 10)) if pauses else float("inf")


def fine_tolerance(pause: float) -> float:
    """Return how far times of one instant may lie apart, s, for clocks with fractions."""
    return float(np.clip(TOLERANCE_SHARE * pause, MIN_TOLERANCE_S, MAX_TOLERANCE_S))


def robust_line(x: Floats, y: Floats, tolerance: float) -> tuple[float, float]:
    """Fit `y = offset + drift * x` to most of the points, starting at their median.

    Returns
    -------
    offset, drift
        Drift within `MAX_DRIFT`.
    """
    offset, drift = float(np.median(y)), 0.0
    for scale in (4.0, 2.0, 1.0, 1.0, 1.0):
        residual = y - offset - drift * x
        weight = (np.abs(residual) <= 3 * scale * tolerance) / (
            1 + (residual / (scale * tolerance)) ** 2
        )
        offset, drift = _weighted_line(x, y, weight, (offset, drift))
    return offset, drift


def _weighted_line(
    x: Floats, y: Floats, weight: Floats, before: tuple[float, float]
) -> tuple[float, float]:
    total = weight.sum()
    if total <= 0:
        return before
    mx, my = float(weight @ x / total), float(weight @ y / total)
    spread = float(weight @ (x - mx) ** 2)
    drift = float(weight @ ((x - mx) * (y - my))) / spread if spread > 1e-9 else 0.0
    drift = float(np.clip(drift, -MAX_DRIFT, MAX_DRIFT))
    return my - drift * mx, drift


def _identity(clock: Floats) -> ClockLine:
    return ClockLine(
        offset_s=0.0, drift=0.0, origin_s=float(clock.mean()), n_inliers=len(clock), noise_s=0.0
    )


def _lines(own: Floats, clock: Floats, tolerance: float) -> list[ClockLine]:
    """Return the lines that most photographs support, the best first, no two the same."""
    length = float(np.ptp(clock)) + 1e-9
    step = tolerance / length
    n_steps = min(20, int(np.ceil(MAX_DRIFT / step))) if step < MAX_DRIFT else 0
    found: list[ClockLine] = []
    for drift in sorted(np.arange(-n_steps, n_steps + 1) * step, key=abs):
        for offset in _votes(own, clock, float(drift), tolerance):
            line = _refined(own, clock, offset, float(drift), tolerance)
            if not any(_same(line, other, length, tolerance) for other in found):
                found.append(line)
        found.sort(key=lambda line: -line.n_inliers)
        if found and found[0].n_inliers >= 0.9 * min(len(own), len(clock)):
            break  # nearly all fit: a larger drift has nothing to add
    return found


def _votes(own: Floats, clock: Floats, drift: float, tolerance: float) -> list[float]:
    """Return the offsets, at the mean of `clock`, that most pairs of exposures share."""
    most = max(1, MAX_VOTES // len(clock))
    voters = own[:: -(-len(own) // most)]
    expected = clock + drift * (clock - clock.mean())
    differences = (voters[:, None] - expected[None]).ravel()
    lowest = float(differences.min())
    places = ((differences - lowest) * (BINS / tolerance)).astype(np.int64)
    n_bins = int(places.max()) + 1
    if n_bins <= MAX_BINS:
        counts, values = np.bincount(places), None
    else:
        values, counts = np.unique(places, return_counts=True)
    if values is None:
        summed = np.convolve(counts, np.ones(BINS + 1, dtype=np.int64), mode="same")
    else:  # spread over days: most bins are empty
        ends = np.concatenate([[0], np.cumsum(counts)])
        high = np.searchsorted(values, values + BINS // 2, side="right")
        summed = ends[high] - ends[np.searchsorted(values, values - BINS // 2)]
    return _peaks(summed, values, lowest, tolerance)


def _peaks(summed: Indices, values: Indices | None, lowest: float, tolerance: float) -> list[float]:
    n = min(len(summed), 40 * N_CANDIDATES)
    top = np.argpartition(-summed, n - 1)[:n]
    top = top[np.lexsort((top, -summed[top]))]
    peaks: list[float] = []
    for i in top:
        place = float(i if values is None else values[i])
        offset = lowest + (place + 0.5) * tolerance / BINS
        if all(abs(offset - other) > 1.5 * tolerance for other in peaks):
            peaks.append(offset)
        if len(peaks) == N_CANDIDATES:
            break
    return peaks


def _refined(
    own: Floats, clock: Floats, offset: float, drift: float, tolerance: float
) -> ClockLine:
    """Refine a line on the nearest partners; count those that pair one to one."""
    origin = float(clock.mean())
    reach = (2.0, 1.5, 1.0, 1.0, 1.0, 1.0)
    for width in reach:
        partner, residual = _partners(own, clock, origin, offset, drift)
        weight = (np.abs(residual) <= width * tolerance) / (1 + (residual / tolerance) ** 2)
        x = clock[partner] - origin
        offset, drift = _weighted_line(x, own - clock[partner], weight, (offset, drift))
    partner, residual = _partners(own, clock, origin, offset, drift)
    near = np.abs(residual) <= tolerance
    noise = 1.4826 * float(np.median(np.abs(residual[near]))) if near.any() else tolerance
    return ClockLine(
        offset_s=offset,
        drift=drift,
        origin_s=origin,
        n_inliers=len(np.unique(partner[near])),
        noise_s=noise,
    )


def _partners(
    own: Floats, clock: Floats, origin: float, offset: float, drift: float
) -> tuple[Ints, Floats]:
    """Return the nearest of `clock` to each of `own`, and how far it is off, s."""
    seen = origin + (own - origin - offset) / (1 + drift)
    right = np.clip(np.searchsorted(clock, seen), 1, max(1, len(clock) - 1))
    right = np.minimum(right, len(clock) - 1)
    left = np.maximum(right - 1, 0)
    partner = np.where(np.abs(clock[left] - seen) <= np.abs(clock[right] - seen), left, right)
    return partner.astype(np.int32), seen - clock[partner]


def _same(a: ClockLine, b: ClockLine, length: float, tolerance: float) -> bool:
    apart = abs(a.offset_s - b.offset_s) + abs(a.drift - b.drift) * length / 2
    return apart <= tolerance


def _ambiguous(found: Sequence[ClockLine], n_least: int, n_most: int) -> bool:
    """Whether the second line explains nearly as much as the first.

    Photographs lost by chance may favour either: three standard deviations of their number.
    """
    if n_least == 1:  # a single exposure fits anywhere
        return n_most > 1
    if len(found) < 2:
        return False
    best, second = found[0].n_inliers, found[1].n_inliers
    margin = max((1 - AMBIGUOUS) * best, 3 * np.sqrt(max(0, n_least - best)), 0.5)
    return bool(second >= best - margin)


def _synchronous(
    times: Mapping[str, Floats], reference: str, pause: float
) -> dict[str, ClockLine] | None:
    """Return the same clock for all cameras where that cannot be an accident, else None.

    The times of clocks that were set by hand agree up to a pause by chance; `CHANCE` is what
    that may come to over all cameras.
    """
    clock = np.sort(times[reference])
    line = _identity(clock)
    chance, lines = 1.0, {reference: line}
    for camera, own in times.items():
        if camera == reference:
            continue
        _, residual = _partners(np.sort(own), clock, line.origin_s, 0.0, 0.0)
        near = np.abs(residual) <= fine_tolerance(pause)
        if near.sum() < AMBIGUOUS * min(len(own), len(clock)):
            return None
        apart = max(abs(float(np.median(residual[near]))), 0.005)
        chance *= min(1.0, 2 * apart / pause)
        noise = 1.4826 * float(np.median(np.abs(residual[near])))
        lines[camera] = ClockLine(
            offset_s=0.0, drift=0.0, origin_s=line.origin_s, n_inliers=int(near.sum()),
            noise_s=noise,
        )  # fmt: skip
    return lines if chance < CHANCE else None


def _timeline(
    times: Mapping[str, Floats],
    lines: Mapping[str, ClockLine],
    *,
    coarse: bool,
    pause: float,
    tolerance: float,
) -> Instants:
    """Merge all photographs on the reference's clock and cut where nothing is for a while."""
    noise = max(line.noise_s for line in lines.values())
    # ten standard deviations between two cameras, where the pauses leave room for them
    gap = 1.5 if coarse else float(np.clip(10 * noise, MIN_TOLERANCE_S, tolerance))
    cameras = sorted(times)
    merged = np.concatenate([lines[camera].to_reference(times[camera]) for camera in cameras])
    owner = np.repeat(np.arange(len(cameras)), [len(times[camera]) for camera in cameras])
    index = np.concatenate([np.arange(len(times[camera])) for camera in cameras])
    order = np.argsort(merged, kind="stable")
    cuts = np.flatnonzero(np.diff(merged[order]) > gap) + 1
    instants: list[tuple[float, dict[str, int]]] = []
    shared: list[float] = []
    for members in np.split(order, cuts):
        center = float(np.median(merged[members]))
        twice = len(members) - len(set(owner[members].tolist()))
        if np.ptp(merged[members]) > 2 * gap or (twice > 1 and 2 * twice > len(cameras)):
            return Instants(reason="exposures follow each other too fast for these clocks")
        nearest: dict[str, int] = {}
        for i in members[np.argsort(np.abs(merged[members] - center), kind="stable")]:
            camera = cameras[owner[i]]
            if camera in nearest:  # a photograph too many: an instant of its own
                instants.append((float(merged[i]), {camera: int(index[i])}))
            else:
                nearest[camera] = int(index[i])
        if 2 * len(nearest) > len(cameras):
            shared.append(center)
        instants.append((center, nearest))
    if len(shared) > 1 and float(np.diff(shared).min()) < (2.5 if coarse else 2 * gap):
        return Instants(reason="exposures follow each other too fast for these clocks")
    instants.sort(key=lambda instant: instant[0])
    return Instants(instants=tuple(one for _, one in instants), lines=lines)
