"""How far M0, M1 and the relief are from the truth, on people that nobody trained on."""

from collections.abc import Mapping

import torch
from torch import Tensor

from ..align import MODEL_UNIT_MM
from ..hrn import Hrn
from ..samples.augment import Batch
from .coarsescore import distances
from .detailgiven import Given
from .detailpasses import HighPass, MidPass
from .facepoints import FacePoints

_SURE = 0.9  # of V: where the photograph shows the face well


@torch.no_grad()
def mid_figures(points: FacePoints, out: MidPass, batch: Batch) -> dict[str, list[float]]:
    """Return the median distance, mm, of M1 and of M0, for each face; see `coarsescore`."""
    return {
        "median_mm": distances(points, points.of(out.mid), batch).tolist(),
        "coarse_median_mm": distances(points, points.of(out.coarse), batch).tolist(),
    }


@torch.no_grad()
def high_figures(hrn: Hrn, given: Given, out: HighPass) -> dict[str, list[float]]:
    """Return the figures of the relief of each face, where it is known and well seen.

    `relief_r`: correlation with the truth. `relief_mm`: mean distance, and `flat_mm` without
    any relief. `normal_deg`: mean angle between shading normals and those of the true relief,
    and `flat_deg` without any. Faces of which too little is seen are left out.
    """
    texels = out.texels
    known = (given.relief_valid * (out.valid > _SURE))[:, 0]
    true = hrn.bent_normals(texels, given.relief)
    bent = hrn.bent_normals(texels, out.displacement)
    flat = hrn.bent_normals(texels, torch.zeros_like(out.displacement))
    found: dict[str, list[float]] = {
        name: [] for name in ("relief_r", "relief_mm", "flat_mm", "normal_deg", "flat_deg")
    }
    for b in range(len(known)):
        here = known[b] > 0
        if int(here.sum()) < hrn.displacement_size:
            continue
        wanted = MODEL_UNIT_MM * given.relief[b, 0][here]
        got = MODEL_UNIT_MM * out.displacement[b, 0][here]
        found["relief_r"].append(_correlation(got, wanted))
        found["relief_mm"].append(float((got - wanted).abs().mean()))
        found["flat_mm"].append(float(wanted.abs().mean()))
        found["normal_deg"].append(_angle_deg(bent[b][:, here], true[b][:, here]))
        found["flat_deg"].append(_angle_deg(flat[b][:, here], true[b][:, here]))
    return found


def score(figures: Mapping[str, float]) -> float:
    """Return what is to be small: the errors of the surface and of its relief, mm."""
    return figures["median_mm"] + figures.get("relief_mm", 0.0)


def _correlation(a: Tensor, b: Tensor) -> float:
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).sum() / ((a**2).sum() * (b**2).sum()).sqrt().clamp(min=1e-12))


def _angle_deg(a: Tensor, b: Tensor) -> float:
    """Return the mean angle between unit vectors (3, N)."""
    return float(torch.rad2deg(2 * torch.asin(((a - b).norm(dim=0) / 2).clamp(max=1))).mean())
