"""First poses of cameras and boards: PnP of each view, a spanning tree, robust averages.

Cameras and takes are the two sides of a graph whose edges are the board views. Where the
graph falls apart, no adjustment can join the parts, and the error says which they are.
"""

import logging
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ...core.arrays import Floats
from ...core.errors import CalibrationError
from ...core.geometry import transform
from ...core.geometry.camera import Camera, undistort
from ..target.detect import BoardView
from .intrinsics import thinned

log = logging.getLogger(__name__)

N_SWEEPS = 8
SETTLED = 1e-5  # radians, and parts of the distance: where averages stop
MIN_PNP_CORNERS = 6
MAX_PNP_CORNERS = 64  # more do not better a first pose, and cost time

Face = tuple[str, int]
"""Take and number of the board's face that is seen: a flat thing in one place."""


@dataclass(frozen=True, kw_only=True)
class Poses:
    """Poses of cameras and boards in the frame of the first camera."""

    cam_from_rig: dict[str, Floats]
    """Camera -> (3, 4), mm."""
    rig_from_face: dict[Face, Floats]
    """Take and face -> (3, 4), mm."""


@dataclass(frozen=True, kw_only=True)
class PosedView:
    """A board view with the pose in its camera of the face that it shows."""

    view: BoardView
    face: int
    cam_from_face: Floats
    """(3, 4), mm."""
    incidence_deg: float
    """Angle between the board's normal and the line of sight."""


def pose_views(
    views: Sequence[BoardView],
    cameras: Mapping[str, Camera],
    points: Floats,
    *,
    n_face: int | None = None,
) -> list[PosedView]:
    """Find the board's pose in each view by itself; views that have none are left out.

    Parameters
    ----------
    cameras : Mapping[str, Camera]
        Intrinsics count, poses do not.
    points : (n_corners, 3) float64, mm
        The board's corners, each in the frame of its face (z = 0).
    n_face : int, optional
        Corners of one face; all by default.
    """
    posed = []
    for view in views:
        some = thinned(view, MAX_PNP_CORNERS)
        pose = _pose(points[some.ids], some.xy, cameras[view.camera])
        if pose is None:
            log.debug("%s: no pose of the board", view.name)
            continue
        middle = pose[:, :3] @ points[view.ids].mean(0) + pose[:, 3]
        cosine = abs(float(pose[:, 2] @ middle)) / float(np.linalg.norm(middle))
        angle = float(np.degrees(np.arccos(min(cosine, 1.0))))
        face = 0 if n_face is None else int(view.ids[0]) // n_face
        posed.append(PosedView(view=view, face=face, cam_from_face=pose, incidence_deg=angle))
    return posed


def components(views: Iterable[BoardView], cameras: Sequence[str]) -> list[list[str]]:
    """Return the groups of cameras that shared takes join, largest first."""
    return groups([(view.camera, view.take) for view in views], cameras)


def groups(pairs: Sequence[tuple[str, Hashable]], cameras: Sequence[str]) -> list[list[str]]:
    """Return the groups of cameras that join through what they see, largest first.

    Parameters
    ----------
    pairs : Sequence[tuple[str, Hashable]]
        Camera, and what it sees: a take, or one face in a take.
    """
    things = {thing: n for n, thing in enumerate(dict.fromkeys(thing for _, thing in pairs))}
    row = [cameras.index(camera) for camera, _ in pairs]
    col = [len(cameras) + things[thing] for _, thing in pairs]
    n = len(cameras) + len(things)
    graph = coo_array((np.ones(len(pairs)), (row, col)), shape=(n, n))
    _, labels = connected_components(graph, directed=False)
    found: dict[int, list[str]] = {}
    for camera, label in zip(cameras, labels, strict=False):
        found.setdefault(int(label), []).append(camera)
    return sorted(found.values(), key=len, reverse=True)


def check_connected(views: Sequence[BoardView], cameras: Sequence[str]) -> None:
    """Raise CalibrationError, naming the groups, unless shared takes join all cameras."""
    parts = components(views, cameras)
    if len(parts) == 1:
        return
    seen = {view.camera for view in views}
    blind = [camera for camera in cameras if camera not in seen]
    if blind:
        raise CalibrationError(
            f"no usable view of the board from {', '.join(blind)}: take photographs in which "
            "these cameras see the board together with others, or leave them out of the session"
        )
    listed = "; ".join(f"({', '.join(part)})" for part in parts)
    first, second = parts[0][-1], parts[1][0]
    raise CalibrationError(
        f"the cameras fall into {len(parts)} groups that never see the board at the same time: "
        f"{listed}; take photographs in which one camera of each group sees it, "
        f"such as {first} and {second}"
    )


def initialise(posed: Sequence[PosedView], cameras: Sequence[str]) -> Poses:
    """Find first poses of all cameras and of each face in each take.

    A spanning tree over the cameras with the most shared takes gives a start; then cameras
    and boards are averaged in turn, robustly, so that single wrong views do no harm.

    Parameters
    ----------
    posed : Sequence[PosedView]
        Join all `cameras`, see `check_connected` and `groups`.
    """
    by_face: dict[Face, dict[str, Floats]] = {}
    for entry in posed:
        by_face.setdefault((entry.view.take, entry.face), {})[entry.view.camera] = (
            entry.cam_from_face
        )
    cam_from_rig = _spanning_tree(by_face, cameras)
    rig_from_face: dict[Face, Floats] = {}
    for _ in range(N_SWEEPS):
        before = cam_from_rig
        rig_from_face = {
            face: average([transform.compose(transform.invert(cam_from_rig[c]), pose)
                           for c, pose in seen.items()])
            for face, seen in by_face.items()
        }  # fmt: skip
        estimates: dict[str, list[Floats]] = {camera: [] for camera in cameras}
        for face, seen in by_face.items():
            for camera, pose in seen.items():
                estimates[camera].append(
                    transform.compose(pose, transform.invert(rig_from_face[face]))
                )
        cam_from_rig = {camera: average(estimates[camera]) for camera in cameras}
        if all(_is_settled(cam_from_rig[c], before[c]) for c in cameras):
            break
    anchor = transform.invert(cam_from_rig[cameras[0]])
    return Poses(
        cam_from_rig={c: transform.compose(pose, anchor) for c, pose in cam_from_rig.items()},
        rig_from_face={
            face: transform.compose(transform.invert(anchor), pose)
            for face, pose in rig_from_face.items()
        },
    )


def _is_settled(pose: Floats, before: Floats) -> bool:
    turn = np.abs(pose[:, :3] - before[:, :3]).max()
    shift = np.abs(pose[:, 3] - before[:, 3]).max()
    return bool(turn < SETTLED and shift < SETTLED * np.linalg.norm(pose[:, 3]) + 1e-9)


def average(poses: Sequence[Floats]) -> Floats:
    """Return the robust mean of rigid transforms (3, 4).

    Rotations: chordal mean, re-weighted towards the L1 mean; translations: the geometric
    median by Weiszfeld's steps.
    """
    stack = np.array(poses)
    if len(stack) < 3:
        weights = np.ones(len(stack))
        return _weighted_mean(stack, weights, weights)
    spread = np.linalg.norm(stack[:, None, :, :3] - stack[None, :, :, :3], axis=(2, 3)).sum(1)
    mean = stack[int(np.argmin(spread))]  # the medoid: already no outlier
    mean = np.column_stack([mean[:, :3], np.median(stack[:, :, 3], axis=0)])
    for _ in range(10):
        turn = np.linalg.norm(stack[..., :3] - mean[:, :3], axis=(1, 2))
        shift = np.linalg.norm(stack[..., 3] - mean[:, 3], axis=1)
        floor = np.median(shift) * 1e-2 + 1e-9
        before = mean
        mean = _weighted_mean(stack, 1 / np.maximum(turn, 1e-5), 1 / np.maximum(shift, floor))
        if _is_settled(mean, before):
            break
    return mean


def _weighted_mean(stack: Floats, on_rotation: Floats, on_translation: Floats) -> Floats:
    U, _, Vt = np.linalg.svd(np.einsum("n,nij->ij", on_rotation, stack[..., :3]))
    R = U @ np.diag([1, 1, np.linalg.det(U @ Vt)]) @ Vt
    t = on_translation @ stack[..., 3] / on_translation.sum()
    return np.column_stack([R, t])


def _spanning_tree(
    by_face: Mapping[Face, Mapping[str, Floats]], cameras: Sequence[str]
) -> dict[str, Floats]:
    """Chain cameras by their relative poses, most shared takes first (Prim)."""
    relative: dict[tuple[str, str], list[Floats]] = {}
    for seen in by_face.values():
        for a in seen:
            for b in seen:
                if a != b:
                    b_from_a = transform.compose(seen[b], transform.invert(seen[a]))
                    relative.setdefault((a, b), []).append(b_from_a)
    shared = {pair: len(poses) for pair, poses in relative.items()}
    root = max(cameras, key=lambda c: (sum(n for (a, _), n in shared.items() if a == c), c))
    identity = np.column_stack([np.eye(3), np.zeros(3)])
    chained = {root: identity}
    while len(chained) < len(cameras):
        edges = [pair for pair in shared if pair[0] in chained and pair[1] not in chained]
        a, b = max(edges, key=lambda pair: (shared[pair], pair))
        chained[b] = transform.compose(average(relative[a, b]), chained[a])
    return chained


def _pose(points: Floats, xy: Floats, camera: Camera) -> Floats | None:
    """Return cam_from_board (3, 4) of a flat board, None where the corners determine none."""
    if len(xy) < MIN_PNP_CORNERS:
        return None
    normalised = undistort(camera.normalise(xy), camera.distortion)
    usable = np.isfinite(normalised).all(axis=1)
    if usable.sum() < MIN_PNP_CORNERS:
        return None
    flat, rays = points[usable], np.ascontiguousarray(normalised[usable])
    nothing = np.zeros(5)
    try:
        _, rotations, translations, _ = cv2.solvePnPGeneric(
            flat, rays, np.eye(3), nothing, flags=cv2.SOLVEPNP_IPPE
        )
    except cv2.error:
        return None
    best, best_error = None, np.inf
    for rotation, translation in zip(rotations, translations, strict=True):
        rotation, translation = cv2.solvePnPRefineLM(
            flat, rays, np.eye(3), nothing, rotation, translation
        )
        pose = np.column_stack([cv2.Rodrigues(rotation)[0], np.ravel(translation)])
        in_cam = transform.apply(pose, flat)
        if np.isfinite(pose).all() and (in_cam[:, 2] > 0).all():
            error = float(np.linalg.norm(in_cam[:, :2] / in_cam[:, 2:] - rays, axis=1).mean())
            if error < best_error:
                best, best_error = pose, error
    return best
