"""Rasterise in plain torch: the reference, and the way to a GPU without other packages.

Visibility is found without gradient (`torch_coverage.py`); u and v are then evaluated at the
visible triangles with torch's own operations, so that gradients, and gradients of gradients,
are autograd's. On CUDA sums run in an order that varies from run to run, in the last digits.
"""

from typing import Any

import torch
from torch import Tensor

from .antialias import antialias
from .fragments import Fragments, encoded_ids, face_index
from .mipmap import Levels, Wrap, sampled
from .screen import Cull, checked_attribute, checked_grid, checked_scene
from .topology import Topology
from .torch_coverage import areas, covered


class TorchRasterizer:
    """Plain torch on any device, any float type; see the contract in `rasterizer.Rasterizer`.

    `subpixel_bits`: vertices are rounded to 2^-bits of a pixel.
    """

    name = "torch"

    def __init__(self, *, subpixel_bits: int = 4) -> None:
        self.subpixel_bits = checked_grid(subpixel_bits)

    def rasterize(
        self, pos: Tensor, tri: Tensor, size: tuple[int, int], *, db: bool = False,
        cull: str | None = None,
    ) -> Fragments:  # fmt: skip
        """Find the visible triangle at every pixel; see `Rasterizer.rasterize`."""
        pos, tri = checked_scene(pos, tri, size)
        how = Cull(cull) if cull else None
        face = covered(pos, tri, size, bits=self.subpixel_bits, cull=how)
        shape, flat = (*face.shape, 4), face.reshape(-1)
        pixel = (flat >= 0).nonzero()[:, 0]
        seen = flat[pixel]
        height, width = size
        column, row = pixel % width, pixel // width % height
        x = (2 * column.to(torch.float64) + 1) / width - 1
        y = (2 * row.to(torch.float64) + 1) / height - 1
        first = pixel // (height * width) * pos.shape[1]
        corner = tri.to(torch.int64)[seen] + first[:, None]
        vertices = pos.reshape(-1, 4).index_select(0, corner.reshape(-1)).to(torch.float64)
        a, b, c = vertices.reshape(-1, 3, 4).unbind(1)
        values = _located(a, b, c, x, y, encoded_ids(seen + 1)).to(pos.dtype)
        rast = pos.new_zeros(shape).reshape(-1, 4).index_copy(0, pixel, values).reshape(shape)
        slopes = None
        if db:
            values = _slopes(a.detach(), b.detach(), c.detach(), x, y, size).to(pos.dtype)
            slopes = pos.new_zeros(shape).reshape(-1, 4).index_copy(0, pixel, values)
            slopes = slopes.reshape(shape)
        return Fragments(rast=rast, db=slopes)

    def interpolate(
        self, attr: Tensor, fragments: Fragments, tri: Tensor, *, da: bool = False
    ) -> Any:
        """Carry values from vertices to pixels; see `Rasterizer.interpolate`."""
        attr = checked_attribute(attr, fragments, tri)
        face = face_index(fragments)
        flat = face.reshape(-1)
        pixel = (flat >= 0).nonzero()[:, 0]
        corner = tri.to(torch.int64)[flat[pixel]]
        if len(attr) > 1:
            corner = corner + (pixel // (face[0].numel()) * attr.shape[1])[:, None]
        n_channels = attr.shape[2]
        table = attr.reshape(-1, n_channels)
        a, b, c = table.index_select(0, corner.reshape(-1)).reshape(-1, 3, n_channels).unbind(1)
        u, v = fragments.rast.reshape(-1, 4).index_select(0, pixel)[:, :2].unsqueeze(-1).unbind(1)
        values = u * a + v * b + (1 - u - v) * c
        out = _spread(values, pixel, face.shape)
        if not da:
            return out
        if fragments.db is None:
            raise ValueError("derivatives need fragments of rasterize(..., db=True)")
        slopes = fragments.db.reshape(-1, 2, 2).index_select(0, pixel)
        along_u, along_v = (a - c).detach()[:, :, None], (b - c).detach()[:, :, None]
        by_pixel = along_u * slopes[:, None, 0] + along_v * slopes[:, None, 1]
        return out, _spread(by_pixel.reshape(-1, 2 * n_channels), pixel, face.shape)

    def texture(
        self, tex: Tensor, uv: Tensor, uv_da: Tensor | None = None, *, filter: str = "linear",
        wrap: str = "wrap",
    ) -> Tensor:  # fmt: skip
        """Look a texture up at every pixel; see `Rasterizer.texture`."""
        return sampled(tex, uv, uv_da, filter=filter, wrap=wrap, sampler=_sample)

    def antialias(
        self, color: Tensor, fragments: Fragments, pos: Tensor, topology: Topology, *,
        mode: str = "edges",
    ) -> Tensor:  # fmt: skip
        """Blend pixels across silhouettes; see `Rasterizer.antialias`."""
        return antialias(color, fragments, pos, topology, mode=mode)


def _located(a: Tensor, b: Tensor, c: Tensor, x: Tensor, y: Tensor, code: Tensor) -> Tensor:
    """Return u, v, z/w and the triangle's code: (N, 4) float64."""
    p, q, r = areas(a, b, c, x, y)
    total = p + q + r
    total = torch.where(total == 0, torch.inf, total)
    u, v = p / total, q / total
    with torch.no_grad():
        inside_u, inside_v = u.clamp(0, 1), v.clamp(0, 1)
        over = (inside_u + inside_v).clamp(min=1)
        inside_u, inside_v = inside_u / over, inside_v / over
        rest = 1 - inside_u - inside_v
        z = inside_u * a[:, 2] + inside_v * b[:, 2] + rest * c[:, 2]
        w = inside_u * a[:, 3] + inside_v * b[:, 3] + rest * c[:, 3]
    # the clamp has no gradient of its own
    u, v = u + (inside_u - u).detach(), v + (inside_v - v).detach()
    return torch.stack([u, v, z / w, code.to(torch.float64)], dim=1)


def _slopes(a: Tensor, b: Tensor, c: Tensor, x: Tensor, y: Tensor, size: tuple[int, int]) -> Tensor:
    """Return du/dx, du/dy, dv/dx, dv/dy per pixel: (N, 4)."""
    height, width = size
    p, q, r = areas(a, b, c, x, y)
    total = p + q + r
    inverse = torch.where(total == 0, 0.0, 1 / total)
    u, v = p * inverse, q * inverse
    ax, ay = a[:, 0] - x * a[:, 3], a[:, 1] - y * a[:, 3]
    bx, by = b[:, 0] - x * b[:, 3], b[:, 1] - y * b[:, 3]
    cx, cy = c[:, 0] - x * c[:, 3], c[:, 1] - y * c[:, 3]
    px, qx = by * c[:, 3] - b[:, 3] * cy, cy * a[:, 3] - c[:, 3] * ay
    py, qy = b[:, 3] * cx - bx * c[:, 3], c[:, 3] * ax - cx * a[:, 3]
    tx = px + qx + (ay * b[:, 3] - a[:, 3] * by)
    ty = py + qy + (a[:, 3] * bx - ax * b[:, 3])
    to_x, to_y = 2.0 / width * inverse, 2.0 / height * inverse
    return torch.stack(
        [(px - u * tx) * to_x, (py - u * ty) * to_y, (qx - v * tx) * to_x, (qy - v * ty) * to_y],
        dim=1,
    )


def _spread(values: Tensor, pixel: Tensor, shape: torch.Size) -> Tensor:
    """Put (N, C) values at their pixels, 0 elsewhere: (*shape, C)."""
    blank = values.new_zeros((shape.numel(), values.shape[1]))
    return blank.index_copy(0, pixel, values).reshape(*shape, -1)


def _sample(levels: Levels, level: Tensor | None, uv: Tensor, wrap: Wrap) -> Tensor:
    """Sample one level bilinearly: (B, h, w, C)."""
    texels, (batch, height, width) = levels.texels, uv.shape[:3]
    if level is None:
        first, rows, columns = levels.shape[0]
        start = torch.zeros((), dtype=torch.int64, device=uv.device) + first
        n_rows, n_columns = (torch.full_like(start, n) for n in (rows, columns))
    else:
        table = torch.tensor(levels.shape, device=uv.device)
        start, n_rows, n_columns = table[level.to(torch.int64)].unbind(-1)
    if len(texels) > 1:
        each = torch.arange(batch, device=uv.device) * texels.shape[1]
        start = start + each[:, None, None]
    x0, x1, right, x0_ok, x1_ok = _place(uv[..., 0], n_columns, wrap)
    y0, y1, down, y0_ok, y1_ok = _place(uv[..., 1], n_rows, wrap)
    flat = texels.reshape(-1, texels.shape[-1])
    out: Tensor | None = None
    for y, y_share, y_ok in ((y0, 1 - down, y0_ok), (y1, down, y1_ok)):
        for x, x_share, x_ok in ((x0, 1 - right, x0_ok), (x1, right, x1_ok)):
            weight = y_share * x_share
            if wrap is Wrap.ZERO:
                weight = torch.where(y_ok & x_ok, weight, 0)
            value = flat.index_select(0, (start + y * n_columns + x).reshape(-1))
            part = value * weight.reshape(-1, 1).to(value.dtype)
            out = part if out is None else out + part
    assert out is not None
    return out.reshape(batch, height, width, -1)


def _place(
    coordinate: Tensor, n_texels: Tensor, wrap: Wrap
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return the texels before and after, the share of the latter, and which are inside."""
    if wrap is Wrap.WRAP:
        coordinate = coordinate - coordinate.detach().floor()
    x = coordinate * n_texels - 0.5
    if wrap is Wrap.CLAMP:
        x = torch.minimum(x.clamp(min=0), (n_texels - 1).to(x.dtype))
    elif wrap is Wrap.ZERO:
        x = torch.minimum(x.clamp(min=-2), (n_texels + 1).to(x.dtype))
    low = torch.nan_to_num(x.detach()).floor()
    share = x - low
    low = low.to(torch.int64)
    high = low + 1
    if wrap is Wrap.WRAP:
        return low % n_texels, high % n_texels, share, low >= 0, low >= 0
    last = n_texels - 1
    low_ok, high_ok = (low >= 0) & (low <= last), (high >= 0) & (high <= last)
    return (
        torch.minimum(low.clamp(min=0), last), torch.minimum(high.clamp(min=0), last), share,
        low_ok, high_ok,
    )  # fmt: skip
