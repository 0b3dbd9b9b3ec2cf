"""The board as the photographs show it, and the size that it gives the rig.

Corners that were free fix the rig up to its size. That comes from lengths measured on the print
where there are any (weighted least squares of the corners' distances), else from the nominal
places of the front's corners.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...capture.session import MeasuredLength
from ...core.arrays import Bools, Floats
from ...core.errors import CalibrationError
from ...core.geometry.transform import Similarity, align_similarity
from .adjust import MIN_SIGHTINGS
from .mounting import Board, Mounting, mounting_of
from .rigstate import Observations, RigState


@dataclass(frozen=True, kw_only=True)
class FaceShape:
    """One face against the flat one of equal squares, moved and scaled to fit best."""

    n_seen: int
    """Corners that were seen often enough."""
    rms_mm: float
    """Of the differences."""
    warp_mm: float
    """Largest minus smallest height."""


@dataclass(frozen=True, kw_only=True)
class LengthCheck:
    """A measured length, and what the rig says of it."""

    first: int
    second: int
    mm: float
    sigma_mm: float
    residual_mm: float
    """The rig's length minus the measured one."""


@dataclass(frozen=True, kw_only=True)
class BoardShape:
    """The board as the photographs show it."""

    corners: Floats
    """(n_corners, 3) mm, in the board's frame; the nominal place where nothing was seen."""
    free: bool
    """False: too few poses, each face was taken as flat and exact."""
    rms_mm: float
    """Largest of the faces."""
    warp_mm: float
    """Likewise."""
    faces: tuple[FaceShape, ...] = ()
    """Front first."""
    mounting: Mounting | None = None
    """Of a two-sided board, where both faces were seen."""
    lengths: tuple[LengthCheck, ...] = ()
    scale_ppm: float = 0.0
    """How much larger than nominal the measured lengths make the print."""
    scale_sigma_ppm: float | None = None
    """Standard deviation from the measurements; None where the nominal size counts."""


def check_lengths(lengths: Sequence[MeasuredLength], seen: Observations, n_corners: int) -> None:
    """Raise CalibrationError when a length names a corner that was not seen enough."""
    sightings = np.bincount(seen.corner, minlength=n_corners)
    for length in lengths:
        for corner in (length.first, length.second):
            if not 0 <= corner < n_corners:
                raise CalibrationError(
                    f"board: a length of {length.mm:g} mm names corner {corner}, but the board "
                    f"has corners 0 to {n_corners - 1}: correct `lengths`"
                )
            if sightings[corner] < MIN_SIGHTINGS:
                times = "never" if not sightings[corner] else f"only {sightings[corner]} times"
                raise CalibrationError(
                    f"board: a length of {length.mm:g} mm names corner {corner}, which was seen "
                    f"{times}, but {MIN_SIGHTINGS} photographs are needed: take photographs that "
                    "show it, or measure between other corners"
                )


def sized(
    state: RigState,
    seen: Observations,
    *,
    nominal: Board,
    lengths: Sequence[MeasuredLength],
    free: bool,
) -> tuple[RigState, BoardShape]:
    """Give the rig the board's size; return the board's shape too.

    Parameters
    ----------
    free : bool
        Whether the corners followed the photographs.

    Returns
    -------
    RigState
        With its corners in the frame of the nominal board.
    BoardShape

    Raises
    ------
    CalibrationError
        A length names a corner that was not seen.
    """
    check_lengths(lengths, seen, len(state.points))
    sighted: Bools = np.bincount(seen.corner, minlength=len(state.points)) >= MIN_SIGHTINGS
    if not free:
        sighted[:] = True
    front = sighted.copy()
    front[nominal.n_face :] = False
    fit = _laid_on(*_matched(state, nominal, front, sighted))
    scale, sigma_ppm = fit.scale, None
    if lengths:
        scale, sigma_ppm = _scale_of(state.points, lengths)
    larger = scale / fit.scale
    corners = nominal.corners.copy()
    corners[sighted] = fit(state.points[sighted])
    shapes = tuple(
        _face_shape(state.points, nominal, face, sighted)
        for face in range(len(nominal.board_from_face))
    )
    both = nominal.two_sided and _joined(seen, nominal)
    board_from_state = np.column_stack([fit.R, larger * fit.t])
    result = replace(state.scaled(scale).in_board_frame(board_from_state), points=corners * larger)
    return result, BoardShape(
        corners=result.points,
        free=free,
        rms_mm=max(shape.rms_mm for shape in shapes),
        warp_mm=max(shape.warp_mm for shape in shapes),
        faces=shapes,
        mounting=mounting_of(corners, sighted, nominal) if both else None,
        lengths=tuple(_checked(result.points, length) for length in lengths),
        scale_ppm=1e6 * (larger - 1),
        scale_sigma_ppm=sigma_ppm,
    )


def size_gradient(
    state: RigState, free: Bools, *, nominal: Board, lengths: Sequence[MeasuredLength]
) -> Floats:
    """Return d(log size) / d(corner), (n_corners, 3) per mm, of a sized state.

    How much larger the rule of `sized` finds the board where a free corner moves.
    """
    gradient = np.zeros_like(state.points)
    if lengths:
        total = sum((length.mm / length.sigma_mm) ** 2 for length in lengths)
        for length in lengths:
            apart = state.points[length.first] - state.points[length.second]
            pull = apart / float(np.linalg.norm(apart)) * length.mm / length.sigma_mm**2 / total
            gradient[length.first] += pull
            gradient[length.second] -= pull
        gradient[~free] = 0.0
        return gradient
    front = free.copy()
    front[nominal.n_face :] = False
    if front.sum() < 3:
        front = free
    centred = state.points[front] - state.points[front].mean(axis=0)
    along = centred * [1.0, 1.0, 0.0]  # as `_laid_on` has it
    pull = (along / (along**2).sum()).ravel()
    turns = np.stack([np.cross(axis, centred).ravel() for axis in np.eye(3)], axis=1)
    pull -= turns @ np.linalg.lstsq(turns, pull, rcond=None)[0]  # a tilted plate is no smaller
    gradient[front] = pull.reshape(-1, 3)
    return gradient


def _matched(
    state: RigState, nominal: Board, front: Bools, sighted: Bools
) -> tuple[Floats, Floats]:
    """Return recovered and nominal corners of the front, of the back where that was not seen."""
    rows = front if front.sum() >= 3 else sighted
    return state.points[rows], nominal.corners[rows]


def _laid_on(found: Floats, flat: Floats) -> Similarity:
    """Return the similarity that takes corners (N, 3) to their places on the flat board.

    The size is that of the corners' places along the board: heights of a bowed plate would make
    it seem larger than it is.
    """
    fit = align_similarity(found, flat)
    middle = found.mean(axis=0)
    along = ((found - middle) @ fit.R.T)[:, :2]
    wanted = (flat - flat.mean(axis=0))[:, :2]
    scale = float((along * wanted).sum() / (along**2).sum())
    return replace(fit, scale=scale, t=flat.mean(axis=0) - scale * fit.R @ middle)


def _scale_of(points: Floats, lengths: Sequence[MeasuredLength]) -> tuple[float, float]:
    """Return the factor that brings the corners to the measured lengths, its sigma in ppm."""
    apart = np.array([np.linalg.norm(points[one.first] - points[one.second]) for one in lengths])
    measured = np.array([one.mm for one in lengths])
    weight = np.array([one.sigma_mm for one in lengths]) ** -2.0
    information = float((weight * apart**2).sum())
    scale = float((weight * apart * measured).sum()) / information
    return scale, 1e6 / (scale * float(np.sqrt(information)))


def _checked(points: Floats, length: MeasuredLength) -> LengthCheck:
    found = float(np.linalg.norm(points[length.first] - points[length.second]))
    return LengthCheck(
        first=length.first,
        second=length.second,
        mm=length.mm,
        sigma_mm=length.sigma_mm,
        residual_mm=found - length.mm,
    )


def _face_shape(points: Floats, nominal: Board, face: int, sighted: Bools) -> FaceShape:
    rows = sighted.copy()
    rows[: nominal.rows(face).start] = False
    rows[nominal.rows(face).stop :] = False
    if rows.sum() < 3:
        return FaceShape(n_seen=int(rows.sum()), rms_mm=0.0, warp_mm=0.0)
    on_face = nominal.on_face[rows]
    difference = align_similarity(points[rows], on_face)(points[rows]) - on_face
    return FaceShape(
        n_seen=int(rows.sum()),
        rms_mm=float(np.sqrt((difference**2).sum(axis=1).mean())),
        warp_mm=float(np.ptp(difference[:, 2])),
    )


def _joined(seen: Observations, board: Board) -> bool:
    """Whether some take shows both faces."""
    back = seen.corner >= board.n_face
    return bool(len(np.intersect1d(seen.take[back], seen.take[~back])))
