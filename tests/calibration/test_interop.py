"""Rigs of other programs: round trips to rounding, each convention by the format's own formula."""

import json
import os
import xml.etree.ElementTree as ET
from dataclasses import replace

import cv2
import numpy as np
import pycolmap
import pytest
from scipy.spatial.transform import Rotation

from facekit.calibration.interchange.interop import RigFormat, export_rig, guess_format, import_rig
from facekit.core.errors import InputError, SchemaError
from facekit.core.geometry.camera import Camera, Rig

NO_SKEW = (RigFormat.COLMAP_TEXT, RigFormat.COLMAP_BINARY, RigFormat.TRANSFORMS)
SUFFIXES = {
    RigFormat.OPENCV: "rig.yml",
    RigFormat.METASHAPE: "cameras.xml",
    RigFormat.TRANSFORMS: "transforms.json",
    RigFormat.FACESCAPE: "params.json",
}
FORMATS = pytest.mark.parametrize("format", list(RigFormat))
POINTS = np.array([[10.0, 20, 30], [-60, 80, -20], [0, 0, 0], [75, -90, 40]])


def random_rig(seed, *, skew=True, n=None):
    """Cameras of very different sizes and lenses, around the origin and looking at it."""
    rng = np.random.default_rng(seed)
    names = ["C00", "cam.01", "no", "1e3", "Ø-links", "a&b", "x" * 40, "007"]
    cameras = []
    for name in rng.permutation(names)[: n or rng.integers(1, 6)]:
        width, height = (int(v) for v in rng.integers(64, 9000, 2))
        f = 10 ** rng.uniform(2.5, 4.5)
        K = np.array(
            [
                [f, rng.normal() if skew and rng.random() < 0.5 else 0.0, rng.uniform(0, width)],
                [0, f * rng.uniform(0.9, 1.1), rng.uniform(0, height)],
                [0, 0, 1],
            ]
        )
        distortion = rng.normal(size=5) * [0.1, 0.05, 1e-3, 1e-3, 0.02] * rng.integers(0, 2, 5)
        R = Rotation.random(random_state=int(rng.integers(2**31))).as_matrix()
        t = np.array([0, 0, 10 ** rng.uniform(2.5, 4)]) + rng.normal(size=3) * 20
        cameras.append(
            Camera(
                name=str(name),
                width=width,
                height=height,
                K=K,
                distortion=distortion,
                cam_from_world=np.column_stack([R, t]),
            )
        )
    return Rig(cameras=tuple(cameras), metric=bool(rng.integers(0, 2)))


def target(folder, format):
    return folder if format.is_folder else folder / SUFFIXES[format]


def round_trip(rig, format, folder):
    export_rig(rig, target(folder, format), format)
    return import_rig(target(folder, format))


def assert_same(rig, found):
    """1e-9, relative for lengths in pixels and millimetres."""
    assert found.metric == rig.metric
    found = {camera.name: camera for camera in found}  # .xmp come in the order of the alphabet
    assert set(found) == set(rig.names)
    for a in rig:
        b = found[a.name]
        assert (a.width, a.height) == (b.width, b.height)
        size = np.array([[a.K[0, 0]], [a.K[1, 1]], [1.0]])
        assert np.abs((a.K - b.K) / size).max() < 1e-9
        assert np.abs(a.distortion - b.distortion).max() < 1e-9
        scale = [1, 1, 1, np.linalg.norm(a.center)]
        assert np.abs((a.cam_from_world - b.cam_from_world) / scale).max() < 1e-9


def run_round_trips(format, tmp_path, n):
    for seed in range(n):
        folder = tmp_path / str(seed)
        folder.mkdir()
        rig = random_rig(seed, skew=format not in NO_SKEW)
        assert_same(rig, round_trip(rig, format, folder))


@FORMATS
def test_100_round_trips_are_exact_to_rounding(format, tmp_path):
    run_round_trips(format, tmp_path, 100)


@pytest.mark.slow
@FORMATS
def test_1000_round_trips_are_exact_to_rounding(format, tmp_path):
    run_round_trips(format, tmp_path, 1000)


@FORMATS
def test_the_format_is_found_by_itself(format, tmp_path):
    export_rig(random_rig(1, skew=False), target(tmp_path, format), format)
    assert guess_format(target(tmp_path, format)) is format


@FORMATS
def test_the_second_export_equals_the_first(format, tmp_path):
    """Nothing creeps: what was read is written as it was."""
    rig = random_rig(5, skew=False)
    first = round_trip(rig, format, tmp_path)
    again = round_trip(first, format, tmp_path)
    assert_same(first, again)


def one_camera():
    return random_rig(3, skew=True, n=1).cameras[0]


def tangential_camera():
    """Return a camera in which every term shows: all of K, all of the distortion, no symmetry."""
    return replace(
        one_camera(),
        width=1200,
        height=1800,
        K=np.array([[2400.0, 1.5, 633.25], [0, 2375, 871.5], [0, 0, 1]]),
        distortion=np.array([-0.21, 0.13, 4e-3, -7e-3, 0.05]),
        cam_from_world=np.column_stack(
            [Rotation.from_euler("yxz", [0.4, 0.2, -0.1]).as_matrix(), [15.0, -8, 900]]
        ),
        name="C7",
    )


def exported(format, tmp_path, *, skew=True, metric=True):
    camera = tangential_camera()
    if not skew:
        camera.K[0, 1] = 0
    path = target(tmp_path, format)
    export_rig(Rig(cameras=(camera,), metric=metric), path, format)
    return camera, path


def test_metashape_projects_alike(tmp_path):
    """The manual's formulae for frame cameras, metres in the world, millimetres in the chunk."""
    camera, path = exported(RigFormat.METASHAPE, tmp_path)
    chunk = ET.parse(path).getroot().find("chunk")
    text = {e.tag: e.text for e in chunk.find("sensors/sensor/calibration")}
    c = {key: float(value) for key, value in text.items() if key != "resolution"}
    chunk_from_cam = np.array(chunk.findtext("cameras/camera/transform").split(), float)
    scale = float(chunk.findtext("transform/scale"))
    for point in POINTS:
        in_chunk = point / 1000 / scale  # metres in the world
        X, Y, Z, _ = np.linalg.inv(chunk_from_cam.reshape(4, 4)) @ [*in_chunk, 1]
        x, y = X / Z, Y / Z
        r2 = x**2 + y**2
        radial = 1 + c["k1"] * r2 + c["k2"] * r2**2 + c["k3"] * r2**3
        xd = x * radial + c["p1"] * (r2 + 2 * x**2) + 2 * c["p2"] * x * y
        yd = y * radial + c["p2"] * (r2 + 2 * y**2) + 2 * c["p1"] * x * y
        u = 1200 * 0.5 + c["cx"] + xd * c["f"] + xd * c["b1"] + yd * c["b2"]
        v = 1800 * 0.5 + c["cy"] + yd * c["f"]
        np.testing.assert_allclose([u, v], camera.project(point)[0], atol=1e-8)


def test_realitycapture_projects_alike(tmp_path):
    """`XMP Camera Math`: fractions of the longer side, from the image's centre; metres."""
    camera, folder = exported(RigFormat.REALITYCAPTURE, tmp_path)
    xcr = "{http://www.capturingreality.com/ns/xcr/1.1#}"
    node = ET.parse(folder / "C7.xmp").getroot()[0][0]
    f, skew, aspect, pu, pv = (
        float(node.get(f"{xcr}{key}"))
        for key in (
            "FocalLength35mm",
            "Skew",
            "AspectRatio",
            "PrincipalPointU",
            "PrincipalPointV",
        )
    )
    R, center, coefficients = (
        np.array(node.findtext(f"{xcr}{key}").split(), float)
        for key in ("Rotation", "Position", "DistortionCoeficients")
    )
    k1, k2, k3, k4, t1, t2 = coefficients
    assert node.get(f"{xcr}DistortionModel") == "brown3t2"
    assert k4 == 0
    for point in POINTS:
        u, v, w = R.reshape(3, 3) @ (point / 1000 - center)
        x, y = u / w, v / w
        r2 = x * x + y * y
        radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
        xd = x * radial + t1 * (r2 + 2 * x * x) + 2 * t2 * x * y
        yd = y * radial + t2 * (r2 + 2 * y * y) + 2 * t1 * x * y
        m = np.array([f / 36 * xd + skew * yd + pu, f / 36 * aspect * yd + pv])
        found = m * 1800 + [600, 900]
        np.testing.assert_allclose(found, camera.project(point)[0], atol=1e-8)


def test_transforms_project_alike(tmp_path):
    """OpenGL's axes: the camera looks along -z, y goes up."""
    camera, path = exported(RigFormat.TRANSFORMS, tmp_path, skew=False)
    frame = json.loads(path.read_text())["frames"][0]
    cam_from_world = np.linalg.inv(frame["transform_matrix"])
    for point in POINTS:
        right, up, back, _ = cam_from_world @ [*point, 1]
        assert back < 0
        x, y = right / -back, -up / -back
        r2 = x * x + y * y
        radial = 1 + frame["k1"] * r2 + frame["k2"] * r2**2 + frame["k3"] * r2**3
        p1, p2 = frame["p1"], frame["p2"]
        xd = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
        yd = y * radial + 2 * p2 * x * y + p1 * (r2 + 2 * y * y)
        found = [frame["fl_x"] * xd + frame["cx"], frame["fl_y"] * yd + frame["cy"]]
        np.testing.assert_allclose(found, camera.project(point)[0], atol=1e-8)


def test_facescape_projects_alike_by_opencv(tmp_path):
    """As its toolkit does it: cv2 with K, distortion; the top-left pixel's centre is (0, 0)."""
    camera, path = exported(RigFormat.FACESCAPE, tmp_path)
    camera.K[0, 1] = 0  # cv2 has no skew
    export_rig(Rig(cameras=(camera,)), path, RigFormat.FACESCAPE)
    params = json.loads(path.read_text())
    assert len(params) // 9 == 1  # how its readers count cameras
    K, Rt = np.array(params["0_K"]), np.array(params["0_Rt"])
    distortion = np.array(params["0_distortion"])
    rvec = cv2.Rodrigues(Rt[:, :3])[0]
    found = cv2.projectPoints(POINTS, rvec, Rt[:, 3], K, distortion)[0].reshape(-1, 2)
    np.testing.assert_allclose(found + 0.5, camera.project(POINTS)[0], atol=1e-6)
    assert (params["0_width"], params["0_height"], params["0_valid"]) == (1200, 1800, True)


def test_pycolmap_projects_the_binary_model_alike(tmp_path):
    camera, folder = exported(RigFormat.COLMAP_BINARY, tmp_path, skew=False)
    model = pycolmap.Reconstruction(folder)
    (image,) = model.images.values()
    assert image.name == "C7.png"
    for point in POINTS:
        in_cam = image.cam_from_world() * point
        found = model.cameras[image.camera_id].img_from_cam(in_cam)
        np.testing.assert_allclose(found, camera.project(point)[0], atol=1e-7)


def test_a_binary_model_written_by_pycolmap_is_read(tmp_path):
    """With its rigs, frames and points of images, as COLMAP itself leaves it."""
    camera, folder = exported(RigFormat.COLMAP_TEXT, tmp_path, skew=False)
    model = pycolmap.Reconstruction(folder)
    (image,) = model.images.values()
    image.points2D = pycolmap.Point2DList([pycolmap.Point2D([3.0, 4.0])])
    (tmp_path / "bin").mkdir()
    model.write_binary(tmp_path / "bin")
    assert_same(Rig(cameras=(camera,), metric=False), import_rig(tmp_path / "bin"))


def test_yaml_names_stay_texts(tmp_path):
    names = ["no", "1e3", "~", "true", "null", "12:30", "it's", 'a"b', "c\\'d", "#1"]
    rig = Rig(cameras=tuple(replace(tangential_camera(), name=name) for name in names))
    assert round_trip(rig, RigFormat.OPENCV, tmp_path).names == tuple(names)


@pytest.mark.parametrize("name", ['"', "'a'", '"#a"'])
def test_names_in_quotes_are_refused_for_opencv(name, tmp_path):
    """cv2 writes a text that has quotes around it as it stands: they would be lost."""
    rig = Rig(cameras=(replace(tangential_camera(), name=name),))
    with pytest.raises(InputError, match="quotes"):
        export_rig(rig, tmp_path / "rig.yml", RigFormat.OPENCV)


def test_old_opencv_header_is_read(tmp_path):
    camera, path = exported(RigFormat.OPENCV, tmp_path)
    path.write_text(path.read_text().replace("%YAML 1.2", "%YAML:1.0", 1))
    assert_same(Rig(cameras=(camera,)), import_rig(path))


def test_the_unit_may_be_said(tmp_path):
    camera, path = exported(RigFormat.FACESCAPE, tmp_path, metric=False)
    assert not import_rig(path).metric
    rig = import_rig(path, unit_mm=10.0)
    assert rig.metric
    np.testing.assert_allclose(rig["C7"].center, 10 * camera.center, rtol=1e-12)


def test_skew_is_refused_where_it_cannot_be_said(tmp_path):
    rig = Rig(cameras=(tangential_camera(),))
    for format in NO_SKEW:
        with pytest.raises(InputError, match="skew"):
            export_rig(rig, target(tmp_path, format), format)


@pytest.mark.parametrize("name", ["", "a\nb", "..", " a", "x\ud800"])
@FORMATS
def test_names_that_would_be_lost_are_refused(format, name, tmp_path):
    rig = Rig(cameras=(replace(tangential_camera(), name=name),))
    with pytest.raises(InputError, match="name"):
        export_rig(rig, target(tmp_path, format), format)


def test_two_models_in_one_folder_are_refused(tmp_path):
    exported(RigFormat.COLMAP_TEXT, tmp_path, skew=False)
    with pytest.raises(InputError, match=r"cameras\.txt"):
        exported(RigFormat.COLMAP_BINARY, tmp_path, skew=False)
    exported(RigFormat.REALITYCAPTURE, tmp_path)
    other = Rig(cameras=(replace(tangential_camera(), name="other"),))
    with pytest.raises(InputError, match="other cameras"):
        export_rig(other, tmp_path, RigFormat.REALITYCAPTURE)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_leave_is_an_input_error(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="cannot be written"):
        exported(RigFormat.METASHAPE, tmp_path)


def test_unknown_paths_are_input_errors(tmp_path):
    with pytest.raises(InputError, match="no such"):
        import_rig(tmp_path / "none.xml")
    with pytest.raises(InputError, match="known format"):
        import_rig(tmp_path)
    (tmp_path / "a.json").write_text("[1]")
    with pytest.raises(InputError, match="known format"):
        import_rig(tmp_path / "a.json")
    with pytest.raises(SchemaError):
        import_rig(tmp_path / "a.json", RigFormat.FACESCAPE)
