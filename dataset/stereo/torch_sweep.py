"""The surface sweep on a torch device: `sweep.py` says what it does, this is its twin.

A round stays on the device but for which views see a vertex: rays are cast on the processor,
once a scale, and at the finer scales not at all (the coarser mesh says what is hidden).

Results are those of the processor but for rounding: from the same mesh and views, vertices
differ by some 1e-5 of a pixel footprint.
"""

import numpy as np
import torch
from torch import Tensor

from ...core.geometry.mesh import Mesh
from ..meshgraph import mesh_graph
from .packed import PackedImages, pack_images
from .sweep import SweepConfig, Swept, facing_views, patch_grid
from .torch_mesh import TorchMesh, conjugate_gradient
from .torch_sweep_kernels import (
    TorchImages,
    find_peaks,
    score_profiles,
    smooth_profiles,
    tops_of,
)
from .views import View
from .visibility import Visible


def sweep_surface(
    mesh: Mesh, views: list[View], config: SweepConfig, *,
    visible: Visible | None = None, images: PackedImages | None = None, device: str = "cuda",
) -> Swept:  # fmt: skip
    """Measure all vertices and move them, as `sweep.sweep_surface` does, on a torch device."""
    where = torch.device(device)
    faces = mesh.faces
    vertices = torch.from_numpy(np.array(mesh.vertices, dtype=np.float64)).to(where)
    graph = TorchMesh(faces, mesh_graph(faces, len(vertices)), where)
    pixels = TorchImages.of(images or pack_images([view.grey for view in views]), where)
    P = torch.from_numpy(np.array([view.camera.P for view in views])).to(where)
    grid = torch.from_numpy(patch_grid(config.radius, spread=config.spread)).to(where)
    seen = None
    for turn in range(config.n_rounds):
        normals = graph.normals(vertices, n_passes=config.normal_passes)
        if seen is None:
            seen = facing_views(
                vertices.cpu().numpy(), faces, normals.cpu().numpy(), views, config,
                visible=visible,
            )  # fmt: skip
            chosen = torch.from_numpy(seen.views).to(where).long()
            footprint = torch.from_numpy(seen.footprint).to(where).double()
        step_px = config.step_px * config.finer**turn
        steps = np.arange(-config.n_steps, config.n_steps + 1) * np.float32(step_px)
        profile = score_profiles(
            torch.nonzero(chosen[:, 1] >= 0)[:, 0], vertices, normals, footprint, chosen,
            pixels, P, torch.from_numpy(steps).to(where), grid,
        )  # fmt: skip
        tops = tops_of(smooth_profiles(profile, graph.around, n_passes=config.smoothing_passes))
        offset, score, curvature = find_peaks(profile, tops, least_score=config.least_score)
        del profile
        weight = _weights(score, curvature, float(steps[1] - steps[0]), config)
        step = (step_px * footprint).float()
        moves = _solve(vertices, normals, graph, weight, offset * step, step, config)
        vertices = vertices + moves[:, None] * normals
    assert seen is not None
    return Swept(
        mesh=Mesh(vertices=vertices.cpu().numpy(), faces=faces),
        score=score.cpu().numpy(),
        weight=weight.cpu().numpy(),
        curvature=(curvature / step_px**2).cpu().numpy(),
        seen=seen,
    )


def _weights(score: Tensor, curvature: Tensor, step_px: float, config: SweepConfig) -> Tensor:
    """Return (V,) in [0, 1]; `sweep._measured` says why."""
    variance = (1 - score).clamp(min=1e-3) / curvature.clamp(min=1e-6) * step_px**2
    precision = (config.good_px**2 / variance).clamp(max=1.0)
    return torch.where(score > -1, (precision**2).clamp(min=config.least_weight), 0.0)


def _solve(
    vertices: Tensor, normals: Tensor, L: TorchMesh, weight: Tensor, target: Tensor,
    step: Tensor, config: SweepConfig,
) -> Tensor:  # fmt: skip
    """Return moves x (V,), smooth, near their `target`; see `sweep._solve`."""
    diagonal = config.stiffness * L.column_squares()
    pull = -config.stiffness * L.transposed_times(L.along(vertices, normals))
    measured = weight > 0
    target = torch.where(measured, target, 0.0)
    weight = torch.where(measured, weight, config.stay)
    x = torch.where(weight > 0.05, target, 0.0)
    for turn in range(1 + config.reweightings):
        w = weight
        if turn > 0:  # Cauchy, one step wide
            w = torch.where(measured, weight / (1 + ((x - target) / step) ** 2), weight)

        def times(p: Tensor, w: Tensor = w) -> Tensor:
            return config.stiffness * L.transposed_times(L.times(p)) + w * p

        x = conjugate_gradient(
            times, w * target + pull, diagonal=diagonal + w, start=x, rtol=1e-3, n_steps=60
        )
    reach = config.n_steps * step
    return torch.maximum(torch.minimum(x, reach), -reach)
