"""ICT-FaceKit (Light) as a `FaceModel`, from the one-file archive `ict_face_model.npz`.

The archive keeps the arrays of the ICT Face Model Light release: centimetres, +x to the
subject's left, +y up, +z out of the face, and half precision for the modes. Fluid, blend,
occlusion and lash meshes, which lie in front of the eyes, are left out.

Source
------
Li et al., Learning Formation of Physically-Based Face Attributes, CVPR 2020;
github.com/ICT-VGL/ICT-FaceKit (MIT).
"""

from pathlib import Path

import numpy as np

from ..arrays import Bools, Floats, Floats32
from ..errors import ModelFileError
from ..npzfile import Fields
from .archive import Archive, check_below, read_archive
from .chartfaces import skin_chart
from .frame import check_frame, check_triangles
from .model import FaceModel
from .regions import FaceParts, face_regions, face_weights

_CM_TO_MM = 10.0
_KEPT_PARTS = (
    "face", "head_neck", "mouth_socket", "eye_socket_left", "eye_socket_right",
    "gums_tongue", "teeth", "eyeball_left", "eyeball_right",
)  # fmt: skip

FIELDS: Fields = {
    "neutral": ("f", ("vertices", 3)),
    "tri": ("iu", ("triangles", 3)),
    "tri_uv": ("iu", ("triangles", 3)),
    "uv": ("f", ("texture vertices", 2)),
    "identity": ("f", ("identity modes", "vertices", 3)),
    "identity_names": ("US", ("identity modes",)),
    "expression": ("f", ("expression modes", "vertices", 3)),
    "expression_names": ("US", ("expression modes",)),
    "vertex_part": ("iu", ("vertices",)),
    "part_names": ("US", ("parts",)),
    "landmarks68": ("iu", (68,)),
    "jaw_right": ("iu", (8,)),
    "jaw_left": ("iu", (8,)),
    "narrow_face_nverts": ("iu", ()),
}


def load_ict(path: Path) -> FaceModel:
    """Load the ICT face model.

    Vertices keep the order of the file, less the parts left out. Landmarks 0-7 and 9-16 are
    the model's true jaw line.

    Raises
    ------
    ModelFileError
        The file is absent, no archive, truncated or not this model; the message names the
        field at fault.
    """
    data = read_archive(path, FIELDS, model="the ICT model's .npz archive")
    return ict_model(data, path)


def ict_model(data: Archive, path: Path) -> FaceModel:
    """Make the model of the arrays of `FIELDS`; `path` begins the messages.

    Raises
    ------
    ModelFileError
        Indices reach beyond their arrays, a part is absent, or unit or axes are others.
    """
    _check_ranges(data, path)
    kept = _kept_vertices(data, path)
    new_index = np.full(len(kept), -1, np.int32)
    new_index[kept] = np.arange(kept.sum(), dtype=np.int32)
    faces_kept = kept[data["tri"]].all(axis=1)
    landmarks = data["landmarks68"].astype(np.int32)
    landmarks[:8], landmarks[9:17] = data["jaw_right"], data["jaw_left"]
    if (new_index[landmarks] < 0).any():
        raise ModelFileError(f"{path}: landmarks68: lie on parts other than skin and eyes")
    neutral = data["neutral"].astype(np.float64) * _CM_TO_MM
    check_frame(neutral[landmarks], path, field="neutral", unit_mm=_CM_TO_MM)

    mean = neutral[kept]
    parts = _parts(data, mean, kept)
    weights = face_weights(mean, neutral[landmarks], parts=parts)
    regions = face_regions(weights, parts=parts)
    frontal = np.zeros(len(kept), bool)
    frontal[: int(data["narrow_face_nverts"])] = True
    regions["frontal_face"] = frontal[kept] & parts.skin
    faces = new_index[data["tri"][faces_kept]]
    check_triangles(mean, faces[parts.skin[faces].all(axis=1)], path, field="tri")
    uv, faces_uv = data["uv"].astype(np.float64), data["tri_uv"][faces_kept].astype(np.int32)
    return FaceModel(
        name="ict",
        mean=mean,
        faces=faces,
        uv=uv,
        faces_uv=faces_uv,
        identity=_modes(data, "identity", kept),
        identity_names=tuple(str(n) for n in data["identity_names"]),
        identity_sigma=np.ones(len(data["identity_names"])),
        expression=_modes(data, "expression", kept),
        expression_names=tuple(str(n) for n in data["expression_names"]),
        landmarks68=new_index[landmarks],
        regions=regions,
        weights=weights,
        unit_mm=_CM_TO_MM,
        chart_faces=skin_chart(uv, faces_uv, faces, regions["skin"]),
    )


def _check_ranges(data: Archive, path: Path) -> None:
    below = {
        "tri": len(data["neutral"]),
        "tri_uv": len(data["uv"]),
        "landmarks68": len(data["neutral"]),
        "jaw_right": len(data["neutral"]),
        "jaw_left": len(data["neutral"]),
        "vertex_part": len(data["part_names"]),
        "narrow_face_nverts": len(data["neutral"]) + 1,
    }
    for name, limit in below.items():
        check_below(path, name, data[name], limit)


def _kept_vertices(data: Archive, path: Path) -> Bools:
    names = [str(n) for n in data["part_names"]]
    absent = [n for n in _KEPT_PARTS if n not in names]
    if absent:
        raise ModelFileError(f"{path}: part_names: no part {absent[0]!r}")
    return np.isin(data["vertex_part"], [names.index(n) for n in _KEPT_PARTS])


def _parts(data: Archive, mean: Floats, kept: Bools) -> FaceParts:
    names = [str(n) for n in data["part_names"]]
    part = data["vertex_part"][kept]

    def of(*wanted: str) -> Bools:
        return np.isin(part, [names.index(n) for n in wanted])

    skin = of("face", "head_neck")
    x, y, z = np.abs(mean[:, 0]), mean[:, 1], mean[:, 2]
    beside = (x > 71.5 + 0.16 * np.abs(y - 20)) & (y > -30) & (y < 62)
    ears = skin & beside & (z < 38) & (z > -22) & (x < 110)
    return FaceParts(
        skin=skin,
        ears=ears,
        eyeballs=of("eyeball_left", "eyeball_right"),
        mouth_interior=of("mouth_socket", "gums_tongue", "teeth"),
    )


def _modes(data: Archive, name: str, kept: Bools) -> Floats32:
    return data[name][:, kept].astype(np.float32) * np.float32(_CM_TO_MM)
