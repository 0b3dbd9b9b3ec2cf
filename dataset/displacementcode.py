"""Displacement in 16 bits: 32768 + mm / step. Every file that keeps one codes it here."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..core.arrays import AnyFloats, Bools, Floats32

STEP_MM = 1e-4
"""0.1 µm: of `maps.npz`, the HDF5 dataset and PNG files."""

OFFSET = 32768

FACESCAPE_STEP_MM = 0.914 / OFFSET
"""Source: the authors' answer in github.com/zhuhao-nju/facescape/issues/23."""


@dataclass(frozen=True, kw_only=True)
class Coded:
    """A displacement map in whole numbers."""

    values: NDArray[np.uint16]
    """(n, n)."""
    clipped: Bools
    """(n, n): beyond what 16 bits reach; the nearest value stands there."""

    @property
    def n_clipped(self) -> int:
        """Number of clipped texels."""
        return int(self.clipped.sum())


def coded_displacement(displacement: AnyFloats, *, step_mm: float = STEP_MM) -> Coded:
    """Code a displacement map (n, n), mm, in 16 bits."""
    steps = np.rint(displacement / step_mm) + OFFSET
    values = np.clip(steps, 0, 65535)
    return Coded(values=values.astype(np.uint16), clipped=values != steps)


def decoded_displacement(values: NDArray[np.uint16], *, step_mm: float = STEP_MM) -> Floats32:
    """Return the displacement (n, n), mm, of its code."""
    decoded = values.astype(np.float32)
    decoded -= np.float32(OFFSET)
    decoded *= np.float32(step_mm)
    return decoded
