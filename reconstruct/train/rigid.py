"""Rigid alignment of one set of points with another, in batches: closed form, not learnt through.

Shapes are judged after rigid alignment, since a photograph tells the pose apart from them. The
motion is taken as given when a loss is differentiated: to first order it does not move, as it is
at its own optimum.
"""

from typing import NamedTuple

import torch
from torch import Tensor

_LEAST_WEIGHT = 1e-12


class Rigid(NamedTuple):
    """x -> R x + t for each of a batch."""

    R: Tensor
    """(B, 3, 3)."""
    t: Tensor
    """(B, 3), unit of the points."""

    def apply(self, points: Tensor) -> Tensor:
        """Return the points (B, N, 3) moved."""
        return points @ self.R.transpose(1, 2) + self.t[:, None]


@torch.no_grad()
def rigid(points: Tensor, targets: Tensor, weights: Tensor) -> Rigid:
    """Find the motion that takes `points` closest to `targets`, least squares.

    Parameters
    ----------
    points, targets : (B, N, 3)
        Matched.
    weights : (B, N) or (1, N), not negative
        Where all are zero, the motion is none.

    Source
    ------
    Kabsch, Acta Cryst. A 32, 1976; the sign of the determinant as in Umeyama, PAMI 13(4), 1991.
    """
    w = (weights / weights.sum(dim=1, keepdim=True).clamp(min=_LEAST_WEIGHT))[..., None]
    at, there = (w * points).sum(dim=1), (w * targets).sum(dim=1)
    correlation = (w * (targets - there[:, None])).transpose(1, 2) @ (points - at[:, None])
    u, _, vt = torch.linalg.svd(correlation.double())
    turn = torch.eye(3, dtype=u.dtype, device=u.device).repeat(len(u), 1, 1)
    turn[:, 2, 2] = torch.sign(torch.linalg.det(u @ vt))
    R = (u @ turn @ vt).to(points.dtype)
    known = (weights.sum(dim=1) > 0).expand(len(R))
    R = torch.where(known[:, None, None], R, torch.eye(3, dtype=R.dtype, device=R.device))
    return Rigid(R, there - (R @ at[..., None])[..., 0])


@torch.no_grad()
def settled(points: Tensor, targets: Tensor, normals: Tensor, weights: Tensor) -> Rigid:
    """Find the motion that takes points closest to planes: one step of Gauss and Newton.

    Parameters
    ----------
    points, targets, normals : (B, N, 3)
        `normals` of the planes through `targets`; `points` near them already.
    weights : (B, N) or (1, N)

    Source
    ------
    Chen and Medioni, Object modelling by registration of multiple range images, 1992.
    """
    rows = torch.cat([torch.linalg.cross(points, normals), normals], dim=2).double()
    gap = (normals * (targets - points)).sum(dim=2).double()
    weighed = (rows * weights[..., None]).transpose(1, 2)
    matrix, right = weighed @ rows, weighed @ gap[..., None]
    # a shape that slides on itself, such as a ball, leaves a motion open: it stays small
    ridge = 1e-9 * matrix.diagonal(dim1=1, dim2=2).amax(dim=1).clamp(min=_LEAST_WEIGHT)
    matrix = matrix + ridge[:, None, None] * torch.eye(6, dtype=matrix.dtype, device=matrix.device)
    found = torch.linalg.solve(matrix, right)[..., 0]
    x, y, z = found[:, :3].unbind(dim=1)
    zero = torch.zeros_like(x)
    spin = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=1).reshape(-1, 3, 3)
    return Rigid(torch.linalg.matrix_exp(spin).to(points.dtype), found[:, 3:].to(points.dtype))
