"""The two generators at work on what they are given, and the terms that need no render."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .. import losses
from ..align import MODEL_UNIT_MM
from ..coefficients import Coefficients
from ..hrn import Hrn, resized
from ..unwrap import Texels, unwrap
from .detailconfig import DetailWeights
from .detailgiven import Given

Precision = Callable[[], AbstractContextManager[object]]
"""Opens what mixed precision the generators run under; the rest is float32."""

_SOFT_MM = 0.1
"""Distances below count by their square: what cannot be told is answered by its mean, not by the
median, which for fine relief is none at all; and there is no kink at the truth."""
MID_SCALE, HIGH_SCALE = MODEL_UNIT_MM / 3.0, MODEL_UNIT_MM / 0.3
"""Times which maps are when discriminators see them: near 1, whatever the gains."""


@dataclass(frozen=True, kw_only=True)
class MidPass:
    """M1 of a batch, model units."""

    found: Coefficients
    positions: Tensor
    """(B, 3, n, n) P."""
    coarse: Tensor
    """(B, V, 3) M0, unposed."""
    deformation: Tensor
    """(B, 3, d, d)."""
    mid: Tensor
    """(B, V, 3) M1, unposed."""

    def detached(self) -> "MidPass":
        """Return the same without gradients."""
        return MidPass(
            found=self.found,
            positions=self.positions,
            coarse=self.coarse,
            deformation=self.deformation.detach(),
            mid=self.mid.detach(),
        )

    def rows(self, rows: Tensor | slice) -> "MidPass":
        """Return some of the faces."""
        return MidPass(**{name: value[rows] for name, value in vars(self).items()})


@dataclass(frozen=True, kw_only=True)
class HighPass:
    """The relief of a batch, model units."""

    posed: Tensor
    """(B, V, 3) M1, world frame."""
    texels: Texels
    """Of M1."""
    texture: Tensor
    """(B, 3, n, n) T'."""
    valid: Tensor
    """(B, 1, n, n) V within the chart."""
    displacement: Tensor
    """(B, 1, n, n)."""

    def rows(self, rows: slice) -> "HighPass":
        """Return some of the faces."""
        texels = replace(
            self.texels,
            **{name: getattr(self.texels, name)[rows] for name in ("points", "normals", "visible")},
        )
        return HighPass(
            posed=self.posed[rows],
            texels=texels,
            texture=self.texture[rows],
            valid=self.valid[rows],
            displacement=self.displacement[rows],
        )


def mid_pass(
    hrn: Hrn, given: Given, *, deformed: bool = True, precision: Precision = nullcontext
) -> MidPass:
    """Make M1; without `deformed` it is M0."""
    face = hrn.face
    found = given.found(face)
    coarse = face.shape(found.identity, found.expression)
    positions = face.to_uv(coarse, hrn.displacement_size)
    if deformed:
        with precision():
            deformation = hrn.deform(positions, given.texture, given.sure)
        deformation = deformation.float()
    else:
        size = hrn.deformation_size
        deformation = coarse.new_zeros(len(coarse), 3, size, size)
    return MidPass(
        found=found,
        positions=positions,
        coarse=coarse,
        deformation=deformation,
        mid=coarse + face.at_vertices(deformation),
    )


def high_pass(
    hrn: Hrn, given: Given, mid: MidPass, *, precision: Precision = nullcontext
) -> HighPass:
    """Unwrap the photograph anew with M1 and make the relief; nothing is learnt through M1."""
    with torch.no_grad():
        points, texels = hrn.lay(mid.mid, mid.found)
        texture, _ = unwrap(texels, given.fine, hrn.camera)
        valid = given.sure * texels.inside
    with precision():
        displacement = hrn.displace(mid.positions, texture, mid.deformation.detach(), valid)
    return HighPass(
        posed=points,
        texels=texels,
        texture=texture,
        valid=valid,
        displacement=displacement.float(),
    )


def mid_terms(
    hrn: Hrn, given: Given, out: MidPass, weights: DetailWeights, *, priors: bool = True
) -> dict[str, Tensor]:
    """Return the terms of M1 without a render, weighed: smoothness, and what the truth says."""
    terms = {
        "smooth": weights.smooth * losses.total_variation(out.deformation),
        "smooth_std": weights.smooth_std * losses.total_variation_std(out.deformation),
    }
    zero = out.deformation.new_zeros(())
    if not priors:
        return terms | {"vertices": zero, "deformation": zero}
    face = hrn.face
    seen = face.at_vertices(resized(given.sure, hrn.deformation_size))[..., 0]
    counts = given.support * seen * face.face_vertices
    wanted, known = true_deformation(hrn, given)
    apart = distance_mm(out.mid, out.coarse + given.offset)
    gap = MODEL_UNIT_MM * (out.deformation - wanted)
    return terms | {
        "vertices": weights.vertices * mean(apart, counts),
        "deformation": weights.deformation * mean(soft(gap).mean(dim=1, keepdim=True), known),
    }


def true_deformation(hrn: Hrn, given: Given) -> tuple[Tensor, Tensor]:
    """Return the deformation map (B, 3, d, d) that M0 wants, and how far it is known.

    The second, (B, 1, d, d), is V times the truth's support, 0 outside of the chart.
    """
    size, face = hrn.deformation_size, hrn.face
    both = face.to_uv(torch.cat([given.offset, given.support[..., None]], dim=2), size)
    return both[:, :3], both[:, 3:] * resized(given.sure, size)


def high_terms(
    given: Given, out: HighPass, weights: DetailWeights, *, priors: bool = True
) -> dict[str, Tensor]:
    """Return the terms of the relief without a render, weighed."""
    d = out.displacement
    terms = {
        "magnitude": weights.displacement * losses.displacement(d),
        "fine_smooth": weights.displacement_smooth * losses.total_variation(d),
        "fine_smooth_std": weights.displacement_smooth_std * losses.total_variation_std(d),
    }
    zero = d.new_zeros(())
    if not priors:
        return terms | {"relief": zero, "slope": zero}
    gap = MODEL_UNIT_MM * (d - given.relief)
    known = given.relief_valid * out.valid
    across = mean(soft(gap[..., 1:] - gap[..., :-1]), known[..., 1:] * known[..., :-1])
    down = mean(soft(gap[:, :, 1:] - gap[:, :, :-1]), known[:, :, 1:] * known[:, :, :-1])
    return terms | {
        "relief": weights.relief * mean(soft(gap), known),
        "slope": weights.slope * (across + down),
    }


def distance_mm(a: Tensor, b: Tensor) -> Tensor:
    """Return the soft distances (B, N) of points (B, N, 3) in model units, mm."""
    square = ((a - b) ** 2).sum(dim=-1) * MODEL_UNIT_MM**2
    return torch.sqrt(square + _SOFT_MM**2) - _SOFT_MM


def soft(gap: Tensor) -> Tensor:
    """Return absolute values of mm, those below `_SOFT_MM` nearly squared over its double."""
    return torch.sqrt(gap**2 + _SOFT_MM**2) - _SOFT_MM


def mean(values: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted mean; 0 where nothing has weight."""
    return (values * weights).sum() / weights.sum().clamp(min=1e-6)
