"""First guesses of single cameras, and the size that their photographs have."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from facekit.calibration.solve.intrinsics import (
    all_first_intrinsics,
    as_photographed,
    first_intrinsics,
    first_matrix,
    focal_guess,
)
from facekit.capture.session import CameraInfo, Session, Shot, Take, TakeKind
from facekit.capture.targets import object_points
from facekit.core.errors import InputError


def test_focal_guess_follows_the_diagonal():
    info = CameraInfo(id="a", width=6000, height=4000, focal_35mm=50.0)
    # a full-frame sensor: 50 mm on 36 mm is 6000 px / 36 mm * 50 mm
    assert focal_guess(info) == pytest.approx(6000 / 36 * 50, rel=1e-4)
    assert focal_guess(replace(info, focal_35mm=None)) is None


def test_first_matrix_without_lens_data():
    K = first_matrix(CameraInfo(id="a", width=1000, height=1500))
    assert K[0, 0] == K[1, 1] == 1800
    assert K[:2, 2].tolist() == [500, 750]


@pytest.mark.parametrize("focal_35mm", [40.0, 85.0, 170.0, None])
def test_a_camera_calibrates_from_its_views_whatever_the_guess(capture, focal_35mm):
    made = capture(3, 14, noise_px=0.05, spread_deg=60.0)
    info = replace(made.cameras[1], focal_35mm=focal_35mm)
    own = [view for view in made.views if view.camera == info.id]
    K, distortion = first_intrinsics(info, own, object_points(made.spec))
    true = made.rig[info.id]
    np.testing.assert_allclose(K[[0, 1], [0, 1]], true.K[[0, 1], [0, 1]], rtol=0.01)
    assert distortion[4] == 0
    assert abs(distortion[0] - true.distortion[0]) < 0.05


def test_few_views_keep_the_guess(capture):
    made = capture(2, 3, spread_deg=30.0)
    K, distortion = first_intrinsics(made.cameras[0], made.views[:1], object_points(made.spec))
    np.testing.assert_array_equal(K, first_matrix(made.cameras[0]))
    assert not distortion.any()


def session(tmp_path, sizes):
    shots = [
        Shot(camera="a", file=f"{n}.png", sha256="0", bytes=1, width=w, height=h)
        for n, (w, h) in enumerate(sizes)
    ]
    takes = tuple(
        Take(id=f"t{n}", kind=TakeKind.TARGET, shots=(shot,)) for n, shot in enumerate(shots)
    )
    cameras = (CameraInfo(id="a", width=100, height=150), CameraInfo(id="b", width=10, height=20))
    return Session(folder=tmp_path, name="s", cameras=cameras, takes=takes)


def test_cameras_have_the_size_of_their_photographs(tmp_path):
    made = session(tmp_path, [(200, 300), (200, 300)])
    a, b = as_photographed(made, made.takes)
    assert (a.width, a.height) == (200, 300)
    assert (b.width, b.height) == (10, 20)


def test_photographs_of_two_sizes_are_refused(tmp_path):
    made = session(tmp_path, [(200, 300), (200, 300), (100, 150)])
    with pytest.raises(InputError, match=r"2\.png: 100x150 px, but.*200x300"):
        as_photographed(made, made.takes)


def test_an_unknown_lens_starts_as_the_others_are(capture):
    made = capture(4, 10, spread_deg=60.0)
    bare = [replace(camera, focal_35mm=None) for camera in made.cameras]
    # the last one is a smaller image of a like lens, and saw the board once
    bare[3] = replace(bare[3], width=1000, height=1500)
    once = next(view for view in made.views if view.camera == "C03")
    views = [view for view in made.views if view.camera != "C03"]
    views.append(replace(once, xy=once.xy / 2))
    found = all_first_intrinsics(bare, views, object_points(made.spec))
    own = [found[name][0][0, 0] for name in ("C00", "C01", "C02")]
    assert found["C03"][0][0, 0] == pytest.approx(np.median(own) / 2)
    assert not found["C03"][1].any()
    # what the files say of a lens is better than what the others have
    told = [*bare[:3], replace(bare[3], focal_35mm=50.0)]
    found = all_first_intrinsics(told, views, object_points(made.spec))
    assert found["C03"][0][0, 0] == focal_guess(told[3])


def test_opencv_adds_up_in_one_thread(capture, monkeypatch):
    """Its threads add up in the order in which they end: the last bits would be of chance."""
    made = capture(3, 14, noise_px=0.05, spread_deg=60.0)
    info = made.cameras[1]
    own = [view for view in made.views if view.camera == info.id]
    run, before, seen = cv2.calibrateCameraExtended, cv2.getNumThreads(), []
    monkeypatch.setattr(
        cv2, "calibrateCameraExtended",
        lambda *given, **named: (seen.append(cv2.getNumThreads()), run(*given, **named))[1],
    )  # fmt: skip
    first_intrinsics(info, own, object_points(made.spec))
    assert set(seen) == {1}
    assert cv2.getNumThreads() == before
