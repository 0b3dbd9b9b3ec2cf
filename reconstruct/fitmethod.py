"""Predictions by optimisation, without any trained weights."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..core.config import to_mapping
from ..core.facemodel.model import FaceModel
from ..core.files import sha256_file
from ..core.rendering.shading import shade
from .align import MODEL_UNIT_MM, align
from .checkpoint import load_deretouch
from .facetensors import FaceTensors, as_array, face_tensors
from .fit import FitResult, fit, fit_model_of
from .fitconfig import FitConfig
from .method import Shape, photograph_camera, prediction_of, remarks_on_turn
from .photograph import Face, Photograph
from .prediction import Prediction

_CROP_PX = 512


class FitMethod:
    """The fit of one face at a time, on the processor.

    Parameters
    ----------
    texture_size : int
        Texels a side of the photograph's texture.
    deretouch : Path, optional
        Weights of the network that tells moles and freckles from relief.

    Raises
    ------
    ModelFileError
        The weights cannot be read.
    """

    name = "fit"

    def __init__(
        self,
        model: FaceModel,
        *,
        config: FitConfig | None = None,
        texture_size: int = 1024,
        deretouch: Path | None = None,
    ) -> None:
        self.config = FitConfig() if config is None else config
        self._face = face_tensors(model)
        self._laid_out = fit_model_of(self._face)
        self._model, self._texture_size = model, texture_size
        self._deretoucher = None if deretouch is None else load_deretouch(deretouch).network
        self._files = {} if deretouch is None else {"deretouch": sha256_file(deretouch)}

    @property
    def model(self) -> FaceModel:
        """The face model."""
        return self._model

    @property
    def record(self) -> Mapping[str, Any]:
        """What determines the result beside photograph and landmarks."""
        return {
            "method": self.name, "texture": self._texture_size, "settings": to_mapping(self.config),
            **self._files,
        }  # fmt: skip

    def __call__(self, photograph: Photograph, face: Face) -> Prediction:
        """Reconstruct a face.

        Raises
        ------
        EstimationError
            A profile, or too few landmarks.
        """
        remarks = remarks_on_turn(photograph, face, self._model)
        crop = align(
            photograph.pixels, face.landmarks, size=_CROP_PX, reference5=self._face.five_points()
        )
        mask = None if photograph.mask is None else crop.cut(photograph.mask)[..., 0]
        found = fit(
            crop, self._face, self.config, focal_px=photograph.focal_px, mask=mask,
            model=self._laid_out, deretoucher=self._deretoucher,
        )  # fmt: skip
        camera = photograph_camera(
            photograph, crop, R=found.R, t=found.t,
            centre_mm=as_array(self._face.centre_mm), focal=found.camera.focal,
            centre_px=found.camera.centre, distance=found.camera.distance,
        )  # fmt: skip
        return prediction_of(
            shape_of(found, self._face), self._model, photograph, face, camera,
            method=self.name, texture_size=self._texture_size, remarks=remarks,
            figures=found.figures,
        )  # fmt: skip


def shape_of(found: FitResult, face: FaceTensors) -> Shape:
    """Return the arrays of a fit."""
    size = found.albedo.shape[-1]
    R = torch.from_numpy(found.R.astype(np.float32))
    normals = face.to_uv(face.vertex_normals(found.mid) @ R.T, size).permute(0, 2, 3, 1)
    painted = face.to_uv(found.vertex_albedo, size).permute(0, 2, 3, 1)
    lit = shade(painted, normals, found.coefficients.gamma)
    return Shape(
        coarse=as_array(face.head_mm(found.coarse)[0]),
        mid=as_array(face.head_mm(found.mid)[0]),
        deformation=as_array(found.deformation[0].permute(1, 2, 0)) * MODEL_UNIT_MM,
        displacement=as_array(found.displacement[0, 0]) * MODEL_UNIT_MM,
        valid=as_array(found.valid[0, 0]),
        albedo=as_array(found.albedo[0].permute(1, 2, 0)),
        shaded=as_array(found.shaded[0].permute(1, 2, 0)),
        unseen_albedo=as_array(painted[0]),
        unseen_shaded=as_array(lit[0]),
        identity=as_array(found.coefficients.identity[0]),
        expression=as_array(found.coefficients.expression[0]),
        light=as_array(found.coefficients.gamma[0]),
    )
