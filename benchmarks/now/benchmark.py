"""NoW as a benchmark: non-metrical, or metrical by a setting; pooled over all vertices."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ...core.errors import FacekitError, InputError
from ..evaluation.predictions import read_mesh, read_shared_mesh
from ..evaluation.protocol import Case, CaseScore, ErrorMesh, Metric, Options, Row
from ..evaluation.words import flag
from ..metrics.crop import cropped_faces
from .layout import (
    find_photograph,
    list_images,
    prediction_files,
    read_landmarks,
    read_picked_points,
    scan_files,
)
from .official import write_distances
from .score import UNITS_MM, score_now, statistics


class Now:
    """NoW; see the module."""

    name = "now"
    title = "NoW"
    metrics = (
        Metric(name="median", unit="mm", decimals=2),
        Metric(name="mean", unit="mm", decimals=2),
        Metric(name="std", unit="mm", decimals=2),
    )
    leaderboard: str | None = "now.yaml"
    settings: Mapping[str, str] = {
        "set": "validation or test: which list of images; the one that is there by default",
        "challenge": "only images of one challenge, such as selfie",
        "metrical": "true or false: hold the scale of the predictions' unit (false)",
        "unit": "m, cm or mm: of the predictions, with metrical=true",
    }

    def cases(self, data: Path, predictions: Path, options: Options) -> list[Case]:
        """Return the images in the list's order."""
        _unit(options)
        images = list_images(data, options.settings.get("set"))
        challenge = options.settings.get("challenge")
        chosen = [image for image in images if challenge in (None, image.challenge)]
        if not chosen:
            there = ", ".join(sorted({image.challenge for image in images}))
            raise InputError(f"--set challenge={challenge}: the list has {there}")
        scans = scan_files(data, [image.subject for image in chosen])
        cases = []
        for image in chosen:
            mesh, landmarks = prediction_files(predictions, image)
            scan, picked = scans[image.subject]
            groups = {
                "challenge": image.challenge, "subject": image.subject, "image": image.line,
            }  # fmt: skip
            cases.append(
                Case(
                    id=image.id,
                    groups=groups,
                    prediction=mesh,
                    inputs={"landmarks": landmarks, "scan": scan, "picked": picked},
                    numbers={"n_listed": len(images)},
                )
            )
        return cases

    def score(self, case: Case, options: Options) -> CaseScore:
        """Score an image."""
        unit = _unit(options)
        mesh = read_mesh(case.prediction)
        landmarks = read_landmarks(case.inputs["landmarks"])
        scan = read_shared_mesh(case.inputs["scan"])
        picked = read_picked_points(case.inputs["picked"])
        given = (scan.vertices, picked, mesh.vertices, mesh.faces, landmarks)
        fixed, arrays = dict[str, float](), {}
        start = time.process_time()
        try:
            score = score_now(*given, unit=unit)
            seconds = time.process_time() - start
            if options.fixed:
                true = score_now(*given, unit=unit, fixed=True)
                fixed, arrays = true.values, {"fixed_distances": true.distances}
        except FacekitError as error:
            raise type(error)(f"{case.prediction}: {error}") from error
        return CaseScore(
            id=case.id,
            groups=case.groups,
            values=score.values,
            fixed=fixed,
            counts={
                "iterations": score.registration.iterations,
                "evaluations": score.registration.evaluations,
                "scan_vertices": len(score.distances),
            },
            distances=score.distances,
            error_mesh=ErrorMesh(
                vertices=scan.vertices[score.cropped],
                faces=cropped_faces(scan.faces, score.cropped),
                error=score.distances,
            ),
            seconds=seconds,
            arrays=arrays,
            remarks=score.remarks,
        )

    def rows(self, scores: Sequence[CaseScore], options: Options) -> list[Row]:
        """Return all images pooled, then each challenge; dense scans weigh more, as in NoW."""
        label = "all" if _unit(options) is None else "metrical"
        groups = {label: list(scores)}
        if "challenge" not in options.settings:
            for score in scores:
                groups.setdefault(score.groups["challenge"], []).append(score)
        return [
            Row(label=name, values=_pooled(members), n=len(members))
            for name, members in groups.items()
        ]

    def write_official(
        self, cases: Sequence[Case], scores: Sequence[CaseScore], out: Path, options: Options
    ) -> list[Path]:
        """Write NoW's file of distances, and median and mean."""
        n_listed = int(cases[0].numbers["n_listed"]) if cases else 0
        distances = [score.distances for score in scores if score.distances is not None]
        return write_distances(
            out, distances, [score.groups["image"] for score in scores],
            n_missing=n_listed - len(scores), challenge=options.settings.get("challenge"),
        )  # fmt: skip

    def photographs(self, data: Path, options: Options) -> Mapping[str, Path]:
        """Return the photographs that the data hold."""
        images = list_images(data, options.settings.get("set"))
        found = {image.id: find_photograph(data, image) for image in images}
        return {name: path for name, path in found.items() if path is not None}


BENCHMARK = Now()


def _unit(options: Options) -> str | None:
    """Return the unit of metrical predictions; None where the scale is free."""
    metrical = flag(options, "metrical")
    unit = options.settings.get("unit")
    if unit is not None and unit not in UNITS_MM:
        raise InputError(f"--set unit={unit}: one of {', '.join(UNITS_MM)}")
    if not metrical:
        if unit is not None:
            raise InputError("--set unit matters with --set metrical=true only; leave one")
        return None
    if unit is None:
        raise InputError(f"metrical=true needs --set unit=, one of {', '.join(UNITS_MM)}")
    return unit


def _pooled(scores: Sequence[CaseScore]) -> dict[str, float]:
    distances = [score.distances for score in scores if score.distances is not None]
    return statistics(np.concatenate(distances), reorder=True)
