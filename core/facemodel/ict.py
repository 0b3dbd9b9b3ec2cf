"""ICT-FaceKit (Light) as a `FaceModel`, from the one-file archive `ict_face_model.npz`.

The archive keeps the arrays of the ICT Face Model Light release: centimetres, +x to the
subject's left, +y up, +z out of the face, and half precision for the modes. Fluid, blend,
occlusion and lash meshes, which lie in front of the eyes, are left out.

Source
------
Li et al., Learning Formation of Physically-Based Face Attributes, CVPR 2020;
github.com/ICT-VGL/ICT-FaceKit (MIT).
"""

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Bools, Floats, Floats32
from ..errors import ModelFileError
from .model import FaceModel
from .regions import FaceParts, face_regions, face_weights

_CM_TO_MM = 10.0
_KEPT_PARTS = (
    "face", "head_neck", "mouth_socket", "eye_socket_left", "eye_socket_right",
    "gums_tongue", "teeth", "eyeball_left", "eyeball_right",
)  # fmt: skip
_OUTER_CORNERS_MM = (80.0, 100.0)  # the neutral's 89 mm, with room for other releases

_Archive = dict[str, NDArray[Any]]

# field: (kind of dtype, shape), a string naming the length that must be the same throughout
_FIELDS: dict[str, tuple[str, tuple[int | str, ...]]] = {
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
    data = _read(path)
    kept = _kept_vertices(data, path)
    new_index = np.full(len(kept), -1, np.int32)
    new_index[kept] = np.arange(kept.sum(), dtype=np.int32)
    faces_kept = kept[data["tri"]].all(axis=1)
    landmarks = data["landmarks68"].astype(np.int32)
    landmarks[:8], landmarks[9:17] = data["jaw_right"], data["jaw_left"]
    if (new_index[landmarks] < 0).any():
        raise ModelFileError(f"{path}: landmarks68: lie on parts other than skin and eyes")
    neutral = data["neutral"].astype(np.float64) * _CM_TO_MM
    _check_frame(neutral[landmarks], path)

    mean = neutral[kept]
    parts = _parts(data, mean, kept)
    weights = face_weights(mean, neutral[landmarks], parts=parts)
    regions = face_regions(weights, parts=parts)
    frontal = np.zeros(len(kept), bool)
    frontal[: int(data["narrow_face_nverts"])] = True
    regions["frontal_face"] = frontal[kept] & parts.skin
    return FaceModel(
        name="ict",
        mean=mean,
        faces=new_index[data["tri"][faces_kept]],
        uv=data["uv"].astype(np.float64),
        faces_uv=data["tri_uv"][faces_kept].astype(np.int32),
        identity=_modes(data, "identity", kept),
        identity_names=tuple(str(n) for n in data["identity_names"]),
        identity_sigma=np.ones(len(data["identity_names"])),
        expression=_modes(data, "expression", kept),
        expression_names=tuple(str(n) for n in data["expression_names"]),
        landmarks68=new_index[landmarks],
        regions=regions,
        weights=weights,
    )


def _read(path: Path) -> _Archive:
    """Read every field of `_FIELDS` and check kind, shape and range."""
    if not path.is_file():
        raise ModelFileError(f"{path}: no such file; give the path of ict_face_model.npz")
    with path.open("rb") as stream:
        try:
            archive = np.load(stream, allow_pickle=False)
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise ModelFileError(
                f"{path}: not a complete .npz archive ({error}); fetch it again"
            ) from error
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise ModelFileError(f"{path}: a single array, not the ICT model's .npz archive")
        with archive:
            data = _fields(archive, path)
    _check_ranges(data, path)
    return data


def _fields(archive: np.lib.npyio.NpzFile, path: Path) -> _Archive:
    data: _Archive = {}
    lengths: dict[str, tuple[int, str]] = {}
    for name, (kind, shape) in _FIELDS.items():
        if name not in archive.files:
            raise ModelFileError(f"{path}: {name}: absent; is this ict_face_model.npz?")
        try:
            values = archive[name]
        except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise ModelFileError(
                f"{path}: {name}: damaged ({error}); fetch the file again"
            ) from error
        _check_field(path, name, values, kind, shape, lengths)
        data[name] = values
    return data


def _check_field(
    path: Path,
    name: str,
    values: NDArray[Any],
    kind: str,
    shape: tuple[int | str, ...],
    lengths: dict[str, tuple[int, str]],
) -> None:
    if values.dtype.kind not in kind:
        raise ModelFileError(f"{path}: {name}: numbers of type {values.dtype} are not expected")
    if values.ndim != len(shape):
        raise ModelFileError(f"{path}: {name}: shape {values.shape}, expected {shape}")
    for found, expected in zip(values.shape, shape, strict=True):
        if isinstance(expected, str):
            length, where = lengths.setdefault(expected, (found, name))
        else:
            length, where = expected, "the model"
        if found != length:
            raise ModelFileError(
                f"{path}: {name}: shape {values.shape}, but {where} has {length} {expected}"
            )
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ModelFileError(f"{path}: {name}: holds NaN or infinite numbers")


def _check_ranges(data: _Archive, path: Path) -> None:
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
        values = data[name]
        if values.size and (int(values.min()) < 0 or int(values.max()) >= limit):
            raise ModelFileError(
                f"{path}: {name}: numbers {values.min()} to {values.max()} "
                f"reach beyond 0 to {limit - 1}"
            )


def _check_frame(landmarks: Floats, path: Path) -> None:
    """Refuse a neutral in another unit or other axes."""
    width = float(np.linalg.norm(landmarks[45] - landmarks[36]))
    if not _OUTER_CORNERS_MM[0] < width < _OUTER_CORNERS_MM[1]:
        raise ModelFileError(
            f"{path}: neutral: outer eye corners {width / _CM_TO_MM:.3g} units apart, "
            "but in centimetres a face has about 9"
        )
    eyes, mouth = landmarks[36:48].mean(0), landmarks[48:68].mean(0)
    if not (landmarks[45, 0] > landmarks[36, 0] and eyes[1] > mouth[1]
            and landmarks[30, 2] > eyes[2]):  # fmt: skip
        raise ModelFileError(
            f"{path}: neutral: its axes are not +x to the subject's left, +y up, +z out of the face"
        )


def _kept_vertices(data: _Archive, path: Path) -> Bools:
    names = [str(n) for n in data["part_names"]]
    absent = [n for n in _KEPT_PARTS if n not in names]
    if absent:
        raise ModelFileError(f"{path}: part_names: no part {absent[0]!r}")
    return np.isin(data["vertex_part"], [names.index(n) for n in _KEPT_PARTS])


def _parts(data: _Archive, mean: Floats, kept: Bools) -> FaceParts:
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


def _modes(data: _Archive, name: str, kept: Bools) -> Floats32:
    return data[name][:, kept].astype(np.float32) * np.float32(_CM_TO_MM)
