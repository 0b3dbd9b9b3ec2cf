"""The face of one view alone: the single-view fit, in the place of what views agree on."""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from ...core.arrays import Floats32
from ...core.facemodel.model import FaceModel
from ...core.geometry.camera import Camera
from ...core.geometry.transform import Similarity, compose, invert
from ..align import align
from ..facetensors import as_array, face_tensors
from ..fit import fit
from ..fit_model import FitModel
from ..fitmethod import shape_of
from ..method import Shape, photograph_camera
from .faceview import FaceViews

_CROP_PX = 512
SIGMA_MM = 0.1
"""Of relief that shading alone tells: as large as the relief itself."""
ALONE = (
    "no other view can be used with it: depth is the face model's guess from one picture, as of a "
    "single photograph"
)


@dataclass(frozen=True, kw_only=True)
class FaceAlone:
    """What one view tells."""

    shape: Shape
    cameras: tuple[Camera, ...]
    """(J) whose world is the head frame."""
    world_from_head: Similarity | None
    """In the rig's world; of a rig without a unit nothing tells its scale, which is 1."""


def face_alone(
    views: FaceViews,
    view: int,
    model: FaceModel,
    laid_out: FitModel,
    cameras: tuple[Camera, ...],
) -> FaceAlone:
    """Fit the face to the picture of one view; its camera is known.

    Parameters
    ----------
    cameras : (J) Camera
        As the coarse stage has them, for the views that show no face.
    """
    seen = views.views[view]
    face = face_tensors(model)
    crop = align(seen.image, seen.landmarks, size=_CROP_PX, reference5=face.five_points())
    mask = None if seen.mask is None else crop.cut(seen.mask)[..., 0]
    focal = float(seen.camera.K[0, 0])
    found = fit(crop, face, focal_px=focal, mask=mask, model=laid_out)
    own = photograph_camera(
        seen.camera, crop, R=found.R, t=found.t, centre_mm=as_array(face.centre_mm),
        focal=found.camera.focal, centre_px=found.camera.centre, distance=found.camera.distance,
    )  # fmt: skip
    own = replace(own, name=seen.camera.name)
    shape = shape_of(found, face)
    if not views.calibrated:
        placed = tuple(own if j == view else camera for j, camera in enumerate(cameras))
        return FaceAlone(shape=shape, cameras=placed, world_from_head=None)
    world_from_head = compose(invert(seen.camera.cam_from_world), own.cam_from_world)
    placed = tuple(
        replace(v.camera, cam_from_world=compose(v.camera.cam_from_world, world_from_head))
        for v in views.views
    )
    pose = Similarity(scale=1.0, R=world_from_head[:, :3], t=world_from_head[:, 3])
    return FaceAlone(shape=shape, cameras=placed, world_from_head=pose)


def resized(values: Floats32, size: int) -> Floats32:
    """Return a map at `size` texels a side."""
    if len(values) == size:
        return values
    return np.asarray(cv2.resize(values, (size, size), interpolation=cv2.INTER_LINEAR), np.float32)
