"""Calibration without a board: points without images, a ball with a random skin, marble heads."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import trimesh
from PIL import Image
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.spatial.transform import Rotation

from facekit.calibration.rigfile import load_rig
from facekit.calibration.selfcal import SelfCalibrateConfig, self_calibrate
from facekit.calibration.structure.mapping import Attempt, Lens, MappingProblem, map_cameras, verify
from facekit.calibration.structure.selfscale import parse_scale_bar
from facekit.capture.session import CameraInfo, Session, Shot, Take, TakeKind
from facekit.capture.virtual.board import sheet_pose
from facekit.capture.virtual.lights import led_ring
from facekit.capture.virtual.plane import Sheet, photograph_sheet
from facekit.capture.virtual.sensor import Optics
from facekit.core.errors import CalibrationError, ConfigError
from facekit.core.files import sha256_file
from facekit.core.geometry.camera import Camera, Rig
from facekit.core.geometry.transform import align_similarity, look_at
from facekit.core.imaging.imageio import write_image

QUICK = SelfCalibrateConfig(max_image_size=640, max_features=800)


def arc(n_cameras, *, spread_deg=80.0, focal=2400.0, vary=0.0):
    cameras = []
    for index, yaw in enumerate(np.linspace(-spread_deg / 2, spread_deg / 2, n_cameras)):
        center = Rotation.from_euler("yx", [yaw, 6 * (-1) ** index], degrees=True).apply(
            [0, 0, 900 + 15 * index]
        )
        f = focal * (1 + vary * (-1) ** index)
        K = np.array([[f, 0, 320], [0, f, 240], [0, 0, 1]])
        cameras.append(
            Camera(name=f"C{index}", width=640, height=480, K=K,
                   cam_from_world=look_at(center, np.zeros(3)))
        )  # fmt: skip
    return Rig(cameras=tuple(cameras))


def center_error(rig, true):
    """Return the largest distance of centres after the best similarity, parts of the distance."""
    wanted = np.array([true[name].center for name in rig.names])
    fit = align_similarity(rig.centers, wanted)
    return np.linalg.norm(fit(rig.centers) - wanted, axis=1).max() / 900


def problem_of(rig, rng, *, noise=0.3, wrong=0.15, focal_guess=1.0, n_points=500):
    """Return the matches of points on the front of a head-sized ball, some of them wrong."""
    directions = rng.normal(size=(n_points, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    points = directions * (85, 110, 95)
    normals = directions / (85, 110, 95)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    xy, row_of = [], []
    for camera in rig:
        towards = camera.center - points
        towards /= np.linalg.norm(towards, axis=1, keepdims=True)
        seen = np.flatnonzero((normals * towards).sum(axis=1) > 0.35)
        xy.append(camera.project(points[seen])[0] + rng.normal(0, noise, (len(seen), 2)))
        row_of.append(dict(zip(seen.tolist(), range(len(seen)), strict=True)))
    matches = {}
    for a in range(len(rig)):
        for b in range(a + 1, len(rig)):
            both = sorted(set(row_of[a]) & set(row_of[b]))
            pairs = np.array([[row_of[a][p], row_of[b][p]] for p in both], np.int32)
            pairs = pairs.reshape(-1, 2)
            n_wrong = int(wrong * len(pairs))
            pairs[:n_wrong, 1] = rng.permutation(pairs[:n_wrong, 1])
            matches[a, b] = pairs
    sizes = [(camera.width, camera.height) for camera in rig]
    return MappingProblem(
        names=rig.names,
        lenses=tuple(Lens(width=640, height=480, focal_px=2400 * focal_guess) for _ in rig),
        lens_of=tuple(range(len(rig))),
        kind_of=(0,) * len(rig),
        xy=tuple(xy),
        pairs=verify(xy, matches, sizes, noise_px=1.0),
        noise_px=1.0,
    )


@pytest.mark.parametrize("focal_guess", [0.6, 1.0, 1.7])
def test_mapping_survives_a_wrong_focal_guess(tmp_path, rng, focal_guess):
    true = arc(5, vary=0.004)
    problem = problem_of(true, rng, focal_guess=focal_guess)
    mapped = map_cameras(problem, Attempt(refine=False), folder=tmp_path)
    assert len(mapped.cameras) == 5
    # points of two to five sightings follow the noise: less of it is left
    assert 0.2 < mapped.rms_px < 0.3 * np.sqrt(2)
    rig = Rig(cameras=tuple(mapped.cameras.values()))
    # a head on a fifth of the image determines narrow lenses weakly: focal length, distortion
    # and distance follow one another; the guess no longer matters
    assert center_error(rig, true) < 0.05
    for camera in rig:
        assert camera.K[0, 0] == pytest.approx(true[camera.name].K[0, 0], rel=0.1)


def test_mapping_repeats_itself(tmp_path, rng):
    problem = problem_of(arc(4), rng)
    a, b = (map_cameras(problem, Attempt(refine=False), folder=tmp_path) for _ in range(2))
    np.testing.assert_array_equal(a.points, b.points)
    np.testing.assert_array_equal(a.error, b.error)


def test_errors_are_those_of_the_cameras(tmp_path, rng):
    problem = problem_of(arc(4), rng)
    mapped = map_cameras(problem, Attempt(refine=False), folder=tmp_path)
    for index, name in enumerate(problem.names):
        rows = mapped.camera_of == index
        found, _ = mapped.cameras[name].project(mapped.points[mapped.point_of[rows]])
        seen = problem.xy[index][mapped.feature_of[rows]]
        np.testing.assert_allclose(found - seen, mapped.error[rows], atol=1e-4)  # float32


def test_a_pair_is_placed_and_keeps_its_focal_lengths(tmp_path, rng):
    problem = problem_of(arc(2), rng)
    found = map_cameras(problem, Attempt(), folder=tmp_path)
    assert list(found.cameras) == ["C0", "C1"]
    # two views of a head tell no focal length: the first guess stays
    assert all(camera.K[0, 0] == pytest.approx(2400) for camera in found.cameras.values())


def test_nothing_in_common_gives_nothing(tmp_path, rng):
    problem = problem_of(arc(3), rng)
    assert map_cameras(replace(problem, pairs={}), Attempt(), folder=tmp_path) is None


def ball(camera, skin):
    """Return a photograph of a ball of 95 mm whose colour is a smooth random field."""
    pixels = camera.pixel_centers()
    rays = camera.unproject(pixels)
    a = (rays**2).sum(axis=-1)
    half_b = rays @ camera.center
    root = half_b**2 - a * (camera.center @ camera.center - 95.0**2)
    hit = root > 0
    depth = (-half_b[hit] - np.sqrt(root[hit])) / a[hit]
    points = camera.center + depth[:, None] * rays[hit]
    n = skin.shape[0]
    image = np.full(hit.shape, 25.0)
    image[hit] = map_coordinates(skin, (points.T / 200 + 0.5) * n, order=1, mode="nearest")
    return cv2.GaussianBlur(image, (0, 0), 0.6)


@pytest.fixture(scope="module")
def skin():
    rng = np.random.default_rng(7)
    values = sum(gaussian_filter(rng.normal(size=(160,) * 3), s) * s**1.5 for s in (1.0, 2.0, 4.0))
    return np.clip(128 + 60 * values / values.std(), 0, 255)


def ball_session(folder, rig, skins, **info):
    """Write one take of the ball for each skin."""
    rng = np.random.default_rng(1)
    takes = []
    for number, skin in enumerate(skins):
        shots = []
        for camera in rig:
            path = folder / f"{number}-{camera.name}.png"
            noisy = ball(camera, skin) + rng.normal(0, 1.5, (camera.height, camera.width))
            write_image(path, np.clip(np.rint(noisy), 0, 255).astype(np.uint8))
            shots.append(
                Shot(camera=camera.name, file=path.name, sha256=sha256_file(path), bytes=1,
                     width=640, height=480)
            )  # fmt: skip
        takes.append(Take(id=f"t{number}", kind=TakeKind.SUBJECT, shots=tuple(shots)))
    infos = tuple(CameraInfo(id=c.name, width=640, height=480, **info) for c in rig)
    return Session(folder=folder, name="ball", cameras=infos, takes=tuple(takes))


@pytest.fixture(scope="module")
def session(tmp_path_factory, skin):
    """Give two takes of a fixed rig of four, the subject another one in each."""
    folder = tmp_path_factory.mktemp("ball")
    return ball_session(folder, arc(4, spread_deg=45.0), [skin, skin[::-1, :, ::-1]])


def test_a_ball_calibrates_its_cameras(session, tmp_path):
    true = arc(4, spread_deg=45.0)
    result = self_calibrate(session, tmp_path, QUICK)
    json.dumps(result, allow_nan=False)
    assert result["registered"] == 4
    assert result["unregistered"] == []
    assert result["rms_px"] < 0.5
    assert (result["scale"], result["metric"]) == ("unknown", False)
    assert any("size of the rig is unknown" in sentence for sentence in result["warnings"])
    rig = load_rig(tmp_path)
    assert not rig.metric
    assert center_error(rig, true) < 0.05
    assert (rig.centers[:, 2] > 0).all()  # looks along +z at the cameras
    assert {p.name for p in tmp_path.iterdir()} == {
        "rig.json", "residuals.json", "points.ply", "stage.json", "features",
    }  # fmt: skip
    assert all(own["n_views"] == 2 for own in result["cameras"].values())  # of both takes

    again = self_calibrate(session, tmp_path, QUICK)
    assert again == result
    (tmp_path / "stage.json").unlink()
    before = (tmp_path / "rig.json").read_bytes()
    self_calibrate(session, tmp_path, QUICK)
    assert (tmp_path / "rig.json").read_bytes() == before

    true_length = np.linalg.norm(true["C0"].center - true["C3"].center)
    bar = replace(QUICK, scale_bar=f"C0,C3={true_length}")
    scaled = self_calibrate(session, tmp_path, bar)
    rig = load_rig(tmp_path)
    assert rig.metric
    assert scaled["scale"].startswith("distance of C0 and C3")
    assert np.linalg.norm(rig["C0"].center - rig["C3"].center) == pytest.approx(true_length)
    assert np.linalg.norm(rig["C1"].center - rig["C2"].center) == pytest.approx(
        np.linalg.norm(true["C1"].center - true["C2"].center), rel=0.03
    )


def bar_take(folder, rig, *, mm):
    """Photograph a strip with two markers at the ball's place, alone."""
    ink = np.full((240, 1000), 235, np.uint8)
    known = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_5X5_250)
    for marker, x in ((240, 500 - 5 * mm), (241, 500 + 5 * mm)):  # 10 px a mm
        left = round(x - 84)
        ink[36:204, left : left + 168] = known.generateImageMarker(marker, 168, borderBits=1)
    sheet = Sheet(art=(ink / 255).astype(np.float32)[..., None], px_per_mm=10.0)
    pose = sheet_pose(sheet.size_mm, yaw_deg=8.0, pitch_deg=5.0, center=np.zeros(3))
    shots = []
    for number, camera in enumerate(rig):
        path = folder / f"bar-{camera.name}.png"
        image = photograph_sheet(
            sheet, pose, camera, led_ring(np.random.default_rng(0)), Optics(),
            rng=np.random.default_rng(number),
        )  # fmt: skip
        write_image(path, image)
        shots.append(Shot(camera=camera.name, file=path.name, sha256=sha256_file(path), bytes=1,
                          width=640, height=480))  # fmt: skip
    return Take(id="bar", kind=TakeKind.TARGET, shots=tuple(shots))


def test_a_scale_bar_in_the_photographs_sizes_the_rig(session, tmp_path):
    true = arc(4, spread_deg=45.0)
    take = bar_take(session.folder, true, mm=70)
    with_bar = replace(session, takes=(*session.takes, take))
    config = replace(QUICK, scale_bar="DICT_5X5_250:240-241=70")
    result = self_calibrate(with_bar, tmp_path, config)
    json.dumps(result, allow_nan=False)
    assert (result["metric"], result["scale"]) == (
        True, "scale bar DICT_5X5_250:240-241 = 70 mm",
    )  # fmt: skip
    (bar,) = result["scale_bars"]
    assert [take["take"] for take in bar["takes"]] == ["bar"]
    assert bar["takes"][0]["n_views"] == [4, 4]
    assert abs(bar["error_mm"]) < 1e-9  # a single bar decides alone
    rig = load_rig(tmp_path)
    assert rig.metric
    # the bar stood where the ball was: the ball's size is right, even though narrow lenses
    # are weak in the distance of the cameras
    points = np.asarray(trimesh.load(tmp_path / "points.ply").vertices)
    system = np.column_stack([2 * points, np.ones(len(points))])
    *center, rest = np.linalg.lstsq(system, (points**2).sum(axis=1))[0]
    assert np.sqrt(rest + np.square(center).sum()) == pytest.approx(95, rel=0.02)
    missing = replace(QUICK, scale_bar="DICT_5X5_250:240-242=70")
    with pytest.raises(CalibrationError, match=r"DICT_5X5_250:240-242: no take shows both"):
        self_calibrate(with_bar, tmp_path, missing)


def test_a_stray_camera_is_named_and_left_out(session, tmp_path, rng):
    path = session.folder / "stray.png"
    write_image(path, rng.integers(90, 110, (480, 640)).astype(np.uint8))
    stray = Shot(camera="X", file=path.name, sha256=sha256_file(path), bytes=1,
                 width=640, height=480)  # fmt: skip
    take = replace(session.takes[0], shots=(*session.takes[0].shots, stray))
    cameras = (*session.cameras, CameraInfo(id="X", width=640, height=480))
    result = self_calibrate(replace(session, takes=(take,), cameras=cameras), tmp_path, QUICK)
    assert (result["registered"], result["unregistered"]) == (4, ["X"])
    assert any(sentence.startswith("X could not be placed") for sentence in result["warnings"])
    assert load_rig(tmp_path).names == ("C0", "C1", "C2", "C3")


def test_grey_walls_say_what_to_do(tmp_path, rng):
    rig = arc(3)
    flat = ball_session(tmp_path, rig, [np.full((8, 8, 8), 100.0)])
    with pytest.raises(CalibrationError, match=r"none of C0, C1, C2 could be placed.*overlap"):
        self_calibrate(flat, tmp_path / "out", QUICK)


def test_no_subject_says_what_to_do(session, tmp_path):
    with pytest.raises(CalibrationError, match="no take of kind `subject`"):
        self_calibrate(replace(session, takes=()), tmp_path, QUICK)


@pytest.mark.parametrize(
    "text", ["C0,C1", "C0=12", "C0,C1=-3", "C0,C1=x", "C0,C0=5", "=3", "C0,C1=nan"]
)
def test_scale_bars_of_another_form_are_refused(text):
    with pytest.raises(ConfigError, match="scale_bar"):
        parse_scale_bar(text)


def test_a_scale_bar_names_known_cameras(session, tmp_path):
    assert parse_scale_bar("a, b = 12.5") == ("a", "b", 12.5)
    with pytest.raises(ConfigError, match="no camera 'C9'; there are C0, C1, C2, C3"):
        self_calibrate(session, tmp_path, replace(QUICK, scale_bar="C0,C9=5"))


@pytest.mark.slow
def test_real_marble_head(shared_data, tmp_path):
    source = shared_data / "bm_livia"
    cameras, shots = [], []
    for number, name in enumerate((source / "arc9.txt").read_text().split(), 1):
        path = source / "images" / name
        mask = source / "masks" / f"{path.stem}_mask.png"
        with Image.open(path) as picture:
            exif = picture.getexif()
        focal = float(exif.get_ifd(0x8769)[0x920A])
        cameras.append(CameraInfo(id=f"v{number}", width=5184, height=3456, model="700D",
                                  serial="1", focal_mm=focal, focal_35mm=1.6 * focal))  # fmt: skip
        shots.append(Shot(camera=f"v{number}", file=str(path), sha256=sha256_file(path), bytes=1,
                          width=5184, height=3456, mask=str(mask),
                          orientation=exif[0x112]))  # fmt: skip
    take = Take(id="head", kind=TakeKind.SUBJECT, shots=tuple(shots))
    session = Session(
        folder=tmp_path, name="livia", cameras=tuple(cameras), takes=(take,), moved_camera=True
    )
    result = self_calibrate(session, tmp_path / "out", SelfCalibrateConfig())
    assert result["registered"] == 9
    assert result["rms_px"] < 0.8
    rig = load_rig(tmp_path / "out")
    # one body: 18 mm and 20 mm photographs share one lens each
    assert len({camera.K[0, 0] for camera in rig}) == 2
    up = np.array([-camera.cam_from_world[0, :3] for camera in rig])  # orientation 6: left is up
    assert up[:, 1].min() > 0.8
