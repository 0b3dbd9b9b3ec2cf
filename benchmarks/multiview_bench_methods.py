"""The ways of reconstruction that the multi-view benchmark compares, each in its own process."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..capture.virtual.studio import load_head
from ..core.arrays import AnyFloats
from ..core.config import with_overrides
from ..core.facemodel.model import FaceModel
from ..core.geometry.transform import Similarity
from ..core.jobs import apart
from ..core.spent import Spent, timed
from ..reconstruct.views.faceview import FaceViews
from .multiview_bench_case import load_views
from .multiview_bench_config import Way
from .multiview_bench_views import Fault, face_views, faulty

CROP_PX = 512
"""Of the single-view fit, as `facekit reconstruct` cuts it."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """One reconstruction of one case; everything a process needs to know."""

    path: Path
    """Of the case."""
    head: str
    """As the studio calls its face model."""
    way: Way
    seed: int
    """Of the focal lengths' errors."""
    focal_error: float
    method: tuple[str, ...] = ()
    """Settings of the reconstruction, `key=value`."""
    without: tuple[str, ...] = ()
    """Consistency losses that are switched off."""
    fault: Fault = field(default_factory=Fault)


@dataclass(frozen=True, kw_only=True)
class FoundFace:
    """One surface found, mm of the head frame as the method has it."""

    coarse: AnyFloats
    """(V, 3)."""
    mid: AnyFloats
    """(V, 3)."""
    displacement: AnyFloats
    """(n, n) along the smooth normals of `mid`, from the curved surface through it."""
    valid: AnyFloats
    """(n, n) in [0, 1]."""
    world_from_head: Similarity | None = None
    """Where it lies among calibrated cameras."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a reconstruction found."""

    faces: tuple[FoundFace, ...]
    """One; or one a view."""
    remarks: Mapping[str, str] = field(default_factory=dict)
    """View -> why it is doubted."""
    figures: Mapping[str, Any] = field(default_factory=dict)
    """What the method tells of itself."""


def run_apart(task: Task, threads: int | None = None) -> tuple[Found, Spent]:
    """Reconstruct in a process of its own, whose memory and seconds are told.

    Modules, face model and photographs are loaded before the clock runs. `threads` are all
    processors by default.

    Raises
    ------
    FacekitError
        What the reconstruction raised.
    """
    return apart(run, task, threads=threads)


def run(task: Task) -> tuple[Found, Spent]:
    """Reconstruct in this process."""
    model = load_head(task.head)
    views = faulty(
        face_views(
            load_views(task.path), task.way, focal_error=task.focal_error, seed=task.seed
        ),
        task.fault,
    )  # fmt: skip
    if task.way is Way.SINGLE:
        return _single(views, model)
    if task.way is Way.COMPAT3:
        return _compat(views, model)
    return _together(views, model, task)


def _together(views: FaceViews, model: FaceModel, task: Task) -> tuple[Found, Spent]:
    # torch takes seconds; the benchmark's own process does without
    from dataclasses import replace

    from ..reconstruct.multiview import MultiViewConfig, reconstruct_views

    config = with_overrides(MultiViewConfig(), task.method)
    if task.without:
        off = dict.fromkeys(task.without, 0.0)
        config = replace(config, consistency=replace(config.consistency, **off))
    fit, spent = timed(lambda: reconstruct_views(views, model, config))
    face = FoundFace(
        coarse=fit.coarse,
        mid=fit.mid,
        displacement=fit.displacement,
        valid=fit.valid,
        world_from_head=fit.world_from_head,
    )
    figures = {name: float(value) for name, value in fit.figures.items()}
    return Found(faces=(face,), remarks=dict(fit.remarks), figures=figures), spent


def _single(views: FaceViews, model: FaceModel) -> tuple[Found, Spent]:
    from ..reconstruct.align import align
    from ..reconstruct.facetensors import face_tensors
    from ..reconstruct.fit import fit, fit_model_of
    from ..reconstruct.fitmethod import shape_of

    face = face_tensors(model)
    laid_out = fit_model_of(face)
    (view,) = views.views

    def work() -> FoundFace:
        crop = align(
            view.image, view.landmarks, size=CROP_PX, reference5=face.five_points()
        )  # fmt: skip
        mask = None if view.mask is None else crop.cut(view.mask)[..., 0]
        found = fit(
            crop, face, mask=mask, model=laid_out, focal_px=float(view.camera.K[0, 0])
        )  # fmt: skip
        return _face_of(shape_of(found, face))

    found, spent = timed(work)
    return Found(faces=(found,)), spent


def _compat(views: FaceViews, model: FaceModel) -> tuple[Found, Spent]:
    from ..reconstruct.views.compatviews import compat_reconstruction

    result, spent = timed(lambda: compat_reconstruction(views, model))
    faces = tuple(
        FoundFace(
            coarse=view.coarse,
            mid=view.mid,
            displacement=view.displacement,
            valid=_shown(start.valid, len(view.displacement)),
        )
        for view, start in zip(result.views, result.starts, strict=True)
    )
    return Found(faces=faces, remarks=dict(result.remarks), figures=dict(result.figures)), spent


def _shown(valid: Any, size: int) -> AnyFloats:
    """Return (n, n) where a view shows the face, of a tensor (1, 1, n, n)."""
    shown = np.asarray(valid[0, 0].cpu(), np.float32)
    assert shown.shape == (size, size)
    return shown


def _face_of(shape: Any) -> FoundFace:
    return FoundFace(
        coarse=np.asarray(shape.coarse),
        mid=np.asarray(shape.mid),
        displacement=np.asarray(shape.displacement, np.float32),
        valid=np.asarray(shape.valid),
    )
