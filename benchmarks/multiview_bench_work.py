"""One reconstruction of the multi-view benchmark from photographs to figures."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..core.jobs import apart
from .multiview_bench_case import CaseTruth, load_truth, make_case
from .multiview_bench_config import MultiViewBenchConfig, SubjectCase, Way, subject_case
from .multiview_bench_methods import Found, Task, run_apart
from .multiview_bench_metrics import Measured, mean_figures, measure_face
from .multiview_bench_pictures import draw_displacement, draw_surfaces
from .multiview_bench_views import Fault

FIGURES = (
    "median_mm", "p90_mm", "unaligned_median_mm", "scaled_median_mm", "scaled_p90_mm",
    "coarse_median_mm", "mid_median_mm",
    "detail_corr", "detail_gain", "detail_valid_percent", "detail_compared_percent",
    "detail_face_corr", "seconds", "cpu_s", "peak_gb",
)  # fmt: skip
"""The median over people is told, and the worst person named."""
LESS_IS_WORSE = tuple(name for name in FIGURES if name.startswith("detail_"))


class Person:
    """A virtual person of the benchmark, photographed, and what is true of them."""

    def __init__(self, config: MultiViewBenchConfig, index: int, out: Path) -> None:
        self.config, self.out = config, out
        self.case: SubjectCase = subject_case(config, index)
        self.path: Path = self.case.path(out)
        apart(make_case, self.path, self.case.key)
        self.truth: CaseTruth = load_truth(self.path)

    def reconstruct(
        self, way: Way, *, fault: Fault | None = None, without: tuple[str, ...] = ()
    ) -> tuple[dict[str, Any], Found]:
        """Reconstruct in a process of its own and measure.

        Returns
        -------
        dict, Found
            Figures as `measure_face` has them, means over the faces where there are several;
            `seconds`, `cpu_s`, `peak_gb`; `remarks`, view -> sentence; `n_meshes`.

        Raises
        ------
        FacekitError
            What the reconstruction raised.
        """
        config = self.config
        task = Task(
            path=self.path, head=self.case.key.head, way=way, seed=self.case.key.seed,
            focal_error=config.focal_error, method=config.method, without=without,
        )  # fmt: skip
        if fault is not None:
            task = replace(task, fault=fault)
        found, spent = run_apart(task, config.threads)
        measured = [measure_face(face, self.truth, way) for face in found.faces]
        if config.pictures and fault is None and not without:
            self._draw(way, found, measured[0])
        figures = {
            **mean_figures([one.figures for one in measured]),
            "seconds": spent.wall_s,
            "cpu_s": spent.cpu_s,
            "peak_gb": spent.peak_gb,
            "n_meshes": len(measured),
            "remarks": dict(found.remarks),
            "method": dict(found.figures),
        }
        return figures, found

    def _draw(self, way: Way, found: Found, measured: Measured) -> None:
        folder = self.out / self.case.name
        draw_surfaces(folder / f"{way}_surfaces.png", measured, self.truth)
        draw_displacement(
            folder / f"{way}_displacement.png", measured.detail,
            np.asarray(found.faces[0].displacement, np.float32),
        )  # fmt: skip


def summary(subjects: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the medians over people, and the worst of each figure."""
    found: dict[str, Any] = {}
    worst: dict[str, Any] = {}
    for name in FIGURES:
        known = {who: f[name] for who, f in subjects.items() if f.get(name) is not None}
        found[name] = float(np.median(list(known.values()))) if known else None
        if known:
            who = (min if name in LESS_IS_WORSE else max)(known, key=lambda who: known[who])
            worst[name] = {"value": known[who], "subject": who}
    return {**found, "worst": worst}
