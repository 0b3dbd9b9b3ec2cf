"""How two displacement maps agree in a band of wavelengths on the skin, 2 to 8 mm unless told.

Charts are stretched, more in some places than in others: blurs follow the size of a texel on
the skin, place by place.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from ..core.arrays import AnyFloats, Bools, Floats, Floats32
from ..core.errors import EstimationError

BAND_MM = (2.0, 8.0)
LARGEST = 1024
"""Texels a side at which maps are compared; larger ones are averaged down."""
_HALF_AT = np.sqrt(2 * np.log(2)) / (2 * np.pi)
"""Sigma over the wavelength at which a Gaussian leaves half the amplitude."""
_N_SCALES = 5  # of blurs, between which texels choose
_INNER = 0.98  # share of valid weight under the wider blur, for a texel to count
_LEAST_TEXELS = 500


@dataclass(frozen=True, kw_only=True)
class BandAgreement:
    """Two maps in one band."""

    corr: float
    """Correlation."""
    amplitude_ratio: float
    """Standard deviation of ours over that of the true one."""
    gain: float
    """Part of the true relief that ours follows; noise does not add to it."""
    true_um: float
    """Standard deviation of the true relief, micrometres."""
    error_um: float
    """Standard deviation of the difference."""
    n_texels: int


def band_agreement(
    ours: Floats32,
    true: Floats32,
    *,
    usable: Bools,
    texel_mm: Floats32,
    band_mm: tuple[float, float] = BAND_MM,
) -> BandAgreement:
    """Compare two maps (n, n), mm.

    Parameters
    ----------
    usable : (n, n) bool
        Texels that are known in both and belong to the region.
    texel_mm : (n, n)
        Side of a texel on the skin; zero where unknown.
    band_mm : (float, float)
        Shortest and longest wavelength.

    Raises
    ------
    EstimationError
        Too little is usable.
    """
    n_down = -(-len(ours) // LARGEST)
    if n_down > 1:
        (ours, true), usable, texel_mm = _averaged((ours, true), usable, texel_mm, n_down)
    usable = usable & (texel_mm > 0)
    if usable.sum() < _LEAST_TEXELS:
        raise EstimationError("too little of the displacement maps is known to compare them")
    filter_bank = _Blurs(usable, texel_mm, band_mm)
    a, b = filter_bank.band(ours), filter_bank.band(true)
    inner = filter_bank.inner
    if inner.sum() < _LEAST_TEXELS:
        raise EstimationError("too little of the displacement maps is known to compare them")
    a, b = a[inner].astype(np.float64), b[inner].astype(np.float64)
    return BandAgreement(
        corr=float(np.corrcoef(a, b)[0, 1]) if a.std() > 0 and b.std() > 0 else 0.0,
        amplitude_ratio=float(a.std() / max(b.std(), 1e-12)),
        gain=float(((a - a.mean()) * (b - b.mean())).mean() / max(b.var(), 1e-18)),
        true_um=1000 * float(b.std()),
        error_um=1000 * float((a - b).std()),
        n_texels=int(inner.sum()),
    )


def banded(values: Floats32, *, usable: Bools, texel_mm: Floats32) -> Floats32:
    """Return what a map (n, n) holds in the band; NaN where too little is known about."""
    usable = usable & (texel_mm > 0)
    if not usable.any():
        return np.full(values.shape, np.nan, np.float32)
    blurs = _Blurs(usable, texel_mm, BAND_MM)
    return np.where(blurs.inner, blurs.band(values), np.float32(np.nan))


class _Blurs:
    """Normalised Gaussian blurs of a sigma in mm, where texels differ in size."""

    def __init__(self, usable: Bools, texel_mm: Floats32, band_mm: tuple[float, float]) -> None:
        self._band_mm = band_mm
        self._weight = usable.astype(np.float32)
        sizes = texel_mm[usable]
        low, high = np.percentile(sizes, (2, 98))
        self._scales = np.geomspace(low, max(high, 1.001 * low), _N_SCALES)
        with np.errstate(divide="ignore"):
            place = np.interp(
                np.log(np.where(usable, texel_mm, low)),
                np.log(self._scales),
                np.arange(_N_SCALES),
            )
        self._below = np.minimum(place.astype(np.int32), _N_SCALES - 2)
        self._share = (place - self._below).astype(np.float32)
        wide = self._blurred(self._weight, _HALF_AT * band_mm[1])
        self.inner: Bools = usable & (wide > _INNER)

    def band(self, values: Floats32) -> Floats32:
        """Return what `values` (n, n) hold between the wavelengths of the band."""
        filled = np.where(self._weight > 0, values, 0).astype(np.float32)
        fine, wide = (
            self._normalised(filled, _HALF_AT * wavelength) for wavelength in self._band_mm
        )
        return np.asarray(fine - wide, dtype=np.float32)

    def _normalised(self, filled: Floats32, sigma_mm: float) -> Floats32:
        weight = np.maximum(self._blurred(self._weight, sigma_mm), 1e-3)
        return np.asarray(self._blurred(filled, sigma_mm) / weight, dtype=np.float32)

    def _blurred(self, values: Floats32, sigma_mm: float) -> Floats32:
        out = np.zeros_like(values)
        for i, scale in enumerate(self._scales):
            share = np.where(self._below == i, 1 - self._share, 0)
            share += np.where(self._below == i - 1, self._share, 0)
            if share.any():
                out += share * cv2.GaussianBlur(values, (0, 0), max(sigma_mm / scale, 1e-3))
        return out


def _averaged(
    maps: tuple[Floats32, ...], usable: Bools, texel_mm: Floats32, n_down: int
) -> tuple[list[Floats32], Bools, Floats32]:
    """Average blocks of n_down x n_down texels; usable is what is so throughout."""
    n = len(usable) // n_down * n_down
    shape = (n // n_down, n_down, n // n_down, n_down)

    def mean(values: AnyFloats) -> Floats:
        return np.asarray(values[:n, :n].reshape(shape).mean(axis=(1, 3), dtype=np.float64))

    whole = np.asarray(usable[:n, :n].reshape(shape).all(axis=(1, 3)))
    down = [mean(np.where(usable, m, 0)).astype(np.float32) for m in maps]
    return down, whole, (n_down * mean(texel_mm)).astype(np.float32)
