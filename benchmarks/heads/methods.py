"""facekit's own methods on the virtual people, as `facekit reconstruct` runs them."""

from collections.abc import Sequence
from pathlib import Path

from ...calibration.rigfile import RIG_FILE
from ...core.console import track
from ...core.errors import FacekitError, InputError
from .settings import HeadsConfig, Task
from .subjects import LANDMARKS, MULTI, SINGLE

METHODS: dict[str, Task] = {"hrn": Task.SINGLE, "fit": Task.SINGLE, "mv-hrn": Task.MULTI}
"""Name -> what it takes."""


def reconstruct_heads(
    method: str, names: Sequence[str], data: Path, predictions: Path, config: HeadsConfig
) -> dict[str, str]:
    """Reconstruct people by a method; those finished are kept.

    Landmarks are those of the data, with a detector's noise; of single photographs neither
    focal length nor mask is told.

    Returns
    -------
    dict
        Name -> why it failed.

    Raises
    ------
    InputError
        There is no such method, or it has no weights.
    """
    if method not in METHODS:
        raise InputError(f"--method {method}: one of {', '.join(METHODS)}")
    task = METHODS[method]
    out = predictions / task
    out.mkdir(parents=True, exist_ok=True)
    if task is Task.SINGLE:
        return _single(method, names, data / SINGLE, out, config)
    return _multi(names, data / MULTI, out, config)


def _single(
    method: str, names: Sequence[str], data: Path, out: Path, config: HeadsConfig
) -> dict[str, str]:
    from ...reconstruct.predict import ReconstructConfig, reconstruct_photographs

    settings = ReconstructConfig(
        model=config.model,
        fit=method == "fit",
        checkpoint=None if method == "fit" else config.checkpoint,
        landmarks=str(data / LANDMARKS),
        turntable="none",
    )
    paths = [data / f"{name}.png" for name in names]
    return dict(reconstruct_photographs(paths, out, settings)["failed"])


def _multi(names: Sequence[str], data: Path, out: Path, config: HeadsConfig) -> dict[str, str]:
    from ...reconstruct.multiview_config import MultiViewRunConfig
    from ...reconstruct.multiview_run import reconstruct_view_sets

    failed: dict[str, str] = {}
    for name in track(names, "people of several views"):
        folder = data / name
        settings = MultiViewRunConfig(
            model=config.model, landmarks=str(folder / LANDMARKS), turntable="none"
        )
        try:
            result = reconstruct_view_sets([folder], out, settings, rig_file=folder / RIG_FILE)
        except FacekitError as error:  # there is one set alone: what it has, it has for itself
            failed[name] = str(error)
        else:
            failed |= result["failed"]
    return failed
