"""Mesh operations against shapes whose answers are known."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import trimesh

from facekit.core.errors import InputError
from facekit.core.geometry.camera import Camera
from facekit.core.geometry.closest import SurfaceQuery
from facekit.core.geometry.mesh import (
    Mesh,
    edges_of,
    face_areas,
    sample_surface,
    subdivide_loop,
    vertex_components,
    vertex_normals,
)
from facekit.core.geometry.meshio import load_mesh, save_mesh
from facekit.core.geometry.transform import look_at


def sphere(radius: float = 50.0, levels: int = 4) -> Mesh:
    ball = trimesh.creation.icosphere(subdivisions=levels, radius=radius)
    return Mesh(vertices=np.array(ball.vertices), faces=np.array(ball.faces, np.int32))


def test_normals_of_a_sphere_point_outward() -> None:
    ball = sphere()
    normals = vertex_normals(ball.vertices, ball.faces)
    # unequal faces around a vertex tilt an area-weighted mean by a small part of the 2.5 degrees
    # between neighbouring faces
    cosine = (normals * ball.vertices / 50.0).sum(axis=1)
    assert np.degrees(np.arccos(cosine.min())) < 0.5


def test_euler_number_and_area_of_a_sphere() -> None:
    ball = sphere()
    assert len(ball.vertices) - len(edges_of(ball.faces)) + len(ball.faces) == 2
    # an inscribed icosphere of 5120 faces loses about 0.1 % of the area
    assert face_areas(ball.vertices, ball.faces).sum() == pytest.approx(4 * np.pi * 2500, rel=2e-3)


def test_samples_lie_evenly_on_the_surface(rng: np.random.Generator) -> None:
    ball = sphere()
    points, face = sample_surface(ball.vertices, ball.faces, 20_000, rng=rng)
    assert np.abs(np.linalg.norm(points, axis=1) - 50).max() < 0.2
    # the mean of n even samples on a sphere of radius r has sd r / sqrt(3 n) = 0.2 an axis
    assert np.abs(points.mean(axis=0)).max() < 1.0
    assert face.min() >= 0


def test_loop_subdivision_keeps_a_flat_grid_flat_and_quadruples_faces() -> None:
    x, y = np.meshgrid(np.arange(4.0), np.arange(4.0))
    vertices = np.stack([x.ravel(), y.ravel(), np.full(16, 3.0)], axis=1)
    quads = np.array([[r * 4 + c, r * 4 + c + 1, r * 4 + c + 5, r * 4 + c + 4]
                      for r in range(3) for c in range(3)])  # fmt: skip
    faces = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]).astype(np.int32)
    grid = Mesh(vertices=vertices, faces=faces, uv=vertices[:, :2] / 3,
                attributes={"height": vertices[:, 0]})  # fmt: skip
    fine = subdivide_loop(grid, n_times=2)
    assert len(fine.faces) == 16 * len(faces)
    np.testing.assert_allclose(fine.vertices[:, 2], 3.0)
    assert fine.uv is not None
    assert len(fine.uv) == len(fine.vertices) == len(fine.attributes["height"])


def test_loop_subdivision_converges_to_a_smooth_surface() -> None:
    """Normals of neighbouring faces approach one another: halved by each level."""
    coarse = sphere(levels=1)

    def largest_turn(mesh: Mesh) -> float:
        tm = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
        return float(tm.face_adjacency_angles.max())

    turns = [largest_turn(subdivide_loop(coarse, n_times=n)) for n in range(4)]
    assert all(after < 0.75 * before for before, after in itertools.pairwise(turns))


def test_selection_drops_unused_vertices_and_components_are_counted() -> None:
    ball = sphere(levels=2)
    two = Mesh(
        vertices=np.concatenate([ball.vertices, ball.vertices + [200, 0, 0]]),
        faces=np.concatenate([ball.faces, ball.faces + len(ball.vertices)]),
        attributes={"side": np.repeat([0.0, 1.0], len(ball.vertices))},
    )
    labels = vertex_components(two.faces, len(two.vertices))
    assert len(np.unique(labels)) == 2
    right = two.selected(labels[two.faces[:, 0]] == labels[-1])
    assert len(right.vertices) == len(ball.vertices)
    assert (right.attributes["side"] == 1).all()


def test_rays_and_closest_points_meet_the_sphere() -> None:
    ball = sphere(levels=5)
    query = SurfaceQuery(ball.vertices, ball.faces)
    hits = query.cast(np.array([0.0, 0.0, 200.0]), np.array([[0, 0, -1.0], [0, 0, 1.0]]))
    assert hits.distance[0] == pytest.approx(150, abs=0.05)
    assert list(hits.hit) == [True, False]
    nearest = query.closest(np.array([[0.0, 80.0, 0.0]]))
    assert nearest.distance[0] == pytest.approx(30, abs=0.05)


def test_depth_is_measured_along_the_optical_axis() -> None:
    """A wall facing the camera has one depth everywhere, though its rays differ in length."""
    wall = Mesh(
        vertices=np.array([[-500, -500, 0], [500, -500, 0], [500, 500, 0], [-500, 500, 0.0]]),
        faces=np.array([[0, 1, 2], [0, 2, 3]], np.int32),
    )
    camera = Camera(
        name="c", width=40, height=30, K=np.array([[40.0, 0, 20], [0, 40, 15], [0, 0, 1]]),
        cam_from_world=look_at(np.array([0.0, 0, 700]), np.zeros(3)),
    )  # fmt: skip
    depth = SurfaceQuery(wall.vertices, wall.faces).depth(camera)
    np.testing.assert_allclose(depth, 700, atol=0.01)


def test_far_side_of_the_sphere_is_not_seen() -> None:
    ball = sphere()
    camera = Camera(
        name="c", width=10, height=10, K=np.diag([10.0, 10.0, 1.0]),
        cam_from_world=look_at(np.array([0.0, 0, 700]), np.zeros(3)),
    )  # fmt: skip
    front_and_back = np.array([[0, 0, 50.0], [0, 0, -50.0]])
    query = SurfaceQuery(ball.vertices, ball.faces)
    assert list(query.sees(camera, front_and_back)) == [True, False]


@pytest.mark.parametrize("suffix", [".ply", ".obj", ".glb"])
def test_meshes_survive_the_round_trip(tmp_path: Path, suffix: str) -> None:
    ball = sphere(levels=1)
    save_mesh(tmp_path / f"ball{suffix}", ball)
    again = load_mesh(tmp_path / f"ball{suffix}")
    np.testing.assert_array_equal(again.faces, ball.faces)
    np.testing.assert_allclose(again.vertices, ball.vertices, atol=1e-4)


def test_ply_keeps_colours_and_attributes(tmp_path: Path) -> None:
    ball = sphere(levels=1)
    confidence = np.linspace(0, 1, len(ball.vertices))
    colors = np.tile(np.array([[200, 100, 50]], np.uint8), (len(ball.vertices), 1))
    mesh = Mesh(
        vertices=ball.vertices, faces=ball.faces, colors=colors,
        attributes={"confidence": confidence},
    )  # fmt: skip
    save_mesh(tmp_path / "ball.ply", mesh)
    again = load_mesh(tmp_path / "ball.ply")
    np.testing.assert_allclose(again.attributes["confidence"], confidence, atol=1e-6)
    np.testing.assert_array_equal(again.colors, colors)


@pytest.mark.parametrize(
    "content", [b"", b"ply\nformat ascii 1.0\nelement vertex 9\n", b"\x00" * 99]
)
def test_damaged_meshes_are_refused_with_their_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.ply"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.ply"):
        load_mesh(path)
