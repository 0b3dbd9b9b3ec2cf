"""Photographs of one face become `FaceViews`: upright, undistorted, cut to the head, scaled.

Where a rig is known the views are calibrated: their landmarks are looked for together
(`dataset.register.takelandmarks`), a view without a face stays, since its place is known. Without
a rig each photograph is looked at for itself, and one without a face is left out.
"""

from dataclasses import replace

from ...core.errors import ConfigError
from ...core.facemodel.landmark_table import LandmarkTable
from ...core.facemodel.landmarks import Detector
from ..photograph import LARGEST
from .loaded import LoadConfig, LoadedViews
from .photoloading import uncalibrated_views
from .photosets import PhotoSet
from .rigloading import calibrated_views

__all__ = ["LoadConfig", "LoadedViews", "load_face_views"]


def load_face_views(
    photos: PhotoSet, finder: Detector | LandmarkTable, config: LoadConfig | None = None
) -> LoadedViews:
    """Load the views of a face.

    Raises
    ------
    ConfigError
        Settings that do not go with a rig.
    InputError
        No photograph can be used.
    EstimationError
        No photograph shows a face.
    """
    config = LoadConfig() if config is None else config
    finder = _of_take(finder, photos.take.id)
    if photos.rig is None:
        return uncalibrated_views(photos, finder, config)
    if config.focal_px is not None or config.face != LARGEST:
        raise ConfigError("focal_px and face are for photographs without a rig: leave them out")
    return calibrated_views(photos, photos.rig, finder, config)


def _of_take(finder: Detector | LandmarkTable, take: str) -> Detector | LandmarkTable:
    """Return a table's rows of a take as such of any, for those who know the camera alone."""
    if not isinstance(finder, LandmarkTable):
        return finder
    faces = {("", camera): finder.of(take, camera) for camera in finder.cameras}
    return replace(finder, faces={key: face for key, face in faces.items() if face is not None})
