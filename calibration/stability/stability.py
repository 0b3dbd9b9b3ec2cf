"""Whether a camera moved since the calibration, by the tie points of one take.

Each camera in turn is let go while the others hold the points; the one whose freedom
explains most is taken out first, since a moved camera pulls its neighbours' points along and
makes them look moved too. Then the rest is looked at again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...core.arrays import Bools, Floats
from ...core.geometry.camera import Camera, Rig
from ...core.geometry.transform import rotation_angle_deg
from .stabilityreport import CameraStability, StabilityReport, Verdict
from .tiefit import (
    FOCAL,
    SHIFT,
    TURN,
    TieFit,
    cameras_of,
    count_of,
    fit_ties,
    leave_out,
    triangulate,
)
from .ties import Ties

MIN_TIES = 25  # of a camera, below which nothing is said of it
FLOOR = 7e-5  # of the longer side: 0.1 px of 1500; less motion than this is nobody's concern
N_SIGMA = 6.0  # times its own standard deviation that a motion exceeds ...
N_USUAL = 5.0  # ... and times the motion that the take's other cameras seem to have
MAX_SIGMA = 20.0  # floors: a motion known no better than this is not known
SCALE_MEDIANS = 2.0  # Cauchy's scale, in medians of the residuals' lengths
LEAST_SCALE_PX = 0.03
GROSS = 25.0  # scales: sightings further off than this, when all is fitted, are wrong matches
PENALTY = 2.0  # cost that a further number has to save, times the logarithm of the ties


MODELS: Mapping[Verdict, tuple[int, ...]] = {
    Verdict.TURNED: TURN,
    Verdict.SHIFTED: SHIFT,
    Verdict.REFOCUSED: TURN + FOCAL,
    Verdict.MOVED: TURN + SHIFT,
}
"""What is let go of a camera under each verdict. A lens that refocuses tilts a little too."""
PRICES: Mapping[Verdict, int] = {
    Verdict.TURNED: 3,
    Verdict.SHIFTED: 4,
    Verdict.REFOCUSED: 4,
    Verdict.MOVED: 6,
}
"""Numbers that each explanation is charged for."""
AXIAL, AXIAL_PRICE = 0.9, 3
"""A shift along the optical axis (share of its length) looks almost like a change of the focal
length, and little pushes a camera just so: it is charged for these too."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """The change of one camera that explains its ties best."""

    row: int
    verdict: Verdict
    fit: TieFit
    motion_px: float
    sigma_px: float


def stability_from_ties(ties: Ties, rig: Rig, *, clean: bool = True) -> StabilityReport:
    """Judge every camera of a take from tie points alone.

    Parameters
    ----------
    ties : Ties
        Sightings, wrong ones among them.
    rig : Rig
        As calibrated, at any image size.
    clean : bool
        Leave wrong matches out first.
    """
    cameras = cameras_of(ties, rig)
    ties = _determined(ties, cameras)
    if not len(ties.xy):
        return StabilityReport(cameras=tuple(_unknown(name, 0) for name in ties.names), ties=ties)
    search = _Search(ties, cameras)
    changes = search.run()
    near = search.state.distance < GROSS * search.scale
    if clean and near.any():  # what the best explanation leaves far off is wrong: without it
        search = _Search(_determined(ties.selected(near), cameras), cameras)
        changes = search.run()
    return search.report(changes)


def motion_over(before: Camera, after: Camera, points: Floats) -> float:
    """Return the root mean square image motion of points (N, 3), px."""
    miss = after.project(points)[0] - before.project(points)[0]
    miss = miss[np.isfinite(miss).all(axis=1)]
    return float(np.sqrt((miss**2).sum(axis=1).mean())) if len(miss) else 0.0


class _Search:
    """The greedy search for moved cameras on one set of ties."""

    def __init__(self, ties: Ties, cameras: Sequence[Camera]) -> None:
        self.ties, self.cameras = ties, tuple(cameras)
        self.n_ties = count_of(ties)
        self.free: dict[int, tuple[int, ...]] = {}
        self.trials: dict[int, Change] = {}  # of the present state
        self.scale = 1.0
        first = fit_ties(ties, cameras, triangulate(ties, cameras), scale_px=1.0)
        self.scale = self._scale_of(first)
        self.state = fit_ties(ties, cameras, first.points, scale_px=self.scale)

    def run(self) -> list[Change]:
        """Let go one camera after the other; return their changes in this order."""
        found: list[Change] = []
        n_known = int((self.n_ties >= MIN_TIES).sum())
        while len(found) < max(1, n_known - 2):
            best = self._worst()
            if best is None:
                break
            self.free[best.row] = MODELS[best.verdict]
            found.append(best)
            self.scale = min(self.scale, self._scale_of(best.fit))
            self.state = self._refit(best.fit)
        return self._pruned(found)

    def report(self, changes: Sequence[Change]) -> StabilityReport:
        """Put into figures what was found."""
        n_known = int((self.n_ties >= MIN_TIES).sum())
        entries, moved = {}, []
        for row in range(len(self.cameras)):
            entries[row] = self._entry(row)
        steady = [e.motion_px for r, e in entries.items() if r not in self.free and e.motion_px]
        for change in sorted(changes, key=lambda c: -c.motion_px):
            moved.append(self.ties.names[change.row])
        return StabilityReport(
            cameras=tuple(entries.values()),
            moved=tuple(moved),
            whole_rig=bool(moved) and 2 * len(moved) >= n_known,
            noise_px=float(np.median(self.state.distance)),
            usual_px=float(np.median(steady)) if steady else 0.0,
            ties=self.ties,
        )

    def _worst(self) -> Change | None:
        """Return the camera whose freedom explains most, None where nothing stands out."""
        known = [
            row
            for row in range(len(self.cameras))
            if row not in self.free and self.n_ties[row] >= MIN_TIES
        ]
        trials = [self._loose(row) for row in known]
        loud = [t for t in trials if t.motion_px > self._limit(t)]
        if not loud:
            return None
        best = min(loud, key=lambda trial: trial.fit.cost)
        return self._named(best)

    def _loose(self, row: int) -> Change:
        """Return the change of a camera's whole pose, were it let go in the present state."""
        if row not in self.trials:
            self.trials[row] = self._trial(row, MODELS[Verdict.MOVED], Verdict.MOVED)
        return self.trials[row]

    def _limit(self, change: Change) -> float:
        floor = FLOOR * max(self.ties.sizes[change.row])
        return max(floor, N_SIGMA * change.sigma_px)

    def _named(self, loose: Change) -> Change:
        """Return the change in the fewest numbers that explain it."""
        price = PENALTY * np.log(max(2, int(self.n_ties[loose.row])))
        options = [loose] + [
            self._trial(loose.row, numbers, verdict)
            for verdict, numbers in MODELS.items()
            if verdict is not Verdict.MOVED
        ]
        return min(options, key=lambda o: o.fit.cost + price * _price(o))

    def _trial(self, row: int, numbers: Sequence[int], verdict: Verdict) -> Change:
        """Fit with one more camera let go."""
        free = {**self.free, row: tuple(numbers)}
        weight = leave_out(self.ties, row)
        points = triangulate(self.ties, self.state.cameras, weight=weight)
        points = np.where(np.isfinite(points), points, self.state.points)
        own = self.ties.camera_of == row
        miss = np.linalg.norm(
            self.state.cameras[row].project(points[self.ties.point_of[own]])[0] - self.ties.xy[own],
            axis=1,
        )
        start = float(np.nanmedian(miss)) if own.any() else 0.0
        fit = None
        for scale in sorted({s for s in (start, start / 6) if s > 2 * self.scale}, reverse=True):
            fit = self._fit(free, points if fit is None else fit.points, scale, fit)
        fit = self._fit(free, points if fit is None else fit.points, self.scale, fit)
        seen = fit.points[self.ties.point_of[own]]
        return Change(
            row=row,
            verdict=verdict,
            fit=fit,
            motion_px=motion_over(self.cameras[row], fit.cameras[row], seen),
            sigma_px=self._sigma(fit, row, seen),
        )

    def _fit(
        self,
        free: Mapping[int, Sequence[int]],
        points: Floats,
        scale: float,
        before: TieFit | None,
    ) -> TieFit:
        start = self.state if before is None else before
        flat = [(row, number) for row, numbers in free.items() for number in numbers]
        return fit_ties(
            self.ties, self.cameras, points, free=flat, scale_px=scale, start=start.changes
        )

    def _refit(self, fit: TieFit) -> TieFit:
        self.trials = {}
        return self._fit(self.free, fit.points, self.scale, fit)

    def _pruned(self, found: list[Change]) -> list[Change]:
        """Put back cameras that move no more than the others of this take seem to."""
        while found:
            usual = self._usual()
            own = {c.row: self._motion(self.state, c.row) for c in found}
            least = min(found, key=lambda c: own[c.row])
            if own[least.row] > N_USUAL * usual:
                break
            found = [c for c in found if c is not least]
            del self.free[least.row]
            self.state = self._refit(self.state)
        return found

    def _usual(self) -> float:
        rest = [r for r in range(len(self.cameras)) if r not in self.free]
        rest = [r for r in rest if self.n_ties[r] >= MIN_TIES]
        if len(rest) < 3:
            return 0.0
        return float(np.median([self._loose(row).motion_px for row in rest]))

    def _motion(self, fit: TieFit, row: int) -> float:
        seen = fit.points[self.ties.point_of[self.ties.camera_of == row]]
        return motion_over(self.cameras[row], fit.cameras[row], seen)

    def _entry(self, row: int) -> CameraStability:
        name, n_ties = self.ties.names[row], int(self.n_ties[row])
        if n_ties < MIN_TIES:
            return _unknown(name, n_ties)
        numbers = self.free.get(row, MODELS[Verdict.MOVED])
        flagged = row in self.free
        trial = self._trial(row, numbers, Verdict.MOVED) if flagged else self._loose(row)
        verdict = Verdict.STEADY
        if flagged:
            verdict = next(v for v, k in MODELS.items() if k == tuple(numbers))
        elif trial.sigma_px > MAX_SIGMA * FLOOR * max(self.ties.sizes[row]):
            return _unknown(name, n_ties)
        before, after = self.cameras[row], trial.fit.cameras[row]
        turn = after.cam_from_world[:, :3] @ before.cam_from_world[:, :3].T
        return CameraStability(
            name=name,
            verdict=verdict,
            n_ties=n_ties,
            residual_px=self._left_out(row),
            motion_px=trial.motion_px,
            sigma_px=trial.sigma_px,
            turn_deg=float(rotation_angle_deg(turn)),
            shift=float(np.linalg.norm(after.center - before.center)),
            focal_percent=100 * float(after.K[0, 0] / before.K[0, 0] - 1),
        )

    def _left_out(self, row: int) -> float | None:
        """Return the median residual of a camera to the points of the others, px."""
        cameras = [*self.state.cameras]
        cameras[row] = self.cameras[row]
        weight = leave_out(self.ties, row)
        weight *= self.state.distance < GROSS * self.scale
        points = triangulate(self.ties, cameras, weight=weight)
        own = self.ties.camera_of == row
        miss = cameras[row].project(points[self.ties.point_of[own]])[0] - self.ties.xy[own]
        length = np.linalg.norm(miss[np.isfinite(miss).all(axis=1)], axis=1)
        return float(np.median(length)) if len(length) else None

    def _scale_of(self, fit: TieFit) -> float:
        """Return Cauchy's scale: of the cameras that fit well, whatever others do."""
        distance = fit.distance
        medians = [
            np.median(distance[self.ties.camera_of == row])
            for row in np.flatnonzero(self.n_ties >= MIN_TIES)
        ]
        usual = float(np.percentile(medians, 25)) if medians else 1.0
        return max(SCALE_MEDIANS * usual, LEAST_SCALE_PX)

    def _sigma(self, fit: TieFit, row: int, points: Floats) -> float:
        """Return the standard deviation of the image motion that the residuals' scatter gives."""
        columns = [k for k, (camera, _) in enumerate(fit.free) if camera == row]
        numbers = [fit.free[k][1] for k in columns]
        squared = (fit.residuals**2).sum(axis=1) / self.scale**2
        weight = 1 / (1 + squared)
        n_free = 3 * len(fit.points) + len(fit.free)
        redundancy = max(1, 2 * len(weight) - n_free) / (2 * len(weight))
        variance = (weight * squared).sum() / weight.sum() / 2 / redundancy
        C = fit.covariance[np.ix_(columns, columns)] * variance
        J = _motion_by(fit.cameras[row], points)[:, :, numbers]
        return float(np.sqrt(np.einsum("nij,jk,nik->n", J, C, J).mean()))


def _price(change: Change) -> int:
    shift = change.fit.changes[change.row, list(SHIFT)]
    axial = change.verdict in (Verdict.SHIFTED, Verdict.MOVED)
    axial &= bool(abs(shift[2]) > AXIAL * np.linalg.norm(shift))
    return PRICES[change.verdict] + (AXIAL_PRICE if axial else 0)


def _motion_by(camera: Camera, points: Floats) -> Floats:
    """Return the derivative of image places by the seven numbers of a camera, (N, 2, 7) px."""
    x, y, z = (points @ camera.cam_from_world[:, :3].T + camera.cam_from_world[:, 3]).T
    f = float(camera.K[0, 0])
    u, v, zero, one = x / z, y / z, np.zeros_like(x), np.ones_like(x)
    along_x = [-u * v, 1 + u * u, -v, -one / z, zero, u / z, u]
    along_y = [-(1 + v * v), u * v, u, zero, -one / z, v / z, v]
    return f * np.stack([np.stack(along_x, -1), np.stack(along_y, -1)], axis=1)


def _determined(ties: Ties, cameras: Sequence[Camera]) -> Ties:
    """Leave out points that their rays do not determine or that lie behind a camera."""
    for _ in range(2):
        if not len(ties.xy):
            break
        points = triangulate(ties, cameras)
        known: Bools = np.asarray(np.isfinite(points).all(axis=1))
        keep = known[ties.point_of]
        for row, camera in enumerate(cameras):
            own = ties.camera_of == row
            _, depth = camera.project(points[ties.point_of[own]])
            keep[own] &= depth > 0
        if keep.all():
            break
        ties = ties.selected(keep)
    return ties


def _unknown(name: str, n_ties: int) -> CameraStability:
    return CameraStability(name=name, verdict=Verdict.TOO_FEW, n_ties=n_ties)
