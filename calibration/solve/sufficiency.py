"""Whether views of a board determine a rig; what is missing or wrong is said by name."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from ...capture.session import CameraInfo
from ...core.arrays import Bools
from ...core.errors import CalibrationError
from ..target.detect import LAYOUT_MARKERS, BoardView
from .intrinsics import MIN_VIEWS, focal_guess
from .rigstate import Observations, RigState, residuals

ABSURD_PX, ABSURD_SHARE = 3.0, 0.0015  # rms of a camera beyond both, the latter of its diagonal
N_WORST = 3  # views named of a camera that contradicts the others
EXPLANATION = (
    "look for photographs of another take, a board that moved between cameras, or a wrong board "
    "file; correct these photographs or leave them out"
)


def check_found(views: Sequence[BoardView], good: Sequence[BoardView], *, needed: int) -> None:
    """Raise when hardly any photograph shows the board, saying why.

    Corners are better evidence than what the detector says of photographs without any: one
    that is found with a few is the right board, seen too small.
    """
    if good:
        return
    if not views:
        raise CalibrationError(
            "the session has no takes of kind `target`: ingest photographs of the board, or "
            "calibrate from the subject itself with `facekit calibrate --self`"
        )
    n_found = [len(view.ids) for view in views if len(view.ids)]
    problems = [view.problem for view in views if view.problem and view.n_markers]
    many = [v for v in views if not len(v.ids) and v.n_markers >= LAYOUT_MARKERS]
    if n_found and len(many) <= len(n_found):
        found = f"the board is found in {len(n_found)} of {len(views)} photographs, but "
        if max(n_found) >= needed:
            raise CalibrationError(f"{found}only a row of its corners: show more of the board")
        raise CalibrationError(
            f"{found}with at most {max(n_found)} corners, {needed} are needed: go closer, or "
            "photograph with more pixels"
        )
    problem = max(sorted(set(problems)), key=problems.count) if problems else "no board is seen"
    raise CalibrationError(f"no usable board in {len(views)} photographs: {problem}")


def undetermined(cameras: Sequence[CameraInfo], views: Sequence[BoardView]) -> dict[str, int]:
    """Return the cameras, with their number of views, whose lens remains unknown.

    Few views and no lens data leave a camera's focal length to a guess. Cameras without any
    view are not among them: those have an error of their own.

    Raises
    ------
    CalibrationError
        Fewer than two others are left.
    """
    count = Counter(view.camera for view in views)
    few = {
        camera.id: count[camera.id]
        for camera in cameras
        if 0 < count[camera.id] < MIN_VIEWS and focal_guess(camera) is None
    }
    if few and len(cameras) - len(few) < 2:
        listed = ", ".join(f"{name} ({n} of {MIN_VIEWS} views)" for name, n in few.items())
        raise CalibrationError(
            f"too few usable views of the board, and no lens data, of {listed}: photograph the "
            f"board so that each camera sees it in {MIN_VIEWS} poses or more; fewer than two "
            "cameras are determined, and a rig has at least two"
        )
    return few


def check_not_guessed(cameras: Sequence[CameraInfo], views: Sequence[BoardView]) -> None:
    """Raise for cameras without lens data that the rejection has left a single view."""
    count = Counter(view.camera for view in views)
    single = [c.id for c in cameras if count[c.id] == 1 and focal_guess(c) is None]
    if single:
        raise CalibrationError(
            f"{', '.join(single)}: all views of the board but one contradict the other cameras, "
            "and there are no lens data: look for photographs of another take, or leave the "
            "camera out of the session"
        )


def absurd_cameras(
    state: RigState, seen: Observations, kept: Bools, takes: Sequence[str]
) -> dict[str, str]:
    """Return the cameras whose corners the adjusted rig misses by more than any lens or board.

    Returns
    -------
    dict[str, str]
        Camera -> by how much, in words; the worst first.
    """
    squared = (residuals(state, seen) ** 2).sum(axis=1)
    absurd = []
    for index, camera in enumerate(state.cameras):
        own = kept & (seen.camera == index)
        limit = max(ABSURD_PX, ABSURD_SHARE * float(np.hypot(camera.width, camera.height)))
        if not own.any() or (rms := float(np.sqrt(squared[own].mean()))) <= limit:
            continue
        by_view = {}
        for take in np.unique(seen.take[own]):
            mean = float(squared[own & (seen.take == take)].mean())
            by_view[f"{takes[take]}/{camera.name}"] = float(np.sqrt(mean))
        worst = sorted(by_view, key=lambda name: -by_view[name])[:N_WORST]
        listed = ", ".join(f"{name} {by_view[name]:.1f} px" for name in worst)
        absurd.append((rms, camera.name, f"{camera.name} ({rms:.1f} px rms; worst {listed})"))
    absurd.sort(key=lambda entry: -entry[0])
    return {name: words for _, name, words in absurd}


def contradiction(absurd: dict[str, str], *, advice: str) -> CalibrationError:
    """Return the error of a rig in which cameras miss their corners absurdly.

    Parameters
    ----------
    absurd : dict[str, str]
        As `absurd_cameras` returns it.
    advice : str
        Which photographs belong elsewhere, where that can be told; empty otherwise.
    """
    said = advice or EXPLANATION
    return CalibrationError(
        "the photographs of the board contradict each other, most in "
        f"{', '.join(absurd.values())}: {said}"
    )
