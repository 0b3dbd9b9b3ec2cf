"""One albedo for all views, and each view's light.

A view's colour is albedo times light, the light nine harmonics of the normal, of encoded colours
(HRN's model). Light and albedo are found in turns by least squares, where the view shows the
texel; gloss and shadow, which no harmonic explains, let go. That white light has a mean of 1
over the face is by definition: how bright skin is and how bright its light, no picture tells.

Source
------
Ramamoorthi and Hanrahan, SIGGRAPH 2001 (nine harmonics); Lei et al., CVPR 2023, sec. 3.2.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from torch import Tensor

from ...core.arrays import Bools, Floats, Floats32
from ...core.geometry.camera import Camera
from ...core.rendering.shading import AMBIENT
from ..fit_light import camera_harmonics
from .sampling import ViewSampler
from .texels import TexelGrid

_N_ROUNDS = 4
_RIDGE = 1e-3  # of the light's harmonics, against a mean square texel
_ROBUST = 0.08  # of encoded colour, beyond which a texel is gloss or shadow
_LEAST_LIGHT = 0.2
_MOST_TEXELS = 40_000  # that the light is fitted to
_SPREAD = 12  # sigma, texels, by which the albedo goes on where no view sees


@dataclass(frozen=True, kw_only=True)
class Appearance:
    """What the views have in common, and what not."""

    albedo: Floats32
    """(size, size, 3) in [0, 1], encoded; goes on where no view sees."""
    light: Floats
    """(J, 3, 9) in each camera's frame; ambient not yet added (`core.rendering.shading`)."""
    residual: Floats
    """(J,) rms of encoded colour that albedo and light leave."""


def appearance_of(sampler: ViewSampler, depth: Tensor, cameras: Sequence[Camera]) -> Appearance:
    """Find the albedo and the light of views sampled at `depth` (h, w)."""
    grid = sampler.grid
    colours = sampler.colours(depth).permute(0, 2, 3, 1).cpu().numpy().astype(np.float64)
    weight = sampler.weight[:, 0].cpu().numpy().astype(np.float64)
    bases = [_basis(grid, j, camera) for j, camera in enumerate(cameras)]
    seen = weight.sum(axis=0) > 0
    total = np.maximum(weight.sum(axis=0), 1e-9)[..., None]
    level = (weight[..., None] * colours).sum(axis=0)[seen].sum(axis=0) / total[seen].sum(axis=0)
    albedo = np.broadcast_to(level, colours.shape[1:]).copy()
    light = np.zeros((len(cameras), 3, 9))
    for _ in range(_N_ROUNDS):
        light = np.stack(
            [
                _light(basis, picture, albedo, w)
                for basis, picture, w in zip(bases, colours, weight, strict=True)
            ]
        )
        light = _normalised(light, bases, weight)
        lit = np.stack([b @ g.T for b, g in zip(bases, light, strict=True)])
        lit = np.maximum(lit, _LEAST_LIGHT)
        off = np.abs(colours - albedo * lit).max(axis=-1, keepdims=True)
        trusted = weight[..., None] / (1 + (off / _ROBUST) ** 2)
        albedo = (trusted * colours * lit).sum(axis=0)
        albedo /= np.maximum((trusted * lit**2).sum(axis=0), 1e-9)
    residual = [
        float(np.sqrt((w[..., None] * (c - albedo * s) ** 2).sum() / max(3 * w.sum(), 1e-9)))
        for w, c, s in zip(weight, colours, lit, strict=True)
    ]
    light[..., 0] -= AMBIENT
    return Appearance(
        albedo=_completed(grid, albedo, seen & grid.inside, level),
        light=light,
        residual=np.array(residual),
    )


def _basis(grid: TexelGrid, view: int, camera: Camera) -> Floats:
    """Return (h, w, 9) the harmonics of the normals in a camera's frame."""
    normals = grid.normals[view if len(grid.normals) > 1 else 0]
    return camera_harmonics(normals, camera.cam_from_world)


def _light(basis: Floats, picture: Floats, albedo: Floats, weight: Floats) -> Floats:
    """Return (3, 9): the light that explains a picture (h, w, 3) of a known albedo best."""
    at = np.flatnonzero(weight.reshape(-1) > 0)
    at = at[:: max(1, len(at) // _MOST_TEXELS)]
    if len(at) == 0:
        return np.tile(np.eye(9)[0] / basis.reshape(-1, 9)[0, 0], (3, 1))
    B, out = basis.reshape(-1, 9)[at], np.zeros((3, 9))
    for channel in range(3):
        a, y = albedo.reshape(-1, 3)[at, channel], picture.reshape(-1, 3)[at, channel]
        X, pull = a[:, None] * B, weight.reshape(-1)[at]
        ridge = _RIDGE * (pull * a**2).sum() * np.diag([0.0] + [1.0] * 8)
        for _ in range(3):
            solved = np.linalg.solve(X.T @ (pull[:, None] * X) + ridge, X.T @ (pull * y))
            off = y - X @ solved
            pull = weight.reshape(-1)[at] / (1 + (off / _ROBUST) ** 2)
        out[channel] = solved
    return out


def _normalised(light: Floats, bases: Sequence[Floats], weight: Floats) -> Floats:
    """Return lights (J, 3, 9) whose mean over the texels that views see is 1, colour by colour."""
    lit = sum(
        np.einsum("hw,hwk,ck->c", w, b, g) for w, b, g in zip(weight, bases, light, strict=True)
    )
    mean = np.asarray(lit) / max(float(weight.sum()), 1e-9)
    return light / np.maximum(mean, 1e-6)[None, :, None]


def _completed(grid: TexelGrid, albedo: Floats, known: Bools, level: Floats) -> Floats32:
    """Return the albedo of the whole chart, with the usual colour where none is known."""
    share = grid.whole(known.astype(np.float32))
    colour = grid.whole(albedo) * share[..., None]
    near = cv2.GaussianBlur(share, (0, 0), _SPREAD)[..., None]
    around = cv2.GaussianBlur(colour, (0, 0), _SPREAD)
    wide = (around + 0.02 * level) / (near + 0.02)
    return np.clip(np.where(share[..., None] > 0, colour, wide), 0, 1).astype(np.float32)
