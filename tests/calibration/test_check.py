"""The check of a take, on rendered photographs of a head."""

import json
from dataclasses import replace

import numpy as np
import pytest

from facekit.benchmarks.rig_accuracy import calibration_error
from facekit.calibration.check import check_photos, check_session
from facekit.calibration.refine import refine
from facekit.calibration.rigfile import load_rig
from facekit.calibration.stability.stabilityrecord import sentences_of
from facekit.calibration.stability.tiefit import changed
from facekit.calibration.stability.ties import TieSettings, load_photos
from facekit.capture.session import TakeKind
from facekit.capture.virtual.studio import StudioConfig, make_session
from facekit.capture.virtual.truth import load_truth
from facekit.core.errors import InputError
from facekit.core.geometry.camera import Rig

TURN = np.radians(0.02)


@pytest.fixture(scope="module")
def taken(tmp_path_factory):
    """Give a session of one head, its true rig, and the photographs read."""
    folder = tmp_path_factory.mktemp("check") / "session"
    config = StudioConfig(
        seed=4, layout="five", megapixels=0.5, n_board_poses=0, truth_maps=False, masks=True
    )
    session = make_session(config, folder)
    rig = load_truth(folder).rig
    take = session.takes_of(TakeKind.SUBJECT)[0]
    photos = load_photos(session, take, rig, TieSettings(), cache=folder.parent / "features")
    return session, rig, photos


def turned(rig: Rig, row: int, turn: tuple[float, float, float]) -> Rig:
    cameras = list(rig.cameras)
    cameras[row] = changed(cameras[row], np.array([*turn, 0, 0, 0, 0]))
    return replace(rig, cameras=tuple(cameras))


def test_healthy_take_is_steady_and_on_record(taken, tmp_path):
    session, rig, _ = taken
    found = check_session(session, rig, out=tmp_path)
    take = found["takes"]["neutral"]
    assert found["verdict"] == take["verdict"] == "steady"
    assert take["repaired"] is None
    assert all(camera["motion_px"] < 0.05 for camera in take["cameras"].values())
    assert json.loads((tmp_path / "stability.json").read_text()) == found


def test_knocked_camera_is_found_and_brought_back(taken, tmp_path):
    session, rig, _ = taken
    name = rig.names[2]
    wrong = turned(rig, 2, (0, TURN, 0))
    take = check_session(session, wrong, out=tmp_path)["takes"]["neutral"]
    assert take["moved"] == [name]
    assert take["cameras"][name]["turn_deg"] == pytest.approx(0.02, rel=0.1)
    assert f"{name} was turned by 0.02" in take["sentences"][0]
    repaired = load_rig(tmp_path / "neutral/rig.repaired.json")
    # what is left moves the head by less than 0.03 px of 0.5 mm
    points = np.random.default_rng(0).uniform(-80, 80, (200, 3))
    miss = repaired[name].project(points)[0] - rig[name].project(points)[0]
    assert np.linalg.norm(miss, axis=1).max() < 0.05
    np.testing.assert_array_equal(repaired.cameras[0].cam_from_world, rig.cameras[0].cam_from_world)


def test_camera_turned_out_of_the_gate_is_found(taken):
    _, rig, photos = taken
    check = check_photos(photos, turned(rig, 1, (0.03, 0.05, 0)))
    assert check.report.moved == (rig.names[1],)
    assert check.report.of(rig.names[1]).turn_deg == pytest.approx(3.34, abs=0.02)


def test_two_cameras_in_one_place(taken):
    """What only they see has no place; all the rest is judged as ever."""
    _, rig, photos = taken
    again = replace(rig.cameras[1], name="again")
    doubled = replace(
        photos,
        cameras=(*photos.cameras, replace(photos.cameras[1], name="again")),
        sizes=(*photos.sizes, photos.sizes[1]),
        grey=(*photos.grey, photos.grey[1]),
        features=(*photos.features, photos.features[1]),
    )
    check = check_photos(doubled, replace(rig, cameras=(*rig.cameras, again)))
    assert check.report.steady
    assert check.repaired is None


def test_exchanged_photographs_are_named(taken):
    _, rig, photos = taken
    order = [0, 3, 2, 1, 4]
    mixed = replace(photos.reordered(order), cameras=photos.cameras)
    check = check_photos(mixed, rig)
    names = rig.names
    assert set(check.report.exchanged) == {(names[1], names[3]), (names[3], names[1])}
    assert f"the photographs of {names[1]} and {names[3]} are exchanged" in " ".join(
        sentences_of(check.report, rig)
    )
    used = check.repaired
    np.testing.assert_allclose(used[names[1]].cam_from_world, rig[names[3]].cam_from_world)


def test_photograph_of_something_else(taken):
    _, rig, photos = taken
    grey, features = list(photos.grey), list(photos.features)
    grey[2] = np.ascontiguousarray(grey[2][:, ::-1])  # mirrored: nobody's face
    rng = np.random.default_rng(0)
    mixed = rng.integers(0, 60, features[2].descriptors.shape).astype(np.uint8)
    features[2] = replace(features[2], descriptors=mixed)
    foreign = replace(photos, grey=tuple(grey), features=tuple(features))
    check = check_photos(foreign, rig)
    assert check.report.moved == ()
    assert check.report.of(rig.names[2]).verdict.value in ("foreign", "too few ties")
    assert check.repaired is None


def test_photograph_of_another_shape_is_refused(taken, tmp_path):
    session, rig, _ = taken
    odd = replace(rig, cameras=tuple(replace(c, width=c.width + 200) for c in rig))
    take = session.takes_of(TakeKind.SUBJECT)[0]
    with pytest.raises(InputError, match="calibrated at"):
        load_photos(session, take, odd, TieSettings(), cache=tmp_path)


def test_a_rig_whose_cameras_all_turned_is_refined_by_the_subject(taken, tmp_path):
    session, rig, _ = taken
    drifted, rng = rig, np.random.default_rng(3)
    for row in range(len(rig)):
        drifted = turned(drifted, row, tuple(np.radians(0.02) * rng.normal(0, 1, 3)))
    before = calibration_error(drifted, rig).pair_um
    found = refine(session, drifted, tmp_path)
    refined = load_rig(tmp_path / "rig.json")
    assert found["registered"] == len(rig)
    # hundredths of a pixel at the ties, of 0.5 px that the turns mean: a tenth at the least
    assert calibration_error(refined, rig).pair_um < 0.1 * before
