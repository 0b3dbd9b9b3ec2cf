"""Photographs that belong to another take or camera: rejected ones that fit elsewhere.

Single exchanges are told from the finished rig: a rejected view is held against the other takes
of its camera and the other cameras of its take.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...core.arrays import Floats
from ...core.geometry.transform import apply
from ..target.detect import BoardView
from .rejection import RejectedView
from .rigstate import RigState

MANY = 3  # exchanges of one pair of cameras or takes are told as one
MOST = 0.5  # of a camera's views

Place = tuple[str, str]
"""Take and camera."""


@dataclass(frozen=True, kw_only=True)
class Misplaced:
    """A rejected photograph, and the place where it would fit."""

    view: Place
    place: Place
    median_px: float
    """Residual there."""


def misplaced_views(
    state: RigState,
    views: Sequence[BoardView],
    rejected: Sequence[RejectedView],
    *,
    takes: Sequence[str],
    limits_px: Mapping[str, float],
) -> tuple[Misplaced, ...]:
    """Return the rejected views that fit another take of their camera, or another camera.

    Parameters
    ----------
    views : Sequence[BoardView]
        All that went into the adjustment.
    limits_px : Mapping[str, float]
        Camera -> median residual up to which a view fits it.
    """
    by_place = {(view.take, view.camera): view for view in views}
    cameras = {camera.name: camera for camera in state.cameras}
    found = []
    for one in rejected:
        view, own = by_place[one.take, one.camera], cameras[one.camera]
        places = [(take, one.camera) for take in takes if take != one.take]
        places += [
            (one.take, camera.name)
            for camera in state.cameras
            if camera.name != one.camera
            and (camera.width, camera.height) == (own.width, own.height)
        ]
        misses = [_miss(state, view, place, takes=takes) for place in places]
        best = int(np.argmin(misses)) if misses else -1
        if best >= 0 and misses[best] <= limits_px[places[best][1]]:
            found.append(
                Misplaced(view=(one.take, one.camera), place=places[best], median_px=misses[best])
            )
    return tuple(found)


def describe_misplaced(misplaced: Sequence[Misplaced]) -> list[str]:
    """Say which photographs look exchanged, one sentence for each exchange."""
    goes = {one.view: one.place for one in misplaced}
    said, told = [], set()
    crossed: dict[tuple[str, str], list[str]] = {}
    for view, place in goes.items():
        if view in told or goes.get(place) != view:
            continue
        told |= {view, place}
        if view[0] == place[0]:
            crossed.setdefault((min(view[1], place[1]), max(view[1], place[1])), []).append(view[0])
        else:
            said.append(f"{_name(view)} and {_name(place)} look exchanged")
    for (a, b), where in crossed.items():
        if len(where) >= MANY:
            said.append(f"{a} and {b} look exchanged in takes {', '.join(where)}")
        else:
            said += [f"{take}/{a} and {take}/{b} look exchanged" for take in where]
    said += [
        f"{_name(view)} looks like the photograph of {_name(place)}"
        for view, place in goes.items()
        if view not in told
    ]
    return said


def foreign_cameras(misplaced: Sequence[Misplaced], n_views: Mapping[str, int]) -> dict[str, str]:
    """Return the cameras most of whose photographs are those of one other camera.

    Parameters
    ----------
    n_views : Mapping[str, int]
        Camera -> number of its views, rejected ones too.
    """
    found = {}
    for camera in dict.fromkeys(one.view[1] for one in misplaced):
        others = [one.place[1] for one in misplaced if one.view[1] == camera != one.place[1]]
        if not others:
            continue
        usual = max(sorted(set(others)), key=others.count)
        if others.count(usual) > MOST * n_views[camera]:
            found[camera] = usual
    return found


def _miss(state: RigState, view: BoardView, place: Place, *, takes: Sequence[str]) -> float:
    """Return the median residual of a view's corners in another place, px."""
    camera = next(camera for camera in state.cameras if camera.name == place[1])
    board: Floats = state.rig_from_board[takes.index(place[0])]
    projected, _ = camera.project(apply(board, state.points[view.ids]))
    error = np.linalg.norm(np.nan_to_num(projected - view.xy, nan=1e6), axis=1)
    return float(np.median(error))


def _name(place: Place) -> str:
    return f"{place[0]}/{place[1]}"
