"""People whose shape is not only the face model's: no model spans a real face."""

from dataclasses import dataclass

import numpy as np
from numba import njit

from ...core.arrays import Floats
from .noise import gradient_noise
from .subject import Subject

_WAVELENGTH_MM = 45.0


@dataclass(frozen=True, kw_only=True)
class OffModelSubject(Subject):
    """A person whose shape is not only the model's."""

    beyond: Floats
    """(V, 3) mm, in every expression."""

    def vertices(self) -> Floats:
        """Return (V, 3), mm, in the head frame."""
        return np.asarray(super().vertices() + self.beyond)


def smooth_field(points: Floats, *, sd_mm: float, seed: int) -> Floats:
    """Return a smooth random field (N, 3) at points (N, 3), mm: about `sd_mm` each axis."""
    noise = np.empty((len(points), 3))
    _noise(np.ascontiguousarray(points / _WAVELENGTH_MM), seed, noise)
    return np.asarray(sd_mm * noise / max(float(noise.std()), 1e-9))


@njit(nogil=True, cache=True)
def _noise(points, seed, out):  # type: ignore[no-untyped-def]
    for i in range(len(points)):
        for axis in range(3):
            out[i, axis] = gradient_noise(points[i, 0], points[i, 1], points[i, 2], seed + axis)
