"""How well a mesh explains its photographs: each predicted from the others.

A photograph is left out, what it shows of the surface is predicted from the other views through
the mesh, and the prediction is held against it. No truth is needed, so that it works for real
heads; what it cannot see is an error that all views share, and relief finer than a pixel.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.arrays import Floats, Floats32
from .surfacepatches import SurfacePatches, normalised

_SHARPNESS = 4  # power of the cosine: as the mesh's colours are mixed
_LEAST_PATCHES = 30


@dataclass(frozen=True, kw_only=True)
class ViewPrediction:
    """How well one photograph is predicted from the others."""

    name: str
    n_patches: int
    psnr_db: float
    """Of the median patch, grey in sRGB code values, peak 1, less the patch's mean and after the
    best gain for this view: exposure and gloss differ from view to view, which no mesh explains.
    NaN with too few patches, as `ncc`."""
    ncc: float
    """Mean over the patches."""


@dataclass(frozen=True, kw_only=True)
class PhotoConsistency:
    """All photographs of a take, each predicted from the others."""

    views: tuple[ViewPrediction, ...]
    psnr_db: float
    """Of the median patch of all views; NaN where no view could be predicted, as `ncc`."""
    ncc: float
    """Mean over all patches of all views."""

    def record(self) -> dict[str, Any]:
        """Return the figures, JSON-able, None for NaN."""
        return {
            **_rounded(self.psnr_db, self.ncc),
            "views": {
                view.name: {"patches": view.n_patches, **_rounded(view.psnr_db, view.ncc)}
                for view in self.views
            },
        }


def photo_consistency(patches: SurfacePatches, names: Sequence[str]) -> PhotoConsistency:
    """Predict every view from the others; points count that two or more others see.

    Parameters
    ----------
    patches : SurfacePatches
        Of the finished mesh.
    names : sequence of str
        Of the views, in the order of the patches.
    """
    weight = np.where(patches.seen, patches.cosine**_SHARPNESS, 0).astype(np.float32)
    total = np.einsum("kn,knij->nij", weight, patches.values)
    weights = weight.sum(axis=0)
    n_views = patches.seen.sum(axis=0)
    found, squares, nccs = [], [np.zeros(0)], [np.zeros(0)]
    for k, name in enumerate(names):
        rows = np.flatnonzero(patches.seen[k] & (n_views >= 3))
        if len(rows) < _LEAST_PATCHES:
            found.append(ViewPrediction(name=name, n_patches=len(rows), psnr_db=np.nan, ncc=np.nan))
            continue
        own, w = patches.values[k, rows], weight[k, rows]
        others = (total[rows] - w[:, None, None] * own) / (weights[rows] - w)[:, None, None]
        squares.append(_mean_squares(own, others))
        nccs.append((normalised(own) * normalised(others)).sum(axis=(1, 2)))
        found.append(
            ViewPrediction(
                name=name, n_patches=len(rows), psnr_db=_psnr(squares[-1]),
                ncc=float(nccs[-1].mean()),
            )
        )  # fmt: skip
    all_nccs = np.concatenate(nccs)
    return PhotoConsistency(
        views=tuple(found),
        psnr_db=_psnr(np.concatenate(squares)),
        ncc=float(all_nccs.mean()) if len(all_nccs) else float("nan"),
    )


def _mean_squares(own: Floats32, others: Floats32) -> Floats:
    """Return (N,) what remains of each patch, less its mean, after one gain for all."""
    x, y = (p - p.mean(axis=(1, 2), keepdims=True) for p in (others, own))
    gain = float((x * y).sum()) / max(float((x * x).sum()), 1e-12)
    return np.asarray(((y - gain * x) ** 2).mean(axis=(1, 2)), dtype=np.float64)


def _psnr(mean_squares: Floats) -> float:
    if len(mean_squares) == 0:
        return float("nan")
    return float(-10 * np.log10(max(float(np.median(mean_squares)), 1e-12)))


def _rounded(psnr_db: float, ncc: float) -> dict[str, float | None]:
    values = {"psnr_db": (psnr_db, 2), "ncc": (ncc, 4)}
    return {k: round(v, n) if np.isfinite(v) else None for k, (v, n) in values.items()}
