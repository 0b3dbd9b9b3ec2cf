"""Shaded still pictures of a mesh: for reports, needs no GPU.

Clay under a key light at the viewer's upper left, a fill light and an even sky dimmed by
ambient occlusion. Lights turn with the camera, so that every view reads alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from scipy.spatial import cKDTree

from ..arrays import AnyFloats, Bools, Bytes, Floats, Floats32
from ..errors import InputError
from ..geometry.camera import Camera
from ..geometry.closest import SurfaceQuery
from ..geometry.mesh import Mesh, face_areas, vertex_normals
from ..geometry.transform import look_at
from ..imaging.color import linear_from_srgb
from . import numba_raster_kernels as raster
from . import preview_kernels as kernels

CLAY = (203, 188, 175)
"""sRGB of the clay."""
BACKGROUND = (247, 247, 245)
_N_SKY = 128  # directions of the sky
_MAX_SKY_POINTS = 40_000  # vertices where the sky is sampled; the rest interpolates
_SUBPIXEL_BITS = 8  # vertices are rounded to 2^-8 of a pixel
_NEAREST = 1e-4  # of the far plane: what is nearer to the camera is not drawn
_MAX_EXTENT_FACES = 200_000  # triangles that say how large a mesh is
_INSIDE = np.array([0.55, 0.58, 0.66], np.float32)  # tint of back sides

_LIGHTS = (  # direction in the camera (x right, y down, z forward), linear RGB
    ((-0.60, -0.60, -0.72), (1.2, 1.17, 1.11)),
    ((0.90, 0.10, -0.40), (0.13, 0.15, 0.19)),
    ((0.55, -0.60, 0.60), (0.16, 0.17, 0.19)),
)
_SKY = np.array([0.20, 0.205, 0.22], np.float32)
_LAMPS = (
    np.array([np.array(d) / np.linalg.norm(d) for d, _ in _LIGHTS], np.float32),
    np.array([color for _, color in _LIGHTS], np.float32),
    _SKY,
    _INSIDE,
)
_LINEAR = linear_from_srgb(np.arange(256, dtype=np.uint8))
_ENCODING = kernels.encoding_tables()


@dataclass(frozen=True, kw_only=True)
class Look:
    """How a picture is drawn."""

    background: tuple[int, int, int] = BACKGROUND  # sRGB
    supersampling: int = 2  # rays per pixel and axis
    gloss: float = 0.08  # strength of the highlight; makes relief readable
    lit: bool = True  # False: the surface's own colours, for textures that hold their light


@dataclass(frozen=True, kw_only=True)
class Texture:
    """An image on a mesh with texture coordinates."""

    image: Bytes
    """(t, t, 3) sRGB, row 0 is v = 1."""
    faces: Bools
    """(F,) the faces that it is of."""


Drawing = tuple[AnyFloats | Bytes | None, Texture | None, Look]
"""Colours of the vertices, an image, and how it is drawn."""


class MeshPreview:
    """A mesh that can be drawn from many cameras; the sky's shadows are found once.

    Parameters
    ----------
    mesh : Mesh
    ambient_occlusion : bool
        Whether creases are darker.
    openness : (V,), optional
        The share of the sky that each vertex sees, where it is known already.
    """

    def __init__(
        self, mesh: Mesh, *, ambient_occlusion: bool = True, openness: Floats32 | None = None
    ) -> None:
        self.mesh = mesh
        self._normals = vertex_normals(mesh.vertices, mesh.faces).astype(np.float32)
        if openness is None:
            openness = (
                sky_openness(mesh) if ambient_occlusion else np.ones(len(mesh.vertices), np.float32)
            )
        self.openness: Floats32 = np.ascontiguousarray(openness, np.float32)
        """(V,) share of the sky that each vertex sees, 0-1."""
        self._last: tuple[Camera, Floats32] | None = None

    def draw(
        self,
        camera: Camera,
        *,
        colors: AnyFloats | Bytes | None = None,
        texture: Texture | None = None,
        look: Look | None = None,
    ) -> Bytes:
        """Draw the mesh.

        Parameters
        ----------
        camera : Camera
            The picture has its size.
        colors : (V, 3) uint8, optional
            sRGB surface colour per vertex; clay by default.
        texture : Texture, optional
            Colour in place of `colors` on the faces that it names.

        Returns
        -------
        (height, width, 3) uint8, sRGB
        """
        look = Look() if look is None else look
        return self.draw_all(camera, [(colors, texture, look)])[0]

    def draw_all(self, camera: Camera, drawings: Sequence[Drawing]) -> list[Bytes]:
        """Draw the mesh in several ways from one place: (colours, texture, look) each."""
        pictures, seen_at = [], dict[int, Floats32]()
        for colors, texture, look in drawings:
            n = look.supersampling
            fine = camera.scaled(camera.width * n, camera.height * n)
            if n not in seen_at:  # not `_last`: other threads draw from elsewhere
                seen_at[n] = self._seen(fine)
            seen = seen_at[n]
            light = np.empty((fine.height, fine.width, 3), np.float32)
            light[:] = linear_from_srgb(np.array(look.background, np.uint8))
            kernels.shade_pixels(
                seen, seen.view(np.int32), self.mesh.faces, self._normals, self.openness,
                self._linear(colors), self._texture(texture),
                np.ascontiguousarray(fine.cam_from_world[:, :3], np.float32), _lens(fine), _LAMPS,
                look.gloss, look.lit, light,
            )  # fmt: skip
            picture = np.empty((camera.height, camera.width, 3), np.uint8)
            kernels.encode_means(light, n, _ENCODING[0], _ENCODING[1], picture)
            pictures.append(picture)
        return pictures

    def normals(self, camera: Camera, *, supersampling: int = 2) -> tuple[Floats32, Floats32]:
        """Return the smooth normals that a camera sees, in its axes, and where the mesh is.

        Returns
        -------
        normals : (height, width, 3)
            Unit, x right, y down, z forward (so that what faces the camera has -1); 0 off the mesh.
        coverage : (height, width) in [0, 1]
            Part of each pixel that shows the mesh.
        """
        fine = camera.scaled(camera.width * supersampling, camera.height * supersampling)
        seen = self._seen(fine)
        picture = np.zeros((fine.height, fine.width, 4), np.float32)
        kernels.normals_at_pixels(
            seen, seen.view(np.int32), self.mesh.faces, self._normals,
            np.ascontiguousarray(fine.cam_from_world[:, :3], np.float32), picture,
        )  # fmt: skip
        if supersampling > 1:
            size = (camera.width, camera.height)
            picture = np.asarray(
                cv2.resize(picture, size, interpolation=cv2.INTER_AREA), dtype=np.float32
            )
        normals, coverage = picture[..., :3], picture[..., 3]
        length = np.linalg.norm(normals, axis=2, keepdims=True)
        unit = np.divide(normals, length, out=np.zeros_like(normals), where=length > 1e-6)
        return unit, np.ascontiguousarray(coverage)

    def _seen(self, camera: Camera) -> Floats32:
        """Return (H, W, 4) what the pixels see; kept for another look from there."""
        last = self._last
        if last is not None and _same_view(last[0], camera):
            return last[1]
        seen = seen_triangles(self.mesh, camera)
        self._last = camera, seen
        return seen

    def _linear(self, colors: AnyFloats | Bytes | None) -> Floats32:
        """Return (V, 3) linear light of sRGB colours, of clay where there are none."""
        n = len(self.mesh.vertices)
        if colors is None:
            return np.tile(linear_from_srgb(np.array(CLAY, np.uint8)), (n, 1))
        if len(colors) != n:
            raise InputError(f"{len(colors)} colours for {n} vertices")
        return linear_from_srgb(np.asarray(colors, np.uint8))

    def _texture(self, texture: Texture | None) -> tuple[Any, ...]:
        """Return a texture as the kernels take it."""
        mesh = self.mesh
        if texture is None:
            nowhere = np.zeros(len(mesh.faces), np.bool_)
            return nowhere, mesh.faces, np.zeros((1, 2)), np.zeros((1, 1, 3), np.uint8), _LINEAR
        assert mesh.uv is not None
        corners = mesh.faces if mesh.faces_uv is None else mesh.faces_uv
        uv = np.ascontiguousarray(mesh.uv, np.float64)
        return texture.faces, corners, uv, np.ascontiguousarray(texture.image), _LINEAR


def seen_triangles(mesh: Mesh, camera: Camera) -> Floats32:
    """Return (H, W, 4) what each pixel's centre sees of a mesh.

    What the first and the second corner of the triangle weigh, z/w, and the triangle's number
    + 1 (as `numba_raster_kernels.locate` codes it); zeros where nothing is seen.
    """
    if camera.is_distorted:
        return _cast(mesh, camera)
    size = (camera.height, camera.width)
    pos = _clip_space(mesh, camera)
    faces = np.ascontiguousarray(mesh.faces, np.int32)
    place, depth = np.empty((len(pos), 2), np.int32), np.empty(len(pos))
    kind, rows = np.empty(len(pos), np.int8), np.empty((len(faces), 2), np.int32)
    half = [n * float(1 << (_SUBPIXEL_BITS - 1)) for n in (camera.width, camera.height)]
    raster.place_vertices(pos, half[0], half[1], place, depth, kind)
    keep = raster.KEEP_ALL
    raster.find_rows(
        faces, pos, place, depth, kind, size, _SUBPIXEL_BITS, keep, 0, len(faces), rows
    )
    keys = np.full(size, raster.EMPTY)
    raster.fill_rows(
        faces, pos, place, depth, kind, rows, camera.width, camera.height, _SUBPIXEL_BITS, keep,
        0, keys,
    )  # fmt: skip
    rast = np.zeros((*size, 4), np.float32)
    no_slopes = np.zeros((0, 0, 4), np.float32)
    raster.locate(faces, pos, keys, 0, camera.height, rast, rast.view(np.int32), no_slopes)
    return rast


def _clip_space(mesh: Mesh, camera: Camera) -> Floats32:
    """Return (V, 4): the image's top row at y = -1, the mesh's nearest point at z/w = -1."""
    in_cam = np.empty((len(mesh.vertices), 3))
    low, high = kernels.camera_space(mesh.vertices, camera.cam_from_world, in_cam)
    far = max(high, 1e-3)
    near = max(low, _NEAREST * far)
    pos = np.empty((len(in_cam), 4), np.float32)
    size = (float(camera.width), float(camera.height))
    kernels.clip_space(in_cam, _lens(camera), size, near * (1 - 1e-3), far * (1 + 1e-3), pos)
    return pos


def _cast(mesh: Mesh, camera: Camera) -> Floats32:
    """Return what `seen_triangles` does, by rays through the lens."""
    query = SurfaceQuery(mesh.vertices, mesh.faces)
    hits = query.cast(camera.center, camera.unproject(camera.pixel_centers().reshape(-1, 2)))
    rast = np.zeros((camera.height * camera.width, 4), np.float32)
    rast[:, 0] = np.where(hits.hit, 1 - hits.uv.sum(axis=1), 0)
    rast[:, 1] = np.where(hits.hit, hits.uv[:, 0], 0)
    rast[:, 3] = hits.face + 1
    return rast.reshape(camera.height, camera.width, 4)


def _lens(camera: Camera) -> Floats:
    """Return fx, fy, cx, cy, skew."""
    K = camera.K
    return np.array([K[0, 0], K[1, 1], K[0, 2], K[1, 2], K[0, 1]])


def _same_view(a: Camera, b: Camera) -> bool:
    arrays = ((a.K, b.K), (a.cam_from_world, b.cam_from_world), (a.distortion, b.distortion))
    same_size = (a.width, a.height) == (b.width, b.height)
    return same_size and all(np.array_equal(x, y) for x, y in arrays)


def sky_openness(mesh: Mesh, *, most_points: int = _MAX_SKY_POINTS) -> Floats32:
    """Return (V,) the cosine-weighted share of the sky that each vertex sees, 0-1.

    The sky is the same even set of directions for all vertices, which leaves no noise.
    Large meshes are sampled at `most_points` vertices and interpolated.
    """
    query = SurfaceQuery(mesh.vertices, mesh.faces)
    normals = vertex_normals(mesh.vertices, mesh.faces)
    n = len(mesh.vertices)
    chosen = np.unique(np.linspace(0, n - 1, min(n, most_points)).round().astype(np.int64))
    size = float(np.linalg.norm(np.ptp(mesh.vertices, axis=0)))
    edge = float(np.sqrt(face_areas(mesh.vertices, mesh.faces).mean()))
    start = mesh.vertices[chosen] + min(0.5 * edge, 0.002 * size) * normals[chosen]
    seen, total = np.zeros(len(chosen)), np.zeros(len(chosen))
    for direction in _even_directions(_N_SKY):
        cosine = normals[chosen] @ direction
        facing = cosine > 0
        rays = np.broadcast_to(direction, (int(facing.sum()), 3))
        free = ~query.occluded(start[facing], rays, far=0.4 * size)
        seen[facing] += cosine[facing] * free
        total += np.maximum(cosine, 0)
    open_here = np.divide(seen, total, out=np.ones_like(seen), where=total > 0)
    if len(chosen) == n:
        return open_here.astype(np.float32)
    distance, near = cKDTree(mesh.vertices[chosen]).query(mesh.vertices, k=6)
    weight: Floats = 1 / (np.asarray(distance, dtype=np.float64) + 1e-3 * size)
    mixed = (weight * open_here[near]).sum(1) / weight.sum(1)
    return np.asarray(mixed, dtype=np.float32)


def orbit_cameras(
    mesh: Mesh,
    yaws_deg: Sequence[float],
    *,
    pitch_deg: float = 5.0,
    width: int = 640,
    height: int = 800,
    fill: float = 0.92,
) -> tuple[Camera, ...]:
    """Return cameras round a mesh, all at one distance, each with the whole mesh in view.

    Parameters
    ----------
    yaws_deg : sequence of float
        0 looks at the front (from +z), +90 at the subject's left (from +x).
    fill : float
        Part of the picture that the mesh takes in the tighter direction.
    """
    used = np.zeros(len(mesh.vertices), bool)
    used[mesh.faces[:: 1 + len(mesh.faces) // _MAX_EXTENT_FACES]] = True
    vertices = np.asarray(mesh.vertices[used], dtype=np.float64)
    middle = (vertices.min(0) + vertices.max(0)) / 2
    radius = float(np.linalg.norm(vertices - middle, axis=1).max())
    distance = 5.0 * radius  # a long lens: faces look natural
    poses = [_orbit_pose(middle, distance, yaw, pitch_deg) for yaw in yaws_deg]
    boxes = [kernels.slopes_of(vertices, pose) for pose in poses]
    extent = np.max([high - low for low, high in boxes], axis=0)
    focal = fill * float(min(width / extent[0], height / extent[1]))
    cameras = []
    for i, (pose, (low, high)) in enumerate(zip(poses, boxes, strict=True)):
        x, y = np.array([width, height]) / 2 - focal * (low + high) / 2
        K = np.array([[focal, 0, x], [0, focal, y], [0, 0, 1.0]])
        cameras.append(
            Camera(name=f"view{i}", width=width, height=height, K=K, cam_from_world=pose)
        )
    return tuple(cameras)


def _orbit_pose(middle: Floats, distance: float, yaw_deg: float, pitch_deg: float) -> Floats:
    yaw, pitch = np.radians([yaw_deg, pitch_deg])
    away = np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
    return look_at(middle + distance * away, middle)


def _even_directions(n: int) -> Floats:
    """Return (n, 3) unit vectors, evenly spread by the golden angle."""
    i = np.arange(n) + 0.5
    z = 1 - 2 * i / n
    angle = np.pi * (1 + np.sqrt(5)) * i
    ring = np.sqrt(1 - z * z)
    return np.stack([ring * np.cos(angle), ring * np.sin(angle), z], axis=1)
