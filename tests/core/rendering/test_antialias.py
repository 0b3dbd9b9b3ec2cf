"""Outlines: their gradient is that of the area that they bound."""

from collections.abc import Callable

import pytest
import torch

from facekit.core.rendering.antialias import antialias
from facekit.core.rendering.numba_backend import NumbaRasterizer
from facekit.core.rendering.rasterizer import face_index, topology
from facekit.core.rendering.render_cost import cost_scene, edge_gradient_ratio

Tensor = torch.Tensor
SIZE, SAMPLES = 256, 6
RASTER = NumbaRasterizer(subpixel_bits=8)


def weights(n: int) -> Tensor:
    place = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    return 1 + 0.8 * place[None] - 0.5 * torch.cos(4 * place)[:, None]


def corners(points: list[list[float]]) -> Tensor:
    return torch.tensor(points, dtype=torch.float64)


def simple_scene(name: str, icosphere: Callable[[int], tuple[Tensor, Tensor]]):  # type: ignore[no-untyped-def]
    """Return vertices (V, 3), faces and a colour per face."""
    triangle = corners([[-0.71, -0.53, 0.1], [0.83, -0.37, 0.0], [0.11, 0.79, -0.2]])
    if name == "triangle":
        return triangle, [[0, 1, 2]], [1.0]
    if name == "tilted triangle":  # strong perspective
        return triangle * torch.tensor([1.0, 1.0, 12.0]), [[0, 1, 2]], [1.0]
    if name == "pair":
        behind = triangle.flip(1)[:, [1, 2, 0]] * 0.8 - torch.tensor([0.1, 0.2, 1.5])
        return torch.cat([triangle * 0.8, behind]), [[0, 1, 2], [3, 4, 5]], [1.0, 0.35]
    if name == "quad":
        points = [[-0.7, -0.6, 0.0], [0.8, -0.5, 0.2], [0.6, 0.7, 0.0], [-0.8, 0.6, 0.1]]
        return corners(points), [[0, 1, 2], [0, 2, 3]], [1.0, 1.0]
    if name == "icosahedron":
        vertices, faces = icosphere(0)
        return vertices * 0.9 + 0.05, faces.tolist(), [1.0] * 20
    if name == "tetrahedron":
        vertices = corners([[1, 1, 1], [-1, -1, 1], [-1, 1, -1], [1, -1, -1]]) * 0.7 + 0.02
        return vertices, [[0, 2, 1], [0, 3, 2], [0, 1, 3], [1, 2, 3]], [1.0] * 4
    signs = corners([[i & 1, i >> 1 & 1, i >> 2 & 1] for i in range(8)]) - 0.5
    turn = torch.linalg.matrix_exp(corners([[0, -0.3, 0.5], [0.3, 0, -0.4], [-0.5, 0.4, 0]]))
    sides = [(0, 2, 3, 1), (4, 5, 7, 6), (0, 1, 5, 4), (2, 6, 7, 3), (0, 4, 6, 2), (1, 3, 7, 5)]
    faces = [f for a, b, c, d in sides for f in ([a, b, c], [a, c, d])]
    return signs @ turn.T, faces, [1.0] * 12


SCENES = (
    "triangle", "tilted triangle", "pair", "quad", "tetrahedron", "cube", "icosahedron",
)  # fmt: skip


def picture(pos: Tensor, faces: Tensor, colour: Tensor, n: int) -> Tensor:
    face = RASTER.visibility(pos.float(), faces, (n, n))[0][0].long()
    return torch.where(face >= 0, colour[face.clamp(min=0)], 0.1)


@pytest.mark.parametrize("name", SCENES)
def test_gradient_is_that_of_the_area(name: str, icosphere, to_clip) -> None:  # type: ignore[no-untyped-def]
    vertices, face_list, colours = simple_scene(name, icosphere)
    faces = torch.tensor(face_list, dtype=torch.int32)
    colour = torch.tensor(colours, dtype=torch.float64)
    generator = torch.Generator().manual_seed(5)
    # growth and noise: noise alone may cancel out, and leave nothing to be compared with
    noise = torch.randn(vertices.shape, generator=generator, dtype=torch.float64)
    direction = vertices - vertices.mean(0) + 0.3 * noise
    step, n = 0.005, SIZE * SAMPLES  # about half a pixel
    sums = [
        (picture(to_clip(vertices + s * direction), faces, colour, n) * weights(n)).sum()
        for s in (step, -step)
    ]
    true = float(sums[0] - sums[1]) / (2 * step) / SAMPLES**2
    for mode in ("edges", "nvdiffrast"):
        s = torch.zeros((), dtype=torch.float64, requires_grad=True)
        pos = to_clip(vertices + s * direction).float()
        fragments = RASTER.rasterize(pos, faces, (SIZE, SIZE))
        face = face_index(fragments)
        shown = torch.where(face >= 0, colour[face.clamp(min=0)], 0.1)[..., None]
        soft = antialias(shown, fragments, pos, topology(faces), mode=mode)
        (soft[0, ..., 0] * weights(SIZE)).sum().backward()
        assert s.grad is not None
        assert float(s.grad) == pytest.approx(true, rel=0.03), mode


def test_a_dense_sphere_keeps_its_gradient(icosphere) -> None:  # type: ignore[no-untyped-def]
    vertices, faces = icosphere(4)  # 5120 triangles: at the rim far narrower than a pixel
    scene = cost_scene(vertices.numpy(), faces.numpy())
    assert edge_gradient_ratio(scene, size=256) == pytest.approx(1, abs=0.03)
    # the scheme that asks the visible triangle misses nearly all of the outline
    assert edge_gradient_ratio(scene, size=256, mode="nvdiffrast") < 0.3


def test_a_head_keeps_its_gradient() -> None:
    import fast_simplification
    import numpy as np

    from facekit.core.facemodel.procedural import procedural_head

    head = procedural_head()
    vertices, faces = fast_simplification.simplify(
        head.mean.astype(np.float32), head.faces.astype(np.int32), target_count=10_000
    )
    ratio = edge_gradient_ratio(cost_scene(vertices.astype(np.float64), faces), size=512)
    assert ratio == pytest.approx(1, abs=0.03)


def test_half_covered_pixels_are_half_bright(to_clip) -> None:  # type: ignore[no-untyped-def]
    # a square whose upright sides are at x = 10.25 and 30.75 px of 40
    left, right = 10.25 / 20 - 1, 30.75 / 20 - 1
    corner = [[left, -2.0], [right, -2.0], [right, 2.0], [left, 2.0]]
    pos = torch.tensor([[x, y, 0.0, 1.0] for x, y in corner])
    faces = torch.tensor([[0, 1, 2], [0, 2, 3]], dtype=torch.int32)
    fragments = RASTER.rasterize(pos, faces, (8, 40))
    mask = (face_index(fragments) >= 0).float()[..., None]
    row = antialias(mask, fragments, pos, topology(faces))[0, 4, :, 0]
    # pixel 10 is covered from 10.25, and shown as 0.75 of itself; so is pixel 30, up to 30.75
    assert row[10] == pytest.approx(0.75, abs=1e-5)
    assert row[30] == pytest.approx(0.75, abs=1e-5)
    assert row.sum() == pytest.approx(right * 20 - left * 20, abs=1e-4)


def test_hidden_outlines_and_inner_edges_change_nothing(icosphere, to_clip) -> None:  # type: ignore[no-untyped-def]
    vertices, faces = icosphere(3)
    small = vertices * 0.3 - torch.tensor([0, 0, 2.0])
    pos = to_clip(torch.cat([vertices, small])).float()
    both = torch.cat([faces, faces + len(vertices)])
    fragments = RASTER.rasterize(pos, both, (80, 80))
    noise = torch.rand((1, 80, 80, 2), generator=torch.Generator().manual_seed(2))
    alone = antialias(noise, fragments, pos[: len(vertices)], topology(faces))
    together = antialias(noise, fragments, pos, topology(both))
    assert torch.equal(alone, together)
    shown = (face_index(fragments) >= 0)[0]
    eroded = -torch.nn.functional.max_pool2d(-shown[None].float(), 5, stride=1, padding=2)[0]
    inside = eroded > 0
    assert inside.sum() > 1000
    assert torch.equal(together[0][inside], noise[0][inside])


def test_colour_keeps_its_gradient(icosphere, to_clip) -> None:  # type: ignore[no-untyped-def]
    vertices, faces = icosphere(0)
    pos = to_clip(vertices).double()
    fragments = RASTER.rasterize(pos.float(), faces, (7, 6))
    colour = torch.rand((1, 7, 6, 1), dtype=torch.float64, requires_grad=True)
    edges = topology(faces)
    assert torch.autograd.gradcheck(lambda c: antialias(c, fragments, pos, edges), (colour,))
