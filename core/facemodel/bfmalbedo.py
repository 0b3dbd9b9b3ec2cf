"""BFM's albedo in HRN's UV chart: `bfm_tex_mean2.npy` and `bfm_texmap_base2.npy`.

The files hold a mean map and a basis of 512 x 512 texels, row-major, row 0 at v = 1, RGB
display values from 0 to 255. HRN evaluates the sum at 512 and halves it bilinearly, which for
even sizes is the mean of two by two texels; halving the basis instead gives the same numbers in
a quarter of the memory.

Source
------
github.com/youngLBW/HRN, assets of `bfm_albedo_map_basis`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Floats32
from ..errors import InputError, ModelFileError
from ..npzfile import read_npy

MEAN_FILE = "bfm_tex_mean2.npy"
BASE_FILE = "bfm_texmap_base2.npy"
_FULL_SCALE = 255.0
_STRIP = 32  # rows at a time


@dataclass(frozen=True, kw_only=True)
class AlbedoMaps:
    """mean + sum_k c[k] * modes[k]: display-encoded RGB, 1 at full scale."""

    mean: Floats32
    """(S, S, 3)."""
    modes: Floats32
    """(n, S, S, 3)."""


def load_albedo_maps(
    mean: Path, base: Path, *, size: int = 256, texels: int = 512, n_modes: int = 80
) -> AlbedoMaps:
    """Load the albedo maps at `size` texels a side.

    Parameters
    ----------
    mean, base : Path
        `bfm_tex_mean2.npy` and `bfm_texmap_base2.npy`.
    texels, n_modes : int
        What the files are to hold.

    Raises
    ------
    InputError
        `size` does not divide `texels`.
    ModelFileError
        A file is absent, damaged, or of another size, type or range than HRN's.
    """
    if size < 1 or texels % size:
        raise InputError(f"albedo maps of {size} texels a side; give a divisor of {texels}")
    n = texels * texels * 3
    mean_map = _array(mean, (n,)).reshape(texels, texels, 3, 1)
    base_map = _array(base, (n * n_modes,)).reshape(texels, texels, 3, n_modes)
    reduced_mean = _reduced(mean_map, size, mean)[0]
    if reduced_mean.min() < 0 or not 0.05 < reduced_mean.mean() < 1 or reduced_mean.max() > 1:
        raise ModelFileError(f"{mean}: no colours from 0 to {_FULL_SCALE:g}")
    return AlbedoMaps(mean=reduced_mean, modes=_reduced(base_map, size, base))


def albedo_maps_beside(path: Path, *, size: int = 256) -> AlbedoMaps | None:
    """Return the albedo maps in the folder of `path`; None where neither file is there.

    Raises
    ------
    ModelFileError
        One of them is absent, or as `load_albedo_maps`.
    """
    mean, base = path.with_name(MEAN_FILE), path.with_name(BASE_FILE)
    if not mean.is_file() and not base.is_file():
        return None
    for file in (mean, base):
        if not file.is_file():
            raise ModelFileError(f"{file}: absent, though the other albedo file is there")
    return load_albedo_maps(mean, base, size=size)


def _array(path: Path, shape: tuple[int]) -> NDArray[Any]:
    """Map a file of that many float32 numbers, in whatever shape they stand."""
    loaded = read_npy(path, mapped=True, again="fetch it again", error=ModelFileError)
    if loaded.dtype not in (np.float32, np.float64) or not loaded.flags.c_contiguous:
        raise ModelFileError(f"{path}: {loaded.dtype} in place of float32 in C order")
    if loaded.size != shape[0]:
        raise ModelFileError(f"{path}: {loaded.size} numbers, expected {shape[0]}")
    return loaded


def _reduced(maps: NDArray[Any], size: int, path: Path) -> Floats32:
    """Return (n, size, size, 3): block means over the full scale of `maps` (S, S, 3, n)."""
    step = len(maps) // size
    out = np.zeros((maps.shape[3], size, size, 3), np.float32)
    for start in range(0, size, _STRIP):
        stop = min(size, start + _STRIP)
        rows = np.asarray(maps[start * step : stop * step], np.float32)
        blocks = rows.reshape(stop - start, step, size, step, 3, -1).mean(axis=(1, 3))
        if not np.isfinite(blocks).all():
            raise ModelFileError(f"{path}: holds NaN or infinite numbers")
        out[:, start:stop] = np.moveaxis(blocks, -1, 0) / _FULL_SCALE
    return out
