"""The deformation map of one picture: Adam through the rasteriser, coarse to fine.

The map is a sum of maps of 8 to 64 texels a side, so that few steps move whole regions. What it
may not do is to turn spots of colour into shape: total variation holds it smooth, its steps even
(TV-std), its size small, and the landmarks stay.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..core.arrays import Floats, Floats32
from ..core.geometry.mesh import vertex_normals
from ..core.rendering.rasterizer import Rasterizer, chosen_rasterizer, topology
from ..core.rendering.shading import shade
from . import losses
from .contour import contour_repaired
from .facetensors import FaceTensors
from .fit_camera import CropCamera
from .fit_dense import Appearance
from .fit_landmarks import FitState, LandmarkTarget
from .fit_model import FitModel
from .fit_visible import Visible, visible_pixels
from .photocamera import photo_camera


@dataclass(frozen=True, kw_only=True)
class MidConfig:
    """How the deformation is fitted."""

    size: int = 224  # px of the picture
    map_size: int = 64
    levels: tuple[int, ...] = (8, 16, 32)  # sides of the maps that are added up
    n_steps: int = 90
    n_refresh: int = 30  # steps after which the visible pixels are found anew
    rate: float = 1.5e-3  # of Adam, model units
    photo: float = 1.92
    landmark: float = 1e-4
    contour: float = 0.4
    smooth: float = 4e3
    smooth_std: float = 1e3
    magnitude: float = 0.03  # times the mean square of the map, mm²
    low: float = 5.0  # times the mean square, mm², of what belongs to the coefficients
    robust: float = 0.1  # colour distance beyond which a pixel loses its pull


@dataclass(frozen=True, kw_only=True)
class ContourTarget:
    """Where the face ends in the picture."""

    signed: Tensor
    """(s, s) of `contour.signed_distance`."""
    hairline_y: float
    """px, y down."""


class MidFit:
    """One picture of one face whose coefficients and pose are known."""

    def __init__(
        self,
        face: FaceTensors,
        model: FitModel,
        picture: Floats32,
        camera: CropCamera,
        state: FitState,
        look: Appearance,
        *,
        config: MidConfig,
        landmarks: LandmarkTarget | None = None,
        trusted: Floats32 | None = None,
        rasterizer: Rasterizer | None = None,
    ) -> None:
        self.face, self.model, self.config, self.camera = face, model, config, camera
        self.rasterizer = rasterizer or chosen_rasterizer()
        self.picture = _image_tensor(picture)
        self.trusted = (
            torch.ones(1, 1, *picture.shape[:2])
            if trusted is None
            else torch.from_numpy(np.ascontiguousarray(trusted, np.float32))[None, None]
        )
        self.state, self.landmarks = state, landmarks
        self.coarse = _tensor(model.shape(state.coefficients))[None]
        self.rotation, self.shift = _tensor(state.pose.R), _tensor(state.pose.t)
        self.lens = photo_camera(camera, float(state.pose.t[2]))
        self.albedo = _tensor(model.paint @ look.paint)[None]
        self.gamma = _tensor(look.gamma)[None]
        self.region = torch.from_numpy(np.flatnonzero(model.region))
        self.low = _tensor(low_fields(model, model.shape(state.coefficients)))

    def shape(self, deformation: Tensor) -> Tensor:
        """Return M1 (1, V, 3), unposed."""
        return self.coarse + self.face.at_vertices(deformation)

    def posed(self, shape: Tensor) -> Tensor:
        """Return posed vertices (1, V, 3)."""
        return shape @ self.rotation.T + self.shift

    def render(self, shape: Tensor, gamma: Tensor) -> Tensor:
        """Return the lit face (1, 3, s, s), 0 where there is none."""
        posed = self.posed(shape)
        normals = self.face.vertex_normals(shape) @ self.rotation.T
        colours = shade(self.albedo, normals, gamma)
        clip = self.lens.clip(posed)
        size = (self.camera.size, self.camera.size)
        fragments = self.rasterizer.rasterize(clip, self.face.faces, size)
        drawn = self.rasterizer.interpolate(colours, fragments, self.face.faces)
        drawn = self.rasterizer.antialias(drawn, fragments, clip, topology(self.face.faces))
        return drawn.permute(0, 3, 1, 2)

    def seen(self, shape: Tensor) -> Visible:
        """Return the pixels that show the face."""
        vertices = shape.detach()[0].numpy().astype(np.float64)
        return visible_pixels(self.model, vertices, self.state.pose, self.camera)

    def mask(self, shape: Tensor) -> Tensor:
        """Return (1, 1, s, s): trusted pixels well inside the face."""
        seen = self.seen(shape)
        mask = torch.zeros(self.camera.size, self.camera.size)
        mask[seen.rows[seen.inner], seen.cols[seen.inner]] = 1.0
        return mask[None, None] * self.trusted

    def loss(
        self,
        shape: Tensor,
        deformation: Tensor,
        gamma: Tensor,
        mask: Tensor,
        contour: ContourTarget | None,
        edge: Tensor | None,
    ) -> Tensor:
        """Return the objective."""
        config = self.config
        drawn = self.render(shape, gamma)
        with torch.no_grad():  # gross errors (hair, glasses, highlights) let go
            gap2 = ((drawn - self.picture) ** 2).sum(dim=1, keepdim=True)
            pull = mask / (1 + gap2 / config.robust**2) ** 2
        total = config.photo * losses.photometric(drawn, self.picture, pull)
        total = total + config.smooth * losses.total_variation(deformation)
        total = total + config.smooth_std * losses.total_variation_std(deformation)
        total = total + config.magnitude * (deformation**2).mean() * 1e4
        moved = (shape - self.coarse)[0, self.region].reshape(-1)
        low = (self.low.T @ moved) ** 2
        total = total + config.low * low.sum() * 1e4 / len(moved)
        posed = self.posed(shape)
        if self.landmarks is not None:
            total = total + config.landmark * self._landmark_loss(posed)
        if contour is not None and edge is not None:
            xy = self.lens.pixels(posed[:, edge])[0]
            hairline = contour.hairline_y
            total = total + config.contour * contour_repaired(
                xy, contour.signed, hairline_y=hairline
            )
        return total

    def _landmark_loss(self, posed: Tensor) -> Tensor:
        assert self.landmarks is not None
        known = np.flatnonzero(np.isfinite(self.landmarks.points).all(axis=1))
        found = self.lens.pixels(posed[:, self.face.landmarks[torch.from_numpy(known)]])
        wanted = _tensor(self.landmarks.points[known])[None]
        weight = _tensor((self.landmarks.sigma.min() / self.landmarks.sigma[known]) ** 2)
        scale = 224.0 / self.camera.size
        return losses.landmark(found * scale, wanted * scale, weight)


def low_fields(model: FitModel, shape: Floats) -> Floats:
    """Return (3 R, n) orthonormal movements of the R region vertices that are not mid band.

    Shifts, turns, growth, and waves as long as the face. They are the coefficients' and the
    pose's to explain, or, as a face's size and the depth of its relief under unknown light,
    not to be told from one picture at all.

    Source
    ------
    The bas-relief ambiguity: Belhumeur, Kriegman and Yuille, IJCV 35(1), 1999.
    """
    at = model.region
    x = shape[at] - shape[at].mean(axis=0)
    x = x / np.abs(x).max(axis=0)
    powers = [x[:, 0] ** i * x[:, 1] ** j for i in range(3) for j in range(3 - i)]
    columns = [np.outer(power, axis).reshape(-1) for power in powers for axis in np.eye(3)]
    columns += [(x[:, 2:] * axis).reshape(-1) for axis in np.eye(3)]
    columns.append(vertex_normals(shape, model.faces)[at].reshape(-1))
    return np.asarray(np.linalg.qr(np.stack(columns, axis=1))[0])


def fit_mid(
    fit: MidFit,
    *,
    contour: ContourTarget | None = None,
    edge_of: Callable[[Tensor], Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the deformation map (1, 3, d, d), model units, and the light (1, 3, 9)."""
    config = fit.config
    parts = [torch.zeros(1, 3, n, n, requires_grad=True) for n in config.levels]
    gamma = fit.gamma.clone().requires_grad_(True)
    adam = torch.optim.Adam(
        [{"params": parts, "lr": config.rate}, {"params": [gamma], "lr": 2e-3}], betas=(0.9, 0.99)
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, config.n_steps)
    mask, edge = fit.mask(fit.coarse), None
    for step in range(config.n_steps):
        deformation = summed(parts, config.map_size)
        shape = fit.shape(deformation)
        if step % config.n_refresh == 0:
            mask = fit.mask(shape)
            edge = None if edge_of is None else edge_of(shape)
        adam.zero_grad()
        loss = fit.loss(shape, deformation, gamma, mask, contour, edge)
        loss.backward()
        adam.step()
        schedule.step()
    return summed(parts, config.map_size).detach(), gamma.detach()


def summed(parts: Sequence[Tensor], size: int) -> Tensor:
    """Return the map (1, 3, size, size) that maps of all levels add up to."""
    total = parts[0].new_zeros(1, 3, size, size)
    for part in parts:
        total = total + functional.interpolate(
            part, size=(size, size), mode="bicubic", align_corners=False
        )
    return total


def _tensor(values: Floats | Floats32) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, np.float32))


def _image_tensor(picture: Floats32) -> Tensor:
    return _tensor(picture).permute(2, 0, 1)[None].contiguous()
