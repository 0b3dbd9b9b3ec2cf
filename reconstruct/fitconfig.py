"""The settings of a fit, stage by stage."""

from dataclasses import dataclass, field

from .fit_dense import DenseLevel, DensePriors
from .fit_detail import DetailConfig
from .fit_mid import MidConfig


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """How a photograph is fitted; defaults suit a crop of 448 px or more."""

    landmark_sigma_px: float = 2.5
    """Of a landmark, at 224 px a crop: what detectors and models differ by."""
    jaw_sigma_px: float = 4.0
    """Of a landmark of the jaw line."""
    levels: tuple[DenseLevel, ...] = (
        DenseLevel(size=112, blur_px=1.5, stride=1, n_light=4, n_steps=5),
        DenseLevel(size=224, blur_px=1.5, stride=2, n_light=1, n_steps=3),
    )
    """Rounds of the coefficient fit on the picture's colours."""
    priors: DensePriors = field(default_factory=DensePriors)
    refined: DenseLevel | None = field(
        default_factory=lambda: DenseLevel(
            size=224, blur_px=1.5, stride=2, n_light=0, n_steps=3, holds_size=True
        )
    )
    """The face model's part of the deformation; None: none."""
    refined_patch_mm2: float = 100.0
    """`DensePriors.patch_mm2` there: skin is believed to be more even than for the coarse fit."""
    mid: MidConfig = field(default_factory=MidConfig)
    detail: DetailConfig | None = field(default_factory=DetailConfig)
    """None leaves the displacement at zero."""
