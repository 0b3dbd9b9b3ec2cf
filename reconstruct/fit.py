"""Fit a face model to one photograph, without any trained weights, coarse to fine.

1. Landmarks: pose in closed form, then pose, identity and expression by Gauss-Newton.
2. Colours: the same and light and painted albedo, pixel by pixel (`fit_dense.py`): M0.
3. The deformation map: what the face model's modes tell of finer shading, its size held, and on it
   what no mode tells, by Adam through the rasteriser (`fit_mid.py`): M1.
4. The displacement map, in the chart (`fit_detail.py`).
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from ..core.arrays import AnyFloats, Bools, Floats, Floats32, Ints
from ..core.errors import InputError
from ..core.rendering.topology import topology
from ..dataset.bake.chart import chart
from ..dataset.bake.deformation import OURS, map_of_offsets
from .align import MODEL_UNIT_MM, Crop
from .coefficients import Coefficients
from .contour import signed_distance, silhouette_vertices
from .facetensors import FaceTensors
from .fit_camera import CropCamera, RigidPose
from .fit_dense import Appearance, DenseFit, fit_dense
from .fit_detail import Detail, DetailConfig, fit_detail
from .fit_landmarks import FitState, LandmarkTarget, fit_landmarks, landmark_target, start_state
from .fit_mid import ContourTarget, MidFit, fit_mid
from .fit_model import FitModel, fit_model
from .fit_visible import Visible
from .fitconfig import FitConfig

_BROWS = slice(17, 27)
_TRUSTED = 0.5  # of a mask
_RIM_PX = 2  # of the outline of what is covered
_STAGES = ("coarse_s", "mid_s", "detail_s")


@dataclass(frozen=True, kw_only=True)
class FitResult:
    """A face as fitted to one crop; shapes unposed, model frame, unit 100 mm."""

    coefficients: Coefficients
    """Of a batch of one. Its albedo is the best match of the painted one in the model's basis."""
    camera: CropCamera
    """Of the crop, at its own size."""
    R: Floats
    """(3, 3)."""
    t: Floats
    """(3,): posed = R @ point + t."""
    coarse: Tensor
    """(1, V, 3) M0: coefficients alone."""
    mid: Tensor
    """(1, V, 3) M1 = M0 + deformation."""
    deformation: Tensor
    """(1, 3, d, d)."""
    displacement: Tensor
    """(1, 1, n, n) + outward."""
    valid: Tensor
    """(1, 1, n, n) in [0, 1]."""
    albedo: Tensor
    """(1, 3, n, n) encoded RGB."""
    shaded: Tensor
    """(1, 3, n, n): albedo under the light."""
    vertex_albedo: Tensor
    """(1, V, 3): as the coefficient fit painted it."""
    figures: Mapping[str, float]
    """CPU seconds of the stages; sizes of what was found."""


def fit(
    crop: Crop,
    face: FaceTensors,
    config: FitConfig | None = None,
    *,
    focal_px: float | None = None,
    mask: AnyFloats | None = None,
    model: FitModel | None = None,
    deretoucher: nn.Module | None = None,
) -> FitResult:
    """Fit the face of a crop.

    Parameters
    ----------
    crop : Crop
        `align`ed with `face.five_points()`, 448 px or more for all of the detail.
    focal_px : float, optional
        Focal length of the photograph, px of it; HRN's camera in front of the crop by default.
    mask : (S, S) float, optional
        1 where the crop shows the face (or the whole head before a backdrop), 0 elsewhere,
        soft in between: outside nothing is believed, and its edge is where the face ends.
    model : FitModel, optional
        `fit_model_of(face)`, where many photographs are fitted.
    deretoucher : DeretouchNet, optional
        In `eval()`: what it takes for spots is albedo, not relief.

    Raises
    ------
    InputError
        Crop, mask or focal length cannot be used.
    EstimationError
        Too few landmarks.
    """
    _check(crop, focal_px, mask)
    config, model = config or FitConfig(), model or fit_model_of(face)
    camera = camera_of_crop(crop, focal_px)
    clock = [time.process_time()]
    state, look = _coarse(crop, model, camera, config, mask)
    clock.append(time.process_time())
    coarse = _tensor(model.shape(state.coefficients))[None]
    refined, look = _refined(crop, model, camera, config, mask, state, look)
    middle, deformation, gamma = _middle(crop, face, model, camera, config, mask, refined, look)
    deformation = deformation + _as_map(face, middle.coarse - coarse, config.mid.map_size)
    clock.append(time.process_time())
    shape = coarse + face.at_vertices(deformation)
    detail = _detail(crop, face, camera, middle, shape, gamma, config, mask, deretoucher)
    clock.append(time.process_time())
    return FitResult(
        coefficients=_coefficients(face, model, state, refined.pose, middle.albedo, gamma),
        camera=camera,
        R=refined.pose.R,
        t=refined.pose.t,
        coarse=coarse,
        mid=shape,
        deformation=deformation,
        displacement=detail.displacement,
        valid=detail.valid,
        albedo=detail.albedo,
        shaded=detail.shaded,
        vertex_albedo=middle.albedo,
        figures=_figures(clock, (shape - coarse)[:, middle.region], detail.displacement),
    )


def fit_model_of(face: FaceTensors) -> FitModel:
    """Lay out a face model for fits; half a second, so keep it for many photographs."""
    return fit_model(face.model, face.centre_mm.cpu().numpy().astype(np.float64))


def camera_of_crop(crop: Crop, focal_px: float | None) -> CropCamera:
    """Return the crop's camera: the photograph's where its focal length is known, else HRN's."""
    if focal_px is None:
        return CropCamera().resized(crop.size)
    centre = crop.from_image(np.array([crop.width / 2, crop.height / 2]))
    return CropCamera(
        size=crop.size,
        focal=crop.scale * focal_px,
        centre=(float(centre[0]), float(centre[1])),
    )


def _as_map(face: FaceTensors, moved: Tensor, size: int) -> Tensor:
    """Return the map (1, 3, size, size) that moves the vertices as `moved` (1, V, 3), nearly."""
    if not moved.any():
        return moved.new_zeros(1, 3, size, size)
    offsets = moved[0].numpy().astype(np.float64)
    found = map_of_offsets(chart(face.model, size), offsets, place=OURS)
    return torch.from_numpy(found).permute(2, 0, 1)[None].contiguous()


def _figures(clock: list[float], moved: Tensor, displacement: Tensor) -> dict[str, float]:
    """Return them; `moved` (1, n, 3) is how far the face's vertices went."""
    figures = dict(zip(_STAGES, np.diff(clock).tolist(), strict=True))
    figures["deformation_max_mm"] = float(moved.norm(dim=-1).max()) * MODEL_UNIT_MM
    figures["displacement_max_mm"] = float(displacement.abs().max()) * MODEL_UNIT_MM
    return figures


def _coarse(
    crop: Crop, model: FitModel, camera: CropCamera, config: FitConfig, mask: AnyFloats | None
) -> tuple[FitState, Appearance]:
    target = _landmarks(crop, camera, config)
    state = fit_landmarks(model, target, camera, start_state(model, target, camera))
    look: Appearance | None = None
    for level in config.levels:
        resized = camera.resized(level.size)
        dense = DenseFit(
            model, _resized(crop.image, level.size), resized, level=level, priors=config.priors,
            trusted=_trusted(mask, level.size),
        )  # fmt: skip
        state, look = fit_dense(dense, _landmarks(crop, resized, config), state, look)
    assert look is not None
    return state, look


def _refined(
    crop: Crop,
    model: FitModel,
    camera: CropCamera,
    config: FitConfig,
    mask: AnyFloats | None,
    state: FitState,
    look: Appearance,
) -> tuple[FitState, Appearance]:
    """Return what finer shading makes of a coarse fit: the face model's part of M1."""
    level = config.refined
    if level is None:
        return state, look
    resized = camera.resized(level.size)
    dense = DenseFit(
        model, _resized(crop.image, level.size), resized, level=level,
        priors=replace(config.priors, patch_mm2=config.refined_patch_mm2),
        trusted=_trusted(mask, level.size),
    )  # fmt: skip
    return fit_dense(dense, _landmarks(crop, resized, config), state, look)


def _middle(
    crop: Crop,
    face: FaceTensors,
    model: FitModel,
    camera: CropCamera,
    config: FitConfig,
    mask: AnyFloats | None,
    state: FitState,
    look: Appearance,
) -> tuple[MidFit, Tensor, Tensor]:
    """Return the fit, the deformation map (1, 3, d, d) on its shape, and the light."""
    size = min(config.mid.size, crop.size)
    middle = MidFit(
        face, model, _resized(crop.image, size), camera.resized(size), state, look,
        config=config.mid, landmarks=_landmarks(crop, camera.resized(size), config),
        trusted=_trusted(mask, size),
    )  # fmt: skip
    deformation, gamma = fit_mid(
        middle,
        contour=_contour(crop, mask, size),
        edge_of=None if mask is None else _Outline(middle, _resized(_f32(mask), size)),
    )
    return middle, deformation, gamma


def _landmarks(crop: Crop, camera: CropCamera, config: FitConfig) -> LandmarkTarget:
    points = np.column_stack([crop.landmarks[:, 0], crop.size - crop.landmarks[:, 1]])
    return landmark_target(
        points * (camera.size / crop.size),
        camera,
        sigma_px=config.landmark_sigma_px,
        jaw_sigma_px=config.jaw_sigma_px,
    )


def _contour(crop: Crop, mask: AnyFloats | None, size: int) -> ContourTarget | None:
    if mask is None:
        return None
    signed = signed_distance(_resized(_f32(mask), size))
    brows = crop.size - crop.landmarks[_BROWS, 1]
    known = brows[np.isfinite(brows)]
    hairline = float(known.min()) * size / crop.size if len(known) else size / 2
    return ContourTarget(signed=torch.from_numpy(signed), hairline_y=hairline)


class _Outline:
    """Finds the vertices on the outline of what the mask shows: the head, or its face alone."""

    def __init__(self, fit: MidFit, mask: Floats32) -> None:
        edges = topology(fit.face.faces)
        self.fit = fit
        self.edges: Ints = edges.edges.numpy().astype(np.int32)
        self.beside: Ints = edges.faces.numpy().astype(np.int32)
        seen = fit.seen(fit.coarse)
        area = float((mask > _TRUSTED).sum())
        # of head or face, the mask shows that whose area is nearer
        self.face_alone = area < (len(seen.rows) + seen.covered.sum()) / 2

    def __call__(self, shape: Tensor) -> Tensor:
        fit = self.fit
        seen = fit.seen(shape)
        turned = facing(seen, fit.model.faces, fit.camera)
        visible = seen.faces if self.face_alone else seen.all_faces
        if self.face_alone:
            turned[~fit.model.region[fit.model.faces].all(axis=1)] = -1.0
        vertices = silhouette_vertices(
            turned, self.edges, self.beside, np.unique(visible).astype(np.int32)
        )
        if not self.face_alone:  # a jaw before its own neck is no edge of the head
            vertices = vertices[beside_backdrop(seen.covered, fit.camera, seen.posed[vertices])]
        # ears, neck and shoulders have outlines, too, that no face should be bent for
        return torch.from_numpy(vertices[fit.model.region[vertices]].astype(np.int64))


def beside_backdrop(covered: Bools, camera: CropCamera, posed: AnyFloats) -> Bools:
    """Return (N,) whether posed points lie within `_RIM_PX` of pixels that show no head."""
    side = 2 * _RIM_PX + 1
    inner = cv2.erode(covered.astype(np.uint8), np.ones((side, side), np.uint8), borderValue=1)
    column, row = np.floor(camera.project(posed)).clip(0, camera.size - 1).astype(int).T
    return np.asarray(inner[row, column] == 0)


def facing(seen: Visible, faces: Ints, camera: CropCamera) -> Floats:
    """Return (F,) positive where a posed face turns to the camera."""
    a, b, c = (seen.posed[faces[:, i]] for i in range(3))
    eye = np.array([0.0, 0.0, camera.distance])
    return np.asarray((np.cross(b - a, c - a) * (eye - a)).sum(axis=1))


def _detail(
    crop: Crop,
    face: FaceTensors,
    camera: CropCamera,
    middle: MidFit,
    shape: Tensor,
    gamma: Tensor,
    config: FitConfig,
    mask: AnyFloats | None,
    deretoucher: nn.Module | None,
) -> Detail:
    chosen = config.detail or DetailConfig(n_steps=0)
    size = min(chosen.size, crop.size)
    picture = torch.from_numpy(_resized(crop.image, size)).permute(2, 0, 1)[None].contiguous()
    trusted = _trusted(mask, size)
    return fit_detail(
        face, shape, middle.rotation, middle.shift, camera.resized(size), picture,
        middle.albedo, gamma, config=chosen,
        trusted=None if trusted is None else torch.from_numpy(trusted)[None, None],
        region=torch.from_numpy(middle.model.region.astype(np.float32)),
        deretoucher=deretoucher,
    )  # fmt: skip


def _coefficients(
    face: FaceTensors,
    model: FitModel,
    state: FitState,
    pose: RigidPose,
    albedo: Tensor,
    gamma: Tensor,
) -> Coefficients:
    n = model.n_identity
    rows = torch.from_numpy(state.coefficients.astype(np.float32))[None]
    return Coefficients(
        identity=rows[:, :n],
        expression=rows[:, n:],
        albedo=_albedo_coefficients(face, model, albedo),
        angles=torch.from_numpy(pose.angles.astype(np.float32))[None],
        gamma=gamma,
        translation=torch.from_numpy(pose.t.astype(np.float32))[None],
    )


def _albedo_coefficients(face: FaceTensors, model: FitModel, albedo: Tensor) -> Tensor:
    """Return (1, n_alb): the coefficients nearest to a painted albedo, under N(0, 1)."""
    n = face.n_albedo
    if n == 0 or face.albedo_is_map:
        return torch.zeros(1, n)
    at = torch.from_numpy(np.flatnonzero(model.region))
    basis = face.albedo_modes[:, at].flatten(1)
    gap = (albedo[0, at] - face.albedo_mean[at]).flatten()
    noise = 0.05**2 * len(gap) / 100.0  # a hundred independent colours
    normal = basis @ basis.T + noise * torch.eye(n)
    return torch.linalg.solve(normal, basis @ gap)[None]


def _resized(image: Floats32, size: int) -> Floats32:
    if image.shape[0] == size:
        return np.ascontiguousarray(image, np.float32)
    how = cv2.INTER_AREA if size < image.shape[0] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (size, size), interpolation=how), np.float32)


def _tensor(values: Floats) -> Tensor:
    return torch.from_numpy(np.asarray(values, np.float32))


def _f32(values: AnyFloats) -> Floats32:
    return np.ascontiguousarray(values, np.float32)


def _trusted(mask: AnyFloats | None, size: int) -> Floats32 | None:
    if mask is None:
        return None
    return np.asarray(_resized(_f32(mask), size) > _TRUSTED, np.float32)


def _check(crop: Crop, focal_px: float | None, mask: AnyFloats | None) -> None:
    if not np.isfinite(crop.image).all():
        raise InputError("the crop holds numbers that are not finite; read the photograph again")
    if focal_px is not None and not 0 < focal_px < np.inf:
        raise InputError(f"a focal length of {focal_px} px; give one above zero, or none")
    if mask is not None and np.asarray(mask).shape != (crop.size, crop.size):
        raise InputError(
            f"a mask of shape {np.asarray(mask).shape} for a crop of {crop.size} x {crop.size} px"
        )
