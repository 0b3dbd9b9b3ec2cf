"""Where the head stands in a scan: from landmarks, or from the shape alone."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from ...core.arrays import Floats
from ...core.errors import EstimationError, RegistrationError
from ...core.facemodel.model import FaceModel
from ...core.geometry.transform import Similarity, align_similarity
from .fitstate import Fit, Stage
from .modelrows import FitBasis
from .morphable import fit_morphable, start_fit
from .pose import inverse, product
from .search import Probes, distinct, probes, search
from .surface import Cells, CellTarget

log = logging.getLogger(__name__)

_N_TRIALS = 24  # coarse trials that are refined
_N_FINAL = 4  # of these, fitted with shape
_N_PROBES = 1200
_FINE_MM = 4.0  # the reach of the last score
_SURE = 0.8  # no wrong trial comes near: then the others are left
_LEAST_SCORE = 0.55  # broken marble reaches 0.7, a plain ball 0.6
_DOUBTFUL_SCORE = 0.68
_TURNED = (3, 1, 1, 1)  # placements that are turned, round after round
_TURN_DEG = 16.0
_MIDDLE_MM = 60.0  # of the face behind the tip of the nose
_INNER = slice(17, 68)
_ICP = (
    Stage(reach_mm=18, cosine=0.2, sigma_mm=3, n_steps=8, n_samples=700, both_ways=False),
    Stage(reach_mm=10, cosine=0.4, sigma_mm=2, n_steps=6, n_samples=700, both_ways=False),
)
_SHAPE = (
    Stage(reach_mm=12, cosine=0.4, sigma_mm=2, n_steps=4, n_identity=8, n_samples=1500),
    Stage(reach_mm=8, cosine=0.5, sigma_mm=1.5, n_steps=5, n_identity=25, n_expression=500,
          n_samples=1500),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Placement:
    """A head placed in a scan."""

    world_from_head: Similarity
    score: float
    """0-1: share of the face that rests on scan facing the same way, near counting more."""


def place_by_landmarks(
    model: FaceModel, landmarks: Floats, sigma: Floats, *, metric: bool
) -> Similarity | None:
    """Return `world_from_head` from measured landmarks; None when they do not determine it.

    Landmarks of the jaw line are left out (they slide), and those that fit badly are dropped
    and the rest fitted again.

    Raises
    ------
    RegistrationError
        The landmarks are those of a mirrored face, or of another unit.
    """
    head = model.mean[model.landmarks68]
    usable = np.isfinite(landmarks).all(1) & np.isfinite(sigma)
    usable[: _INNER.start] = False
    if usable.sum() < 4:
        return None
    src, dst = head[usable], landmarks[usable]
    try:
        free = _robust_similarity(src, dst)
        mirrored = _robust_similarity(src * (-1, 1, 1), dst)
    except EstimationError:
        return None
    if mirrored.rms_mm < 0.5 * free.rms_mm:
        raise RegistrationError(
            "the landmarks are those of a mirrored face; "
            "check that the scan is not mirrored and that left is the subject's left"
        )
    if not metric:
        return free
    check_unit(free.scale, what="the landmarks")
    return _robust_similarity(src, dst, with_scale=False)


def check_unit(scale: float, *, what: str) -> None:
    """Refuse a scan whose size is not that of a head in mm.

    Raises
    ------
    RegistrationError
        Says how much too small or large, and which unit that would be.
    """
    if 0.6 < scale < 1.6:
        return
    units = {0.1: "centimetres", 0.001: "metres", 1 / 25.4: "inches", 1000.0: "micrometres"}
    unit = next((name for ratio, name in units.items() if 0.6 < scale / ratio < 1.6), None)
    times = f"{1 / scale:.3g}x too small" if scale < 1 else f"{scale:.3g}x too large"
    hint = f" ({unit}?)" if unit else ""
    raise RegistrationError(
        f"{what} look {times}{hint}: give the scan in mm, "
        "or tell registration that the unit is arbitrary"
    )


def place_by_shape(
    basis: FitBasis, cells: Cells, *, metric: bool, rng: np.random.Generator
) -> Placement:
    """Find the head in a scan of any orientation, from its shape alone.

    Raises
    ------
    RegistrationError
        Nothing in the scan looks like a face.
    """
    if metric:
        check_area(cells)
    trials = search(cells, basis.model, metric=metric, n_best=_N_TRIALS, rng=rng)
    probe = probes(basis.model, n=_N_PROBES, rng=rng)
    placed: list[Placement] = []
    for trial in trials:
        placed.append(
            refined(basis, cells, trial, stages=_ICP, metric=metric, probe=probe, reach_mm=8.0)
        )
        if placed[-1].score > _SURE:
            break
    placed.sort(key=lambda p: -p.score)
    apart = distinct(((p.score, p.world_from_head) for p in placed), probe.tip, n_best=_N_FINAL)
    if placed and placed[0].score > _SURE:
        apart = apart[:1]
    final = [
        refined(basis, cells, start, stages=_SHAPE, metric=metric, probe=probe, reach_mm=_FINE_MM)
        for start in apart
    ]
    if not final:
        raise RegistrationError("the scan is no larger than a nose; a face is needed")
    final.sort(key=lambda p: -p.score)
    for n_best in _TURNED:
        before = final[0].score
        if before > _SURE:
            break
        final += [
            refined(basis, cells, start, stages=_SHAPE, metric=metric, probe=probe,
                    reach_mm=_FINE_MM)
            for placement in final[:n_best]
            for start in _turned(placement.world_from_head, probe.tip)
        ]  # fmt: skip
        final.sort(key=lambda p: -p.score)
        if final[0].score < before + 0.01:
            break
    log.info("placed by shape: scores %s", ", ".join(f"{p.score:.2f}" for p in final[:4]))
    check_score(final[0])
    return final[0]


def rescored(
    basis: FitBasis,
    cells: Cells,
    start: Similarity,
    *,
    metric: bool,
    rng: np.random.Generator,
) -> Placement:
    """Refine a placement known from elsewhere, and score it."""
    probe = probes(basis.model, n=_N_PROBES, rng=rng)
    return refined(
        basis,
        cells,
        start,
        stages=(_ICP[1], *_SHAPE),
        metric=metric,
        probe=probe,
        reach_mm=_FINE_MM,
    )


def _turned(start: Similarity, tip: Floats) -> list[Similarity]:
    """Return the placement turned round the middle of the head: damage misleads the normals."""
    middle = tip - (0, 0, _MIDDLE_MM)
    turns = [Rotation.from_rotvec(np.radians(_TURN_DEG) * a) for a in (*np.eye(3), *-np.eye(3))]
    out = []
    for turn in turns:
        R = turn.as_matrix()
        out.append(product(start, Similarity(scale=1.0, R=R, t=middle - R @ middle)))
    return out


def check_score(placement: Placement) -> None:
    """Refuse a placement that most of the face does not rest on.

    Raises
    ------
    RegistrationError
        Says how much of the face found scan.
    """
    if placement.score < _LEAST_SCORE:
        raise RegistrationError(
            f"no face found in the scan: at best {100 * placement.score:.0f} % of the face rests "
            "on it; check the unit, that triangles face outwards, and give landmarks"
        )
    if placement.score < _DOUBTFUL_SCORE:
        log.warning(
            "only %.0f %% of the face rests on the scan: look at registered.obj beside it, "
            "and give landmarks if it lies wrong",
            100 * placement.score,
        )


def check_area(cells: Cells) -> None:
    """Refuse a metric scan whose area cannot be a face's.

    Raises
    ------
    RegistrationError
        With the unit that it might be in.
    """
    size = float(np.linalg.norm(np.ptp(cells.points, axis=0)))
    if size < 60:
        scale = next((s for s in (0.1, 1 / 25.4, 0.001) if 150 < size / s < 900), size / 350)
        check_unit(scale, what="the scan's measures")
    if size > 5000:
        check_unit(size / 350, what="the scan's measures")


def refined(
    basis: FitBasis, cells: Cells, world_from_head: Similarity, *, stages: Sequence[Stage],
    metric: bool, probe: Probes, reach_mm: float,
) -> Placement:  # fmt: skip
    """Fit pose (and shape, as the stages say) to the cells from a placement, and score it."""
    near = cells.moved(inverse(world_from_head))
    target = CellTarget(_around(near, basis.mean))
    if len(target.cells.points) < 20:
        return Placement(world_from_head=world_from_head, score=0.0)
    fit = fit_morphable(
        basis, [target], start_fit(basis.model), stages=stages, with_scale=not metric,
        landmarks=[None],
    )  # fmt: skip
    pose = product(world_from_head, fit.takes[0].pose)
    return Placement(
        world_from_head=pose, score=_score(basis, target, fit, probe, reach_mm=reach_mm)
    )


def _score(
    basis: FitBasis, target: CellTarget, fit: Fit, probe: Probes, *, reach_mm: float
) -> float:
    take = fit.takes[0]
    scale = take.pose.scale
    if not 0.5 < scale < 2.0:
        return 0.0
    rest = basis.mean
    shape = basis.shape(fit.identity, take.expression)
    moved = take.pose(probe.points + _nearest_offset(rest, shape - rest, probe.points))
    near = target.closest(moved, within=3 * reach_mm * scale)
    # cells lie apart: measure along their normals
    along = np.abs(((moved - near.points) * near.normals).sum(1)) / (scale * reach_mm)
    cosine = (near.normals * (probe.normals @ take.pose.R.T)).sum(1)
    beside = near.distance < max(1.5 * target.cells.spacing, 2 * reach_mm * scale)
    good = beside & (along < 1) & (cosine > 0.4)
    return float(np.where(good, (1 - np.minimum(along, 1) ** 2) * cosine, 0.0).mean())


def _nearest_offset(rest: Floats, offset: Floats, points: Floats) -> Floats:
    return np.asarray(offset[cKDTree(rest).query(points)[1]])


def _around(cells: Cells, head: Floats) -> Cells:
    """Return the cells near the head, head frame."""
    low, high = head.min(0) - 60, head.max(0) + 60
    inside = ((cells.points > low) & (cells.points < high)).all(1)
    return Cells(
        points=cells.points[inside],
        normals=cells.normals[inside],
        weights=cells.weights[inside],
        spacing=cells.spacing,
        area=cells.area,
    )


def _robust_similarity(src: Floats, dst: Floats, *, with_scale: bool = True) -> Similarity:
    """Align, drop what lies beyond three robust deviations, align again; three times."""
    kept = np.ones(len(src), bool)
    for _ in range(4):
        found = align_similarity(src[kept], dst[kept], with_scale=with_scale)
        distance = np.linalg.norm(found(src) - dst, axis=1)
        limit = 3 * 1.4826 * float(np.median(distance[kept])) + 1e-9
        still = distance < limit
        if still.sum() < max(4, 0.5 * len(src)):
            break
        kept = still
    return found
