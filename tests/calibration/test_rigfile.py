"""rig.json and exports: round trips to the last digit, strict reading, half pixels."""

import json

import cv2
import numpy as np
import pytest

from facekit.calibration.interchange.colmap import export_colmap, import_colmap
from facekit.calibration.rigfile import export_opencv, load_rig, load_rig_record, save_rig
from facekit.core.errors import InputError, SchemaError
from facekit.core.geometry.camera import Camera, Rig


@pytest.fixture
def rig(capture):
    return capture(3, 1).rig


def same(a: Camera, b: Camera, **tolerance):
    assert (a.name, a.width, a.height) == (b.name, b.width, b.height)
    for field in ("K", "distortion", "cam_from_world"):
        np.testing.assert_allclose(getattr(a, field), getattr(b, field), **tolerance)


def test_round_trip_is_exact(rig, tmp_path):
    save_rig(tmp_path / "rig.json", rig, details={"C01": {"n_views": 7}}, provenance={"by": "x"})
    loaded = load_rig(tmp_path)  # a folder stands for its file
    for a, b in zip(rig, loaded, strict=True):
        same(a, b, rtol=0, atol=0)
    record = load_rig_record(tmp_path / "rig.json")
    assert record["cameras"][1]["n_views"] == 7
    assert record["provenance"] == {"by": "x"}


def test_scale_unknown_is_kept(rig, tmp_path):
    save_rig(tmp_path / "rig.json", Rig(cameras=rig.cameras, metric=False))
    assert not load_rig(tmp_path).metric


def edit(path, change):
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda v: v.update(format="rig"), "not a facekit-rig"),
        (lambda v: v.update(version=9), "version 9"),
        (lambda v: v.update(metric="yes"), "metric"),
        (lambda v: v.update(cameras=[]), "list of cameras"),
        (lambda v: v["cameras"][1].pop("K"), r"cameras\[1\]\.K is missing"),
        (lambda v: v["cameras"][0].update(width=0), r"width.*positive"),
        (lambda v: v["cameras"][0].update(width=True), r"width.*positive"),
        (lambda v: v["cameras"][0].update(K=[[1, 2], [3, 4]]), r"K: 3x3"),
        (lambda v: v["cameras"][0]["K"][2].__setitem__(0, 1), "no camera matrix"),
        (lambda v: v["cameras"][0]["distortion"].pop(), "distortion: 5"),
        (lambda v: v["cameras"][0]["distortion"].__setitem__(0, "a"), "distortion"),
        (lambda v: v["cameras"][2]["cam_from_world"][0].__setitem__(0, 3), "no rotation"),
        (lambda v: v["cameras"][2].update(name=""), "name"),
        (lambda v: v["cameras"][2].update(name="C00"), "'C00' is there 2 times"),
    ],
)
def test_impossible_files_are_refused(rig, tmp_path, change, words):
    path = tmp_path / "rig.json"
    save_rig(path, rig)
    edit(path, change)
    with pytest.raises(SchemaError, match=words) as caught:
        load_rig(path)
    assert str(path) in str(caught.value)


def test_rotations_of_few_digits_become_the_nearest_ones(rig, tmp_path):
    path = tmp_path / "rig.json"
    save_rig(path, rig)
    edit(path, lambda v: v["cameras"][1].update(
        cam_from_world=np.round(rig.cameras[1].cam_from_world, 5).tolist()
    ))  # fmt: skip
    R = load_rig(path).cameras[1].cam_from_world[:, :3]
    np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(R, rig.cameras[1].cam_from_world[:, :3], atol=2e-5)


def test_nan_in_a_file_is_refused(rig, tmp_path):
    path = tmp_path / "rig.json"
    save_rig(path, rig)
    edit(path, lambda v: v["cameras"][0]["K"][0].__setitem__(0, float("nan")))
    with pytest.raises(InputError, match="NaN is no number"):
        load_rig(path)


def test_absent_and_damaged_files_are_input_errors(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        load_rig(tmp_path / "rig.json")
    (tmp_path / "rig.json").write_text('{"format": ')
    with pytest.raises(InputError, match="not readable as JSON"):
        load_rig(tmp_path)


def test_opencv_projects_to_its_own_pixels(rig, tmp_path):
    export_opencv(tmp_path / "rig.yml", rig)
    storage = cv2.FileStorage(str(tmp_path / "rig.yml"), cv2.FILE_STORAGE_READ)
    points = np.array([[10.0, 20, 30], [-60, 80, -20], [0, 0, 0]])
    for index, camera in enumerate(rig):
        node = storage.getNode(f"camera_{index}")
        assert node.getNode("name").string() == camera.name
        K, D, R, T = (node.getNode(key).mat() for key in "KDRT")
        found = cv2.projectPoints(points, cv2.Rodrigues(R)[0], T, K, D)[0].reshape(-1, 2)
        np.testing.assert_allclose(found + 0.5, camera.project(points)[0], atol=1e-6)
    storage.release()


def test_colmap_round_trip(rig, tmp_path):
    export_colmap(tmp_path, rig, image_names={"C00": "C00.jpg"})
    for a, b in zip(rig, import_colmap(tmp_path, metric=True), strict=True):
        same(a, b, rtol=1e-12, atol=1e-12)


def test_colmap_keeps_k3(rig, tmp_path):
    first = rig.cameras[0]
    k3 = Camera(**{**first.__dict__, "distortion": np.array([0.1, -0.2, 1e-3, 2e-3, 0.05])})
    export_colmap(tmp_path, Rig(cameras=(k3,)))
    same(import_colmap(tmp_path).cameras[0], k3, rtol=1e-12, atol=1e-12)


def test_pycolmap_reads_and_projects_alike(rig, tmp_path):
    import pycolmap

    export_colmap(tmp_path, rig)
    model = pycolmap.Reconstruction(tmp_path)
    point = np.array([12.0, -40.0, 25.0])
    for image in model.images.values():
        camera = rig[image.name.removesuffix(".png")]
        found = model.cameras[image.camera_id].img_from_cam(image.cam_from_world() * point)
        np.testing.assert_allclose(found, camera.project(point)[0], atol=1e-7)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("1 OPENCV_FISHEYE 10 10 5 5 5 5 0 0 0 0", "OPENCV_FISHEYE"),
        ("1 PINHOLE 10 10 5 5 5", "4 parameters"),
        ("1 PINHOLE 10 10 -5 5 5 5", "focal length"),
        ("1 PINHOLE 10 10 x 5 5 5", "numbers"),
    ],
)
def test_foreign_or_damaged_colmap_cameras_are_refused(rig, tmp_path, line, words):
    export_colmap(tmp_path, rig)
    (tmp_path / "cameras.txt").write_text(line + "\n")
    with pytest.raises(SchemaError, match=words) as caught:
        import_colmap(tmp_path)
    assert "cameras.txt:1" in str(caught.value)


def test_names_with_spaces_and_skew_are_refused(rig, tmp_path):
    with pytest.raises(InputError, match="white space"):
        export_colmap(tmp_path, rig, image_names={"C00": "a b.png"})
    skewed = rig.cameras[0].K.copy()
    skewed[0, 1] = 0.1
    with pytest.raises(InputError, match="skew"):
        export_colmap(tmp_path, Rig(cameras=(Camera(**{**rig.cameras[0].__dict__, "K": skewed}),)))
