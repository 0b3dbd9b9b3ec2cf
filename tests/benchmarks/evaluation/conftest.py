"""A benchmark as small as can be: vertices of a prediction against those of a truth."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import trimesh

from facekit.benchmarks.evaluation import registry
from facekit.benchmarks.evaluation.predictions import find_beside, read_mesh
from facekit.benchmarks.evaluation.protocol import (
    Case,
    CaseScore,
    ErrorMesh,
    Metric,
    Options,
    Row,
)
from facekit.core.errors import InputError
from facekit.core.geometry.mesh import Mesh
from facekit.core.geometry.meshio import save_mesh


class Toy:
    """Scores vertex by vertex; the official way forgets the last vertex."""

    name = "toy"
    title = "Toy <benchmark>"
    metrics = (
        Metric(name="median", unit="mm", decimals=2),
        Metric(name="mean", unit="mm", decimals=2),
    )
    leaderboard: str | None = "now.yaml"
    settings: Mapping[str, str] = {"power": "of the distances"}

    def __init__(self) -> None:
        self.scored: list[str] = []
        """Cases in the order they were scored."""

    def cases(self, data: Path, predictions: Path, options: Options) -> list[Case]:
        truths = sorted((data / "truth").glob("*.obj"))
        return [
            Case(
                id=path.stem,
                groups={"challenge": "easy" if i % 2 else "hard"},
                prediction=find_beside(predictions / path.stem),
                inputs={"truth": path},
            )
            for i, path in enumerate(truths)
        ]

    def score(self, case: Case, options: Options) -> CaseScore:
        self.scored.append(case.id)
        truth, mesh = read_mesh(case.inputs["truth"]), read_mesh(case.prediction)
        if len(truth.vertices) != len(mesh.vertices):
            raise InputError(f"{case.prediction}: another topology")
        distance = np.linalg.norm(mesh.vertices - truth.vertices, axis=1)
        figures = {"median": float(np.median(distance[:-1])), "mean": float(distance[:-1].mean())}
        fixed = {"mean": float(distance.mean())} if options.fixed else {}
        return CaseScore(
            id=case.id,
            groups=case.groups,
            values=figures,
            fixed=fixed,
            counts={"n": len(distance)},
            distances=distance[:-1],
            error_mesh=ErrorMesh(vertices=truth.vertices, faces=truth.faces, error=distance),
            arrays={"fixed_distances": distance},
        )

    def rows(self, scores: Sequence[CaseScore], options: Options) -> list[Row]:
        rows = [_row("all", scores)]
        for name in ("easy", "hard"):
            some = [s for s in scores if s.groups["challenge"] == name]
            rows += [_row(name, some)] if some else []
        return rows

    def write_official(
        self, cases: Sequence[Case], scores: Sequence[CaseScore], out: Path, options: Options
    ) -> list[Path]:
        path = out / "toy.txt"
        path.write_text("".join(f"{s.id} {s.values['mean']!r}\n" for s in scores))
        return [path]

    def photographs(self, data: Path, options: Options) -> Mapping[str, Path]:
        return {}


def _row(label: str, scores: Sequence[CaseScore]) -> Row:
    pooled = np.concatenate([s.distances for s in scores if s.distances is not None])
    values = {"median": float(np.median(pooled)), "mean": float(pooled.mean())}
    return Row(label=label, values=values, n=len(scores))


@dataclasses.dataclass(frozen=True)
class ToyCase:
    """The toy benchmark, and four people of it with predictions."""

    benchmark: Toy
    data: Path
    predictions: Path
    out: Path


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ToyCase:
    """Give the toy benchmark, registered as `toy`, with four cases that are 1 to 4 mm off."""
    benchmark = Toy()
    known = registry.get
    monkeypatch.setenv("FACEKIT_ASSETS", str(tmp_path / "assets"))
    for module in ("evaluate", "everything"):
        monkeypatch.setattr(
            f"facekit.benchmarks.evaluation.{module}.get",
            lambda name: benchmark if name == "toy" else known(name),
        )
    ball = trimesh.creation.icosphere(subdivisions=2, radius=90.0)
    mesh = Mesh(vertices=np.asarray(ball.vertices), faces=ball.faces.astype(np.int32))
    for i, name in enumerate(("ann", "bob", "cat", "dan")):
        save_mesh(tmp_path / "data" / "truth" / f"{name}.obj", mesh)
        off = np.zeros((len(mesh.vertices), 3))
        off[:, 2] = (i + 1) * np.linspace(0.5, 1.5, len(off))
        moved = dataclasses.replace(mesh, vertices=mesh.vertices + off)
        save_mesh(tmp_path / "mine" / f"{name}.obj", moved)
    return ToyCase(
        benchmark=benchmark, data=tmp_path / "data", predictions=tmp_path / "mine",
        out=tmp_path / "out",
    )  # fmt: skip
