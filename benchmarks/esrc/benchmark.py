"""ESRC as a benchmark: a figure each prediction, averaged over predictions."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ...core.errors import FacekitError
from ...core.files import write_text
from ..evaluation.predictions import read_mesh, read_shared_mesh
from ..evaluation.protocol import Case, CaseScore, ErrorMesh, Metric, Options, Row
from ..metrics.crop import cropped_faces
from .layout import list_items, prediction_files, read_landmarks, scans_and_annotations
from .score import score_esrc


class Esrc:
    """ESRC; see the module."""

    name = "esrc"
    title = "ESRC (FG2018)"
    metrics = (
        Metric(name="rmse", unit="mm", decimals=2, title="3DRMSE"),
        Metric(name="mean", unit="mm", decimals=2),
        Metric(name="median", unit="mm", decimals=2),
        Metric(name="std", unit="mm", decimals=2),
    )
    leaderboard: str | None = None

    def cases(self, data: Path, predictions: Path, options: Options) -> list[Case]:
        """Return a case for each line of the list, or for each scan."""
        scans = scans_and_annotations(data)
        cases = []
        for item in list_items(data, scans):
            mesh, landmarks = prediction_files(predictions, item)
            scan, annotation = scans[item.scan]
            cases.append(
                Case(
                    id=item.id,
                    groups={"set": item.group, "subject": item.scan},
                    prediction=mesh,
                    inputs={"landmarks": landmarks, "scan": scan, "annotation": annotation},
                )
            )
        return cases

    def score(self, case: Case, options: Options) -> CaseScore:
        """Score a prediction."""
        mesh = read_mesh(case.prediction)
        landmarks = read_landmarks(case.inputs["landmarks"])
        scan = read_shared_mesh(case.inputs["scan"])
        given = (scan.vertices, read_landmarks(case.inputs["annotation"]))
        start = time.process_time()
        try:
            score = score_esrc(*given, mesh.vertices, mesh.faces, landmarks)
            seconds = time.process_time() - start
            fixed = {}
            if options.fixed:
                fixed = score_esrc(*given, mesh.vertices, mesh.faces, landmarks, fixed=True).values
        except FacekitError as problem:
            raise type(problem)(f"{case.prediction}: {problem}") from problem
        cropped = np.zeros(len(scan.vertices), bool)
        cropped[score.vertex] = True
        return CaseScore(
            id=case.id,
            groups=case.groups,
            values=score.values,
            fixed=fixed,
            counts={"scan_vertices": len(score.distances)},
            distances=score.distances,
            error_mesh=ErrorMesh(
                vertices=scan.vertices[cropped],
                faces=cropped_faces(scan.faces, cropped),
                error=score.distances,
            ),
            seconds=seconds,
            arrays={"vertex": score.vertex},
            remarks=score.remarks,
        )

    def rows(self, scores: Sequence[CaseScore], options: Options) -> list[Row]:
        """Return means over all predictions, and over those of each set."""
        groups = {"all": list(scores)}
        for score in scores:
            if score.groups["set"] != "all":
                groups.setdefault(score.groups["set"], []).append(score)
        return [
            Row(label=label, values=_means(members), n=len(members))
            for label, members in groups.items()
        ]

    def write_official(
        self, cases: Sequence[Case], scores: Sequence[CaseScore], out: Path, options: Options
    ) -> list[Path]:
        r"""Write `<id>_distances.txt`: `vertex distance` a line, ended by \r\n as csv does."""
        paths = []
        for score in scores:
            assert score.distances is not None
            rows = zip(score.arrays["vertex"].tolist(), score.distances.tolist(), strict=True)
            path = out / f"{score.id}_distances.txt"
            write_text(path, "".join(f"{vertex} {distance!r}\r\n" for vertex, distance in rows))
            paths.append(path)
        return paths

    def photographs(self, data: Path, options: Options) -> Mapping[str, Path]:
        """Return the photographs of the list that the data hold, below it or `images/`."""
        found = {}
        for item in list_items(data, scans_and_annotations(data)):
            if item.photograph is None:
                continue
            places = (data / item.photograph, data / "images" / item.photograph)
            path = next((place for place in places if place.is_file()), None)
            if path is not None:
                found[item.id] = path
        return found


BENCHMARK = Esrc()


def _means(scores: Sequence[CaseScore]) -> dict[str, float]:
    names = [metric.name for metric in BENCHMARK.metrics]
    return {name: float(np.mean([score.values[name] for score in scores])) for name in names}
