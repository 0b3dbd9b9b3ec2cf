"""The crop that HRN's networks see: five points brought to a fixed scale and place.

Landmarks come in px of the photograph, y down, the centre of the top left pixel at (0.5, 0.5);
in the crop they are px with y **up**, counted from the crop's bottom left corner, as HRN's
camera projects. The crop's centre is where the reference's origin projects to, and one unit of
the reference (100 mm) is 102 px of 224.

The released code resizes the whole photograph to whole pixels and cuts at whole pixels; its
landmarks count pixels from 0. `compat` does the same; by default the crop is resampled once, at
exactly the scale and place that the landmarks get.

Source
------
Crop, reference points and constants: github.com/youngLBW/HRN and
github.com/sicxu/Deep3DFaceRecon_pytorch (similarity_Lm3D_all.mat).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from ..core.arrays import AnyFloats, Floats, Floats32, Image
from ..core.errors import EstimationError, InputError

MODEL_UNIT_MM = 100.0
"""Of the model frame's unit."""

HRN_REFERENCE5 = np.array(
    [
        [-0.31149, 0.29036, 0.13378],
        [0.30980, 0.28972, 0.13180],
        [0.00325, -0.04618, 0.55244],
        [-0.25217, -0.38134, 0.22406],
        [0.24847, -0.38128, 0.22236],
    ]
)
"""(5, 3) model units: eyes, nose tip, corners of the mouth of the mean face, image left first."""

UNIT_PX, AT_SIZE = 102.0, 224
"""Pixels of a model unit in a crop of that size."""
_FINEST = 4.0  # source pixels a crop pixel that are resampled at once; more are averaged first
_SUPPORT = 2  # pixels that the cubic kernel reaches, times the ratio
_SMALLEST_PX = 2.0  # a face whose unit is less is none


@dataclass(frozen=True, kw_only=True)
class Crop:
    """A square crop and how it lies in its photograph."""

    image: Floats32
    """(S, S, 3) RGB in [0, 1], encoded as the photograph; 0 beyond its edges."""
    landmarks: Floats
    """(68, 2) crop px, y up."""
    scale: float
    """Crop pixels a pixel of the photograph."""
    offset: Floats
    """(2,) crop px, y down: crop = scale * photograph + offset."""
    width: int
    height: int
    """Of the photograph."""

    @property
    def size(self) -> int:
        """Pixels a side."""
        return len(self.image)

    def from_image(self, points: AnyFloats) -> Floats:
        """Return crop px (..., 2), y down, of px of the photograph."""
        return np.asarray(self.scale * np.asarray(points, np.float64) + self.offset)

    def to_image(self, points: AnyFloats) -> Floats:
        """Return px of the photograph (..., 2) of crop px, y down."""
        return np.asarray((np.asarray(points, np.float64) - self.offset) / self.scale)

    def cut(self, image: Image) -> Floats32:
        """Return the same crop of another image of the same size, such as a mask: (S, S, C)."""
        if image.shape[:2] != (self.height, self.width):
            raise InputError(
                f"an image of {image.shape[1]} x {image.shape[0]} px, but the crop is of one of "
                f"{self.width} x {self.height}"
            )
        return resampled(image, np.array([self.scale, self.scale]), self.offset, self.size)


def five_points(landmarks68: AnyFloats) -> Floats:
    """Return (5, k): eyes, nose tip, corners of the mouth, of 68 landmarks (68, k).

    The eyes are the means of their two corners; the image's left comes first.
    """
    p = np.asarray(landmarks68, np.float64)
    right_eye, left_eye = p[[36, 39]].mean(axis=0), p[[42, 45]].mean(axis=0)
    return np.stack([right_eye, left_eye, p[30], p[48], p[54]])


def align(
    image: Image,
    landmarks68: AnyFloats,
    *,
    size: int = 224,
    reference5: AnyFloats = HRN_REFERENCE5,
    compat: bool = False,
) -> Crop:
    """Cut the aligned crop.

    Parameters
    ----------
    image : (H, W), (H, W, 3) or (H, W, 4), unsigned or float in [0, 1]
        Alpha is dropped, grey becomes three channels.
    landmarks68 : (68, 2)
        px of the photograph, y down; only those of `five_points` must be finite.
    size : int
        Pixels a side: 224 for the coefficient network, 512 for the texture.
    reference5 : (5, 3)
        `five_points` of the mean face, model units: HRN's by default.
    compat : bool
        Whole pixels, as released.

    Raises
    ------
    InputError
        Image, landmarks or size have the wrong shape.
    EstimationError
        The five points lie on one spot, or are not all known.
    """
    points = np.asarray(landmarks68, np.float64)
    if points.shape != (68, 2) or size < 1:
        raise InputError(f"landmarks of shape {points.shape} and a crop of {size} px; expected 68 "
                         "points (x, y) and a positive size")  # fmt: skip
    scale, centre = placement(points, size=size, reference5=reference5)
    rgb = _rgb(image)
    photograph = np.array([rgb.shape[1], rgb.shape[0]], np.float64)
    offset = size / 2 - scale * centre
    place: Floats = scale * (points - centre) + size / 2
    if compat:
        whole = np.trunc(scale * photograph)  # the resized photograph, from which it is cut
        tx, ty = centre - 0.5  # pixels counted from 0
        offset = -np.trunc((whole - size) / 2 + ([tx, 1 + ty] - photograph / 2) * scale)
        place[:, 0] += (scale * photograph[0] - whole[0]) / 2
        place[:, 1] -= (scale * photograph[1] - whole[1]) / 2
        pixels = resampled(rgb, whole / photograph, offset, size)
    else:
        pixels = resampled(rgb, np.array([scale, scale]), offset, size)
    return Crop(
        image=pixels,
        landmarks=np.column_stack([place[:, 0], size - place[:, 1]]),
        scale=float(scale),
        offset=offset,
        width=rgb.shape[1],
        height=rgb.shape[0],
    )


def placement(
    landmarks68: AnyFloats, *, size: float, reference5: AnyFloats = HRN_REFERENCE5
) -> tuple[float, Floats]:
    """Return crop pixels a pixel of the photograph, and the place (2,) px that is its centre.

    Raises
    ------
    EstimationError
        The five points lie on one spot, or are not all known.
    """
    raw, centre = _scale_and_centre(five_points(landmarks68), np.asarray(reference5, np.float64))
    return UNIT_PX * size / AT_SIZE / raw, centre


def resampled(image: Image, scale: AnyFloats, offset: AnyFloats, size: int) -> Floats32:
    """Cut (size, size, C) at `scale` (2,) crop px a px and `offset` (2,); 0 beyond the edges.

    Cubic convolution with the kernel widened where the image shrinks, as Pillow does it. Where
    it shrinks by far, blocks of pixels are averaged first: cost and memory stay with the crop.
    """
    pixels = image if image.ndim == 3 else image[..., None]
    step = max(1, int(1 / float(np.max(scale)) / _FINEST))
    low, high = -offset / scale / step, (size - offset) / scale / step  # of blocks, x and y
    margin = np.ceil(_SUPPORT * np.maximum(1, 1 / (scale * step))) + 1
    first = np.floor(low - margin).astype(int)
    last = np.ceil(high + margin).astype(int)
    blocks = _blocks(pixels, step, first, last)
    box = tuple(np.concatenate([low - first, high - first]))
    out = np.stack(
        [
            np.asarray(
                Pillow.fromarray(np.ascontiguousarray(blocks[..., c])).resize(
                    (size, size), Pillow.Resampling.BICUBIC, box=box
                )
            )
            for c in range(blocks.shape[2])
        ],
        axis=-1,
    )
    for axis, n in ((1, pixels.shape[1]), (0, pixels.shape[0])):
        at = (np.arange(size) + 0.5 - offset[1 - axis]) / scale[1 - axis]
        beyond = (at < 0) | (at > n)
        out[(slice(None), beyond) if axis == 1 else beyond] = 0
    return np.asarray(np.clip(out, 0, 1), np.float32)


def _blocks(pixels: Image, step: int, first: NDArray[Any], last: NDArray[Any]) -> Floats32:
    """Return means of step x step pixels for the blocks from `first` (x, y) up to `last`.

    Beyond the edges the outermost pixels go on.
    """
    height, width = pixels.shape[:2]
    rows = np.clip(np.arange(first[1] * step, last[1] * step), 0, height - 1)
    columns = np.clip(np.arange(first[0] * step, last[0] * step), 0, width - 1)
    white = float(np.iinfo(pixels.dtype).max) if pixels.dtype.kind == "u" else 1.0
    n_rows, n_columns = len(rows) // step, len(columns) // step
    out = np.zeros((n_rows, n_columns, pixels.shape[2]), np.float32)
    for r in range(n_rows):
        strip = pixels[rows[r * step : (r + 1) * step]][:, columns]
        shape = (step, n_columns, step, -1)
        out[r] = strip.reshape(shape).mean(axis=(0, 2), dtype=np.float32) / white
    return out


def _scale_and_centre(points: Floats, reference: Floats) -> tuple[float, Floats]:
    """Solve points = A reference + t; return the mean length of A's rows and t."""
    if not np.isfinite(points).all():
        raise EstimationError("the face's eyes, nose or mouth have no landmarks; it has no crop")
    design = np.column_stack([reference, np.ones(len(reference))])
    solution = np.linalg.lstsq(design, points, rcond=None)[0]
    scale = float(np.linalg.norm(solution[:3], axis=0).mean())
    if not scale > _SMALLEST_PX:
        raise EstimationError(
            f"the face is {scale:.2g} px to 100 mm; that is too small to be reconstructed"
        )
    return scale, solution[3]


def _rgb(image: Image) -> Image:
    """Return (H, W, 3), numbers as they are."""
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=2)
    if image.ndim != 3 or image.shape[2] not in (1, 3, 4) or image.size == 0:
        raise InputError(f"an image of shape {image.shape}; expected grey, RGB or RGBA")
    if image.dtype.kind not in "uf":
        raise InputError(f"an image of {image.dtype}; expected unsigned integers or floats")
    return np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image[..., :3]
