"""MICC/Florence as benchmarks: `GANFIT` (`micc`) and `DEEP3D` (`micc-deep3d`).

There is no single MICC protocol. Figures of one compare only with those of its own kind, so the
two have names and tables of their own.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from ...core.arrays import Floats, Ints
from ...core.errors import EstimationError, InputError
from ...core.files import write_text
from ...core.geometry.mesh import Mesh
from ...core.geometry.transform import align_similarity
from ...core.spent import timed
from ..evaluation.predictions import LANDMARK_SUFFIXES, find_beside, read_mesh, read_points
from ..evaluation.protocol import Benchmark, Case, CaseScore, ErrorMesh, Metric, Options, Row
from ..evaluation.units import landmark_remark, size_remark
from ..evaluation.words import word
from .deng import Forehead, score_deep3d
from .ganfit import (
    CROP_RADII,
    CROP_RADIUS,
    MM,
    N_LANDMARKS,
    NOSE_TIP,
    Cropped,
    GanfitScore,
    crop_prediction,
    crop_scan,
    score_fixed,
    score_pair,
    similarity_of_sizes,
)
from .layout import (
    SCANS,
    SETTINGS,
    ScanFiles,
    Template,
    landmark_ids_path,
    prediction_of,
    read_ljson,
    read_template,
    subjects_of,
)
from .plausible import shape_remarks, unit_remark
from .tables import SUBJECTS, mean_and_std, official_rows, rows_of_settings, text_of_settings

_EYE_CORNERS = (36, 45)
_EYES_APART_MM = 90.0  # from outer corner to outer corner; people differ by a tenth


class Ganfit:
    """MICC as GANFit's code scores it."""

    name = "micc"
    title = "MICC/Florence, GANFit's protocol"
    metrics: tuple[Metric, ...] = (
        Metric(name="mean", unit="mm", decimals=2),
        Metric(name="std", unit="mm", decimals=2),
    )
    leaderboard: str | None = "micc.yaml"

    def cases(self, data: Path, predictions: Path, options: Options) -> list[Case]:
        """Return subjects under each kind of footage; see `layout` for the folders."""
        subjects = subjects_of(data, "reg")
        read_template(find_beside(data / "template"), landmark_ids_path(data))
        return [
            _case(data, predictions, setting, subject, scans, len(subjects))
            for setting in SETTINGS
            for subject, scans in subjects.items()
        ]

    def score(self, case: Case, options: Options) -> CaseScore:
        """Return the lower error of the subject's scans, and what it is made of."""
        template = _template(case)
        vertices = template.mesh.vertices
        radius, nose = case.numbers["radius"], int(template.landmark_vertices[NOSE_TIP])
        mesh = read_mesh(case.prediction, n_vertices=len(vertices))
        unit = unit_remark(mesh.vertices, vertices)
        try:
            remarks = shape_remarks(mesh.vertices, vertices)
        except InputError as error:
            raise InputError(f"{case.prediction}: {error}") from None
        scans = {name: _scan(case, name) for name in _scan_names(case)}

        def official() -> dict[str, GanfitScore]:
            prediction = crop_prediction(mesh.vertices, mesh.faces, nose, radius=radius)
            return {name: score_pair(scan, prediction) for name, scan in scans.items()}

        try:
            by_scan, spent = timed(official)
        except InputError as error:  # a crop of nothing, in all likelihood by its unit
            raise InputError(f"{case.prediction}: {unit or error}") from None
        best = min(by_scan, key=lambda name: by_scan[name].error_mm)
        fixed = {}
        if options.fixed:
            fixed = _values({
                name: score_fixed(scan, mesh.vertices, mesh.faces, nose_vertex=nose, radius=radius)
                for name, scan in scans.items()
            })  # fmt: skip
        return CaseScore(
            id=case.id,
            groups=case.groups,
            values=_values(by_scan),
            fixed=fixed,
            counts=_iterations(by_scan) | {SUBJECTS: int(case.numbers[SUBJECTS])},
            distances=by_scan[best].reg_to_rec.distances_mm,
            error_mesh=_heat(scans[best], template.mesh.faces, by_scan[best]),
            seconds=spent.cpu_s,
            remarks=(*([unit] if unit else ()), *remarks),
        )

    def rows(self, scores: Sequence[CaseScore], options: Options) -> list[Row]:
        """Return mean and deviation over subjects; a missing one makes the mean infinite."""
        return official_rows(rows_of_settings(scores, "error"))

    def write_official(
        self, cases: Sequence[Case], scores: Sequence[CaseScore], out: Path, options: Options
    ) -> list[Path]:
        """Write `micc_errors.txt`; the official code prints mean and deviation only."""
        return _write_errors(cases, scores, out / "micc_errors.txt", "error", absent=math.inf)

    def photographs(self, data: Path, options: Options) -> Mapping[str, Path]:
        """Return nothing: the footage is video, of which methods choose frames."""
        return {}


class Deep3D:
    """MICC as Deng et al. describe it."""

    name = "micc-deep3d"
    title = "MICC/Florence, protocol of Deng et al."
    metrics: tuple[Metric, ...] = (
        Metric(name="mean", unit="mm", decimals=2, title="mean RMSE"),
        Metric(name="std", unit="mm", decimals=2),
    )
    leaderboard: str | None = "micc-deep3d.yaml"
    settings: Mapping[str, str] = {
        "forehead": "cut (default) or keep: the scan above the brows",
        "scan": "raw (default: the scans of scans/) or registered (the meshes of reg/)",
    }

    def cases(self, data: Path, predictions: Path, options: Options) -> list[Case]:
        """Return subjects under each kind of footage; each is scored against its first scan."""
        _forehead(options)
        subjects = subjects_of(data, _scan_folder(options))
        return [
            _case(data, predictions, setting, subject, scans[:1], len(subjects))
            for setting in SETTINGS
            for subject, scans in subjects.items()
        ]

    def score(self, case: Case, options: Options) -> CaseScore:
        """Return RMSE and mean distance against the scan."""
        (name,) = _scan_names(case)
        marks = read_ljson(case.inputs[f"{name}_landmarks"])
        _refuse_unit(marks, case.inputs[f"{name}_landmarks"])
        scan = read_mesh(case.inputs[name])
        if _scan_folder(options) == "reg":
            scan = _in_scan_frame(scan, marks, _template(case))
        mesh = read_mesh(case.prediction)
        own_marks = _landmarks_of(case, mesh)
        _refuse_landmarks(own_marks, marks, case.prediction)
        try:
            score, spent = timed(
                lambda: score_deep3d(
                    scan.vertices, mesh.vertices, mesh.faces, scan_landmarks=marks,
                    predicted_landmarks=own_marks, forehead=_forehead(options),
                )
            )  # fmt: skip
        except InputError as error:  # of the crop
            raise InputError(f"{case.inputs[name]}: {error}") from None
        except EstimationError as error:
            raise EstimationError(f"{case.prediction}: {error}") from None
        on_scan = np.full(len(scan.vertices), np.nan)
        on_scan[score.rows] = score.distances_mm
        return CaseScore(
            id=case.id,
            groups=case.groups,
            values={"rmse": score.rmse_mm, "surface": score.surface_mm},
            counts={"iterations": score.iterations, SUBJECTS: int(case.numbers[SUBJECTS])},
            distances=score.distances_mm,
            error_mesh=ErrorMesh(vertices=scan.vertices, faces=scan.faces, error=on_scan),
            seconds=spent.cpu_s,
        )

    def rows(self, scores: Sequence[CaseScore], options: Options) -> list[Row]:
        """Return mean and deviation over all meshes scored, and of each kind of footage."""
        rows = rows_of_settings(scores, "rmse")
        values = mean_and_std([score.values["rmse"] for score in scores])
        missing = sum(row.missing for row in rows)
        return [Row(label="all", values=values, n=len(scores), missing=missing), *rows]

    def write_official(
        self, cases: Sequence[Case], scores: Sequence[CaseScore], out: Path, options: Options
    ) -> list[Path]:
        """Write `micc_deep3d_errors.txt`: there is no official file."""
        return _write_errors(cases, scores, out / "micc_deep3d_errors.txt", "rmse", absent=math.nan)

    def photographs(self, data: Path, options: Options) -> Mapping[str, Path]:
        """Return nothing, as `Ganfit.photographs`."""
        return {}


def _case(
    data: Path,
    predictions: Path,
    setting: str,
    subject: int,
    scans: Sequence[ScanFiles],
    n_subjects: int,
) -> Case:
    inputs = {"template": find_beside(data / "template"), "ids": landmark_ids_path(data)}
    for scan in scans:
        inputs |= {scan.name: scan.mesh, f"{scan.name}_landmarks": scan.landmarks}
    return Case(
        id=f"{setting}_subject_{subject:02d}",
        groups={"setting": setting, "subject": str(subject)},
        prediction=prediction_of(predictions, subject, setting),
        inputs=inputs,
        numbers={"radius": CROP_RADII.get(subject, CROP_RADIUS), SUBJECTS: n_subjects},
    )


def _scan_names(case: Case) -> list[str]:
    return [name for name in SCANS if name in case.inputs]


def _template(case: Case) -> Template:
    mesh, ids = case.inputs["template"], case.inputs["ids"]
    return _read_template(mesh, ids, _state(mesh, ids))


@lru_cache(maxsize=1)
def _read_template(mesh: Path, ids: Path, state: object) -> Template:
    return read_template(mesh, ids)


def _scan(case: Case, name: str) -> Cropped:
    paths = (case.inputs[name], case.inputs[f"{name}_landmarks"],
             case.inputs["template"], case.inputs["ids"])  # fmt: skip
    return _read_scan(paths, case.numbers["radius"], _state(*paths))


@lru_cache(maxsize=128)  # of all subjects, 3 MB each: a subject comes again with other footage
def _read_scan(paths: tuple[Path, Path, Path, Path], radius: float, state: object) -> Cropped:
    mesh, landmarks, *template_files = paths
    template = _read_template(*template_files, _state(*template_files))
    registered = read_mesh(mesh, n_vertices=len(template.mesh.vertices))
    marks = read_ljson(landmarks)
    placed = similarity_of_sizes(marks, template.landmarks)(marks)
    remark = landmark_remark(placed, template.landmarks)
    if remark:
        raise InputError(f"{landmarks}: {remark}")
    try:
        return crop_scan(
            registered.vertices,
            registered.faces,
            scan_landmarks=marks,
            template_landmarks=template.landmarks,
            radius=radius,
        )
    except InputError as error:
        raise InputError(f"{mesh}: {error}") from None


def _state(*paths: Path) -> tuple[tuple[int, int], ...]:
    """Return what changes with the files' content, for caches."""
    try:
        return tuple((path.stat().st_mtime_ns, path.stat().st_size) for path in paths)
    except OSError as error:
        raise InputError(f"{error.filename}: not readable ({error.strerror})") from error


def _values(by_scan: Mapping[str, GanfitScore]) -> dict[str, float]:
    """Return the lower error of the scans, then each scan's error and its two halves."""
    values = {"error": min(score.error_mm for score in by_scan.values())}
    for name, score in by_scan.items():
        values |= {
            name: score.error_mm,
            f"{name}_reg_to_rec": score.reg_to_rec.error_mm,
            f"{name}_rec_to_reg": score.rec_to_reg.error_mm,
        }
    return values


def _iterations(by_scan: Mapping[str, GanfitScore]) -> dict[str, int]:
    counts = {}
    for name, score in by_scan.items():
        counts[f"{name}_reg_to_rec"] = score.reg_to_rec.iterations
        counts[f"{name}_rec_to_reg"] = score.rec_to_reg.iterations
    return counts


def _heat(scan: Cropped, faces: Ints, score: GanfitScore) -> ErrorMesh:
    error = np.full(len(scan.vertices), np.nan)
    error[score.reg_to_rec.rows] = score.reg_to_rec.distances_mm
    return ErrorMesh(vertices=scan.vertices * MM, faces=faces, error=error)


def _write_errors(
    cases: Sequence[Case], scores: Sequence[CaseScore], path: Path, metric: str, *, absent: float
) -> list[Path]:
    subjects = sorted({int(case.groups["subject"]) for case in cases})
    write_text(path, text_of_settings(scores, metric, subjects, absent=absent))
    return [path]


def _forehead(options: Options) -> Forehead:
    return Forehead(word(options, "forehead", (Forehead.CUT, Forehead.KEEP)))


def _scan_folder(options: Options) -> str:
    return "scans" if word(options, "scan", ("raw", "registered")) == "raw" else "reg"


def _in_scan_frame(registered: Mesh, marks: Floats, template: Template) -> Mesh:
    """Take a registered mesh back to its scan's frame and millimetres, by the 68 landmarks."""
    scan_from_template = similarity_of_sizes(template.landmarks, marks)
    return replace(registered, vertices=scan_from_template(registered.vertices))


def _refuse_unit(marks: Floats, path: Path) -> None:
    eyes = float(np.linalg.norm(marks[_EYE_CORNERS[0]] - marks[_EYE_CORNERS[1]]))
    remark = size_remark(eyes, _EYES_APART_MM, what="the scan's landmarks")
    if remark:
        raise InputError(f"{path}: {remark}")


def _refuse_landmarks(own: Floats, marks: Floats, path: Path) -> None:
    """Refuse landmarks that do not fit the scan's: an alignment from there would be in vain."""
    try:
        placed = align_similarity(own, marks)(own)
    except EstimationError as error:
        raise InputError(f"{path}: its landmarks cannot be aligned ({error})") from None
    remark = landmark_remark(placed, marks, what="the prediction's landmarks")
    if remark:
        raise InputError(f"{path}: {remark}")


def _landmarks_of(case: Case, mesh: Mesh) -> Floats:
    """Return (68, 3): of the file beside the prediction, or by the template's vertex numbers."""
    beside = find_beside(case.prediction.with_suffix(""), LANDMARK_SUFFIXES)
    has_template = case.inputs["template"].is_file() and case.inputs["ids"].is_file()
    if not beside.is_file() and has_template:
        template = _template(case)
        if len(template.mesh.vertices) == len(mesh.vertices):
            return np.asarray(mesh.vertices[template.landmark_vertices], np.float64)
    return read_points(beside, N_LANDMARKS)


GANFIT: Benchmark = Ganfit()
DEEP3D: Benchmark = Deep3D()
