"""The interface that every rasteriser has, and the choice of one."""

import os
from typing import Any, Protocol

import torch
from torch import Tensor

from ..errors import ConfigError, MissingDependencyError
from .fragments import Fragments, face_index
from .topology import Topology, topology

__all__ = [
    "Fragments", "Rasterizer", "Topology", "chosen_rasterizer", "face_index", "topology",
]  # fmt: skip

NAMES = ("auto", "numba", "torch", "nvdiffrast")


class Rasterizer(Protocol):
    """Triangles to images and gradients back; conventions in `fragments.py`.

    All tensors are on one device, images row 0 at NDC y = -1, textures row 0 at v = 0.
    """

    name: str

    def rasterize(
        self, pos: Tensor, tri: Tensor, size: tuple[int, int], *, db: bool = False,
        cull: str | None = None,
    ) -> Fragments:  # fmt: skip
        """Find the visible triangle at every pixel.

        `pos` (B, V, 4) or (V, 4) clip space; `tri` (T, 3) int32; `size` (height, width), px;
        `db` asks for `Fragments.db`; `cull` "back" leaves out triangles that turn clockwise in
        NDC (x right, y up), "front" the others. Gradients go to x, y and w of `pos`.
        """
        ...

    def interpolate(
        self, attr: Tensor, fragments: Fragments, tri: Tensor, *, da: bool = False
    ) -> Any:
        """Carry `attr` (B|1, V, C) to the pixels: (B, H, W, C), 0 where nothing is seen.

        `tri` may index other vertices than `rasterize` had (texture corners), face by face.
        `da` returns the derivatives per pixel, too: (B, H, W, 2 C), every channel's by x and by
        y, without gradient; it needs fragments with `db`.
        """
        ...

    def texture(
        self, tex: Tensor, uv: Tensor, uv_da: Tensor | None = None, *, filter: str = "linear",
        wrap: str = "wrap",
    ) -> Tensor:  # fmt: skip
        """Look `tex` (B|1, H, W, C) up at `uv` (B, h, w, 2): (B, h, w, C).

        `filter` "linear" or "nearest"; with `uv_da`, of `interpolate(..., da=True)`, smaller
        versions of the texture where it is seen small (mips, trilinear). `wrap` outside [0, 1]:
        "wrap", "clamp" or "zero".
        """
        ...

    def antialias(
        self, color: Tensor, fragments: Fragments, pos: Tensor, topology: Topology, *,
        mode: str = "edges",
    ) -> Tensor:  # fmt: skip
        """Blend `color` (B, H, W, C) across silhouettes; see `antialias.antialias`."""
        ...


def chosen_rasterizer(name: str | None = None, *, device: torch.device | str = "cpu") -> Rasterizer:
    """Return the rasteriser `name`, else that of $FACEKIT_RASTERIZER, else the device's best.

    "auto": numba on the processor; on CUDA nvdiffrast where it is installed, else torch.

    Raises
    ------
    ConfigError
        An unknown name, or one that cannot work on this device.
    MissingDependencyError
        nvdiffrast is asked for and not installed.
    """
    wanted = (name or os.environ.get("FACEKIT_RASTERIZER") or "auto").lower()
    on_cpu = torch.device(device).type == "cpu"
    if wanted not in NAMES:
        raise ConfigError(f"unknown rasteriser {wanted!r}; known: {', '.join(NAMES)}")
    if wanted == "numba" and not on_cpu:
        raise ConfigError(f"rasteriser numba works on the processor only, not on {device}")
    if wanted == "nvdiffrast" and on_cpu:
        raise ConfigError("rasteriser nvdiffrast needs a CUDA device; choose numba or torch")
    if wanted == "numba" or (wanted == "auto" and on_cpu):
        from .numba_backend import NumbaRasterizer

        return NumbaRasterizer()
    if wanted != "torch" and torch.device(device).type == "cuda":
        from .nvdiffrast_backend import NvdiffrastRasterizer

        try:
            return NvdiffrastRasterizer(device)
        except MissingDependencyError:
            if wanted == "nvdiffrast":
                raise
    from .torch_backend import TorchRasterizer

    return TorchRasterizer()
