"""What each case of the multi-view benchmark hands to a reconstruction; faults among them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from ..capture.virtual.studio import rng_of
from ..core.arrays import Floats
from ..core.geometry.camera import Camera
from ..reconstruct.views.faceview import FaceView, FaceViews
from .multiview_bench_case import CaseViews, load_views
from .multiview_bench_config import Way

ASIDE_DEG = (-45.0, 0.0, 45.0)
"""Where the three views stand."""
BUMP_DEG = 0.03
"""By how much a camera is turned that somebody has touched: a pixel at 1 megapixel."""


class FaultKind(StrEnum):
    """What one puts into a set of views in error."""

    NONE = "none"
    OTHER = "other"
    """One view shows another person."""
    BLACK = "black"
    """One view is black."""
    SWAPPED = "swapped"
    """Two views have each other's picture."""
    BUMPED = "bumped"
    """One camera has turned a little since the calibration."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A fault, and the views that it is in."""

    kind: FaultKind = FaultKind.NONE
    views: tuple[str, ...] = ()
    other: Path | None = None
    """The case that shows another person."""


def face_views(known: CaseViews, way: Way, *, focal_error: float, seed: int) -> FaceViews:
    """Return the views of a case that a way of reconstruction gets.

    Parameters
    ----------
    focal_error : float
        Of uncalibrated views: their focal length, as a photograph's record tells it, is wrong
        by up to this share.
    seed : int
        Of that error.
    """
    if way is Way.CALIBRATED9:
        rows: Sequence[int] = range(len(known.cameras))
    else:
        angles = (0.0,) if way is Way.SINGLE else ASIDE_DEG
        rows = sorted({known.nearest(aside) for aside in angles})
    calibrated = way in (Way.CALIBRATED9, Way.CALIBRATED3)
    views = []
    for row in rows:
        camera = known.cameras[row]
        if not calibrated:
            rng = rng_of(seed, f"focal/{camera.name}")
            camera = guessed(camera, 1 + float(rng.uniform(-focal_error, focal_error)))
        views.append(face_view(known, row, camera))
    return FaceViews(views=tuple(views), calibrated=calibrated, metric=calibrated)


def face_view(known: CaseViews, row: int, camera: Camera) -> FaceView:
    """Return one picture of a case as `camera` took it."""
    return FaceView(
        name=camera.name,
        image=known.images[row].astype(np.float32) / 255,
        camera=camera,
        landmarks=known.landmarks[row],
        sigma_px=float(known.sigma_px[row]),
        mask=known.masks[row].astype(np.float32),
    )


def guessed(camera: Camera, factor: float) -> Camera:
    """Return what a photograph without calibration tells of its camera: a focal length."""
    focal = factor * float(camera.K[0, 0])
    K = np.array([[focal, 0, camera.width / 2], [0, focal, camera.height / 2], [0, 0, 1.0]])
    return replace(camera, K=K, cam_from_world=np.eye(4)[:3].copy())


def faulty(views: FaceViews, fault: Fault) -> FaceViews:
    """Return the views with a fault in them."""
    if fault.kind is FaultKind.NONE:
        return views
    by_name = {view.name: view for view in views.views}
    if fault.kind is FaultKind.BUMPED:
        changed = {name: _bumped(by_name[name]) for name in fault.views}
    elif fault.kind is FaultKind.BLACK:
        changed = {name: _black(by_name[name]) for name in fault.views}
    elif fault.kind is FaultKind.SWAPPED:
        first, second = (by_name[name] for name in fault.views)
        changed = {
            first.name: _pictured(first, second), second.name: _pictured(second, first),
        }  # fmt: skip
    else:
        assert fault.other is not None
        other = load_views(fault.other)
        names = [camera.name for camera in other.cameras]
        changed = {
            name: _pictured(by_name[name], face_view(other, row, other.cameras[row]))
            for name, row in ((name, names.index(name)) for name in fault.views)
        }
    return replace(views, views=tuple(changed.get(view.name, view) for view in views.views))


def fault_of(kind: FaultKind, known: CaseViews, other: Path | None) -> Fault:
    """Return a fault: in the view 22 degrees to the left, or in those 45 degrees aside."""
    if kind is FaultKind.NONE:
        return Fault()
    angles = (-45.0, 45.0) if kind is FaultKind.SWAPPED else (22.5,)
    names = tuple(known.cameras[known.nearest(angle)].name for angle in angles)
    return Fault(kind=kind, views=names, other=other if kind is FaultKind.OTHER else None)


def _pictured(view: FaceView, source: FaceView) -> FaceView:
    """Return a view whose picture, with all that was found in it, is another's."""
    return replace(
        view, image=source.image, landmarks=source.landmarks, sigma_px=source.sigma_px,
        mask=source.mask,
    )  # fmt: skip


def _bumped(view: FaceView) -> FaceView:
    """Return a view whose camera has turned about its upright since it was calibrated."""
    turn = Rotation.from_euler("y", BUMP_DEG, degrees=True).as_matrix()
    camera = replace(view.camera, cam_from_world=turn @ view.camera.cam_from_world)
    return replace(view, camera=camera)


def _black(view: FaceView) -> FaceView:
    nothing: Floats = np.full((68, 2), np.nan)
    return replace(view, image=np.zeros_like(view.image), landmarks=nothing, mask=None)
