"""Other people out of photographs: pictures bent smoothly, and their truth with them.

Each point of a face is moved parallel to the picture, as far as its pixel: what is true stays true
under the same camera. That makes eyes, noses and jaws that nobody in the data has, for a network
that would otherwise learn the few thousand people of its data by heart.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ..align import AT_SIZE

_KNOTS = 6  # a side of a stored crop: features some 50 px of 224 apart move on their own
_STRETCH = 0.02  # sd of the linear part, a px of `warp_px`
_ROUNDS = 4  # of the inversion: a bend's slope is below a fifth, so that a thousandth is left


@dataclass(frozen=True, kw_only=True)
class Warp:
    """A smooth bend of stored crops: a picture's pixel q shows what was at q + flow(q)."""

    knots: Tensor
    """(B, 2, k, k) px."""
    linear: Tensor
    """(B, 2, 2)."""
    size: int
    """Px a side of a crop."""

    def flow(self, points: Tensor) -> Tensor:
        """Return the flow (B, N, 2), px, at pixels (B, N, 2) of the stored crops."""
        from_middle = points - self.size / 2
        grid = (2 / self.size * from_middle)[:, None]
        smooth = functional.grid_sample(
            self.knots, grid, mode="bicubic", padding_mode="border", align_corners=False
        )
        inside = from_middle.clamp(-self.size / 2, self.size / 2)
        return smooth[:, :, 0].transpose(1, 2) + inside @ self.linear.transpose(1, 2)

    def moved(self, points: Tensor) -> Tensor:
        """Return where what was at pixels (B, N, 2) is shown."""
        shown = points
        for _ in range(_ROUNDS):
            shown = points - self.flow(shown)
        return shown


def draw_warp(n: int, size: int, px: float, chance: torch.Generator, *, where: Tensor) -> Warp:
    """Draw bends of `n` crops of `size` px.

    Parameters
    ----------
    px : float
        Standard deviation of the shift of a knot, px of 224.
    where : (n,)
        Which are bent.
    """
    own = px * size / AT_SIZE
    bent = where.to(torch.float32)[:, None, None]
    knots = own * torch.randn(n, 2, _KNOTS, _KNOTS, generator=chance)
    knots = knots - knots[:, :, 1:-1, 1:-1].mean(dim=(2, 3), keepdim=True)
    stretch, shear = (_STRETCH * px * torch.randn(2, n, generator=chance)).unbind(0)
    rows = torch.stack([stretch, shear, shear, -stretch], dim=1).reshape(n, 2, 2)
    return Warp(knots=bent[..., None] * knots, linear=bent * rows, size=size)
