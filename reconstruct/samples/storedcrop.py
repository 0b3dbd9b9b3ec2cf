"""The crop that a sample keeps of a photograph: HRN's, `FIELD` times as wide, in bytes."""

from dataclasses import dataclass

import numpy as np

from ...core.arrays import AnyFloats, Bytes, Floats, Image
from ..align import placement, resampled
from .sample import FIELD


@dataclass(frozen=True, kw_only=True)
class StoredCrop:
    """Where a stored crop lies in its photograph."""

    size: int
    """Pixels a side."""
    scale: float
    """Crop pixels a pixel of the photograph."""
    offset: Floats
    """(2,): crop = scale * photograph + offset, y down."""

    def points(self, points: AnyFloats) -> Floats:
        """Take px of the photograph (..., 2) to px of the crop."""
        return np.asarray(self.scale * np.asarray(points, np.float64) + self.offset)

    def K_of(self, K: Floats) -> Floats:
        """Return the crop's intrinsics (3, 3) of the photograph's."""
        x, y = self.offset
        return np.array([[self.scale, 0, x], [0, self.scale, y], [0, 0, 1]]) @ K

    def cut(self, image: Image) -> Bytes:
        """Return the crop (S, S, C) of the photograph or of an image of its size."""
        cut = resampled(image, np.full(2, self.scale), self.offset, self.size)
        return np.rint(255 * cut).astype(np.uint8)


def stored_crop(landmarks68: AnyFloats, *, size: int, reference5: AnyFloats) -> StoredCrop:
    """Return the crop that a face with these landmarks, px of the photograph, is kept in.

    Parameters
    ----------
    reference5 : (5, 3)
        `five_points` of the mean face of the model that is trained, model units.

    Raises
    ------
    EstimationError
        The five points lie on one spot, or are not all known.
    """
    # the middle of the face stays in the middle: only the field grows
    scale, centre = placement(landmarks68, size=size / FIELD, reference5=reference5)
    return StoredCrop(size=size, scale=scale, offset=size / 2 - scale * centre)
