"""How exactly a surface will be known that has not been photographed yet: a sigma from geometry.

What `dataset.uncertainty` reads off a finished sweep is foretold here from where the cameras
stand. Three variances are added, each in squared pixels (of the best view, at the surface):

**Skin.** A patch is flat and some pixels wide: relief finer than that is lost. Skin is rough at
all scales, and of what is lost the size grows as the pixel's to the power 0.6. A view that looks
on askew spreads its pixel over more surface, by 1 / cosine. Lids are smoother than cheeks,
foreheads have lines.

**Shape.** Where the surface turns by theta within a patch of radius r, the patch departs from it
by r theta: nose wings, lips, and most of all the folds of ears. What departs much informs little,
and as in `dataset.uncertainty` the variance grows by the power 3 of what information is lost.

**Noise.** Each view places the surface to `NOISE_PX` of its own pixels, which is 1 / cosine as
much along the surface. How far the views' lines of sight diverge turns that into an error along
the normal: with t the tangents of the viewing angles, and each view weighing cosine squared,
NOISE_PX² / sum of w |t - mean t|².

Blur widens the pixel: that of a lens out of focus and of diffraction, against what any lens and
sensor have anyway. In dim light all three grow together, since the less patches tell, the farther
the surface reaches for support (`light`).

Source
------
Constants fitted together, by the errors of three virtual heads at 1.5 megapixels, one of them under
eight layouts; `_ROUGHNESS` from what the error gains at 6 (`docs/accuracy.md`). `facekit bench
plan` holds them against other layouts and people (`docs/rig-plan.md`).
"""

import numpy as np
from scipy.special import erf

from ...core.arrays import AnyFloats, Floats, Ints
from ...core.geometry.mesh import edges_of
from ..uncertainty import EXPONENT, GOOD_PX, PATCH_RADIUS_PX
from .sight import Sight

NOISE_PX = 0.054
"""Standard deviation of one view's place, after what the stereo averages."""
SKIN_PX = 0.075
"""Standard deviation of the relief that is lost, where a pixel is `_SKIN_PIXEL_MM`."""
_SKIN_PIXEL_MM = 0.24
_ROUGHNESS = 0.6
_SHAPE = 0.84  # of what a patch departs by, r theta, is error
OWN_BLUR_PX = 0.58
"""Standard deviation of the blur that a sharp lens and its pixels have: 0.5 and 1/sqrt(12)."""
_WAVELENGTH_MM = 0.55e-3
_LEAST_INFORMATION = 1e-4  # of views that all but coincide
_CURVIEST = 1.0  # 1 / mm: a millimetre's radius; finer folds are not the model's to know


def sigma_mm(
    sight: Sight, chosen: Ints, footprint: AnyFloats, *, curvature: Floats, blur_px: Floats,
    roughness: Floats, dimness: Floats,
) -> Floats:  # fmt: skip
    """Return (N,) the standard deviation along the normal; NaN where fewer than two views see.

    Parameters
    ----------
    chosen : (most, N)
        The views that stereo will judge each point by; -1 fills up.
    footprint : (N,), mm
        Of a pixel in the best of them.
    curvature : (N,), 1/mm
        As `curvature_of` gives it.
    blur_px : (n_views, N)
        Standard deviation, beyond `OWN_BLUR_PX`.
    roughness : (N,)
        Of the skin; 1 is that of cheeks.
    dimness : (N,)
        Factor on the variance by how bright the skin is, as `light.dimness` gives it.
    """
    known, at = chosen >= 0, np.maximum(chosen, 0)
    cosine = np.take_along_axis(sight.cosine, at, axis=0)
    widened = np.sqrt(1 + (np.take_along_axis(blur_px, at, axis=0) / OWN_BLUR_PX) ** 2)
    slide = np.take_along_axis(sight.slide, at[..., None], axis=0)
    weight = np.where(known, (cosine / widened) ** 2, 0.0)
    total = np.maximum(weight.sum(axis=0), 1e-12)
    mean = (weight[..., None] * slide).sum(axis=0) / total[:, None]
    information = (weight * ((slide - mean) ** 2).sum(axis=-1)).sum(axis=0)
    noise = NOISE_PX**2 / np.maximum(information, _LEAST_INFORMATION)
    sharpest = np.where(known, widened, np.inf).min(axis=0)
    pixel = footprint * np.where(np.isfinite(sharpest), sharpest, 1.0)
    squarest = np.maximum(np.where(known, cosine, 0.0).max(axis=0), 0.1)
    skin = roughness * SKIN_PX / squarest * (pixel / _SKIN_PIXEL_MM) ** (_ROUGHNESS - 1)
    turning = PATCH_RADIUS_PX * np.minimum(curvature, _CURVIEST) * pixel
    shape = _SHAPE * PATCH_RADIUS_PX * turning
    bent = shape**2 * (1 + (shape / GOOD_PX) ** 2) ** EXPONENT
    variance = dimness * (noise * footprint**2 + (skin**2 + bent) * pixel**2)
    return np.where(known.sum(axis=0) >= 2, np.sqrt(variance), np.nan)


def curvature_of(vertices: Floats, faces: Ints, normals: Floats) -> Floats:
    """Return (V,) the root mean square curvature of a mesh, 1/mm, over the edges of a vertex."""
    a, b = edges_of(faces).T
    length = np.maximum(np.linalg.norm(vertices[a] - vertices[b], axis=1), 1e-6)
    square = (np.linalg.norm(normals[a] - normals[b], axis=1) / length) ** 2
    n = len(vertices)
    total = np.bincount(a, square, n) + np.bincount(b, square, n)
    count = np.bincount(a, minlength=n) + np.bincount(b, minlength=n)
    return np.asarray(np.sqrt(total / np.maximum(count, 1)))


def within_68(sigma: Floats, weight: Floats) -> float:
    """Return the length that 68.27 % of a surface errs by at most, when it errs by `sigma`.

    Parameters
    ----------
    sigma, weight : (N,)
        Standard deviations and areas; NaN sigma does not count.

    Returns
    -------
    float
        NaN where nothing counts. Of equal sigmas it is that sigma.
    """
    known = np.isfinite(sigma) & (weight > 0)
    if not known.any():
        return float("nan")
    s, w = sigma[known], weight[known] / weight[known].sum()
    low, high = float(s.min()), float(s.max())
    for _ in range(40):
        middle = (low + high) / 2
        share = float((w * erf(middle / (np.sqrt(2) * s))).sum())
        low, high = (middle, high) if share < 0.682689492 else (low, middle)
    return (low + high) / 2


def defocus_px(depth_mm: Floats, *, focus_mm: float, radius_mm: float, focal_px: float) -> Floats:
    """Return the standard deviation of the blur of points at `depth_mm` (N,).

    Source
    ------
    The thin lens: a disc of diameter 2 r f |1/focus - 1/z| px, whose deviation along an axis is
    a quarter of the diameter.
    """
    disc = 2 * radius_mm * focal_px * np.abs(1 / focus_mm - 1 / np.maximum(depth_mm, 1.0))
    return np.asarray(disc / 4)


def diffraction_px(*, aperture: float, focal_mm: float, focus_mm: float, pixel_mm: float) -> float:
    """Return the standard deviation, px of `pixel_mm` on the sensor, of the Airy disc.

    Its Gaussian is 0.42 wavelengths times the working f-number, N (1 + magnification).
    """
    magnification = focal_mm / (focus_mm - focal_mm)
    return 0.42 * _WAVELENGTH_MM * aperture * (1 + magnification) / pixel_mm
