"""REALY as a benchmark of `facekit eval`."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import numpy as np

from ...core.arrays import Floats
from ...core.errors import InputError
from ...core.files import write_text
from ..evaluation.protocol import Case, CaseScore, ErrorMesh, Metric, Options, Row
from ..evaluation.words import flag, word
from .layout import (
    IMAGES,
    Name,
    RealyData,
    Template,
    choose_template,
    open_data,
    predicted_names,
    prediction_file,
    read_prediction,
    read_scan,
    scan_files,
)
from .meshes import official_meshes, write_official_meshes
from .official import error_lines, sample_std, summary_lines
from .regions import REGIONS
from .score import RealyScore, score_prediction, warm_up

_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
_EXAMPLES = 10  # predictions that are asked for their template: some may be broken
_THREADS = ("1", "2", "3", "4")


@dataclass(frozen=True)
class Realy:
    """The `realy` benchmark."""

    name: str = "realy"
    title: str = "REALY"
    metrics: tuple[Metric, ...] = (
        *(Metric(name=region, unit="mm", decimals=3) for region in REGIONS),
        Metric(name="all", unit="mm", decimals=3),
    )
    leaderboard: str | None = "realy.yaml"
    settings: Mapping[str, str] = field(
        default_factory=lambda: MappingProxyType(
            {
                "template": "topology of the predictions, NAME of NAME.obj and NAME.txt in the "
                "data; by default the one with as many vertices",
                "template_mask": "file with a 0 or 1 for each vertex of the template",
                "set": "frontal or side: only these predictions; by default all",
                "meshes": "true: also write the aligned, deformed and coloured meshes",
                "threads": "regions of a case at once, 1 to 4; 1 by default",
                "images": "folder of the photographs, named as the predictions",
            }
        )
    )

    def cases(self, data: Path, predictions: Path, options: Options) -> list[Case]:
        """Return a case for each prediction, and for each frontal subject without one."""
        files = open_data(data)
        flag(options, "meshes"), _threads(options)
        names = [n for n in predicted_names(predictions) if _wanted(n, options)]
        examples = [prediction_file(predictions, name.stem) for name in names[:_EXAMPLES]]
        template = choose_template(files, options.settings.get("template"), examples)
        if not options.official_missing:
            names = _with_missing(names, files, options)
        return [_case(name, files, predictions, template, options) for name in names]

    def score(self, case: Case, options: Options) -> CaseScore:
        """Score one prediction in four regions."""
        warm_up()
        start = time.process_time()
        template = Template(
            name="", mesh=case.inputs["template"], keypoints=case.inputs["template_keypoints"]
        )
        prediction = read_prediction(case.prediction, template, case.inputs.get("template_mask"))
        scan = read_scan(case.inputs, case.numbers["mm_per_unit"])
        threads = _threads(options)
        score = score_prediction(prediction, scan, threads=threads)
        seconds = time.process_time() - start
        fixed = None
        if options.fixed:
            fixed = score_prediction(prediction, scan, fixed=True, threads=threads)
        arrays = {"fixed_distances": _distances(fixed)} if fixed is not None else {}
        if flag(options, "meshes"):
            arrays |= official_meshes(score, prediction)
        return CaseScore(
            id=case.id, groups=case.groups, values=_values(score),
            fixed={} if fixed is None else _values(fixed), counts=_counts(score),
            distances=_distances(score), error_mesh=_error_mesh(score, scan.mm_per_unit),
            seconds=seconds, arrays=arrays, remarks=score.remarks,
        )  # fmt: skip

    def rows(self, scores: Sequence[CaseScore], options: Options) -> list[Row]:
        """Return mean, median and sample deviation of each set."""
        rows = []
        for group in ("frontal", "side"):
            some = [score for score in scores if score.groups["set"] == group]
            if not some:
                continue
            columns = {m.name: np.array([s.values[m.name] for s in some]) for m in self.metrics}
            for label, statistic in (
                (group, np.mean), (f"{group}, median", np.median), (f"{group}, std", sample_std),
            ):  # fmt: skip
                values = {
                    name: float(statistic(column))
                    for name, column in columns.items()
                    if name != "all" or statistic is np.mean  # officially "all" has a mean alone
                }
                rows.append(Row(label=label, values=values, n=len(some), missing=0))
        return rows

    def write_official(
        self, cases: Sequence[Case], scores: Sequence[CaseScore], out: Path, options: Options
    ) -> list[Path]:
        """Write REALY_error.txt and what the official code prints."""
        values = [score.values for score in scores]
        errors, summary = out / "REALY_error.txt", out / "stdout.txt"
        write_text(errors, error_lines([score.id for score in scores], values))
        write_text(summary, summary_lines(values))
        paths = [errors, summary]
        for score in scores:
            paths += write_official_meshes(out / "region_align_save" / score.id, score.arrays)
        return paths

    def photographs(self, data: Path, options: Options) -> Mapping[str, Path]:
        """Return the photographs of `--set images=FOLDER`, or of images/ in the data."""
        given = options.settings.get("images")
        if given is not None and not Path(given).is_dir():
            raise InputError(f"--set images={given}: no such folder")
        places = [data / name for name in IMAGES] + [data / "data" / name for name in IMAGES]
        folder = Path(given) if given else next((p for p in places if p.is_dir()), None)
        if folder is None:
            return {}
        found = {}
        for path in sorted(folder.iterdir()):
            is_name = path.stem.replace("_", "").isdigit()
            if path.suffix.lower() in _IMAGE_SUFFIXES and is_name:
                found[path.stem] = path
        return found


def _case(
    name: Name, files: RealyData, predictions: Path, template: Template, options: Options
) -> Case:
    inputs = scan_files(files, name.subject)
    inputs |= {"template": template.mesh, "template_keypoints": template.keypoints}
    mask = options.settings.get("template_mask")
    if mask:
        inputs["template_mask"] = Path(mask)
        if not Path(mask).is_file():
            raise InputError(f"--set template_mask={mask}: no such file")
    return Case(
        id=name.stem, groups={"set": "side" if name.side else "frontal"},
        prediction=prediction_file(predictions, name.stem), inputs=inputs,
        numbers={"mm_per_unit": files.mm_per_unit[name.subject]},
    )  # fmt: skip


def _wanted(name: Name, options: Options) -> bool:
    which = word(options, "set", ("all", "frontal", "side"))
    return which == "all" or name.side == (which == "side")


def _with_missing(names: list[Name], files: RealyData, options: Options) -> list[Name]:
    """Add the subjects that have a scan but nothing predicted; of how many views is not known."""
    there = {name.subject for name in names}
    side = options.settings.get("set") == "side" or any(name.side for name in names)
    names = names + [
        Name(stem=str(subject), subject=subject, side=side)
        for subject in files.subjects
        if subject not in there
    ]
    return sorted(names, key=lambda name: (name.place, name.stem))


def _values(score: RealyScore) -> dict[str, float]:
    return {name: score.regions[name].nmse_mm for name in REGIONS} | {"all": score.all_mm}


def _counts(score: RealyScore) -> dict[str, int]:
    counts: dict[str, int] = {}
    for name, region in score.regions.items():
        counts |= {f"{name}_ricp": region.rigid_steps, f"{name}_nicp": region.solves}
    return counts


def _distances(score: RealyScore) -> Floats:
    return np.concatenate([score.regions[name].distances_mm for name in REGIONS])


def _error_mesh(score: RealyScore, mm_per_unit: float) -> ErrorMesh:
    """Join the four regions to one surface."""
    parts = [score.regions[name].merged for name in REGIONS]
    starts = np.cumsum([0, *(len(part.vertices) for part in parts[:-1])])
    faces = [part.faces + start for part, start in zip(parts, starts, strict=True)]
    return ErrorMesh(
        vertices=np.concatenate([part.vertices for part in parts]) * mm_per_unit,
        faces=np.concatenate(faces).astype(np.int32), error=_distances(score),
    )  # fmt: skip


def _threads(options: Options) -> int:
    return int(word(options, "threads", _THREADS))


BENCHMARK = Realy()
