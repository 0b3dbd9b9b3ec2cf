"""One NoW image: seven landmarks, the crop, the refinement and the distances that are left.

Kept as the official evaluation has it, for its numbers depend on it:

- the landmarks may be fitted by a mirrored solution, computed in their own type (float32);
- the crop's radius has the factor 1.4, not the 1.2 of its paper;
- the refinement stops early (`register.py`);
- metrical: the scale of the unit replaces the fitted one, but the shift remains the one that was
  found with the fitted scale.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ...core.arrays import AnyFloats, Bools, Floats, Ints
from ...core.errors import InputError
from ..evaluation.units import spread, times_off
from ..metrics.crop import Sphere, crop_scan
from ..metrics.landmarks import alignment_remarks, placement_remarks, seven_landmarks
from ..metrics.procrustes import Procrustes, procrustes
from ..metrics.surface import ExactSurface
from .converge import converge
from .register import Registration, refine

CROP_FACTOR = 1.4
UNITS_MM: Mapping[str, float] = {"m": 1000.0, "cm": 10.0, "mm": 1.0}
"""Unit of metrical predictions -> mm."""
_LIKELY = 3.0  # faces differ in size by less, units by more
_FAR_MM = 6.0  # median: no face is that far from another


@dataclass(frozen=True, kw_only=True)
class NowScore:
    """What came of one prediction."""

    distances: Floats
    """(N,) mm, of each scan vertex within the crop, in the scan's order."""
    cropped: Bools
    """(V,) which scan vertices those are."""
    vertices: Floats
    """(P, 3) mm, the prediction where it was measured."""
    alignment: Procrustes
    """Of the landmarks."""
    sphere: Sphere
    registration: Registration
    remarks: tuple[str, ...] = ()
    """What is odd about the prediction."""

    @property
    def values(self) -> dict[str, float]:
        """Median, mean and standard deviation (of all, not of a sample), mm."""
        return statistics(self.distances)


def statistics(distances: Floats, *, reorder: bool = False) -> dict[str, float]:
    """Return the figures that NoW reports; with `reorder` in place, which saves a copy."""
    mean, std = float(np.mean(distances)), float(np.std(distances))
    return {
        "median": float(np.median(distances, overwrite_input=reorder)), "mean": mean, "std": std,
    }  # fmt: skip


def score_now(
    scan_vertices: AnyFloats,
    scan_landmarks: AnyFloats,
    vertices: AnyFloats,
    faces: Ints,
    landmarks: AnyFloats,
    *,
    unit: str | None = None,
    fixed: bool = False,
) -> NowScore:
    """Score a predicted mesh against a scan.

    Parameters
    ----------
    scan_vertices : (V, 3) float64, mm
    scan_landmarks, landmarks : (7, 3), in the order of `metrics.crop.LANDMARK_NAMES`
        float32 as the official readers give them; the alignment is done in that type.
    vertices, faces : (P, 3), (F, 3)
        The prediction, in any unit and place.
    unit : {"m", "cm", "mm"}, optional
        Metrical evaluation: the prediction's unit. Without it the scale is free.
    fixed : bool
        Without the oddities named above: proper rotations only, in float64, the metrical shift
        by the metrical scale, and the refinement run to its end.

    Raises
    ------
    InputError
        The mesh or the landmarks cannot be used.
    EstimationError
        No scan vertex lies in the crop, or the landmarks coincide.
    """
    if unit is not None and unit not in UNITS_MM:
        raise InputError(f"unit {unit!r}: metrical predictions are in {', '.join(UNITS_MM)}")
    scan = np.asarray(scan_vertices, dtype=np.float64)
    kind = np.float64 if fixed else None
    scan_landmarks = seven_landmarks(scan_landmarks, "scan", kind=kind)
    landmarks = seven_landmarks(landmarks, "prediction", kind=kind)
    sphere, cropped = crop_scan(scan, scan_landmarks, factor=CROP_FACTOR)
    alignment = procrustes(scan_landmarks, landmarks, mirror=not fixed)
    remarks = alignment_remarks(scan_landmarks, landmarks, alignment)
    aligned = _place(alignment, vertices, landmarks, scan_landmarks, unit=unit, fixed=fixed)
    surface = ExactSurface(aligned, faces)
    placed = _place(alignment, landmarks, landmarks, scan_landmarks, unit=unit, fixed=fixed)
    remarks += placement_remarks(surface, placed, sphere, factor=CROP_FACTOR)
    remarks += _unit_remarks(spread(landmarks), spread(scan_landmarks), unit)
    solve = converge if fixed else refine
    registration = solve(scan[cropped], surface, with_scale=unit is None)
    remarks += _distance_remarks(registration.distance)
    return NowScore(
        distances=registration.distance,
        cropped=cropped,
        vertices=registration.motion.apply(aligned),
        alignment=alignment,
        sphere=sphere,
        registration=registration,
        remarks=remarks,
    )


def _place(
    alignment: Procrustes,
    vertices: AnyFloats,
    landmarks: AnyFloats,
    scan_landmarks: AnyFloats,
    *,
    unit: str | None,
    fixed: bool,
) -> Floats:
    """Return the vertices where the landmarks put them, mm."""
    vertices = np.asarray(vertices, dtype=np.float64)
    if unit is None:
        return alignment.apply(vertices)
    scale = UNITS_MM[unit]
    if not fixed:
        return alignment.apply(vertices, scale=scale)  # the shift belongs to another scale
    shift = scan_landmarks.mean(axis=0) - scale * (landmarks.mean(axis=0) @ alignment.rotation)
    return np.asarray(scale * (vertices @ alignment.rotation) + shift)


def _unit_remarks(found: float, expected: float, unit: str | None) -> tuple[str, ...]:
    """Tell a prediction that another unit would fit, by the spread of its landmarks."""
    if unit is None or not found > 0:
        return ()
    ratio = found * UNITS_MM[unit] / expected
    if 1 / _LIKELY < ratio < _LIKELY:
        return ()
    nearest = min(UNITS_MM, key=lambda u: abs(np.log(found * UNITS_MM[u] / expected)))
    hint = f": {nearest}?" if nearest != unit else ""
    return (f"predictions look {times_off(ratio)} for unit={unit}{hint}",)


def _distance_remarks(distances: Floats) -> tuple[str, ...]:
    """Tell a prediction that did not arrive at the scan."""
    median = float(np.median(distances))
    if median <= _FAR_MM:
        return ()
    return (f"half of the scan is more than {median:.3g} mm from the prediction: not aligned?",)
