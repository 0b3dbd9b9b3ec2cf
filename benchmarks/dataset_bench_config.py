"""What the dataset benchmark registers and bakes, and how large; who its subjects are."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar

import numpy as np

from ..capture.virtual.studio import load_head, rng_of
from ..capture.virtual.subject import NEUTRAL
from ..core.errors import ConfigError
from ..core.facemodel.model import FaceModel
from .stereo_bench_config import BUILT_IN, ICT, heads_of


class ScanKind(StrEnum):
    """Where the scans come from."""

    STEREO = "stereo"
    """Photographs of the virtual studio, built with the true cameras."""
    IDEAL = "ideal"
    """The true surface where two cameras see it, with a little noise: in seconds."""


@dataclass(frozen=True, kw_only=True)
class DatasetBenchConfig:
    """Whom to register, and how large to bake."""

    SHORT_FORMS: ClassVar[dict[str, Callable[[str], Any]]] = {
        "models": lambda text: tuple(text.split(","))
    }

    subjects: int = 10
    seed: int = 0  # other people, other expressions
    scan: ScanKind = ScanKind.STEREO
    models: tuple[str, ...] = (BUILT_IN, ICT)  # in turn; `ict` only where its file is found
    layout: str = "nine"  # rig: a packaged layout, or a YAML file
    megapixels: float = 4.0  # of the photographs; relief of 2 mm wants more than 1.5
    identity_strength: float = 0.7  # sd of the identity coefficients, as the studio draws them
    beyond_model_mm: float = 0.0  # sd of shape that no coefficient explains; ideal scans only
    ideal_edge_mm: float = 0.5  # of the ideal scans' triangles
    ideal_noise_mm: float = 0.02  # sd, along the normal, of each vertex of an ideal scan
    deformation_size: int = 256  # texels a side
    displacement_size: int = 1024  # the bands are compared at 1024 or less
    albedo_size: int = 1024
    full: bool = False  # also the cost of one take at 9 x 6 megapixels and 4096 texels
    store: bool = True  # also the figures of the HDF5 files
    pictures: bool = True  # draw registered meshes and maps beside the true ones

    def __post_init__(self) -> None:
        if not 1 <= self.subjects <= 1000:
            raise ConfigError(f"subjects: {self.subjects}; give 1 to 1000")
        if self.beyond_model_mm and self.scan is not ScanKind.IDEAL:
            raise ConfigError("beyond_model_mm: only ideal scans can have it; give scan=ideal")
        for name in ("ideal_edge_mm", "megapixels"):
            if not 0.05 <= getattr(self, name) <= 60:
                raise ConfigError(f"{name}: {getattr(self, name):g}; give 0.05 to 60")
        if not self.models:
            raise ConfigError(f"models: none given; give {BUILT_IN}, {ICT} or the file of one")


@dataclass(frozen=True, kw_only=True)
class SubjectCase:
    """One virtual person of the benchmark."""

    name: str
    """Folder of the person in the benchmark's output."""
    kind: str
    """As in `DatasetBenchConfig.models`."""
    head: str
    """As the studio calls the model."""
    seed: int
    """Of the studio."""
    expressions: tuple[str, ...]
    """Takes: neutral and a drawn one."""


def subject_cases(config: DatasetBenchConfig) -> list[SubjectCase]:
    """Draw the people, models in turn.

    Raises
    ------
    InputError
        None of the models' files is there.
    """
    heads = heads_of(config.models)
    cases = []
    for index in range(config.subjects):
        kind, head = heads[index % len(heads)]
        seed = 1000 * config.seed + index
        expression = draw_expression(load_head(head), rng_of(seed, "expression"))
        cases.append(
            SubjectCase(
                name=f"{index:02d}-{kind if kind in (BUILT_IN, ICT) else 'model'}",
                kind=kind,
                head=head,
                seed=seed,
                expressions=(NEUTRAL, expression),
            )
        )
    return cases


_N_MOVED = 3  # movements in an expression
_NOT_DRAWN = ("eyeLook", "PupilDilate", "mouthClose")
"""Movements of what is not registered, and one that only goes with an open jaw."""


def draw_expression(model: FaceModel, rng: np.random.Generator) -> str:
    """Draw a mixture of a model's modes, as the studio names it: `jawOpen=0.4+...`.

    Modes of both sides go together, a little uneven, as in faces.
    """
    movements: dict[str, list[str]] = {}
    for mode in model.expression_names:
        if not mode.startswith(_NOT_DRAWN):
            movements.setdefault(mode.removesuffix("_L").removesuffix("_R"), []).append(mode)
    names = sorted(movements)
    chosen: list[str] = []
    for i in rng.permutation(len(names)):
        rivals = ("jaw", "mouthLeft", "mouthRight", "mouthPucker", "mouthFunnel")
        if names[i].startswith(rivals) and any(name.startswith(rivals) for name in chosen):
            continue
        chosen.append(names[i])
        if len(chosen) == _N_MOVED:
            break
    parts = []
    for name in sorted(chosen):
        strength = rng.uniform(0.3, 0.8)
        for mode in movements[name]:
            parts.append(f"{mode}={strength * rng.uniform(0.8, 1.2):.2f}")
    return "+".join(parts)
