"""One ESRC prediction: seven landmarks, the crop, and the distances; nothing is refined.

Kept as the official evaluation has it: a mirrored fit of the landmarks is allowed.

Source
------
Feng et al., Evaluation of dense 3D reconstruction from 2D face images in the wild, FG 2018.
"""

from dataclasses import dataclass

import numpy as np

from ...core.arrays import AnyFloats, Floats, Ints
from ..metrics.crop import Sphere, crop_scan
from ..metrics.landmarks import alignment_remarks, placement_remarks, seven_landmarks
from ..metrics.procrustes import Procrustes, procrustes
from ..metrics.surface import ExactSurface

CROP_FACTOR = 1.2
_FAR_MM = 12.0  # mean: landmarks alone leave a few


@dataclass(frozen=True, kw_only=True)
class EsrcScore:
    """What came of one prediction."""

    vertex: Ints
    """(N,) scan vertices within the crop, ascending."""
    distances: Floats
    """(N,) mm of each."""
    vertices: Floats
    """(P, 3) mm, the prediction where it was measured."""
    alignment: Procrustes
    sphere: Sphere
    remarks: tuple[str, ...] = ()
    """What is odd about the prediction."""

    @property
    def values(self) -> dict[str, float]:
        """3DRMSE, mean, median and standard deviation (of all, not of a sample), mm."""
        return {
            "rmse": float(np.sqrt(np.mean(self.distances**2))),
            "mean": float(np.mean(self.distances)),
            "median": float(np.median(self.distances)),
            "std": float(np.std(self.distances)),
        }


def score_esrc(
    scan_vertices: AnyFloats,
    scan_landmarks: AnyFloats,
    vertices: AnyFloats,
    faces: Ints,
    landmarks: AnyFloats,
    *,
    fixed: bool = False,
) -> EsrcScore:
    """Score a predicted mesh against a scan.

    Parameters
    ----------
    scan_vertices : (V, 3), mm
    scan_landmarks, landmarks : (7, 3), in the order of `metrics.crop.LANDMARK_NAMES`
        Taken as float64, as the official text reader gives them.
    vertices, faces : (P, 3), (F, 3)
        The prediction, in any unit and place.
    fixed : bool
        Without a mirror in the fit of the landmarks.

    Raises
    ------
    InputError
        The mesh or the landmarks cannot be used.
    EstimationError
        No scan vertex lies in the crop, or the landmarks coincide.
    """
    scan = np.asarray(scan_vertices, dtype=np.float64)
    scan_landmarks = seven_landmarks(scan_landmarks, "scan", kind=np.float64)
    landmarks = seven_landmarks(landmarks, "prediction", kind=np.float64)
    sphere, inside = crop_scan(scan, scan_landmarks, factor=CROP_FACTOR)
    vertex = np.flatnonzero(inside).astype(np.int32)
    alignment = procrustes(scan_landmarks, landmarks, mirror=not fixed)
    remarks = alignment_remarks(scan_landmarks, landmarks, alignment)
    aligned = alignment.apply(np.asarray(vertices, dtype=np.float64))
    surface = ExactSurface(aligned, faces)
    remarks += placement_remarks(surface, alignment.fitted, sphere, factor=CROP_FACTOR)
    distances = surface.closest(scan[vertex]).distance
    if np.mean(distances) > _FAR_MM:
        remarks += (
            f"the scan is {np.mean(distances):.3g} mm from the prediction in the mean: not "
            "aligned, or landmarks of another mesh?",
        )
    return EsrcScore(
        vertex=vertex, distances=distances, vertices=aligned, alignment=alignment,
        sphere=sphere, remarks=remarks,
    )  # fmt: skip
