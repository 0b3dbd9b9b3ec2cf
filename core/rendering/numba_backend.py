"""Rasterise on the processor with compiled loops, forwards and backwards.

Results are bitwise the same from run to run and for any number of threads: work is cut into
pieces that depend on sizes alone, and every piece sums into a buffer, or a part of one, of its
own. Single precision in and out; triangles are placed and gradients are summed in double.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import Function, FunctionCtx, once_differentiable

from ..chunks import over_chunks
from . import numba_attribute_kernels as attribute_kernels
from . import numba_raster_kernels as raster_kernels
from . import numba_texture_kernels as texture_kernels
from .antialias import antialias
from .fragments import Fragments
from .mipmap import Levels, Wrap, sampled
from .screen import Cull, checked_attribute, checked_grid, checked_scene
from .topology import Topology

_Array = NDArray[Any]
_N_PIECES = 8
_MIN_ROWS = 16
_WRAPS = {
    Wrap.WRAP: texture_kernels.WRAP,
    Wrap.CLAMP: texture_kernels.CLAMP,
    Wrap.ZERO: texture_kernels.ZERO,
}
_CULLS = {
    None: raster_kernels.KEEP_ALL,
    Cull.BACK: raster_kernels.DROP_BACK,
    Cull.FRONT: raster_kernels.DROP_FRONT,
}


class NumbaRasterizer:
    """Compiled loops for the processor; see the contract in `rasterizer.Rasterizer`.

    `subpixel_bits`: vertices are rounded to 2^-bits of a pixel, 4 as GPUs commonly do, 8 for
    baking and dense scans.
    """

    name = "numba"

    def __init__(self, *, subpixel_bits: int = 4) -> None:
        self.subpixel_bits = checked_grid(subpixel_bits)

    def rasterize(
        self, pos: Tensor, tri: Tensor, size: tuple[int, int], *, db: bool = False,
        cull: str | None = None,
    ) -> Fragments:  # fmt: skip
        """Find the visible triangle at every pixel; see `Rasterizer.rasterize`."""
        pos, tri = checked_scene(pos, tri, size)
        options = (size, self.subpixel_bits, _CULLS[Cull(cull) if cull else None], db)
        rast, slopes = _Rasterize.apply(pos.to(torch.float32), tri, options)
        return Fragments(rast=rast, db=slopes if db else None)

    def visibility(
        self, pos: Tensor, tri: Tensor, size: tuple[int, int], *, cull: str | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return triangle (B, H, W) int32, -1 for none, and z/w (B, H, W), inf for none."""
        pos, tri = checked_scene(pos, tri, size)
        height, width = size
        ids = np.empty((len(pos), height, width), np.int32)
        depth = np.empty((len(pos), height, width), np.float32)

        def read(b: int, top: int, keys: _Array) -> None:
            raster_kernels.read_keys(keys, top, ids[b], depth[b])

        how = _CULLS[Cull(cull) if cull else None]
        _draw(_array(pos.to(torch.float32)), _array(tri), size, self.subpixel_bits, how, read)
        return torch.from_numpy(ids), torch.from_numpy(depth)

    def interpolate(
        self, attr: Tensor, fragments: Fragments, tri: Tensor, *, da: bool = False
    ) -> Any:
        """Carry values from vertices to pixels; see `Rasterizer.interpolate`."""
        attr = checked_attribute(attr, fragments, tri).to(torch.float32)
        tri = tri.to(torch.int32)
        out = _Interpolate.apply(attr, fragments.rast.to(torch.float32), tri)
        if not da:
            return out
        if fragments.db is None:
            raise ValueError("derivatives need fragments of rasterize(..., db=True)")
        return out, _derivatives(attr.detach(), fragments, tri)

    def texture(
        self, tex: Tensor, uv: Tensor, uv_da: Tensor | None = None, *, filter: str = "linear",
        wrap: str = "wrap",
    ) -> Tensor:  # fmt: skip
        """Look a texture up at every pixel; see `Rasterizer.texture`."""
        tex, uv = tex.to(torch.float32), uv.to(torch.float32)
        return sampled(tex, uv, uv_da, filter=filter, wrap=wrap, sampler=_sample)

    def antialias(
        self, color: Tensor, fragments: Fragments, pos: Tensor, topology: Topology, *,
        mode: str = "edges",
    ) -> Tensor:  # fmt: skip
        """Blend pixels across silhouettes; see `Rasterizer.antialias`."""
        return antialias(color, fragments, pos, topology, mode=mode)


def _array(tensor: Tensor) -> _Array:
    array: _Array = tensor.detach().contiguous().numpy()
    return array


def _rows_per_piece(height: int) -> int:
    return max(_MIN_ROWS, -(-height // _N_PIECES))


def _over_rows(n_images: int, height: int, work: Callable[[int, int, int, int], None]) -> int:
    """Call `work(image, piece, top, end)` for every piece of every image; return their number."""
    rows = _rows_per_piece(height)
    n_pieces = -(-height // rows)

    def run(start: int, end: int) -> None:
        for item in range(start, end):
            image, piece = divmod(item, n_pieces)
            work(image, piece, piece * rows, min((piece + 1) * rows, height))

    if n_images and height:
        over_chunks(run, n_images * n_pieces, chunk=1)
    return n_pieces


def _draw(
    pos: _Array, tri: _Array, size: tuple[int, int], bits: int, cull: int,
    finish: Callable[[int, int, _Array], None],
) -> None:  # fmt: skip
    """Rasterise piece by piece; `finish(image, first row, keys)` while the keys are at hand."""
    height, width = size
    n_images, n_vertices = pos.shape[:2]
    place = np.empty((n_images, n_vertices, 2), np.int32)
    depth = np.empty((n_images, n_vertices))
    kind = np.empty((n_images, n_vertices), np.int8)
    rows = np.empty((n_images, len(tri), 2), np.int32)
    half = (width * float(1 << (bits - 1)), height * float(1 << (bits - 1)))
    for b in range(n_images):
        raster_kernels.place_vertices(pos[b], *half, place[b], depth[b], kind[b])

    def find(start: int, end: int) -> None:
        for b in range(n_images):
            raster_kernels.find_rows(
                tri, pos[b], place[b], depth[b], kind[b], size, bits, cull, start, end, rows[b]
            )

    def fill(b: int, piece: int, top: int, end: int) -> None:
        keys = np.full((end - top, width), raster_kernels.EMPTY)
        raster_kernels.fill_rows(
            tri, pos[b], place[b], depth[b], kind[b], rows[b], width, height, bits, cull, top, keys
        )
        finish(b, top, keys)

    if len(tri):
        over_chunks(find, len(tri), chunk=1 << 16)
    _over_rows(n_images, height, fill)


class _Rasterize(Function):
    @staticmethod
    def forward(
        ctx: Any, pos: Tensor, tri: Tensor, options: tuple[tuple[int, int], int, int, bool]
    ) -> tuple[Tensor, Tensor]:
        size, bits, cull, with_db = options
        shape = (len(pos), *size, 4)
        rast = np.zeros(shape, np.float32)
        as_bits = rast.view(np.int32)
        db = np.zeros(shape if with_db else (len(pos), 0, 0, 4), np.float32)
        corners, vertices = _array(tri), _array(pos)

        def locate(b: int, top: int, keys: _Array) -> None:
            raster_kernels.locate(
                corners, vertices[b], keys, top, size[0], rast[b], as_bits[b], db[b]
            )

        _draw(vertices, corners, size, bits, cull, locate)
        result, slopes = torch.from_numpy(rast), torch.from_numpy(db)
        ctx.save_for_backward(pos, tri, result)
        ctx.mark_non_differentiable(slopes)
        return result, slopes

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, None, None]:
        if not ctx.needs_input_grad[0]:
            return None, None, None
        pos, tri, rast = ctx.saved_tensors
        by_rast, vertices, corners = _array(gradients[0]), _array(pos), _array(tri)
        where, bits = _seen(rast)
        n_images, height = where.shape[:2]
        sums = np.zeros((n_images, -(-height // _rows_per_piece(height)), pos.shape[1], 3))

        def work(b: int, piece: int, top: int, end: int) -> None:
            raster_kernels.locate_gradient(
                corners, vertices[b], where[b], bits[b], by_rast[b], top, end, sums[b, piece]
            )

        _over_rows(n_images, height, work)
        out = np.zeros(pos.shape, np.float32)
        out[..., [0, 1, 3]] = sums.sum(axis=1)
        return torch.from_numpy(out), None, None


def _seen(rast: Tensor) -> tuple[_Array, _Array]:
    """Return `rast`, and the same memory as int32, for the numbers of triangles."""
    where = _array(rast)
    return where, where.view(np.int32)


class _Interpolate(Function):
    @staticmethod
    def forward(ctx: Any, attr: Tensor, rast: Tensor, tri: Tensor) -> Tensor:
        (where, bits), values, corners = _seen(rast), _array(attr), _array(tri)
        out = np.empty((*where.shape[:3], attr.shape[2]), np.float32)

        def work(b: int, piece: int, top: int, end: int) -> None:
            attribute_kernels.interpolate(
                corners, where[b], bits[b], values[b % len(values)], top, end, out[b]
            )

        _over_rows(len(where), where.shape[1], work)
        ctx.save_for_backward(attr, rast, tri)
        return torch.from_numpy(out)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        attr, rast, tri = ctx.saved_tensors
        corners, values, gradient = _array(tri), _array(attr), _array(gradients[0])
        where, bits = _seen(rast)
        n_images, height = where.shape[:2]
        by_rast = np.zeros(rast.shape, np.float32) if ctx.needs_input_grad[1] else None
        n_pieces = -(-height // _rows_per_piece(height))
        shape = (n_images, n_pieces, *attr.shape[1:])
        sums = np.zeros(shape) if ctx.needs_input_grad[0] else None

        def work(b: int, piece: int, top: int, end: int) -> None:
            if by_rast is not None:
                attribute_kernels.gradient_to_rast(
                    corners, where[b], bits[b], values[b % len(values)], gradient[b], top, end,
                    by_rast[b],
                )  # fmt: skip
            if sums is not None:
                attribute_kernels.gradient_to_attribute(
                    corners, where[b], bits[b], gradient[b], top, end, sums[b, piece]
                )

        _over_rows(n_images, height, work)
        by_attr = None
        if sums is not None:
            total = sums.sum(axis=1)
            total = total.sum(axis=0, keepdims=True) if len(attr) == 1 else total
            by_attr = torch.from_numpy(total.astype(np.float32))
        return by_attr, None if by_rast is None else torch.from_numpy(by_rast), None


def _derivatives(attr: Tensor, fragments: Fragments, tri: Tensor) -> Tensor:
    assert fragments.db is not None
    (where, bits), db = _seen(fragments.rast.to(torch.float32)), _array(fragments.db)
    values, corners = _array(attr), _array(tri)
    out = np.empty((*where.shape[:3], 2 * attr.shape[2]), np.float32)

    def work(b: int, piece: int, top: int, end: int) -> None:
        attribute_kernels.derivatives(
            corners, where[b], bits[b], db[b], values[b % len(values)], top, end, out[b]
        )

    _over_rows(len(where), where.shape[1], work)
    return torch.from_numpy(out)


def _sample(levels: Levels, level: Tensor | None, uv: Tensor, wrap: Wrap) -> Tensor:
    out: Tensor = _Sample.apply(levels.texels, uv, level, levels.shape, _WRAPS[wrap])
    return out


class _Sample(Function):
    @staticmethod
    def forward(
        ctx: Any, texels: Tensor, uv: Tensor, level: Tensor | None, shape: Any, wrap: int
    ) -> Tensor:
        ctx.save_for_backward(texels, uv)
        ctx.shape, ctx.wrap = np.array(shape, np.int64), wrap
        ctx.level = _per_texture(_array(level), len(texels)) if level is not None else None
        table, where = _array(texels), _per_texture(_array(uv), len(texels))
        out = np.empty((*where.shape[:2], texels.shape[2]), np.float32)
        for b in range(len(table)):

            def work(start: int, end: int, b: int = b) -> None:
                texture_kernels.sample(
                    table[b], ctx.shape, _level_of(ctx, b), where[b], wrap, start, end, out[b]
                )

            _over_pixels(where.shape[1], work)
        return torch.from_numpy(out.reshape(*uv.shape[:-1], -1))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        texels, uv = ctx.saved_tensors
        table, where = _array(texels), _per_texture(_array(uv), len(texels))
        gradient = _array(gradients[0]).reshape(*where.shape[:2], -1)
        by_uv = np.empty_like(where) if ctx.needs_input_grad[1] else None
        by_texels = np.zeros_like(table) if ctx.needs_input_grad[0] else None
        for b in range(len(table)):
            given = (ctx.shape, _level_of(ctx, b), where[b], ctx.wrap, gradient[b])
            if by_uv is not None:
                _gradient_to_uv(table[b], given, by_uv[b])
            if by_texels is not None:
                _gradient_to_texels(given, by_texels[b])
        return (
            None if by_texels is None else torch.from_numpy(by_texels),
            None if by_uv is None else torch.from_numpy(by_uv.reshape(uv.shape)),
            None, None, None,
        )  # fmt: skip


def _per_texture(array: _Array, n_textures: int) -> _Array:
    """Put the pixels of each texture in one row: (n_textures, pixels, ...)."""
    return array.reshape(n_textures, -1, *array.shape[3:])


def _level_of(ctx: FunctionCtx, b: int) -> _Array:
    level: _Array | None = ctx.level  # type: ignore[attr-defined]
    return np.empty(0, np.int32) if level is None else level[b]


def _over_pixels(n_pixels: int, work: Callable[[int, int], None]) -> None:
    if n_pixels:
        over_chunks(work, n_pixels, chunk=max(4096, -(-n_pixels // _N_PIECES)))


def _gradient_to_uv(table: _Array, given: tuple[Any, ...], out: _Array) -> None:
    shape, level, where, wrap, gradient = given

    def work(start: int, end: int) -> None:
        texture_kernels.gradient_to_uv(table, shape, level, where, wrap, gradient, start, end, out)

    _over_pixels(len(where), work)


def _gradient_to_texels(given: tuple[Any, ...], out: _Array) -> None:
    shape, level, where, wrap, gradient = given
    touched = np.empty((len(where), 2), np.int64)

    def find(start: int, end: int) -> None:
        texture_kernels.rows_touched(shape, level, where, wrap, gradient, start, end, touched)

    def add(start: int, end: int) -> None:
        texture_kernels.gradient_to_texels(
            shape, level, where, wrap, gradient, touched, start, end, out
        )

    _over_pixels(len(where), find)
    if len(out):
        over_chunks(add, len(out), chunk=-(-len(out) // _N_PIECES))
