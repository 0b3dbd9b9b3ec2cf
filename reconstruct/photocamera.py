"""The camera of a crop as the rasteriser takes it: a principal point anywhere, depths of a face."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .fit_camera import CropCamera
from .pose import HrnCamera

_BEFORE, _BEHIND = 4.0, 6.0  # model units of depth kept about the face


@dataclass(frozen=True, kw_only=True)
class PhotoCamera(HrnCamera):
    """HrnCamera whose principal point may lie anywhere."""

    centre: tuple[float, float] = (112.0, 112.0)
    """px, y down."""

    def resized(self, size: int) -> "PhotoCamera":
        """Return the camera of the same view in `size` pixels a side."""
        by = size / self.size
        centre = (self.centre[0] * by, self.centre[1] * by)
        return replace(self, size=size, focal=self.focal * by, centre=centre)

    def project(self, points: Tensor) -> Tensor:
        """Return px (..., 2), y up."""
        shift = points.new_tensor([self.centre[0], self.size - self.centre[1]])
        return self.focal * points[..., :2] / self.depth(points)[..., None] + shift

    def clip(self, points: Tensor) -> Tensor:
        """Return clip-space positions (..., 4), row 0 of the raster at the image's top."""
        clip = super().clip(points)
        shift = (2 * self.centre[0] / self.size - 1, 2 * self.centre[1] / self.size - 1)
        moved = clip[..., :2] + points.new_tensor(shift) * clip[..., 3:]
        return torch.cat([moved, clip[..., 2:]], dim=-1)


def photo_camera(camera: CropCamera, face_z: float) -> PhotoCamera:
    """Return a crop's camera for the rasteriser, its depths about a face at `face_z`."""
    depth = camera.distance - face_z
    return PhotoCamera(
        size=camera.size,
        focal=camera.focal,
        distance=camera.distance,
        near=max(depth - _BEFORE, 0.1 * depth),
        far=depth + _BEHIND,
        centre=camera.centre,
    )
