"""Bring cameras that moved since the calibration back to where they stand, by tie points."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...core.arrays import Bools
from ...core.errors import CalibrationError
from ...core.geometry.camera import Camera, Rig
from ...core.geometry.transform import rotation_angle_deg
from .stability import GROSS, LEAST_SCALE_PX, MIN_TIES, MODELS, SCALE_MEDIANS
from .stabilityreport import Verdict
from .tiefit import TURN, TieFit, cameras_of, fit_ties, triangulate
from .ties import Ties

N_ROUNDS = 3


@dataclass(frozen=True, kw_only=True)
class Repair:
    """A rig that fits a take again."""

    rig: Rig
    changed: Mapping[str, Verdict]
    """Camera -> what was let go of it."""
    residual_px: float
    """Median distance of all sightings from their points, after."""


def repair_pose(ties: Ties, rig: Rig, moved: Mapping[str, Verdict]) -> Repair:
    """Find the poses of moved cameras, and the focal lengths of refocused ones, from ties.

    All moved cameras and all points together; the other cameras stay as they are.

    Parameters
    ----------
    ties : Ties
        Of one take, without gross errors.
    moved : Mapping[str, Verdict]
        Camera -> `turned`, `shifted`, `moved` or `refocused`.

    Raises
    ------
    CalibrationError
        Fewer than two cameras are left as they are, or a moved one has no ties.
    """
    rows = {ties.names.index(name): verdict for name, verdict in moved.items()}
    if len(ties.names) - len(rows) < 2:
        raise CalibrationError(
            f"{', '.join(moved)}: with all but {len(ties.names) - len(rows)} cameras moved, "
            "nothing holds the rig; calibrate it again"
        )
    lone = [n for n, r in zip(moved, rows, strict=True) if not (ties.camera_of == r).any()]
    if lone:
        raise CalibrationError(f"{', '.join(lone)}: no tie points, its place cannot be found")
    free = [(row, number) for row, verdict in rows.items() for number in MODELS[verdict]]
    fit, _ = _robust(ties, cameras_of(ties, rig), free)
    return Repair(
        rig=_with(rig, {ties.names[row]: fit.cameras[row] for row in rows}),
        changed=dict(moved),
        residual_px=float(np.median(fit.distance)),
    )


def refine_rig(ties: Ties, rig: Rig) -> Repair:
    """Turn all cameras a little so that a take's ties meet; places and lenses stay.

    For a rig of which every camera has drifted. The cameras' places hold frame and size: a
    mount that gives way turns its camera much and shifts it hardly, and a head too small to
    determine turns and shifts of all cameras together determines the turns well.

    Raises
    ------
    CalibrationError
        Too few ties to hold all cameras.
    """
    cameras = cameras_of(ties, rig)
    count = np.bincount(ties.camera_of, minlength=len(cameras))
    weak = [ties.names[i] for i in np.flatnonzero(count < MIN_TIES)]
    if len(cameras) < 3 or weak:
        raise CalibrationError(
            f"too few ties to refine the rig: {', '.join(weak) or 'fewer than three cameras'}"
        )
    fit, _ = _robust(ties, cameras, [(r, n) for r in range(len(cameras)) for n in TURN])
    return Repair(
        rig=_with(rig, {camera.name: camera for camera in fit.cameras}),
        changed=dict.fromkeys(ties.names, Verdict.TURNED),
        residual_px=float(np.median(fit.distance)),
    )


def differences(before: Rig, after: Rig) -> dict[str, dict[str, float]]:
    """Return what changed of each camera: `turn_deg`, `shift`, `focal_percent`."""
    found = {}
    for old in before:
        new = after[old.name]
        turn = new.cam_from_world[:, :3] @ old.cam_from_world[:, :3].T
        found[old.name] = {
            "turn_deg": float(rotation_angle_deg(turn)),
            "shift": float(np.linalg.norm(new.center - old.center)),
            "focal_percent": 100 * float(new.K[0, 0] / old.K[0, 0] - 1),
        }
    return found


def _robust(
    ties: Ties, cameras: Sequence[Camera], free: Sequence[tuple[int, int]]
) -> tuple[TieFit, Ties]:
    """Fit with a loss whose scale follows the residuals down; return the ties that are left."""
    known: Bools = np.asarray(np.isfinite(triangulate(ties, cameras)).all(axis=1))
    ties = ties.selected(known[ties.point_of])
    points = triangulate(ties, cameras)
    fit = fit_ties(ties, cameras, points, scale_px=1.0)
    fit = fit_ties(ties, cameras, points, scale_px=_scale(fit), free=free)
    for _ in range(N_ROUNDS):
        scale = _scale(fit)
        near = fit.distance < GROSS * scale
        if near.all():
            points = fit.points
        else:
            ties = ties.selected(near)
            points = triangulate(ties, fit.cameras)
        fit = fit_ties(ties, cameras, points, free=free, scale_px=scale, start=fit.changes)
    return fit, ties


def _scale(fit: TieFit) -> float:
    return max(SCALE_MEDIANS * float(np.median(fit.distance)), LEAST_SCALE_PX)


def _with(rig: Rig, found: Mapping[str, Camera]) -> Rig:
    """Return the rig with poses and focal lengths of `found`, at the rig's own image sizes."""
    cameras = []
    for camera in rig:
        new = found.get(camera.name)
        if new is not None:
            K = new.scaled(camera.width, camera.height).K
            camera = replace(camera, K=K, cam_from_world=new.cam_from_world)
        cameras.append(camera)
    return replace(rig, cameras=tuple(cameras))
