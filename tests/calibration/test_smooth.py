"""The smooth board: taken where plate and print are smooth, refused where they are not."""

from dataclasses import replace

import numpy as np
import pytest

from facekit.calibration.solve.adjust import adjust, freedom
from facekit.calibration.solve.boardshape import ShapeKind
from facekit.calibration.solve.mounting import board_of
from facekit.calibration.solve.normal import normal_equations, on_basis, sort_by_view
from facekit.calibration.solve.rig import estimate_rig
from facekit.calibration.solve.rigstate import RigState
from facekit.calibration.solve.smooth import POWERS, polynomials
from facekit.core.geometry.transform import align_similarity, apply


def displaced(made, by):
    """Return the views of the capture with its corners moved by (n_corners, 3) mm."""
    exact = estimate_rig(made.cameras, made.views, made.spec)
    fit = align_similarity(made.corners, exact.board.corners)
    moved_corners = exact.board.corners + by @ fit.R.T
    views = []
    for view in made.views:
        pose = exact.world_from_board[exact.takes.index(view.take)]
        camera = exact.rig[view.camera]
        xy, moved = (
            camera.project(apply(pose, corners[view.ids]))[0]
            for corners in (exact.board.corners, moved_corners)
        )
        views.append(replace(view, xy=view.xy + moved - xy))
    return views


def noisy(views, noise_px, rng):
    return [replace(view, xy=view.xy + rng.normal(0, noise_px, view.xy.shape)) for view in views]


@pytest.mark.parametrize("bow_mm", [0.0, 0.3, 0.6])
def test_a_bowed_board_is_smooth_and_recovered(capture, bow_mm):
    """Corners of the smooth board to micrometres, better than the free one's."""
    made = capture(5, 14, bow_mm=bow_mm)
    found = estimate_rig(made.cameras, made.views, made.spec)
    assert found.board.kind is ShapeKind.SMOOTH
    assert found.board.free
    rms = align_similarity(found.board.corners, made.corners).rms_mm
    # 0.03 px are 4 um; of some 40 views a corner has three unknowns, the polynomials share 48
    assert rms < 0.0015


def test_smooth_corners_err_less_than_free_ones(capture, rng):
    """Ten numbers a coordinate in place of 48: the errors of corners fall like their root."""
    made = capture(5, 10, noise_px=0.0, bow_mm=0.3)
    errors = {ShapeKind.SMOOTH: [], ShapeKind.FREE: []}
    broken = np.zeros_like(made.corners)
    broken[20] = (0, 0, 0.2)
    dented = displaced(made, broken)
    for _ in range(3):
        for views, corners in ((made.views, made.corners), (dented, made.corners + broken)):
            found = estimate_rig(made.cameras, noisy(views, 0.03, rng), made.spec)
            rms = align_similarity(found.board.corners, corners).rms_mm
            errors[found.board.kind].append(rms)
    assert len(errors[ShapeKind.FREE]) == len(errors[ShapeKind.SMOOTH]) == 3
    ratio = np.mean(errors[ShapeKind.SMOOTH]) / np.mean(errors[ShapeKind.FREE])
    assert ratio == pytest.approx(np.sqrt(len(POWERS) / len(made.corners)), abs=0.15)


def test_a_print_with_errors_of_its_own_stays_free(capture, rng):
    """20 um a corner, of which 4 um / sqrt(40 views) are noise: not smooth, and recovered."""
    made = capture(5, 14, noise_px=0.0)
    off = rng.normal(0, 0.02, made.corners.shape)
    found = estimate_rig(made.cameras, noisy(displaced(made, off), 0.03, rng), made.spec)
    assert found.board.kind is ShapeKind.FREE
    assert align_similarity(found.board.corners, made.corners + off).rms_mm < 0.004


def test_two_faces_have_polynomials_of_their_own(capture, two_sided):
    """A back that is mounted askew is found like a free one's."""
    askew = np.eye(3, 4)
    askew[:, 3] = (0.8, -0.5, 0.2)
    made = capture(5, 14, spec=two_sided, mounting=askew)
    found = estimate_rig(made.cameras, made.views, made.spec)
    assert found.board.kind is ShapeKind.SMOOTH
    assert found.board.mounting.offset_mm == pytest.approx(np.linalg.norm(askew[:, 3]), abs=0.01)
    assert align_similarity(found.board.corners, made.corners).rms_mm < 0.003


def test_basis_is_orthonormal_and_holds_the_nominal_board(two_sided):
    board = board_of(two_sided)
    sighted = np.ones(len(board.corners), dtype=bool)
    sighted[[3, 50, 60]] = False
    basis = polynomials(board, sighted)
    assert basis.shape == (len(board.corners), 2 * len(POWERS))
    np.testing.assert_allclose(
        basis[sighted].T @ basis[sighted], np.eye(2 * len(POWERS)), atol=1e-9
    )
    laid = basis @ (basis[sighted].T @ board.corners[sighted])
    np.testing.assert_allclose(laid, board.corners, atol=1e-9)


def test_equations_on_a_basis_are_the_chain_rule(capture):
    made = capture(3, 6, spread_deg=60.0)
    found = estimate_rig(made.cameras, made.views, made.spec)
    state = RigState(
        cameras=found.rig.cameras, rig_from_board=found.world_from_board, points=found.board.corners
    )
    basis = polynomials(board_of(made.spec), np.ones(len(state.points), dtype=bool))
    free = freedom(state, found.seen, free_points=True)
    system = normal_equations(state, sort_by_view(found.seen), free=free, loss_px=1.0)
    n, n_side = 3 * len(state.points), state.n_camera_side
    corners = np.zeros((n, n))
    for index, block in enumerate(system.H_pp):
        place = slice(3 * index, 3 * index + 3)
        corners[place, place] = block
    whole = np.block([[system.H_cc, system.H_cp], [system.H_cp.T, corners]])
    by_factor = np.zeros((n_side + n, n_side + 3 * basis.shape[1]))
    by_factor[:n_side, :n_side] = np.eye(n_side)
    by_factor[n_side:, n_side:] = np.kron(basis, np.eye(3))
    expected = by_factor.T @ whole @ by_factor
    extended, unknown = on_basis(system, free, basis)
    size = np.sqrt(np.maximum(np.diag(expected), 1e-12))
    np.testing.assert_allclose(
        extended.H_cc / size / size[:, None], expected / size / size[:, None], atol=1e-12
    )
    gradient = np.concatenate([system.g_c, system.g_p.ravel()]) @ by_factor
    np.testing.assert_allclose(extended.g_c / size, gradient / size, atol=1e-12)
    assert len(unknown.camera_side) == n_side + 3 * len(POWERS)
    assert not unknown.points.any()


def test_a_step_stays_on_the_basis(capture):
    made = capture(3, 6, spread_deg=60.0)
    found = estimate_rig(made.cameras, made.views, made.spec)
    basis = polynomials(board_of(made.spec), np.ones(len(found.board.corners), dtype=bool))
    state = RigState(
        cameras=found.rig.cameras,
        rig_from_board=found.world_from_board,
        points=board_of(made.spec).corners,
        basis=basis,
    )
    after = adjust(state, found.seen, free_points=True, loss_px=0.1)
    assert np.abs(after.points - state.points).max() > 1e-6
    np.testing.assert_allclose(basis @ (basis.T @ after.points), after.points, atol=1e-9)
