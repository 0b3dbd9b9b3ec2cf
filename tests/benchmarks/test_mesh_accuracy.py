"""Mesh errors on shapes whose distance is known."""

import numpy as np
import pytest
import trimesh

from facekit.benchmarks.mesh_accuracy import TrueSurface, mesh_error, refine_alignment
from facekit.core.errors import EstimationError, InputError
from facekit.core.geometry.camera import Camera, Rig
from facekit.core.geometry.mesh import Mesh
from facekit.core.geometry.transform import Similarity, look_at

N = 20_000


def sphere(radius: float = 100.0, subdivisions: int = 5) -> Mesh:
    shape = trimesh.creation.icosphere(subdivisions=subdivisions, radius=radius)
    return Mesh(vertices=np.asarray(shape.vertices), faces=shape.faces.astype(np.int32))


def egg() -> Mesh:
    """Return an ellipsoid: unlike a sphere it has a front."""
    round_one = sphere()
    return Mesh(vertices=round_one.vertices * (0.8, 1.2, 1.0), faces=round_one.faces)


@pytest.mark.parametrize("delta", [-0.3, 0.15])
def test_concentric_spheres_differ_by_their_radii(delta: float, rng: np.random.Generator) -> None:
    found = mesh_error(sphere(100 + delta), TrueSurface(sphere()), n_samples=N, rng=rng)
    # 20,480 facets of 100 mm: a sagitta below 0.03 mm, alike on both
    for value in (found.median_mm, found.p90_mm, found.mean_mm, found.rms_mm):
        assert value == pytest.approx(abs(delta), rel=0.02)
    assert found.bias_mm == pytest.approx(delta, rel=0.02)
    assert np.nanmedian(found.signed_mm) == pytest.approx(delta, rel=0.02)
    assert found.normal_deg < 0.1
    assert found.completeness_percent[0.1] == 0
    assert found.completeness_percent[0.5] == 100


def test_the_truth_itself_has_no_error(rng: np.random.Generator) -> None:
    mesh = egg()
    found = mesh_error(mesh, TrueSurface(mesh), n_samples=N, rng=rng)
    assert found.p90_mm < 1e-4  # float32 at 100 mm
    assert found.completeness_percent == {0.1: 100, 0.2: 100, 0.5: 100}
    assert found.outlier_percent == 0


def test_half_a_mesh_is_accurate_and_half_complete(rng: np.random.Generator) -> None:
    mesh = egg()
    upper = mesh.selected(mesh.vertices[mesh.faces].mean(axis=1)[:, 1] > 0)
    found = mesh_error(upper, TrueSurface(mesh), n_samples=N, rng=rng)
    assert found.p90_mm < 1e-4
    # of 20,000 points: 0.35 % standard error
    assert found.completeness_percent[0.1] == pytest.approx(50, abs=2)


def test_the_alignment_of_the_rigs_is_applied(rng: np.random.Generator) -> None:
    mesh = egg()
    truth_from_mesh = Similarity(
        scale=2.0, R=np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]]), t=np.array([5.0, 6, 7])
    )
    inverse = ((mesh.vertices - truth_from_mesh.t) @ truth_from_mesh.R) / truth_from_mesh.scale
    moved = Mesh(vertices=inverse, faces=mesh.faces)
    found = mesh_error(
        moved, TrueSurface(mesh), true_from_mesh=truth_from_mesh, n_samples=N, rng=rng
    )
    assert found.p90_mm < 1e-4


def test_only_the_region_counts(rng: np.random.Generator) -> None:
    mesh = egg()
    front = mesh.vertices[mesh.faces].mean(axis=1)[:, 2] > 0
    bent = mesh.vertices.copy()
    bent[bent[:, 2] < -30] *= 1.05  # wrong by up to 5 mm, but only at the back
    found = mesh_error(
        Mesh(vertices=bent, faces=mesh.faces), TrueSurface(mesh, region=front), n_samples=N, rng=rng
    )
    assert found.p90_mm < 1e-4
    assert 0 < found.measured.mean() < 0.6


def test_only_what_two_cameras_see_counts(rng: np.random.Generator) -> None:
    mesh = egg()
    cameras = []
    for i, x in enumerate((-60.0, 0.0)):
        K = np.array([[2000.0, 0, 300], [0, 2000, 300], [0, 0, 1]])
        pose = look_at(np.array([x, 0.0, 1000.0]), np.zeros(3))
        cameras.append(Camera(name=f"c{i}", width=600, height=600, K=K, cam_from_world=pose))
    truth = TrueSurface(mesh, rig=Rig(cameras=tuple(cameras)))
    points = truth.sample(N, rng=rng)
    assert (points[:, 2] > 0).all()  # none of the back
    # one camera alone leaves nothing
    alone = TrueSurface(mesh, rig=Rig(cameras=tuple(cameras[:1])))
    assert len(alone.sample(N, rng=rng)) == 0


def test_outliers_are_counted(rng: np.random.Generator) -> None:
    mesh = egg()
    shell = Mesh(vertices=mesh.vertices * 1.05, faces=mesh.faces)
    both = Mesh(
        vertices=np.concatenate([mesh.vertices, shell.vertices]),
        faces=np.concatenate([mesh.faces, shell.faces + len(mesh.vertices)]).astype(np.int32),
    )
    found = mesh_error(both, TrueSurface(mesh), n_samples=N, rng=rng)
    share = 100 * 1.05**2 / (1 + 1.05**2)
    assert found.outlier_percent == pytest.approx(share, abs=2)


def test_figures_depend_on_the_seed_alone() -> None:
    mesh, wide = egg(), sphere(110)
    first, second = (
        mesh_error(wide, TrueSurface(mesh), n_samples=5000, rng=np.random.default_rng(3))
        for _ in range(2)
    )
    assert first.median_mm == second.median_mm
    assert np.array_equal(first.errors_mm, second.errors_mm)


def test_refinement_removes_a_shift(rng: np.random.Generator) -> None:
    mesh = egg()
    angle = np.radians(0.5)
    R = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    moved = Mesh(vertices=mesh.vertices @ R.T + (0.4, -0.3, 0.2), faces=mesh.faces)
    truth = TrueSurface(mesh)
    before = mesh_error(moved, truth, n_samples=N, rng=rng)
    fit = refine_alignment(moved, truth, rng=rng)
    after = mesh_error(moved, truth, true_from_mesh=fit, n_samples=N, rng=rng)
    assert before.median_mm > 0.2
    assert after.p90_mm < 2e-3


def test_another_place_is_an_error_and_no_number(rng: np.random.Generator) -> None:
    mesh = egg()
    far = Mesh(vertices=mesh.vertices + 1000, faces=mesh.faces)
    with pytest.raises(EstimationError, match="no point near the region"):
        mesh_error(far, TrueSurface(mesh), n_samples=1000, rng=rng)


def test_a_region_of_another_mesh_is_refused() -> None:
    with pytest.raises(InputError, match="3 entries"):
        TrueSurface(egg(), region=np.ones(3, bool))
