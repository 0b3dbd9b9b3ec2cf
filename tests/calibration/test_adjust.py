"""The joint adjustment: derivatives against differences, elimination against a full solve."""

from dataclasses import replace

import numpy as np
import pytest

from facekit.calibration.adjust import _solve, adjust, freedom, normal_equations
from facekit.calibration.cholesky import invert_positive, solve_positive
from facekit.calibration.rigstate import (
    N_CAMERA,
    Observations,
    RigState,
    jacobians,
    residuals,
    rows_by_view,
)
from facekit.capture.targets import object_points


def state_of(made):
    """Return the true state of a capture and what was seen in it, the frame anywhere."""
    rng = np.random.default_rng(5)
    names, takes = list(made.rig.names), sorted({view.take for view in made.views})
    points = object_points(made.spec)
    turns = np.array([np.linalg.qr(rng.normal(size=(3, 3)))[0] for _ in takes])
    turns *= np.sign(np.linalg.det(turns))[:, None, None]
    shifts = -turns @ points.mean(axis=0)
    boards = np.concatenate([turns, shifts[:, :, None]], axis=2)
    state = RigState(cameras=made.rig.cameras, rig_from_board=boards, points=points)
    sizes = [len(view.ids) for view in made.views]
    seen = Observations(
        camera=np.repeat([names.index(v.camera) for v in made.views], sizes).astype(np.int32),
        take=np.repeat([takes.index(v.take) for v in made.views], sizes).astype(np.int32),
        corner=np.concatenate([view.ids for view in made.views]),
        xy=np.zeros((sum(sizes), 2)),
    )
    exact = residuals(state, seen)  # against zero: the projections themselves
    return state, replace(seen, xy=exact)


@pytest.fixture
def problem(capture):
    return state_of(capture(3, 4, noise_px=0, spread_deg=60.0))


def test_jacobians_are_the_derivatives(problem, rng):
    state, seen = problem
    rows = rng.choice(len(seen), 40, replace=False)
    J, J_point = jacobians(state, seen)
    steps = np.array([1e-3] * 4 + [1e-5] * 5 + [1e-6] * 3 + [1e-3] * 3 + [1e-6] * 3 + [1e-3] * 3)
    nothing = np.zeros((len(state.points), 3))
    for row in rows:
        own = seen[np.array([row])]
        columns = state.columns(int(own.camera[0]), int(own.take[0]))
        for k, column in enumerate(columns):
            change = np.zeros(state.n_camera_side)
            change[column] = steps[k]
            ahead = residuals(state.stepped(change, nothing), own)
            behind = residuals(state.stepped(-change, nothing), own)
            slope = (ahead - behind)[0] / (2 * steps[k])
            np.testing.assert_allclose(J[row, :, k], slope, rtol=1e-4, atol=1e-4)
        for axis in range(3):
            move = nothing.copy()
            move[own.corner[0], axis] = 1e-3
            still = np.zeros(state.n_camera_side)
            ahead = residuals(state.stepped(still, move), own)
            behind = residuals(state.stepped(still, -move), own)
            slope = (ahead - behind)[0] / 2e-3
            np.testing.assert_allclose(J_point[row, :, axis], slope, rtol=1e-4, atol=1e-5)


def test_elimination_of_corners_equals_the_full_solve(problem, rng):
    state, seen = problem
    seen = replace(seen, xy=seen.xy + rng.normal(0, 0.5, seen.xy.shape))
    free = freedom(state, seen, free_points=True)
    errors = residuals(state, seen)
    system = normal_equations(state, seen, errors, free=free, loss_px=1e6)
    damping = 1e-3
    step, points = _solve(system, free, damping)

    rows, used = np.flatnonzero(free.camera_side), np.flatnonzero(free.points)
    columns = (3 * used[:, None] + np.arange(3)).ravel()
    n = len(rows)
    full = np.zeros((n + len(columns),) * 2)
    full[:n, :n] = system.H_cc[np.ix_(rows, rows)]
    full[:n, n:] = system.H_cp[np.ix_(rows, columns)]
    full[n:, :n] = full[:n, n:].T
    for index, corner in enumerate(used):
        place = slice(n + 3 * index, n + 3 * index + 3)
        full[place, place] = system.H_pp[corner]
    gradient = np.concatenate([system.g_c[rows], system.g_p[used].ravel()])
    whole = -np.linalg.solve(full + damping * np.diag(np.diag(full)), gradient)
    found = np.concatenate([step[rows], points[used].ravel()])
    # columns of px, radians and mm: compared in what they do to the cost
    weight = np.sqrt(np.diag(full))
    np.testing.assert_allclose(found * weight, whole * weight, rtol=1e-5, atol=1e-6)


def test_normal_equations_are_those_of_the_jacobians(problem):
    state, seen = problem
    shifted = replace(seen, xy=seen.xy + 0.3)
    free = freedom(state, shifted, free_points=False)
    errors = residuals(state, shifted)
    system = normal_equations(state, shifted, errors, free=free, loss_px=1e6)
    J, _ = jacobians(state, shifted)
    dense = np.zeros((2 * len(shifted), state.n_camera_side))
    for row in range(len(shifted)):
        columns = state.columns(int(shifted.camera[row]), int(shifted.take[row]))
        dense[2 * row : 2 * row + 2, columns] = J[row] * free.camera_side[columns]
    np.testing.assert_allclose(system.H_cc, dense.T @ dense, rtol=1e-8, atol=1e-6)
    np.testing.assert_allclose(system.g_c, dense.T @ errors.ravel(), rtol=1e-8, atol=1e-5)


def test_adjust_returns_from_a_disturbed_start(problem, rng):
    state, seen = problem
    change = rng.normal(0, 1, state.n_camera_side)
    scale = np.concatenate([[20, 20, 10, 10], np.full(5, 1e-3), np.full(3, 1e-3), np.full(3, 5)])
    change[: 3 * N_CAMERA] *= np.tile(scale, 3)
    change[3 * N_CAMERA :] *= np.tile([1e-3] * 3 + [2.0] * 3, len(state.rig_from_board))
    disturbed = state.stepped(change, np.zeros_like(state.points))
    found = adjust(disturbed, seen, free_points=False, loss_px=100.0)
    assert np.abs(residuals(found, seen)).max() < 1e-3


def test_every_row_belongs_to_one_view(problem):
    _, seen = problem
    groups = rows_by_view(seen)
    np.testing.assert_array_equal(np.sort(np.concatenate(groups)), np.arange(len(seen)))
    for rows in groups:
        assert len(np.unique(seen.camera[rows])) == len(np.unique(seen.take[rows])) == 1


def test_what_is_not_seen_stays(problem):
    state, seen = problem
    part = seen[(seen.corner > 2) & (seen.take != 1)]
    free = freedom(state, part, free_points=True)
    assert not free.points[:3].any()
    start = N_CAMERA * len(state.cameras)
    assert not free.camera_side[start + 6 : start + 12].any()  # take 1
    assert not free.camera_side[start : start + 6].any()  # the first take holds the frame


def test_positive_systems(rng):
    A = rng.normal(size=(40, 40))
    A = A @ A.T + 0.1 * np.eye(40)
    b = rng.normal(size=40)
    np.testing.assert_allclose(solve_positive(A, b), np.linalg.solve(A, b), rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(invert_positive(A) @ A, np.eye(40), atol=1e-8)


def test_other_systems_have_no_solution():
    A = np.diag([1.0, -1.0, 2.0])
    assert solve_positive(A, np.ones(3)) is None
    assert invert_positive(np.full((2, 2), np.nan)) is None
