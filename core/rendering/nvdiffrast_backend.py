"""Rasterise with nvdiffrast on CUDA, where the user has installed it.

facekit neither brings nor needs nvdiffrast. Its licence allows research and evaluation only:
whoever chooses this backend is bound by that.
"""

from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from ..errors import MissingDependencyError
from .antialias import antialias
from .fragments import Fragments
from .screen import Cull, checked_attribute, checked_scene
from .topology import Topology

# nvdiffrast adds a small constant to a triangle's homogeneous area, which damps gradients where
# w is small; multiplying all of clip space changes no image and makes the constant vanish
_CLIP_SCALE = 100.0


def _nvdiffrast() -> ModuleType:
    try:
        import nvdiffrast.torch as module
    except ImportError as error:
        raise MissingDependencyError(
            "nvdiffrast is not installed; choose rasterizer torch, or install it beside a CUDA "
            "toolkit (research use only): pip install setuptools wheel ninja && pip install "
            "git+https://github.com/NVlabs/nvdiffrast.git --no-build-isolation"
        ) from error
    found: ModuleType = module
    return found


def _context(module: ModuleType, device: torch.device) -> Any:
    try:
        return module.RasterizeCudaContext(device=device)
    except (ImportError, OSError, RuntimeError) as error:  # built for another torch, or not at all
        raise MissingDependencyError(
            f"nvdiffrast is installed but does not start: {error}; choose rasterizer torch, or "
            "install it again for this torch"
        ) from error


class NvdiffrastRasterizer:
    """nvdiffrast's operations behind the contract of `rasterizer.Rasterizer`."""

    name = "nvdiffrast"

    def __init__(self, device: torch.device | str = "cuda") -> None:
        self._dr = _nvdiffrast()
        self._context = _context(self._dr, torch.device(device))

    def rasterize(
        self, pos: Tensor, tri: Tensor, size: tuple[int, int], *, db: bool = False,
        cull: str | None = None,
    ) -> Fragments:  # fmt: skip
        """Find the visible triangle at every pixel; see `Rasterizer.rasterize`."""
        pos, tri = checked_scene(pos, tri, size)
        scaled = (pos.to(torch.float32) * _CLIP_SCALE).contiguous()
        if cull is None:
            pairs = [self._rasterize(scaled, tri, size)]
        else:
            pairs = [
                self._rasterize(one[None], _without(one, tri, Cull(cull)), size) for one in scaled
            ]
        rast, slopes = (torch.cat(parts) for parts in zip(*pairs, strict=True))
        return Fragments(rast=rast, db=slopes.detach() if db else None)

    def _rasterize(self, pos: Tensor, tri: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        rast, slopes = self._dr.rasterize(self._context, pos, tri, resolution=size, grad_db=False)
        return rast, slopes

    def interpolate(
        self, attr: Tensor, fragments: Fragments, tri: Tensor, *, da: bool = False
    ) -> Any:
        """Carry values from vertices to pixels; see `Rasterizer.interpolate`."""
        attr = checked_attribute(attr, fragments, tri).to(torch.float32).contiguous()
        corners = tri.to(torch.int32).contiguous()
        if not da:
            return self._dr.interpolate(attr, fragments.rast, corners)[0]
        if fragments.db is None:
            raise ValueError("derivatives need fragments of rasterize(..., db=True)")
        out, slopes = self._dr.interpolate(
            attr, fragments.rast, corners, rast_db=fragments.db, diff_attrs="all"
        )
        return out, slopes.detach()

    def texture(
        self, tex: Tensor, uv: Tensor, uv_da: Tensor | None = None, *, filter: str = "linear",
        wrap: str = "wrap",
    ) -> Tensor:  # fmt: skip
        """Look a texture up at every pixel; see `Rasterizer.texture`."""
        mode = "linear-mipmap-linear" if uv_da is not None and filter == "linear" else filter
        out: Tensor = self._dr.texture(
            tex.to(torch.float32).contiguous(),
            uv.to(torch.float32).contiguous(),
            uv_da=None if mode == filter else uv_da,
            filter_mode=mode,
            boundary_mode=wrap,
        )
        return out

    def antialias(
        self, color: Tensor, fragments: Fragments, pos: Tensor, topology: Topology, *,
        mode: str = "edges",
    ) -> Tensor:  # fmt: skip
        """Blend pixels across silhouettes; see `Rasterizer.antialias`."""
        if mode != "nvdiffrast":
            return antialias(color, fragments, pos, topology, mode=mode)
        pos = pos[None] if pos.ndim == 2 else pos
        out: Tensor = self._dr.antialias(
            color.contiguous(), fragments.rast, (pos * _CLIP_SCALE).contiguous(), topology.tri
        )
        return out


def _without(pos: Tensor, tri: Tensor, cull: Cull) -> Tensor:
    """Collapse the triangles of one image that are to be left out; numbers stay."""
    x, y, _, w = pos.detach().to(torch.float64)[tri.to(torch.int64)].unbind(-1)
    turn = torch.linalg.det(torch.stack([x, y, w], dim=-1))
    drop = turn < 0 if cull is Cull.BACK else turn > 0
    return torch.where(drop[:, None], tri[:, :1], tri).contiguous()
