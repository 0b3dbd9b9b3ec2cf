"""The network that corrects coefficients by landmarks: ours, not of the paper.

A detector's 68 points are given anyway, as the crop is made by them; they say how wide and how
long a face is more surely than a small network sees it in 224 px. Fitting the model to them does
harm, since they are noisy, and each detector's mean something else: what they are worth has to be
learnt. The last layer begins at zero: an untrained network changes nothing.
"""

import torch
from torch import Tensor, nn

from ..coefficients import Coefficients
from ..pose import HrnCamera, posed
from .coefficient import POSE_AND_LIGHT

_N_LANDMARKS = 68
_APART, _SPREAD = 3 / 224, 50 / 224  # of the crop's side, to numbers about 1
_EXPRESSION, _ANGLES, _TRANSLATION = 0.3, 0.03, 0.05
"""An output of 1 in their units; one of identity is 1."""
_MIDDLE = 0.5
_FAR = 30 / 224  # of the crop's side: a landmark so far from the face's own is a mistake
_DROPOUT = 0.2


class LandmarkNet(nn.Module):
    """Coefficients, and landmarks beside where these have them -> other coefficients.

    Shape and pose are changed; colour and light stay.

    Parameters
    ----------
    counts : (identity, expression, albedo)
        Modes of the face model.
    width : int
        Of the two inner layers.
    """

    def __init__(self, counts: tuple[int, int, int], *, width: int) -> None:
        super().__init__()
        self.sizes = (counts[0], counts[1], 3, 3)
        n_given = sum(counts) + sum(POSE_AND_LIGHT) + 2 * 2 * _N_LANDMARKS
        last = nn.Linear(width, sum(self.sizes))
        self.layers = nn.Sequential(
            nn.Linear(n_given, width), nn.GELU(), nn.Dropout(_DROPOUT),
            nn.Linear(width, width), nn.GELU(), nn.Dropout(_DROPOUT), last,
        )  # fmt: skip
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, found: Coefficients, places: Tensor, landmarks: Tensor) -> Coefficients:
        """Return the coefficients, corrected.

        Parameters
        ----------
        places : (B, 68, 2)
            Where `found` has the landmarks: x and y, upwards, in sides of the crop.
        landmarks : (B, 68, 2)
            Where they were found; NaN unknown. Mistakes, far from `places`, count as unknown.
        """
        near = torch.linalg.vector_norm(landmarks - places, dim=-1, keepdim=True) < _FAR
        marks = torch.where(near, landmarks, places)  # NaN is near nothing
        given = torch.cat(
            [
                ((marks - places) / _APART).flatten(1),
                ((marks - _MIDDLE) / _SPREAD).flatten(1),
                found.joined(),
            ],
            dim=1,
        )
        identity, expression, angles, translation = self.layers(given).split(self.sizes, dim=1)
        return Coefficients(
            identity=found.identity + identity,
            expression=found.expression + _EXPRESSION * expression,
            albedo=found.albedo,
            angles=found.angles + _ANGLES * angles,
            gamma=found.gamma,
            translation=found.translation + _TRANSLATION * translation,
        )


def by_landmarks(
    network: nn.Module, found: Coefficients, marks: Tensor, landmarks: Tensor, camera: HrnCamera
) -> Coefficients:
    """Return coefficients corrected by landmarks.

    Parameters
    ----------
    network : LandmarkNet
    marks : (B, 68, 3)
        Where `found` has them, unposed, model units.
    landmarks : (B, 68, 2)
        Px of the camera's image, y up; NaN unknown.
    """
    places = camera.project(posed(marks, found.angles, found.translation))
    corrected: Coefficients = network(found, places / camera.size, landmarks / camera.size)
    return corrected
