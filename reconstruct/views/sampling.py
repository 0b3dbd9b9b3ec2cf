"""Pictures of several views, sampled at texels moved along their normals.

A view's picture is taken at the size whose pixels are as large as the texels, so that every
level of texels sees what it can resolve, and nothing finer. Texels that a view does not see, or
sees at a low angle, have no weight in it.
"""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ...core.arrays import AnyFloats, Bools, Floats32
from ...core.geometry.camera import Camera
from ...core.geometry.closest import SurfaceQuery
from .faceview import FaceView
from .texels import TexelGrid

_GREY = np.array([0.3, 0.5, 0.2], np.float32)  # green has least noise, blue most
_N_SIZES = 6
_LEAST_COSINE = 0.25  # of the angle at which a texel is seen
_LIFT_MM = 0.3  # by which rays start off the surface
_SURE = 0.5  # of a mask


class Pictures:
    """The views' pictures in several sizes, each half of the one before."""

    def __init__(self, views: Sequence[FaceView], *, device: str = "cpu") -> None:
        self.views = tuple(views)
        self.device = device
        self._colour = [_pyramid(view.image) for view in views]
        self._grey = [[image @ _GREY for image in sizes] for sizes in self._colour]

    def grey(self, view: int, size: int) -> Tensor:
        """Return (1, 1, h, w)."""
        return torch.from_numpy(self._grey[view][size])[None, None].to(self.device)

    def colour(self, view: int, size: int) -> Tensor:
        """Return (1, 3, h, w) RGB."""
        image = np.ascontiguousarray(self._colour[view][size].transpose(2, 0, 1))
        return torch.from_numpy(image)[None].to(self.device)

    def n_sizes(self, view: int) -> int:
        """Return how many sizes there are of a view."""
        return len(self._colour[view])


class ViewSampler:
    """Samples pictures at the texels of one grid.

    Parameters
    ----------
    cameras : (J) Camera
        Whose world is the head frame.
    surfaces : (E, V, 3) mm
        Those that the grid was laid on: they hide texels from views.
    trust : (J,)
        Weight of each view.
    """

    weight: Tensor
    """(J, 1, h, w): cosine of the angle at which the view sees the texel, times trust."""
    seen: Tensor
    """(h, w) bool: a view shows the texel."""
    seen_twice: Tensor
    """(h, w) bool: two do."""

    def __init__(
        self,
        grid: TexelGrid,
        pictures: Pictures,
        cameras: Sequence[Camera],
        surfaces: AnyFloats,
        trust: AnyFloats,
    ) -> None:
        self.grid, self.device = grid, pictures.device
        queries = [SurfaceQuery(v, grid.model.faces) for v in surfaces]
        weights, self._start, self._along, self._grey, self._colour = [], [], [], [], []
        for j, (view, camera) in enumerate(zip(pictures.views, cameras, strict=True)):
            e = j if len(queries) > 1 else 0
            start, along = _homogeneous(grid, e, camera)
            self._start.append(torch.from_numpy(start).to(self.device))
            self._along.append(torch.from_numpy(along).to(self.device))
            weights.append(np.float32(trust[j]) * _cosines(grid, e, queries[e], view, camera))
            size = _size_for(grid, e, camera, pictures.n_sizes(j))
            self._grey.append(pictures.grey(j, size))
            self._colour.append((pictures, j, size))
        self.weight = torch.from_numpy(np.stack(weights)[:, None]).to(self.device)
        n_views = (self.weight > 0).sum(dim=0)[0]
        self.seen, self.seen_twice = n_views >= 1, n_views >= 2

    def sample(self, depth: Tensor | float) -> Tensor:
        """Return (J, 1, h, w) grey of each view at the texels moved by `depth` (h, w) mm."""
        places = self._places(depth)
        return torch.cat([_at(g, p) for g, p in zip(self._grey, places, strict=True)])

    def colours(self, depth: Tensor | float) -> Tensor:
        """Return (J, 3, h, w) RGB, encoded."""
        pairs = zip(self._colour, self._places(depth), strict=True)
        return torch.cat([_at(pictures.colour(j, size), p) for (pictures, j, size), p in pairs])

    def _places(self, depth: Tensor | float) -> list[Tensor]:
        by = depth[..., None] if isinstance(depth, Tensor) else depth
        out = []
        for start, along in zip(self._start, self._along, strict=True):
            h = start + by * along
            out.append((h[..., :2] / h[..., 2:])[None])
        return out


def _at(picture: Tensor, places: Tensor) -> Tensor:
    return functional.grid_sample(picture, places, align_corners=False, padding_mode="border")


def _pyramid(image: Floats32) -> list[Floats32]:
    sizes = [np.ascontiguousarray(image, np.float32)]
    while len(sizes) < _N_SIZES and min(sizes[-1].shape[:2]) >= 16:
        height, width = sizes[-1].shape[:2]
        half = cv2.resize(sizes[-1], (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        sizes.append(np.asarray(half, np.float32))
    return sizes


def _homogeneous(grid: TexelGrid, e: int, camera: Camera) -> tuple[Floats32, Floats32]:
    """Return (h, w, 3) of texels and their normals: after division, in -1..1 over the picture."""
    P = camera.P.copy()
    P[0] = P[0] * (2 / camera.width) - P[2]
    P[1] = P[1] * (2 / camera.height) - P[2]
    start = grid.points[e] @ P[:, :3].T + P[:, 3]
    along = grid.normals[e] @ P[:, :3].T
    scale = np.float64(np.median(np.abs(start[..., 2])))  # keeps float32 to a hundredth of a px
    return (start / scale).astype(np.float32), (along / scale).astype(np.float32)


def _cosines(
    grid: TexelGrid, e: int, query: SurfaceQuery, view: FaceView, camera: Camera
) -> Floats32:
    """Return (h, w): the cosine at which a view sees each texel, 0 where it does not."""
    at, normals = grid.points[e][grid.inside], grid.normals[e][grid.inside]
    towards = camera.center - at
    towards /= np.linalg.norm(towards, axis=1, keepdims=True)
    cosine = (towards * normals).sum(axis=1)
    seen = (cosine > _LEAST_COSINE) & query.sees(camera, at + _LIFT_MM * normals)
    seen &= _in_picture(view, camera, at)
    out = np.zeros(grid.inside.shape, np.float32)
    out[grid.inside] = np.where(seen, cosine, 0)
    return np.asarray(cv2.erode(out, np.ones((3, 3), np.uint8)), np.float32)


def _in_picture(view: FaceView, camera: Camera, points: AnyFloats) -> Bools:
    xy, _ = camera.project(points)
    with np.errstate(invalid="ignore"):
        within = (xy > 1) & (xy < np.array([camera.width, camera.height]) - 1)
    inside: Bools = np.asarray(within.all(axis=1))
    if view.mask is not None:
        col, row = np.where(inside[:, None], xy, 0).astype(int).T
        inside &= view.mask[row, col] > _SURE
    return inside


def _resolution(grid: TexelGrid, e: int, camera: Camera) -> float:
    """Return pixels per mm across the line of sight, at the middle of the face."""
    middle = grid.points[e][grid.inside].mean(axis=0)
    depth = float(camera.project(middle)[1])
    return float(camera.K[0, 0] / max(depth, 1e-6))


def _size_for(grid: TexelGrid, e: int, camera: Camera, n_sizes: int) -> int:
    """Return the picture's size whose pixels are nearest to the texels."""
    texels = _resolution(grid, e, camera) * grid.spacing_mm
    return int(np.clip(np.round(np.log2(max(texels, 1.0))), 0, n_sizes - 1))
