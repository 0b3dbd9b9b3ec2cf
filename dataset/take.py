"""One take's way from photographs to a mesh, as stages."""

import functools
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..capture.session import Session, Take
from ..core.errors import EstimationError
from ..core.geometry.camera import Rig
from ..core.geometry.mesh import Mesh
from ..core.geometry.meshio import load_mesh, save_mesh
from .cloudfile import load_cloud, save_cloud
from .coloring import vertex_colors
from .fusion import fuse
from .meshgraph import mesh_graph, smooth_normals, surface_normals
from .meshing import divide_edges, main_parts, poisson_mesh, relax, trim_rim
from .stages import STAGES_FOLDER, Stage
from .stereo.consistency import CheckedDepth
from .stereo.initial import first_depths
from .stereo.sweep import SweepConfig, Swept, sweep_surface
from .stereo.views import View, load_views
from .stereo.visibility import Visible, visible_from
from .uncertainty import reliable, surface_sigma
from .viewfile import load_depths, save_depth

log = logging.getLogger(__name__)

EDGE_PX = 1.3
"""Edge length of the meshes, in pixel footprints of their scale."""

MIDDLE = SweepConfig(stiffness=4.0, good_px=0.4)
"""The sweep at the coarser scales: wide steps, to come from the start to the surface.

Stiff, since a fold that forms here stays: patches across it agree nowhere, so that the finer
scales cannot undo it. The relief that stiffness takes away they bring back.
"""

LAST = replace(
    MIDDLE, step_px=0.4, stiffness=3.0, good_px=0.35, reweightings=0,
    radius=3, most_views=7,
)  # fmt: skip
"""At the finest scale: near the surface, small steps, every measurement counts.

The wider patch and two more views take a fifteenth off the error for a quarter more time.
"""


LEAST_AGREEMENT = 0.75
"""Median NCC below which a mesh is refused: a wrong rig reaches 0.6-0.7 by chance."""


@dataclass(frozen=True, kw_only=True)
class TakeJob:
    """What the stages of a take share."""

    session: Session
    take: Take
    rig: Rig
    """The cameras that the take has photographs of."""
    folder: Path
    megapixels: float
    n_halvings: int
    """Times the images are halved for the first depths."""
    auto_mask: bool
    seed: int

    @functools.cached_property
    def views(self) -> list[View]:
        """The photographs at the finest scale; loaded when a stage asks first."""
        return load_views(
            self.session, self.take, self.rig,
            megapixels=self.megapixels, auto_mask=self.auto_mask,
        )  # fmt: skip

    def halved(self, times: int) -> list[View]:
        """Return the photographs at 1 / 2**times of the finest scale."""
        return [view.halved(times) for view in self.views]


def stages_of(job: TakeJob) -> list[Stage]:
    """Return the stages of a take in order."""
    levels = list(range(job.n_halvings, -1, -1))
    views = tuple(f"views/{camera.name}.npz" for camera in job.rig)
    stages = [
        Stage(name="depth", work=lambda: _depth(job), outputs=views),
        Stage(name="cloud", work=lambda: _cloud(job), outputs=("points.ply",)),
        Stage(name="start", work=lambda: _start(job), outputs=(_mesh_name("start"),)),
    ]
    before = "start"
    for level in levels:
        name = _level_name(level)
        outputs = (_mesh_name(name),) if level > 0 else ("mesh.ply", "mesh.obj")
        work = functools.partial(_sweep, job, level=level, before=before)
        stages.append(Stage(name=name, work=work, outputs=outputs))
        before = name
    return stages


def _level_name(level: int) -> str:
    return f"sweep-{2**level}" if level > 0 else "mesh"


def _mesh_name(stage: str) -> str:
    return f"{STAGES_FOLDER}/{stage}/mesh.ply"


def _depth(job: TakeJob) -> Mapping[str, Any]:
    found = first_depths(job.halved(job.n_halvings), seed=job.seed)
    confirmed = {}
    for view, depth in zip(job.halved(job.n_halvings), found, strict=True):
        save_depth(job.folder / "views" / f"{view.camera.name}.npz", view.camera, depth)
        share = np.isfinite(depth.depth).mean() / max(1e-9, view.mask.mean())
        confirmed[view.camera.name] = round(100 * float(share), 1)
    return {"confirmed_percent": confirmed}


def _cloud(job: TakeJob) -> Mapping[str, Any]:
    depths: list[CheckedDepth] = load_depths(job.folder / "views", job.rig.names)
    cloud = fuse(job.halved(job.n_halvings), depths)
    save_cloud(job.folder / "points.ply", cloud)
    return {
        "points": len(cloud.points),
        "footprint": float(np.median(cloud.footprint)) / 2**job.n_halvings,
    }


def _start(job: TakeJob) -> Mapping[str, Any]:
    cloud = load_cloud(job.folder / "points.ply")
    mesh = poisson_mesh(cloud, edge=EDGE_PX * float(np.median(cloud.footprint)))
    save_mesh(job.folder / _mesh_name("start"), mesh)
    return {"vertices": len(mesh.vertices), "triangles": len(mesh.faces)}


def _sweep(job: TakeJob, *, level: int, before: str) -> Mapping[str, Any]:
    mesh = load_mesh(job.folder / _mesh_name(before))
    mesh = Mesh(vertices=mesh.vertices, faces=mesh.faces)
    views = job.halved(level)
    config = MIDDLE if level > 0 else LAST
    visible = None
    if level < job.n_halvings:
        # what hides what is known well enough from the coarser mesh, at a quarter of the rays
        visible = _visible(mesh, views, config)
        mesh, ends = divide_edges(mesh)
        visible = visible.between(ends)
        del ends
    mesh = relax(mesh, normals=surface_normals(mesh.vertices, mesh.faces))
    swept = sweep_surface(mesh, views, config, visible=visible)
    del visible
    _check_agreement(swept)
    mesh = _described(swept, views) if level == 0 else swept.mesh
    mesh = _trimmed(mesh, swept)
    normals = surface_normals(mesh.vertices, mesh.faces)
    if level > 0:
        save_mesh(job.folder / _mesh_name(_level_name(level)), mesh, normals=normals)
    else:
        save_mesh(job.folder / "mesh.ply", mesh, normals=normals)
        save_mesh(job.folder / "mesh.obj", mesh)
    return _figures(swept, mesh)


def _visible(mesh: Mesh, views: list[View], config: SweepConfig) -> Visible:
    graph = mesh_graph(mesh.faces, len(mesh.vertices))
    normals = smooth_normals(
        surface_normals(mesh.vertices, mesh.faces), graph, n_passes=config.normal_passes
    )
    return visible_from(
        mesh.vertices, mesh.faces, normals, views,
        most=config.most_views, least_cosine=config.least_cosine,
    )  # fmt: skip


def _check_agreement(swept: Swept) -> None:
    """Refuse a surface on which the photographs agree no better than by chance.

    Raises
    ------
    EstimationError
        The median agreement is below `LEAST_AGREEMENT`.
    """
    measured = swept.score[swept.score > -1]
    agreement = float(np.median(measured)) if len(measured) else 0.0
    if agreement < LEAST_AGREEMENT:
        raise EstimationError(
            f"the photographs hardly agree on any surface (NCC {agreement:.2f}; above 0.9 is "
            "usual): check that the rig belongs to these photographs and that nobody moved"
        )


def _trimmed(mesh: Mesh, swept: Swept) -> Mesh:
    """Cut off what the views did not measure, unless it lies within what they did."""
    measured = (swept.score > -1).astype(np.float32)
    # smooth skin that two views see may be unmeasured here and there: Poisson bridges it well
    support = np.where(measured > 0, 1.0, np.where(swept.seen.n_views >= 2, 0.3, 0.0))
    mesh = replace(mesh, attributes={**mesh.attributes, "measured": measured})
    mesh = mesh.selected(trim_rim(mesh, support))
    mesh = mesh.selected(main_parts(mesh, support=mesh.attributes["measured"]))
    if len(mesh.faces) == 0:
        raise EstimationError("no part of the surface is seen well by two views")
    return replace(mesh, attributes={k: v for k, v in mesh.attributes.items() if k != "measured"})


def _described(swept: Swept, views: list[View]) -> Mesh:
    """Return the mesh with its colours and what is known of each vertex."""
    centers = np.array([view.camera.center for view in views])
    sigma = surface_sigma(swept, centers)
    return replace(
        swept.mesh,
        colors=vertex_colors(swept.mesh, views, swept.seen),
        attributes={
            "confidence": swept.weight,
            "score": swept.score,
            "n_views": swept.seen.n_views.astype(np.float32),
            "sigma_mm": sigma,
            "reliable": reliable(sigma, swept.score, swept.seen.footprint),
        },
    )


def _figures(swept: Swept, mesh: Mesh) -> dict[str, Any]:
    measured = swept.score > -1
    return {
        "vertices": len(mesh.vertices),
        "triangles": len(mesh.faces),
        "measured_percent": round(100 * float(measured.mean()), 1),
        "median_score": round(float(np.median(swept.score[measured])), 3)
        if measured.any()
        else None,
    }
