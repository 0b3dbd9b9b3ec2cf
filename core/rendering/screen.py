"""Checks of what rasterisers are given, the same for every backend."""

from enum import StrEnum

import torch
from torch import Tensor

from .fragments import Fragments

MAX_SIDE_PX = 1 << 15


class Cull(StrEnum):
    """Triangles to leave out, by their turn in NDC with x right and y up."""

    BACK = "back"
    """Clockwise ones."""
    FRONT = "front"
    """Counter-clockwise ones."""


def checked_scene(pos: Tensor, tri: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return `pos` (B, V, 4) and `tri` (T, 3) int32, contiguous.

    Raises
    ------
    ValueError
        Shapes or the image size are out of bounds, or a triangle names no vertex.
    """
    pos = pos[None] if pos.ndim == 2 else pos
    if pos.ndim != 3 or pos.shape[2] != 4:
        raise ValueError(f"{pos.shape=}; expected (B, V, 4) or (V, 4) in clip space")
    if tri.ndim != 2 or tri.shape[1] != 3:
        raise ValueError(f"{tri.shape=}; expected (T, 3)")
    if not all(0 < side <= MAX_SIDE_PX for side in size):
        raise ValueError(f"image {size=}; expected (height, width) of 1 to {MAX_SIDE_PX} px")
    _check_corners(tri, pos.shape[1], "pos")
    return pos.contiguous(), tri.to(torch.int32).contiguous()


def _check_corners(tri: Tensor, n_vertices: int, name: str) -> None:
    if tri.numel():
        low, high = (int(end) for end in tri.aminmax())
        if low < 0 or high >= n_vertices:
            raise ValueError(f"tri names vertices {low} to {high}; {name} has {n_vertices}")


def checked_grid(subpixel_bits: int) -> int:
    """Return the number of bits.

    Raises
    ------
    ValueError
        It is not 1 to 12.
    """
    if not 1 <= subpixel_bits <= 12:
        raise ValueError(f"{subpixel_bits=}; expected 1 to 12 (4 and 8 are usual)")
    return subpixel_bits


def checked_attribute(attr: Tensor, fragments: Fragments, tri: Tensor) -> Tensor:
    """Return `attr` (B|1, V, C).

    Raises
    ------
    ValueError
        Its shape does not fit the images, or a triangle names no vertex.
    """
    attr = attr[None] if attr.ndim == 2 else attr
    if attr.ndim != 3 or attr.shape[0] not in (1, len(fragments.rast)):
        raise ValueError(f"{attr.shape=}; expected (B|1, V, C), B = {len(fragments.rast)}")
    _check_corners(tri, attr.shape[1], "attr")
    return attr
