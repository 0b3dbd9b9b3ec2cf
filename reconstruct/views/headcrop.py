"""The part of an image about a head: so that the pixels are spent on it.

Cutting, shrinking and turning by quarters take the camera along exactly: pixel centres are at
halves, so that shrinking is scaling `K`, and cutting is moving its principal point.
"""

from dataclasses import dataclass, replace

import numpy as np

from ...core.arrays import AnyFloats, Floats
from ...core.geometry.camera import Camera

HEAD = 2.4
"""Side of the part over the extent of the 68 landmarks, brows to chin: skull and neck lie in it."""

_LEAST_PX = 32  # a side: a part at an image's corner holds something yet


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of an image, whole pixels."""

    x: int
    y: int
    width: int
    height: int

    @property
    def rows(self) -> slice:
        """Rows of the image."""
        return slice(self.y, self.y + self.height)

    @property
    def columns(self) -> slice:
        """Columns of the image."""
        return slice(self.x, self.x + self.width)

    def shrink(self, megapixels: float) -> float:
        """Return by what to scale, at most 1, for the part to have so many megapixels."""
        return float(min(1.0, np.sqrt(megapixels * 1e6 / (self.width * self.height))))

    def scaled(self, *, width: int, height: int, of: tuple[int, int]) -> "Part":
        """Return the part in its image of `of` (width, height) resized to `width` x `height`."""
        by = np.array([width / of[0], height / of[1]])
        low = np.floor(by * (self.x, self.y)).astype(int)
        high = np.ceil(by * (self.x + self.width, self.y + self.height)).astype(int)
        high = np.minimum(high, (width, height))
        size = high - low
        return Part(x=int(low[0]), y=int(low[1]), width=int(size[0]), height=int(size[1]))


def head_part(landmarks: AnyFloats, *, width: int, height: int) -> Part:
    """Return the part about a head, as far as it lies in the image; all where nothing is known.

    Parameters
    ----------
    landmarks : (n, 2) px
        Of the face; NaN where unknown.
    """
    known = landmarks[np.isfinite(landmarks).all(axis=1)]
    if len(known) == 0:
        return Part(x=0, y=0, width=width, height=height)
    low, high = known.min(axis=0), known.max(axis=0)
    half, middle = HEAD / 2 * float((high - low).max()), (low + high) / 2
    size = np.array([width, height])
    start = np.clip(np.floor(middle - half), 0, np.maximum(size - _LEAST_PX, 0)).astype(int)
    stop = np.clip(np.ceil(middle + half), np.minimum(start + _LEAST_PX, size), size).astype(int)
    return Part(
        x=int(start[0]), y=int(start[1]),
        width=int(stop[0] - start[0]), height=int(stop[1] - start[1]),
    )  # fmt: skip


def turned(camera: Camera, n_quarters: int) -> Camera:
    """Return an undistorted camera whose image is turned to the left, as `numpy.rot90` does.

    The camera rolls along, in place: what it sees stays what it saw. A skew of the pixel grid
    does not survive a quarter turn in `K`'s form, and is left out.
    """
    K, pose, width, height = camera.K, camera.cam_from_world, camera.width, camera.height
    for _ in range(n_quarters % 4):
        # the pixel (x, y) goes to (y, width - x), and so do the axes
        K = np.array([[K[1, 1], 0.0, K[1, 2]], [0.0, K[0, 0], width - K[0, 2]], [0.0, 0.0, 1.0]])
        pose = np.stack([pose[1], -pose[0], pose[2]])
        width, height = height, width
    return replace(camera, K=K, cam_from_world=pose, width=width, height=height)


def turned_points(points: AnyFloats, n_quarters: int, *, width: int, height: int) -> Floats:
    """Take points (..., 2) px of an image (width, height) to the image turned to the left."""
    out = np.asarray(points, np.float64)
    for _ in range(n_quarters % 4):
        out = np.stack([out[..., 1], width - out[..., 0]], axis=-1)
        width, height = height, width
    return out
