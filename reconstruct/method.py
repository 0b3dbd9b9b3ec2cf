"""What makes a prediction of a face in a photograph: trained networks, or a fit without any."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ..core.arrays import AnyFloats, Bytes, Floats32
from ..core.errors import EstimationError
from ..core.facemodel.model import FaceModel
from ..core.geometry.camera import Camera
from .align import MODEL_UNIT_MM, Crop
from .fit_camera import CropCamera, pose_of_landmarks
from .photograph import Face, Photograph, close_up
from .phototexture import photo_share, photo_texture
from .prediction import Prediction, surface_normals_of

_PROFILE_DEG = 75.0  # beyond, one eye's corners and half of the mouth are guesses
_TURNED_DEG = 45.0
_BEHIND_DEG = 120.0  # no face is seen from there: its landmarks are mirrored
_RIGID = slice(17, 60)  # no jaw, which may lie on a hidden outline, no inner lips
_FLIP_YZ = np.diag([1.0, -1.0, -1.0])  # HRN's camera looks along -z with y up; ours not


class Sized(Protocol):
    """What has a size in pixels: a photograph, or its camera."""

    @property
    def width(self) -> int:
        """Pixels across."""
        ...

    @property
    def height(self) -> int:
        """Pixels down."""
        ...


class Method(Protocol):
    """Makes predictions."""

    @property
    def model(self) -> FaceModel:
        """The face model."""
        ...

    @property
    def record(self) -> Mapping[str, Any]:
        """What determines the result beside photograph and landmarks, JSON-able."""
        ...

    def __call__(self, photograph: Photograph, face: Face) -> Prediction:
        """Reconstruct a face."""
        ...


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What every method finds, in arrays."""

    coarse: AnyFloats
    """(V, 3) mm, head frame."""
    mid: AnyFloats
    """(V, 3) mm."""
    deformation: AnyFloats
    """(d, d, 3) mm."""
    displacement: AnyFloats
    """(n, n) mm, + outward."""
    valid: AnyFloats
    """(n, n) in [0, 1]."""
    albedo: AnyFloats
    """(a, a, 3), encoded."""
    shaded: AnyFloats
    """(s, s, 3), encoded: albedo under the light."""
    identity: AnyFloats
    expression: AnyFloats
    light: AnyFloats
    """(3, 9)."""
    unseen_albedo: AnyFloats | None = None
    """(a, a, 3): what stands where the photograph shows nothing for sure; None: `albedo`."""
    unseen_shaded: AnyFloats | None = None
    """(s, s, 3), likewise."""


def prediction_of(
    shape: Shape,
    model: FaceModel,
    photograph: Photograph,
    face: Face,
    camera: Camera,
    *,
    method: str,
    texture_size: int,
    remarks: tuple[str, ...] = (),
    figures: Mapping[str, float] | None = None,
    compat: bool = False,
) -> Prediction:
    """Complete what a method found: normals, the photograph's texture, remarks."""
    displacement = _float32(shape.displacement)
    normal, tangent_normal = surface_normals_of(model, shape.mid, displacement)
    view = close_up(photograph, face)
    height, width = view.pixels.shape[:2]
    close = Camera(
        name="close-up", width=width, height=height,
        K=view.K_of(camera.K), cam_from_world=camera.cam_from_world,
    )  # fmt: skip
    mid = np.asarray(shape.mid, np.float64)
    albedo, shaded = _completed(shape, model, close, view.mask)
    texture = photo_texture(
        model, mid, close, view.pixels, shaded, size=texture_size, mask=view.mask
    )
    return Prediction(
        model=model,
        photograph=photograph.name,
        photograph_sha256=photograph.sha256,
        method=method,
        camera=camera,
        landmarks=face.landmarks,
        identity=np.asarray(shape.identity, np.float64),
        expression=np.asarray(shape.expression, np.float64),
        light=np.asarray(shape.light, np.float64),
        coarse=_float32(shape.coarse),
        mid=_float32(shape.mid),
        deformation=_float32(shape.deformation),
        deformation_at_corners=compat,
        displacement=displacement,
        valid=_float32(shape.valid),
        normal=normal,
        tangent_normal=tangent_normal,
        albedo=albedo,
        texture=texture.color,
        texture_valid=texture.share,
        remarks=(*face.remarks, *remarks),
        figures=figures or {},
    )


def _completed(
    shape: Shape, model: FaceModel, camera: Camera, mask: Bytes | None
) -> tuple[Floats32, Floats32]:
    """Return albedo and shaded albedo in [0, 1]; where nothing is seen, what is told of there."""
    mid, pairs = np.asarray(shape.mid, np.float64), []
    shares: dict[int, Floats32] = {}  # both maps have one size as a rule
    for seen, unseen in (
        (shape.albedo, shape.unseen_albedo),
        (shape.shaded, shape.unseen_shaded),
    ):
        mixed = _float32(seen)
        if unseen is not None:
            size = len(seen)
            if size not in shares:
                shares[size] = photo_share(model, mid, camera, size=size, mask=mask)[..., None]
            mixed = _float32(unseen + shares[size] * (mixed - unseen))
        pairs.append(np.clip(mixed, 0, 1))
    return pairs[0], pairs[1]


def photograph_camera(
    photograph: Sized,
    crop: Crop,
    *,
    R: AnyFloats,
    t: AnyFloats,
    centre_mm: AnyFloats,
    focal: float,
    centre_px: tuple[float, float],
    distance: float,
) -> Camera:
    """Return the camera of the whole photograph, of HRN's camera of a crop.

    Parameters
    ----------
    R : (3, 3)
    t : (3,) model units
        posed = R @ (head mm - centre_mm) / 100 + t: x right, y up, z towards the camera.
    focal, centre_px : float, (x, y)
        px of the crop, y down.
    distance : float
        Of the camera from the origin, model units.
    """
    turned = _FLIP_YZ @ np.asarray(R, np.float64)
    moved = _FLIP_YZ @ np.asarray(t, np.float64) + np.array([0.0, 0.0, distance])
    offset = MODEL_UNIT_MM * moved - turned @ np.asarray(centre_mm, np.float64)
    x, y = crop.to_image(np.array(centre_px))
    f = focal / crop.scale
    return Camera(
        name="photograph",
        width=photograph.width,
        height=photograph.height,
        K=np.array([[f, 0.0, x], [0.0, f, y], [0.0, 0.0, 1.0]]),
        cam_from_world=np.column_stack([turned, offset]),
    )


def turn_of(face: Face, model: FaceModel) -> float:
    """Return by how many degrees a face looks away from the camera, from its landmarks alone."""
    seen = face.landmarks[_RIGID]
    known = np.isfinite(seen).all(axis=1)
    mean = model.mean[model.landmarks68[_RIGID]][known] / MODEL_UNIT_MM
    R = pose_of_landmarks(mean, seen[known], CropCamera()).R
    return float(np.degrees(np.arccos(np.clip(R[2, 2], -1, 1))))


def remarks_on_turn(photograph: Photograph, face: Face, model: FaceModel) -> tuple[str, ...]:
    """Tell that a face is turned.

    Raises
    ------
    EstimationError
        A profile: what decides shape and scale is not seen; or landmarks mirrored.
    """
    turn = turn_of(face, model)
    if turn > _BEHIND_DEG:
        raise EstimationError(
            f"{photograph.path}: its landmarks are mirrored; are the subject's left and right "
            "exchanged, or is y measured upwards?"
        )
    if turn > _PROFILE_DEG:
        raise EstimationError(
            f"{photograph.path}: a profile, turned by {turn:.0f} degrees; one half of the face is "
            f"not seen: give a photograph within {_PROFILE_DEG:.0f} degrees of the front"
        )
    if turn > _TURNED_DEG:
        return (f"turned by {turn:.0f} degrees: the far side of the face is the model's guess",)
    return ()


def _float32(values: AnyFloats) -> Floats32:
    return np.ascontiguousarray(values, dtype=np.float32)
