"""What a variant of the ablation is worth: its faces of unseen people beside the true ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.arrays import Bools, Floats
from ..core.facemodel.landmark_table import LandmarkTable, load_landmark_table
from ..core.facemodel.procedural import procedural_head
from ..core.geometry.mesh import Mesh
from ..core.rendering.preview import seen_triangles
from .face_distance import surface_error
from .learned_bench_metrics import detail_figures
from .learned_bench_people import (
    Case,
    CaseTruth,
    cases_of,
    photograph_of,
    truth_of,
    write_landmarks,
)
from .learned_bench_spots import SpottedPerson, spot_error_mm, spotted_person

if TYPE_CHECKING:
    from ..reconstruct.prediction import Prediction

FIGURES = (
    "m1_median_mm", "median_mm", "contour_px", "relief_corr", "relief_face_corr", "normal_deg",
    "spot_error_mm",
)  # fmt: skip
"""Of a variant: means over the people."""
_MODEL = "builtin"
_TEXTURE = 64  # texels a side: nobody looks at it
_BROWS, _CHIN = slice(17, 27), 8  # rows of the landmarks
_CROP_PX, _CROP_MM = 224, 219.6  # HRN's crop, and what of a face it shows
_SPOT_MAP = 256
_SEEN = 0.5


@dataclass(frozen=True, kw_only=True)
class Unseen:
    """The people that all variants are measured on."""

    cases: Sequence[Case]
    folder: Path
    """Of their photographs."""
    spotted: Sequence[SpottedPerson]
    finder: LandmarkTable


def unseen_people(
    subjects: int, seed: int, folder: Path, *, models: tuple[str, ...], spotted: int
) -> Unseen:
    """Photograph unseen people, and some more with and without spots."""
    from ..reconstruct.facetensors import face_tensors

    cases, _ = cases_of(subjects, seed, models=models)
    for case in cases:
        photograph_of(case, folder)
    face = face_tensors(procedural_head())
    people = [
        spotted_person(face, seed=1000 * seed + number, size=_SPOT_MAP, anywhere=number % 2 == 1)
        for number in range(spotted)
    ]
    finder = load_landmark_table(write_landmarks(cases, folder))
    return Unseen(cases=cases, folder=folder, spotted=people, finder=finder)


def measure(checkpoint: Path, unseen: Unseen) -> dict[str, Any]:
    """Reconstruct the unseen people by some weights and measure.

    Returns
    -------
    dict
        Means over people: `m1_median_mm`, `median_mm` (median distance, mm, from points of the
        true face to M1 and to the detailed surface, after rigid alignment); `contour_px` (see
        `contour_error_px`); `relief_corr`, `relief_face_corr`, `normal_deg` (see
        `learned_bench_metrics.face_figures`); `spot_error_mm` (see `spot_error_mm`).
    """
    from ..reconstruct.hrnmethod import HrnMethod
    from ..reconstruct.photograph import find_face, read_photograph

    method = HrnMethod(procedural_head(), checkpoint=checkpoint, texture_size=_TEXTURE)
    rows = []
    for case in unseen.cases:
        photograph = read_photograph(unseen.folder / f"{case.name}.png")
        found = method(photograph, find_face(photograph, unseen.finder))
        rows.append(_figures(found, truth_of(case, unseen.folder)))
    figures = {name: _mean([row[name] for row in rows]) for name in rows[0]}
    figures["spot_error_mm"] = spot_error_mm(method, unseen.spotted) if unseen.spotted else None
    return figures


def contour_error_px(found: "Prediction", true: Bools) -> float:
    """Return how far M1's outline lies from the photograph's, px of HRN's 224 px crop.

    The mean over both sides and over the rows from the brows to the chin: what the contour loss
    pulls together.

    Parameters
    ----------
    true : (H, W)
        Where the photograph shows the head.
    """
    camera, mid = found.camera, found.mid.astype(np.float64)
    mesh = Mesh(vertices=mid, faces=found.model.faces)
    ours = seen_triangles(mesh, camera)[..., 3] > 0
    marks = found.landmarks
    rows = slice(int(np.nanmin(marks[_BROWS, 1])), int(np.nanmax(marks[_CHIN, 1])))
    both = ours[rows].any(axis=1) & true[rows].any(axis=1)
    ends = [_ends(mask[rows][both]) for mask in (ours, true)]
    depth = float(camera.project(mid[found.model.landmarks68])[1].mean())
    crop_px = _CROP_PX / _CROP_MM * depth / float(camera.K[0, 0])
    return float(np.abs(ends[0] - ends[1]).mean() * crop_px)


def _figures(found: "Prediction", truth: CaseTruth) -> dict[str, Any]:
    model = found.model
    told = detail_figures(found, truth)
    return {
        "m1_median_mm": surface_error(truth.face, found.mesh("mid"), model).median_mm,
        "median_mm": surface_error(truth.face, found.detailed_mesh(), model).median_mm,
        "contour_px": contour_error_px(found, truth.mask),
        **{name: told[name] for name in ("relief_corr", "relief_face_corr", "normal_deg")},
    }


def _ends(mask: Bools) -> Floats:
    """Return (N, 2) the first and last column of each row (N, W)."""
    width = mask.shape[1]
    return np.stack([mask.argmax(axis=1), width - mask[:, ::-1].argmax(axis=1)], axis=1)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
