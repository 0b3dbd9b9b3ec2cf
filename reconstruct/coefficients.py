"""The numbers that the coefficient network gives: shape, colour, pose and light.

Their order in the vector: identity, expression, albedo, angles (3), gamma (27), translation
(3); 257 in all for BFM's 80, 64 and 80 modes. Raw, without normalisation.
"""

from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from ..core.errors import InputError
from ..core.rendering.shading import N_BANDS

N_POSE_AND_LIGHT = 3 + 3 * N_BANDS + 3


class Modes(Protocol):
    """How many modes a face model has."""

    @property
    def n_identity(self) -> int:
        """Of the identity basis."""

    @property
    def n_expression(self) -> int:
        """Of the expression basis."""

    @property
    def n_albedo(self) -> int:
        """Of the albedo basis."""


@dataclass(frozen=True, kw_only=True)
class Coefficients:
    """Coefficients of a batch of faces."""

    identity: Tensor
    """(B, n_id), N(0, 1) over people."""
    expression: Tensor
    """(B, n_exp)."""
    albedo: Tensor
    """(B, n_alb), N(0, 1) over people."""
    angles: Tensor
    """(B, 3) rad: pitch, yaw, roll; R = Rz Ry Rx."""
    gamma: Tensor
    """(B, 3, 9): light, a row a colour, without the ambient part."""
    translation: Tensor
    """(B, 3) model units."""

    def joined(self) -> Tensor:
        """Return the vector (B, n)."""
        return torch.cat(
            [self.identity, self.expression, self.albedo, self.angles, self.gamma.flatten(1),
             self.translation],
            dim=1,
        )  # fmt: skip

    def __getitem__(self, rows: slice | Tensor) -> "Coefficients":
        """Return some faces of the batch."""
        return replace(self, **{name: value[rows] for name, value in vars(self).items()})

    def __len__(self) -> int:
        return len(self.angles)


def n_coefficients(face: Modes) -> int:
    """Return how many numbers a face has: 257 for BFM."""
    return face.n_identity + face.n_expression + face.n_albedo + N_POSE_AND_LIGHT


def split(vector: Tensor, face: Modes) -> Coefficients:
    """Take apart the vector (B, n) of a face model's coefficients.

    Raises
    ------
    InputError
        It has another length than the model's.
    """
    expected = n_coefficients(face)
    if vector.ndim != 2 or vector.shape[1] != expected:
        raise InputError(
            f"coefficients of shape {tuple(vector.shape)}, but this face model has {expected} a "
            "face; the network was made for another model"
        )
    lengths = [face.n_identity, face.n_expression, face.n_albedo, 3, 3 * N_BANDS, 3]
    identity, expression, albedo, angles, gamma, translation = vector.split(lengths, dim=1)
    return Coefficients(
        identity=identity,
        expression=expression,
        albedo=albedo,
        angles=angles,
        gamma=gamma.reshape(-1, 3, N_BANDS),
        translation=translation,
    )


def zero_coefficients(face: Modes, batch: int = 1, *, device: str = "cpu") -> Coefficients:
    """Return the mean face, unturned, in white light."""
    return split(torch.zeros(batch, n_coefficients(face), device=device), face)
