"""Several photographs of one face by the released MV-HRN: one mesh each, of a shared identity."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch

from ...core.arrays import Floats, Floats32
from ...core.errors import EstimationError
from ...core.facemodel.model import FaceModel
from ...core.geometry.camera import Camera
from ...core.torchthreads import torch_threads
from ..align import MODEL_UNIT_MM, Crop, align
from ..coefficients import Coefficients
from ..facetensors import FaceTensors, as_array, face_tensors
from ..fit import fit, fit_model_of
from ..fit_detail import DetailConfig
from ..fit_mid import MidConfig
from ..fitconfig import FitConfig
from ..hrn import Hrn
from ..hrnmethod import reference5
from ..method import photograph_camera
from ..pose import HrnCamera, rotation
from .compat import CompatConfig, CompatFit, ViewFace, fit_compat
from .faceview import FaceView, FaceViews
from .viewstart import ViewStart, start_of_fit, start_of_hrn

CROP_PX, FINE_PX = 224, 512
"""Sides of the crop that losses are taken on, and of the one that textures come from."""
START = FitConfig(mid=MidConfig(n_steps=60), detail=DetailConfig(size=CROP_PX, n_steps=40))
"""The single-view fit that stands in for the networks."""


@dataclass(frozen=True, kw_only=True)
class CompatView:
    """One view's face."""

    name: str
    coefficients: Coefficients
    """Of a batch of one, on the processor; `identity` is the shared one."""
    coarse: Floats32 = field(repr=False)
    """(V, 3) mm, head frame: shared identity, own expression."""
    mid: Floats32 = field(repr=False)
    """(V, 3) mm, head frame: with the deformation, where this view shows the face."""
    posed: Floats32 = field(repr=False)
    """(V, 3) mm, as the release writes it: x to the image's right, y up, z to the camera."""
    displacement: Floats32 = field(repr=False)
    """(n, n) mm along the smooth normals of `mid`, + outward."""
    camera: Camera
    """HRN's camera of the crop as one of the whole image; its world is the head frame, mm."""
    crop: Crop = field(repr=False)
    mid_image: Floats32 = field(repr=False)
    """(s, s, 3) render of `mid` in the crop, 0 where there is no face."""
    high_image: Floats32 = field(repr=False)
    """(s, s, 3): with the displacement's normals."""
    mask: Floats32 = field(repr=False)
    """(s, s), 1 where the renders show the face."""


@dataclass(frozen=True, kw_only=True)
class CompatResult:
    """What the released algorithm makes of several views."""

    model: FaceModel = field(repr=False)
    identity: Floats32
    """(n_id,) shared."""
    deformation: Floats32 = field(repr=False)
    """(d, d, 3) mm, shared: D_c."""
    deformation_at_corners: bool
    """As `Prediction` has it: where the deformation's texels lie."""
    views: tuple[CompatView, ...]
    starts: tuple[ViewStart, ...] = field(repr=False)
    """Each view alone, as the schedule found it."""
    losses: Floats = field(repr=False)
    """(n_steps + 1,)."""
    remarks: Mapping[str, str]
    """View -> why it was left out."""
    figures: Mapping[str, float]
    """`loss_start`, `loss_end`; seconds and CPU seconds of `starts` and `schedule`."""


def compat_reconstruction(
    views: FaceViews,
    model: FaceModel,
    *,
    hrn: Hrn | None = None,
    quirks: bool = False,
    config: CompatConfig | None = None,
    start: FitConfig = START,
    device: str = "cpu",
) -> CompatResult:
    """Reconstruct a face from views as the released MV-HRN does.

    The views' cameras are not used: the algorithm finds a pose in front of HRN's camera for each.

    Parameters
    ----------
    hrn : Hrn, optional
        Networks for the single views, whose face and device then count; the fit by default.
    quirks : bool
        With networks: sampling and shading exactly as released, for released weights.
    start : FitConfig
        Of the single-view fit.
    device : str
        Of the schedule; the fit works on the processor.

    Raises
    ------
    EstimationError
        No view shows a face that could be fitted.
    """
    with torch_threads(1):  # maps are small, and figures the same on every machine
        face, starts, remarks, figures = _started(views, model, hrn, start, device, quirks=quirks)
        rasterizer = None if hrn is None else hrn.rasterizer
        found = fit_compat(starts, face, config, rasterizer=rasterizer)
    named = {view.name: view for view in views.views}
    variables = found.variables
    return CompatResult(
        model=model,
        identity=as_array(variables.identity[0]),
        deformation=as_array(variables.deformation[0].permute(1, 2, 0)) * MODEL_UNIT_MM,
        deformation_at_corners=starts[0].quirks,
        views=tuple(
            _view(named[one.name], one, its, found, face)
            for one, its in zip(starts, found.faces, strict=True)
        ),
        starts=tuple(starts),
        losses=found.losses,
        remarks={**views.remarks, **remarks},
        figures={**figures, **found.figures},
    )


def _started(
    views: FaceViews,
    model: FaceModel,
    hrn: Hrn | None,
    config: FitConfig,
    device: str,
    *,
    quirks: bool,
) -> tuple[FaceTensors, list[ViewStart], dict[str, str], dict[str, float]]:
    """Return the face model on its device, the views' starts there, remarks and figures."""
    clock, cpu = time.perf_counter(), time.process_time()
    if hrn is None:
        face = face_tensors(model)
        starts, remarks = _starts(views, _by_fit(face, config))
        face, starts = face.to(device), [one.to(device) for one in starts]
    else:
        face = hrn.face
        starts, remarks = _starts(views, _by_networks(hrn, quirks=quirks))
    figures = {
        "starts_s": time.perf_counter() - clock,
        "starts_cpu_s": time.process_time() - cpu,
    }
    return face, starts, remarks, figures


def _starts(
    views: FaceViews, start_of: Callable[[FaceView], ViewStart]
) -> tuple[list[ViewStart], dict[str, str]]:
    """Return the starts of the views that have one, and what is wrong with the others."""
    starts, remarks = [], {}
    for view in views.views:
        try:
            starts.append(start_of(view))
        except EstimationError as error:
            remarks[view.name] = f"left out: {error}"
    if not starts:
        told = "; ".join(f"{name} {why}" for name, why in remarks.items())
        raise EstimationError(f"no view shows a face that can be reconstructed: {told}")
    return starts, remarks


def _by_fit(face: FaceTensors, config: FitConfig) -> Callable[[FaceView], ViewStart]:
    laid_out, reference = fit_model_of(face), reference5(face)

    def start(view: FaceView) -> ViewStart:
        crop = align(view.image, view.landmarks, size=CROP_PX, reference5=reference)
        mask = _mask(view, crop)
        found = fit(crop, face, config, mask=mask, model=laid_out)
        return start_of_fit(view.name, crop, found, face, mask=mask)

    return start


def _by_networks(hrn: Hrn, *, quirks: bool) -> Callable[[FaceView], ViewStart]:
    reference, device = reference5(hrn.face), hrn.face.mean.device

    def start(view: FaceView) -> ViewStart:
        small, fine = (
            align(view.image, view.landmarks, size=size, reference5=reference, compat=quirks)
            for size in (hrn.camera.size, FINE_PX)
        )
        mask = _mask(view, small)
        with torch.no_grad():
            images = (
                torch.from_numpy(crop.image).permute(2, 0, 1)[None].to(device)
                for crop in (small, fine)
            )
            shown = None if mask is None else torch.from_numpy(mask)[None, None].to(device)
            marks = torch.from_numpy(small.landmarks).float()[None].to(device)
            out = hrn(*images, shown, marks, compat=quirks)
        return start_of_hrn(view.name, small, out, hrn.face, mask=mask, quirks=quirks)

    return start


def _mask(view: FaceView, crop: Crop) -> Floats32 | None:
    return None if view.mask is None else crop.cut(view.mask)[..., 0]


def _view(
    view: FaceView, start: ViewStart, its: ViewFace, found: CompatFit, face: FaceTensors
) -> CompatView:
    c, size = its.coefficients, start.crop.size
    hrn_camera = HrnCamera().resized(size)
    camera = photograph_camera(
        view.camera, start.crop,
        R=as_array(rotation(c.angles)[0]), t=as_array(c.translation[0]),
        centre_mm=as_array(face.centre_mm), focal=hrn_camera.focal,
        centre_px=(size / 2, size / 2), distance=hrn_camera.distance,
    )  # fmt: skip
    kept = {name: value.detach().cpu() for name, value in vars(c).items()}
    return CompatView(
        name=view.name,
        coefficients=Coefficients(**kept),
        coarse=as_array(face.head_mm(its.coarse)[0]),
        mid=as_array(face.head_mm(its.mid)[0]),
        posed=as_array(its.posed[0]) * MODEL_UNIT_MM,
        displacement=as_array(its.displacement[0, 0]) * (MODEL_UNIT_MM * found.outward),
        camera=camera,
        crop=start.crop,
        mid_image=as_array(its.mid_image[0].permute(1, 2, 0)),
        high_image=as_array(its.high_image[0].permute(1, 2, 0)),
        mask=as_array(its.mask[0, 0]),
    )
