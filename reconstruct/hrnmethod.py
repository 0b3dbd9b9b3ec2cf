"""Predictions by HRN's trained networks."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ..core.arrays import Floats, Floats32
from ..core.assets import find_asset, load_asset
from ..core.facemodel.bfmalbedo import AlbedoMaps, albedo_maps_beside
from ..core.facemodel.load import KINDS
from ..core.facemodel.model import FaceModel
from ..core.files import sha256_file
from ..core.geometry.camera import Camera
from ..core.rendering.shading import shade
from .align import HRN_REFERENCE5, Crop, align
from .checkpoint import load_deretouch, load_hrn
from .facetensors import FaceTensors, as_array, face_tensors
from .hrn import Hrn, HrnOutput
from .method import Shape, photograph_camera, prediction_of, remarks_on_turn
from .photograph import Face, Photograph
from .pose import rotation
from .prediction import Prediction
from .textureoffset import fit_texture_offset, swollen

_FINE_PX = 512  # side of the crop that textures come from


class HrnMethod:
    """HRN's networks on one face at a time.

    Parameters
    ----------
    model : FaceModel
    source : str
        What `model` was loaded by: its albedo maps lie beside it.
    checkpoint, deretouch : Path, optional
        The registered ones by default; without any of the second, or where it is `none`, spots
        stay in the shape.
    remarks : sequence of str
        What is to be told of every result.

    Raises
    ------
    InputError
        No weights are given, and none are registered.
    ModelFileError
        They are damaged, or made for another face model.
    """

    name = "hrn"

    def __init__(
        self,
        model: FaceModel,
        *,
        source: str = "",
        checkpoint: Path | None = None,
        deretouch: Path | Literal["none"] | None = None,
        device: str = "cpu",
        compat: bool = False,
        texture_size: int = 1024,
        remarks: Sequence[str] = (),
    ) -> None:
        maps = _albedo_maps(model, source)
        face = face_tensors(model, albedo_maps=maps, device=device)
        loaded = load_hrn(checkpoint, model, n_albedo=face.n_albedo, device=device)
        files = {"checkpoint": sha256_file(loaded.info.path)}
        network = None
        wanted = find_asset("deretouch") if deretouch is None else deretouch
        if isinstance(wanted, Path):
            retouch = load_deretouch(wanted, device=device)
            network = retouch.network
            files["deretouch"] = sha256_file(retouch.info.path)
        self.hrn = Hrn.of(face, loaded.networks, network).eval()
        self._model, self._device, self._compat = model, device, compat
        self._texture_size, self._notes = texture_size, (*loaded.notes, *remarks)
        self._record = {"method": self.name, "compat": compat, "texture": texture_size, **files}

    @property
    def model(self) -> FaceModel:
        """The face model."""
        return self._model

    @property
    def record(self) -> Mapping[str, Any]:
        """What determines the result beside photograph and landmarks."""
        return self._record

    def __call__(self, photograph: Photograph, face: Face) -> Prediction:
        """Reconstruct a face."""
        remarks = (*self._notes, *remarks_on_turn(photograph, face, self._model))
        if photograph.focal_source == "given":
            remarks = (*remarks, "the networks know one focal length alone; yours was not used")
        reference = reference5(self.hrn.face)
        crops = [
            align(photograph.pixels, face.landmarks, size=size, reference5=reference,
                  compat=self._compat)
            for size in (self.hrn.camera.size, _FINE_PX)
        ]  # fmt: skip
        mask = None if photograph.mask is None else crops[0].cut(photograph.mask)
        out = forward(
            self.hrn, *(crop.image for crop in crops), mask=mask, landmarks=crops[0].landmarks,
            compat=self._compat,
        )  # fmt: skip
        camera = camera_of(out, self.hrn, photograph, crops[0])
        shape = shape_of(out, self.hrn.face)
        if self._compat:
            shape = replace(shape, shaded=self._with_offset(out, shape, crops[0]))
        return prediction_of(
            shape, self._model, photograph, face, camera,
            method=self.name + (" compat" if self._compat else ""),
            texture_size=self._texture_size, remarks=remarks, compat=self._compat,
        )  # fmt: skip

    def _with_offset(self, out: HrnOutput, shape: Shape, crop: Crop) -> Floats32:
        """Return the shaded map as released: with what it lacks of the photograph."""
        shaded = _tensor(np.asarray(shape.shaded, np.float32), self._device)
        offset = fit_texture_offset(
            self.hrn.face, out.posed_mid.clone(), shaded,
            _tensor(swollen(crop.image, crop.landmarks), self._device), self.hrn.camera,
            rasterizer=self.hrn.rasterizer, compat=True,
        )  # fmt: skip
        return np.asarray(as_array((shaded + offset)[0].permute(1, 2, 0)).clip(0, 1), np.float32)


def forward(
    hrn: Hrn,
    crop: Floats32,
    fine: Floats32,
    *,
    mask: Floats32 | None = None,
    landmarks: Floats | None = None,
    compat: bool = False,
) -> HrnOutput:
    """Let the networks look at one face.

    Parameters
    ----------
    crop, fine : (S, S, 3) RGB in [0, 1]
        The same crop as the coefficient network sees it, and as textures are taken from it.
    mask : (S, S, 1), optional
        1 where `crop` shows the face.
    landmarks : (68, 2), optional
        Px of `crop`, y up; NaN unknown.
    """
    device = hrn.face.mean.device
    given = None if mask is None else _tensor(mask, device)
    marks = None if landmarks is None else torch.from_numpy(landmarks).float()[None].to(device)
    with torch.inference_mode():
        return hrn(_tensor(crop, device), _tensor(fine, device), given, marks, compat=compat)


def reference5(face: FaceTensors) -> Floats:
    """Return the points (5, 3) that crops are aligned by: HRN's own for its own face model."""
    return HRN_REFERENCE5 if face.model.name == "bfm" else face.five_points()


def camera_of(out: HrnOutput, hrn: Hrn, photograph: Photograph, crop: Crop) -> Camera:
    """Return the photograph's camera of the first face of a forward pass."""
    found, camera = out.coefficients, hrn.camera
    return photograph_camera(
        photograph, crop,
        R=as_array(rotation(found.angles)[0]), t=as_array(found.translation[0]),
        centre_mm=as_array(hrn.face.centre_mm),
        focal=camera.focal, centre_px=(camera.size / 2, camera.size / 2),
        distance=camera.distance,
    )  # fmt: skip


def shape_of(out: HrnOutput, face: FaceTensors) -> Shape:
    """Return the arrays of the first face of a forward pass."""
    found = out.coefficients
    albedo = out.albedo[:1].permute(0, 2, 3, 1)
    shaded = shade(albedo, out.detail_normals[:1].permute(0, 2, 3, 1), found.gamma[:1])
    return Shape(
        coarse=as_array(face.head_mm(out.coarse)[0]),
        mid=as_array(face.head_mm(out.mid)[0]),
        deformation=as_array(out.deformation_mm()[0]),
        displacement=as_array(out.displacement_mm()[0]),
        valid=as_array(out.valid[0, 0]),
        albedo=as_array(albedo[0]),
        shaded=as_array(shaded[0]),
        identity=as_array(found.identity[0]),
        expression=as_array(found.expression[0]),
        light=as_array(found.gamma[0]),
    )


def _tensor(image: Floats32, device: torch.device | str) -> Tensor:
    return torch.from_numpy(image).permute(2, 0, 1)[None].to(device)


def _albedo_maps(model: FaceModel, source: str) -> AlbedoMaps | None:
    """Return BFM's albedo maps where they lie beside the model's file."""
    if model.name != "bfm":
        return None
    if source in KINDS:
        asset = load_asset(source)
        return None if asset is None else albedo_maps_beside(asset.path)
    return albedo_maps_beside(Path(source)) if source else None
