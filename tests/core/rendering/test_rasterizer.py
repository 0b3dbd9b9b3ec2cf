"""What every rasteriser does: coverage, order, perspective, odd input."""

import pytest
import torch

from facekit.core import chunks
from facekit.core.errors import ConfigError, MissingDependencyError
from facekit.core.rendering.fragments import decoded_ids, encoded_ids
from facekit.core.rendering.numba_backend import NumbaRasterizer
from facekit.core.rendering.nvdiffrast_backend import NvdiffrastRasterizer
from facekit.core.rendering.rasterizer import (
    Fragments,
    Rasterizer,
    chosen_rasterizer,
    face_index,
    topology,
)

Tensor = torch.Tensor


@pytest.fixture(params=["numba", "torch"])
def rasterizer(request: pytest.FixtureRequest) -> Rasterizer:
    return chosen_rasterizer(request.param)


def flat(points: list[list[float]], *, z: float = 0.0, w: float = 1.0) -> Tensor:
    """Return clip space of points given in NDC."""
    rows = [[x * w, y * w, z * w, w] for x, y in points]
    return torch.tensor(rows)


def pixels(points: list[list[float]], size: tuple[int, int]) -> Tensor:
    """Return clip space of points given in pixels, row 0 at y = -1."""
    height, width = size
    return flat([[2 * x / width - 1, 2 * y / height - 1] for x, y in points])


def tri(*faces: tuple[int, int, int]) -> Tensor:
    return torch.tensor(faces, dtype=torch.int32).reshape(-1, 3)


def test_row_zero_is_at_ndc_minus_one(rasterizer: Rasterizer) -> None:
    pos = pixels([[0, 0], [8, 0], [0, 4]], (4, 8))
    seen = face_index(rasterizer.rasterize(pos, tri((0, 1, 2)), (4, 8)))[0] >= 0
    # the long side at row 0: 7 centres left of x = 8 - 2 y at y = 0.5, then 5, 3 and 1
    assert seen.sum(1).tolist() == [7, 5, 3, 1]


@pytest.mark.parametrize("size", [(37, 53), (1, 7), (64, 64)])
def test_neighbours_leave_neither_gap_nor_overlap(
    rasterizer: Rasterizer, size: tuple[int, int]
) -> None:
    # a fan around a pixel corner and a pixel centre: edges meet centres exactly
    height, width = size
    rim = [[0, 0], [width, 0], [width, height], [0, height]]
    fan = [(4, i, (i + 1) % 4) for i in range(4)]
    for hub in ([width // 2, height // 2], [width // 2 + 0.5, height // 2 + 0.5]):
        pos = pixels([*rim, hub], size)
        whole = rasterizer.rasterize(pos, tri(*fan), size)
        assert (face_index(whole) >= 0).all()
        alone = [face_index(rasterizer.rasterize(pos, tri(face), size)) >= 0 for face in fan]
        assert (torch.stack(alone).sum(0) == 1).all()


def test_nearer_wins_and_of_equals_the_later(rasterizer: Rasterizer) -> None:
    square = [[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]]
    pos = torch.cat([flat(square, z=0.5), flat(square, z=-0.5, w=3.0)])
    faces = tri((4, 5, 6), (4, 6, 7), (0, 1, 2), (0, 2, 3))
    assert (face_index(rasterizer.rasterize(pos, faces, (9, 9))) < 2).all()
    twice = torch.cat([faces[:2], faces[:2]])
    assert (face_index(rasterizer.rasterize(pos, twice, (9, 9))) >= 2).all()


def test_positions_carried_to_a_pixel_project_to_its_centre(
    rasterizer: Rasterizer, icosphere, to_clip
) -> None:  # type: ignore[no-untyped-def]
    vertices, faces = icosphere(2)
    size = (90, 120)
    pos = to_clip(vertices).float()
    fragments = rasterizer.rasterize(pos, faces, size)
    places = rasterizer.interpolate(pos, fragments, faces)[0]
    seen = face_index(fragments)[0] >= 0
    row, column = seen.nonzero(as_tuple=True)
    ndc = places[seen][:, :2] / places[seen][:, 3:]
    off_x = (ndc[:, 0] + 1) * size[1] / 2 - column - 0.5
    off_y = (ndc[:, 1] + 1) * size[0] / 2 - row - 0.5
    off = torch.stack([off_x, off_y]).abs().amax(0)
    # exact in perspective; at a rounded edge a centre may be outside by 1/16 px or so
    assert off.median() < 1e-4
    assert off.max() < 0.15
    assert fragments.rast[0, ..., 2][seen] == pytest.approx(
        (places[seen][:, 2] / places[seen][:, 3]), abs=1e-5
    )


def test_slopes_are_the_differences_of_neighbours(rasterizer: Rasterizer) -> None:
    # without perspective u and v are linear over the image
    pos = pixels([[-40, -30], [90, 10], [20, 120]], (32, 48))
    fragments = rasterizer.rasterize(pos, tri((0, 1, 2)), (32, 48), db=True)
    u, v = fragments.rast[0, ..., 0], fragments.rast[0, ..., 1]
    assert fragments.db is not None
    du_dx, du_dy, dv_dx, dv_dy = fragments.db[0].unbind(-1)
    assert (face_index(fragments) == 0).all()
    assert torch.allclose(u.diff(dim=1), du_dx[:, 1:], atol=1e-6)
    assert torch.allclose(u.diff(dim=0), du_dy[1:], atol=1e-6)
    assert torch.allclose(v.diff(dim=1), dv_dx[:, 1:], atol=1e-6)
    assert torch.allclose(v.diff(dim=0), dv_dy[1:], atol=1e-6)
    attribute = torch.tensor([[1.0, 5.0], [-2.0, 0.0], [3.0, 1.0]])
    value, slope = rasterizer.interpolate(attribute, fragments, tri((0, 1, 2)), da=True)
    for channel in (0, 1):
        along_x, along_y = slope[0, ..., 2 * channel], slope[0, ..., 2 * channel + 1]
        assert torch.allclose(value[0, ..., channel].diff(dim=1), along_x[:, 1:], atol=1e-5)
        assert torch.allclose(value[0, ..., channel].diff(dim=0), along_y[1:], atol=1e-5)


def test_a_floor_under_the_camera_reaches_to_the_horizon(rasterizer: Rasterizer, to_clip) -> None:  # type: ignore[no-untyped-def]
    # a triangle from behind the camera to far ahead: y = -1, camera at the origin looking at -z
    floor = torch.tensor([[-500.0, -1, 100], [500.0, -1, 100], [0.0, -1, -1000]])
    pos = to_clip(floor, distance=0.0, focal=1.0, near=0.5, far=100.0)
    fragments = rasterizer.rasterize(pos, tri((0, 1, 2)), (64, 64))
    seen = face_index(fragments)[0] >= 0
    # the row of ndc y sees the floor at distance -1 / y; that is within near and far only for
    # y between -1 (distance 1) and -0.01
    rows = (2 * torch.arange(64) + 1) / 64 - 1
    assert torch.equal(seen[:, 32], rows < -0.01)
    places = rasterizer.interpolate(floor, fragments, tri((0, 1, 2)))[0]
    assert torch.allclose(places[:31, 32, 2], 1 / rows[:31], rtol=1e-3)


def test_parts_beyond_near_and_far_planes_are_cut(rasterizer: Rasterizer) -> None:
    # depth runs from -2 to 2 across the image; only its middle half is inside
    pos = flat([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
    pos[:, 2] = 2 * pos[:, 0]
    seen = face_index(rasterizer.rasterize(pos, tri((0, 1, 2), (0, 2, 3)), (8, 40)))[0] >= 0
    assert torch.equal(seen.all(0), seen.any(0))
    assert seen.any(0).nonzero()[:, 0].tolist() == list(range(10, 30))


def test_culling_keeps_one_turn(rasterizer: Rasterizer, icosphere, to_clip) -> None:  # type: ignore[no-untyped-def]
    vertices, faces = icosphere(1)
    pos = to_clip(vertices).float()
    shown = face_index(rasterizer.rasterize(pos, faces, (40, 40)))
    # outward faces are counter-clockwise with x right and y up
    assert torch.equal(face_index(rasterizer.rasterize(pos, faces, (40, 40), cull="back")), shown)
    far = face_index(rasterizer.rasterize(pos, faces, (40, 40), cull="front"))
    assert torch.equal(far >= 0, shown >= 0)
    assert not (far == shown)[shown >= 0].any()


def test_odd_scenes_are_empty_images(rasterizer: Rasterizer) -> None:
    corner = flat([[-0.5, -0.5], [0.5, -0.5], [0.0, 0.5]])
    empty = {
        "no triangles": (corner, tri()),
        "degenerate": (corner, tri((0, 0, 1), (2, 2, 2))),
        "off screen": (corner + torch.tensor([9.0, 0, 0, 0]), tri((0, 1, 2))),
        "behind the camera": (corner * torch.tensor([1.0, 1, 1, -1]), tri((0, 1, 2))),
        "not a number": (corner * torch.nan, tri((0, 1, 2))),
        "infinite": (corner * torch.inf, tri((0, 1, 2))),
        "beyond far": (corner + torch.tensor([0, 0, 1.5, 0]), tri((0, 1, 2))),
    }
    for name, (pos, faces) in empty.items():
        fragments = rasterizer.rasterize(pos, faces, (11, 7), db=True)
        assert fragments.rast.shape == (1, 11, 7, 4), name
        assert not fragments.rast.any(), name
        carried = rasterizer.interpolate(torch.ones(1, 3, 2), fragments, faces)
        assert carried.shape == (1, 11, 7, 2), name
        assert not carried.any(), name
        edges = rasterizer.antialias(carried, fragments, pos, topology(faces))
        assert not edges.any(), name


def test_scale_of_clip_space_changes_nothing(rasterizer: Rasterizer, icosphere, to_clip) -> None:  # type: ignore[no-untyped-def]
    vertices, faces = icosphere(2)
    pos = to_clip(vertices).float()
    once = rasterizer.rasterize(pos, faces, (37, 53)).rast
    # a power of two is exact in floating point
    assert torch.equal(rasterizer.rasterize(pos * 128, faces, (37, 53)).rast, once)


def test_batches_are_their_images(rasterizer: Rasterizer, icosphere, to_clip) -> None:  # type: ignore[no-untyped-def]
    vertices, faces = icosphere(1)
    poses = torch.stack([to_clip(vertices), to_clip(vertices * 0.5 + 0.2)]).float()
    values = torch.stack([vertices, vertices.flip(1)]).float()
    both = rasterizer.rasterize(poses, faces, (30, 20))
    carried = rasterizer.interpolate(values, both, faces)
    shared = rasterizer.interpolate(values[:1], both, faces)
    for i in range(2):
        one = rasterizer.rasterize(poses[i], faces, (30, 20))
        assert torch.equal(both.rast[i], one.rast[0])
        assert torch.equal(carried[i], rasterizer.interpolate(values[i : i + 1], one, faces)[0])
        assert torch.equal(shared[i], rasterizer.interpolate(values[:1], one, faces)[0])


def test_numbers_of_triangles_survive_beyond_float32() -> None:
    ids = torch.tensor([0, 1, 2**24 - 1, 2**24, 2**24 + 1, 2**24 + 2, 2**26 + 5, 2**28])
    codes = encoded_ids(ids)
    assert codes.dtype == torch.float32
    assert torch.equal(decoded_ids(codes), ids - 1)
    assert torch.equal(codes[:4], ids[:4].float())
    assert (codes.diff() > 0).all()


def test_compiled_loops_number_triangles_beyond_float32() -> None:
    # 2^24 + 2 triangles, of which the last alone is none without area
    faces = torch.zeros((2**24 + 2, 3), dtype=torch.int32)
    faces[-1] = torch.tensor([0, 1, 2])
    pos = flat([[-1.0, -1.0], [3.0, -1.0], [-1.0, 3.0]])
    raster = NumbaRasterizer()
    fragments = raster.rasterize(pos, faces, (4, 4))
    assert (face_index(fragments) == 2**24 + 1).all()
    assert torch.allclose(
        raster.interpolate(torch.eye(3), fragments, faces)[..., :2], fragments.rast[..., :2]
    )


def test_visibility_agrees_with_fragments(icosphere, to_clip) -> None:  # type: ignore[no-untyped-def]
    vertices, faces = icosphere(3)
    pos = to_clip(vertices).float()
    raster = NumbaRasterizer()
    face, depth = raster.visibility(pos, faces, (60, 60))
    fragments = raster.rasterize(pos, faces, (60, 60))
    assert torch.equal(face.long(), face_index(fragments))
    seen = face >= 0
    assert depth[~seen].isinf().all()
    # the plane through rounded corners against the corners themselves: steep at the rim
    difference = (depth - fragments.rast[..., 2])[seen].abs()
    assert difference.median() < 1e-3


def test_results_do_not_depend_on_threads(
    icosphere, to_clip, monkeypatch: pytest.MonkeyPatch
) -> None:  # type: ignore[no-untyped-def]
    vertices, faces = icosphere(4)
    raster = NumbaRasterizer()
    texture = torch.rand(1, 64, 96, 3, generator=torch.Generator().manual_seed(1))

    def run() -> list[Tensor]:
        pos = to_clip(vertices).float().requires_grad_()
        values = vertices.float().requires_grad_()
        texels = texture.clone().requires_grad_()
        fragments = raster.rasterize(pos, faces, (150, 200))
        colour = raster.texture(texels, raster.interpolate(values, fragments, faces)[..., :2])
        soft = raster.antialias(colour, fragments, pos, topology(faces))
        (soft**2).sum().backward()
        return [soft.detach(), *(t.grad for t in (pos, values, texels) if t.grad is not None)]

    first = run()
    before = torch.get_num_threads()
    try:
        for n_threads in (1, 5):
            monkeypatch.setattr(chunks, "N_THREADS", n_threads)
            torch.set_num_threads(n_threads)
            assert all(torch.equal(a, b) for a, b in zip(first, run(), strict=True))
    finally:
        torch.set_num_threads(before)
    assert len(first) == 4


def test_wrong_shapes_are_refused(rasterizer: Rasterizer) -> None:
    pos, faces = flat([[0.0, 0.0]] * 3), tri((0, 1, 2))
    with pytest.raises(ValueError, match="clip space"):
        rasterizer.rasterize(pos[:, :3], faces, (4, 4))
    with pytest.raises(ValueError, match=r"expected \(T, 3\)"):
        rasterizer.rasterize(pos, faces[:, :2], (4, 4))
    with pytest.raises(ValueError, match="height, width"):
        rasterizer.rasterize(pos, faces, (0, 4))
    fragments = rasterizer.rasterize(pos, faces, (4, 4))
    with pytest.raises(ValueError, match="B = 1"):
        rasterizer.interpolate(torch.ones(2, 3, 1), fragments, faces)
    for wrong in (tri((0, 1, 3)), tri((-1, 0, 1))):
        with pytest.raises(ValueError, match="names vertices"):
            rasterizer.rasterize(pos, wrong, (4, 4))
        with pytest.raises(ValueError, match="names vertices"):
            rasterizer.interpolate(torch.ones(1, 3, 1), fragments, wrong)
    with pytest.raises(ValueError, match="db=True"):
        rasterizer.interpolate(torch.ones(1, 3, 1), fragments, faces, da=True)
    with pytest.raises(ValueError, match="unknown antialiasing"):
        rasterizer.antialias(fragments.rast, fragments, pos, topology(faces), mode="fxaa")
    with pytest.raises(ValueError, match="subpixel_bits"):
        NumbaRasterizer(subpixel_bits=0)


def test_choice_of_rasterizer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FACEKIT_RASTERIZER", raising=False)
    assert chosen_rasterizer().name == "numba"
    monkeypatch.setenv("FACEKIT_RASTERIZER", "torch")
    assert chosen_rasterizer().name == "torch"
    assert chosen_rasterizer("numba").name == "numba"
    with pytest.raises(ConfigError, match="unknown rasteriser 'opengl'"):
        chosen_rasterizer("opengl")
    with pytest.raises(ConfigError, match="processor only"):
        chosen_rasterizer("numba", device="cuda")
    with pytest.raises(ConfigError, match="CUDA"):
        chosen_rasterizer("nvdiffrast")


def test_absent_nvdiffrast_is_named_with_its_licence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "nvdiffrast", None)
    monkeypatch.setitem(__import__("sys").modules, "nvdiffrast.torch", None)
    with pytest.raises(MissingDependencyError, match="research use only"):
        NvdiffrastRasterizer()
    monkeypatch.delenv("FACEKIT_RASTERIZER", raising=False)
    assert chosen_rasterizer(device="cuda").name == "torch"


def test_topology_of_a_closed_and_an_open_mesh(icosphere) -> None:  # type: ignore[no-untyped-def]
    _, faces = icosphere(2)
    closed = topology(faces)
    assert len(closed.edges) * 2 == len(faces) * 3
    assert (closed.faces >= 0).all()
    # faces that turn alike run along their common edge in opposite directions
    assert (closed.directions.sum(1) == 0).all()
    assert topology(faces) is closed
    assert topology(faces.long()).edges is closed.edges  # equal content
    changed = faces.clone()
    topology(changed)
    changed[0] = changed[1]
    assert len(topology(changed).edges) > len(closed.edges)  # three open, and a double face
    opened = topology(faces[1:])
    assert (opened.faces[:, 1] < 0).sum() == 3
    three = topology(tri((0, 1, 2), (1, 0, 3), (0, 1, 4)))
    assert ((three.edges == torch.tensor([0, 1])).all(1)).sum() == 2
    assert Fragments(rast=torch.zeros(1, 2, 3, 4)).size == (2, 3)
