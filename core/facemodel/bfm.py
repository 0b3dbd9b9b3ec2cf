"""BFM 2009, the front crop that Deep3D and HRN use: `BFM_model_front.mat`.

The file holds decimetres (1 unit = 100 mm), x to the right of the image that a camera in front
of the face takes, which is the subject's left, y up and z towards the camera: the axes of the
head frame. Vertices keep their order; the origin is the mean of the mean face's vertices, as
HRN recentres it, so that a map or offset here is HRN's times `unit_mm`. Colours are the
display values of the scans, 0 to 255, and stay encoded: the basis is linear in those.

Source
------
Paysan et al., A 3D Face Model for Pose and Illumination Invariant Face Recognition, AVSS 2009;
expression basis: Guo et al., CNN-based real-time dense face reconstruction, PAMI 2018; fields as
github.com/sicxu/Deep3DFaceRecon_pytorch reads them.
"""

import logging
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Bools, Floats, Floats32, Ints
from ..errors import ModelFileError
from ..npzfile import Fields, read_npy
from .archive import Archive, check_below, check_fields
from .chartfaces import skin_chart
from .cylinder import cylindrical_chart
from .frame import check_frame, check_triangles
from .matfile import read_numbers, variables_of
from .model import UNBOUNDED, FaceModel
from .regions import FaceParts, azimuth_deg, face_regions, face_weights

log = logging.getLogger(__name__)

UV_FILE = "bfm_uvs2.npy"
_MAT_FILE = "BFM_model_front.mat"
_DM_TO_MM = 100.0
_FULL_SCALE = 255.0
_MOST_STRAY = 0.5  # of a vertex's own triangles that do hold it; a file that disagrees has less
_MOST_OWN = 0.95  # that hold it once the counting is put right
_FRONTAL_AZIMUTH_DEG = 60.0
_MOST_BYTES = 1 << 30  # the true file takes 110 to 200 MB

_FIELDS: Fields = {
    "meanshape": ("f", (1, "numbers of the shape")),
    "idBase": ("f", ("numbers of the shape", 80)),
    "exBase": ("f", ("numbers of the shape", 64)),
    "meantex": ("fiu", (1, "numbers of the shape")),
    "texBase": ("f", ("numbers of the shape", 80)),
    "tri": ("fiu", ("triangles", 3)),
    "point_buf": ("fiu", ("vertices", 8)),
    "keypoints": ("fiu", (1, 68)),
    "frontmask2_idx": ("fiu", ("vertices of the inner face", 1)),
    "tri_mask2": ("fiu", ("triangles of the inner face", 3)),
    "skinmask": ("fiu", (1, "vertices")),
}


def load_bfm(path: Path, *, uv: Path | None = None) -> FaceModel:
    """Load the BFM front model.

    Identity, expression and albedo coefficients all follow N(0, 1), in the order of HRN's 257:
    80, 64 and 80 modes.

    Parameters
    ----------
    path : Path
        `BFM_model_front.mat`.
    uv : Path, optional
        `bfm_uvs2.npy`: (V, 2), u right, v up, one row a vertex. By default the file of that
        name beside `path`; without one the model gets a cylindrical chart of facekit's own,
        says so in `notes`, and its maps are not those of HRN's weights.

    Raises
    ------
    ModelFileError
        A file is absent, truncated or another; the message names the field at fault.
    """
    data = _read(path)
    mean = _vertices(data["meanshape"][0]) * _DM_TO_MM
    mean -= mean.mean(axis=0)
    landmarks = _from_one(data, "keypoints", path, len(mean))[0]
    faces = _from_one(data, "tri", path, len(mean))
    _from_one(data, "point_buf", path, len(faces) + 1)  # one past the end: no triangle
    _from_one(data, "tri_mask2", path, len(mean))
    check_frame(mean[landmarks], path, field="meanshape", unit_mm=_DM_TO_MM)
    check_triangles(mean, faces, path, field="tri")
    _check_counting(data, faces, path)
    weights, regions = _regions(data, mean, landmarks, path)
    uvs, depth, notes = _uv(path, uv, mean, landmarks)
    return FaceModel(
        name="bfm",
        mean=mean,
        faces=faces,
        uv=uvs,
        faces_uv=faces,
        identity=_modes(data["idBase"], _DM_TO_MM),
        identity_names=tuple(f"identity{i:03d}" for i in range(data["idBase"].shape[1])),
        identity_sigma=np.ones(data["idBase"].shape[1]),
        expression=_modes(data["exBase"], _DM_TO_MM),
        expression_names=tuple(f"expression{i:03d}" for i in range(data["exBase"].shape[1])),
        expression_range=UNBOUNDED,
        albedo_mean=(_vertices(data["meantex"][0]) / _FULL_SCALE).astype(np.float32),
        albedo=_modes(data["texBase"], 1 / _FULL_SCALE),
        albedo_names=tuple(f"albedo{i:03d}" for i in range(data["texBase"].shape[1])),
        albedo_encoding="srgb",
        landmarks68=landmarks,
        regions=regions,
        weights=weights,
        unit_mm=_DM_TO_MM,
        chart_faces=skin_chart(uvs, faces, faces, regions["skin"], depth=depth),
        notes=notes,
    )


def _read(path: Path) -> Archive:
    """Read the fields of the `.mat` file; what is larger than any BFM is not unpacked."""
    if path.is_dir():
        raise ModelFileError(f"{path}: a folder; give the path of {_MAT_FILE}")
    if not path.is_file():
        raise ModelFileError(f"{path}: no such file; give the path of {_MAT_FILE}")
    if path.stat().st_size > _MOST_BYTES:
        raise ModelFileError(f"{path}: {path.stat().st_size / 1e9:.1f} GB: not {_MAT_FILE}")
    variables = variables_of(path)
    data: Archive = {}
    for name in _FIELDS:
        if name not in variables:
            raise ModelFileError(f"{path}: {name}: absent; is this {_MAT_FILE}?")
        shape = variables[name].shape
        if 8 * math.prod(shape) > _MOST_BYTES:
            raise ModelFileError(f"{path}: {name}: shape {shape} is larger than any BFM")
        data[name] = read_numbers(path, name, variables)
    check_fields(data, _FIELDS, path)
    n = data["meanshape"].shape[1]
    if n % 3 or n == 0:
        raise ModelFileError(f"{path}: meanshape: {n} numbers are no whole number of vertices")
    if data["skinmask"].shape[1] * 3 != n:
        raise ModelFileError(
            f"{path}: skinmask: {data['skinmask'].shape[1]} vertices, but meanshape has {n // 3}"
        )
    return data


def _from_one(data: Archive, name: str, path: Path, limit: int) -> Ints:
    """Return 1-based indices as 0-based ones, checked."""
    values = data[name]
    if values.dtype.kind == "f" and (values != np.round(values)).any():
        raise ModelFileError(f"{path}: {name}: indices are not whole numbers")
    if values.size and (values.min() < 1 or values.max() > limit):
        raise ModelFileError(
            f"{path}: {name}: indices {values.min():.0f} to {values.max():.0f}, "
            f"but 1 to {limit} are there"
        )
    return (values.astype(np.int64) - 1).astype(np.int32)


def _check_counting(data: Archive, faces: Ints, path: Path) -> None:
    """Refuse triangles or vertices that are counted from 0: `point_buf` names a vertex's own.

    Raises
    ------
    ModelFileError
        `tri` and `point_buf` fit each other only where one of them is moved by one.
    """
    around = data["point_buf"].astype(np.int64) - 1
    vertex = np.repeat(np.arange(len(around)), around.shape[1])
    triangle = around.ravel()

    def fits(by_vertex: int, by_triangle: int) -> float:
        at = triangle + by_triangle
        is_one = (triangle < len(faces)) & (at >= 0) & (at < len(faces))
        if not is_one.any():
            return 0.0
        own = faces[at[is_one]] == (vertex[is_one] - by_vertex)[:, None]
        return float(own.any(axis=1).mean())

    if fits(0, 0) > _MOST_STRAY:
        return
    for name, shift in (("tri", (1, 0)), ("point_buf", (0, 1))):
        if fits(*shift) > _MOST_OWN:
            raise ModelFileError(
                f"{path}: {name}: counts from 0, but the model's indices count from 1"
            )


def _vertices(interleaved: NDArray[Any]) -> Floats:
    return np.asarray(interleaved, dtype=np.float64).reshape(-1, 3)


def _modes(columns: NDArray[Any], scale: float) -> Floats32:
    """Return (n, V, 3) of the (3 V, n) columns of a basis."""
    modes = np.ascontiguousarray(columns.T, dtype=np.float32).reshape(columns.shape[1], -1, 3)
    modes *= np.float32(scale)
    return modes


def _regions(
    data: Archive, mean: Floats, landmarks: Ints, path: Path
) -> tuple[dict[str, Floats], dict[str, Bools]]:
    none = np.zeros(len(mean), bool)
    parts = FaceParts(skin=~none, ears=none, eyeballs=none, mouth_interior=none)
    weights = face_weights(mean, mean[landmarks], parts=parts)
    regions = face_regions(weights, parts=parts)
    ahead = azimuth_deg(mean, mean[landmarks]) < _FRONTAL_AZIMUTH_DEG
    regions["frontal_face"] = regions["face"] & ahead
    inner = none.copy()
    inner[_from_one(data, "frontmask2_idx", path, len(mean))[:, 0]] = True
    check_below(path, "skinmask", data["skinmask"], 2)
    regions["bfm_inner_face"] = inner
    regions["bfm_skin"] = data["skinmask"][0] > 0
    return weights, regions


def _uv(
    path: Path, given: Path | None, mean: Floats, landmarks: Ints
) -> tuple[Floats, Floats | None, tuple[str, ...]]:
    """Return uv (V, 2), how deep vertices lie (V,) where that decides, and what is to be said."""
    beside = path.with_name(UV_FILE)
    file = beside if given is None and beside.is_file() else given
    if file is None:
        note = (
            f"no {UV_FILE} beside the model: maps are in a cylindrical chart of facekit's own, "
            "which HRN's released weights do not know"
        )
        log.warning("%s: %s", path, note)
        return *cylindrical_chart(mean, mean[landmarks]), (note,)
    loaded = read_npy(file, again=f"give the path of {UV_FILE}", error=ModelFileError)
    check_fields({"uv": loaded}, {"uv": ("f", (len(mean), 2))}, file)
    if loaded.min() < 0 or loaded.max() > 1:
        raise ModelFileError(f"{file}: uv: {loaded.min():g} to {loaded.max():g}, not within [0, 1]")
    uv = loaded.astype(np.float64)
    away = uv - uv.mean(axis=0)
    if (away * (mean - mean.mean(axis=0))[:, :2]).sum(axis=0).min() > 0:
        return uv, None, ()
    return uv, None, (f"{file.name}: u does not grow to the subject's left or v not upwards",)
