"""The rig's size from measured lengths, and what is said of the board."""

from dataclasses import replace

import numpy as np
import pytest

from facekit.calibration.solve.boardshape import size_gradient
from facekit.calibration.solve.mounting import board_of
from facekit.calibration.solve.rig import estimate_rig
from facekit.calibration.solve.rigstate import RigState
from facekit.capture.session import MeasuredLength
from facekit.core.errors import CalibrationError


def with_lengths(made, *lengths):
    return replace(made.spec, lengths=lengths)


def distance(made, first, second):
    return float(np.linalg.norm(made.corners[first] - made.corners[second]))


def test_lengths_are_weighted_by_their_precision(capture):
    """A sure length and one that is wrong by 0.2 %, but said to be poor: the first wins."""
    made = capture(3, 8, spread_deg=60.0)
    sure = MeasuredLength(first=0, second=7, mm=distance(made, 0, 7) * 1.0005, sigma_mm=0.01)
    poor = MeasuredLength(first=0, second=40, mm=distance(made, 0, 40) * 1.0025, sigma_mm=0.1)
    found = estimate_rig(made.cameras, made.views, with_lengths(made, sure, poor))
    weight = np.array([distance(made, 0, 7) / 0.01, distance(made, 0, 40) / 0.1]) ** 2
    expected = 1e6 * weight @ [0.0005, 0.0025] / weight.sum()
    # relative to the nominal fit of all corners, themselves known to some 0.01 mm
    assert found.board.scale_ppm == pytest.approx(expected, abs=100)
    residuals = [length.residual_mm for length in found.board.lengths]
    assert abs(residuals[0]) < 0.02
    assert residuals[1] == pytest.approx(-0.002 * distance(made, 0, 40), abs=0.03)
    assert found.board.scale_sigma_ppm == pytest.approx(1e6 / np.sqrt(weight.sum()), rel=0.01)


def test_a_print_that_is_larger_in_one_direction(capture):
    """Lengths along both sides average its error; the shape says what remains."""
    made = capture(3, 8, spread_deg=60.0)
    lengths = [
        MeasuredLength(first=0, second=7, mm=distance(made, 0, 7)),
        MeasuredLength(first=0, second=40, mm=distance(made, 0, 40)),
    ]
    wrong = replace(with_lengths(made, *lengths), square_mm=made.spec.square_mm * 1.002)
    found = estimate_rig(made.cameras, made.views, wrong)
    plain = estimate_rig(made.cameras, made.views, made.spec)
    # said to be 0.2 % larger than it is: the lengths correct that
    assert found.board.scale_ppm == pytest.approx(-2000, abs=100)
    np.testing.assert_allclose(found.rig.centers, plain.rig.centers, atol=0.15)


def test_a_flat_board_is_scaled_too(capture):
    made = capture(4, 4)
    length = MeasuredLength(first=0, second=7, mm=distance(made, 0, 7) * 1.001)
    plain = estimate_rig(made.cameras, made.views, made.spec)
    found = estimate_rig(made.cameras, made.views, with_lengths(made, length))
    assert not found.board.free
    assert found.board.scale_ppm == pytest.approx(1000, abs=1e-3)
    np.testing.assert_allclose(found.rig.centers, plain.rig.centers * 1.001, atol=1e-6)


def test_a_length_between_corners_never_seen_is_refused(capture):
    made = capture(3, 8, spread_deg=60.0)
    views = [replace(v, ids=v.ids[v.ids != 7], xy=v.xy[v.ids != 7]) for v in made.views]
    spec = with_lengths(made, MeasuredLength(first=0, second=7, mm=154.0))
    with pytest.raises(CalibrationError, match="names corner 7, which was seen never"):
        estimate_rig(made.cameras, views, spec)


def test_a_length_of_no_corner_is_refused(capture):
    made = capture(3, 8, spread_deg=60.0)
    spec = with_lengths(made, MeasuredLength(first=0, second=48, mm=154.0))
    with pytest.raises(CalibrationError, match="corner 48, but the board has corners 0 to 47"):
        estimate_rig(made.cameras, made.views, spec)


def test_boards_are_placed_where_their_corners_are(capture):
    """World, board pose and corners together project to what was seen."""
    made = capture(3, 8, spread_deg=60.0, bow_mm=0.3)
    found = estimate_rig(made.cameras, made.views, made.spec)
    for view in made.views[:6]:
        pose = found.world_from_board[found.takes.index(view.take)]
        world = found.board.corners[view.ids] @ pose[:, :3].T + pose[:, 3]
        xy, _ = found.rig[view.camera].project(world)
        assert np.abs(xy - view.xy).max() < 0.2


@pytest.mark.parametrize("measured", [False, True])
def test_size_gradient_is_the_derivative(capture, rng, measured):
    """Corners that grow by a share make the recovered size grow by it; turns change nothing."""
    made = capture(2, 2)
    board = board_of(made.spec)
    points = board.corners + rng.normal(0, 0.1, board.corners.shape)
    state = RigState(cameras=made.rig.cameras, rig_from_board=np.eye(3, 4)[None], points=points)
    lengths = [MeasuredLength(first=0, second=7, mm=float(np.linalg.norm(points[0] - points[7])))]
    gradient = size_gradient(
        state, np.ones(len(points), bool), nominal=board, lengths=lengths if measured else []
    )
    assert (gradient * points).sum() == pytest.approx(1, rel=1e-9)
    turn = np.cross([0.3, -0.2, 0.5], points)
    assert (gradient * turn).sum() == pytest.approx(0, abs=1e-9)


def test_a_bow_changes_no_size(capture):
    """The places along the plate tell the size: heights of 0.5 mm would add some 10 ppm."""
    flat = estimate_rig(*(lambda m: (m.cameras, m.views, m.spec))(capture(3, 8, spread_deg=60.0)))
    made = capture(3, 8, spread_deg=60.0, bow_mm=0.5)
    bowed = estimate_rig(made.cameras, made.views, made.spec)

    def reach(found):
        centers = found.rig.centers
        return np.linalg.norm(centers[0] - centers[-1])

    assert reach(bowed) / reach(flat) == pytest.approx(1, abs=2e-6)
