"""Photographs without a rig as views: each looked at for itself."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...capture.exif import read_exif
from ...capture.masks import read_mask
from ...capture.session import Shot
from ...core.arrays import Floats, Floats32
from ...core.errors import EstimationError
from ...core.facemodel.landmark_table import LandmarkTable
from ...core.facemodel.landmarks import Detector
from ...core.geometry.camera import Camera
from ...core.imaging.orientation import turned_upright
from ...core.imaging.resample import scale_image
from ...dataset.build import EXPECTED, reason_of
from ..photograph import Face, Photograph, find_face, read_photograph, resized
from .faceview import FaceView, FaceViews
from .headcrop import Part, head_part
from .loaded import LoadConfig, LoadedViews, believed, first, joined, sigma_px
from .photosets import PhotoSet

_PORTRAIT_MM = 1000.0  # from which an unknown lens is taken to have been used
_FACE_MM = 140.0  # extent of the 68 landmarks of a usual face


@dataclass(frozen=True, kw_only=True)
class _Single:
    """A view of a photograph for itself."""

    view: FaceView
    focal_source: str
    """`given`, `exif`, or `portrait`: a guess."""
    scale: float
    """Px of the view per px of the photograph."""
    body: tuple[object, ...]
    """What photographs of one camera and lens have in common."""
    remark: str


def uncalibrated_views(
    photos: PhotoSet, finder: Detector | LandmarkTable, config: LoadConfig
) -> LoadedViews:
    """Load photographs of cameras of which nothing is known; see `loading.load_face_views`.

    Raises
    ------
    EstimationError
        No photograph can be used, or none shows a face.
    """
    left_out = dict(photos.remarks)
    found: list[_Single] = []
    for shot in photos.take.shots:
        try:
            found.append(_single(photos, shot, finder, config))
        except EXPECTED as error:
            left_out[shot.camera] = reason_of(error)
    if not found:
        raise EstimationError(f"{photos.name}: no photograph can be used: {first(left_out)}")
    views = tuple(_with_shared_focal(one, found) for one in found)
    return LoadedViews(
        views=FaceViews(views=views, calibrated=False, metric=False, remarks=left_out),
        focal={one.view.name: one.focal_source for one in found},
        remarks={one.view.name: one.remark for one in found if one.remark},
        notes=photos.notes,
    )


def _single(
    photos: PhotoSet, shot: Shot, finder: Detector | LandmarkTable, config: LoadConfig
) -> _Single:
    photograph = read_photograph(photos.session.checked_path(shot), focal_px=config.focal_px)
    face = find_face(photograph, finder, which=config.face)
    whole = (photograph.width, photograph.height)
    part = head_part(
        face.landmarks if config.cut else face.landmarks[:0], width=whole[0], height=whole[1]
    )
    pixels = resized(photograph.pixels[part.rows, part.columns], part.shrink(config.megapixels))
    height, width = pixels.shape[:2]
    landmarks = (face.landmarks - (part.x, part.y)) * (width / part.width, height / part.height)
    mask, remark = _given_mask(photos, shot, part, landmarks, size=(width, height))
    camera = _portrait_camera(shot.camera, photograph, face)
    camera = camera.cropped(part.x, part.y, width=part.width, height=part.height)
    view = FaceView(
        name=shot.camera,
        image=pixels.astype(np.float32) / np.float32(255),
        camera=camera.scaled(width, height),
        landmarks=landmarks,
        sigma_px=sigma_px(landmarks),
        mask=mask,
    )
    exif = read_exif(photograph.path)
    return _Single(
        view=view,
        focal_source=photograph.focal_source or "portrait",
        scale=width / part.width,
        body=(*sorted(whole), exif.make, exif.model, exif.serial, exif.focal_mm),
        remark=joined(*face.remarks, remark),
    )


def _portrait_camera(name: str, photograph: Photograph, face: Face) -> Camera:
    """Return a camera of a whole photograph: its focal length as known, or a usual portrait's."""
    width, height = photograph.width, photograph.height
    focal = photograph.focal_px or _PORTRAIT_MM / _FACE_MM * face.size_px
    K = np.array([[focal, 0.0, width / 2], [0.0, focal, height / 2], [0.0, 0.0, 1.0]])
    return Camera(name=name, width=width, height=height, K=K, cam_from_world=np.eye(3, 4))


def _given_mask(
    photos: PhotoSet, shot: Shot, part: Part, landmarks: Floats, *, size: tuple[int, int]
) -> tuple[Floats32 | None, str]:
    """Return the mask that came with a photograph, as its view is cut; and what is odd."""
    path = photos.session.mask_path(shot)
    if path is None:
        return None, ""
    stored = read_mask(path, width=shot.width, height=shot.height)
    upright = turned_upright(stored, shot.orientation)[part.rows, part.columns]
    return believed(scale_image(upright, *size) > 0.5, landmarks, False)


def _with_shared_focal(one: _Single, every: Sequence[_Single]) -> FaceView:
    """Return a view; a guessed focal length is the median of those of its camera's views."""
    if one.focal_source != "portrait":
        return one.view
    lengths = [other.view.camera.K[0, 0] / other.scale for other in every if other.body == one.body]
    K = one.view.camera.K.copy()
    K[[0, 1], [0, 1]] *= float(np.median(lengths)) * one.scale / K[0, 0]
    return replace(one.view, camera=replace(one.view.camera, K=K))
