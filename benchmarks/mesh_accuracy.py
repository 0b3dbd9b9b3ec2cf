"""How far a reconstructed surface is from the true one.

Accuracy: from points of the reconstruction to the true surface. Completeness: from points of
the true surface to the reconstruction. Both are exact point-to-triangle distances, without
any fit of one to the other, and count only where the true surface belongs to the region asked
for and at least two cameras see it at a usable angle.
"""

from dataclasses import dataclass

import numpy as np

from ..core.arrays import AnyFloats, Bools, Floats, Floats32, Ints
from ..core.errors import EstimationError, InputError
from ..core.geometry.camera import Rig
from ..core.geometry.closest import ClosestPoints, SurfaceQuery
from ..core.geometry.mesh import Mesh, sample_surface, vertex_normals
from ..core.geometry.transform import Similarity
from .rig_accuracy import inside_image

N_SAMPLES = 200_000
MIN_VIEWS = 2
MAX_INCIDENCE_DEG = 65.0
OUTLIER_MM = 2.0
COMPLETE_WITHIN_MM = (0.1, 0.2, 0.5)
_IDENTITY = Similarity(scale=1.0, R=np.eye(3), t=np.zeros(3))


@dataclass(frozen=True, kw_only=True)
class MeshAccuracy:
    """A surface against the true one, in the measured region."""

    median_mm: float
    """Of the distance from the reconstruction to the truth."""
    p90_mm: float
    mean_mm: float
    rms_mm: float
    bias_mm: float
    """Median signed distance: positive where the reconstruction lies outside the truth."""
    outlier_percent: float
    """Share of the reconstruction farther than 2 mm from the truth."""
    normal_deg: float
    """Median angle between the normals."""
    completeness_percent: dict[float, float]
    """Distance, mm -> share of the true region that has reconstruction within it."""
    n_points: int
    """Points of the reconstruction that fell into the region."""
    signed_mm: Floats32
    """(V,) signed distance of every vertex of the reconstruction; NaN beyond 5 mm."""
    measured: Bools
    """(V,) whether the vertex lies in the measured region."""
    errors_mm: Floats32
    """(n_points,) signed distances that the figures above are of."""


class TrueSurface:
    """The true mesh, the region that counts and the cameras that had to see it."""

    def __init__(self, mesh: Mesh, *, region: Bools | None = None, rig: Rig | None = None) -> None:
        if region is not None and len(region) != len(mesh.faces):
            raise InputError(f"the region has {len(region)} entries for {len(mesh.faces)} faces")
        self.mesh, self._rig = mesh, rig
        self._query = SurfaceQuery(mesh.vertices, mesh.faces)
        self._normals = vertex_normals(mesh.vertices, mesh.faces)
        self._region = np.ones(len(mesh.faces), bool) if region is None else region

    def near(self, mesh: Mesh, *, margin_mm: float = 10.0) -> Mesh:
        """Return the part of a mesh in the box round what counts: the rest is not measured."""
        region = self.mesh.vertices[np.unique(self.mesh.faces[self._region])]
        low, high = region.min(axis=0) - margin_mm, region.max(axis=0) + margin_mm
        inside = ((mesh.vertices > low) & (mesh.vertices < high)).all(axis=1)
        return mesh.selected(inside[mesh.faces].all(axis=1))

    def sample(self, n_samples: int, *, rng: np.random.Generator) -> Floats:
        """Return about `n_samples` points (N, 3), mm, evenly over what counts."""
        faces = np.flatnonzero(self._region)
        if len(faces) == 0:
            raise InputError("the region of the true surface that shall be measured is empty")
        points, local = sample_surface(
            self.mesh.vertices, self.mesh.faces[faces], n_samples, rng=rng
        )
        chosen = faces[local].astype(np.int32)
        return points[self.seen(points, self._normals_at(points, chosen))]

    def closest(self, points: AnyFloats) -> tuple[Floats, Floats, Bools]:
        """Find (N,) signed distances, (N, 3) true normals there, and which count."""
        near = self._query.closest(points)
        normals = self._normals_at(near.points, near.face)
        outside = ((points - near.points) * normals).sum(1) >= 0
        counts = self._region[near.face].copy()
        counts[counts] = self.seen(near.points[counts], normals[counts])
        return np.where(outside, near.distance, -near.distance), normals, counts

    def seen(self, points: Floats, normals: Floats) -> Bools:
        """Tell which points (N, 3) on the surface two cameras see at a usable angle."""
        if self._rig is None:
            return np.ones(len(points), bool)
        n_views = np.zeros(len(points), np.int32)
        steepest = np.cos(np.radians(MAX_INCIDENCE_DEG))
        for camera in self._rig:
            to_camera = camera.center - points
            cosine = (to_camera * normals).sum(1) / np.linalg.norm(to_camera, axis=1)
            xy, _ = camera.project(points)
            good = inside_image(xy, camera) & (cosine > steepest)
            good[good] = self._query.sees(camera, points[good] + 0.02 * normals[good])
            n_views += good
        return n_views >= MIN_VIEWS

    def _normals_at(self, points: Floats, face: Ints) -> Floats:
        return _interpolated_normals(self.mesh, self._normals, points, face)


def mesh_error(
    mesh: Mesh,
    truth: TrueSurface,
    *,
    true_from_mesh: Similarity = _IDENTITY,
    n_samples: int = N_SAMPLES,
    rng: np.random.Generator,
) -> MeshAccuracy:
    """Measure a reconstruction.

    Parameters
    ----------
    true_from_mesh : Similarity, optional
        Frame of the mesh -> frame of the truth, as the rig's alignment gives it.
    n_samples : int
        Points drawn on either surface.

    Raises
    ------
    EstimationError
        Nothing of the mesh lies near the region.
    """
    vertices = true_from_mesh(np.asarray(mesh.vertices, dtype=np.float64))
    moved = Mesh(vertices=vertices, faces=mesh.faces)
    points, face = sample_surface(vertices, mesh.faces, n_samples, rng=rng)
    signed, true_normals, counts = truth.closest(points)
    counts &= np.abs(signed) < 50.0  # far parts are other things than the subject
    if not counts.any():
        raise EstimationError("the mesh has no point near the region: is it of this take?")
    errors = signed[counts]
    distance = np.abs(errors)
    own = _interpolated_normals(
        moved, vertex_normals(vertices, mesh.faces), points[counts], face[counts]
    )
    cosine = np.clip((own * true_normals[counts]).sum(1), -1, 1)
    wanted = truth.sample(n_samples, rng=rng)
    to_mesh: ClosestPoints = SurfaceQuery(vertices, mesh.faces).closest(wanted)
    per_vertex, _, measured = truth.closest(vertices)
    return MeshAccuracy(
        median_mm=float(np.median(distance)),
        p90_mm=float(np.percentile(distance, 90)),
        mean_mm=float(distance.mean()),
        rms_mm=float(np.sqrt((distance**2).mean())),
        bias_mm=float(np.median(errors)),
        outlier_percent=float(100 * (distance > OUTLIER_MM).mean()),
        normal_deg=float(np.degrees(np.median(np.arccos(cosine)))),
        completeness_percent={
            limit: float(100 * (to_mesh.distance < limit).mean()) for limit in COMPLETE_WITHIN_MM
        },
        n_points=int(counts.sum()),
        signed_mm=np.where(np.abs(per_vertex) < 5.0, per_vertex, np.nan).astype(np.float32),
        measured=measured,
        errors_mm=errors.astype(np.float32),
    )


def refine_alignment(
    mesh: Mesh,
    truth: TrueSurface,
    *,
    start: Similarity = _IDENTITY,
    n_steps: int = 15,
    rng: np.random.Generator,
) -> Similarity:
    """Fit the mesh rigidly to the truth: what remains is the error of its shape alone.

    Point-to-plane least squares over the measured region, points beyond 2 mm left out.

    Raises
    ------
    EstimationError
        Fewer than a hundred points lie within 2 mm of the region.
    """
    points, _ = sample_surface(mesh.vertices, mesh.faces, 20_000, rng=rng)
    pose = start
    for _ in range(n_steps):
        moved = pose(points)
        signed, normals, counts = truth.closest(moved)
        near = counts & (np.abs(signed) < OUTLIER_MM)
        if near.sum() < 100:
            raise EstimationError("too little of the mesh lies near the truth to align them")
        p, n, d = moved[near], normals[near], signed[near]
        middle = p.mean(0)
        A = np.hstack([np.cross(p - middle, n), n])
        step = np.linalg.lstsq(A, -d, rcond=None)[0]
        R = _rotation(step[:3])
        t = middle + step[3:] - R @ middle
        pose = Similarity(scale=pose.scale, R=R @ pose.R, t=R @ pose.t + t)
    return pose


def _rotation(vector: Floats) -> Floats:
    """Return the (3, 3) rotation by |vector| radians about it (Rodrigues)."""
    angle = float(np.linalg.norm(vector))
    if angle < 1e-12:
        return np.eye(3)
    x, y, z = vector / angle
    K = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(np.eye(3) + np.sin(angle) * K + (1 - np.cos(angle)) * K @ K)


def _interpolated_normals(mesh: Mesh, normals: Floats, points: Floats, face: Ints) -> Floats:
    """Return (N, 3) unit normals at `points` on `face` (N,) from those of the vertices."""
    corners = mesh.faces[face]
    a, b, c = (np.asarray(mesh.vertices[corners[:, i]], dtype=np.float64) for i in range(3))
    u, v, p = b - a, c - a, points - a
    uu, uv, vv = (u * u).sum(1), (u * v).sum(1), (v * v).sum(1)
    pu, pv = (p * u).sum(1), (p * v).sum(1)
    det = np.maximum(uu * vv - uv * uv, 1e-30)
    s, t = (vv * pu - uv * pv) / det, (uu * pv - uv * pu) / det
    weights = np.clip(np.stack([1 - s - t, s, t], axis=1), 0, 1)
    mixed = np.einsum("nk,nkc->nc", weights, normals[corners])
    return np.asarray(mixed / np.maximum(np.linalg.norm(mixed, axis=1, keepdims=True), 1e-12))
