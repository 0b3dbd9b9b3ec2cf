"""Landmarks by other packages, where the user has installed them: the extra `landmarks`."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Floats
from ..devices import require
from ..errors import InputError, ModelFileError
from .landmark_schemes import Scheme
from .landmarks import Detection, box_of

EXTRA = "landmarks"


class MediapipeDetector:
    """MediaPipe's Face Landmarker (package `mediapipe`): 478 points, of which 468 are kept.

    Parameters
    ----------
    model : Path
        `face_landmarker.task`, which Google distributes apart from the package.
    most_faces : int
        Found in one image.

    Raises
    ------
    MissingDependencyError
        `mediapipe` is not installed.
    ModelFileError
        The model is absent, or the package cannot load it.
    """

    name = "mediapipe"

    def __init__(self, model: Path, *, most_faces: int = 4, least_score: float = 0.5) -> None:
        self._mediapipe = require("mediapipe", extra=EXTRA)
        if not model.is_file():
            raise ModelFileError(f"{model}: no such file; give the path of face_landmarker.task")
        tasks = self._mediapipe.tasks
        options = tasks.vision.FaceLandmarkerOptions(
            base_options=tasks.BaseOptions(model_asset_path=str(model)),
            num_faces=most_faces,
            min_face_detection_confidence=least_score,
        )
        try:
            self._landmarker = tasks.vision.FaceLandmarker.create_from_options(options)
        except (RuntimeError, ValueError) as error:
            reason = str(error).partition("\n")[0]
            raise ModelFileError(
                f"{model}: MediaPipe cannot load it ({reason}); fetch face_landmarker.task again"
            ) from error

    def detect(self, image: NDArray[np.uint8]) -> list[Detection]:
        """Return the faces of an upright image (height, width, 3) RGB, the largest first."""
        package = self._mediapipe
        height, width = image.shape[:2]
        picture = package.Image(
            image_format=package.ImageFormat.SRGB, data=np.ascontiguousarray(image)
        )
        found = self._landmarker.detect(picture).face_landmarks
        # fractions of the image's sides: its edges are 0 and 1
        faces = [
            _detection(
                np.array([[point.x * width, point.y * height] for point in face[:468]]),
                Scheme.MEDIAPIPE468,
            )
            for face in found
        ]
        return sorted(faces, key=lambda face: -face.size_px)


class FaceAlignmentDetector:
    """FAN (package `face-alignment`): 68 points. It fetches its weights itself on first use.

    Parameters
    ----------
    dimensions : int
        3: jaw points stay on the face ("3-D style"), as HRN's official chain has them. 2: they
        lie on the visible outline.
    device : str
        Of torch.

    Raises
    ------
    MissingDependencyError
        `face-alignment` is not installed.
    """

    name = "face-alignment"

    def __init__(self, *, dimensions: int = 3, device: str = "cpu") -> None:
        package = require("face_alignment", extra=EXTRA)
        if dimensions not in (2, 3):
            raise InputError(f"face-alignment has landmarks of 2 or 3 dimensions, not {dimensions}")
        self._slides = dimensions == 2
        # renamed from _3D to THREE_D in its version 1.4
        names = ("TWO_D", "_2D") if dimensions == 2 else ("THREE_D", "_3D")
        kinds = package.LandmarksType
        kind = next(getattr(kinds, name) for name in names if hasattr(kinds, name))
        self._alignment = package.FaceAlignment(kind, device=device, flip_input=False)

    def detect(self, image: NDArray[np.uint8]) -> list[Detection]:
        """Return the faces of an upright image (height, width, 3) RGB, the largest first."""
        found: Any = self._alignment.get_landmarks_from_image(
            image, return_bboxes=True, return_landmark_score=True
        )
        if found is None or found[0] is None:
            return []
        faces = []
        for row, points in enumerate(found[0]):
            scores = None if found[1] is None else np.asarray(found[1][row], np.float64)
            faces.append(
                _detection(
                    np.asarray(points, np.float64)[:, :2] + 0.5,  # it counts centres from 0
                    Scheme.IBUG68,
                    score=float(found[2][row][4]) if len(found[2][row]) > 4 else 1.0,
                    confidence=scores,
                    slides=self._slides,
                )
            )
        return sorted(faces, key=lambda face: -face.size_px)


def _detection(
    points: Floats,
    scheme: Scheme,
    *,
    score: float = 1.0,
    confidence: Floats | None = None,
    slides: bool = False,
) -> Detection:
    return Detection(
        points=points,
        scheme=scheme,
        score=min(score, 1.0),
        box=box_of(points),
        confidence=np.ones(len(points)) if confidence is None else np.clip(confidence, 0, 1),
        sigma_px=np.zeros(len(points)),
        slides=slides,
    )
