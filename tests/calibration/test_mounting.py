"""Two-sided boards: however the back is mounted, it is found, and the rig is as good."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from facekit.calibration.solve.mounting import board_of, one_face
from facekit.calibration.solve.rig import estimate_rig
from facekit.capture.targets import board_size, object_points
from facekit.core.geometry.transform import align_similarity, apply

OFF = np.column_stack([Rotation.from_euler("z", 0.15, degrees=True).as_matrix(), [0.6, 0.4, 0.1]])


def solve(made, views=None, **settings):
    return estimate_rig(made.cameras, views or made.views, made.spec, **settings)


def centre_rms(found, made):
    true = replace(made.rig, cameras=tuple(made.rig[name] for name in found.rig.names))
    src, dst = (
        np.vstack([c.center + 1000 * c.cam_from_world[:, :3] for c in rig])
        for rig in (found.rig, true)
    )
    fit = align_similarity(src, dst, with_scale=False)
    return np.sqrt(((fit(found.rig.centers) - true.centers) ** 2).sum(axis=1).mean())


def assert_as_well_placed_as_foretold(found, made):
    """No more than 2.5 times the sigma: a rig of few, correlated figures, one realisation."""
    assert centre_rms(found, made) < 2.5 * np.sqrt((found.sigma.center_mm**2).mean())


def middle_of_back(mounting, spec):
    """Return how far a mounting moves the middle of the back from its nominal place, mm."""
    width, height = board_size(spec)
    middle = np.array([[width / 2, height / 2, 0.0]])
    return np.linalg.norm(apply(mounting, middle) - middle)


def test_the_mounting_is_found_and_does_not_matter(capture, two_sided):
    made = capture(5, 14, spec=two_sided, mounting=OFF)
    found = solve(made)
    assert found.rejected == ()
    mounting = found.board.mounting
    assert mounting.offset_mm == pytest.approx(middle_of_back(OFF, two_sided), abs=0.02)
    assert mounting.angle_deg == pytest.approx(0.15, abs=0.01)
    nominal = solve(capture(5, 14, spec=two_sided))
    assert nominal.board.mounting.offset_mm < 0.02
    assert_as_well_placed_as_foretold(found, made)
    rms = np.sqrt((found.residuals**2).sum(axis=1).mean())
    assert rms == pytest.approx(0.03 * np.sqrt(2), rel=0.05)


def test_a_back_glued_upside_down_is_found(capture, two_sided):
    width, height = board_size(two_sided)
    half_turn = np.array([[-1.0, 0, 0, width], [0, -1, 0, height], [0, 0, 1, 0]])
    made = capture(5, 14, spec=two_sided, mounting=half_turn)
    found = solve(made)
    assert found.board.mounting.angle_deg == pytest.approx(180, abs=0.02)
    assert_as_well_placed_as_foretold(found, made)


def test_both_faces_may_be_bent(capture, two_sided):
    made = capture(5, 14, spec=two_sided, mounting=OFF, bow_mm=0.3)
    found = solve(made)
    assert [face.warp_mm for face in found.board.faces] == pytest.approx([0.3, 0.3], abs=0.02)
    assert_as_well_placed_as_foretold(found, made)


def test_few_takes_find_the_mounting_of_a_flat_board(capture, two_sided):
    rms = []
    for mounting in (OFF, None):
        made = capture(5, 4, spec=two_sided, mounting=mounting, seed=1)
        found = solve(made)
        assert not found.board.free
        rms.append(np.sqrt((found.residuals**2).sum(axis=1).mean()))
        if mounting is not None:
            true = middle_of_back(mounting, two_sided)
            assert found.board.mounting.offset_mm == pytest.approx(true, abs=0.05)
    # held at its nominal place, 0.6 mm would be some 5 px
    assert rms[0] == pytest.approx(rms[1], rel=0.02)


def test_the_nominal_mounting_joins_what_single_faces_do_not(capture, two_sided):
    """Two groups of cameras, one of which only ever sees the front, the other the back."""
    made = capture(6, 20, spec=two_sided, mounting=OFF, spread_deg=160.0)
    n_face = board_of(two_sided).n_face
    first = {"C00", "C01", "C02"}
    views = [v for v in made.views if (v.camera in first) == (v.ids[0] < n_face)]
    found = solve(made, views)
    assert found.board.mounting.offset_mm == pytest.approx(middle_of_back(OFF, two_sided), abs=0.3)
    assert_as_well_placed_as_foretold(found, made)


def test_faces_that_no_take_joins_do_no_harm(capture, two_sided):
    """The back in the first takes, the front in the others: each holds its own frame."""
    made = capture(5, 20, spec=two_sided, mounting=OFF)
    n_face = board_of(two_sided).n_face
    early = {f"t{n:02d}" for n in range(10)}
    views = [v for v in made.views if (v.take in early) == (v.ids[0] >= n_face)]
    found = solve(made, views)
    assert found.board.mounting is None
    assert_as_well_placed_as_foretold(found, made)
    assert np.isfinite(found.sigma.center_mm).all()


def test_a_view_shows_one_face(capture, two_sided):
    made = capture(2, 3, spec=two_sided)
    board = board_of(two_sided)
    view = next(view for view in made.views if view.ids[0] < board.n_face)
    stray = replace(
        view, ids=np.append(view.ids, 60).astype(np.int32), xy=np.vstack([view.xy, [[1, 2]]])
    )
    (kept,) = one_face([stray], board)
    np.testing.assert_array_equal(kept.ids, view.ids)
    np.testing.assert_array_equal(kept.xy, view.xy)


def test_each_face_is_flat_in_its_own_frame(two_sided):
    board = board_of(two_sided)
    assert np.abs(board.on_face[:, 2]).max() < 1e-12
    np.testing.assert_allclose(board.on_face[board.rows(0)], board.on_face[board.rows(1)])
    np.testing.assert_allclose(board.corners, object_points(two_sided))
