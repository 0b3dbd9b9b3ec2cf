"""Scale bars: rendered photographs of a strip with two markers, and rays of known points."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from facekit.calibration.target.codedmarkers import find_markers, markers_of_session
from facekit.calibration.target.scalebars import (
    BarLength,
    BarSummary,
    ScaleBar,
    bar_length,
    bar_warnings,
    marker_center,
    measure_bars,
    parse_bars,
    summarise,
)
from facekit.calibration.target.triangulation import Ray, triangulate
from facekit.capture.session import BoardSpec, CameraInfo, Session, Shot, Take, TakeKind
from facekit.capture.virtual.board import sheet_pose
from facekit.capture.virtual.layouts import draw_rig, load_layout
from facekit.capture.virtual.lights import led_ring
from facekit.capture.virtual.plane import Sheet, photograph_sheet
from facekit.capture.virtual.sensor import Optics
from facekit.core.errors import ConfigError
from facekit.core.files import sha256_file
from facekit.core.geometry.camera import Rig, undistort
from facekit.core.geometry.transform import apply
from facekit.core.imaging.imageio import write_image

BAR = ScaleBar(dictionary="DICT_5X5_250", first=240, second=241, mm=180.0)
PX_PER_MM = 10.0
SIDE_MM = 28.0  # of a marker: seven cells of 4 mm


def bar_sheet():
    """Return a strip of 232 x 48 mm with both markers, 180 mm apart."""
    width, height = 232.0, 48.0
    ink = np.full((round(height * PX_PER_MM), round(width * PX_PER_MM)), 255, np.uint8)
    known = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_5X5_250)
    n, top = round(SIDE_MM * PX_PER_MM), round((height - SIDE_MM) / 2 * PX_PER_MM)
    for marker, x in ((240, width / 2 - 90), (241, width / 2 + 90)):
        left = round((x - SIDE_MM / 2) * PX_PER_MM)
        ink[top : top + n, left : left + n] = known.generateImageMarker(marker, n, borderBits=1)
    art = 0.04 + 0.86 * ink.astype(np.float32) / 255
    return Sheet(art=art[..., None], px_per_mm=PX_PER_MM)


@pytest.fixture(scope="module")
def rig():
    """Give the nine cameras at 6 MP."""
    return draw_rig(load_layout("nine"), megapixels=6.0, rng=np.random.default_rng(0))


def photographs(rig, *, yaw, roll, center):
    sheet = bar_sheet()
    pose = sheet_pose(
        sheet.size_mm, yaw_deg=yaw, pitch_deg=10.0, roll_deg=roll, center=np.array(center)
    )
    lights = led_ring(np.random.default_rng(1))
    optics = Optics(supersampling=3, blur_px=0.7, exposure=0.85)
    return {
        camera.name: photograph_sheet(
            sheet, pose, camera, lights, optics, rng=np.random.default_rng(number)
        )
        for number, camera in enumerate(rig)
    }


@pytest.fixture(scope="module")
def session(rig, tmp_path_factory):
    """Give two takes of the bar in five of the cameras; one photograph is half the size."""
    folder = tmp_path_factory.mktemp("bars")
    few = Rig(cameras=rig.cameras[2:7])
    takes = []
    for name, yaw, roll, center in (("a", 0.0, 8.0, [0, 0, 30]), ("b", -20.0, 35.0, [10, -30, 20])):
        shots = []
        for camera_name, image in photographs(few, yaw=yaw, roll=roll, center=center).items():
            if (name, camera_name) == ("a", few.names[0]):
                image = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
            path = folder / f"{name}-{camera_name}.jpg"
            write_image(path, image, quality=95)
            shots.append(Shot(camera=camera_name, file=path.name, sha256=sha256_file(path),
                              bytes=1, width=image.shape[1], height=image.shape[0]))  # fmt: skip
        takes.append(Take(id=name, kind=TakeKind.SUBJECT, shots=tuple(shots)))
    infos = tuple(CameraInfo(id=c.name, width=c.width, height=c.height) for c in few)
    return Session(folder=folder, name="bars", cameras=infos, takes=tuple(takes))


@pytest.mark.parametrize(("yaw", "roll"), [(20.0, 30.0), (-50.0, 80.0)])
def test_a_bar_of_180_mm_is_measured_to_0_02_mm(rig, yaw, roll):
    views = {
        name: find_markers(image, BAR.dictionary)
        for name, image in photographs(rig, yaw=yaw, roll=roll, center=[10.0, -20, 20]).items()
    }
    found = bar_length(BAR, "t", {camera.name: camera for camera in rig}, views)
    assert min(found.n_views) >= 5
    assert abs(found.length - 180.0) < 0.02
    assert abs(found.length - 180.0) < 4 * found.sigma < 0.08


def test_all_takes_of_a_session_are_measured_and_kept(session, rig, tmp_path):
    found = measure_bars(session, rig, [BAR], cache=tmp_path)
    assert [one.take for one in found] == ["a", "b"]
    # the half-sized photograph counts with its own scale
    assert found[0].n_views == (5, 5)
    for one in found:
        assert one.length == pytest.approx(180.0, abs=0.02)
    assert len(list(tmp_path.iterdir())) == 10
    for shot in session.takes[0].shots:
        assert (tmp_path / f"{shot.sha256[:16]}-DICT_5X5_250.json").is_file()
    elsewhere = replace(session, folder=tmp_path / "nowhere")
    assert measure_bars(elsewhere, rig, [BAR], cache=tmp_path) == found  # from the cache alone


def test_a_damaged_cache_is_measured_again(session, tmp_path):
    take = replace(session.takes[1], shots=session.takes[1].shots[:1])
    first = markers_of_session(session, [take], "DICT_5X5_250", cache=tmp_path)
    next(tmp_path.iterdir()).write_text("{")
    again = markers_of_session(session, [take], "DICT_5X5_250", cache=tmp_path)
    assert list(first) == list(again) == [("b", take.shots[0].camera)]
    for key, sightings in first.items():
        assert list(sightings) == [240, 241]
        for marker, quads in sightings.items():
            np.testing.assert_array_equal(quads, again[key][marker])


def held_against(session, rig, text, cache):
    bars = parse_bars(text)
    return summarise(bars, measure_bars(session, rig, bars, cache=cache))


def test_a_rig_that_is_too_large_is_told(session, rig, tmp_path):
    larger = Rig(
        cameras=tuple(
            replace(c, cam_from_world=np.column_stack([c.cam_from_world[:, :3],
                                                       1.001 * c.cam_from_world[:, 3]]))
            for c in rig
        )
    )  # fmt: skip
    (bar,) = held_against(session, larger, str(BAR), tmp_path)
    record, warnings = bar.record(), bar_warnings([bar])
    assert record["error_ppm"] == pytest.approx(1000, abs=110)
    assert (record["n_takes"], record["takes"][1]["take"]) == (2, "b")
    assert len(warnings) == 1
    assert "comes out +0.18" in warnings[0]
    assert bar_warnings(held_against(session, rig, str(BAR), tmp_path)) == []


def test_a_bar_that_no_take_shows_is_told(session, rig, tmp_path):
    (bar,) = held_against(session, rig, "DICT_5X5_250:7-8=100", tmp_path)
    assert bar.record() == {
        "bar": "DICT_5X5_250:7-8", "mm": 100.0, "sigma_mm": 0.02, "n_takes": 0,
    }  # fmt: skip
    assert bar_warnings([bar])[0].startswith("scale bar DICT_5X5_250:7-8 was not found")


def test_the_diagonals_meet_in_the_image_of_the_centre(rig):
    quad = np.array([[-10.0, -10, 0], [10, -10, 0], [10, 10, 0], [-10, 10, 0]])
    pose = sheet_pose((0.0, 0.0), yaw_deg=60.0, pitch_deg=20.0, center=np.array([30.0, 80, 0]))
    camera = rig.cameras[4]
    corners, _ = camera.project(apply(pose, quad))
    center, _ = camera.project(apply(pose, np.zeros((1, 3))))
    expected = undistort(camera.normalise(center), camera.distortion)[0]
    assert marker_center(camera, corners) == pytest.approx(expected, abs=1e-7)
    mean = undistort(camera.normalise(corners.mean(axis=0)), camera.distortion)
    assert np.abs(mean - expected).max() > 1e-5  # 0.07 px off: why diagonals


def rays_of(rig, point):
    return [
        Ray(camera=c, normalised=undistort(c.normalise(c.project(point)[0]), c.distortion))
        for c in rig
    ]


def test_a_point_is_where_its_rays_meet(rig):
    point = np.array([20.0, -30.0, 50.0])
    found = triangulate(rays_of(rig, point))
    assert found.point == pytest.approx(point, abs=1e-6)
    assert (found.n_views, found.rms_px) == (9, pytest.approx(0, abs=1e-4))


def test_wrong_rays_have_no_say(rig):
    point = np.array([20.0, -30.0, 50.0])
    rays = rays_of(rig, point)
    wrong = [replace(ray, normalised=ray.normalised + (0.02, -0.01)) for ray in rays[:4]]
    # a second sighting beside the right one, and cameras that see the marker elsewhere
    found = triangulate([*wrong, rays[0], *rays[4:]])
    assert found.point == pytest.approx(point, abs=1e-6)
    assert found.n_views == 6


def test_the_covariance_is_that_of_the_noise(rig, rng):
    point = np.array([5.0, 10.0, 20.0])
    noise_px, found = 0.3, []
    for _ in range(200):
        rays = [
            replace(ray, normalised=ray.normalised + rng.normal(0, noise_px / ray.focal_px, 2))
            for ray in rays_of(Rig(cameras=rig.cameras[2:7]), point)
        ]
        found.append(triangulate(rays))
    scatter = np.cov(np.array([one.point for one in found]).T)
    told = np.mean([one.covariance for one in found], axis=0)
    # 200 draws: a variance is known to 10 %
    assert np.diag(told) == pytest.approx(np.diag(scatter), rel=0.4)


def test_one_camera_or_one_line_gives_no_point(rig):
    rays = rays_of(rig, np.zeros(3))
    assert triangulate([]) is None
    assert triangulate(rays[:1]) is None
    twin = replace(rays[0], camera=replace(rays[0].camera, name="twin"))
    assert triangulate([rays[0], twin]) is None


def test_takes_are_weighed_into_one_length():
    def one(take, length):
        return BarLength(bar=BAR, take=take, length=length, sigma=0.01, n_views=(4, 4), rms_px=0.1)

    summary = BarSummary(bar=BAR, lengths=tuple(map(one, "abc", (180.0, 180.3, 180.31))))
    record = summary.record()
    assert (record["measured_mm"], record["n_takes"]) == (180.3, 3)
    # one take disagrees: its scatter, not the rays, says how sure the median is
    assert record["measured_sigma_mm"] == pytest.approx(0.1, abs=0.01)
    assert bar_warnings([summary]) == []


def test_text_forms():
    assert parse_bars("DICT_5X5_250:240-241=180") == (BAR,)
    assert str(BAR) == "DICT_5X5_250:240-241=180"
    listed = ["DICT_5X5_250:240-241=180", " DICT_APRILTAG_36h11 : 3 - 1 = 99.95 ± 0.01 "]
    other = ScaleBar(dictionary="DICT_APRILTAG_36h11", first=3, second=1, mm=99.95, sigma_mm=0.01)
    assert parse_bars(listed) == (BAR, other)
    assert parse_bars(",".join(listed).replace("±", "+-")) == (BAR, other)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("DICT_5X5_250:240-241", "expected a bar such as"),
        ("DICT_5X5_250:240=180", "expected a bar such as"),
        ("DICT_5X5_250:240-241=0", "expected a bar such as"),
        ("DICT_5X5_250:240-241=1.2.3", "expected a bar such as"),
        ("DICT_5X5_250:240-241=180+-0", "expected a bar such as"),
        ("DICT_5X5_250:240-240=180", "names one marker twice"),
        ("DICT_5X5_250:240-250=180", "has no marker 250, its ids are 0 to 249"),
        ("DICT_5X5_251:240-241=180", "unknown marker dictionary 'DICT_5X5_251'"),
        ("DICT_5X5_250:240-241=180,DICT_5X5_250:241-240=179", "given twice"),
    ],
)
def test_bars_of_another_form_are_refused(text, why):
    with pytest.raises(ConfigError, match=why):
        parse_bars(text)


def test_markers_of_the_board_make_no_bar(session, rig):
    board = BoardSpec(
        squares_x=17, squares_y=12, square_mm=12.0, marker_mm=9.0, dictionary="DICT_5X5_250",
        back_first_id=102,
    )  # fmt: skip
    with_board = replace(session, board=board, takes=())
    for marker in (5, 150, 203):
        bar = replace(BAR, second=marker)
        with pytest.raises(ConfigError, match=f"marker {marker} is on the board too"):
            measure_bars(with_board, rig, [bar])
    assert measure_bars(with_board, rig, [replace(BAR, second=204)]) == ()
