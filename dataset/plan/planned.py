"""What a plan is of, and what it holds."""

import dataclasses
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from ...core.geometry.camera import Rig
from .heads import USABLE_DEG, HeadPlan
from .light import Sensor
from .regionplan import RegionPlan, overall
from .regions import FACE, Region


class Skin(StrEnum):
    """Whom a rig is for: the less light skin returns, the less its texture stands above noise."""

    FAIR = "fair"
    MEDIUM = "medium"
    DARK = "dark"


REFLECTANCE = {Skin.FAIR: 0.36, Skin.MEDIUM: 0.20, Skin.DARK: 0.11}
"""Luminance of plain skin, of which a white sheet has 1; virtual people have 0.10 to 0.38."""


@dataclass(frozen=True, kw_only=True)
class PlanConfig:
    """Which rig, and what for."""

    layout: str = "nine"  # a packaged layout, or a YAML file
    megapixels: float = 6.0  # image size that stereo works at, as of `build-dataset`
    head: str = "builtin"  # face model: builtin, a registered one, or its file
    people: int = 4  # drawn from the model, beside its mean
    seed: int = 0  # other people
    skin: Skin = Skin.FAIR  # how much light it returns: `REFLECTANCE`
    reflectance: float | None = None  # luminance of the skin, if known; 1 is white
    exposure: float = 1.0  # of a white sheet that faces the cameras; 1 saturates
    read_noise: float = Sensor.read  # sd, where 1 saturates
    shot_noise: float = Sensor.shot  # sd where all but saturated: 1 / root of the electrons
    aperture: float = 16.0  # f-number; 0: everything is sharp

    @property
    def skin_reflectance(self) -> float:
        """Luminance of the skin."""
        return REFLECTANCE[self.skin] if self.reflectance is None else self.reflectance


@dataclass(frozen=True, kw_only=True)
class RigPlan:
    """What a rig will make of faces."""

    config: PlanConfig
    rig: Rig
    mean: HeadPlan
    """Of the model's mean head; pictures show it."""
    regions: dict[Region, RegionPlan]
    """Over all heads."""
    remarks: list[str]
    """What is wrong with the rig, the gravest first."""

    def record(self) -> dict[str, Any]:
        """Return the plan, JSON-able; None for what no two cameras see."""
        return {
            "layout": self.config.layout,
            "cameras": len(self.rig),
            "megapixels": self.config.megapixels,
            "head": self.config.head,
            "people": self.config.people,
            "reflectance": self.config.skin_reflectance,
            "exposure": self.config.exposure,
            "aperture": self.config.aperture or None,
            "usable_angle_deg": USABLE_DEG,
            "face": _finite(overall(self.regions, FACE)),
            "regions": {
                str(region): _finite(dataclasses.asdict(plan))
                for region, plan in self.regions.items()
            },
            "warnings": self.remarks,
        }


def _finite(values: dict[str, float]) -> dict[str, float | None]:
    return {name: value if np.isfinite(value) else None for name, value in values.items()}
