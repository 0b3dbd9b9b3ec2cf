"""The build's own files read back as they were written."""

import numpy as np
import pytest
import trimesh

from facekit.core.errors import InputError
from facekit.dataset.cloudfile import load_cloud, save_cloud
from facekit.dataset.fusion import PointCloud
from facekit.dataset.stereo.consistency import CheckedDepth
from facekit.dataset.viewfile import load_depths, save_depth


@pytest.fixture
def cloud(rng):
    return PointCloud(
        points=rng.normal(size=(50, 3)).astype(np.float32).astype(np.float64),
        normals=rng.normal(size=(50, 3)).astype(np.float32).astype(np.float64),
        confidence=rng.random(50).astype(np.float32),
        colors=rng.integers(0, 256, (50, 3)).astype(np.uint8),
        footprint=rng.random(50).astype(np.float32),
    )


def test_cloud_reads_back(tmp_path, cloud):
    save_cloud(tmp_path / "points.ply", cloud)
    again = load_cloud(tmp_path / "points.ply")
    for name in ("points", "normals", "confidence", "colors", "footprint"):
        np.testing.assert_array_equal(getattr(again, name), getattr(cloud, name))


def test_others_read_the_cloud(tmp_path, cloud):
    save_cloud(tmp_path / "points.ply", cloud)
    loaded = trimesh.load(tmp_path / "points.ply")
    np.testing.assert_allclose(loaded.vertices, cloud.points)
    np.testing.assert_array_equal(np.asarray(loaded.colors)[:, :3], cloud.colors)


def test_a_cut_off_cloud_is_refused(tmp_path, cloud):
    path = tmp_path / "points.ply"
    save_cloud(path, cloud)
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(InputError, match="not a complete point cloud"):
        load_cloud(path)


def test_depth_reads_back(tmp_path, ball):
    camera = ball.rig["cam1"]
    depth = ball.depth(camera).astype(np.float32)
    known = np.isfinite(depth)
    normal = np.zeros((*depth.shape, 3), np.float32)
    normal[known] = (0, 0, 1)
    found = CheckedDepth(
        depth=depth,
        normal=normal,
        confidence=np.where(known, np.float32(0.75), np.float32(0)),
        n_confirming=known.astype(np.int32),
    )
    save_depth(tmp_path / "cam1.npz", camera, found)
    (again,) = load_depths(tmp_path, ["cam1"])
    np.testing.assert_array_equal(again.depth, found.depth)
    np.testing.assert_array_equal(again.normal, found.normal)
    np.testing.assert_array_equal(again.confidence, found.confidence)
    with np.load(tmp_path / "cam1.npz") as arrays:
        np.testing.assert_array_equal(arrays["K"], camera.K)


def test_a_damaged_depth_is_refused(tmp_path):
    (tmp_path / "cam1.npz").write_bytes(b"no zip")
    with pytest.raises(InputError, match=r"cam1\.npz: damaged"):
        load_depths(tmp_path, ["cam1"])
