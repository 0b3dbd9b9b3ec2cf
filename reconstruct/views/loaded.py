"""What loading photographs with and without a rig have in common."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ...core.arrays import Bools, Floats, Floats32
from ...core.errors import ConfigError
from ...core.facemodel.landmarks import box_of
from ...dataset.register.landmarks import LandmarkConfig
from ..photograph import LARGEST, rank_of
from .faceview import FaceViews

_ON_MASK = 0.7  # of brows, eyes, nose and mouth: a mask that shows less is of something else
_FRONT = slice(17, 68)
_LEAST_SIGMA_PX = 0.5
_SIGMA = float(np.hypot(LandmarkConfig.noise, LandmarkConfig.bias))  # of a face's size in px


@dataclass(frozen=True, kw_only=True)
class LoadConfig:
    """How photographs become views.

    Raises
    ------
    ConfigError
        A setting that cannot be.
    """

    megapixels: float = 1.0  # of each view, spent on the head; never enlarged
    auto_mask: bool = True  # calibrated: find a plain backdrop where a photograph has no mask
    face: str = LARGEST  # uncalibrated, of several in a photograph: or a number, 1 is the largest
    focal_px: float | None = None  # uncalibrated: of the photographs; None: EXIF's, or a portrait's
    cut: bool = True  # to the head

    def __post_init__(self) -> None:
        if not 0.01 <= self.megapixels <= 150:
            raise ConfigError(f"megapixels = {self.megapixels}: give 0.01 to 150")
        if self.focal_px is not None and not 1 <= self.focal_px < np.inf:
            raise ConfigError(f"focal_px = {self.focal_px}: a positive length in px")
        rank_of(self.face)


@dataclass(frozen=True, kw_only=True)
class LoadedViews:
    """Views, and what is odd about them."""

    views: FaceViews
    focal: Mapping[str, str]
    """View -> where its focal length is from: `rig`, `given`, `exif` or `portrait`."""
    remarks: Mapping[str, str] = field(default_factory=dict)
    """View -> what is odd about it: also of those that are used."""
    notes: tuple[str, ...] = ()
    """What is odd about all of them, a sentence each."""


def believed(inside: Bools, landmarks: Floats, unknown: bool) -> tuple[Floats32 | None, str]:
    """Return a mask (H, W) unless the face lies off it, and a remark where it does.

    Parameters
    ----------
    unknown : bool
        There is no mask: `inside` is the photograph's own extent, which an undistorted image
        may reach beyond.
    """
    if unknown:
        return (None if inside.all() else inside.astype(np.float32)), ""
    at = landmarks[_FRONT]
    at = np.floor(at[np.isfinite(at).all(axis=1)]).astype(int)
    height, width = inside.shape
    at = at[((at >= 0) & (at < (width, height))).all(axis=1)]
    if len(at) and inside[at[:, 1], at[:, 0]].mean() < _ON_MASK:
        return None, "its mask does not show the face, and is left aside"
    return inside.astype(np.float32), ""


def sigma_px(landmarks: Floats) -> float:
    """Return the standard deviation of a face's landmarks, px: a share of its size."""
    if not np.isfinite(landmarks).any():
        return _LEAST_SIGMA_PX
    _, _, width, height = box_of(landmarks)
    return max(_SIGMA * float(np.sqrt(width * height)), _LEAST_SIGMA_PX)


def joined(*sentences: str | None) -> str:
    """Return what is said, in one sentence."""
    return "; ".join(sentence for sentence in sentences if sentence)


def first(reasons: Mapping[str, str]) -> str:
    """Return the first of some reasons, with whose it is."""
    name, reason = next(iter(reasons.items()))
    return f"{name}: {reason}"
