"""What photographs leave open: place, turn and size of the rig, place and turn of the board.

With free corners the residuals do not change when the whole rig is moved, turned and scaled, nor
when the board's corners are moved and turned while its poses take that back. Each step of the
adjustment must choose. Holding one camera and one take would do, but drags everything else along
whenever those two are corrected, by so much that a step is no longer nearly linear: the solver
then needs forty steps where five do. Instead a step may not go along with such motions (inner
constraints); it reduces the cost as much.
"""

from collections.abc import Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ...core.arrays import Floats, Ints
from .rigstate import N_CAMERA, N_INTRINSICS, N_POSE, Observations, RigState, skew


def joined_takes(state: RigState, seen: Observations) -> list[Ints]:
    """Return the takes that shared corners join, in groups.

    Where no take shows both faces of a two-sided board, nothing ties one face to the other:
    each then may be moved by itself.
    """
    n_takes = len(state.rig_from_board)
    shown = np.zeros((n_takes, len(state.points)), dtype=bool)
    shown[seen.take, seen.corner] = True
    take, corner = np.nonzero(shown)
    n = n_takes + len(state.points)
    graph = coo_array((np.ones(len(take)), (take, corner + n_takes)), shape=(n, n))
    _, labels = connected_components(graph, directed=False)
    takes = np.unique(take)
    return [takes[labels[takes] == label].astype(np.int32) for label in np.unique(labels[takes])]


def open_motions(state: RigState, groups: Sequence[Ints]) -> Floats:
    """Return the steps that change no residual, to first order: what of them cameras do.

    Parameters
    ----------
    groups : Sequence[Ints]
        As `joined_takes` returns them.

    Returns
    -------
    (n_camera_side, 7 + 6 n_groups) float64
        A column each: three turns, three shifts and the size of the rig; three turns and three
        shifts of the board in each group. What the corners do along with them is left out.
    """
    n_cameras = len(state.cameras)
    side = np.zeros((state.n_camera_side, 7 + 6 * len(groups)))
    for index, camera in enumerate(state.cameras):
        R, t = camera.cam_from_world[:, :3], camera.cam_from_world[:, 3]
        start = N_CAMERA * index + N_INTRINSICS
        side[start : start + 3, 0:3] = -R  # the rig is turned,
        side[start + 3 : start + 6, 3:6] = -R  # shifted,
        side[start + 3 : start + 6, 6] = t  # and becomes larger
    for number, takes in enumerate(groups):
        turn = slice(7 + 6 * number, 10 + 6 * number)
        shift = slice(10 + 6 * number, 13 + 6 * number)
        for take in takes:
            R, t = state.rig_from_board[take, :, :3], state.rig_from_board[take, :, 3]
            start = N_CAMERA * n_cameras + N_POSE * int(take)
            side[start : start + 3, 0:3] = np.eye(3)
            side[start + 3 : start + 6, 0:3] = -skew(t[None])[0]
            side[start + 3 : start + 6, 3:6] = np.eye(3)
            side[start + 3 : start + 6, 6] = t
            side[start : start + 3, turn] = -R
            side[start + 3 : start + 6, shift] = -R
    return side
