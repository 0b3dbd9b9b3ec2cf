"""Pose and camera of HRN: rotation by three angles, a fixed camera ten units in front.

World frame: x to the image's right, y up, z to the camera, units of 100 mm. The camera sits at
z = `distance` and looks along -z: the depth of a point is `distance` - z. Where y is measured
upwards, pixels count from the image's *bottom* left corner; the centre of the lowest left
pixel is (0.5, 0.5).

Source
------
github.com/youngLBW/HRN and github.com/sicxu/Deep3DFaceRecon_pytorch.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class HrnCamera:
    """A camera on the z axis, principal point in the middle of a square image."""

    size: int = 224
    """Pixels a side."""
    focal: float = 1015.0
    """px."""
    distance: float = 10.0
    """Model units from the origin."""
    near: float = 5.0
    far: float = 15.0
    """Model units of depth that the rasteriser keeps."""

    def resized(self, size: int) -> "HrnCamera":
        """Return the camera of the same view in `size` pixels a side."""
        return replace(self, size=size, focal=self.focal * size / self.size)

    def depth(self, points: Tensor) -> Tensor:
        """Return the depth (...,) of world `points` (..., 3), model units."""
        return self.distance - points[..., 2]

    def project(self, points: Tensor) -> Tensor:
        """Return px (..., 2), **y up**, of world `points` (..., 3)."""
        depth = self.depth(points)[..., None]
        return self.focal * points[..., :2] / depth + self.size / 2

    def pixels(self, points: Tensor) -> Tensor:
        """Return px (..., 2), y down: row 0 is the image's top."""
        x, y_up = self.project(points).unbind(dim=-1)
        return torch.stack([x, self.size - y_up], dim=-1)

    def clip(self, points: Tensor) -> Tensor:
        """Return clip-space positions (..., 4) of world `points` (..., 3).

        y is turned, so that the rasteriser's row 0 (NDC y = -1) is the top of the image.
        """
        depth = self.depth(points)
        scale = 2 * self.focal / self.size
        span = self.far - self.near
        z = ((self.far + self.near) * depth - 2 * self.far * self.near) / span
        return torch.stack([scale * points[..., 0], -scale * points[..., 1], z, depth], dim=-1)


def rotation(angles: Tensor) -> Tensor:
    """Return R = Rz(a3) Ry(a2) Rx(a1), (B, 3, 3), of `angles` (B, 3) rad."""
    (sx, sy, sz), (cx, cy, cz) = (f(angles).unbind(dim=-1) for f in (torch.sin, torch.cos))
    rows = [
        [cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx],
        [sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx],
        [-sy, cy * sx, cy * cx],
    ]
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def rotated(vectors: Tensor, angles: Tensor) -> Tensor:
    """Return R v of `vectors` (B, N, 3), `angles` (B, 3)."""
    return vectors @ rotation(angles).transpose(1, 2)


def posed(shape: Tensor, angles: Tensor, translation: Tensor) -> Tensor:
    """Return R v + t, (B, V, 3) in the world frame, of the unposed `shape` (B, V, 3)."""
    return rotated(shape, angles) + translation[:, None]
