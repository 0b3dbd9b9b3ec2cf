"""Grey images packed for the sweep: one 32-bit word holds a pixel and the one to its right."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.arrays import Floats32, Ints
from .detail import detailed
from .sweep_kernels import FULL, REACH


@dataclass(frozen=True, kw_only=True)
class PackedImages:
    """Images of any sizes, one after the other."""

    words: Ints
    """(N,): grey in [0, 65535] in the low half, that of the pixel to the right in the high."""
    starts: NDArray[Any]
    """(n,) int64: word of each image's first pixel; `REACH` rows before the first image are 0."""
    sizes: NDArray[Any]
    """(n, 2) int64: height, width."""


def pack_images(images: list[Floats32], *, detail: float = 0.0) -> PackedImages:
    """Pack (height, width) images in [0, 1], `detailed` first; the last column's neighbour is 0."""
    sizes = np.array([image.shape for image in images], dtype=np.int64)
    spare = (REACH + 1) * (int(sizes[:, 1].max()) + 1)
    starts = spare + np.concatenate([[0], np.cumsum(sizes.prod(axis=1))[:-1]])
    halves = np.zeros((int(starts[-1] + sizes[-1].prod()) + spare, 2), np.uint16)
    for image, start in zip(images, starts, strict=True):
        grey = np.rint(np.clip(detailed(image, detail), 0, 1) * np.float32(FULL)).astype(np.uint16)
        words = halves[start : start + image.size].reshape(*image.shape, 2)
        words[..., 0] = grey
        words[:, :-1, 1] = grey[:, 1:]
    # little-endian: the first half is the low one
    return PackedImages(words=halves.view("<i4")[:, 0], starts=starts, sizes=sizes)
