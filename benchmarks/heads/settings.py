"""What the `virtual` benchmark draws, and how it scores: its `--set key=value`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar

from ...core.config import with_overrides
from ...core.errors import ConfigError
from ..stereo_bench_config import BUILT_IN, ICT


class Scale(StrEnum):
    """What a prediction's size is taken for."""

    FREE = "free"
    """Nothing: it is scaled to fit."""
    METRIC = "metric"
    """The face's own, in `unit`: an error in it counts."""


class Task(StrEnum):
    """What a prediction is made of."""

    SINGLE = "single"
    """One photograph a person."""
    MULTI = "multi"
    """Several, by calibrated cameras."""


AUTO, BOTH = "auto", "both"
UNITS_MM: Mapping[str, float] = {"mm": 1.0, "cm": 10.0, "m": 1000.0}
MEANINGS: Mapping[str, str] = {
    "subjects": "virtual people; 20",
    "seed": "other people, photographs and noise; 0",
    "heads": "face models that they are drawn from, in turn; builtin,ict (ict only where it is "
    "found)",
    "beyond_model_mm": "sd of smooth shape that no coefficient of the model explains; 0",
    "layout": "rig of the multi-view sets: pair, five, seven, nine, sixteen, or a YAML file; five",
    "megapixels": "of a multi-view photograph; 0.3",
    "tasks": "single, multi (several views), both, or auto: those that predictions are there "
    "of; auto",
    "scale": "of predictions: free, or metric; free",
    "unit": "of metric predictions: mm, cm or m; mm",
    "model": "face model of facekit's own methods: builtin, a registered one, its file; builtin",
    "checkpoint": "HRN's weights for --method hrn: a file, or shipped; the registered ones",
}


@dataclass(frozen=True, kw_only=True)
class HeadsConfig:
    """Whom to draw, and how to score.

    Raises
    ------
    ConfigError
        Values that cannot be used.
    """

    SHORT_FORMS: ClassVar[dict[str, Callable[[str], Any]]] = {
        "heads": lambda text: tuple(part for part in text.split(",") if part)
    }

    subjects: int = 20
    seed: int = 0
    heads: tuple[str, ...] = (BUILT_IN, ICT)
    beyond_model_mm: float = 0.0
    layout: str = "five"  # cheek to cheek
    megapixels: float = 0.3
    tasks: str = AUTO
    scale: Scale = Scale.FREE
    unit: str = "mm"
    model: str = BUILT_IN
    checkpoint: str | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.subjects <= 1000:
            raise ConfigError(f"subjects = {self.subjects}: give 1 to 1000")
        if not 0 <= self.seed < 1_000_000:
            raise ConfigError(f"seed = {self.seed}: give 0 to 999999")
        if not self.heads:
            raise ConfigError("heads: name at least one face model, such as builtin")
        if not 0 <= self.beyond_model_mm <= 20:
            raise ConfigError(f"beyond_model_mm = {self.beyond_model_mm:g}: from 0 to 20")
        if not 0.02 <= self.megapixels <= 60:
            raise ConfigError(f"megapixels = {self.megapixels:g}: give 0.02 to 60")
        if self.tasks not in (*Task, AUTO, BOTH):
            raise ConfigError(f"tasks = {self.tasks!r}: one of {', '.join((*Task, BOTH, AUTO))}")
        if self.unit not in UNITS_MM:
            raise ConfigError(f"unit = {self.unit!r}: one of {', '.join(UNITS_MM)}")
        if self.unit != "mm" and self.scale is Scale.FREE:
            raise ConfigError(
                f"unit = {self.unit}: only metric predictions have one; add --set scale=metric"
            )


def heads_config(settings: Mapping[str, str]) -> HeadsConfig:
    """Return the configuration of `--set key=value`.

    Raises
    ------
    ConfigError
        An unknown key, or a value that cannot be used.
    """
    return with_overrides(HeadsConfig(), [f"{key}={value}" for key, value in settings.items()])
