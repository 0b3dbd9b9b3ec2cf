"""The stages of a take whose surface COLMAP's dense stereo finds, for comparison with ours."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ..core.arrays import Floats, Floats32
from ..core.files import scratch_folder
from ..core.geometry.mesh import Mesh
from ..core.geometry.meshio import load_mesh, save_mesh
from .cloudfile import load_cloud, save_cloud
from .coloring import vertex_colors
from .fusion import PointCloud
from .meshgraph import mesh_graph, smooth_normals, surface_normals
from .meshing import poisson_mesh
from .stages import STAGES_FOLDER, Stage
from .stereo.colmap import DensePoints, dense_points
from .stereo.views import View
from .stereo.visibility import seen_by
from .take import EDGE_PX, LAST, TakeJob, trimmed

_START = f"{STAGES_FOLDER}/start/mesh.ply"


def colmap_stages_of(job: TakeJob) -> list[Stage]:
    """Return the stages in order, named as those of `take.stages_of`."""
    return [
        Stage(name="cloud", work=lambda: _cloud(job), outputs=("points.ply",)),
        Stage(name="start", work=lambda: _start(job), outputs=(_START,)),
        Stage(name="mesh", work=lambda: _mesh(job), outputs=("mesh.ply", "mesh.obj")),
    ]


def _cloud(job: TakeJob) -> Mapping[str, Any]:
    job.folder.mkdir(parents=True, exist_ok=True)
    # maps of every pixel of every view, of no use afterwards
    with scratch_folder(job.folder) as workspace:
        found = dense_points(job.views, workspace, seed=job.seed)
    cloud = cloud_of(found, job.views)
    save_cloud(job.folder / "points.ply", cloud)
    return {"points": len(cloud.points), "footprint": float(np.median(cloud.footprint))}


def cloud_of(found: DensePoints, views: list[View]) -> PointCloud:
    """Return the points with the size that a pixel has there in the nearest view."""
    sizes = [_pixel_size(found.points, view) for view in views]
    return PointCloud(
        points=found.points,
        normals=found.normals,
        confidence=np.ones(len(found.points), np.float32),
        colors=found.colors,
        footprint=np.min(sizes, axis=0).astype(np.float32),
    )


def _pixel_size(points: Floats, view: View) -> Floats:
    _, depth = view.camera.project(points)
    return np.where(depth > 0, depth, np.inf) / view.camera.K[0, 0]


def _start(job: TakeJob) -> Mapping[str, Any]:
    cloud = load_cloud(job.folder / "points.ply")
    mesh = poisson_mesh(cloud, edge=EDGE_PX * float(np.median(cloud.footprint)))
    save_mesh(job.folder / _START, mesh)
    return {"vertices": len(mesh.vertices), "triangles": len(mesh.faces)}


def _mesh(job: TakeJob) -> Mapping[str, Any]:
    """Colour the mesh and cut off what no two views see."""
    mesh = load_mesh(job.folder / _START)
    mesh = Mesh(vertices=mesh.vertices, faces=mesh.faces)
    seen = seen_by(
        mesh, _smooth_normals(mesh), job.views,
        most=LAST.most_views, least_cosine=LAST.least_cosine, margin_px=0.0,
    )  # fmt: skip
    mesh = replace(
        mesh,
        colors=vertex_colors(mesh, job.views, seen),
        attributes={"n_views": seen.n_views.astype(np.float32)},
    )
    supported = seen.n_views >= 2
    mesh = trimmed(mesh, supported.astype(np.float32), supported)
    save_mesh(job.folder / "mesh.ply", mesh, normals=surface_normals(mesh.vertices, mesh.faces))
    save_mesh(job.folder / "mesh.obj", mesh)
    return {"vertices": len(mesh.vertices), "triangles": len(mesh.faces)}


def _smooth_normals(mesh: Mesh) -> Floats32:
    graph = mesh_graph(mesh.faces, len(mesh.vertices))
    normals = surface_normals(mesh.vertices, mesh.faces)
    return smooth_normals(normals, graph, n_passes=LAST.normal_passes)
