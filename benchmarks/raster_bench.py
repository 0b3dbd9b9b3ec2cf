"""The rasterisers' benchmark: what a picture and its gradients cost, and how true outlines are."""

import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import fast_simplification
import numpy as np

from ..core.arrays import Floats, Ints
from ..core.errors import ConfigError
from ..core.facemodel.load import load_face_model
from ..core.files import write_json
from ..core.geometry.mesh import Mesh, subdivide_loop
from ..core.rendering.render_cost import (
    CostScene,
    camera_rays,
    cost_scene,
    edge_gradient_ratio,
    ids_cost,
    picture_cost,
)
from .stereo_bench_config import BUILT_IN, head_of

log = logging.getLogger(__name__)

RESULT_FILE = "raster_bench.json"
_FEW, _MANY = 10_000, 50_000  # triangles


@dataclass(frozen=True, kw_only=True)
class RasterBenchConfig:
    """What to draw, and how often."""

    subject: str = BUILT_IN  # `builtin`, `ict`, or the file of an ICT face model
    repeats: int = 10  # of every measurement; the least counts
    peers: bool = True  # also Open3D's rays and plain torch
    antialias: bool = True  # also with antialiased outlines

    def __post_init__(self) -> None:
        if not 1 <= self.repeats <= 1000:
            raise ConfigError(f"repeats: {self.repeats}; give 1 to 1000")


@dataclass(frozen=True, kw_only=True)
class RasterBenchResult:
    """Processor time of all threads, ms, the least of several; kernels compiled before."""

    ids_ms_10k_512: float
    """Visible triangle and depth at every pixel: 10,000 triangles, 512 x 512 px."""
    fwdbwd_ms_50k_512: float
    """Picture, loss and gradients of `render_cost.py`: 50,000 triangles, 512 x 512 px."""
    fwdbwd_ms_50k_224: float
    edge_gradient_ratio: float
    """Derivative of an antialiased outline by growth, over the true one; 10,000 triangles."""
    fwdbwd_antialias_ms_50k_512: float | None = None
    fwdbwd_antialias_ms_50k_224: float | None = None
    open3d_ids_ms_10k_512: float | None = None
    """A ray per pixel, and the tree that it needs as soon as vertices have moved."""
    open3d_query_ms_10k_512: float | None = None
    """The rays alone."""
    torch_fwdbwd_ms_50k_512: float | None = None
    """As `fwdbwd_ms_50k_512`, in plain torch."""
    nvdiffrast_edge_gradient_ratio: float | None = None
    """As `edge_gradient_ratio`, with the scheme that asks visible triangles alone."""
    triangles: tuple[int, int]
    subject: str


def raster_bench(config: RasterBenchConfig) -> RasterBenchResult:
    """Measure the rasterisers on a head.

    Raises
    ------
    InputError
        The face model is not there.
    """
    head = _head(config.subject)
    few, many = (_scene(head, n) for n in (_FEW, _MANY))

    def picture(size: int, *, antialias: bool = False, name: str = "numba") -> float:
        log.info("%s, %d px", name, size)
        return picture_cost(
            many, rasterizer=name, size=size, repeats=config.repeats, antialias=antialias
        )

    soft = (picture(512, antialias=True), picture(224, antialias=True)) if config.antialias else ()
    rays = _open3d(few, 512, config.repeats) if config.peers else (None, None)
    return RasterBenchResult(
        ids_ms_10k_512=ids_cost(few, size=512, repeats=2 * config.repeats),
        fwdbwd_ms_50k_512=picture(512),
        fwdbwd_ms_50k_224=picture(224),
        edge_gradient_ratio=edge_gradient_ratio(few, size=512),
        fwdbwd_antialias_ms_50k_512=soft[0] if soft else None,
        fwdbwd_antialias_ms_50k_224=soft[1] if soft else None,
        open3d_ids_ms_10k_512=rays[0],
        open3d_query_ms_10k_512=rays[1],
        torch_fwdbwd_ms_50k_512=picture(512, name="torch") if config.peers else None,
        nvdiffrast_edge_gradient_ratio=(
            edge_gradient_ratio(few, size=512, mode="nvdiffrast") if config.peers else None
        ),
        triangles=(len(few.faces), len(many.faces)),
        subject=config.subject,
    )


def bench_raster(config: RasterBenchConfig, out: Path) -> dict[str, Any]:
    """Run `raster_bench`; return its figures, which are also written to `raster_bench.json`."""
    figures = {name: value for name, value in asdict(raster_bench(config)).items() if value}
    rounded = {n: round(v, 4) if isinstance(v, float) else v for n, v in figures.items()}
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / RESULT_FILE, {"config": asdict(config), **rounded})
    return rounded


def _head(subject: str) -> Mesh:
    model = load_face_model(head_of(subject))
    return Mesh(vertices=model.mean, faces=model.faces)


def _scene(head: Mesh, n_triangles: int) -> CostScene:
    """Return the head with about so many triangles, over half of the image."""
    while len(head.faces) < n_triangles:
        head = subdivide_loop(head)
    vertices: Floats
    faces: Ints
    vertices, faces = fast_simplification.simplify(
        head.vertices.astype(np.float32), head.faces.astype(np.int32), target_count=n_triangles
    )
    return cost_scene(vertices.astype(np.float64), faces.astype(np.int32))


def _open3d(scene: CostScene, size: int, repeats: int) -> tuple[float, float]:
    """Return the time of building the tree and casting a ray per pixel, and of the rays, ms."""
    import open3d as o3d

    start, direction = camera_rays(scene, size)
    rays = o3d.core.Tensor(np.concatenate([start, direction], axis=-1))
    vertices = o3d.core.Tensor(scene.vertices.numpy())
    faces = o3d.core.Tensor(scene.faces.numpy().astype(np.uint32))

    def cast() -> Any:
        tree = o3d.t.geometry.RaycastingScene(nthreads=1)
        tree.add_triangles(vertices, faces)
        tree.cast_rays(rays, nthreads=1)
        return tree

    tree = cast()
    both = _least_ms(cast, repeats)
    return both, _least_ms(lambda: tree.cast_rays(rays, nthreads=1), repeats)


def _least_ms(run: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return 1e3 * min(times)
