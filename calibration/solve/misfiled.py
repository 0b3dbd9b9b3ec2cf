"""Cameras whose photographs are filed under other takes or cameras, where the rig cannot tell.

A camera of which most photographs stand under the wrong take has no place that fits, and no
finished rig to hold them against. But each of its views gives, with each take, a pose of the
camera in the rig of the others; only the right pairs of view and take agree on one. The largest
cluster of such poses tells which photograph belongs to which take.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...core.arrays import Bools, Floats
from ...core.errors import CalibrationError
from ...core.geometry.camera import Camera
from ...core.geometry.transform import compose, invert
from ...core.wording import listed
from .graph import PosedView
from .mounting import Board, first_state

LIKE_DEG = 0.7  # poses of one camera from single views agree to this,
LIKE_SHARE = 0.015  # and to this part of the distance
MIN_AGREE, AGREE_SHARE = 4, 0.6  # views that must agree on one pose
MOVED_SHARE = 0.5  # of those, filed elsewhere: fewer are single mistakes
N_SUSPECTS = 4  # cameras tried, the worst first
N_LISTED = 6


@dataclass(frozen=True, kw_only=True)
class _Rest:
    """Where the other cameras put the board."""

    takes: list[str]
    rig_from_board: Floats
    board: Board

    def cam_from_rig(self, entry: PosedView, take: int) -> Floats:
        """Return the camera's pose if the view were of this take."""
        rig_from_face = compose(self.rig_from_board[take], self.board.board_from_face[entry.face])
        return compose(entry.cam_from_face, invert(rig_from_face))


def explain(
    suspects: Sequence[str],
    posed: Sequence[PosedView],
    start: Mapping[str, Camera],
    board: Board,
) -> str:
    """Say which photographs of the suspects belong elsewhere; empty where it cannot be told.

    Parameters
    ----------
    suspects : Sequence[str]
        Cameras that contradict the others, the worst first.
    posed : Sequence[PosedView]
        All views.
    start : Mapping[str, Camera]
        Intrinsics of each camera.
    """
    tried = list(suspects[:N_SUSPECTS])
    for name in tried:
        rest = _rest_without({name}, posed, start, board)
        if rest is not None and (words := _other_takes(name, posed, rest)):
            return words
    for n, a in enumerate(tried):
        for b in tried[n + 1 :]:
            rest = _rest_without({a, b}, posed, start, board)
            if rest is not None and (words := _crossed(a, b, posed, rest)):
                return words
    return ""


def _rest_without(
    left_out: set[str], posed: Sequence[PosedView], start: Mapping[str, Camera], board: Board
) -> _Rest | None:
    others = {name: camera for name, camera in start.items() if name not in left_out}
    if len(others) < 2:
        return None
    try:
        state, _, takes, mounted = first_state(
            [entry for entry in posed if entry.view.camera in others], others, board
        )
    except CalibrationError:  # they do not join without it
        return None
    return _Rest(takes=takes, rig_from_board=state.rig_from_board, board=mounted)


def _other_takes(name: str, posed: Sequence[PosedView], rest: _Rest) -> str:
    """Say to which takes a camera's photographs belong; empty where they agree on nothing new."""
    own = [entry for entry in posed if entry.view.camera == name]
    n_takes = len(rest.takes)
    poses = np.array([rest.cam_from_rig(entry, t) for entry in own for t in range(n_takes)])
    if not len(poses):
        return ""
    alike = _alike(poses, poses).reshape(len(poses), len(own), n_takes)
    agree = alike.any(axis=2).sum(axis=1)
    best = int(np.argmax(agree))
    if agree[best] < max(MIN_AGREE, AGREE_SHARE * len(own)):
        return ""
    moves = {}
    for row, entry in enumerate(own):
        if alike[best, row].any():
            moves[entry.view.take] = rest.takes[int(np.argmax(alike[best, row]))]
    changed = {take: to for take, to in moves.items() if take != to}
    if len(changed) < MOVED_SHARE * len(moves):
        return ""
    found = listed([f"{take} is {to}" for take, to in changed.items()], most=N_LISTED)
    return (
        f"the photographs of {name} fit the other cameras when filed under other takes "
        f"({found}): correct their order, or ingest them again"
    )


def _crossed(a: str, b: str, posed: Sequence[PosedView], rest: _Rest) -> str:
    """Say in which takes two cameras hold each other's photographs."""
    by_take: dict[str, dict[str, Floats]] = {}
    for entry in posed:
        if entry.view.camera in (a, b) and entry.view.take in rest.takes:
            pose = rest.cam_from_rig(entry, rest.takes.index(entry.view.take))
            by_take.setdefault(entry.view.take, {})[entry.view.camera] = pose
    both = {take: poses for take, poses in by_take.items() if len(poses) == 2}
    if len(both) < MIN_AGREE:
        return ""
    firsts = np.array([poses[a] for poses in both.values()])
    seconds = np.array([poses[b] for poses in both.values()])
    straight = _alike(firsts, firsts) & _alike(seconds, seconds)
    crossed = _alike(firsts, seconds) & _alike(seconds, firsts)
    best = int(np.argmax((straight | crossed).sum(axis=1)))
    if (straight | crossed)[best].sum() < max(MIN_AGREE, AGREE_SHARE * len(both)):
        return ""
    wrong = [take for take, is_crossed in zip(both, crossed[best], strict=True) if is_crossed]
    right = [take for take, is_straight in zip(both, straight[best], strict=True) if is_straight]
    if not wrong:
        return ""
    fewer = min(wrong, right, key=len)
    return (
        f"{a} and {b} hold each other's photographs in takes {', '.join(fewer)} (or in all "
        "others): look which by their serial numbers, and exchange the files"
    )


def _alike(a: Floats, b: Floats) -> Bools:
    """Return which poses (N, 3, 4) and (M, 3, 4) are one, (N, M) bool."""
    traces = a[:, :, :3].reshape(len(a), 9) @ b[:, :, :3].reshape(len(b), 9).T
    turned = traces > 1 + 2 * np.cos(np.radians(LIKE_DEG))
    shifts = np.linalg.norm(a[:, None, :, 3] - b[None, :, :, 3], axis=2)
    near = shifts < LIKE_SHARE * np.linalg.norm(a[:, None, :, 3], axis=2)
    return np.asarray(turned & near)
