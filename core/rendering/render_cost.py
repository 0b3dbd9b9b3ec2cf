"""The picture that rasterisers are timed with, and how true the gradient of its outline is.

A mesh is placed before a camera, its normals are found, it is rasterised, texture coordinates
and normals are carried to the pixels, a texture is looked up and lit by nine spherical
harmonics; the loss is the squared difference from grey. Gradients go to vertices, texture and
light. Times are the processor time of all threads, the least of several: a loaded machine moves
it little.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..arrays import Floats, Floats32, Ints
from ..torchthreads import torch_threads
from .fragments import Fragments
from .numba_backend import NumbaRasterizer
from .rasterizer import Rasterizer, chosen_rasterizer, topology
from .shading import shade

_DISTANCE, _NEAR, _FAR = 10.0, 5.0, 15.0  # radii of the mesh
_TEXTURE_PX = 1024
_SUPERSAMPLES = 8  # across and down: how finely the true area is measured


@dataclass(frozen=True, kw_only=True)
class CostScene:
    """A mesh of about unit size at the origin, before a camera on the z axis."""

    vertices: Tensor
    """(V, 3) float32."""
    faces: Tensor
    """(T, 3) int32."""
    uv: Tensor
    """(V, 2)."""
    focal: float
    """Half widths of the image at distance 1."""


def cost_scene(vertices: Floats, faces: Ints, *, share: float = 0.5) -> CostScene:
    """Place a mesh so that it covers a share of the image's pixels.

    `vertices` (V, 3), any unit; texture coordinates are those of a cylinder around y.
    """
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    scaled = (vertices - (low + high) / 2) / np.linalg.norm(high - low) * 2
    around = np.arctan2(scaled[:, 0], scaled[:, 2]) / (2 * np.pi) + 0.5
    uv = np.stack([around, (scaled[:, 1] + 1) / 2], axis=1)
    points = torch.from_numpy(scaled.astype(np.float32))
    corners = torch.from_numpy(np.ascontiguousarray(faces, dtype=np.int32))
    focal, raster = _DISTANCE, NumbaRasterizer()
    for _ in range(4):  # the image's border may cut the mesh: not in one step
        seen = raster.visibility(clip(points, focal), corners, (256, 256))[0] >= 0
        focal *= float(share / max(float(seen.float().mean()), 1e-3)) ** 0.5
    return CostScene(
        vertices=points, faces=corners, uv=torch.from_numpy(uv.astype(np.float32)), focal=focal
    )


def clip(vertices: Tensor, focal: float) -> Tensor:
    """Return clip space (..., 4) of points before the camera."""
    x, y, z = vertices.unbind(-1)
    w = _DISTANCE - z
    depth = ((_FAR + _NEAR) * w - 2 * _FAR * _NEAR) / (_FAR - _NEAR)
    return torch.stack([focal * x, focal * y, depth, w], dim=-1)


def camera_rays(scene: CostScene, size: int) -> tuple[Floats32, Floats32]:
    """Return a ray per pixel: origins and directions, (size, size, 3) each, row 0 lowest."""
    place = (2 * np.arange(size) + 1) / size - 1
    x, y = np.meshgrid(place / scene.focal, place / scene.focal)
    direction = np.stack([x, y, np.full_like(x, -1.0)], axis=-1).astype(np.float32)
    return np.full_like(direction, (0.0, 0.0, _DISTANCE)), direction


def vertex_normals(vertices: Tensor, faces: Tensor) -> Tensor:
    """Return unit normals (V, 3), weighted by the area of the faces."""
    corner = faces.reshape(-1).to(torch.int64)
    a, b, c = vertices.index_select(0, corner).reshape(-1, 3, 3).unbind(1)
    normal = torch.linalg.cross(b - a, c - a)
    spread = normal[:, None].expand(-1, 3, -1).reshape(-1, 3)
    total = torch.zeros_like(vertices).index_add(0, corner, spread)
    return torch.nn.functional.normalize(total, dim=1)


def shaded(
    scene: CostScene, rasterizer: Rasterizer, *, vertices: Tensor, texture: Tensor, gamma: Tensor,
    size: int, antialias: bool = False,
) -> Tensor:  # fmt: skip
    """Return the picture (1, size, size, 3); only pixels that show the mesh are lit."""
    pos = clip(vertices, scene.focal)[None]
    normals = vertex_normals(vertices, scene.faces)
    fragments = rasterizer.rasterize(pos, scene.faces, (size, size))
    carried = rasterizer.interpolate(torch.cat([scene.uv, normals], dim=1), fragments, scene.faces)
    colour = rasterizer.texture(texture, carried[..., :2])
    pixel = (fragments.rast.detach()[..., 3].reshape(-1) > 0).nonzero()[:, 0]
    lit = shade(
        colour.reshape(-1, 3).index_select(0, pixel)[None],
        carried[..., 2:].reshape(-1, 3).index_select(0, pixel)[None],
        gamma,
    )
    picture = torch.zeros_like(colour).reshape(-1, 3).index_copy(0, pixel, lit[0])
    picture = picture.reshape(colour.shape)
    if not antialias:
        return picture
    return rasterizer.antialias(picture, fragments, pos, topology(scene.faces))


def picture_cost(
    scene: CostScene, *, rasterizer: str, size: int, repeats: int, antialias: bool = False
) -> float:
    """Return the time of the picture, the loss and all gradients, ms."""
    chosen = chosen_rasterizer(rasterizer)
    generator = torch.Generator().manual_seed(0)
    vertices = scene.vertices.clone().requires_grad_()
    texture = torch.rand((1, _TEXTURE_PX, _TEXTURE_PX, 3), generator=generator).requires_grad_()
    gamma = (0.1 * torch.rand((1, 3, 9), generator=generator)).requires_grad_()

    def run() -> None:
        picture = shaded(
            scene, chosen, vertices=vertices, texture=texture, gamma=gamma, size=size,
            antialias=antialias,
        )  # fmt: skip
        ((picture - 0.5) ** 2).mean().backward()
        vertices.grad = texture.grad = gamma.grad = None

    with torch_threads(1):
        return _least_ms(run, repeats)


def ids_cost(scene: CostScene, *, size: int, repeats: int) -> float:
    """Return the time to find the visible triangles and their depth, ms."""
    rasterizer = NumbaRasterizer()
    pos = clip(scene.vertices, scene.focal)
    with torch_threads(1):
        return _least_ms(lambda: rasterizer.visibility(pos, scene.faces, (size, size)), repeats)


def _least_ms(run: Callable[[], object], repeats: int) -> float:
    run()  # compiles, and fetches memory
    times = []
    for _ in range(repeats):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return 1e3 * min(times)


def edge_gradient_ratio(scene: CostScene, *, size: int, mode: str = "edges") -> float:
    """Return the derivative of a weighted area by growth along the normals, over the true one.

    The image has one sample a pixel, antialiased. The true derivative is a central difference,
    half a pixel to either side, of an image with many samples a pixel.
    """
    rasterizer = NumbaRasterizer()
    normals = vertex_normals(scene.vertices, scene.faces)
    half_px = 0.5 * 2 * _DISTANCE / (scene.focal * size)

    def area(growth: float) -> float:
        pos = clip(scene.vertices + growth * normals, scene.focal)
        n = size * _SUPERSAMPLES
        face, _ = rasterizer.visibility(pos, scene.faces, (n, n))
        shown = (face[0] >= 0).to(torch.float64)
        return float((shown * _weights(n)).sum()) / _SUPERSAMPLES**2

    true = (area(half_px) - area(-half_px)) / (2 * half_px)
    growth = torch.zeros((), requires_grad=True)
    pos = clip(scene.vertices + growth * normals, scene.focal)
    fragments: Fragments = rasterizer.rasterize(pos, scene.faces, (size, size))
    mask = (fragments.rast[..., 3:] > 0).to(torch.float32)
    soft = rasterizer.antialias(mask, fragments, pos, topology(scene.faces), mode=mode)
    (soft[0, ..., 0] * _weights(size)).sum().backward()
    assert growth.grad is not None
    return float(growth.grad) / true


def _weights(n: int) -> Tensor:
    """Return a smooth weight of every pixel (n, n), so that all parts of an outline count."""
    place = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    return 1 + 0.7 * place[None] + 0.3 * torch.sin(6 * place)[:, None]
