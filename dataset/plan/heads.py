"""One head before the cameras of a rig: every figure of a plan, vertex by vertex."""

from dataclasses import dataclass

import numpy as np

from ...core.arrays import Bools, Floats, Ints
from ...core.facemodel.model import FaceModel
from ...core.geometry.camera import Rig
from ...core.geometry.closest import SurfaceQuery
from ...core.geometry.mesh import Mesh, face_areas, vertex_normals
from .light import Sensor, dimness, irradiance
from .precision import curvature_of, defocus_px, diffraction_px, sigma_mm
from .regions import exposed
from .sight import Sight, best_views, footprint_of, sight_of

USABLE_DEG = 65.0
"""Views more askew than this do not count as seeing; `bench stereo` counts alike."""

_SMOOTHER_LIDS = 0.5  # of the relief that cheeks have, lids lack so much
_LINED_FOREHEAD = 0.12  # and foreheads have so much more


@dataclass(frozen=True, kw_only=True)
class Lenses:
    """What a rig's lenses do to what is not in focus."""

    focal_mm: tuple[float, ...]
    sensor_width_mm: float
    aperture: float | None
    """f-number; None: everything is sharp."""


@dataclass(frozen=True, kw_only=True)
class Exposed:
    """How bright skin will be in the photographs."""

    reflectance: float
    """Luminance of the skin; a white sheet has 1."""
    exposure: float
    """What a white sheet that faces the cameras has of the brightness that saturates."""
    sensor: Sensor


@dataclass(frozen=True, kw_only=True)
class HeadPlan:
    """What a rig will make of one head, V vertices."""

    mesh: Mesh
    area: Floats
    """(V,) mm² of surface that a vertex stands for; 0 where no direction looks onto it."""
    n_views: Ints
    """(V,) cameras that see it at a usable angle."""
    gsd_mm: Floats
    """(V,) size of a pixel in the best view; NaN where none sees it."""
    sigma_mm: Floats
    """(V,) along the normal; NaN where fewer than two see it at a usable angle."""
    dimness: Floats
    """(V,) by what factor the variance is larger than that of skin in usual light."""
    blur_px: Floats
    """(V,) standard deviation of defocus and diffraction in the second sharpest view that is
    used, two being needed; NaN below two."""
    angle_deg: Floats
    """(V,) between the two usable lines of sight that are nearest to each other; NaN below two."""
    widest_deg: Floats
    """(V,) between the two usable ones farthest from each other; NaN below two."""
    facing: Bools
    """(n_views, V) what each camera would see, were its frame large enough."""
    in_frame: Bools
    """(n_views, V) what lies in its frame."""


def plan_head(
    rig: Rig, lenses: Lenses, skin: Exposed, model: FaceModel, vertices: Floats
) -> HeadPlan:
    """Foretell what `rig` makes of a head: `vertices` (V, 3), mm, of `model`."""
    mesh = Mesh(vertices=vertices, faces=model.faces)
    normals = vertex_normals(vertices, model.faces)
    surface = SurfaceQuery(vertices, model.faces)
    outside = exposed(vertices, model.faces)
    sight = sight_of(rig, vertices, normals, surface)
    usable = sight.within(float(np.cos(np.radians(USABLE_DEG))))
    n_views = usable.sum(axis=0).astype(np.int32)
    chosen = best_views(sight)
    footprint = footprint_of(sight, chosen)
    blur = _blur(rig, lenses, sight)
    lids, brows, forehead = (
        model.weights.get(name, np.zeros(len(vertices)))
        for name in ("eyelids", "brows", "forehead")
    )
    light = skin.exposure * skin.reflectance * irradiance(normals, vertices, surface)
    dim = dimness(light, np.minimum(lids + brows, 1.0), skin.sensor)
    sigma = sigma_mm(
        sight, chosen, footprint,
        curvature=curvature_of(vertices, model.faces, normals), blur_px=blur,
        roughness=1 - _SMOOTHER_LIDS * lids + _LINED_FOREHEAD * forehead, dimness=dim,
    )  # fmt: skip
    nearest, widest = _angles(rig, vertices, usable)
    two = n_views >= 2
    return HeadPlan(
        mesh=mesh,
        area=np.where(outside, _vertex_areas(mesh), 0.0),
        n_views=n_views,
        gsd_mm=footprint.astype(np.float64),
        sigma_mm=np.where(two, sigma, np.nan),
        dimness=dim,
        blur_px=np.where(two, _second_smallest(np.where(usable, blur, np.inf)), np.nan),
        angle_deg=np.where(two, nearest, np.nan),
        widest_deg=np.where(two, widest, np.nan),
        facing=sight.facing,
        in_frame=sight.in_frame,
    )


def _vertex_areas(mesh: Mesh) -> Floats:
    third = np.repeat(face_areas(mesh.vertices, mesh.faces) / 3, 3)
    return np.asarray(np.bincount(mesh.faces.ravel(), third, len(mesh.vertices)), np.float64)


def _blur(rig: Rig, lenses: Lenses, sight: Sight) -> Floats:
    """Return (n_views, N) standard deviations, px; each lens is focused on the nearer quarter."""
    blur = np.zeros(sight.depth_mm.shape)
    if lenses.aperture is None:
        return blur
    for k, (camera, focal) in enumerate(zip(rig, lenses.focal_mm, strict=True)):
        seen = sight.depth_mm[k, sight.seen[k]]
        if len(seen) == 0:
            continue
        focus = float(np.percentile(seen, 25))
        airy = diffraction_px(
            aperture=lenses.aperture, focal_mm=focal, focus_mm=focus,
            pixel_mm=lenses.sensor_width_mm / camera.width,
        )  # fmt: skip
        off = defocus_px(
            sight.depth_mm[k], focus_mm=focus, radius_mm=focal / lenses.aperture / 2,
            focal_px=camera.K[0, 0],
        )  # fmt: skip
        blur[k] = np.hypot(airy, off)
    return blur


def _angles(rig: Rig, vertices: Floats, usable: Bools) -> tuple[Floats, Floats]:
    """Return (V,) the smallest and the largest angle between two usable lines of sight, deg."""
    away = rig.centers[:, None] - vertices[None]
    away /= np.linalg.norm(away, axis=-1, keepdims=True)
    n = len(vertices)
    smallest, largest = np.full(n, np.inf), np.zeros(n)
    for i in range(1, len(rig)):
        for j in range(i):
            both = usable[i] & usable[j]
            cosine = (away[i, both] * away[j, both]).sum(axis=1)
            angle = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
            smallest[both] = np.minimum(smallest[both], angle)
            largest[both] = np.maximum(largest[both], angle)
    return smallest, largest


def _second_smallest(values: Floats) -> Floats:
    """Return (N,) of (n, N), n of at least two."""
    return np.asarray(np.partition(values, 1, axis=0)[1])
