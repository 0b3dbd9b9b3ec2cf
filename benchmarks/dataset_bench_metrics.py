"""How far a registered face lies from the truth: its surface, its vertices, its landmarks."""

from dataclasses import dataclass

import numpy as np

from ..core.arrays import Bools, Floats
from ..core.errors import EstimationError
from ..core.geometry.closest import SurfaceQuery
from ..core.geometry.mesh import Mesh
from ..dataset.register.registered import Registered
from .dataset_bench_truth import TakeTruth
from .mesh_accuracy import mesh_error

N_SAMPLES = 60_000
_OTHER_THING_MM = 10.0  # farther off, a scan shows no face
_SEED = 1  # of the points drawn on surfaces


@dataclass(frozen=True, kw_only=True)
class RegistrationError:
    """A registered face against the truth, where two cameras see the face."""

    surface_median_mm: float
    """Of the distance from registered vertices to the true surface."""
    surface_p90_mm: float
    scan_median_mm: float
    """Of the distance from the scan to the true surface, in the same region."""
    correspondence_median_mm: float
    """Of the distance from registered vertices to where they truly lie."""
    correspondence_p90_mm: float
    along_median_mm: float
    """Of the part of that distance which lies in the surface."""
    landmark_mm: float
    """Median of the 68 landmarks' distances."""
    landmark_max_mm: float
    landmark_worst: int
    """Number of the worst landmark, 0-67."""
    coarse_median_mm: float
    """Of the distance from the morphable fit's vertices to where they truly lie."""
    n_vertices: int

    @property
    def surface_beyond_scan_mm(self) -> float:
        """What registration adds to the scan's own error."""
        return self.surface_median_mm - self.scan_median_mm


def registration_error(registered: Registered, scan: Mesh, truth: TakeTruth) -> RegistrationError:
    """Hold a registered scan against the truth.

    Raises
    ------
    EstimationError
        Two cameras see nothing of the face, or the scan has nothing of it.
    """
    measured = truth.measured
    if not measured.any():
        raise EstimationError("no vertex of the face is seen by two cameras")
    posed = registered.posed()
    signed, _, _ = truth.surface.closest(posed[measured])
    true = truth.vertices
    _, normals, _ = truth.surface.closest(true[measured])
    off = posed[measured] - true[measured]
    distance = np.linalg.norm(off, axis=1)
    along = off - (off * normals).sum(1, keepdims=True) * normals
    coarse = registered.world_from_head(registered.coarse())[measured] - true[measured]
    marks = truth.model.landmarks68
    landmark = np.linalg.norm(posed[marks] - true[marks], axis=1)
    scan_error = mesh_error(
        scan, truth.surface, n_samples=N_SAMPLES, rng=np.random.default_rng(_SEED)
    )
    return RegistrationError(
        surface_median_mm=float(np.median(np.abs(signed))),
        surface_p90_mm=float(np.percentile(np.abs(signed), 90)),
        scan_median_mm=scan_error.median_mm,
        correspondence_median_mm=float(np.median(distance)),
        correspondence_p90_mm=float(np.percentile(distance, 90)),
        along_median_mm=float(np.median(np.linalg.norm(along, axis=1))),
        landmark_mm=float(np.median(landmark)),
        landmark_max_mm=float(landmark.max()),
        landmark_worst=int(landmark.argmax()),
        coarse_median_mm=float(np.median(np.linalg.norm(coarse, axis=1))),
        n_vertices=int(measured.sum()),
    )


@dataclass(frozen=True, kw_only=True)
class RoundTrip:
    """The maps applied again, against the scan that they were baked from."""

    median_mm: float
    """Of the distance from the scan's points on the face to the surface that the maps give."""
    p90_mm: float
    bias_mm: float
    """Median distance, positive where the scan lies outside: a wrong sign shows here."""


def round_trip(detailed: Mesh, scan: Mesh, registered: Registered, *, face: Bools) -> RoundTrip:
    """Compare a surface made of maps with the scan, over the face.

    Parameters
    ----------
    detailed : Mesh
        World frame.
    face : (V,) bool
        The model's vertices that count.

    Raises
    ------
    EstimationError
        The scan has no point on the face.
    """
    points = _on_face(scan, registered, face)
    near = SurfaceQuery(detailed.vertices, detailed.faces).closest(points)
    a, b, c = (np.asarray(detailed.vertices[detailed.faces[near.face, i]]) for i in range(3))
    outside = ((points - near.points) * np.cross(b - a, c - a)).sum(1) >= 0
    return RoundTrip(
        median_mm=float(np.median(near.distance)),
        p90_mm=float(np.percentile(near.distance, 90)),
        bias_mm=float(np.median(np.where(outside, near.distance, -near.distance))),
    )


def _on_face(scan: Mesh, registered: Registered, face: Bools) -> Floats:
    """Return vertices of the scan whose nearest place on the registered mesh is of the face."""
    model = registered.model
    vertices = np.asarray(scan.vertices, dtype=np.float64)
    step = max(1, len(vertices) // (4 * N_SAMPLES))
    near = SurfaceQuery(registered.posed(), model.faces).closest(vertices[::step])
    on_face = np.asarray(face[model.faces].all(axis=1))[near.face]
    on_face &= near.distance < _OTHER_THING_MM * registered.world_from_head.scale
    if not on_face.any():
        raise EstimationError("the scan has no point on the registered face")
    return vertices[::step][on_face]
