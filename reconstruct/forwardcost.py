"""What HRN's forward pass costs, on a stand-in as large as its own face model.

BFM may not be shipped. The stand-in is the face of the built-in head, cut finer: about as many
vertices, as many modes of each kind, an albedo basis of the same size. Weights are random; time
and memory do not depend on them.
"""

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from ..core.arrays import Floats
from ..core.facemodel.bfmalbedo import AlbedoMaps
from ..core.facemodel.checkpoint_tables import HrnLayout
from ..core.facemodel.model import FaceModel
from ..core.facemodel.procedural import procedural_head
from ..core.geometry.mesh import Mesh, subdivide_loop
from ..core.spent import peak_gb
from .facetensors import face_tensors
from .hrn import Hrn
from .networks.deretouch import DeretouchNet
from .networks.hrn import HrnNetworks

_COUNTS = (80, 64, 80)  # modes of identity, expression and albedo
_MAP_SIZE = 256
_TEXTURE_PX = 512


def parameter_counts() -> dict[str, int]:
    """Return how many parameters each network of the released layout has."""
    with torch.device("meta"):
        networks, deretouch = HrnNetworks(HrnLayout()), DeretouchNet()
    parts: dict[str, nn.Module] = {
        "net_recon": networks.net_recon,
        "mid_net": networks.mid_net,
        "high_net": networks.high_net,
        "deretouch": deretouch,
    }
    return {name: sum(p.numel() for p in part.parameters()) for name, part in parts.items()}


def forward_cost(settings: Sequence[int]) -> dict[str, float]:
    """Time the complete model at batch 1, in this process; its peak of memory is told, too.

    Meant for a process of its own: the peak is that of the process, libraries and all.

    Parameters
    ----------
    settings : (threads, repeats, seed)

    Returns
    -------
    dict
        `forward_s`: the median of `repeats` passes after one; `forward_cpu_s`: of all threads;
        `peak_gb`.
    """
    threads, repeats, seed = settings
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        seconds, cpu_seconds = _timed(repeats, seed)
    finally:
        torch.set_num_threads(before)
    return {
        "forward_s": float(np.median(seconds)),
        "forward_cpu_s": float(np.median(cpu_seconds)),
        "peak_gb": peak_gb(),
    }


def standin_bfm(rng: np.random.Generator) -> tuple[FaceModel, AlbedoMaps]:
    """Return a face model as large as BFM's, and albedo maps likewise."""
    head = procedural_head()
    face = head.regions["face"].copy()
    face[head.landmarks68] = True
    kept = face[head.faces].any(axis=1) & head.chart_faces
    attributes = {
        f"{kind}{i}": mode
        for kind, modes in (("identity", head.identity), ("expression", head.expression))
        for i, mode in enumerate(modes)
    }
    attributes["landmark"] = _marked(head)
    part = Mesh(
        vertices=head.mean, faces=head.faces, uv=head.uv, faces_uv=head.faces_uv,
        attributes=attributes,
    ).selected(kept)  # fmt: skip
    fine = subdivide_loop(part)
    places = fine.attributes["landmark"]
    identity, expression = (
        _padded(np.stack([v for k, v in fine.attributes.items() if k.startswith(kind)]), n)
        for kind, n in (("identity", _COUNTS[0]), ("expression", _COUNTS[1]))
    )
    assert fine.uv is not None and fine.faces_uv is not None
    model = replace(
        head,
        mean=np.asarray(fine.vertices, np.float64), faces=fine.faces, uv=fine.uv,
        faces_uv=fine.faces_uv, identity=identity, expression=expression,
        identity_names=tuple(f"identity{i}" for i in range(_COUNTS[0])),
        expression_names=tuple(f"expression{i}" for i in range(_COUNTS[1])),
        identity_sigma=np.ones(_COUNTS[0]), expression_sigma=np.ones(_COUNTS[1]),
        landmarks68=places.argmax(axis=0).astype(np.int32),
        regions={}, weights={}, quads=None, mirror=None, chart_faces=np.zeros(0, bool),
    )  # fmt: skip
    mean = np.full((_MAP_SIZE, _MAP_SIZE, 3), 0.5, np.float32)
    modes = rng.standard_normal((_COUNTS[2], _MAP_SIZE, _MAP_SIZE, 3), np.float32) * 0.01
    return model, AlbedoMaps(mean=mean, modes=modes.astype(np.float32))


def _timed(repeats: int, seed: int) -> tuple[list[float], list[float]]:
    model, maps = standin_bfm(np.random.default_rng(seed))
    torch.manual_seed(seed)
    face = face_tensors(model, albedo_maps=maps)
    hrn = Hrn.of(face, HrnNetworks(HrnLayout()), DeretouchNet()).eval()
    generator = torch.Generator().manual_seed(seed)
    crops = [torch.rand(1, 3, size, size, generator=generator)
             for size in (hrn.camera.size, _TEXTURE_PX)]  # fmt: skip
    seconds, cpu_seconds = [], []
    with torch.inference_mode():
        for _ in range(repeats + 1):
            start, start_cpu = time.perf_counter(), time.process_time()
            hrn(*crops)
            seconds.append(time.perf_counter() - start)
            cpu_seconds.append(time.process_time() - start_cpu)
    return seconds[1:], cpu_seconds[1:]  # the first compiles kernels


def _marked(head: FaceModel) -> Floats:
    """Return (V, 68): 1 at each landmark's vertex."""
    marked = np.zeros((head.n_vertices, 68))
    marked[head.landmarks68, np.arange(68)] = 1
    return marked


def _padded(modes: Floats, n: int) -> Floats:
    """Return (n, V, 3): modes again from the first where there are too few, smaller."""
    rows = np.arange(n) % len(modes)
    return np.asarray(modes[rows] * (0.5 ** (np.arange(n) // len(modes)))[:, None, None])
