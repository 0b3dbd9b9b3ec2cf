"""What a benchmark is: where its cases lie, how one is scored, and its table.

A benchmark is an object with the attributes of `Benchmark`, in `benchmarks/<folder>/benchmark.py`.
`evaluate.py` drives it: cases -> a score each, in processes -> rows and official files.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from numpy.typing import NDArray

from ...core.arrays import AnyFloats, Floats, Ints


@dataclass(frozen=True, kw_only=True)
class Options:
    """How predictions are scored."""

    fixed: bool = False
    """Without the official oddities, where that makes sense: scored beside the official way."""
    official_missing: bool = False
    """Be as silent about missing predictions as the official code is."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """The benchmark's own, of `--set key=value`."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A figure that a benchmark reports."""

    name: str
    """Key of `CaseScore.values` or of `Row.values`."""
    unit: str
    """mm, rad, %, or empty."""
    decimals: int = 3
    """That its paper prints."""
    lower_is_better: bool = True
    title: str = ""
    """Column title; the name where it is empty."""
    of_case: float = 1.0
    """What a case's value is multiplied by to be in `unit`: 100 for a ratio shown in %."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One prediction to be scored."""

    id: str
    """Unique, safe as a file name; the order of the cases is the official order."""
    groups: Mapping[str, str]
    """What it is pooled by: {"challenge": "selfie"}, {"angle": "30-60"}."""
    prediction: Path
    """Where it is expected; it need not exist."""
    inputs: Mapping[str, Path]
    """Further files that `score` reads: truth, landmarks."""
    numbers: Mapping[str, float] = field(default_factory=dict)
    """Metrical scale, indices."""


@dataclass(frozen=True, kw_only=True)
class ErrorMesh:
    """A surface with an error at each vertex, for a heat map."""

    vertices: AnyFloats
    """(V, 3)."""
    faces: Ints
    """(F, 3)."""
    error: AnyFloats
    """(V,) mm; NaN where there is none."""


@dataclass(frozen=True, kw_only=True)
class CaseScore:
    """What came of one case."""

    id: str
    groups: Mapping[str, str]
    values: Mapping[str, float]
    """Metric -> value (mm, rad, ratio) as the official code has it; NaN where that is NaN."""
    fixed: Mapping[str, float] = field(default_factory=dict)
    """The same names without oddities, where `Options.fixed` asks for it."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """Iterations and such."""
    distances: Floats | None = None
    """(N,) mm a point, for curves and pooled statistics."""
    error_mesh: ErrorMesh | None = None
    seconds: float = 0.0
    """CPU seconds of one thread."""
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """What else `rows` or `write_official` needs."""
    remarks: tuple[str, ...] = ()
    """What is odd about the prediction, though it was scored: a sentence each."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line of the benchmark's table."""

    label: str
    values: Mapping[str, float]
    """Metric -> value; NaN where nothing was scored."""
    n: int
    """Cases scored."""
    missing: int = 0
    """Cases without a prediction, or failed; the driver counts them by the label, which is the
    value of a group (`selfie`), or else by all cases."""


class Benchmark(Protocol):
    """A benchmark; see the module."""

    name: str
    """As in `--benchmark`."""
    title: str
    """For people."""
    metrics: tuple[Metric, ...]
    leaderboard: str | None
    """File name in `evaluation/leaderboards`."""

    def cases(self, data: Path, predictions: Path, options: Options) -> list[Case]:
        """Return all cases in official order; the layout of `data` is checked.

        Raises
        ------
        InputError
            Data are missing or not as they should be, or a setting is wrong.
        """
        ...

    def score(self, case: Case, options: Options) -> CaseScore:
        """Score one case from its files; runs in a process of its own.

        Raises
        ------
        InputError
            The prediction is missing or cannot be scored: it is listed as failed.
        """
        ...

    def rows(self, scores: Sequence[CaseScore], options: Options) -> list[Row]:
        """Return the table as the benchmark's paper has it."""
        ...

    def write_official(
        self, cases: Sequence[Case], scores: Sequence[CaseScore], out: Path, options: Options
    ) -> list[Path]:
        """Write the official result files, text for text; return their paths."""
        ...

    def photographs(self, data: Path, options: Options) -> Mapping[str, Path]:
        """Return case id -> its photograph, for `--method`; empty where there are none."""
        ...


def safe_id(*parts: str) -> str:
    """Return a case's id of names: what a file's name should not have becomes _."""
    return re.sub(r"[^\w.-]", "_", "__".join(parts))


@runtime_checkable
class MakesData(Protocol):
    """A benchmark that needs no download."""

    def prepare(self, data: Path, options: Options) -> None:
        """Make the data in `data`, unless they are there; resumable."""
        ...


@runtime_checkable
class MakesPredictions(Protocol):
    """A benchmark that runs methods itself, not by photographs one by one."""

    methods: tuple[str, ...]
    """That `--method` takes here."""

    def predict(
        self, method: str, data: Path, predictions: Path, options: Options
    ) -> Mapping[str, str]:
        """Write the predictions of `method`, resumable; return case id -> why it failed."""
        ...


@runtime_checkable
class HasSettings(Protocol):
    """A benchmark that takes `--set`; without this all settings are refused."""

    settings: Mapping[str, str]
    """Key of `Options.settings` -> one line on what it is and what it may be."""
