"""The REALY score of one prediction, from arrays to millimetres."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from ...core.arrays import AnyFloats, Bools, Floats, Ints
from ...core.errors import InputError
from ..evaluation.predictions import check_mesh
from ..evaluation.units import spread
from ..metrics.surface import ExactSurface
from .foot_kernels import Rings
from .nonrigid import deform, guides_of
from .regions import (
    N_KEYPOINTS,
    NONRIGID,
    REGIONS,
    RIGID,
    KeypointTable,
    Merged,
    Region,
    Scan,
    merged,
)
from .rigid import PlacedMesh, PosedSurface, align_globally, align_region

_HOPELESS = 0.4
"""Residual of the keypoints, as a part of their spread, that no face in the right vertex order
has: faces stay below 0.1, and a list shifted by one vertex is at 0.7."""
_ODD = 0.2


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """A mesh in the template's vertex order, in whatever unit and place."""

    vertices: AnyFloats
    """(V, 3); taken as float32, as the official reader does."""
    faces: Ints
    """(F, 3) of its surface."""
    keypoints: KeypointTable
    """Where the 85 keypoints are on it."""
    mask: Bools | None = None
    """(V,) vertices that count: faces with another vertex are left out of the closest points of
    the non-rigid step (for "visualization" by its help text), but not of the rigid one."""
    name: str = "the prediction"
    """What sentences call it."""


@dataclass(frozen=True, kw_only=True)
class RegionScore:
    """What came of one region."""

    nmse_mm: float
    """The mean distance, mm: neither squared nor normalised, whatever its name."""
    distances: Floats
    """(N,) of each vertex of the merged region, REALY's unit."""
    distances_mm: Floats
    """The same, mm."""
    merged: Merged
    """The region as it was measured, REALY's unit."""
    aligned: AnyFloats
    """(V, 3) prediction after the region's rigid alignment, REALY's unit."""
    deformed: Floats
    """(N, 3) the region after its registration."""
    rigid_steps: int
    """Of the rigid alignment (searches for closest points)."""
    solves: int
    """Of the non-rigid registration."""


@dataclass(frozen=True, kw_only=True)
class RealyScore:
    """What came of one prediction."""

    regions: Mapping[str, RegionScore]
    """nose, mouth, forehead, cheek."""
    globally_aligned: Floats
    """(V, 3), REALY's unit."""
    remarks: tuple[str, ...]
    """What is odd about the prediction."""

    @property
    def all_mm(self) -> float:
        """The mean of the four regions."""
        return float(np.mean([self.regions[name].nmse_mm for name in REGIONS]))


def score_arrays(
    pred_v: AnyFloats,
    pred_f: Ints,
    bary85: AnyFloats,
    gt_kpts: AnyFloats,
    regions: Mapping[str, tuple[AnyFloats, Ints]],
    metrical_scale: float,
    *,
    template_f: Ints | None = None,
    template_mask: AnyFloats | None = None,
    fixed: bool = False,
) -> RealyScore:
    """Score a prediction given as arrays.

    Parameters
    ----------
    pred_v : (V, 3), pred_f : (F, 3)
        The prediction, in any unit and place; faces count from 0.
    bary85 : (85, 3)
        Rows of face, weight of its first corner, weight of its second.
    gt_kpts : (85, 3)
        Keypoints of the scan, REALY's unit.
    regions : {"nose", "mouth", "forehead", "cheek"} -> (vertices, faces)
        Of the scan.
    metrical_scale : float
        Millimetres in a unit of this subject.
    template_f : (T, 3), optional
        Faces that `bary85` counts; `pred_f` by default.
    template_mask : (V,), optional
        1 for vertices that count in the non-rigid step, 0 for others.
    fixed : bool
        Without the official oddities; see `docs/evaluation.md`.

    Raises
    ------
    InputError
        The arrays are no such prediction or scan.
    """
    check_mesh(np.asarray(pred_v), np.asarray(pred_f), "prediction")
    absent = [name for name in REGIONS if name not in regions]
    if absent:
        raise InputError(f"regions: {', '.join(absent)} missing; REALY has {', '.join(REGIONS)}")
    template = np.asarray(pred_f if template_f is None else template_f)
    prediction = Prediction(
        vertices=np.asarray(pred_v),
        faces=np.asarray(pred_f),
        keypoints=keypoint_table(bary85, template, "bary85"),
        mask=None if template_mask is None else np.asarray(template_mask).reshape(-1) != 0,
        name="prediction",
    )
    scan = Scan(
        keypoints=np.asarray(gt_kpts, dtype=np.float32),
        regions={
            name: Region(vertices=np.asarray(v, dtype=np.float32), faces=np.asarray(f))
            for name, (v, f) in regions.items()
        },
        mm_per_unit=float(metrical_scale),
    )
    return score_prediction(prediction, scan, fixed=fixed)


def keypoint_table(rows: AnyFloats, template_faces: Ints, where: str) -> KeypointTable:
    """Read 85 rows of face and two weights; `where` begins the sentence of an error."""
    table = np.asarray(rows, dtype=np.float64)
    if table.shape != (N_KEYPOINTS, 3) or not np.isfinite(table).all():
        raise InputError(
            f"{where}: {table.shape}; {N_KEYPOINTS} rows of a face and two weights are needed"
        )
    face = table[:, 0].astype(np.int64)
    if face.min() < 0 or face.max() >= len(template_faces):
        raise InputError(
            f"{where}: a keypoint lies on triangle {int(face.max())}, but the template has "
            f"{len(template_faces)}; the two files do not belong together"
        )
    return KeypointTable(corners=np.asarray(template_faces)[face], weights=table[:, 1:])


def score_prediction(
    prediction: Prediction, scan: Scan, *, fixed: bool = False, threads: int = 1
) -> RealyScore:
    """Score a prediction.

    Parameters
    ----------
    fixed : bool
        Without the official oddities.
    threads : int
        Regions at once.

    Raises
    ------
    InputError
        The prediction's vertices are not in the template's order.
    EstimationError
        A registration is not determined.
    """
    _check_scan(scan)
    if prediction.keypoints.corners.max() >= len(prediction.vertices):
        raise InputError(
            f"{prediction.name}: {len(prediction.vertices)} vertices, but the keypoints ask for "
            f"vertex {int(prediction.keypoints.corners.max())}: another topology"
        )
    # the official reader's float32, from which 1e-7 of the result comes
    vertices = np.asarray(prediction.vertices, dtype=np.float32)
    if not np.isfinite(vertices).all():
        raise InputError(f"{prediction.name}: coordinates are NaN or beyond float32")
    placed, fit = align_globally(vertices, scan.keypoints, prediction.keypoints)
    remarks = _remarks(prediction, scan, placed, mirrored=bool(np.linalg.det(fit.R) < 0))
    if fixed:
        placed, _ = align_globally(vertices, scan.keypoints, prediction.keypoints, fixed=True)
    mesh = PlacedMesh(
        vertices=placed, faces=prediction.faces, surface=ExactSurface(placed, prediction.faces),
        rings=Rings(placed, prediction.faces), keypoints=prediction.keypoints, by_normal=not fixed,
    )  # fmt: skip
    measured = _measured(prediction, mesh)

    def one(region: str) -> RegionScore:
        return _score_region(mesh, measured, scan, region, fixed=fixed)

    with ThreadPoolExecutor(max(1, min(threads, len(REGIONS)))) as pool:
        found = list(pool.map(one, REGIONS))
    regions = dict(zip(REGIONS, found, strict=True))
    return RealyScore(regions=regions, globally_aligned=placed, remarks=remarks)


def _score_region(
    mesh: PlacedMesh, measured: PlacedMesh, scan: Scan, region: str, *, fixed: bool
) -> RegionScore:
    """Score one region: aligned to `mesh`, held against `measured`, which is masked."""
    raw = scan.regions[region]
    aligned = align_region(
        mesh, raw.vertices, scan.keypoints, RIGID[region], cheek=region == "cheek", fixed=fixed
    )
    part = merged(raw)
    surface = PosedSurface(measured, aligned.vertices, aligned.R, aligned.t)
    first, hint = surface.closest(part.vertices)
    guides = None
    rows = list(NONRIGID[region])
    if rows:
        targets = mesh.keypoints.on(aligned.vertices)[rows]
        guides = guides_of(part.vertices, scan.keypoints[rows], targets)
    moved = deform(part.vertices, part.faces, first, guides)
    last, _ = surface.closest(moved.vertices, hint=hint)
    distances = np.linalg.norm(last - part.vertices, axis=1)
    mean = float((distances[part.place] if fixed else distances).mean())
    return RegionScore(
        nmse_mm=mean * scan.mm_per_unit,
        distances=distances,
        distances_mm=distances * scan.mm_per_unit,
        merged=part,
        aligned=aligned.vertices,
        deformed=moved.vertices,
        rigid_steps=aligned.steps,
        solves=moved.solves,
    )


def _measured(prediction: Prediction, mesh: PlacedMesh) -> PlacedMesh:
    if prediction.mask is None:
        return mesh
    faces = masked_faces(prediction)
    return replace(
        mesh, faces=faces, surface=ExactSurface(mesh.vertices, faces),
        rings=Rings(mesh.vertices, faces),
    )  # fmt: skip


def masked_faces(prediction: Prediction) -> Ints:
    """Return the faces whose corners all count."""
    mask = prediction.mask
    if mask is None:
        return prediction.faces
    n = len(prediction.vertices)
    if len(mask) != n:
        raise InputError(
            f"the template's mask has {len(mask)} values, but {prediction.name} {n} vertices"
        )
    faces = prediction.faces[mask[prediction.faces].all(axis=1)]
    if len(faces) == 0:
        raise InputError(f"the template's mask leaves no triangle of {prediction.name}")
    return faces


def _remarks(
    prediction: Prediction, scan: Scan, placed: Floats, *, mirrored: bool
) -> tuple[str, ...]:
    """Return what is odd; refuse vertices in another order than the template's."""
    own = prediction.keypoints.on(placed)
    off = float(np.sqrt(np.mean(np.sum((own - scan.keypoints) ** 2, axis=1))))
    part = off / spread(scan.keypoints)
    if not part < _HOPELESS:
        raise InputError(
            f"{prediction.name}: its 85 keypoints lie {off * scan.mm_per_unit:.0f} mm from the "
            "scan's after alignment, so its vertices are not in the template's order: another "
            "topology of as many vertices, or a reader reordered them (trimesh: process=False)"
        )
    remarks = []
    if part > _ODD:
        remarks.append(
            f"its 85 keypoints lie {off * scan.mm_per_unit:.0f} mm from the scan's after "
            "alignment: a very poor face, or the wrong template"
        )
    if mirrored:
        remarks.append("it is mirrored; officially a mirrored mesh is mirrored back unseen")
    return tuple(remarks)


def _check_scan(scan: Scan) -> None:
    if scan.keypoints.shape != (N_KEYPOINTS, 3) or not np.isfinite(scan.keypoints).all():
        raise InputError(
            f"the scan's keypoints have the shape {scan.keypoints.shape} or are not finite; "
            f"({N_KEYPOINTS}, 3) is needed"
        )
    if not (np.isfinite(scan.mm_per_unit) and scan.mm_per_unit > 0):
        raise InputError(f"the subject's metrical scale is {scan.mm_per_unit}; mm a unit is needed")
    for name in REGIONS:
        check_mesh(scan.regions[name].vertices, scan.regions[name].faces, f"scan region {name}")


@cache
def warm_up() -> None:
    """Compile the kernels on a small case, so that the first one timed is timed for its own."""
    rng = np.random.default_rng(0)
    side = 12
    x, y = np.meshgrid(np.linspace(-5, 5, side), np.linspace(-5, 5, side))
    vertices = np.stack([x, y, rng.normal(scale=0.1, size=x.shape)], axis=2).reshape(-1, 3)
    corner = np.arange(side * side).reshape(side, side)[:-1, :-1].reshape(-1)
    faces = np.concatenate(
        [
            np.stack([corner, corner + 1, corner + side], axis=1),
            np.stack([corner + 1, corner + side + 1, corner + side], axis=1),
        ]
    ).astype(np.int32)
    rows = np.column_stack([np.arange(N_KEYPOINTS), np.full((N_KEYPOINTS, 2), 0.25)])
    table = keypoint_table(rows, faces, "warm-up")
    region = Region(vertices=vertices.astype(np.float32), faces=faces)
    scan = Scan(
        keypoints=table.on(vertices).astype(np.float32),
        regions=dict.fromkeys(REGIONS, region),
        mm_per_unit=1.0,
    )
    score_prediction(Prediction(vertices=vertices, faces=faces, keypoints=table), scan)
