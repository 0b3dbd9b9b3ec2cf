"""The `virtual` benchmark: what is asked of a benchmark, for the virtual people."""

import csv
import io
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ...core.errors import EstimationError, InputError
from ...core.files import write_text
from ..evaluation.protocol import Case, CaseScore, Metric, Options, Row
from ..stereo_bench_config import BUILT_IN, ICT
from .found import landmarks_of, prediction_of, read_found
from .methods import METHODS, reconstruct_heads
from .people import Group
from .score import MAP_FIGURES, SURFACE_FIGURES, score_head
from .settings import AUTO, BOTH, MEANINGS, UNITS_MM, HeadsConfig, Task, heads_config
from .subjects import MULTI, SINGLE, config_for, make_heads, people_in, truth_files
from .truth import load_truth

log = logging.getLogger(__name__)

FIGURES_FILE = "virtual.csv"
LABELS = {"mean_face": "mean face", "coarse": "coarse (M0)", "": "all"}
"""Surface -> its row; groups of people follow."""
_GROUPS = ((*map(str, Group),), (BUILT_IN, ICT, "model"))

_METRICS = (
    Metric(name="median_mm", unit="mm", decimals=3, title="median"),
    Metric(name="mean_mm", unit="mm", decimals=3, title="mean"),
    Metric(name="p90_mm", unit="mm", decimals=2, title="p90"),
    Metric(name="normal_deg", unit="°", decimals=2, title="normals"),
    Metric(name="broad_corr", unit="", decimals=3, lower_is_better=False, title="3-10 mm corr."),
    Metric(name="broad_rms_um", unit="µm", decimals=0, title="3-10 mm rms"),
    Metric(name="fine_corr", unit="", decimals=3, lower_is_better=False, title="1-3 mm corr."),
    Metric(name="fine_rms_um", unit="µm", decimals=0, title="1-3 mm rms"),
    Metric(name="deformation_corr", unit="", decimals=3, lower_is_better=False,
           title="deformation corr."),
    Metric(name="displacement_corr", unit="", decimals=3, lower_is_better=False,
           title="displacement corr."),
    Metric(name="scale_percent", unit="%", decimals=2, title="too large"),
)  # fmt: skip


class VirtualHeads:
    """facekit's own benchmark; see `subjects.py` for its data and `found.py` for predictions."""

    name = "virtual"
    title = "Virtual people"
    metrics = _METRICS
    leaderboard: str | None = None
    settings: Mapping[str, str] = MEANINGS
    methods: tuple[str, ...] = tuple(METHODS)

    def prepare(self, data: Path, options: Options) -> None:
        """Draw and photograph the people, unless they are there; by a rig where that is asked."""
        config = config_for(data, options.settings)
        make_heads(data, config, views=config.tasks in (Task.MULTI, BOTH))

    def predict(
        self, method: str, data: Path, predictions: Path, options: Options
    ) -> Mapping[str, str]:
        """Reconstruct the people by one of facekit's methods; return case id -> why it failed."""
        config = config_for(data, options.settings)
        if METHODS.get(method) is Task.MULTI:
            make_heads(data, config)
        names = [person.name for person in people_in(data, config.subjects)]
        failed = reconstruct_heads(method, names, data, predictions, config)
        tasks = _tasks(predictions, config)
        return {_case_id(name, METHODS[method], tasks): why for name, why in failed.items()}

    def cases(self, data: Path, predictions: Path, options: Options) -> list[Case]:
        """Return a case a person, or two where both tasks are scored."""
        config = config_for(data, options.settings)
        people = people_in(data, config.subjects)
        tasks = _tasks(predictions, config)
        cases = []
        for task in tasks:
            folder = predictions / task if (predictions / task).is_dir() else predictions
            for person in people:
                prediction = prediction_of(folder, person.name)
                inputs = truth_files(data, person.name)
                marks = landmarks_of(prediction)
                if marks is not None:
                    inputs["found_landmarks"] = marks
                case = Case(
                    id=_case_id(person.name, task, tasks),
                    groups={
                        "task": str(task), "group": str(person.group), "head": person.kind,
                        "subject": person.name,
                    },
                    prediction=prediction,
                    inputs=inputs,
                )  # fmt: skip
                cases.append(case)
        _tell_strangers(predictions, {person.name for person in people})
        return cases

    def score(self, case: Case, options: Options) -> CaseScore:
        """Score one prediction."""
        config = heads_config(options.settings)
        true = load_truth(case.inputs)
        found = read_found(case.prediction)
        try:
            result = score_head(
                true, found, scale=config.scale, unit_mm=UNITS_MM[config.unit]
            )  # fmt: skip
        except (InputError, EstimationError) as error:
            raise InputError(f"{case.prediction}: {error}") from error
        remarks = []
        if result.inside_out:
            remarks.append("inside out, or mirrored: normals look inwards; they were turned")
        if result.searched:
            remarks.append("no landmarks beside it: where the face lies was searched for")
        return CaseScore(
            id=case.id,
            groups=case.groups,
            values=result.values,
            distances=result.distances,
            error_mesh=result.heat,
            counts={"inside_out": int(result.inside_out), "searched": int(result.searched)},
            remarks=tuple(remarks),
        )

    def rows(self, scores: Sequence[CaseScore], options: Options) -> list[Row]:
        """Return medians over people: mean face, coarse surface, the prediction, parts of them."""
        tasks = list(dict.fromkeys(score.groups["task"] for score in scores))
        rows = []
        for task in tasks:
            some = [score for score in scores if score.groups["task"] == task]
            before = f"{task}: " if len(tasks) > 1 else ""
            for level, label in LABELS.items():
                row = _row(before + label, some, level)
                rows += [row] if row.values else []
            for key, names in zip(("group", "head"), _GROUPS, strict=True):
                parts = {name: [s for s in some if s.groups[key] == name] for name in names}
                parts = {name: part for name, part in parts.items() if part}
                if len(parts) > 1:
                    rows += [_row(before + name, part, "") for name, part in parts.items()]
        return rows

    def write_official(
        self, cases: Sequence[Case], scores: Sequence[CaseScore], out: Path, options: Options
    ) -> list[Path]:
        """Write all figures of all people as a table."""
        names = list(dict.fromkeys(name for score in scores for name in score.values))
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["case", "task", "group", "head", *names])
        for score in scores:
            where = [score.id, *(score.groups[key] for key in ("task", "group", "head"))]
            writer.writerow([*where, *(_text(score.values.get(name)) for name in names)])
        write_text(out / FIGURES_FILE, text.getvalue())
        return [out / FIGURES_FILE]

    def photographs(self, data: Path, options: Options) -> Mapping[str, Path]:
        """Return each person's single photograph."""
        people = people_in(data, config_for(data, options.settings).subjects)
        return {person.name: data / SINGLE / f"{person.name}.png" for person in people}


BENCHMARK = VirtualHeads()


def _tasks(predictions: Path, config: HeadsConfig) -> tuple[Task, ...]:
    """Return the tasks to score: those asked for, or those that predictions are there of."""
    if config.tasks == BOTH:
        return tuple(Task)
    if config.tasks != AUTO:
        return (Task(config.tasks),)
    there = tuple(task for task in Task if (predictions / task).is_dir())
    return there or (Task.SINGLE,)


def _case_id(name: str, task: Task, tasks: Sequence[Task]) -> str:
    """Return a case's id: the person's name, with the task where both are scored."""
    return name if len(tasks) == 1 else f"{name}.{task}"


def _tell_strangers(predictions: Path, names: set[str]) -> None:
    """Warn of predictions of nobody: a wrong name, or people who were not asked for."""
    for folder in (predictions / SINGLE, predictions / MULTI, predictions):
        if not folder.is_dir():
            continue
        stems = {
            path.stem for path in folder.iterdir() if path.suffix in (".obj", ".ply")
        } - names  # fmt: skip
        if stems:
            log.warning(
                "%s: no virtual person is called %s; such predictions are not scored",
                folder, ", ".join(sorted(stems)[:3]),
            )  # fmt: skip


def _row(label: str, scores: Sequence[CaseScore], level: str) -> Row:
    """Return medians over people of one of the surfaces; figures that nobody has are left out."""
    names = (*SURFACE_FIGURES, *((*MAP_FIGURES, "scale_percent") if not level else ()))
    values = {}
    for name in names:
        key = f"{level}.{name}" if level else name
        known = [
            score.values[key] for score in scores if np.isfinite(score.values.get(key, np.nan))
        ]
        if known:
            values[name] = float(np.median(known))
    return Row(label=label, values=values, n=len(scores), missing=0)


def _text(value: float | None) -> str:
    return "" if value is None or not np.isfinite(value) else f"{value:.6g}"
