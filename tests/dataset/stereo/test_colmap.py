"""COLMAP's dense stereo gets exactly our views; what it confirms comes back."""

from dataclasses import replace

import numpy as np
import pycolmap
import pytest

from facekit.core.errors import EstimationError, InputError, MissingDependencyError
from facekit.core.geometry.camera import Rig
from facekit.core.geometry.meshio import load_mesh
from facekit.core.imaging.imageio import read_image
from facekit.dataset.build import BuildConfig, build_dataset
from facekit.dataset.rigcheck import RigCheck
from facekit.dataset.stereo import colmap
from facekit.dataset.stereo.colmap import Stereo, dense_points, fused, image_name, write_workspace
from facekit.dataset.stereo.views import focus_point, neighbours


@pytest.fixture
def without_cuda(monkeypatch):
    monkeypatch.setattr(pycolmap, "has_cuda", False)


def write_map(path, values):
    """Write a map as COLMAP does: its planes one after the other.

    Source: COLMAP, src/colmap/mvs/mat.h (Write); pycolmap's `NormalMap.from_array` mixes them up.
    """
    height, width, depth = values.shape
    planes = np.ascontiguousarray(values.transpose(2, 0, 1)).astype("<f4")
    path.write_bytes(f"{width}&{height}&{depth}&".encode() + planes.tobytes())


def write_exact_maps(ball, views, folder):
    """Leave what PatchMatch would: depth and normals, those of the ball itself."""
    for index, view in enumerate(views):
        camera = view.camera
        depth = np.where(view.mask, np.nan_to_num(ball.depth(camera)), 0)
        points = camera.center + depth[..., None] * camera.unproject(camera.pixel_centers())
        outward = points / np.linalg.norm(points, axis=-1, keepdims=True)
        normal = np.where(depth[..., None] > 0, outward @ camera.cam_from_world[:, :3].T, 0)
        name = f"{image_name(index)}.geometric.bin"
        write_map(folder / "stereo/depth_maps" / name, depth[..., None])
        write_map(folder / "stereo/normal_maps" / name, normal)


@pytest.fixture(scope="module")
def workspace(ball, tmp_path_factory):
    folder = tmp_path_factory.mktemp("colmap")
    write_workspace(folder, ball.views())
    return folder


def test_cameras_and_poses_are_exact(ball, workspace):
    model = pycolmap.Reconstruction(workspace / "sparse")
    assert model.num_reg_images() == len(ball.rig)
    for index, camera in enumerate(ball.rig):
        image = model.images[index + 1]
        lens = model.cameras[image.camera_id]
        assert (image.name, lens.model_name) == (image_name(index), "PINHOLE")
        assert (lens.width, lens.height) == (camera.width, camera.height)
        np.testing.assert_array_equal(lens.params, camera.K[[0, 1, 0, 1], [0, 1, 2, 2]])
        # through a unit quaternion: exact but for the last bits
        pose = image.cam_from_world().matrix()
        np.testing.assert_allclose(pose, camera.cam_from_world, atol=1e-15)


def test_it_projects_as_we_do(ball, workspace, rng):
    """Both count the centre of the top-left pixel as (0.5, 0.5)."""
    model = pycolmap.Reconstruction(workspace / "sparse")
    points = rng.normal(0, 0.2, (20, 3))
    for index, camera in enumerate(ball.rig):
        xy, _ = camera.project(points)
        theirs = [model.images[index + 1].project_point(point) for point in points]
        np.testing.assert_allclose(theirs, xy, atol=1e-9)


def test_images_and_masks_are_exact(ball, workspace):
    for index, view in enumerate(ball.views()):
        name = image_name(index)
        np.testing.assert_array_equal(read_image(workspace / "images" / name), view.color)
        mask = read_image(workspace / "masks" / f"{name}.png")
        np.testing.assert_array_equal(mask.reshape(view.mask.shape) > 0, view.mask)


def test_sources_are_those_that_we_would_take(ball, workspace):
    cameras = list(ball.rig)
    lines = (workspace / "stereo/patch-match.cfg").read_text().splitlines()
    expected = neighbours(cameras, focus_point(cameras), most=8)
    for index, (name, sources) in enumerate(zip(lines[::2], lines[1::2], strict=True)):
        assert name == image_name(index)
        assert sources.split(", ") == [image_name(k) for k in expected[index]]
    assert (workspace / "stereo/fusion.cfg").read_text().split() == lines[::2]


def test_points_of_exact_maps_lie_on_the_ball(ball, workspace):
    """Fusion needs no CUDA: the workspace, the masks and the points are all as it wants them."""
    write_exact_maps(ball, ball.views(), workspace)
    found = fused(workspace)
    radius = np.linalg.norm(found.points, axis=1)
    assert len(found.points) > 3000
    # fused by medians over pixels that are up to half a pixel apart, on a sloping surface
    assert np.percentile(np.abs(radius - ball.radius), 95) < ball.footprint
    assert abs(np.median(radius - ball.radius)) < 0.1 * ball.footprint
    cosine = (found.points / radius[:, None] * found.normals).sum(axis=1)
    assert cosine.min() > 0.99
    assert found.colors.shape == found.points.shape


def test_nothing_confirmed_is_said(ball, tmp_path):
    views = ball.views()[:2]
    write_workspace(tmp_path, views)
    for index, view in enumerate(views):
        for maps, depth in (("depth_maps", 1), ("normal_maps", 3)):
            path = tmp_path / "stereo" / maps / f"{image_name(index)}.geometric.bin"
            write_map(path, np.zeros((*view.mask.shape, depth)))
    with pytest.raises(EstimationError, match="confirmed no point"):
        fused(tmp_path)


def test_skew_is_refused(ball, tmp_path):
    view = ball.views()[0]
    K = view.camera.K.copy()
    K[0, 1] = 0.1
    skewed = replace(view, camera=replace(view.camera, K=K))
    with pytest.raises(InputError, match=r"cam0: COLMAP's camera models have no skew"):
        write_workspace(tmp_path, [skewed, ball.views()[1]])


@pytest.mark.usefixtures("without_cuda")
def test_pycolmap_without_cuda_is_told_in_one_sentence(ball, tmp_path):
    with pytest.raises(MissingDependencyError, match=r"was built without CUDA") as error:
        dense_points(ball.views(), tmp_path / "workspace")
    assert not (tmp_path / "workspace").exists()
    assert "choose stereo sweep" in str(error.value)
    session = ball.session(tmp_path / "session")
    with pytest.raises(MissingDependencyError, match=r"was built without CUDA"):
        build_dataset(session, ball.rig, tmp_path / "build", BuildConfig(stereo=Stereo.COLMAP))
    assert not (tmp_path / "build").exists()


def test_a_take_is_built_from_what_colmap_finds(ball, tmp_path, monkeypatch):
    """The whole way, with the ball's own maps in place of what CUDA would find."""
    views, asked = ball.views(), []

    def patch_match(folder, options):
        asked.append((options.depth_min, options.depth_max))
        write_exact_maps(ball, views, folder)

    monkeypatch.setattr(pycolmap, "has_cuda", True)
    monkeypatch.setattr(pycolmap, "patch_match_stereo", patch_match)
    config = BuildConfig(stereo=Stereo.COLMAP, check_rig=RigCheck.OFF)
    session = ball.session(tmp_path / "session")
    rig = Rig(cameras=ball.rig.cameras, metric=False)
    figures = build_dataset(session, rig, tmp_path / "build", config)["takes"]["smile"]
    ((near, far),) = asked
    assert near < 2.0 - ball.radius
    assert far > 2.0
    mesh = load_mesh(tmp_path / "build/smile/mesh.ply")
    error = np.linalg.norm(mesh.vertices, axis=1) - ball.radius
    facing = mesh.vertices[:, 2] > 0.6 * ball.radius
    assert np.median(np.abs(error[facing])) < 0.2 * ball.footprint
    assert mesh.colors is not None
    assert set(mesh.attributes) == {"n_views"}
    assert figures["photo_consistency"] is not None
    left = {path.name for path in (tmp_path / "build/smile").iterdir()}
    assert {"mesh.ply", "mesh.obj", "points.ply"} <= left
    assert not any(name.startswith("colmap") for name in left)


@pytest.mark.gpu
@pytest.mark.skipif(not pycolmap.has_cuda, reason="this pycolmap was built without CUDA")
def test_colmap_finds_the_ball(ball, tmp_path):
    found = dense_points(ball.views(), tmp_path)
    error = np.linalg.norm(found.points, axis=1) - ball.radius
    assert len(found.points) > 1000
    assert np.median(np.abs(error)) < ball.footprint


def test_names_of_the_setting():
    assert [method.value for method in colmap.Stereo] == ["sweep", "colmap"]
