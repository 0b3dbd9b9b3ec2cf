"""MV-HRN as released: views that share an identity and a deformation map, and nothing else.

Each view keeps its own expression, albedo coefficients, pose, light and displacement map; the
identity and the deformation start at the means of the views', everything else where the view
alone left it. Fifty steps of one Adam at 1e-3 then lower the sum over the views of

    1.92 (photo of the high render + photo of the mid render) + 1.6e-4 landmarks + 20 contour
    + 1000 TV + 10000 TV-std of D V_j
    + mean |d_j V_j| + 10000 TV + 10000 TV-std of d_j V_j
    + 3e-4 coefficients + 10 gamma

(`losses`, `contour`), and a last pass without gradients reads the faces out: one mesh a view.
The albedo A'_j is frozen, so the albedo coefficients follow their regulariser alone. Nothing
compares the views with each other; that is what `reconstruct.multiview` adds. This module is
what it is measured against.

Kept as released: photographs are compared over the rendered silhouette, the face mask counts for
the contour alone; every projected vertex counts for the contour, hidden or not; TV of what V_j
masked away pulls on the shared map; a texel's deformation starts at the mean over all views, of
which those that do not see it say 0, and no view weighs more than another; one rate for
radians, model units and coefficients alike, so that nothing moves much farther than 50 steps:
5 mm of deformation, displacement and translation, 2.9 degrees, 0.05 of an identity's sigma.

Starts with `quirks` also have the released sampling and shading to the number (`draw`,
`detail_normals`, `FaceTensors.at_vertices` with `compat`), for the released weights. Left out:
the second erosion of V_j at step 49, which the release makes only where it also saves pictures.
The released mesh is a face without hair, ears and neck: of models that have them, silhouette and
contour are of the face (`photographed`).

Source
------
github.com/youngLBW/HRN; Lei et al., CVPR 2023. Written from a description of its behaviour.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from ...core.arrays import Floats
from ...core.errors import InputError
from ...core.rendering.rasterizer import Rasterizer
from ...core.rendering.shading import shaded_map
from .. import losses
from ..coefficients import Coefficients
from ..contour import contour_released, mask_rows
from ..detailnormals import (
    NO_FLIP,
    RELEASED_FLIP,
    chart_quads,
    detail_normals,
    outward_sign,
    released_quads,
)
from ..facetensors import FaceTensors
from ..fit_model import photographed
from ..hrn import resized
from ..maprender import draw
from ..pose import HrnCamera, posed, rotated
from ..vectors import unit
from .viewstart import ViewStart

_LANDMARK_PX = 224  # side of the crop whose px landmarks are weighed in


@dataclass(frozen=True, kw_only=True)
class CompatWeights:
    """Weights of a view's terms, as released; names as in `view_terms`."""

    photo_high: float = 1.92
    photo_mid: float = 1.92
    landmarks: float = 1.6e-4
    smooth: float = 1e3
    smooth_std: float = 1e4
    displacement: float = 1.0
    displacement_smooth: float = 1e4
    displacement_smooth_std: float = 1e4
    contour: float = 20.0
    coefficients: float = 3e-4
    gamma: float = 10.0


@dataclass(frozen=True, kw_only=True)
class CompatConfig:
    """The released schedule."""

    n_steps: int = 50
    rate: float = 1e-3
    """Of Adam, for everything alike."""
    weights: CompatWeights = field(default_factory=CompatWeights)


@dataclass(frozen=True, kw_only=True)
class Variables:
    """What is optimised: leaves of the graph."""

    identity: Tensor
    """(1, n_id), all views'."""
    deformation: Tensor
    """(1, 3, d, d) D_c, all views', model units."""
    own: tuple[Coefficients, ...]
    """Each view's; `identity` is the shared one."""
    displacements: tuple[Tensor, ...]
    """Each view's (1, 1, n, n), model units."""

    def leaves(self) -> list[Tensor]:
        """Return every leaf once."""
        each = [
            leaf
            for c, d in zip(self.own, self.displacements, strict=True)
            for leaf in (c.expression, c.albedo, c.angles, c.gamma, c.translation, d)
        ]
        return [self.identity, self.deformation, *each]


@dataclass(frozen=True, kw_only=True)
class ViewFace:
    """A view's face under the current variables, model units."""

    coefficients: Coefficients
    deformation: Tensor
    """(1, 3, d, d) D_c V_j."""
    displacement: Tensor
    """(1, 1, n, n) d_j V_j."""
    coarse: Tensor
    """(1, V, 3) unposed."""
    mid: Tensor
    """(1, V, 3) unposed."""
    posed: Tensor
    """(1, V, 3) M1 in the camera's world frame."""
    mid_image: Tensor
    """(1, 3, s, s)."""
    high_image: Tensor
    """(1, 3, s, s)."""
    mask: Tensor
    """(1, 1, s, s): the rendered silhouette."""


@dataclass(frozen=True, kw_only=True)
class CompatFit:
    """What the schedule ends with."""

    variables: Variables
    faces: tuple[ViewFace, ...]
    """Read out after the last step, without a graph."""
    outward: float
    """Times this, a displacement is + outward."""
    losses: Floats
    """(n_steps + 1,): before each step, and after the last."""
    figures: Mapping[str, float]


def start_variables(starts: Sequence[ViewStart]) -> Variables:
    """Return the means of identities and deformations, and each view's own numbers."""
    identity = torch.cat([s.coefficients.identity for s in starts]).mean(dim=0, keepdim=True)
    deformation = torch.cat([s.deformation for s in starts]).mean(dim=0, keepdim=True)
    identity, deformation = _leaf(identity), _leaf(deformation)
    own = tuple(
        Coefficients(**{name: _leaf(value) for name, value in vars(s.coefficients).items()})
        for s in starts
    )
    return Variables(
        identity=identity,
        deformation=deformation,
        own=tuple(replace(c, identity=identity) for c in own),
        displacements=tuple(_leaf(s.displacement) for s in starts),
    )


class ReleasedView:
    """One view's constants, the face drawn into it, and its terms of the loss."""

    def __init__(
        self, start: ViewStart, face: FaceTensors, *, rasterizer: Rasterizer | None = None
    ) -> None:
        self.face, self.start, self.rasterizer = face, start, rasterizer
        device, n = face.mean.device, start.displacement.shape[-1]
        self.size = n
        self.camera = HrnCamera().resized(start.crop.size)
        self.photo = torch.from_numpy(start.crop.image).permute(2, 0, 1)[None].to(device)
        self.quads = torch.from_numpy(
            released_quads(n) if start.quirks else chart_quads(face.model, n)
        ).to(device)
        on_face = torch.from_numpy(judged(face)).to(device)
        self.judged = torch.nonzero(on_face)[:, 0]
        self.judged_map = face.to_uv(on_face.float()[None, :, None], n)
        inside = 1.0 if start.quirks else face.chart_mask(n)
        self.valid = start.valid * inside
        self.valid_deformation = resized(start.valid, start.deformation.shape[-1])
        self.rows = None
        if start.mask is not None:
            self.rows = mask_rows(torch.from_numpy(start.mask).to(device))
        marks = torch.from_numpy(start.crop.landmarks).to(device, torch.float32)
        known = torch.isfinite(marks).all(dim=1)
        self.marks = torch.where(known[:, None], marks, torch.zeros_like(marks))[None]
        self.mark_weights = losses.landmark_weights(device=device) * known

    def face_of(self, own: Coefficients, deformation: Tensor, displacement: Tensor) -> ViewFace:
        """Return the view's face under the shared `deformation` and its own numbers."""
        face, quirks = self.face, self.start.quirks
        masked, relief = deformation * self.valid_deformation, displacement * self.valid
        coarse = face.shape(own.identity, own.expression)
        mid = coarse + face.at_vertices(masked, compat=quirks)
        points = posed(mid, own.angles, own.translation)
        normals = rotated(face.vertex_normals(mid), own.angles)
        texels = face.to_uv(torch.cat([points, normals], dim=2), self.size)
        smooth = texels[:, 3:]
        detailed = detail_normals(
            texels[:, :3], smooth, relief, self.quads,
            flip=RELEASED_FLIP if quirks else NO_FLIP, normalised=not quirks,
        )  # fmt: skip
        albedo = self.start.albedo
        smooth = smooth if quirks else unit(smooth, dim=1)
        # one raster for both renders and for what of them is face
        colours = [shaded_map(albedo, bent, own.gamma) for bent in (smooth, detailed)]
        drawn = draw(
            face, points, torch.cat([*colours, self.judged_map], dim=1), self.camera,
            rasterizer=self.rasterizer, compat=quirks,
        )  # fmt: skip
        mid_image, high_image, on_face = drawn.image.split([3, 3, 1], dim=1)
        return ViewFace(
            coefficients=own, deformation=masked, displacement=relief, coarse=coarse, mid=mid,
            posed=points, mid_image=mid_image, high_image=high_image,
            mask=drawn.mask * (on_face.detach() > 0.5),
        )  # fmt: skip

    def terms(self, found: ViewFace) -> dict[str, Tensor]:
        """Return the terms of the loss by name, without their weights.

        Landmarks that are unknown count as hit; without a mask there is no contour.
        """
        own = found.coefficients
        projected = self.camera.project(found.posed[0])
        scale = _LANDMARK_PX / self.camera.size
        marks = projected[self.face.landmarks][None]
        terms = {
            "photo_high": losses.photometric(found.high_image, self.photo, found.mask),
            "photo_mid": losses.photometric(found.mid_image, self.photo, found.mask),
            "landmarks": losses.landmark(marks * scale, self.marks * scale, self.mark_weights),
            "smooth": losses.total_variation(found.deformation),
            "smooth_std": losses.total_variation_std(found.deformation),
            "displacement": losses.displacement(found.displacement),
            "displacement_smooth": losses.total_variation(found.displacement),
            "displacement_smooth_std": losses.total_variation_std(found.displacement),
            "coefficients": losses.coefficients(own.identity, own.expression, own.albedo),
            "gamma": losses.gamma(own.gamma),
        }
        if self.rows is not None:
            terms["contour"] = contour_released(projected[self.judged], *self.rows)
        return terms


def judged(face: FaceTensors) -> np.ndarray:
    """Return (V,) bool: vertices whose silhouette and contour count; all of BFM's."""
    model = face.model
    return np.ones(model.n_vertices, bool) if model.name == "bfm" else photographed(model)


def weighed(terms: Mapping[str, Tensor], weights: CompatWeights) -> Tensor:
    """Return the loss of one view."""
    return torch.stack([getattr(weights, name) * term for name, term in terms.items()]).sum()


def fit_compat(
    starts: Sequence[ViewStart],
    face: FaceTensors,
    config: CompatConfig | None = None,
    *,
    rasterizer: Rasterizer | None = None,
) -> CompatFit:
    """Run the released schedule.

    Parameters
    ----------
    starts : sequence of ViewStart
        One view or more, on `face`'s device.

    Raises
    ------
    InputError
        No view, or views of different makes.
    """
    _check(starts)
    config = config or CompatConfig()
    clock, cpu = time.perf_counter(), time.process_time()
    views = [ReleasedView(start, face, rasterizer=rasterizer) for start in starts]
    variables = start_variables(starts)
    adam = torch.optim.Adam(variables.leaves(), lr=config.rate)
    history = []
    for _ in range(config.n_steps):
        adam.zero_grad()
        total = 0.0
        for view, own, relief in _each(views, variables):
            # one view's graph at a time; the shared leaves gather all gradients
            found = view.face_of(own, variables.deformation, relief)
            loss = weighed(view.terms(found), config.weights)
            loss.backward()
            total += float(loss.detach())
        adam.step()
        history.append(total)
    with torch.no_grad():
        faces = tuple(
            view.face_of(own, variables.deformation, relief)
            for view, own, relief in _each(views, variables)
        )
        terms = [view.terms(found) for view, found in zip(views, faces, strict=True)]
        history.append(float(sum(weighed(each, config.weights) for each in terms)))
    return CompatFit(
        variables=variables,
        faces=faces,
        outward=outward_sign(face) if starts[0].quirks else 1.0,
        losses=np.array(history),
        figures={
            "loss_start": history[0],
            "loss_end": history[-1],
            "schedule_s": time.perf_counter() - clock,
            "schedule_cpu_s": time.process_time() - cpu,
        },
    )


def _each(
    views: Sequence[ReleasedView], variables: Variables
) -> list[tuple[ReleasedView, Coefficients, Tensor]]:
    return list(zip(views, variables.own, variables.displacements, strict=True))


def _leaf(values: Tensor) -> Tensor:
    return values.detach().clone().requires_grad_(True)


def _check(starts: Sequence[ViewStart]) -> None:
    if not starts:
        raise InputError("no view to reconstruct a face from; give one or more")
    if len({(s.quirks, s.deformation.shape, s.displacement.shape) for s in starts}) > 1:
        raise InputError(
            "views started in different ways cannot be fitted together; start all with the "
            "networks, or all with the fit"
        )
