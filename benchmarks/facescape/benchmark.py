"""FaceScape's benchmark, in the wild and in the lab: figures by angle and by focal length."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from ...core.arrays import AnyFloats, Floats, Ints
from ...core.errors import FacekitError
from ...core.geometry.mesh import Mesh
from ..evaluation.predictions import read_shared_mesh
from ..evaluation.protocol import Case, CaseScore, ErrorMesh, Metric, Options, Row
from ..evaluation.words import flag, word
from .layout import (
    FOCALS,
    LAB_CASES,
    VIEWS,
    lab_data,
    lab_name,
    photographs_of,
    place_lab,
    place_wild,
    prediction_path,
    read_camera,
    read_prediction,
    view_angle,
    wild_angle,
    wild_data,
)
from .official import mean_of, write_lab_tables, write_lists, write_wild_table
from .score import PoseScore, Rules, score_lab, score_wild

_METRICS = (
    Metric(name="CD", unit="mm", decimals=2),
    Metric(name="MNE", unit="rad", decimals=3),
    Metric(name="CR", unit="%", decimals=1, lower_is_better=False, of_case=100.0),
    Metric(name="done", unit="%", decimals=1, lower_is_better=False),
)
_SETTINGS = {
    "strict_gl": "true: depth is rendered by pyrender on this machine's OpenGL",
    "hit": "outermost or first: what --fixed keeps of a ray",
}


class _FaceScape:
    """What both sets share."""

    metrics = _METRICS
    settings: Mapping[str, str] = _SETTINGS
    leaderboard: str | None = None
    groups: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Group of the cases -> its values, in the order of the rows."""

    def rows(self, scores: Sequence[CaseScore], options: Options) -> list[Row]:
        """Return means by group, NaN skipped as officially; CR and what is done in %."""
        rows = [
            _row(label, [s for s in scores if s.groups.get(group) == label])
            for group, labels in self.groups
            for label in labels
            if any(s.groups.get(group) == label for s in scores)
        ]
        total = _row("all", scores)
        n_done = int((~np.isnan([score.values["CR"] for score in scores])).sum())
        done = 100.0 * n_done / int(max(score.arrays["index"][2] for score in scores))
        return [*rows, Row(label="all", values={**total.values, "done": done}, n=total.n)]


class Wild(_FaceScape):
    """FaceScape in the wild."""

    name = "facescape-wild"
    title = "FaceScape, in the wild"
    leaderboard: str | None = "facescape-wild.yaml"
    groups = (("angle", ("0-5", "5-30", "30-60", "60-90")),)

    def cases(self, data: Path, predictions: Path, options: Options) -> list[Case]:
        """Return a case for each true mesh."""
        _settings(options)
        found = wild_data(data)
        cases = []
        for index, mesh in found.meshes.items():
            numbers = _place(index, list(found.meshes))
            numbers["pupil_scale"] = float(found.pupil_scales[index])
            numbers |= _numbered("R", found.rotations[index])
            numbers |= _numbered("c", found.head_centers[index])
            cases.append(
                Case(
                    id=f"{index:03d}",
                    groups={"angle": wild_angle(index)},
                    prediction=prediction_path(predictions, f"{index:03d}"),
                    inputs={"truth": mesh},
                    numbers=numbers,
                )
            )
        return cases

    def score(self, case: Case, options: Options) -> CaseScore:
        """Score a prediction."""
        truth = read_shared_mesh(case.inputs["truth"])
        n, scale = case.numbers, case.numbers["pupil_scale"]

        def run(prediction: Mesh, rules: Rules) -> PoseScore:
            return score_wild(
                truth.vertices, truth.faces, place_wild(prediction.vertices), prediction.faces,
                R=_array(n, "R", 9).reshape(3, 3), head_center=_array(n, "c", 3),
                pupil_scale=scale, rules=rules,
            )  # fmt: skip

        def by_pyrender(vertices: AnyFloats, faces: Ints) -> AnyFloats:
            from .strictgl import pyrender_orthographic

            return pyrender_orthographic(vertices, faces, pupil_scale=scale)

        return _scored(case, options, run, by_pyrender)

    def write_official(
        self, cases: Sequence[Case], scores: Sequence[CaseScore], out: Path, options: Options
    ) -> list[Path]:
        """Write the three lists and table 1."""
        values = _listed(scores)
        method = _method(cases)
        return [*write_lists(values, out), write_wild_table(values, method, out)]

    def photographs(self, data: Path, options: Options) -> Mapping[str, Path]:
        """Return the images of the set, where they are there."""
        found = photographs_of(data, "wild")
        return {stem: path for stem, path in found.items() if stem.isdigit()}


class Lab(_FaceScape):
    """FaceScape in the lab."""

    name = "facescape-lab"
    title = "FaceScape, in the lab"
    leaderboard: str | None = "facescape-lab.yaml"
    groups = (
        ("angle", ("0", "30", "60")),
        ("focal", tuple(f"f{focal}" for focal in FOCALS)),
    )

    def cases(self, data: Path, predictions: Path, options: Options) -> list[Case]:
        """Return a case for each camera of each true mesh."""
        _settings(options)
        found = lab_data(data)
        cases = []
        for index, camera in found.cameras.items():
            subject, rest = divmod(index, len(FOCALS) * VIEWS)
            focal, view = divmod(rest, VIEWS)
            name = lab_name(index)
            # the table by angle is of the longest focal length alone
            angle = view_angle(view) + ("" if focal == 0 else f" at f = {FOCALS[focal]}")
            numbers = _place(index, list(found.cameras))
            numbers |= _numbered("R", found.rotations[view])
            numbers |= _numbered("c", found.head_centers[focal])
            cases.append(
                Case(
                    id=name,
                    groups={
                        "angle": angle, "focal": f"f{FOCALS[focal]}", "subject": f"s{subject:02d}"
                    },
                    prediction=prediction_path(predictions, name),
                    inputs={"truth": found.meshes[subject], "camera": camera},
                    numbers=numbers,
                )
            )  # fmt: skip
        return cases

    def score(self, case: Case, options: Options) -> CaseScore:
        """Score a prediction."""
        truth = read_shared_mesh(case.inputs["truth"])
        K, Rt = read_camera(case.inputs["camera"])
        n = case.numbers

        def run(prediction: Mesh, rules: Rules) -> PoseScore:
            return score_lab(
                truth.vertices, truth.faces,
                place_lab(prediction.vertices, focal=float(K[0, 0])), prediction.faces,
                R=_array(n, "R", 9).reshape(3, 3), head_center=_array(n, "c", 3), K=K, Rt=Rt,
                rules=rules,
            )  # fmt: skip

        def by_pyrender(vertices: AnyFloats, faces: Ints) -> AnyFloats:
            from .strictgl import pyrender_perspective

            return pyrender_perspective(vertices, faces, K=K)

        return _scored(case, options, run, by_pyrender)

    def write_official(
        self, cases: Sequence[Case], scores: Sequence[CaseScore], out: Path, options: Options
    ) -> list[Path]:
        """Write the three lists and tables 2 and 3."""
        values = _listed(scores)
        method = _method(cases)
        return [*write_lists(values, out), *write_lab_tables(values, method, out)]

    def photographs(self, data: Path, options: Options) -> Mapping[str, Path]:
        """Return the images of the set, where they are there."""
        names = {lab_name(index) for index in range(LAB_CASES)}
        found = photographs_of(data, "lab")
        return {stem: path for stem, path in found.items() if stem in names}


WILD = Wild()
LAB = Lab()


def _scored(
    case: Case, options: Options, run: Callable[[Mesh, Rules], PoseScore],
    by_pyrender: Callable[[AnyFloats, Ints], AnyFloats],
) -> CaseScore:  # fmt: skip
    strict, outermost = _settings(options)
    prediction = read_prediction(case.prediction)
    try:
        start = time.process_time()
        score = run(prediction, Rules(depth=by_pyrender if strict else None))
        seconds = time.process_time() - start
        fixed = run(prediction, Rules(exact=True, outermost=outermost)) if options.fixed else None
    except FacekitError as problem:
        raise type(problem)(f"{case.prediction}: {problem}") from problem
    place = [case.numbers[name] for name in ("index", "n_lines", "n_cases")]
    arrays = {"index": np.array(place)}
    if fixed is not None:
        arrays["fixed_distances"] = _pooled(fixed)
    return CaseScore(
        id=case.id,
        groups=case.groups,
        values=_values(score),
        fixed={} if fixed is None else _values(fixed),
        counts={
            "overlap_px": int((score.depth_pred != 0).sum()),
            "cells": int(((score.map_gt.radius != 0) & (score.map_pred.radius != 0)).sum()),
            "stuck_rays": int((np.stack([score.map_gt.hits, score.map_pred.hits]) >= 20).sum()),
        },
        distances=_pooled(score),
        error_mesh=ErrorMesh(
            vertices=score.mesh_pred.vertices,
            faces=score.mesh_pred.vertex_faces[:, [1, 0, 2]],  # outwards, as officially
            error=score.distances.pred_to_gt,
        ),
        seconds=seconds,
        arrays=arrays,
        remarks=_remarks(score),
    )


def _values(score: PoseScore) -> dict[str, float]:
    return {"CD": score.cd, "MNE": score.mne, "CR": score.cr, "delta_z": score.delta_z}


def _pooled(score: PoseScore) -> Floats:
    return np.concatenate([score.distances.gt_to_pred, score.distances.pred_to_gt])


def _remarks(score: PoseScore) -> tuple[str, ...]:
    remarks = [] if score.remark is None else [score.remark]
    if np.isnan(score.mne):
        remarks.append("MNE is NaN as officially: equal normals, a cosine above one by rounding")
    if score.cut:
        remarks.append(
            f"{score.cut} triangles below -150 mm are left out; the official code stops with an "
            "IndexError there"
        )
    return tuple(remarks)


def _settings(options: Options) -> tuple[bool, bool]:
    """Return (strict_gl, outermost)."""
    outermost = word(options, "hit", ("outermost", "first")) == "outermost"
    return flag(options, "strict_gl"), outermost


def _place(index: int, indices: Sequence[int]) -> dict[str, float]:
    """Return what the lists and the done rate need to know of a case."""
    return {"index": index, "n_lines": max(indices) + 1, "n_cases": len(indices)}


def _numbered(name: str, values: Floats) -> dict[str, float]:
    return {f"{name}{k}": float(value) for k, value in enumerate(values.reshape(-1))}


def _array(numbers: Mapping[str, float], name: str, n: int) -> Floats:
    return np.array([numbers[f"{name}{k}"] for k in range(n)])


def _row(label: str, scores: Sequence[CaseScore]) -> Row:
    values = {
        name: mean_of(np.array([s.values[name] for s in scores]), range(len(scores)))
        for name in ("CD", "MNE", "CR")
    }
    values = {m.name: values[m.name] * m.of_case for m in _METRICS if m.name in values}
    return Row(label=label, values=values, n=len(scores))


def _listed(scores: Sequence[CaseScore]) -> dict[str, Floats]:
    """Return metric -> a value for each index up to the last of the data, NaN where none is.

    As the official code has it with `--num` so many.
    """
    n_lines = int(max(s.arrays["index"][1] for s in scores))
    values = {name: np.full(n_lines, np.nan) for name in ("CD", "MNE", "CR")}
    for score in scores:
        for name, listed in values.items():
            listed[int(score.arrays["index"][0])] = score.values[name]
    return values


def _method(cases: Sequence[Case]) -> str:
    """Return the method's name: that of the folder of predictions."""
    return cases[0].prediction.parent.name if cases else ""
