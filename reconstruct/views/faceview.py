"""Views of one face: an image, its camera and its landmarks."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from ...core.arrays import Floats, Floats32
from ...core.errors import InputError
from ...core.geometry.camera import Camera


@dataclass(frozen=True, kw_only=True)
class FaceView:
    """One image of a face.

    Raises
    ------
    InputError
        Arrays that do not go together.
    """

    name: str
    image: Floats32 = field(repr=False)
    """(H, W, 3) in [0, 1], sRGB-encoded, undistorted."""
    camera: Camera
    """Without distortion, at the size of `image`. Its `K` counts always, its pose only where the
    set of views is calibrated."""
    landmarks: Floats = field(repr=False)
    """(68, 2) px of `image`; NaN where unknown, all of them where no face was found."""
    sigma_px: float = 2.0
    """Standard deviation of a landmark."""
    mask: Floats32 | None = field(default=None, repr=False)
    """(H, W), 1 where the subject may be."""

    def __post_init__(self) -> None:
        size = (self.camera.height, self.camera.width)
        if self.image.shape != (*size, 3):
            raise InputError(
                f"view {self.name}: an image of shape {self.image.shape} for a camera of "
                f"{size[1]}x{size[0]} px"
            )
        if self.camera.is_distorted:
            raise InputError(f"view {self.name}: undistort the photograph first")
        if self.landmarks.shape != (68, 2):
            raise InputError(f"view {self.name}: landmarks of shape {self.landmarks.shape}")
        if self.mask is not None and self.mask.shape != size:
            raise InputError(f"view {self.name}: its mask has another size than its image")

    @property
    def has_face(self) -> bool:
        """Whether any landmark is known."""
        return bool(np.isfinite(self.landmarks).all(axis=1).any())


@dataclass(frozen=True, kw_only=True)
class FaceViews:
    """Views of one face at one moment, or of one face at rest.

    Raises
    ------
    InputError
        No view, or two of the same name.
    """

    views: tuple[FaceView, ...]
    calibrated: bool
    """The cameras' poses are known, in one world."""
    metric: bool = False
    """And that world's unit is the millimetre: the head in it has its own size."""
    remarks: Mapping[str, str] = field(default_factory=dict)
    """View -> why it was left out."""

    def __post_init__(self) -> None:
        if not self.views:
            raise InputError("no view of a face is left; give one photograph or more")
        names = [view.name for view in self.views]
        if len(set(names)) < len(names):
            raise InputError("two views have the same name; rename one of the photographs")
        object.__setattr__(self, "remarks", MappingProxyType(dict(self.remarks)))
