"""Register the takes of one subject: place, fit the morphable model, lay it on the scans."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...core.arrays import Floats
from ...core.errors import InputError, RegistrationError
from ...core.facemodel.model import FaceModel
from ...core.geometry.transform import Similarity
from .fitstate import Fit, LandmarkTerm, Stage
from .modelrows import FitBasis, fit_basis
from .morphable import fit_morphable, start_fit
from .nonrigid import lay_on
from .pose import IDENTITY, inverse, product
from .registered import Registered, Scan
from .rigid import (
    check_score,
    place_by_landmarks,
    place_by_shape,
    rescored,
)
from .starts import from_best_start
from .surface import Cells, CellTarget, MeshTarget, thinned

log = logging.getLogger(__name__)

_ALL = 10_000  # modes
_COARSE = (
    Stage(reach_mm=15, cosine=0.4, sigma_mm=2.0, n_steps=5, n_identity=20, n_samples=2000),
    Stage(reach_mm=12, cosine=0.4, sigma_mm=1.5, n_steps=8, n_identity=40, n_expression=_ALL,
          n_samples=2500),
    Stage(reach_mm=8, cosine=0.5, sigma_mm=1.5, n_steps=8, n_identity=_ALL, n_expression=_ALL,
          n_samples=3000),
)  # fmt: skip
_FINE = (
    Stage(
        reach_mm=5,
        cosine=0.6,
        sigma_mm=1.0,
        n_steps=4,
        n_identity=_ALL,
        n_expression=_ALL,
        n_samples=3000,
    ),
    Stage(
        reach_mm=3,
        cosine=0.7,
        sigma_mm=0.7,
        n_steps=7,
        n_identity=_ALL,
        n_expression=_ALL,
        n_samples=4000,
    ),
)


@dataclass(frozen=True, kw_only=True)
class RegisterConfig:
    """How takes are registered."""

    metric: bool = (
        True  # the world is in mm; False: its unit is arbitrary, the head is scaled to it
    )
    use_landmarks: bool = True  # False: the shape alone, even where landmarks are known
    seed: int = 0  # of the points that the search draws
    landmark_mm: float = 2.0  # taken as a landmark's sigma where none is told


def register_takes(
    model: FaceModel, scans: Sequence[Scan], config: RegisterConfig | None = None
) -> list[Registered]:
    """Lay the model on every scan of one subject; the identity is shared, expressions are not.

    Parameters
    ----------
    scans : sequence of Scan
        In any orientation; in mm, or in a unit of their own with `config.metric` false.

    Raises
    ------
    InputError
        No scan, or landmarks of another shape.
    RegistrationError
        A scan is too small, in another unit, mirrored, or shows no face; the message says so.
    """
    config = RegisterConfig() if config is None else config
    if not scans:
        raise InputError("no scan to register")
    basis = fit_basis(model)
    cells = [thinned(scan.mesh) for scan in scans]
    landmarks = [_landmarks(scan, config) for scan in scans]
    placed = _placed(basis, cells, landmarks, config)
    terms = [_term(landmark, pose) for landmark, pose in zip(landmarks, placed, strict=True)]
    targets = [CellTarget(c.moved(inverse(p))) for c, p in zip(cells, placed, strict=True)]
    start = start_fit(model, [IDENTITY] * len(scans))
    scaled = not config.metric
    fit = fit_morphable(basis, targets, start, stages=_COARSE, with_scale=scaled, landmarks=terms)
    better = from_best_start(
        basis, targets, fit, stages=_COARSE[1:], with_scale=scaled, landmarks=terms
    )
    if any(a is not b for a, b in zip(better.takes, fit.takes, strict=True)):
        fit = fit_morphable(
            basis, targets, better, stages=_COARSE[-1:], with_scale=scaled, landmarks=terms
        )
    return _laid(basis, scans, placed, fit, terms, config)


def _laid(
    basis: FitBasis,
    scans: Sequence[Scan],
    placed: Sequence[Similarity],
    fit: Fit,
    terms: Sequence[LandmarkTerm | None],
    config: RegisterConfig,
) -> list[Registered]:
    """Fit finely to the full meshes, then lay each take on its own."""
    model = basis.model
    around = [take.pose(model.shape(fit.identity, take.expression)) for take in fit.takes]
    targets = [
        MeshTarget(scan, inverse(pose), around=head)
        for scan, pose, head in zip(scans, placed, around, strict=True)
    ]
    fit = fit_morphable(
        basis, targets, fit, stages=_FINE, with_scale=not config.metric, landmarks=terms
    )
    out = []
    for pose, take, target in zip(placed, fit.takes, targets, strict=True):
        posed = take.pose(model.shape(fit.identity, take.expression))
        laid = lay_on(model, posed, target)
        head = inverse(take.pose)
        moved = laid.offset @ take.pose.R / take.pose.scale
        out.append(
            Registered(
                model=model,
                world_from_head=product(pose, take.pose),
                identity=fit.identity,
                expression=take.expression,
                offset=moved,
                support=laid.support,
                residual=(laid.residual * head.scale).astype(np.float32),
            )
        )
    return out


def _placed(
    basis: FitBasis,
    cells: Sequence[Cells],
    landmarks: Sequence[tuple[Floats, Floats] | None],
    config: RegisterConfig,
) -> list[Similarity]:
    """Place the head in every take; the first that is found is tried in the others."""
    rng = np.random.default_rng(config.seed)
    out: list[Similarity] = []
    for number, (cell, landmark) in enumerate(zip(cells, landmarks, strict=True)):
        try:
            out.append(_place(basis, cell, landmark, out[:1], config, rng))
        except RegistrationError as error:
            where = f"take {number + 1} of {len(cells)}: " if len(cells) > 1 else ""
            raise RegistrationError(f"{where}{error}") from error
    return out


def _place(
    basis: FitBasis,
    cells: Cells,
    landmark: tuple[Floats, Floats] | None,
    before: Sequence[Similarity],
    config: RegisterConfig,
    rng: np.random.Generator,
) -> Similarity:
    starts = list(before)
    if landmark is not None:
        found = place_by_landmarks(basis.model, *landmark, metric=config.metric)
        starts = ([] if found is None else [found]) + starts
    for start in starts:
        placement = rescored(basis, cells, start, metric=config.metric, rng=rng)
        if placement.score > 0.7 or (landmark is not None and start is starts[0]):
            check_score(placement)
            return placement.world_from_head
    return place_by_shape(basis, cells, metric=config.metric, rng=rng).world_from_head


def _landmarks(scan: Scan, config: RegisterConfig) -> tuple[Floats, Floats] | None:
    """Return points (68, 3) and sigma (68,) of a scan's landmarks, None without any."""
    if scan.landmarks is None or not config.use_landmarks:
        return None
    points = np.asarray(scan.landmarks, dtype=np.float64)
    if points.shape != (68, 3):
        raise InputError(f"landmarks of shape {points.shape}, but (68, 3) are expected")
    if not np.isfinite(points).all(1).any():
        return None
    sigma = scan.landmark_sigma
    if sigma is None:
        sigma = np.full(68, config.landmark_mm)
    return points, np.where(np.isfinite(sigma), sigma, config.landmark_mm)


def _term(
    landmark: tuple[Floats, Floats] | None, world_from_head: Similarity
) -> LandmarkTerm | None:
    if landmark is None:
        return None
    return LandmarkTerm(
        points=inverse(world_from_head)(landmark[0]), sigma=landmark[1] / world_from_head.scale
    )
