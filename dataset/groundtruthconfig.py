"""Settings of ground truth, and the parts in which a job array builds it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from ..core.errors import ConfigError
from .bake.config import BakeConfig
from .bake.maps import Base
from .build import BuildConfig
from .registerstage import AUTO_LANDMARKS

Item = TypeVar("Item")

NO_MODEL = "none"


@dataclass(frozen=True, kw_only=True)
class GroundTruthConfig(BuildConfig):
    """How meshes, registration and maps are made."""

    landmarks: str = AUTO_LANDMARKS  # auto: by the registered detectors where they are; none;
    # or a table of points found elsewhere (.csv, .json)
    model: str = "builtin"  # face model: builtin, the name of a registered one, or its file;
    # `none`: meshes alone, for what is no face
    deformation_size: int = BakeConfig.deformation_size  # texels a side
    map_size: int = BakeConfig.displacement_size  # of displacement, normals and albedo
    displacement_base: Base = BakeConfig.base  # what displacement stands on: curved or flat
    most_sigma_mm: float = BakeConfig.most_sigma_mm  # texels known less well are not valid


@dataclass(frozen=True, kw_only=True)
class Shard:
    """Part `index` of `count` of the takes, counted from 1: for job arrays."""

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Read `2/8`.

        Raises
        ------
        ConfigError
            It is no such part.
        """
        parts = text.split("/")
        numbers = [int(part) for part in parts if part.isdigit()]
        if len(parts) != 2 or len(numbers) != 2 or not 1 <= numbers[0] <= numbers[1]:
            raise ConfigError(f"shard {text!r}: give the part and their number, such as 2/8")
        return cls(index=numbers[0], count=numbers[1])

    def of(self, items: Sequence[Item]) -> list[Item]:
        """Return this part of the takes; the parts share nothing and leave nothing out."""
        return list(items[self.index - 1 :: self.count])
