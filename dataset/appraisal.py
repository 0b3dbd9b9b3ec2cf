"""Around the finest sweep: the photographs are judged before it, the mesh is after it."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..core.files import STAGE_RECORD, read_json
from ..core.geometry.mesh import Mesh
from ..core.geometry.meshio import load_mesh
from .photoconsistency import photo_consistency
from .plysample import some_vertices
from .stages import STAGES_FOLDER, Stage
from .surfacepatches import surface_patches
from .take import TakeJob
from .viewhealth import HEALTH_STAGE as HEALTH_STAGE
from .viewhealth import sentences_of, view_health

log = logging.getLogger(__name__)

PHOTO_STAGE = "photo"
_POINTS = 20_000  # of the mesh, looked at


def appraised(
    job: TakeJob, stages: Sequence[Stage], *, stages_of: Callable[[TakeJob], list[Stage]]
) -> list[Stage]:
    """Return the stages of a take with a look at the views before the last and one after it.

    The last sweep is done without the views that the first look leaves out.

    Parameters
    ----------
    stages : sequence of Stage
        Of `job`, the finest sweep last.
    stages_of : callable
        Makes them for the job without those views.
    """
    *before, last = stages
    fine = job.folder / before[-1].outputs[0]
    # what hides what, and which way it faces, is known well enough one scale farther down
    further = before[-2] if before[-2].name.startswith("sweep") else before[-1]
    coarse = job.folder / further.outputs[0]

    def finest() -> Mapping[str, Any]:
        names = _left_out(job.folder)
        if not names:
            return last.work()
        return stages_of(job.without(names))[-1].work()

    return [
        *before,
        Stage(name=HEALTH_STAGE, work=lambda: _look_at_views(job, fine, coarse), outputs=()),
        replace(last, work=finest),
        Stage(name=PHOTO_STAGE, work=lambda: _look_at_mesh(job, coarse), outputs=()),
    ]


def _look_at_views(job: TakeJob, fine: Path, coarse: Path) -> Mapping[str, Any]:
    points = some_vertices(fine, _POINTS)
    health = view_health(surface_patches(_surface(coarse), job.views, points=points), job.views)
    sentences = sentences_of(health)
    for sentence in sentences:
        log.warning("%s: %s", job.take.id, sentence)
    return {
        "sentences": sentences,
        "left_out": [view.name for view in health if view.left_out],
        "views": {view.name: view.record() for view in health},
    }


def _look_at_mesh(job: TakeJob, coarse: Path) -> Mapping[str, Any]:
    left_out = _left_out(job.folder)
    views = [view for view in job.views if view.camera.name not in left_out]
    points = some_vertices(job.folder / "mesh.ply", _POINTS)
    patches = surface_patches(_surface(coarse), views, points=points)
    return photo_consistency(patches, [view.camera.name for view in views]).record()


def _left_out(folder: Path) -> list[str]:
    record = read_json(folder / STAGES_FOLDER / HEALTH_STAGE / STAGE_RECORD)
    return [str(name) for name in record["results"]["left_out"]]


def _surface(path: Path) -> Mesh:
    mesh = load_mesh(path)
    return Mesh(vertices=mesh.vertices, faces=mesh.faces)
