"""One take's way from photographs to a mesh, as stages."""

import functools
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..capture.session import Session, Take
from ..core.arrays import Bools, Floats32
from ..core.devices import Device
from ..core.errors import EstimationError
from ..core.files import STAGE_RECORD, read_json
from ..core.geometry.camera import Rig
from ..core.geometry.mesh import Mesh
from ..core.geometry.meshio import load_mesh, save_mesh
from .cloudfile import load_cloud, save_cloud
from .coloring import vertex_colors
from .cost import Cost, expected_cost, expected_vertices, finest_cost
from .fusion import fuse
from .meshgraph import mesh_graph, smooth_normals, surface_normals
from .meshing import divide_edges, main_parts, poisson_mesh, relax, trim_rim
from .stages import STAGES_FOLDER, Stage
from .stereo.backend import backend_of
from .stereo.consistency import CheckedDepth
from .stereo.initial import first_depths
from .stereo.packed import pack_images
from .stereo.sweep import SweepConfig, Swept
from .stereo.views import View, each_view, load_views
from .stereo.visibility import Visible, visible_from
from .uncertainty import filled, reliable, surface_sigma
from .viewfile import load_depths, save_depth
from .viewhealth import displacements

log = logging.getLogger(__name__)

EDGE_PX = 1.3
"""Edge length of the meshes, in pixel footprints of their scale."""

MIDDLE = SweepConfig(stiffness=4.0, good_px=0.4, detail=4.0)
"""The sweep at the coarser scales: wide steps, to come from the start to the surface.

Stiff, since a fold that forms here stays: patches across it agree nowhere, so that the finer
scales cannot undo it. The relief that stiffness takes away they bring back. Detail is brought
out, since sheen otherwise leads the sweep millimetres below a ridge.
"""

LAST = replace(
    MIDDLE, step_px=0.4, stiffness=3.0, good_px=0.35, reweightings=0,
    radius=3, most_views=7, detail=0.0,
)  # fmt: skip
"""At the finest scale: near the surface, small steps, every measurement counts.

The wider patch and two more views take a fifteenth off the error for a quarter more time.
"""


MOST_KEPT_PIXELS = 250_000_000
"""Of all photographs together that stay in memory while the finest mesh is made: 2 GB.

More are read again for the colours: a tenth more work, a sixth less memory.
"""

DEEPEST_GAP = 0.025
"""Of the mesh's extent: how far from what was measured unseen surface may be bridged; 8 mm.

Nostrils, the slit of the mouth and the folds of ears are narrower, the hollow under a chin that
no two cameras see is wider.
"""

_DOUBTFUL = 0.35
"""Support of a vertex that is not reliable: at a border it stays where a quarter around is."""

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
    device: Device = Device.CPU
    """`CPU` or `CUDA`."""

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

    def let_go(self) -> list[View]:
        """Return the views without their pixels; large ones are no longer kept in memory."""
        views = self.views
        if sum(view.mask.size for view in views) > MOST_KEPT_PIXELS:
            del self.__dict__["views"]
        return [view.without_pixels() for view in views]

    def without(self, names: Sequence[str]) -> "TakeJob":
        """Return the job without some cameras; what is loaded goes along and is not kept here."""
        cameras = tuple(camera for camera in self.rig if camera.name not in names)
        job = replace(self, rig=replace(self.rig, cameras=cameras))
        views = self.__dict__.pop("views", None)
        if views is not None:
            job.__dict__["views"] = [view for view in views if view.camera.name not in names]
        return job

    def one_by_one(self) -> Iterator[View]:
        """Yield the photographs at the finest scale, one in memory unless all are kept.

        Those read again have only the masks that came with them.
        """
        if "views" in self.__dict__:
            yield from self.views
        else:
            yield from each_view(
                self.session, self.take, self.rig,
                megapixels=self.megapixels, auto_mask=False,
            )  # fmt: skip


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
    expected = _expected(job.views)
    log.info("%s: %s, by the size of the subject", job.take.id, expected)
    match = backend_of(job.device).match_view
    found = first_depths(job.halved(job.n_halvings), seed=job.seed, match=match)
    confirmed = {}
    for view, depth in zip(job.halved(job.n_halvings), found, strict=True):
        save_depth(job.folder / "views" / f"{view.camera.name}.npz", view.camera, depth)
        share = np.isfinite(depth.depth).mean() / max(1e-9, view.mask.mean())
        confirmed[view.camera.name] = round(100 * float(share), 1)
    return {
        "confirmed_percent": confirmed, "device": str(job.device), "expected": expected.record(),
    }  # fmt: skip


def _expected(views: list[View]) -> Cost:
    """Return what the take will cost, as the masks of its views tell."""
    cameras = [view.camera for view in views]
    subject = [float(view.mask.sum()) for view in views]
    return expected_cost(
        cameras, float(np.mean([view.mask.size for view in views])) / 1e6,
        vertices=expected_vertices(cameras, subject),
        most_kept=MOST_KEPT_PIXELS,
    )  # fmt: skip


def _expected_finest(job: TakeJob, before: str) -> dict[str, Any]:
    """Return what the finest sweep will cost, as the sweep before it tells; {} without one."""
    record = job.folder / STAGES_FOLDER / before / STAGE_RECORD
    if job.n_halvings == 0 or not record.is_file():
        return {}
    done = read_json(record)
    pixels = sum(view.mask.size for view in job.views)
    expected = finest_cost(
        job.rig.cameras, pixels, kept=pixels <= MOST_KEPT_PIXELS,
        seconds_before=done["cpu_seconds"], vertices_before=done["results"]["vertices"],
    )  # fmt: skip
    log.info("%s: the finest sweep: %s", job.take.id, expected)
    return {"expected_finest": expected.record()}


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
    views = job.halved(level)
    config = MIDDLE if level > 0 else LAST
    expected = {} if level > 0 else _expected_finest(job, before)
    ready = _ready(job, views, config, level=level, before=before)
    images = pack_images([view.grey for view in views], detail=config.detail)
    if level == 0:
        views = job.let_go()
    # handed over, not kept: the old vertices go as soon as they have moved
    sweep_surface = backend_of(job.device).sweep_surface
    swept = sweep_surface(ready.pop(), views, config, visible=ready.pop(), images=images)
    del images
    _check_agreement(swept)
    figures = _figures(swept)
    described = _described(swept, job, views) if level == 0 else swept.mesh
    support, measured = _support(swept)
    del swept
    deepest = DEEPEST_GAP if level == 0 else np.inf
    mesh = trimmed(described, support, measured, deepest_gap=deepest)
    del described, support, measured
    normals = surface_normals(mesh.vertices, mesh.faces)
    if level > 0:
        save_mesh(job.folder / _mesh_name(_level_name(level)), mesh, normals=normals)
    else:
        save_mesh(job.folder / "mesh.ply", mesh, normals=normals)
        save_mesh(job.folder / "mesh.obj", mesh)
    figures = {**figures, "device": str(job.device), **expected}
    return {"vertices": len(mesh.vertices), "triangles": len(mesh.faces), **figures}


def _ready(
    job: TakeJob, views: list[View], config: SweepConfig, *, level: int, before: str
) -> list[Any]:
    """Return which views nothing hides each vertex from, if known, and the mesh to be swept."""
    mesh = load_mesh(job.folder / _mesh_name(before))
    mesh = Mesh(vertices=mesh.vertices, faces=mesh.faces)
    visible = None
    if level < job.n_halvings:
        # what hides what is known well enough from the coarser mesh, at a quarter of the rays
        visible = _visible(mesh, views, config)
        mesh, ends = divide_edges(mesh)
        visible = visible.between(ends)
        del ends
    return [visible, relax(mesh, normals=surface_normals(mesh.vertices, mesh.faces))]


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


def _support(swept: Swept) -> tuple[Floats32, Bools]:
    """Return (V,) how well each vertex is supported, 0-1, and whether it was measured."""
    measured = swept.score > -1
    # smooth skin that two views see may be unmeasured here and there: Poisson bridges it well
    bridged = np.where(swept.seen.n_views >= 2, np.float32(0.3), np.float32(0))
    return np.where(measured, np.float32(1), bridged), measured


def trimmed(mesh: Mesh, support: Floats32, measured: Bools, *, deepest_gap: float = np.inf) -> Mesh:
    """Cut off what the views did not measure, unless it lies within what they did.

    There it stays where it is narrow, up to `deepest_gap` times the mesh's extent. At open
    borders what is not `reliable` goes, too: hair and lace.
    """
    extent = float(np.ptp(mesh.vertices, axis=0).max())
    trusted = mesh.attributes.get("reliable")
    if trusted is not None:
        trusted = np.maximum(trusted, _DOUBTFUL)
    kept = trim_rim(mesh, support, deepest=deepest_gap * extent, trusted=trusted)
    rest = Mesh(vertices=mesh.vertices, faces=mesh.faces[kept])
    kept[kept] = main_parts(rest, support=measured.astype(np.float32))
    if not kept.any():
        raise EstimationError("no part of the surface is seen well by two views")
    return mesh.selected(kept)


def _described(swept: Swept, job: TakeJob, views: list[View]) -> Mesh:
    """Return the mesh with its colours and what is known of each vertex."""
    centers = np.array([view.camera.center for view in views])
    names = [view.camera.name for view in views]
    sigma = surface_sigma(swept, centers, displaced_px=displacements(job.folder, names))
    return replace(
        swept.mesh,
        colors=vertex_colors(swept.mesh, job.one_by_one(), swept.seen),
        attributes={
            "confidence": swept.weight,
            "score": swept.score,
            "n_views": swept.seen.n_views.astype(np.float32),
            "sigma_mm": sigma,
            "reliable": reliable(sigma, swept.seen.footprint, swept.mesh.faces),
            "filled": filled(swept.score > -1, swept.mesh.faces),
        },
    )


def _figures(swept: Swept) -> dict[str, Any]:
    measured = swept.score > -1
    return {
        "measured_percent": round(100 * float(measured.mean()), 1),
        "median_score": round(float(np.median(swept.score[measured])), 3)
        if measured.any()
        else None,
    }
