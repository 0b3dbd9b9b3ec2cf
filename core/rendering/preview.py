"""Shaded still pictures of a mesh by ray casting: for reports, needs no GPU.

Clay under a key light at the viewer's upper left, a fill light and an even sky dimmed by
ambient occlusion. Lights turn with the camera, so that every view reads alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.spatial import cKDTree

from ..arrays import AnyFloats, Bools, Bytes, Floats, Floats32, Ints
from ..errors import InputError
from ..geometry.camera import Camera
from ..geometry.closest import RayHits, SurfaceQuery
from ..geometry.mesh import Mesh, face_areas, vertex_normals
from ..geometry.transform import look_at
from ..imaging.color import linear_from_srgb, srgb_from_linear

CLAY = (203, 188, 175)
"""sRGB of the clay."""
BACKGROUND = (247, 247, 245)
_N_SKY = 128  # directions of the sky
_MAX_SKY_POINTS = 40_000  # vertices where the sky is sampled; the rest interpolates
_REMAP_ROWS = 16_000
_MAX_EXTENT_FACES = 200_000  # triangles that say how large a mesh is
_INSIDE = np.array([0.55, 0.58, 0.66], np.float32)  # tint of back sides

_LIGHTS = (  # direction in the camera (x right, y down, z forward), linear RGB
    ((-0.60, -0.60, -0.72), (1.2, 1.17, 1.11)),
    ((0.90, 0.10, -0.40), (0.13, 0.15, 0.19)),
    ((0.55, -0.60, 0.60), (0.16, 0.17, 0.19)),
)
_SKY = np.array([0.20, 0.205, 0.22], np.float32)


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


class MeshPreview:
    """A mesh that can be drawn from many cameras; the sky's shadows are found once."""

    def __init__(self, mesh: Mesh, *, ambient_occlusion: bool = True) -> None:
        self.mesh = mesh
        self._query = SurfaceQuery(mesh.vertices, mesh.faces)
        self._normals = vertex_normals(mesh.vertices, mesh.faces).astype(np.float32)
        self.openness: Floats32 = (
            sky_openness(mesh, query=self._query)
            if ambient_occlusion
            else np.ones(len(mesh.vertices), np.float32)
        )
        """(V,) share of the sky that each vertex sees, 0-1."""
        self._last: tuple[Camera, RayHits, AnyFloats] | None = None

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
        if colors is None:
            colors = np.full((len(self.mesh.vertices), 3), CLAY, np.uint8)
        if len(colors) != len(self.mesh.vertices):
            raise InputError(f"{len(colors)} colours for {len(self.mesh.vertices)} vertices")
        fine = camera.scaled(camera.width * look.supersampling, camera.height * look.supersampling)
        hits, directions = self._cast(fine)
        light = np.empty((len(directions), 3), np.float32)
        light[:] = linear_from_srgb(np.array(look.background, np.uint8))
        hit = hits.hit
        weights, corners = self._seen(hits)
        albedo = _interpolated(linear_from_srgb(np.asarray(colors, np.uint8)), weights, corners)
        if texture is not None:
            of_texture = texture.faces[hits.face[hit]]
            faces = hits.face[hit][of_texture]
            albedo[of_texture] = self._texels(texture.image, faces, weights[of_texture])
        if look.lit:
            turn = fine.cam_from_world[:, :3].T
            albedo = _shade(
                _interpolated(self._normals, weights, corners) @ turn.astype(np.float32),
                (directions[hit] @ turn).astype(np.float32),
                albedo,
                _interpolated(self.openness[:, None], weights, corners)[:, 0],
                gloss=look.gloss,
            )
        light[hit] = albedo
        picture: Floats32 = light.reshape(fine.height, fine.width, 3)
        if look.supersampling > 1:
            size = (camera.width, camera.height)
            clipped = np.clip(picture, 0, 1)
            picture = np.asarray(cv2.resize(clipped, size, interpolation=cv2.INTER_AREA))
        return np.rint(srgb_from_linear(picture) * 255).astype(np.uint8)

    def _cast(self, camera: Camera) -> tuple[RayHits, AnyFloats]:
        """Return what the pixels' rays hit, and the rays; kept for another look from there."""
        if self._last is not None and _same_view(self._last[0], camera):
            return self._last[1:]
        directions = camera.unproject(camera.pixel_centers().reshape(-1, 2))
        hits = self._query.cast(camera.center, directions)
        self._last = camera, hits, directions
        return hits, directions

    def _seen(self, hits: RayHits) -> tuple[AnyFloats, Ints]:
        """Return weights and numbers, (N, 3) both, of the vertices about the points hit."""
        u, v = hits.uv[hits.hit].T
        return np.stack([1 - u - v, u, v], axis=1), self.mesh.faces[hits.face[hits.hit]]

    def _texels(self, image: Bytes, faces: Ints, weights: AnyFloats) -> Floats32:
        """Return (N, 3) linear light of a texture at points of faces (N,)."""
        mesh, size = self.mesh, len(image)
        assert mesh.uv is not None
        corners = (mesh.faces if mesh.faces_uv is None else mesh.faces_uv)[faces]
        uv = np.einsum("nk,nkc->nc", weights, mesh.uv[corners])
        x = np.asarray(uv[:, :1] * size - 0.5, np.float32)
        y = np.asarray((1 - uv[:, 1:]) * size - 0.5, np.float32)
        colors = np.empty((len(x), 3), np.uint8)
        for start in range(0, len(x), _REMAP_ROWS):  # OpenCV's sides are 16 bits
            rows = slice(start, start + _REMAP_ROWS)
            colors[rows] = cv2.remap(
                image, x[rows], y[rows], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )[:, 0]
        return linear_from_srgb(colors)

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
        hits, directions = self._cast(fine)
        seen = np.zeros((len(directions), 4), np.float32)
        in_world = _interpolated(self._normals, *self._seen(hits))
        seen[hits.hit, :3] = in_world @ fine.cam_from_world[:, :3].T
        seen[hits.hit, 3] = 1
        picture: Floats32 = seen.reshape(fine.height, fine.width, 4)
        if supersampling > 1:
            size = (camera.width, camera.height)
            picture = np.asarray(
                cv2.resize(picture, size, interpolation=cv2.INTER_AREA), dtype=np.float32
            )
        normals, coverage = picture[..., :3], picture[..., 3]
        length = np.linalg.norm(normals, axis=2, keepdims=True)
        unit = np.divide(normals, length, out=np.zeros_like(normals), where=length > 1e-6)
        return unit, np.ascontiguousarray(coverage)


def _same_view(a: Camera, b: Camera) -> bool:
    arrays = ((a.K, b.K), (a.cam_from_world, b.cam_from_world), (a.distortion, b.distortion))
    same_size = (a.width, a.height) == (b.width, b.height)
    return same_size and all(np.array_equal(x, y) for x, y in arrays)


def _interpolated(values: AnyFloats, weights: AnyFloats, corners: Ints) -> Floats32:
    """Return (N, C) values of vertices (V, C) at points of faces."""
    return np.einsum("nk,nkc->nc", weights, values[corners]).astype(np.float32)


def _shade(
    normals: Floats32, directions: Floats32, albedo: Floats32, openness: Floats32, *, gloss: float
) -> Floats32:
    """Return (N, 3) linear light; vectors in the camera's axes."""
    normals = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    view = -directions / np.linalg.norm(directions, axis=1, keepdims=True)
    behind = (normals * view).sum(1) < -0.15  # smooth normals may turn away a little
    normals = np.where(behind[:, None], -normals, normals)
    openness = np.where(behind, 0.5, openness)[:, None]
    soft = 0.35 + 0.65 * openness  # creases are darker under every light, as in a real studio
    total = np.asarray(_SKY * openness, dtype=np.float32)
    for direction, color in _LIGHTS:
        unit = np.array(direction, np.float32) / np.linalg.norm(direction).astype(np.float32)
        wrapped = np.clip((normals @ unit + 0.1) / 1.1, 0, None)[:, None]
        total += soft * wrapped * np.array(color, np.float32)
    shaded = albedo * total
    key = np.array(_LIGHTS[0][0], np.float32)
    middle = key / np.linalg.norm(key) + view
    half = middle / np.linalg.norm(middle, axis=1, keepdims=True)
    shine = np.clip(np.einsum("nc,nc->n", normals, half), 0, None) ** 24
    shaded = shaded + gloss * soft * shine[:, None]
    return np.where(behind[:, None], shaded * _INSIDE, shaded).astype(np.float32)


def sky_openness(mesh: Mesh, *, query: SurfaceQuery | None = None) -> Floats32:
    """Return (V,) the cosine-weighted share of the sky that each vertex sees, 0-1.

    The sky is the same even set of directions for all vertices, which leaves no noise.
    Large meshes are sampled at 40,000 vertices and interpolated.
    """
    query = SurfaceQuery(mesh.vertices, mesh.faces) if query is None else query
    normals = vertex_normals(mesh.vertices, mesh.faces)
    n = len(mesh.vertices)
    chosen = np.unique(np.linspace(0, n - 1, min(n, _MAX_SKY_POINTS)).round().astype(np.int64))
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
    some = mesh.faces[:: 1 + len(mesh.faces) // _MAX_EXTENT_FACES]
    vertices = np.asarray(mesh.vertices[np.unique(some)], dtype=np.float64)
    middle = (vertices.min(0) + vertices.max(0)) / 2
    radius = float(np.linalg.norm(vertices - middle, axis=1).max())
    distance = 5.0 * radius  # a long lens: faces look natural
    poses = [_orbit_pose(middle, distance, yaw, pitch_deg) for yaw in yaws_deg]
    boxes = []
    for pose in poses:
        in_cam = vertices @ pose[:, :3].T + pose[:, 3]
        slope = in_cam[:, :2] / in_cam[:, 2:]
        boxes.append((slope.min(0), slope.max(0)))
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
