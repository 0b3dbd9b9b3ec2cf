"""What the generators of detail are given of a face, and what they should answer.

The coefficient network is frozen, so that all of it is worked out once per photograph, without
gradients: coefficients, the texture unwrapped with M0 and where it is known. A sample with truth
also has the surface that M1 should become. M0 knows it up to a rigid motion only: head and model
frames differ by what a person's ears, neck or pose say, and no photograph tells; the truth is
therefore moved onto M0 rigidly first, and what is left is for the deformation map.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from ..coefficients import Coefficients, split
from ..facetensors import FaceTensors
from ..hrn import Hrn, resized
from ..samples.augment import Batch
from ..unwrap import unwrap
from .rigid import rigid

_WHOLE = 0.99  # of a texel's parts that must be known


@dataclass(frozen=True, kw_only=True)
class Given:
    """B faces. Model units are 100 mm; maps are (B, C, n, n), row 0 at v = 1."""

    coefficients: Tensor
    """(B, n_coefficients), of the frozen network."""
    texture: Tensor
    """(B, 3, n, n) T: the photograph unwrapped with M0; 0 where it is not seen."""
    sure: Tensor
    """(B, 1, n, n) V, soft; 1 beyond the chart."""
    fine: Tensor
    """(B, 3, F, F) the crop that textures are taken from."""
    mask: Tensor
    """(B, 1, s, s) the visible head."""
    landmarks: Tensor
    """(B, 68, 2) px of the s px crop, y up; NaN unknown."""
    has_truth: Tensor
    """(B,) bool; what follows is 0 where it is false."""
    offset: Tensor
    """(B, V, 3) what should be added to M0, the truth having been laid on it rigidly."""
    support: Tensor
    """(B, V) in [0, 1]: how far `offset` is known."""
    relief: Tensor
    """(B, 1, n, n) the displacement as it should be, + outward."""
    relief_valid: Tensor
    """(B, 1, n, n), 1 where it is known."""

    def __len__(self) -> int:
        return len(self.coefficients)

    def rows(self, rows: Tensor | slice) -> "Given":
        """Return some of the faces."""
        return replace(self, **{name: value[rows] for name, value in vars(self).items()})

    def to(self, device: torch.device | str) -> "Given":
        """Return them on a device."""
        return replace(self, **{name: value.to(device) for name, value in vars(self).items()})

    def found(self, face: FaceTensors) -> Coefficients:
        """Return what the coefficient network says."""
        return split(self.coefficients, face)


@torch.no_grad()
def given_of(hrn: Hrn, batch: Batch, *, off: Tensor | None = None) -> Given:
    """Work it out with the networks of `hrn`, on the device that both are on.

    Parameters
    ----------
    off : (B, n_coefficients), optional
        Added to the coefficients, as `missed` draws it.
    """
    face = hrn.face
    vector = hrn.coefficients(batch.crop, batch.landmarks).joined()
    vector = vector if off is None else vector + off
    found = split(vector, face)
    coarse = face.shape(found.identity, found.expression)
    _, texels = hrn.lay(coarse, found)
    texture, seen = unwrap(texels, batch.fine, hrn.camera)
    weight = batch.support * face.face_vertices
    target = rigid(batch.vertices, coarse, weight).apply(batch.vertices)
    known = batch.has_truth.to(target)[:, None]
    relief, relief_valid = relief_at(
        batch.displacement, batch.displacement_valid, hrn.displacement_size
    )
    return Given(
        coefficients=vector,
        texture=texture,
        sure=hrn.validity(texels, seen, batch.mask),
        fine=batch.fine,
        mask=batch.mask,
        landmarks=batch.landmarks,
        has_truth=batch.has_truth,
        offset=(target - coarse) * known[..., None],
        support=batch.support * known,
        relief=relief * known[..., None, None],
        relief_valid=relief_valid * known[..., None, None],
    )


def missed(face: FaceTensors, n: int, jitter: float, seed: int) -> Tensor:
    """Return (n, n_coefficients) errors of shape such as a coefficient network makes.

    A network knows the people that it was trained on better than others. Where the generators
    learn on those same people, its coefficients are put off by chance.

    Parameters
    ----------
    jitter : float
        Standard deviation of the identity coefficients, and of those of expression over their
        model's standard deviations.
    """
    generator = torch.Generator().manual_seed(seed)
    off = torch.zeros(n, face.n_coefficients)
    i, e = face.n_identity, face.n_expression
    off[:, : i + e] = jitter * torch.randn(n, i + e, generator=generator)
    off[:, i : i + e] *= face.expression_sigma.cpu()
    return off.to(face.mean.device)


def relief_at(relief: Tensor, valid: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return a map of relief (B, 1, S, S) and its validity at a size of at most S.

    A smaller texel has the mean of those it covers, and is known where all of them are.
    """
    valid = valid.to(relief)
    if relief.shape[-1] == size:
        return relief * valid, valid
    smaller = functional.adaptive_avg_pool2d(torch.cat([relief * valid, valid], dim=1), size)
    whole = (smaller[:, 1:] > _WHOLE).to(relief)
    return smaller[:, :1] * whole, whole


def inside_of(hrn: Hrn, size: int) -> Tensor:
    """Return (1, 1, size, size), 1 in the chart."""
    return hrn.face.chart_mask(size)


def support_map(hrn: Hrn, given: Given) -> Tensor:
    """Return (B, 1, d, d): how far the deformation is known and seen; 0 outside of the chart."""
    size = hrn.deformation_size
    known = hrn.face.to_uv(given.support[..., None], size)
    return known * resized(given.sure, size)
