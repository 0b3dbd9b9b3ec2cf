"""`Prediction`: a face as one photograph shows it.

Three surfaces of one head: coarse (M0, the morphable fit), mid (M1, M0 + deformation) and
detailed (M1 + displacement along its smooth normals). Vertices are millimetres in the head
frame, unposed: +x to the subject's left, +y up, +z out of the face. Row 0 of every map is
v = 1; the texel (row r, column c) of n x n has its centre at u = (c + 0.5) / n,
v = 1 - (r + 0.5) / n.

One photograph does not tell how far away a face is, so that its scale is the face model's.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from ..core.arrays import AnyFloats, Bools, Bytes, Floats, Floats32
from ..core.errors import InputError
from ..core.facemodel.model import FaceModel
from ..core.geometry.camera import Camera
from ..core.geometry.mesh import Mesh
from ..dataset.bake.chart import chart, covered_faces
from ..dataset.bake.curved import sagitta
from ..dataset.bake.normals import detailed_normals, tangent_frames, tangent_from_object
from .detailedsurface import detailed_surface


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """A face as one photograph shows it.

    Raises
    ------
    InputError
        An array has another shape than the face model and its other arrays need.
    """

    model: FaceModel = field(repr=False)
    photograph: str
    """File name."""
    photograph_sha256: str
    method: str
    """`fit` or `hrn`, and what made it different."""
    camera: Camera
    """Of the photograph turned upright; its world is the head frame."""
    landmarks: Floats = field(repr=False)
    """(68, 2) px of the upright photograph; NaN where unknown."""
    identity: Floats = field(repr=False)
    """(n_id,) in units of sigma."""
    expression: Floats = field(repr=False)
    """(n_exp,)."""
    light: Floats = field(repr=False)
    """(3, 9) spherical harmonics of R, G, B, of encoded colours; ambient 0.8 not yet added."""
    coarse: Floats32 = field(repr=False)
    """(V, 3) mm."""
    mid: Floats32 = field(repr=False)
    """(V, 3) mm."""
    deformation: Floats32 = field(repr=False)
    """(d, d, 3) mm, head frame: what sampling made `mid` of `coarse`."""
    deformation_at_corners: bool = False
    """True: as the released HRN samples it, texel (r, c) lies at u = c / d, v = 1 - r / d."""
    displacement: Floats32 = field(repr=False)
    """(n, n) mm along the smooth vertex normals of `mid`, + outward; 0 outside the chart."""
    valid: Floats32 = field(repr=False)
    """(n, n) in [0, 1]: how far a texel of `displacement` rests on the photograph."""
    normal: Floats32 = field(repr=False)
    """(n, n, 3) unit, head frame, of the detailed surface; 0 outside the chart."""
    tangent_normal: Floats32 = field(repr=False)
    """(n, n, 3) unit, tangent space of `mid`: x along +u, y along +v, z outward."""
    albedo: Floats32 = field(repr=False)
    """(a, a, 3) in [0, 1], encoded as photographs are (sRGB): colour without light."""
    texture: Bytes = field(repr=False)
    """(t, t, 3) sRGB: the photograph in the chart, with its light; completed by albedo and light
    where it does not show the face."""
    texture_valid: Floats32 = field(repr=False)
    """(t, t) in [0, 1]: how much of a texel is photograph."""
    remarks: tuple[str, ...] = ()
    """What is odd, a sentence each."""
    figures: Mapping[str, float] = field(default_factory=dict)
    """What the method tells of itself: losses, seconds."""

    def __post_init__(self) -> None:
        check_prediction(self)
        object.__setattr__(self, "figures", MappingProxyType(dict(self.figures)))

    def mesh(self, level: str) -> Mesh:
        """Return the `coarse` or `mid` mesh, head frame, with the model's UVs."""
        vertices = {"coarse": self.coarse, "mid": self.mid}[level]
        return Mesh(
            vertices=vertices.astype(np.float64),
            faces=self.model.faces,
            uv=self.model.uv,
            faces_uv=self.model.faces_uv,
        )

    def detailed_mesh(self, *, n_levels: int | None = None) -> Mesh:
        """Return the detailed surface, head frame, with UVs; see `detailedsurface.py`.

        Parameters
        ----------
        n_levels : int, optional
            How often the model's triangles are cut into four; by default until they are as
            small as texels of the displacement.
        """
        return detailed_surface(self.model, self.mid, self.displacement, n_levels=n_levels)


def surface_normals_of(
    model: FaceModel, mid: AnyFloats, displacement: Floats32
) -> tuple[Floats32, Floats32]:
    """Return the normals (n, n, 3) of mid + displacement: in the head frame, in tangent space."""
    texels = chart(model, len(displacement))
    vertices = np.asarray(mid, np.float64)
    normal = detailed_normals(texels, vertices, displacement + sagitta(texels, vertices))
    return normal, tangent_from_object(texels, tangent_frames(model, vertices), normal)


def check_prediction(prediction: Prediction) -> None:
    """Compare the arrays' shapes with the model's and each other's.

    Raises
    ------
    InputError
        One does not fit, or vertices or maps are not finite.
    """
    model = prediction.model
    d, n = len(prediction.deformation), len(prediction.displacement)
    a, t, v = len(prediction.albedo), len(prediction.texture), model.n_vertices
    expected: dict[str, tuple[int, ...]] = {
        "landmarks": (68, 2),
        "identity": (model.n_identity,),
        "expression": (model.n_expression,),
        "light": (3, 9),
        "coarse": (v, 3),
        "mid": (v, 3),
        "deformation": (d, d, 3),
        "displacement": (n, n),
        "valid": (n, n),
        "normal": (n, n, 3),
        "tangent_normal": (n, n, 3),
        "albedo": (a, a, 3),
        "texture": (t, t, 3),
        "texture_valid": (t, t),
    }
    for name, shape in expected.items():
        array: np.ndarray[Any, Any] = getattr(prediction, name)
        if array.shape != shape:
            raise InputError(
                f"prediction of {prediction.photograph}: {name}: shape {array.shape}, but "
                f"{shape} belongs to {model.name} and the other arrays"
            )
        if name != "landmarks" and not np.isfinite(array).all():
            raise InputError(
                f"prediction of {prediction.photograph}: {name}: holds NaN or infinite numbers"
            )


def off_chart(model: FaceModel) -> Bools:
    """Return (F,) the faces that no map covers: eyes, teeth, other tiles of the chart."""
    outside = np.ones(len(model.faces), bool)
    outside[covered_faces(model)] = False
    return outside


def face_weight(model: FaceModel) -> Floats32:
    """Return (V,) in [0, 1] how far each vertex belongs to the face; 1 where nothing is known."""
    if "face" in model.weights:
        return model.weights["face"].astype(np.float32)
    if "face" in model.regions:
        return model.regions["face"].astype(np.float32)
    return np.ones(model.n_vertices, np.float32)


def face_and_eyes(model: FaceModel) -> Floats32:
    """Return the weight of the face, with the eyes in it."""
    weight = face_weight(model)
    eyes = model.regions.get("eyes")
    return weight if eyes is None else np.maximum(weight, eyes.astype(np.float32))
