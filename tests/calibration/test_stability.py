"""Whether a camera moved, told from tie points: geometry alone, no images."""

from dataclasses import replace

import numpy as np
import pytest

from facekit.calibration.stability.repair import differences, refine_rig, repair_pose
from facekit.calibration.stability.stability import stability_from_ties
from facekit.calibration.stability.stabilityrecord import record_of, sentences_of, take_verdict
from facekit.calibration.stability.stabilityreport import Verdict
from facekit.calibration.stability.tiefit import N_DOF, changed, fit_ties, rotation, triangulate
from facekit.calibration.stability.ties import Ties
from facekit.capture.virtual.layouts import draw_rig, load_layout
from facekit.core.geometry.camera import Rig

BUMP = np.radians(0.02)
"""A knock that one does not notice: 1.2 px at 1.5 megapixels, half a millimetre in a mesh."""


def nine(megapixels: float = 1.5, seed: int = 0) -> Rig:
    return draw_rig(load_layout("nine"), megapixels=megapixels, rng=np.random.default_rng(seed))


def draw_ties(
    rig: Rig,
    rng: np.random.Generator,
    *,
    n_points: int = 700,
    noise_px: float = 0.03,
    wrong: float = 0.0,
) -> Ties:
    """Points on an ellipsoid of a head's size, each seen by the cameras that face it."""
    normal = rng.normal(size=(n_points, 3))
    normal[:, 2] = np.abs(normal[:, 2])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    points = normal * (75.0, 110.0, 95.0) + (0.0, -5.0, -50.0)
    camera_of, point_of, xy = [], [], []
    for row, camera in enumerate(rig):
        towards = camera.center - points
        facing = (normal * towards).sum(1) / np.linalg.norm(towards, axis=1)
        seen = np.flatnonzero(facing > 0.5)
        places = camera.project(points[seen])[0] + rng.normal(0, noise_px, (len(seen), 2))
        off = rng.random(len(seen)) < wrong
        places[off] += rng.normal(0, 8.0, (int(off.sum()), 2))
        camera_of.append(np.full(len(seen), row))
        point_of.append(seen)
        xy.append(places)
    ties = Ties(
        names=rig.names,
        sizes=tuple((c.width, c.height) for c in rig),
        camera_of=np.concatenate(camera_of).astype(np.int32),
        point_of=np.concatenate(point_of).astype(np.int32),
        xy=np.concatenate(xy),
    )
    return ties.selected(np.ones(len(ties.xy), dtype=bool))


def altered(rig: Rig, row: int, change: list[float]) -> Rig:
    cameras = list(rig.cameras)
    cameras[row] = changed(cameras[row], np.array(change, dtype=float))
    return replace(rig, cameras=tuple(cameras))


def pair_error_um(rig: Rig, true: Rig) -> float:
    """Worst point of the head's space that two neighbours triangulate, in micrometres."""
    axes = (np.linspace(-80, 80, 5), np.linspace(-115, 115, 5), np.linspace(-70, 120, 5))
    box = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    worst = 0.0
    for row in range(len(rig) - 1):
        A, b = np.zeros((len(box), 3, 3)), np.zeros((len(box), 3))
        for k in (row, row + 1):
            ray = rig.cameras[k].unproject(true.cameras[k].project(box)[0])
            ray /= np.linalg.norm(ray, axis=1, keepdims=True)
            across = np.eye(3) - ray[:, :, None] * ray[:, None]
            A, b = A + across, b + across @ rig.cameras[k].center
        miss = np.linalg.solve(A, b[..., None])[..., 0] - box
        worst = max(worst, float(np.linalg.norm(miss, axis=1).max()))
    return 1000 * worst


@pytest.fixture(scope="module")
def rig() -> Rig:
    return nine()


@pytest.fixture(scope="module")
def ties(rig) -> Ties:
    return draw_ties(rig, np.random.default_rng(1), wrong=0.05)


def test_rotation_is_a_turn_about_its_vector():
    R = rotation(np.array([0.0, 0.0, np.pi / 2]))
    np.testing.assert_allclose(R @ [1, 0, 0], [0, 1, 0], atol=1e-12)
    np.testing.assert_allclose(rotation(np.zeros(3)), np.eye(3))


def test_derivatives_agree_with_differences(rig):
    """One Gauss-Newton step from a small change of every number undoes it: second order is left."""
    exact = draw_ties(rig, np.random.default_rng(3), n_points=200, noise_px=0.0)
    points = triangulate(exact, rig.cameras)
    for number, size in zip(range(N_DOF), [1e-4] * 3 + [0.1] * 3 + [1e-4], strict=True):
        change = np.zeros(N_DOF)
        change[number] = size
        cameras = list(rig.cameras)
        cameras[4] = changed(cameras[4], change)
        fit = fit_ties(
            exact, cameras, points, free=[(4, k) for k in range(6)] if number < 6 else [(4, 6)],
            scale_px=1.0, n_steps=2,
        )  # fmt: skip
        assert np.abs(fit.residuals).max() < 2e-3


def test_steady_rig_is_steady(rig, ties):
    report = stability_from_ties(ties, rig)
    assert report.steady
    assert report.moved == ()
    assert take_verdict(report) == "steady"
    assert all(camera.residual_px < 0.3 for camera in report.cameras)


@pytest.mark.parametrize(
    ("row", "change", "verdict"),
    [
        (4, [0, BUMP, 0, 0, 0, 0, 0], Verdict.TURNED),
        (0, [BUMP, 0, 0, 0, 0, 0, 0], Verdict.TURNED),
        (3, [0, 0, 5 * BUMP, 0, 0, 0, 0], Verdict.TURNED),
        (5, [0, 0, 0, 0.4, -0.3, 0, 0], Verdict.SHIFTED),
        (5, [2 * BUMP, 0, 0, 0.8, 0.5, 0.8, 0], Verdict.MOVED),
        (2, [0, 0, 0, 0, 0, 0, 0.003], Verdict.REFOCUSED),
        (7, [0, 0, 0, 0, 0, 0, -0.003], Verdict.REFOCUSED),
    ],
)
def test_what_happened_is_named_and_undone(rig, ties, row, change, verdict):
    wrong = altered(rig, row, change)
    report = stability_from_ties(ties, wrong)
    name = rig.names[row]
    assert report.moved == (name,)
    entry = report.of(name)
    assert entry.verdict is verdict
    assert entry.focal_percent == pytest.approx(-100 * change[6], abs=0.02)
    if verdict is Verdict.TURNED:
        turn = np.degrees(np.linalg.norm(change[:3]))
        assert entry.turn_deg == pytest.approx(turn, rel=0.05)
    assert all(c.verdict is Verdict.STEADY for c in report.cameras if c.name != name)

    repaired = repair_pose(report.ties, wrong, {name: verdict})
    assert pair_error_um(wrong, rig) > 150
    # noise of 0.03 px over some 300 ties; six numbers are known less well than three
    assert pair_error_um(repaired.rig, rig) < (30 if verdict is Verdict.MOVED else 15)
    same = [c for c in rig.names if c != name]
    assert all(repaired.rig[c] is wrong[c] for c in same)


def test_two_cameras_at_once(rig, ties):
    wrong = altered(altered(rig, 2, [BUMP, 0, 0, 0, 0, 0, 0]), 3, [0, BUMP, 0, 0, 0, 0, 0])
    report = stability_from_ties(ties, wrong)
    assert set(report.moved) == {rig.names[2], rig.names[3]}
    assert not report.whole_rig


def test_half_of_the_cameras_is_the_rig_as_a_whole(rig, ties):
    rng = np.random.default_rng(5)
    wrong = rig
    for row in range(1, 8):
        wrong = altered(wrong, row, [*rng.normal(0, 2 * BUMP, 3), 0, 0, 0, 0])
    report = stability_from_ties(ties, wrong)
    assert report.whole_rig
    assert take_verdict(report) == "calibrate again"
    assert "calibrate it again" in sentences_of(report, wrong)[0]


def test_no_false_alarm_in_many_draws(rig):
    """Clean takes with outliers, few or many ties, and the errors that a calibration leaves."""
    rng = np.random.default_rng(11)
    for _ in range(12):
        calibrated = rig
        for row in range(len(rig)):
            calibrated = altered(calibrated, row, [*rng.normal(0, 2e-6, 3), 0, 0, 0, 0])
        ties = draw_ties(
            rig, rng, n_points=int(rng.integers(60, 500)),
            noise_px=float(rng.uniform(0.03, 0.3)), wrong=0.05,
        )  # fmt: skip
        report = stability_from_ties(ties, calibrated)
        assert report.steady, report


def test_few_ties_tell_nothing(rig):
    turned = altered(rig, 4, [0, BUMP, 0, 0, 0, 0, 0])
    ties = draw_ties(rig, np.random.default_rng(2), n_points=20)
    report = stability_from_ties(ties, turned)
    assert report.of(rig.names[4]).verdict is Verdict.TOO_FEW
    assert report.steady


def test_no_ties_at_all(rig):
    nothing = Ties(
        names=rig.names,
        sizes=tuple((c.width, c.height) for c in rig),
        camera_of=np.zeros(0, np.int32),
        point_of=np.zeros(0, np.int32),
        xy=np.zeros((0, 2)),
    )
    report = stability_from_ties(nothing, rig)
    assert take_verdict(report) == "too few ties"
    assert record_of(report, rig)["n_points"] == 0


def test_calibration_at_another_size(ties):
    """The board was photographed larger than the subject: angles stay, pixels are the take's."""
    large = nine(6.0)
    turned = altered(large, 4, [0, BUMP, 0, 0, 0, 0, 0])
    report = stability_from_ties(ties, turned)
    assert report.moved == (large.names[4],)
    assert report.of(large.names[4]).turn_deg == pytest.approx(0.02, rel=0.05)
    repaired = repair_pose(report.ties, turned, {large.names[4]: Verdict.TURNED})
    assert repaired.rig[large.names[4]].width == large.cameras[4].width


def test_drifted_rig_is_refined_in_its_own_frame(rig, ties):
    rng = np.random.default_rng(8)
    drifted = rig
    for row in range(len(rig)):
        change = [*rng.normal(0, BUMP / 4, 3), 0, 0, 0, 0]
        drifted = altered(drifted, row, change)
    refined = refine_rig(ties, drifted).rig
    assert pair_error_um(refined, rig) < 0.1 * pair_error_um(drifted, rig)
    np.testing.assert_allclose(refined.centers, drifted.centers, atol=1e-9)
    assert all(d["turn_deg"] < 0.03 for d in differences(drifted, refined).values())
