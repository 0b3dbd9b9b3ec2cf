"""Corners that a lens' finite depth of field displaces.

A point out of focus becomes a disc, and on a tilted board the discs grow towards one side: a
blurred edge moves towards the sharper side by half the slope of the variance, s ds/dx. The disc's
standard deviation is s = k |1/z - 1/z_focus| px (thin lens), where k is a quarter of the entrance
pupil's diameter times the focal length in px; and 1/z of a plane is affine in the image. With its
gradient g per px, corners move by -k² (1/z - 1/z_focus) g: a tilted board looks compressed. That
is 0.01 px at the edge of a board with 94 mm at f/16 and 45 megapixels, no more than the noise of
a corner, but alike in all photographs of a pose, so that no number of corners averages it out.

The two numbers of a camera, k² and k²/z_focus, enter linearly and are adjusted along with the
rest. They are kept where the residuals clearly ask for them and describe a lens; they belong
to the photographs of the board, and not to the camera: the rig itself is that of a pinhole.
"""

import logging
from dataclasses import replace

import numpy as np

from ...core.arrays import Bools, Floats
from .adjust import adjust, explained, freedom
from .rigstate import N_DEFOCUS, Observations, RigState, in_rig

log = logging.getLogger(__name__)

MIN_GAIN = 10.0  # of the loss for each parameter, in variances of the noise; noise alone makes 1
MAX_PUPIL_MM = 80.0  # diameter: 85 mm at f/1.1
FOCUS_RANGE = (0.5, 2.0)  # of a camera's median depth of the board: where it may be focused


def with_defocus(state: RigState, seen: Observations, *, loss_px: float) -> RigState:
    """Return the rig adjusted with defocus, or as it was where nothing asks for that.

    Parameters
    ----------
    state : RigState
        Adjusted to `seen` with free corners and the loss' scale `loss_px`.
    """
    trial = replace(state, defocus=np.zeros((len(state.cameras), N_DEFOCUS)))
    able = _able(trial, seen)
    if not able.any():
        return state
    trial = adjust(trial, seen, free_points=True, loss_px=loss_px)
    before, after = (explained(one, seen, loss_px=loss_px) for one in (state, trial))
    gain = (before.loss - after.loss) / (N_DEFOCUS * able.sum()) / max(after.variance, 1e-30)
    pupil, focus = pupil_and_focus(trial)[able].T
    depth = _median_depths(trial, seen)[able]
    sound = (pupil < MAX_PUPIL_MM) & (focus > FOCUS_RANGE[0] * depth)
    sound &= focus < FOCUS_RANGE[1] * depth  # NaN is never sound
    log.debug("defocus: gain %.1f a parameter, %d of %d lenses", gain, sound.sum(), len(sound))
    return trial if gain >= MIN_GAIN and sound.all() else state


def pupil_and_focus(state: RigState) -> Floats:
    """Return the diameter of each camera's entrance pupil and its depth in focus, mm.

    Returns
    -------
    (n_cameras, 2) float64
        NaN where the state says nothing of it, or nothing sound.
    """
    if state.defocus is None:
        return np.full((len(state.cameras), 2), np.nan)
    focal = np.array([camera.K[[0, 1], [0, 1]].mean() for camera in state.cameras])
    squared, by_focus = state.defocus.T
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.stack([4 * np.sqrt(squared) / focal, squared / by_focus], axis=1)
    found[~((squared > 0) & (by_focus > 0))] = np.nan
    return found


def _able(state: RigState, seen: Observations) -> Bools:
    """Return which cameras have views enough."""
    side = freedom(state, seen, free_points=True).camera_side
    return np.asarray(side[-N_DEFOCUS * len(state.cameras) :: N_DEFOCUS])


def _median_depths(state: RigState, seen: Observations) -> Floats:
    """Return the median depth of what each camera saw, mm; NaN where nothing."""
    corners = in_rig(state, seen)
    depths = np.full(len(state.cameras), np.nan)
    for index, camera in enumerate(state.cameras):
        rows = seen.camera == index
        if rows.any():
            z = corners[rows] @ camera.cam_from_world[2, :3] + camera.cam_from_world[2, 3]
            depths[index] = np.median(z)
    return depths
