"""`Prediction`: a face as one photograph shows it, in the frames of `surfaces.py`.

One photograph does not tell how far away a face is, so that its scale is the face model's.
"""

from dataclasses import dataclass, field

import numpy as np

from ..core.arrays import AnyFloats, Bools, Floats, Floats32
from ..core.facemodel.model import FaceModel
from ..core.geometry.camera import Camera
from ..dataset.bake.chart import chart, covered_faces
from ..dataset.bake.curved import sagitta
from ..dataset.bake.normals import detailed_normals, tangent_frames, tangent_from_object
from .surfaces import FaceSurfaces


@dataclass(frozen=True, kw_only=True)
class Prediction(FaceSurfaces):
    """A face as one photograph shows it.

    Raises
    ------
    InputError
        An array has another shape than the face model and its other arrays need.
    """

    photograph: str
    """File name."""
    photograph_sha256: str
    method: str
    """`fit` or `hrn`, and what made it different."""
    camera: Camera
    """Of the photograph turned upright; its world is the head frame."""
    landmarks: Floats = field(repr=False)
    """(68, 2) px of the upright photograph; NaN where unknown."""
    light: Floats = field(repr=False)
    """(3, 9) spherical harmonics of R, G, B, of encoded colours; ambient 0.8 not yet added."""
    remarks: tuple[str, ...] = ()
    """What is odd, a sentence each."""

    def __post_init__(self) -> None:
        super().__post_init__()
        own = {"landmarks": (68, 2), "light": (3, 9)}
        self.check_shapes(own, unknown=frozenset({"landmarks"}))

    @property
    def title(self) -> str:
        """What messages call it."""
        return f"prediction of {self.photograph}"


def surface_normals_of(
    model: FaceModel, mid: AnyFloats, displacement: Floats32
) -> tuple[Floats32, Floats32]:
    """Return the normals (n, n, 3) of mid + displacement: in the head frame, in tangent space."""
    texels = chart(model, len(displacement))
    vertices = np.asarray(mid, np.float64)
    normal = detailed_normals(texels, vertices, displacement + sagitta(texels, vertices))
    return normal, tangent_from_object(texels, tangent_frames(model, vertices), normal)


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
