"""The coarse stage: one face model fitted to what is known of all views together.

1. Poses in closed form: calibrated, of the triangulated landmarks; else of each view's own.
2. Pose and coefficients by Gauss-Newton on the landmarks of all views; views that the others
   contradict are left out and named.
3. The same refined by tracks: points of the skin that are found again in other views, which
   tell poses (and, uncalibrated, the focal length) far better than landmarks do.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType

import numpy as np

from ...core.arrays import Floats
from ...core.facemodel.model import FaceModel
from ...core.geometry.camera import Camera
from ...core.geometry.transform import Similarity
from ..fit_model import FitModel
from .coarse_faults import Consensus, Fit, consensus
from .coarse_landmarks import SeenLandmarks, add_landmarks, seen_landmarks, start_state
from .coarse_state import CoarseState, Term, free, landmark_basis, minimised
from .coarse_tracks import RefineConfig, Refined, Scene, refined
from .faceview import FaceViews

_N_POSE_STEPS = 8  # of a pose alone


class Expressions(StrEnum):
    """Whose expressions are alike."""

    SHARED = "shared"
    PER_VIEW = "per-view"


@dataclass(frozen=True, kw_only=True)
class CoarseConfig:
    """How the face model is fitted to all views."""

    expressions: Expressions = Expressions.SHARED
    """Calibrated views are of one moment; photographs may differ: `per-view`."""
    n_steps: int = 15  # of pose and coefficients
    doubt: float = 1.7  # tolerances that a view's landmarks are off, before it is doubted
    doubt_factor: float = 1.5  # nor is it below so many times what is usual among the views
    exchange: bool = True  # use two views with their cameras exchanged, if they fit only so
    focal: bool = True
    """Uncalibrated: find a common factor of the focal lengths, once tracks can tell it."""
    refine: RefineConfig | None = field(default_factory=RefineConfig)
    """None: landmarks alone."""


@dataclass(frozen=True, kw_only=True)
class CoarseHead:
    """One face model in all views."""

    coefficients: Floats
    """(n_modes,) of the model: identity, then expression, the mean one if they differ."""
    expressions: Floats | None
    """(J, n_expression) where each view has its own."""
    cameras: tuple[Camera, ...]
    """(J) whose world is the head frame, mm of the head."""
    world_from_head: Similarity | None
    """Calibrated: where the head is."""
    weight: Floats
    """(J,) in [0, 1]: how far each view is believed."""
    remarks: Mapping[str, str] = field(default_factory=dict)
    """View -> why it is doubted, or what was done about it."""
    figures: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "remarks", MappingProxyType(dict(self.remarks)))
        object.__setattr__(self, "figures", MappingProxyType(dict(self.figures)))


def fit_coarse(
    views: FaceViews, model: FitModel, face: FaceModel, config: CoarseConfig | None = None
) -> CoarseHead:
    """Fit a face model to all views.

    Parameters
    ----------
    model : FitModel
        `face`, laid out for fits.

    Raises
    ------
    EstimationError
        No view shows a face.
    """
    config = config or CoarseConfig()
    started = time.process_time()
    seen = seen_landmarks(views, landmark_basis(model))
    fit = _fit(model, config, metric=views.metric)
    agreed = consensus(
        seen, fit, least=config.doubt, factor=config.doubt_factor, exchange=config.exchange
    )
    figures = {"landmarks_s": time.process_time() - started, "misfit": _usual_misfit(agreed)}
    if config.refine is not None and len(views.views) > 1:
        scene = Scene(
            seen=agreed.seen,
            images=[view.image for view in views.views],
            model=model,
            face=face,
            fit=fit,
            scales=views.calibrated and not views.metric,
        )
        found = refined(
            scene,
            agreed.state,
            agreed.weight,
            config.refine,
            focal=config.focal and not views.calibrated,
        )
        agreed = _after(model, agreed, found)
        figures |= _figures(found)
    figures["coarse_s"] = time.process_time() - started
    return _head(agreed, figures)


def _after(model: FitModel, agreed: Consensus, found: Refined) -> Consensus:
    return replace(
        agreed,
        state=_others_posed(model, agreed.seen, found.weight, found.state),
        weight=found.weight,
        remarks={**agreed.remarks, **found.remarks},
    )


def _others_posed(
    model: FitModel, seen: SeenLandmarks, weight: Floats, state: CoarseState
) -> CoarseState:
    """Give views that are left out what is theirs alone: pose and expression, by landmarks."""
    out = (weight == 0) & seen.usable
    moves = state.own(out)
    if not moves.any():
        return state
    term = _landmark_term(seen, out.astype(np.float64))
    return minimised(model, state, [term], moves=moves, n_steps=_N_POSE_STEPS)


def _usual_misfit(agreed: Consensus) -> float:
    known = agreed.misfit[np.isfinite(agreed.misfit) & (agreed.weight > 0)]
    return float(np.median(known)) if len(known) else np.nan


def _figures(found: Refined) -> dict[str, float]:
    n_points = 0 if found.bundle is None else len(found.bundle.tracks.faces)
    known = found.support[np.isfinite(found.support)]
    return {
        "n_tracks": float(n_points),
        "focal_factor": float(np.exp(found.state.log_focal)),
        "skin_found_again": float(np.median(known)) if len(known) else np.nan,
    }


def _fit(model: FitModel, config: CoarseConfig, *, metric: bool) -> Fit:
    """Return how views are fitted at weights."""
    per_view = config.expressions == Expressions.PER_VIEW

    def fit(seen: SeenLandmarks, weight: Floats, start: CoarseState | None) -> CoarseState:
        rigid, steps = _N_POSE_STEPS, config.n_steps
        if start is None:
            state = start_state(model, seen, weight > 0, metric=metric, per_view=per_view)
        else:
            state, rigid, steps = start, 0, config.n_steps // 2
        scales = seen.one_pose and not metric and int((weight > 0).sum()) > 1
        term = _landmark_term(seen, weight)
        pose_moves = free(state, scales=scales, coefficients=False)
        state = minimised(model, state, [term], moves=pose_moves, n_steps=rigid)
        moves = free(state, scales=scales, coefficients=True)
        state = minimised(model, state, [term], moves=moves, n_steps=steps)
        return _others_posed(model, seen, weight, state)

    return fit


def _landmark_term(seen: SeenLandmarks, weight: Floats) -> Term:
    return lambda state, H, g: add_landmarks(seen, weight, state, H, g)


def _head(agreed: Consensus, figures: Mapping[str, float]) -> CoarseHead:
    seen, state = agreed.seen, agreed.state
    return CoarseHead(
        coefficients=state.mean_coefficients,
        expressions=state.expressions if len(state.expressions) > 1 else None,
        cameras=tuple(state.view_camera(camera, i) for i, camera in enumerate(seen.cameras)),
        world_from_head=state.poses[0] if seen.one_pose else None,
        weight=agreed.weight,
        remarks=agreed.remarks,
        figures=figures,
    )
