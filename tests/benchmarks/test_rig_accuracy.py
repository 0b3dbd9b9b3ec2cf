"""Rig errors: what must vanish, vanishes; what was put in, is found."""

from dataclasses import replace

import numpy as np
import pytest

from facekit.benchmarks.rig_accuracy import calibration_error
from facekit.core.errors import InputError
from facekit.core.geometry.camera import Camera, Rig
from facekit.core.geometry.transform import Similarity, look_at

TURN = np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])
ELSEWHERE = Similarity(scale=1.0, R=TURN, t=np.array([400.0, -90.0, 12.0]))


def make_rig(yaws_deg: tuple[float, ...] = (-60, -20, 20, 60)) -> Rig:
    cameras = []
    for i, yaw in enumerate(np.radians(yaws_deg)):
        center = 1000 * np.array([np.sin(yaw), 0.05 * (-1) ** i, np.cos(yaw)])
        cameras.append(
            Camera(
                name=f"cam{i}",
                width=1200,
                height=1800,
                K=np.array([[4000.0, 0, 610], [0, 4000, 890], [0, 0, 1]]),
                distortion=np.array([0.05, -0.3, 1e-4, -1e-4, 0.0]),
                cam_from_world=look_at(center, np.zeros(3)),
            )
        )
    return Rig(cameras=tuple(cameras))


@pytest.mark.parametrize("yaws", [(-60, -20, 20, 60), (-15, 15)])
def test_a_moved_rig_has_no_error(yaws: tuple[float, ...]) -> None:
    true = make_rig(yaws)
    found = calibration_error(true.moved(ELSEWHERE), true)
    # float64 on lengths of 1 m
    assert found.worst("center_mm") < 1e-8
    assert found.worst("rotation_deg") < 1e-8
    assert found.worst("head_px") < 1e-7
    assert found.head_mm < 1e-8
    assert found.scale_ppm == pytest.approx(0.0, abs=1e-6)
    back = found.true_from_rig(ELSEWHERE(np.array([[1.0, 2.0, 3.0]])))
    assert np.allclose(back, [[1.0, 2.0, 3.0]])


def test_another_image_size_is_no_error() -> None:
    true = make_rig()
    large = Rig(cameras=tuple(camera.scaled(2400, 3600) for camera in true))
    found = calibration_error(large, true)
    assert found.worst("focal_percent") < 1e-10
    assert found.worst("principal_point_px") < 1e-9


def test_focal_length_and_principal_point_are_found() -> None:
    true = make_rig()
    K = true["cam1"].K + np.array([[40.0, 0, 3], [0, 40, -4], [0, 0, 0]])
    changed = [replace(c, K=K) if c.name == "cam1" else c for c in true]
    found = {c.name: c for c in calibration_error(Rig(cameras=tuple(changed)), true).cameras}
    assert found["cam1"].focal_percent == pytest.approx(1.0)
    assert found["cam1"].principal_point_px == pytest.approx(5.0)
    assert found["cam0"].focal_percent == found["cam0"].principal_point_px == 0


def test_a_turned_camera_stands_out() -> None:
    true = make_rig((-60, -40, -20, 0, 20, 40, 60))
    angle = np.radians(0.1)
    turn = np.array(
        [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
    )
    camera = true["cam3"]
    R = turn @ camera.cam_from_world[:, :3]
    turned = replace(camera, cam_from_world=np.column_stack([R, -R @ camera.center]))
    changed = [turned if c.name == "cam3" else c for c in true]
    found = {c.name: c for c in calibration_error(Rig(cameras=tuple(changed)), true).cameras}
    # the alignment follows one camera in seven a little
    assert found["cam3"].rotation_deg == pytest.approx(0.1, rel=0.2)
    assert found["cam3"].rotation_deg > 4 * found["cam0"].rotation_deg
    # 0.1° at 4000 px focal length are 7 px
    assert found["cam3"].head_px == pytest.approx(7.0, rel=0.3)


def test_scale_of_a_metric_rig_is_an_error_and_not_removed() -> None:
    true = make_rig()
    large = true.moved(Similarity(scale=1.001, R=TURN, t=np.zeros(3)))
    found = calibration_error(large, true)
    assert found.scale_ppm == pytest.approx(1000, rel=1e-4)
    assert found.true_from_rig.scale == 1
    # points of the box lie 85 to 170 mm from its middle: a thousandth of that
    assert found.head_mm == pytest.approx(0.1, rel=0.3)


def test_a_rig_without_a_unit_is_scaled() -> None:
    true = make_rig()
    small = replace(true.moved(Similarity(scale=0.01, R=TURN, t=np.ones(3))), metric=False)
    found = calibration_error(small, true)
    assert found.scale_ppm is None
    assert found.true_from_rig.scale == pytest.approx(100)
    assert found.worst("center_mm") < 1e-7


def test_missing_cameras_are_named() -> None:
    true = make_rig()
    found = calibration_error(Rig(cameras=true.cameras[:3]), true)
    assert found.missing == ("cam3",)


def test_one_common_camera_is_too_few() -> None:
    true = make_rig()
    with pytest.raises(InputError, match="1 cameras in common"):
        calibration_error(Rig(cameras=true.cameras[:1]), true)


def test_neighbours_are_pairs_and_agree_where_the_rig_is_exact() -> None:
    true = make_rig((-60, -30, 0, 30, 60))
    found = calibration_error(true.moved(ELSEWHERE), true)
    assert [pair.names for pair in found.pairs] == [(f"cam{i}", f"cam{i + 1}") for i in range(4)]
    assert found.pair_um_max < 1e-4


def test_a_turned_camera_spoils_its_own_pairs() -> None:
    true = make_rig((-60, -30, 0, 30, 60))
    angle = np.radians(0.02)
    turn = np.array(
        [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
    )
    R = turn @ true["cam3"].cam_from_world[:, :3]
    turned = replace(true["cam3"], cam_from_world=np.column_stack([R, -R @ true["cam3"].center]))
    changed = [turned if c.name == "cam3" else c for c in true]
    found = calibration_error(Rig(cameras=tuple(changed)), true)
    spoilt = [pair.um for pair in found.pairs if "cam3" in pair.names]
    others = [pair.um for pair in found.pairs if "cam3" not in pair.names]
    # a ray is off by 0.35 mm at 1 m; rays of 30 degrees meet twice as far off
    assert min(spoilt) > 250
    assert max(spoilt) < 1000
    assert min(spoilt) > 1.2 * max(others)  # the alignment takes its share of the others
    assert found.pair_um == pytest.approx(np.mean([*spoilt, *others]))


def test_cameras_far_apart_are_no_pair() -> None:
    found = calibration_error(make_rig((-60, 0, 60)), make_rig((-60, 0, 60)))
    assert found.pairs == ()
    assert np.isnan(found.pair_um)
