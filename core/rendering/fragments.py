"""What a rasteriser returns: which triangle is seen at each pixel, and where on it.

Conventions are nvdiffrast's: clip space as OpenGL's (visible where |x|, |y|, |z| <= w, smaller
z/w nearer), row 0 of an image at NDC y = -1, the centre of pixel (col, row) at
x = (2 col + 1) / width - 1. No backend flips anything.

Source
------
Laine et al., "Modular primitives for high-performance differentiable rendering", ACM TOG 39(6),
2020, arXiv:2011.03277; the documentation of nvdiffrast 0.4 for the encoding of triangle numbers.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

LARGEST_FLOAT_ID = 1 << 24  # every whole number up to here is a float32
_BITS_OFFSET = 0x4A800000  # bits of 2^24 as float32, less 2^24: the encoding has no jump


@dataclass(frozen=True, kw_only=True)
class Fragments:
    """The visible triangle at every pixel."""

    rast: Tensor
    """(B, H, W, 4): u, v, z/w, triangle + 1 (see `encoded_ids`); 0 where nothing is seen.

    u belongs to a triangle's first vertex, v to its second, 1 - u - v to its third, perspective
    included. Gradients flow through u and v alone.
    """
    db: Tensor | None = None
    """(B, H, W, 4): du/dx, du/dy, dv/dx, dv/dy, per pixel; without gradient."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width, px."""
        return self.rast.shape[1], self.rast.shape[2]


def face_index(fragments: Fragments) -> Tensor:
    """Return the triangle at every pixel: (B, H, W) int64, -1 where there is none."""
    return decoded_ids(fragments.rast[..., 3])


def encoded_ids(ids: Tensor) -> Tensor:
    """Return whole numbers (int64, 0 and up) as float32.

    Up to 2^24 the number itself; above, the float32 whose bits are the number plus an offset.
    """
    bits = (ids + _BITS_OFFSET).to(torch.int32).view(torch.float32)
    return torch.where(ids <= LARGEST_FLOAT_ID, ids.to(torch.float32), bits)


def decoded_ids(codes: Tensor) -> Tensor:
    """Return `encoded_ids` undone, less one: int64, -1 for 0."""
    codes = codes.detach()
    ids = codes.to(torch.int64)
    large = ids > LARGEST_FLOAT_ID
    if bool(large.any()):
        bits = codes.to(torch.float32).contiguous().view(torch.int32).to(torch.int64)
        ids = torch.where(large, bits - _BITS_OFFSET, ids)
    return ids - 1
