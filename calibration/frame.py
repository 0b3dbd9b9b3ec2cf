"""The world frame of a rig that nothing else fixes: upright, looking along +z at the cameras.

- +y is up: the mean of the cameras' upward directions, each taken as its photographs are
  shown to a person (EXIF orientation), for rigs hold cameras upright and on their side.
- +z points from the origin to the mean camera position, made square to y: a head that faces
  the rig looks along +z, and +x is to its left.
- The origin is the point nearest to all optical axes, unless the caller knows the subject's.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from ..capture.session import Session
from ..core.arrays import Floats
from ..core.geometry.camera import Camera
from ..core.geometry.transform import Similarity

UP_OF_ORIENTATION = {
    1: (0.0, -1.0),
    2: (0.0, -1.0),
    3: (0.0, 1.0),
    4: (0.0, 1.0),
    5: (-1.0, 0.0),
    6: (-1.0, 0.0),
    7: (1.0, 0.0),
    8: (1.0, 0.0),
}
"""EXIF orientation -> where up is in the stored pixels, (x, y). (Exif 2.32, tag 0x0112.)"""


def orientations(session: Session) -> dict[str, int]:
    """Return each camera's usual EXIF orientation; the sensor's frame where there is none."""
    seen: dict[str, Counter[int]] = {camera.id: Counter() for camera in session.cameras}
    for take in session.takes:
        for shot in take.shots:
            seen[shot.camera][shot.orientation] += 1
    return {
        camera: max(sorted(counts), key=lambda o: counts[o]) if counts else 1
        for camera, counts in seen.items()
    }


def nearest_to_axes(cameras: Sequence[Camera]) -> Floats:
    """Return the point nearest to all optical axes, least squares, (3,)."""
    A, b = np.zeros((3, 3)), np.zeros(3)
    for camera in cameras:
        across = np.eye(3) - np.outer(camera.view_direction, camera.view_direction)
        A += across
        b += across @ camera.center
    # parallel axes leave depth open: lstsq then takes the point nearest to the origin
    return np.asarray(np.linalg.lstsq(A, b, rcond=1e-6)[0])


def upright(
    cameras: Sequence[Camera],
    *,
    orientation: Mapping[str, int] | None = None,
    origin: Floats | None = None,
) -> Similarity:
    """Return the rigid `world_from_now` that this module's docstring describes.

    Parameters
    ----------
    orientation : Mapping[str, int], optional
        Camera -> EXIF orientation; upright (1) by default.
    origin : (3,), optional
        In the present frame; by default the point nearest to the optical axes.
    """
    origin = nearest_to_axes(cameras) if origin is None else origin
    ups = []
    for camera in cameras:
        x, y = UP_OF_ORIENTATION.get((orientation or {}).get(camera.name, 1), (0.0, -1.0))
        ups.append(camera.cam_from_world[:, :3].T @ np.array([x, y, 0.0]))
    y_axis = np.mean(ups, axis=0)
    if np.linalg.norm(y_axis) < 0.1:  # they contradict one another: the first one counts
        y_axis = ups[0]
    y_axis /= np.linalg.norm(y_axis)
    towards = np.mean([camera.center for camera in cameras], axis=0) - origin
    z_axis = towards - (towards @ y_axis) * y_axis
    if np.linalg.norm(z_axis) < 0.05 * np.linalg.norm(cameras[0].center - origin):
        towards = cameras[0].center - origin  # all round the subject: the first is the front
        z_axis = towards - (towards @ y_axis) * y_axis
    if np.linalg.norm(z_axis) < 1e-9:
        z_axis = np.cross(y_axis, [1.0, 0.0, 0.0] if abs(y_axis[0]) < 0.9 else [0.0, 0.0, 1.0])
    z_axis /= np.linalg.norm(z_axis)
    R = np.stack([np.cross(y_axis, z_axis), y_axis, z_axis])
    return Similarity(scale=1.0, R=R, t=-R @ origin)
