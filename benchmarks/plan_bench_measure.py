"""What a scan has of each part of the face: how exactly, how finely and how much of it."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from ..capture.virtual.studio import load_head
from ..capture.virtual.truth import Truth
from ..core.arrays import Bools, Floats, Ints
from ..core.facemodel.model import FaceModel
from ..core.geometry.camera import Rig
from ..core.geometry.closest import SurfaceQuery
from ..core.geometry.mesh import Mesh, sample_surface
from ..dataset.plan.regions import NOWHERE, REGIONS, Region, exposed, region_of_vertices
from .mesh_accuracy import TrueSurface

_LEAST_POINTS = 200  # of a part of the face, to say anything
_MOST_POINTS = 60_000
_GROSS_MM = 5.0  # farther away is another thing than the face
_COVERED_MM = 0.5  # from the truth to measured scan: what is covered
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
_SEED = 1


@dataclass(frozen=True, kw_only=True)
class PartOfScan:
    """What came out for one part of the face."""

    sigma_mm: float | None
    """68 % of its measured points err by less; None: too few to tell."""
    gsd_mm: float | None
    """Median size of a pixel in the best view."""
    seen_by_two: float
    """Share of what can be seen at all that has scan, measured by two cameras, beside it."""
    points: int


def measured_parts(mesh: Mesh, truth: Truth, *, take: str = "neutral") -> dict[Region, PartOfScan]:
    """Hold a built mesh, in the true frame, against the truth of a virtual session.

    Sigma and pixel are of the vertices that lie on surface which two true cameras see at a usable
    angle.
    """
    true, model = truth.mesh(take), load_head(str(truth.subject["head"]))
    n_inner = len(true.faces) // len(model.faces)
    owner = np.repeat(owner_of_faces(model), n_inner)
    surface = TrueSurface(true, rig=truth.rig)
    rng = np.random.default_rng(_SEED)
    rows = rng.permutation(len(mesh.vertices))[:_MOST_POINTS]
    points = np.asarray(mesh.vertices[rows], dtype=np.float64)
    near = SurfaceQuery(true.vertices, true.faces).closest(points)
    _, normals, usable = surface.closest(points)
    counts = usable & (near.distance < _GROSS_MM)
    pixel = best_pixel(truth.rig, points, normals)
    covered = _covered(mesh, true, np.where(_open(truth, model, n_inner), owner, NOWHERE), rng)
    found = {}
    for i, region in enumerate(REGIONS):
        of_part = counts & (owner[near.face] == i)
        told = of_part.sum() >= _LEAST_POINTS
        error = float(np.percentile(near.distance[of_part], 68.27)) if told else None
        found[region] = PartOfScan(
            sigma_mm=error, gsd_mm=float(np.median(pixel[of_part])) if told else None,
            seen_by_two=covered[i], points=int(of_part.sum()),
        )  # fmt: skip
    return found


def reflectance_of(truth: Truth) -> float:
    """Return the luminance of a virtual person's plain skin; a white sheet has 1."""
    skin = truth.subject["skin"]
    assert isinstance(skin, dict)
    return float(np.dot(_LUMINANCE, skin["tone"]))


def owner_of_faces(model: FaceModel) -> Ints:
    """Return (F,) the number in `REGIONS` of most corners of each face; -1 for none."""
    a, b, c = region_of_vertices(model)[model.faces].T
    return np.where(b == c, b, a)


def best_pixel(rig: Rig, points: Floats, normals: Floats) -> Floats:
    """Return (N,) the size, mm, of a pixel in the finest view that faces each point."""
    smallest = np.full(len(points), np.inf)
    for camera in rig:
        _, depth = camera.project(points)
        facing = ((camera.center - points) * normals).sum(axis=1) > 0
        size = np.where(facing & (depth > 0), depth / camera.K[0, 0], np.inf)
        smallest = np.minimum(smallest, size)
    return smallest


def _open(truth: Truth, model: FaceModel, n_inner: int) -> Bools:
    """Return (faces of the true mesh,) what a camera somewhere could look onto."""
    identity = np.array(truth.subject["identity"], dtype=np.float64)
    outside = exposed(model.shape(identity), model.faces)[model.faces].all(axis=1)
    return np.repeat(outside, n_inner)


def _covered(mesh: Mesh, true: Mesh, owner: Ints, rng: np.random.Generator) -> list[float]:
    """Return of each part the share of its surface that has measured scan beside it."""
    views = mesh.attributes.get("n_views")
    seen = np.ones(len(mesh.vertices), bool) if views is None else np.asarray(views) >= 2
    scan = cKDTree(mesh.vertices[seen])
    faces = np.flatnonzero(owner != NOWHERE)
    points, local = sample_surface(true.vertices, true.faces[faces], _MOST_POINTS, rng=rng)
    a, b = mesh.vertices[mesh.faces[:, 0]], mesh.vertices[mesh.faces[:, 1]]
    edge = float(np.median(np.linalg.norm(a - b, axis=1)))  # a coarse scan has vertices far apart
    found, _ = scan.query(points, distance_upper_bound=max(_COVERED_MM, edge))
    distance = np.asarray(found)
    part = owner[faces[local]]
    return [
        float(np.isfinite(distance[part == i]).mean()) if (part == i).any() else 0.0
        for i in range(len(REGIONS))
    ]
