"""Coefficients, pose, light and paint from the picture's colours: Gauss-Newton, pixel by pixel.

A pixel's colour is albedo times spherical-harmonics light, seen through the raster. Residuals
change because the surface moves under the pixel (by the gradient of picture and render alike,
which converges twice as fast as either) and because its normals turn in the light; both
derivatives are exact. Albedo is a sum of painted regions and slow waves, each with a prior, so
that shape and light cannot hide in it.

Source
------
Light: Ramamoorthi and Hanrahan, SIGGRAPH 2001. Mean of both gradients: Benhimane and Malis,
IROS 2004 (efficient second-order minimisation).
"""

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ..core.arrays import AnyFloats, Floats, Floats32
from ..core.rendering.shading import AMBIENT, K0
from .fit_camera import CropCamera, pose_slope
from .fit_landmarks import FitState, LandmarkTarget, add_landmarks, solved
from .fit_light import sh_basis, sh_slope
from .fit_model import FitModel
from .fit_visible import Visible, unit, visible_pixels

_SIZE_SIGMA = 1e-4  # of a step's part of a size that is to be held


@dataclass(frozen=True, kw_only=True)
class Appearance:
    """Light and paint."""

    gamma: Floats
    """(3, 9) spherical harmonics of each colour, without the constant ambient part."""
    paint: Floats
    """(K, 3) RGB of each painted column."""


@dataclass(frozen=True, kw_only=True)
class DenseLevel:
    """How one round of the dense fit looks at the picture."""

    size: int
    """Side of the picture, px."""
    blur_px: float
    stride: int
    n_light: int
    """Steps of light and paint alone, first."""
    n_steps: int
    holds_size: bool = False
    """Keep the face as large as it is: no shading tells its size."""


@dataclass(frozen=True, kw_only=True)
class DensePriors:
    """What counts how much."""

    sigma: float = 0.05
    """Of a colour that the model cannot explain, RGB in [0, 1]."""
    patch_mm2: float = 400.0
    """Skin over which such errors are alike: one measurement."""
    tone: float = 0.4
    """Of plain skin's RGB."""
    region: float = 0.15
    """Of a painted region's difference from plain skin."""
    wave: float = 0.03
    """Of a slow wave's amplitude."""
    light: float = 0.25
    """Of a coefficient of the light."""
    white: float = 0.05
    """Of a coefficient's differences between the colours."""


def start_appearance(model: FitModel, picture: Floats32, seen: Visible) -> Appearance:
    """Return even light on skin of the face's median colour."""
    gamma = np.zeros((3, 9))
    paint = np.zeros((model.paint.shape[1], 3))
    colour = np.median(picture[seen.rows, seen.cols], axis=0)
    paint[0] = colour / (K0 * AMBIENT)
    return Appearance(gamma=gamma, paint=paint)


def vertex_colors(model: FitModel, look: Appearance, normals: AnyFloats) -> Floats:
    """Return (V, 3) of posed unit normals (V, 3)."""
    light = look.gamma.copy()
    light[:, 0] += AMBIENT
    return np.asarray((model.paint @ look.paint) * (sh_basis(normals) @ light.T))


class DenseFit:
    """One picture at one size, and the normal equations of a state on it."""

    def __init__(
        self,
        model: FitModel,
        picture: Floats32,
        camera: CropCamera,
        *,
        level: DenseLevel,
        priors: DensePriors,
        trusted: Floats32 | None = None,
    ) -> None:
        self.model, self.camera, self.level, self.priors = model, camera, level, priors
        self.raw = picture
        self.picture = _blurred(picture, level.blur_px)
        self.slope = _gradient(self.picture)
        self.trusted = np.ones(picture.shape[:2], np.float32) if trusted is None else trusted

    def render(self, state: FitState, look: Appearance, seen: Visible) -> Floats32:
        """Return the picture with the face drawn in."""
        normals = unit(seen.normal_sums) @ state.pose.R.T
        colors = vertex_colors(self.model, look, normals)
        drawn = self.raw.copy()
        corners = self.model.faces[seen.faces]
        drawn[seen.rows, seen.cols] = np.einsum("pk,pkc->pc", seen.weights, colors[corners])
        return drawn

    def equations(
        self, state: FitState, look: Appearance, seen: Visible, *, move: bool
    ) -> tuple[Floats, Floats]:
        """Return H, g of (modes, pose, gamma, paint)."""
        drawn = _blurred(self.render(state, look, seen), self.level.blur_px)
        inner = seen.inner & (self.trusted[seen.rows, seen.cols] > 0)
        at = np.flatnonzero(inner)[:: self.level.stride]
        rows, cols = seen.rows[at], seen.cols[at]
        gap = (self.picture[rows, cols] - drawn[rows, cols]).astype(np.float64)
        parts: list[AnyFloats] = [*self._light_rows(state, look, seen, at)]
        if move:
            slope = (self.slope[rows, cols] + _gradient(drawn)[rows, cols]) / np.float32(2)
            parts = [*self._shape_rows(state, look, seen, at, slope), *parts]
        J = np.concatenate(parts, axis=2).astype(np.float32)
        weight = self._weights(gap, state, seen, at) * self.trusted[rows, cols]
        n_all = len(self.model.modes) + 6 + 27 + 3 * self.model.paint.shape[1]
        first = 0 if move else len(self.model.modes) + 6
        H, g = np.zeros((n_all, n_all)), np.zeros(n_all)
        rooted = J * np.sqrt(weight)[:, None, None].astype(np.float32)
        flat = rooted.reshape(-1, J.shape[2])
        H[first:, first:] = flat.T @ flat
        g[first:] = flat.T @ (gap * np.sqrt(weight)[:, None]).astype(np.float32).reshape(-1)
        return H, g

    def _weights(self, gap: Floats, state: FitState, seen: Visible, at: NDArray[np.intp]) -> Floats:
        """Return (P,) weights: independent measurements per pixel, gross errors let go."""
        scale2 = 3 * self.priors.sigma**2
        robust = 1 / (1 + (gap**2).sum(axis=1) / (4 * scale2)) ** 2
        depth = self.camera.distance - float(state.pose.t[2])
        pixel_mm = 100 * depth / self.camera.focal
        per_pixel = pixel_mm**2 * self.level.stride / self.priors.patch_mm2
        return np.asarray(robust * min(per_pixel, 1.0) / self.priors.sigma**2)

    def _light_rows(
        self, state: FitState, look: Appearance, seen: Visible, at: NDArray[np.intp]
    ) -> list[Floats]:
        """Return d colour / d gamma (P, 3, 27) and / d paint (P, 3, 3 K)."""
        corners, b = self.model.faces[seen.faces[at]], seen.weights[at]
        normals = unit(seen.normal_sums) @ state.pose.R.T
        basis = np.einsum("pk,pki->pi", b, sh_basis(normals)[corners])
        masks = np.einsum("pk,pki->pi", b, self.model.paint[corners].astype(np.float64))
        albedo = masks @ look.paint
        light = look.gamma.copy()
        light[:, 0] += AMBIENT
        shade = basis @ light.T
        n, k = len(at), self.model.paint.shape[1]
        by_gamma, by_paint = np.zeros((n, 3, 3, 9)), np.zeros((n, 3, k, 3))
        for c in range(3):
            by_gamma[:, c, c] = albedo[:, c, None] * basis
            by_paint[:, c, :, c] = masks * shade[:, c, None]
        return [by_gamma.reshape(n, 3, 27), by_paint.reshape(n, 3, 3 * k)]

    def _shape_rows(
        self,
        state: FitState,
        look: Appearance,
        seen: Visible,
        at: NDArray[np.intp],
        slope: AnyFloats,
    ) -> list[AnyFloats]:
        """Return d colour / d modes (P, 3, M) and / d pose (P, 3, 6) of the render.

        The surface that moves by du under a pixel shows what lay at -du: minus the gradient.
        """
        model, R = self.model, state.pose.R
        faces, b = seen.faces[at], seen.weights[at].astype(np.float32)
        corners = model.faces[faces]
        used, local = np.unique(corners, return_inverse=True)
        local = local.reshape(corners.shape)
        mix = sparse.csr_matrix(
            (b.reshape(-1), (np.repeat(np.arange(len(at)), 3), local.reshape(-1))),
            shape=(len(at), len(used)),
        )
        posed = np.einsum("pk,pki->pi", b, seen.posed[corners])
        move = -np.einsum("pcj,pji->pci", slope, self.camera.slope(posed))
        normals = unit(seen.normal_sums[used]) @ R.T
        light = look.gamma.copy()
        light[:, 0] += AMBIENT
        albedo = model.paint[used] @ look.paint
        # how a vertex' colour changes with its posed normal: (U, 3 colours, 3)
        turn = albedo[:, :, None] * np.einsum("cb,ubi->uci", light, sh_slope(normals))
        turned = normal_modes(model, seen, used)  # (M, U, 3), model frame
        shade = np.einsum("uci,ij,muj->ucm", turn, R, turned, optimize=True)
        shade = (mix @ shade.reshape(len(used), -1)).reshape(len(at), 3, -1)
        modes = model.modes[:, used].transpose(1, 2, 0)
        moved = (mix @ modes.reshape(len(used), -1)).reshape(len(at), 3, -1)
        shade += np.einsum("pci,ij,pjm->pcm", move, R, moved, optimize=True)
        by_pose = np.einsum("pci,pij->pcj", move, pose_slope(posed, state.pose))
        cross = np.cross(turn, normals[:, None], axis=2)  # d(w x n) . turn = w . (n x turn)
        by_pose[:, :, :3] += (mix @ -cross.reshape(len(used), -1)).reshape(len(at), 3, 3)
        return [shade, by_pose]


def normal_modes(model: FitModel, seen: Visible, used: NDArray[np.signedinteger[Any]]) -> Floats32:
    """Return (M, U, 3): how the unit normals of vertices turn with each mode, model frame."""
    wanted = np.zeros(len(model.mean), bool)
    wanted[used] = True
    faces = model.faces[wanted[model.faces].any(axis=1)]
    a, b, c = (seen.shape[faces[:, i]].astype(np.float32) for i in range(3))
    e1, e2 = b - a, c - a
    cross = np.cross(e1, e2)
    size = np.maximum(np.linalg.norm(cross, axis=1, keepdims=True), 1e-12)
    unit = (cross / size).astype(np.float32)
    first = model.modes[:, faces[:, 1]] - model.modes[:, faces[:, 0]]
    second = model.modes[:, faces[:, 2]] - model.modes[:, faces[:, 0]]
    change = np.cross(first, e2) + np.cross(e1, second)
    change -= np.einsum("mfi,fi->mf", change, unit)[:, :, None] * unit
    change /= size.astype(np.float32)
    index = np.full(len(model.mean), -1)
    index[used] = np.arange(len(used))
    at = index[faces]
    own = at >= 0
    gather = sparse.csr_matrix(
        (np.ones(own.sum(), np.float32), (at[own], np.nonzero(own)[0])),
        shape=(len(used), len(faces)),
    )
    m = len(model.modes)
    summed = (gather @ change.transpose(1, 0, 2).reshape(len(faces), -1)).reshape(-1, m, 3)
    sums = seen.normal_sums[used].astype(np.float32)
    length = np.maximum(np.linalg.norm(sums, axis=1), 1e-12)[:, None, None]
    n = sums[:, None] / length
    summed -= (summed * n).sum(axis=2, keepdims=True) * n
    return np.asarray((summed / length).transpose(1, 0, 2), np.float32)


def fit_dense(
    fit: DenseFit,
    target: LandmarkTarget | None,
    state: FitState,
    look: Appearance | None,
) -> tuple[FitState, Appearance]:
    """Run one round from `state`; landmarks of the same crop hold on."""
    model, level = fit.model, fit.level
    n, k = len(model.modes), model.paint.shape[1]
    growth = size_slope(model, model.shape(state.coefficients)) if level.holds_size else None
    for step in range(level.n_light + level.n_steps):
        move = step >= level.n_light
        seen = visible_pixels(model, model.shape(state.coefficients), state.pose, fit.camera)
        if look is None:
            look = start_appearance(model, fit.picture, seen)
        H, g = fit.equations(state, look, seen, move=move)
        if move and target is not None:
            add_landmarks(model, target, fit.camera, state, H=H, g=g)
        if growth is not None:
            H[:n, :n] += np.outer(growth, growth) / _SIZE_SIGMA**2
        _add_look_priors(fit, look, H, g)
        moves = np.ones(len(g), bool)
        moves[: n + 6] = move
        change = solved(model, state, H, g, moves=moves)
        state = replace(
            state,
            coefficients=state.coefficients + change[:n],
            pose=state.pose.stepped(change[n : n + 6]),
        )
        look = Appearance(
            gamma=look.gamma + change[n + 6 : n + 33].reshape(3, 9),
            paint=look.paint + change[n + 33 :].reshape(k, 3),
        )
    assert look is not None
    return state, look


def size_slope(model: FitModel, shape: AnyFloats) -> Floats:
    """Return (n_modes,): by what part of its size the face region of a shape grows with each."""
    region = shape[model.region]
    arm = region - region.mean(axis=0)
    grown = np.tensordot(model.modes[:, model.region].astype(np.float64), arm, axes=2)
    return np.asarray(grown / (arm**2).sum())


def _add_look_priors(fit: DenseFit, look: Appearance, H: Floats, g: Floats) -> None:
    priors, model = fit.priors, fit.model
    n, k = len(model.modes), model.paint.shape[1]
    at = np.arange(n + 6, n + 33)
    gamma = look.gamma.reshape(-1)
    H[at, at] += 1 / priors.light**2
    g[at] -= gamma / priors.light**2
    # white light: deviation of the colours from their mean
    white = np.kron(np.eye(3) - 1 / 3, np.eye(9)) / priors.white**2
    H[np.ix_(at, at)] += white
    g[at] -= white @ gamma
    sigma = np.full((k, 3), priors.region)
    sigma[0] = priors.tone
    sigma[model.n_painted :] = priors.wave
    wanted = np.zeros((k, 3))
    wanted[0] = (0.75, 0.6, 0.52)
    at = np.arange(n + 33, n + 33 + 3 * k)
    H[at, at] += 1 / sigma.reshape(-1) ** 2
    g[at] += ((wanted - look.paint) / sigma**2).reshape(-1)


def _blurred(picture: Floats32, blur_px: float) -> Floats32:
    if blur_px <= 0:
        return picture
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), blur_px), np.float32)


def _gradient(picture: Floats32) -> Floats32:
    """Return (H, W, 3 colours, 2) d/dx, d/dy per px."""
    dy, dx = np.gradient(picture, axis=(0, 1))
    return np.asarray(np.stack([dx, dy], axis=-1), np.float32)
