"""The benchmark of trained weights: single photographs of people whom they have never seen.

What `facekit reconstruct` makes of each photograph with the weights that come with facekit (or
others) is held against the true face, against the mean face, and against the coefficient network
alone; see `learned_bench_people` for who is photographed and how.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ..core.console import track
from ..core.errors import ConfigError, EstimationError
from ..core.facemodel.procedural import procedural_head
from ..core.files import write_json
from ..reconstruct.predict import ReconstructConfig
from ..reconstruct.predictionfile import load_prediction
from ..reconstruct.shippedweights import NONE, ChosenWeights, chosen_weights
from .heads.people import Group
from .learned_bench_metrics import face_figures
from .learned_bench_people import (
    Case,
    cases_of,
    photograph_of,
    truth_of,
    write_landmarks,
)
from .learned_bench_run import ReconstructionTask, reconstruct_apart
from .learned_bench_spots import spots_gain
from .stereo_bench_config import BUILT_IN, ICT
from .virtual import finite

__all__ = ["LearnedBenchConfig", "bench_learned"]

log = logging.getLogger(__name__)

RESULT_FILE = "learned_bench.json"
_MODEL = "builtin"  # face model of the shipped weights
FIGURES = (
    "median_mm", "p90_mm", "mid_median_mm", "coarse_only_median_mm", "mean_face_median_mm",
    "gain_over_mean", "scaled_median_mm", "scaled_p90_mm", "scaled_mid_median_mm",
    "scaled_coarse_only_median_mm", "scaled_mean_face_median_mm", "relief_corr", "relief_gain",
    "relief_face_corr", "relief_valid_percent", "normal_deg", "normal_without_displacement_deg",
)  # fmt: skip
"""Of each person; the median over people is told."""


@dataclass(frozen=True, kw_only=True)
class LearnedBenchConfig:
    """Whom to reconstruct, and by which weights.

    Raises
    ------
    ConfigError
        Numbers that cannot be used.
    """

    SHORT_FORMS: ClassVar[dict[str, Callable[[str], Any]]] = {
        "models": lambda text: tuple(text.split(","))
    }

    subjects: int = 20  # virtual people, a photograph each
    seed: int = 1  # other people, other noise; none of them is of the training, whatever its seed
    models: tuple[str, ...] = (BUILT_IN, ICT)  # in turn; `ict` only where its file is found
    beyond_model_mm: float = 0.0  # sd of smooth shape that no coefficient explains
    checkpoint: str | None = None  # weights of HRN; None: `reconstruct`'s own choice
    deretouch: str | None = None  # likewise
    spotted: int = 4  # more people, photographed with and without moles and freckles; 0: none
    threads: int = 2  # of the reconstructions

    def __post_init__(self) -> None:
        if not 1 <= self.subjects <= 1000:
            raise ConfigError(f"subjects = {self.subjects}: give 1 to 1000")
        if not 0 <= self.beyond_model_mm <= 20:
            raise ConfigError(f"beyond_model_mm = {self.beyond_model_mm:g}: from 0 to 20")
        if not 0 <= self.spotted <= 1000:
            raise ConfigError(f"spotted = {self.spotted}: give 0 to 1000")
        if self.threads < 1:
            raise ConfigError(f"threads = {self.threads}: at least 1")


def bench_learned(config: LearnedBenchConfig, out: Path) -> dict[str, Any]:
    """Run the benchmark in `out`; photographs of an earlier run are kept.

    Returns
    -------
    dict
        JSON-able, also written to `learned_bench.json`. Medians over people of what
        `learned_bench_metrics.face_figures` tells of each, `median_mm`, `mean_face_median_mm`
        and `coarse_only_median_mm` first; but `gain_over_mean` is of these medians.
        `better_than_coarse`: on how many people the two generators made the error smaller;
        `n_subjects`, `n_failed`. `seconds_per_image`, `cpu_s_per_image`: medians, from a
        photograph's file to all files of its result, landmarks given. `weights_mb`, `weights`:
        size and files. `builtin`, `ict`, `front`, `turned`, `wild`: the same of a part of the
        people. `subjects`: name -> its figures; `failed`: name -> reason; `notes`. `spots.…`: see
        `learned_bench_spots.spots_gain`; of other people, where `config.spotted` asks for them.

    Raises
    ------
    InputError
        There are no weights, or a face model is not there.
    EstimationError
        Nothing could be reconstructed.
    """
    weights = chosen_weights(_MODEL, checkpoint=config.checkpoint, deretouch=config.deretouch)
    cases, notes = cases_of(
        config.subjects, config.seed, models=config.models, beyond_model_mm=config.beyond_model_mm
    )
    for note in notes:
        log.warning("%s", note)
    photographs = [photograph_of(case, out / "photographs") for case in track(cases, "photographs")]
    costs = reconstruct_apart(_task(config, weights, cases, photographs, out))
    rows, failed = {}, {}
    model = procedural_head()
    for case in track(cases, "errors"):
        cost = costs[case.name]
        if "failed" in cost:
            failed[case.name] = cost["failed"]
            log.warning("%s: %s", case.name, cost["failed"])
            continue
        found = load_prediction(out / "results" / case.name, model)
        figures = face_figures(found, truth_of(case, out / "photographs"))
        rows[case.name] = {"head": case.kind, "group": str(case.group), **figures, **cost}
    if not rows:
        raise EstimationError(f"nothing could be reconstructed. {'; '.join(failed.values())}")
    spots = _spots(config, weights, out) if config.spotted else {}
    told = {**told_of(rows, failed), **_of_weights(weights), **spots, "notes": list(notes)}
    result = finite(told)
    write_json(out / RESULT_FILE, result)
    return result


def told_of(rows: Mapping[str, Mapping[str, Any]], failed: Mapping[str, str]) -> dict[str, Any]:
    """Return the result of people's figures: of all, by head, by group, and of each."""
    everyone = list(rows.values())
    result = summary(everyone)
    result["n_failed"] = len(failed)
    for name, key in (
        *((kind, "head") for kind in (BUILT_IN, ICT, "model")),
        *((str(group), "group") for group in Group),
    ):
        part = [row for row in everyone if row[key] == name]
        if part:
            result[name] = summary(part)
    return {**result, "subjects": dict(rows), "failed": dict(failed)}


def summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the medians over some people."""
    found: dict[str, Any] = {"n_subjects": len(rows)}
    for name in FIGURES:
        known = [row[name] for row in rows if row[name] is not None]
        found[name] = float(np.median(known)) if known else None
    found["gain_over_mean"] = 1 - found["median_mm"] / found["mean_face_median_mm"]
    found["better_than_coarse"] = sum(bool(row["better_than_coarse"]) for row in rows)
    for name, of in (("seconds_per_image", "seconds"), ("cpu_s_per_image", "cpu_s")):
        found[name] = float(np.median([row[of] for row in rows]))
    return found


def _task(
    config: LearnedBenchConfig, weights: ChosenWeights, cases: Sequence[Case],
    photographs: Sequence[Path], out: Path,
) -> ReconstructionTask:  # fmt: skip
    deretouch = None if weights.deretouch is None else str(weights.deretouch)
    return ReconstructionTask(
        photographs=tuple(photographs),
        out=out / "results",
        config=ReconstructConfig(
            model=_MODEL,
            checkpoint=str(weights.checkpoint),
            deretouch=deretouch,
            landmarks=str(write_landmarks(cases, out / "photographs")),
        ),
        threads=config.threads,
    )


def _spots(config: LearnedBenchConfig, weights: ChosenWeights, out: Path) -> dict[str, float]:
    """Return what spots do to the displacement, and what the de-retouching network does to that."""
    # torch takes seconds
    from ..reconstruct.checkpoint import load_deretouch
    from ..reconstruct.hrnmethod import HrnMethod

    model = procedural_head()
    deretoucher = None if weights.deretouch is None else load_deretouch(weights.deretouch).network
    hrn = HrnMethod(model, checkpoint=weights.checkpoint, deretouch=NONE)
    return spots_gain(
        config.spotted, config.seed, deretoucher=deretoucher, hrn=hrn, model=model,
        out=out / "spots",
    )  # fmt: skip


def _of_weights(weights: ChosenWeights) -> dict[str, Any]:
    files = [path for path in (weights.checkpoint, weights.deretouch) if path is not None]
    size = sum(path.stat().st_size for path in files)
    return {"weights_mb": size / 1e6, "weights": weights.record()}
