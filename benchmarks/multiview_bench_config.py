"""What the multi-view benchmark reconstructs, and of whom."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar

from ..core.errors import ConfigError
from .multiview_bench_case import CaseKey
from .stereo_bench_config import BUILT_IN, ICT, heads_of


class Way(StrEnum):
    """How faces are reconstructed, of which views."""

    CALIBRATED9 = "calibrated9"
    """All views, their cameras known."""
    CALIBRATED3 = "calibrated3"
    """From the front and from 45 degrees aside."""
    UNCALIBRATED3 = "uncalibrated3"
    """The same pictures; of the cameras only the focal length is known, as files tell it."""
    SINGLE = "single"
    """The frontal picture alone, through the single-view fit."""
    COMPAT3 = "compat3"
    """The three pictures, through HRN's released schedule: a mesh a view."""


@dataclass(frozen=True, kw_only=True)
class MultiViewBenchConfig:
    """Whom to reconstruct, and in which ways.

    Raises
    ------
    ConfigError
        Numbers that cannot be used.
    """

    SHORT_FORMS: ClassVar[dict[str, Callable[[str], Any]]] = {
        "models": lambda text: tuple(text.split(",")),
        "cases": lambda text: tuple(Way(name) for name in _ways(text)),
        "method": lambda text: tuple(text.split(",")),
    }

    subjects: int = 8
    seed: int = 1  # other people, rigs and noise; 0 is what the method was tuned on
    cases: tuple[Way, ...] = tuple(Way)  # `calibrated9,single`
    models: tuple[str, ...] = (BUILT_IN, ICT)  # in turn; `ict` only where its file is found
    layout: str = "nine"  # rig: a packaged layout, or a YAML file
    megapixels: float = 1.0  # of the photographs
    beyond_model_mm: float = 0.0  # sd of smooth shape that no coefficient explains
    focal_error: float = 0.02  # of an uncalibrated focal length, at most; share of it
    threads: int | None = None  # of a reconstruction; all processors by default
    method: tuple[str, ...] = ()  # settings of the reconstruction: `key=value,key=value`
    ablation: bool = False  # also without each consistency loss in turn
    ablation_case: Way = Way.CALIBRATED9
    ablation_subjects: int = 2
    faults: bool = False  # also with a view of another person, a black one, and two swapped
    fault_subjects: int = 2
    pictures: bool = True  # draw true and found surfaces and their differences

    def __post_init__(self) -> None:
        for name in ("subjects", "ablation_subjects", "fault_subjects"):
            if not 1 <= getattr(self, name) <= 1000:
                raise ConfigError(f"{name} = {getattr(self, name)}: give 1 to 1000")
        if self.threads is not None and self.threads < 1:
            raise ConfigError(f"threads = {self.threads}: at least 1")
        if not self.cases:
            raise ConfigError(f"cases: none given; give some of {', '.join(Way)}")
        if not 0.05 <= self.megapixels <= 60:
            raise ConfigError(f"megapixels = {self.megapixels:g}: give 0.05 to 60")
        if not 0 <= self.beyond_model_mm <= 20:
            raise ConfigError(f"beyond_model_mm = {self.beyond_model_mm:g}: from 0 to 20")
        if not 0 <= self.focal_error <= 0.5:
            raise ConfigError(f"focal_error = {self.focal_error:g}: from 0 to 0.5")
        if self.ablation_case in (Way.SINGLE, Way.COMPAT3):
            raise ConfigError(
                f"ablation_case = {self.ablation_case}: has no consistency losses; give one of "
                "calibrated9, calibrated3, uncalibrated3"
            )


@dataclass(frozen=True, kw_only=True)
class SubjectCase:
    """One virtual person of the benchmark."""

    name: str
    kind: str
    """As in `MultiViewBenchConfig.models`."""
    key: CaseKey

    def path(self, out: Path) -> Path:
        """Return where the photographs are kept."""
        return out / "cases" / f"{self.key.seed:06d}-{self.name.partition('-')[2]}.npz"


def subject_case(config: MultiViewBenchConfig, index: int) -> SubjectCase:
    """Return the person of a number, models in turn.

    Raises
    ------
    InputError
        None of the models' files is there.
    """
    heads = heads_of(config.models)
    kind, head = heads[index % len(heads)]
    return SubjectCase(
        name=f"{index:02d}-{kind if kind in (BUILT_IN, ICT) else 'model'}",
        kind=kind,
        key=CaseKey(
            head=head,
            seed=1000 * config.seed + index,
            layout=config.layout,
            megapixels=config.megapixels,
            beyond_model_mm=config.beyond_model_mm,
        ),
    )


def _ways(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    for name in names:
        if name not in list(Way):
            raise ConfigError(f"cases: {name!r}; give some of {', '.join(Way)}")
    return names
