"""Where a photograph was taken that fits the place of its camera nowhere.

Its features are compared with the points that the other photographs agree on, without any
guess of the place: another camera's place means that two folders were exchanged, a place
nearby that the camera was moved far, and none that the photograph shows something else.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ...core.arrays import Floats, Floats32, Ints
from ...core.geometry.camera import Camera
from ...core.geometry.transform import rotation_angle_deg
from .guided import normalised_rays, root_descriptors
from .ties import TakePhotos

MAX_RATIO = 0.85
REACH = 0.004  # of the longer side: how near a feature lies to its point, 6 px of 1500
MIN_INLIERS = 25
N_TRIALS = 3000
SAME_PLACE_DEG = 4.0  # a place and the camera calibrated there, seen from the subject ...
SAME_TURN_DEG = 6.0  # ... and in orientation


@dataclass(frozen=True, kw_only=True)
class Landmarks:
    """Points that photographs agree on, with what they look like."""

    points: Floats
    """(M, 3), one row for each sighting."""
    descriptors: Floats32
    """(M, 128), unit length."""


def landmarks_of(
    photos: TakePhotos, rows: Sequence[tuple[int, Ints]], points: Sequence[Floats]
) -> Landmarks:
    """Collect points (each (N, 3)) with the features (camera, rows) that show them."""
    units = [root_descriptors(photos.features[c].descriptors[r]) for c, r in rows]
    return Landmarks(points=np.concatenate(list(points)), descriptors=np.concatenate(units))


def relocate(photos: TakePhotos, row: int, landmarks: Landmarks) -> Floats | None:
    """Return `cam_from_world` (3, 4) of a photograph from known points, None where none fits.

    Source
    ------
    Fischler, Bolles, CACM 24(6), 1981 (RANSAC), as in OpenCV's `solvePnPRansac`, with a seed.
    """
    camera, features = photos.cameras[row], photos.features[row]
    if len(features) < MIN_INLIERS or len(landmarks.points) < MIN_INLIERS:
        return None
    pairs = _match(root_descriptors(features.descriptors), landmarks)
    rays = normalised_rays(camera, features.xy[pairs[:, 0]].astype(np.float64))
    known = np.isfinite(rays).all(axis=1)
    pairs, rays = pairs[known], rays[known]
    if len(pairs) < MIN_INLIERS:
        return None
    reach = REACH * max(camera.width, camera.height) / float(camera.K[0, 0])
    cv2.setRNGSeed(0)
    found, turn, shift, inliers = cv2.solvePnPRansac(
        landmarks.points[pairs[:, 1]],
        rays,
        np.eye(3),
        np.zeros(5),
        iterationsCount=N_TRIALS,
        reprojectionError=reach,
        confidence=0.9999,
        flags=cv2.SOLVEPNP_AP3P,
    )
    if not found or inliers is None or len(np.unique(pairs[inliers.ravel(), 0])) < MIN_INLIERS:
        return None
    kept = inliers.ravel()
    turn, shift = cv2.solvePnPRefineLM(
        landmarks.points[pairs[kept, 1]], rays[kept], np.eye(3), np.zeros(5), turn, shift
    )
    return np.column_stack([cv2.Rodrigues(turn)[0], shift.ravel()]).astype(np.float64)


def place_of(pose: Floats, cameras: Sequence[Camera], middle: Floats) -> int | None:
    """Return the row of the calibrated camera that stands where `pose` (3, 4) is, None for none."""
    center = -pose[:, :3].T @ pose[:, 3]
    best, row = SAME_PLACE_DEG, None
    for index, camera in enumerate(cameras):
        a, b = center - middle, camera.center - middle
        cosine = a @ b / (np.linalg.norm(a) * np.linalg.norm(b))
        angle = float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
        turn = float(rotation_angle_deg(pose[:, :3] @ camera.cam_from_world[:, :3].T))
        if angle < best and turn < SAME_TURN_DEG:
            best, row = angle, index
    return row


def _match(units: Floats32, landmarks: Landmarks) -> Ints:
    """Return (M, 2) rows of features and landmarks; sightings of one point are no rivals."""
    cosine = np.clip(units @ landmarks.descriptors.T, -1, 1)
    first = cosine.argmax(axis=1)
    rows = np.arange(len(units))
    best = cosine[rows, first]
    _, of_point = np.unique(landmarks.points, axis=0, return_inverse=True)
    of_point = of_point.ravel()
    cosine[of_point[None] == of_point[first][:, None]] = -1
    clear = np.arccos(best) < MAX_RATIO * np.arccos(cosine.max(axis=1))
    return np.stack([rows[clear], first[clear]], axis=1).astype(np.int32)
