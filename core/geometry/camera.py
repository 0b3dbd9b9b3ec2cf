"""Cameras and rigs: the one place that states facekit's camera conventions.

- Axes as in OpenCV: x right, y down, z forward. `cam_from_world` is (3, 4), mm:
  `x_cam = R @ x_world + t`.
- Pixels: the image spans [0, width] x [0, height]; the **centre of the top-left pixel is
  (0.5, 0.5)**, as in COLMAP. Scaling an image by s is scaling `K` by s, and nothing else.
  OpenCV counts from (0, 0): half a pixel is added where it finds points
  (`calibration/target/detect.py`) and where rigs of other programs are read and written
  (`calibration/rigfile.py`, `opencvyaml.py`, `facescapejson.py`).
- Points in images are (x, y); arrays index [row, col].
- Distortion: Brown, in OpenCV's order (k1, k2, p1, p2, k3), on normalised coordinates.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..arrays import AnyFloats, Bools, Floats
from . import transform

NO_DISTORTION: Floats = np.zeros(5)


@dataclass(frozen=True, kw_only=True)
class Camera:
    """A pinhole camera with Brown distortion at a pose."""

    name: str
    width: int
    height: int
    K: Floats
    """(3, 3), px."""
    cam_from_world: Floats
    """(3, 4), mm."""
    distortion: Floats = field(default_factory=NO_DISTORTION.copy)
    """(5,): k1, k2, p1, p2, k3."""

    @property
    def center(self) -> Floats:
        """Camera centre in the world, (3,) mm."""
        return -self.cam_from_world[:, :3].T @ self.cam_from_world[:, 3]

    @property
    def view_direction(self) -> Floats:
        """Unit optical axis in the world, (3,)."""
        return self.cam_from_world[2, :3].copy()

    @property
    def P(self) -> Floats:
        """(3, 4) `K @ cam_from_world`: the projection without distortion."""
        return self.K @ self.cam_from_world

    @property
    def is_distorted(self) -> bool:
        """Whether any distortion coefficient is non-zero."""
        return bool(np.any(self.distortion))

    def project(self, points: AnyFloats) -> tuple[Floats, Floats]:
        """Project world points.

        Parameters
        ----------
        points : (..., 3), mm

        Returns
        -------
        xy : (..., 2) float64, px
            NaN for points at or behind the camera plane.
        depth : (...) float64, mm
            Along z.
        """
        in_cam = points @ self.cam_from_world[:, :3].T + self.cam_from_world[:, 3]
        depth = in_cam[..., 2]
        with np.errstate(divide="ignore", invalid="ignore"):
            normalised = np.where(depth[..., None] > 0, in_cam[..., :2] / depth[..., None], np.nan)
        bent = distort(normalised, self.distortion) if self.is_distorted else normalised
        return bent @ self.K[:2, :2].T + self.K[:2, 2], depth

    def unproject(self, xy: AnyFloats) -> Floats:
        """Return world directions (..., 3) through pixels (..., 2), with camera-z = 1.

        So `center + depth * direction` is the point at that depth along z.
        """
        normalised = undistort(self.normalise(xy), self.distortion)
        rays = np.concatenate([normalised, np.ones_like(normalised[..., :1])], axis=-1)
        return np.asarray(rays @ self.cam_from_world[:, :3])

    def normalise(self, xy: AnyFloats) -> Floats:
        """Take pixels (..., 2) to (still distorted) normalised coordinates."""
        y = (xy[..., 1] - self.K[1, 2]) / self.K[1, 1]
        x = (xy[..., 0] - self.K[0, 2] - self.K[0, 1] * y) / self.K[0, 0]
        return np.stack([x, y], axis=-1)

    def pixel_centers(self) -> Floats:
        """Return the (height, width, 2) pixel centres."""
        x, y = np.meshgrid(np.arange(self.width) + 0.5, np.arange(self.height) + 0.5)
        return np.stack([x, y], axis=-1)

    def scaled(self, width: int, height: int) -> "Camera":
        """Return this camera for its image resized to `width` x `height`."""
        K = np.diag([width / self.width, height / self.height, 1.0]) @ self.K
        return replace(self, width=width, height=height, K=K)

    def cropped(self, x: int, y: int, *, width: int, height: int) -> "Camera":
        """Return this camera for the part of its image that begins at pixel (x, y)."""
        K = self.K.copy()
        K[:2, 2] -= (x, y)
        return replace(self, width=width, height=height, K=K)

    def undistorted(self) -> "Camera":
        """Return this camera without distortion (same K: for undistorted images)."""
        return replace(self, distortion=NO_DISTORTION.copy())

    def record(self) -> dict[str, Any]:
        """Return name, size, K, distortion and pose as JSON-able values."""
        return {
            "name": self.name,
            "width": self.width,
            "height": self.height,
            "K": self.K.tolist(),
            "distortion": self.distortion.tolist(),
            "cam_from_world": self.cam_from_world.tolist(),
        }

    def moved(self, similarity: transform.Similarity) -> "Camera":
        """Return this camera in the frame that `similarity` leads to."""
        return replace(self, cam_from_world=similarity.of_camera(self.cam_from_world))


@dataclass(frozen=True, kw_only=True)
class Rig:
    """Cameras in one world frame."""

    cameras: tuple[Camera, ...]
    metric: bool = True
    """False: the scale is unknown, lengths are in an arbitrary unit."""

    def __iter__(self) -> Iterator[Camera]:
        return iter(self.cameras)

    def __len__(self) -> int:
        return len(self.cameras)

    def __getitem__(self, name: str) -> Camera:
        for camera in self.cameras:
            if camera.name == name:
                return camera
        raise KeyError(name)

    @property
    def names(self) -> tuple[str, ...]:
        """Camera names, in order."""
        return tuple(camera.name for camera in self.cameras)

    @property
    def centers(self) -> Floats:
        """(n_views, 3) camera centres, mm."""
        return np.array([camera.center for camera in self.cameras]).reshape(-1, 3)

    def moved(self, similarity: transform.Similarity) -> "Rig":
        """Return the rig in the frame that `similarity` leads to."""
        return replace(self, cameras=tuple(c.moved(similarity) for c in self.cameras))

    def with_camera(self, camera: Camera) -> "Rig":
        """Return the rig with `camera` in place of the one of its name."""
        return replace(
            self, cameras=tuple(camera if c.name == camera.name else c for c in self.cameras)
        )


def distort(normalised: AnyFloats, distortion: Floats) -> Floats:
    """Apply Brown distortion to normalised coordinates (..., 2).

    Source
    ------
    Brown, Photogrammetric Engineering 37(8), 1971, in OpenCV's parametrisation.
    """
    k1, k2, p1, p2, k3 = distortion
    x, y = normalised[..., 0], normalised[..., 1]
    r2 = x * x + y * y
    radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
    xd = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
    yd = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
    return np.stack([xd, yd], axis=-1)


def undistort(distorted: AnyFloats, distortion: Floats, *, n_steps: int = 30) -> Floats:
    """Invert `distort` by Newton's method on (..., 2) coordinates.

    Converges wherever the model is one-to-one; elsewhere (beyond the turning point of a
    strong barrel distortion) the result is NaN rather than a wrong root.
    """
    if not np.any(distortion):
        return np.asarray(distorted, dtype=np.float64)
    k1, k2, p1, p2, k3 = distortion
    target = np.asarray(distorted, dtype=np.float64)
    point = target.copy()
    for _ in range(n_steps):
        x, y = point[..., 0], point[..., 1]
        r2 = x * x + y * y
        radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
        slope = 2 * (k1 + r2 * (2 * k2 + 3 * r2 * k3))
        xx = radial + slope * x * x + 2 * p1 * y + 6 * p2 * x
        yy = radial + slope * y * y + 6 * p1 * y + 2 * p2 * x
        xy = slope * x * y + 2 * p1 * x + 2 * p2 * y
        miss = distort(point, distortion) - target
        det = xx * yy - xy * xy
        step_x = (yy * miss[..., 0] - xy * miss[..., 1]) / det
        step_y = (xx * miss[..., 1] - xy * miss[..., 0]) / det
        point = point - np.stack([step_x, step_y], axis=-1)
        if np.nanmax(np.abs(miss), initial=0.0) < 1e-14:
            break
    good: Bools = np.abs(distort(point, distortion) - target).max(axis=-1) < 1e-9
    return np.where(good[..., None], point, np.nan)
