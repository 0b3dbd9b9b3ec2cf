"""Rays and closest points against a mesh (Embree through Open3D)."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import open3d as o3d

from ..arrays import AnyFloats, Bools, Floats, Floats32, Ints
from .camera import Camera

_RAYS_AT_ONCE = 1 << 20  # 24 B in and 32 B out per ray: about 60 MB


@dataclass(frozen=True, kw_only=True)
class RayHits:
    """Where rays meet the mesh first."""

    distance: Floats32
    """(N,) in units of the direction's length; inf where nothing is hit."""
    face: Ints
    """(N,) int32, -1 where nothing is hit."""
    uv: Floats32
    """(N, 2): the hit is (1 - u - v) a + u b + v c of the face's corners."""

    @property
    def hit(self) -> Bools:
        """(N,) whether the ray meets the mesh."""
        return self.face >= 0


@dataclass(frozen=True, kw_only=True)
class ClosestPoints:
    """Nearest surface points."""

    points: Floats
    """(N, 3) mm."""
    face: Ints
    """(N,) int32."""
    distance: Floats
    """(N,) mm, unsigned."""


class SurfaceQuery:
    """A mesh that can be asked for ray hits and closest points."""

    def __init__(self, vertices: AnyFloats, faces: Ints) -> None:
        self._scene = o3d.t.geometry.RaycastingScene()
        self._scene.add_triangles(
            o3d.core.Tensor(np.ascontiguousarray(vertices, dtype=np.float32)),
            o3d.core.Tensor(np.ascontiguousarray(faces, dtype=np.uint32)),
        )

    def cast(self, origins: AnyFloats, directions: AnyFloats) -> RayHits:
        """Cast rays from `origins` (N, 3) or (3,) along `directions` (N, 3)."""
        n = len(directions)
        distance = np.full(n, np.inf, np.float32)
        face = np.full(n, -1, np.int32)
        uv = np.zeros((n, 2), np.float32)
        for start, stop, rays in _ray_chunks(origins, directions):
            answer = self._scene.cast_rays(o3d.core.Tensor(rays))
            distance[start:stop] = answer["t_hit"].numpy()
            hit = np.isfinite(distance[start:stop])
            face[start:stop] = np.where(hit, answer["primitive_ids"].numpy().astype(np.int64), -1)
            uv[start:stop] = answer["primitive_uvs"].numpy()
        return RayHits(distance=distance, face=face, uv=uv)

    def occluded(self, origins: AnyFloats, directions: AnyFloats, *, far: float = np.inf) -> Bools:
        """Tell (N,) whether anything is met before `far` (in lengths of the direction)."""
        blocked = np.zeros(len(directions), bool)
        for start, stop, rays in _ray_chunks(origins, directions):
            answer = self._scene.test_occlusions(o3d.core.Tensor(rays), tfar=far)
            blocked[start:stop] = answer.numpy()
        return blocked

    def closest(self, points: AnyFloats) -> ClosestPoints:
        """Find the nearest surface point of each of `points` (N, 3)."""
        query = np.ascontiguousarray(points, dtype=np.float32)
        answer = self._scene.compute_closest_points(o3d.core.Tensor(query))
        nearest = answer["points"].numpy().astype(np.float64)
        return ClosestPoints(
            points=nearest,
            face=answer["primitive_ids"].numpy().astype(np.int32),
            distance=np.linalg.norm(nearest - query, axis=1),
        )

    def depth(self, camera: Camera) -> Floats32:
        """Render (height, width) depth along z, mm; NaN where nothing is seen."""
        directions = camera.unproject(camera.pixel_centers().reshape(-1, 2))
        hits = self.cast(camera.center, directions)
        depth = np.where(hits.hit, hits.distance, np.nan).astype(np.float32)
        return depth.reshape(camera.height, camera.width)

    def sees(self, camera: Camera, points: AnyFloats, *, offset_mm: float = 0.02) -> Bools:
        """Tell (N,) whether nothing stands between `points` and the camera centre.

        The ray starts `offset_mm` towards the camera, so that a point does not hide itself.
        """
        to_camera = camera.center - np.asarray(points, dtype=np.float64)
        distance = np.linalg.norm(to_camera, axis=1, keepdims=True)
        unit = to_camera / distance
        return ~self.occluded(points + offset_mm * unit, unit)


def _ray_chunks(origins: AnyFloats, directions: AnyFloats) -> Iterator[tuple[int, int, Floats32]]:
    """Yield (start, stop, rays (n, 6)) in pieces of bounded memory."""
    origins = np.broadcast_to(origins, np.shape(directions))
    for start in range(0, len(directions), _RAYS_AT_ONCE):
        stop = min(start + _RAYS_AT_ONCE, len(directions))
        rays = np.concatenate([origins[start:stop], directions[start:stop]], axis=1)
        yield start, stop, np.ascontiguousarray(rays, dtype=np.float32)
