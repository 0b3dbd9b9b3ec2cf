"""The pinhole camera of a crop, and rigid poses in front of it.

Model frame: x to the image's right, y up, z to the camera, unit 100 mm; the camera stands on the
z axis at `distance`. Pixels with y **down** here, pixel centres at halves.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from ..core.arrays import AnyFloats, Floats


@dataclass(frozen=True, kw_only=True)
class CropCamera:
    """A camera that looks along -z at the model frame's origin."""

    size: int = 224
    """Side of the square crop, px."""
    focal: float = 1015.0
    """px."""
    centre: tuple[float, float] = (112.0, 112.0)
    """Principal point, px."""
    distance: float = 10.0
    """From the origin to the camera, 100 mm."""

    def resized(self, size: int) -> "CropCamera":
        """Return the camera of the same crop with another number of pixels."""
        by = size / self.size
        return replace(
            self,
            size=size,
            focal=self.focal * by,
            centre=(self.centre[0] * by, self.centre[1] * by),
        )

    def project(self, points: AnyFloats) -> Floats:
        """Return (..., 2) px of posed points (..., 3)."""
        depth = self.distance - points[..., 2]
        x = self.focal * points[..., 0] / depth + self.centre[0]
        y = -self.focal * points[..., 1] / depth + self.centre[1]
        return np.asarray(np.stack([x, y], axis=-1), np.float64)

    def slope(self, points: AnyFloats) -> Floats:
        """Return (..., 2, 3): how the pixel of a posed point changes with the point."""
        depth = self.distance - points[..., 2]
        by = self.focal / depth
        zero = np.zeros_like(by)
        return np.asarray(
            np.stack(
                [
                    np.stack([by, zero, by * points[..., 0] / depth], axis=-1),
                    np.stack([zero, -by, -by * points[..., 1] / depth], axis=-1),
                ],
                axis=-2,
            ),
            np.float64,
        )


@dataclass(frozen=True, kw_only=True)
class RigidPose:
    """Posed point = R @ point + t."""

    R: Floats
    """(3, 3)."""
    t: Floats
    """(3,) 100 mm."""

    def __call__(self, points: AnyFloats) -> Floats:
        """Pose points (..., 3)."""
        return np.asarray(points @ self.R.T + self.t)

    def stepped(self, step: AnyFloats) -> "RigidPose":
        """Turn by the rotation vector step[:3] round t, then move by step[3:6]."""
        turn = Rotation.from_rotvec(step[:3]).as_matrix()
        return RigidPose(R=turn @ self.R, t=self.t + step[3:6])

    @property
    def angles(self) -> Floats:
        """(3,) rotations about x, y and z, radians, with R = Rz Ry Rx."""
        R = self.R
        return np.array(
            [
                np.arctan2(R[2, 1], R[2, 2]),
                np.arcsin(np.clip(-R[2, 0], -1, 1)),
                np.arctan2(R[1, 0], R[0, 0]),
            ]
        )


def pose_of_landmarks(model: AnyFloats, image: AnyFloats, camera: CropCamera) -> RigidPose:
    """Return the scaled-orthographic pose of model points (N, 3) seen at (N, 2) px.

    Closed form: affine least squares, its two rows made orthonormal; the depth follows from the
    scale. A start for what knows perspective.
    """
    middle, seen = model.mean(axis=0), image.mean(axis=0)
    affine = np.linalg.lstsq(model - middle, (image - seen) * [1.0, -1.0], rcond=None)[0].T
    u, sizes, vt = np.linalg.svd(affine, full_matrices=False)
    rows = u @ vt
    R = np.vstack([rows, np.cross(rows[0], rows[1])])
    depth = camera.focal / max(float(sizes.mean()), 1e-9)
    x = (seen[0] - camera.centre[0]) * depth / camera.focal
    y = -(seen[1] - camera.centre[1]) * depth / camera.focal
    where = np.array([x, y, camera.distance - depth])
    return RigidPose(R=R, t=where - R @ middle)


def pose_slope(posed: AnyFloats, pose: RigidPose) -> Floats:
    """Return (N, 3, 6): how posed points move with the step of `RigidPose.stepped`."""
    arm = posed - pose.t
    out = np.zeros((len(posed), 3, 6))
    out[:, 0, 1], out[:, 0, 2] = arm[:, 2], -arm[:, 1]
    out[:, 1, 0], out[:, 1, 2] = -arm[:, 2], arm[:, 0]
    out[:, 2, 0], out[:, 2, 1] = arm[:, 1], -arm[:, 0]
    out[:, :, 3:] = np.eye(3)
    return out
