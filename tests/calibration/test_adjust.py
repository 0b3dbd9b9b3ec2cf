"""The joint adjustment: derivatives against differences, elimination against a full solve."""

from dataclasses import replace

import numpy as np
import pytest

from facekit.calibration.solve.adjust import _held, _solve, adjust, freedom
from facekit.calibration.solve.cholesky import gram, invert_positive, solve_positive, times_blocks
from facekit.calibration.solve.gauge import joined_takes, open_motions
from facekit.calibration.solve.normal import cost, normal_equations, sort_by_view
from facekit.calibration.solve.rigstate import (
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
    steps = np.array(
        [1e-3] * 4 + [1e-5] * 5 + [1e-6] * 3 + [1e-3] * 3 + [1e-6] * 3 + [1e-3] * 3 + [1e5, 1e2]
    )
    state = replace(state, defocus=np.zeros((len(state.cameras), 2)))
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
    system = normal_equations(state, sort_by_view(seen), free=free, loss_px=1e6)
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


@pytest.mark.parametrize("loss_px", [0.4, 1e6])
def test_normal_equations_are_those_of_the_jacobians(problem, rng, loss_px):
    """The kernel against the readable derivatives, with and without the loss' weights."""
    state, seen = problem
    lens = np.array([0.1, -0.4, 3e-3, -2e-3, 0.2])  # all terms of the distortion count
    state = replace(state, cameras=tuple(replace(c, distortion=lens) for c in state.cameras))
    shifted = replace(seen, xy=residuals(state, replace(seen, xy=np.zeros_like(seen.xy))))
    shifted = replace(shifted, xy=shifted.xy + rng.normal(0, 0.3, shifted.xy.shape))
    free = freedom(state, shifted, free_points=True)
    system = normal_equations(state, sort_by_view(shifted), free=free, loss_px=loss_px)
    errors = residuals(state, shifted)
    J, J_point = jacobians(state, shifted)
    n, n_side = len(shifted), state.n_camera_side
    dense = np.zeros((2 * n, n_side + 3 * len(state.points)))
    for row in range(n):
        columns = state.columns(int(shifted.camera[row]), int(shifted.take[row]))
        corner = int(shifted.corner[row])
        place = slice(n_side + 3 * corner, n_side + 3 * corner + 3)
        dense[2 * row : 2 * row + 2, columns] = J[row] * free.camera_side[columns]
        dense[2 * row : 2 * row + 2, place] = J_point[row] * free.points[corner]
    weight = np.repeat(1 / (1 + (errors**2).sum(axis=1) / loss_px**2), 2)
    H, g = dense.T @ (weight[:, None] * dense), dense.T @ (weight * errors.ravel())
    scale = np.sqrt(np.maximum(np.diag(H), 1e-12))
    blocks = np.zeros_like(H[n_side:, n_side:])
    for corner, block in enumerate(system.H_pp):
        blocks[3 * corner : 3 * corner + 3, 3 * corner : 3 * corner + 3] = block
    found = np.block([[system.H_cc, system.H_cp], [system.H_cp.T, blocks]])
    np.testing.assert_allclose(
        found / scale / scale[:, None], H / scale / scale[:, None], atol=1e-9
    )
    gradient = np.concatenate([system.g_c, system.g_p.ravel()])
    np.testing.assert_allclose(gradient / scale, g / scale, rtol=1e-8, atol=1e-9)


def test_cost_is_that_of_the_residuals(problem, rng):
    state, seen = problem
    seen = replace(seen, xy=seen.xy + rng.normal(0, 2, seen.xy.shape))
    squared = (residuals(state, seen) ** 2).sum(axis=1)
    rows = sort_by_view(seen)
    for loss_px in (0.5, 30.0):
        expected = loss_px**2 * np.log1p(squared / loss_px**2).sum()
        assert cost(state, rows, loss_px=loss_px) == pytest.approx(expected, rel=1e-10)


def test_open_motions_change_no_residual(problem):
    """Turning, shifting and scaling the rig, turning and shifting the board."""
    state, seen = problem
    groups = joined_takes(state, seen)
    assert [list(group) for group in groups] == [list(range(len(state.rig_from_board)))]
    motions = open_motions(state, groups)
    assert motions.shape == (state.n_camera_side, 13)
    J, J_point = jacobians(state, seen)
    columns = np.array(
        [state.columns(int(c), int(t)) for c, t in zip(seen.camera, seen.take, strict=True)]
    )
    for n, motion in enumerate(motions.T):
        corners = np.zeros_like(state.points)
        if n == 6:  # the size: corners move away from the board's origin
            corners = state.points
        elif 7 <= n < 10:
            corners = np.cross(np.eye(3)[n - 7], state.points)
        elif n >= 10:
            corners = np.tile(np.eye(3)[n - 10], (len(state.points), 1))
        moved = np.einsum("nek,nk->ne", J, motion[columns])
        moved += np.einsum("nei,ni->ne", J_point, corners[seen.corner])
        by_side = np.abs(np.einsum("nek,nk->ne", J, motion[columns])).max()
        assert np.abs(moved).max() < 1e-8 * max(by_side, 1.0)


def test_holding_the_frame_takes_nothing_from_a_step(problem, rng):
    """However the open motions are held, the best step foretells the same decrease."""
    state, seen = problem
    rows = sort_by_view(replace(seen, xy=seen.xy + rng.normal(0, 0.5, seen.xy.shape)))
    spared = []
    for held in (True, False):
        free = freedom(state, seen, free_points=True, held=held)
        system = normal_equations(state, rows, free=free, loss_px=1e6)
        solvable = system if held else _held(system, open_motions(state, joined_takes(state, seen)))
        side, points = _solve(solvable, free, 1e-12)
        spared.append(-(system.g_c @ side + (system.g_p * points).sum()) / 2)
    assert spared[0] == pytest.approx(spared[1], rel=1e-5)


def test_products_are_those_of_numpy(rng):
    A, blocks = rng.normal(size=(13, 18)), rng.normal(size=(6, 3, 3))
    np.testing.assert_allclose(gram(A), A @ A.T, atol=1e-12)
    whole = np.zeros((18, 18))
    for n, block in enumerate(blocks):
        whole[3 * n : 3 * n + 3, 3 * n : 3 * n + 3] = block.T
    np.testing.assert_allclose(times_blocks(A, blocks), A @ whole, atol=1e-12)


def test_adjust_returns_from_a_disturbed_start(problem, rng):
    state, seen = problem
    change = rng.normal(0, 1, state.n_camera_side)
    change[-2 * 3 :] = 0.0  # nothing out of focus
    scale = np.concatenate([[20, 20, 10, 10], np.full(5, 1e-3), np.full(3, 1e-3), np.full(3, 5)])
    change[: 3 * N_CAMERA] *= np.tile(scale, 3)
    change[3 * N_CAMERA : -2 * 3] *= np.tile([1e-3] * 3 + [2.0] * 3, len(state.rig_from_board))
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
