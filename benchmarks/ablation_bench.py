"""What each part of the method is worth: the generators trained again without it, and measured.

Each variant trains the mid and high generators for a short while round the coefficient network of
the shipped weights: the same virtual people, seeds and steps, one part left out. All are then
measured on people whom none has seen. Short trainings on few people tell which part matters for
what, not how good the shipped weights are (`bench learned` does).
"""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from ..core.console import track
from ..core.errors import ConfigError
from ..core.files import StageKey, finished, hash_of, sha256_file, stage_run, write_json
from ..core.jobs import apart, each_apart
from ..reconstruct.shippedweights import ChosenWeights, chosen_weights
from .ablation_bench_measure import FIGURES, Unseen, measure, unseen_people
from .stereo_bench_config import BUILT_IN, ICT, heads_of
from .virtual import finite

__all__ = ["AblationBenchConfig", "bench_ablation"]

log = logging.getLogger(__name__)

RESULT_FILE = "ablation_bench.json"
FULL = "full"
VARIANTS: Mapping[str, str | None] = {
    FULL: None,
    "no deformation map": "deformation",
    "no displacement": "displacement",
    "no contour loss": "contour",
    "no priors": "priors",
    "no de-retouching": "deretouch",
}
"""Name -> the part of `DetailConfig.parts` that is left out."""
_VERSION = 1
_PRESET = "detail-small"
_EXPORT = "weights/hrn.safetensors"
_HEAD_START = 0.1  # of the steps, in which the mid generator learns alone


@dataclass(frozen=True, kw_only=True)
class AblationBenchConfig:
    """How the variants are trained, and on whom they are measured.

    Raises
    ------
    ConfigError
        Numbers that cannot be used.
    """

    SHORT_FORMS: ClassVar[dict[str, Callable[[str], Any]]] = {
        name: lambda text: tuple(text.split(",")) for name in ("models", "training", "variants")
    }

    steps: int = 400  # of each training
    people: int = 60  # virtual people that are trained on
    views: int = 2  # photographs of each
    subjects: int = 12  # unseen people that all are measured on
    spotted: int = 4  # more of them, photographed with and without spots
    seed: int = 0  # other people, other trainings
    models: tuple[str, ...] = (BUILT_IN, ICT)  # in turn; `ict` only where its file is found
    variants: tuple[str, ...] = tuple(VARIANTS)
    preset: str = _PRESET  # settings of the trainings: a name, or a YAML file
    training: tuple[str, ...] = ()  # more of them: `data.batch=8,loop.learning_rate=0.002`
    checkpoint: str | None = None  # weights with the coefficient network; None: the shipped ones
    deretouch: str | None = None  # likewise
    jobs: int = 2  # trainings at a time, a thread each

    def __post_init__(self) -> None:
        for name in ("steps", "people", "views", "subjects", "jobs"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} = {getattr(self, name)}: at least 1")
        if self.spotted < 0:
            raise ConfigError(f"spotted = {self.spotted}: not below 0")
        for name in self.variants:
            if name not in VARIANTS:
                raise ConfigError(f"variants: {name!r}; give some of {', '.join(VARIANTS)}")


@dataclass(frozen=True, kw_only=True)
class TrainingTask:
    """One variant's training."""

    name: str
    folder: Path
    """Of all trainings by these weights."""
    config: AblationBenchConfig
    weights: ChosenWeights

    @property
    def run(self) -> Path:
        """The training's folder."""
        return self.folder / "runs" / self.name.replace(" ", "-")


def bench_ablation(config: AblationBenchConfig, out: Path) -> dict[str, Any]:
    """Run the benchmark in `out`, or go on with it: photographs and finished variants are kept.

    Returns
    -------
    dict
        JSON-able, also written to `ablation_bench.json`. `variants`: name -> the figures of
        `ablation_bench_measure.measure`, and `seconds` of the training; `worse_percent`: name ->
        by how much each of them is worse than `full`, in percent; the settings.

    Raises
    ------
    InputError
        There are no weights, or a face model is not there.
    """
    weights = chosen_weights("builtin", checkpoint=config.checkpoint, deretouch=config.deretouch)
    files = [path for path in (weights.checkpoint, weights.deretouch) if path is not None]
    about = {name: getattr(config, name) for name in
             ("steps", "people", "views", "seed", "models", "preset", "training")}  # fmt: skip
    key = hash_of([_VERSION, about, [sha256_file(path) for path in files]])
    folder = out / key[:12]
    tasks = [
        TrainingTask(name=name, folder=folder, config=config, weights=weights)
        for name in config.variants
    ]
    apart(prepare_people, tasks[0], threads=config.jobs)
    seconds: dict[str, float] = {}
    for place, answer in track(
        list(each_apart(train_variant, tasks, jobs=config.jobs)), "trainings"
    ):
        seconds[tasks[place].name] = answer.result()
    rows = _measured(tasks, out)
    variants = {name: {**rows[name], "seconds": seconds[name]} for name in config.variants}
    result = finite(
        {
            "variants": variants,
            "worse_percent": worse_percent(variants),
            **{
                name: getattr(config, name)
                for name in ("steps", "people", "views", "seed", "preset")
            },
            "models": list(config.models),
            "training": list(config.training),
            "subjects": config.subjects,
            "weights": weights.record(),
        }
    )
    write_json(out / RESULT_FILE, result)
    return result


def prepare_people(task: TrainingTask) -> None:
    """Render the people that all variants are trained on, and work out what is given of each."""
    from ..reconstruct.samples.packing import PackConfig, pack_data
    from ..reconstruct.samples.virtual import VirtualConfig
    from ..reconstruct.train.detail import build

    config = task.config
    heads = tuple(head for _, head in heads_of(config.models))
    virtual = VirtualConfig(
        seed=config.seed, n_people=config.people, takes=1, views=config.views, heads=heads
    )
    pack = PackConfig(virtual=virtual, part=max(1, math.ceil(config.people * config.views / 8)))
    pack_data(None, task.folder / "people", pack, jobs=config.jobs)
    build(_training(replace(task, name=FULL)))


def train_variant(task: TrainingTask) -> float:
    """Train a variant, unless that is done; return the seconds of it."""
    from ..core.config import to_mapping
    from ..reconstruct.train.detail import build
    from ..reconstruct.train.loop import train

    training = _training(task)
    detail: Any = build(training)
    return train(detail, training.loop, task.run, settings=to_mapping(training)).seconds


def _training(task: TrainingTask) -> Any:
    """Return the settings of a variant's training."""
    from ..reconstruct.train.detailconfig import DetailConfig
    from ..reconstruct.train.presets import training_config

    config, part = task.config, VARIANTS[task.name]
    ahead = max(1, round(_HEAD_START * config.steps))
    deretouch = None if task.weights.deretouch is None else str(task.weights.deretouch)
    given = {
        "coarse": str(task.weights.checkpoint),
        "deretouch": deretouch,
        "prepared": str(task.folder / "given"),
        "data.folders": [str(task.folder / "people")],
        "data.held_out": 0.0,
        "loop.steps": config.steps,
        "loop.seed": config.seed,
        "loop.warm_up": ahead // 2,
        "loop.validate_steps": config.steps,
        "loop.panel_steps": config.steps,
        "loop.average": 0.98,
        "steps.high_from": ahead,
        "steps.adversarial_from": ahead,
        **({} if part is None else {f"parts.{part}": False}),
    }
    return training_config(DetailConfig, config.preset, given=given, assignments=config.training)


def _measured(tasks: Sequence[TrainingTask], out: Path) -> dict[str, dict[str, Any]]:
    """Return the figures of each variant, known ones from before."""
    rows: dict[str, dict[str, Any]] = {}
    unseen: Unseen | None = None
    for task in track(tasks, "measuring"):
        c, checkpoint = task.config, task.run / _EXPORT
        key = StageKey(
            stage="bench-ablation",
            config={
                "version": _VERSION,
                **{name: getattr(c, name) for name in ("subjects", "spotted", "seed", "models")},
            },
            inputs={"checkpoint": sha256_file(checkpoint)},
        )
        folder = task.run / "measured"
        record = finished(folder, key, outputs=[])
        if record is not None:
            rows[task.name] = dict(record["results"])
            continue
        if unseen is None:
            unseen = unseen_people(
                c.subjects, c.seed + 1, out / "photographs", models=c.models, spotted=c.spotted
            )
        with stage_run(folder, key) as run:
            run.results.update(finite(measure(checkpoint, unseen)))
        rows[task.name] = dict(run.results)
        log.info("%s: %s", task.name, rows[task.name])
    return rows


def worse_percent(variants: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Return by how much each figure of a variant is worse than that of the full method."""
    full = variants.get(FULL)
    if full is None:
        return {}
    return {
        name: {
            figure: _worse(figure, float(row[figure]), float(full[figure]))
            for figure in FIGURES
            if row.get(figure) is not None and full.get(figure)
        }
        for name, row in variants.items()
        if name != FULL
    }


def _worse(figure: str, value: float, full: float) -> float:
    sign = -1 if figure.endswith("_corr") else 1
    return sign * 100 * (value - full) / abs(full)


def tables(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `core.commandline.show` prints well."""
    shown = {
        name: value
        for name, value in result.items()
        if name not in ("weights", "models", "training")
    }
    shown["variants"] = {
        name: {figure: value for figure, value in row.items() if value is not None}
        for name, row in result["variants"].items()
    }
    return {**shown, "weights": result["weights"]["source"]}
