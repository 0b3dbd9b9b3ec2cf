"""Whether two builds stand in one frame, and how one is moved into the other's if not.

A build stands in the frame of the calibration that it was made with. Its records name that
calibration by a hash for every camera; where the hashes differ, the rigs themselves are laid upon
each other by the cameras they share, and where no rig is left, the frames cannot be joined.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..calibration.rigfile import RIG_FILE, load_rig
from ..core.errors import FacekitError, InputError
from ..core.files import read_json
from ..core.geometry.camera import Rig
from ..core.geometry.transform import Similarity, rotation_angle_deg
from ..dataset.build import SUMMARY, calibration_hashes
from .rig_accuracy import calibration_error
from .session_provenance import find_stages

_PREFIX = "calibration of "  # of an input of a stage
_ENOUGH = 2  # cameras that are the same to the last digit, so that the frame is, too
_SAME = Similarity(scale=1.0, R=np.eye(3), t=np.zeros(3))


@dataclass(frozen=True, kw_only=True)
class SharedFrame:
    """How the other build comes to stand in this one's frame."""

    this_from_other: Similarity | None
    """None: it cannot."""
    told: str
    """How that is known, in a sentence."""
    moved: bool = False
    other_rig: Rig | None = None
    """Of the other build, in its own frame, where it had to be read."""


def shared_frame(build: Path | None, other: Path) -> SharedFrame:
    """Tell whether two build folders share their frame, and join the frames if not."""
    ours, theirs = _hashes(build), _hashes(other)
    n_same = _n_same(ours, theirs)
    if not ours or not theirs:
        return SharedFrame(
            this_from_other=_SAME,
            told="Of one of them it is not on record with which calibration it was made: both are "
            "taken to stand in one frame, and neither surface is fitted to the other.",
        )
    if n_same >= _ENOUGH:  # a camera that was aimed anew before a take leaves the frame as it is
        return SharedFrame(
            this_from_other=_SAME,
            told="Both were made with the same calibration, so that they "
            "stand in one frame; neither surface is fitted to the other.",
        )
    return _joined(build, other, ours, theirs)


def _joined(
    build: Path | None, other: Path, ours: Mapping[str, str], theirs: Mapping[str, str]
) -> SharedFrame:
    """Lay the other's rig upon ours."""
    differ = "The two were made with different calibrations, so that their frames differ"
    try:
        rig, other_rig = _rig_of(build, ours), _rig_of(other, theirs)
        found = calibration_error(other_rig, rig)
    except FacekitError as error:
        return SharedFrame(
            this_from_other=None, moved=True,
            told=f"{differ}, and they cannot be joined: {error}. Surfaces are not compared.",
        )  # fmt: skip
    joined = found.true_from_rig
    angle = rotation_angle_deg(joined.R)
    shift = float(np.linalg.norm(joined.t))
    return SharedFrame(
        this_from_other=joined, moved=True, other_rig=other_rig,
        told=f"{differ}: the other was moved by its cameras, {angle:.3g}° and {shift:.3g} mm"
        f"{_scaled(joined.scale)}, which leaves {found.head_mm:.3f} mm (rms) between what the two "
        "rigs triangulate at the head. That much of the difference below is the calibrations'; "
        "the surfaces themselves are not fitted.",
    )  # fmt: skip


def _scaled(scale: float) -> str:
    return "" if scale == 1 else f" and scaled by {scale:.4g}"


def _hashes(build: Path | None) -> dict[str, str]:
    """Return camera -> hash of its calibration, as a build's records have it; {} if they do not."""
    found: dict[str, str] = {}
    for stage in find_stages([build]):
        for name, value in stage.inputs.items():
            if name.startswith(_PREFIX):
                found.setdefault(name.removeprefix(_PREFIX), value)
    return found


def _n_same(some: Mapping[str, str], others: Mapping[str, str]) -> int:
    return sum(others.get(name) == value for name, value in some.items())


def _rig_of(build: Path | None, hashes: Mapping[str, str]) -> Rig:
    """Read the rig that a build was made with.

    Raises
    ------
    InputError
        It is not there any more, or another by now.
    """
    assert build is not None  # it has hashes
    told = read_json(build / SUMMARY).get("rig_file")
    path = build / told if isinstance(told, str) else build.parent / "calibration" / RIG_FILE
    rig = load_rig(path / RIG_FILE if path.is_dir() else path)
    now = {k.removeprefix(_PREFIX): v for k, v in calibration_hashes(rig).items()}
    if _n_same(hashes, now) < _ENOUGH:
        raise InputError(f"{path}: is not the rig any more that {build} was made with")
    return rig
