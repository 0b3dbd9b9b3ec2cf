"""FLAME as a `FaceModel`: shape and expression at rest.

FLAME holds metres, x to the subject's left, y up and z out of the face. Its 400 blend shapes are
300 of identity and 100 of expression, both N(0, 1). Neck, jaw and eyeball joints stay at rest:
the corrective shapes and skinning weights that they need are kept in the file but not used, so
that a wide open mouth, which FLAME makes with its jaw, is left to non-rigid registration.

FLAME is published as a pickle. `convert_flame` takes the numbers out of it once, without
running anything it asks for (see `plainpickle`), and writes an `.npz`; landmarks and UVs, which
come in files of their own, go into the same archive.

Source
------
Li et al., Learning a model of facial shape and expression from 4D scans, SIGGRAPH Asia 2017,
doi:10.1145/3130800.3130813; fields as github.com/soubhiksanyal/FLAME_PyTorch reads them.
"""

import logging
from pathlib import Path

import numpy as np

from ..arrays import Bools, Floats, Floats32, Ints
from ..errors import EstimationError, ModelFileError
from ..files import atomic_path
from ..geometry.mesh import vertex_components
from ..npzfile import Fields, npz_names
from .archive import Archive, check_below, check_fields, read_archive
from .chartfaces import skin_chart
from .cylinder import cylindrical_chart
from .flameparts import flame_landmarks, flame_uv
from .frame import check_frame, check_height, check_triangles
from .model import UNBOUNDED, FaceModel
from .plainpickle import plain_array, read_pickle
from .regions import FaceParts, azimuth_deg, face_regions, face_weights
from .transfer import TRANSFER_SIGMA_MM, transferred_landmarks

log = logging.getLogger(__name__)

_M_TO_MM = 1000.0
_N_IDENTITY = 300
_FRONTAL_AZIMUTH_DEG = 60.0
_EAR_AZIMUTH_DEG = (78.0, 118.0)
_NEAREST_VERTEX_MM = 1.5  # a landmark inside a triangle of FLAME is moved to a corner
_WHAT = "FLAME's model (generic_model.pkl or flame2023.pkl)"

_FIELDS: Fields = {
    "v_template": ("f", ("vertices", 3)),
    "f": ("iu", ("triangles", 3)),
    "shapedirs": ("f", ("vertices", 3, 400)),
    "posedirs": ("f", ("vertices", 3, "pose features")),
    "J_regressor": ("f", ("joints", "vertices")),
    "weights": ("f", ("vertices", "joints")),
    "kintree_table": ("iu", (2, "joints")),
}
_OURS: Fields = {
    "landmarks68": ("iu", (68,)),
    "landmark_known": ("b", (68,)),
    "vt": ("f", ("texture vertices", 2)),
    "ft": ("iu", ("triangles", 3)),
}


def load_flame(path: Path) -> FaceModel:
    """Load FLAME from the `.npz` that `convert_flame` wrote, or straight from its pickle.

    A pickle is read safely each time, but lacks landmarks and UVs: the first are then carried
    over from the built-in head, the second are a cylindrical chart; `notes` say so.

    Raises
    ------
    ModelFileError
        The file is absent, truncated or another; the message names the field at fault.
    """
    data = _read(path)
    return _model(data, path)


def convert_flame(
    path: Path, out: Path, *, landmarks: Path | None = None, uv: Path | None = None
) -> FaceModel:
    """Write FLAME's numbers as one `.npz` without pickle; return the model.

    Parameters
    ----------
    path : Path
        FLAME's pickle, or an `.npz` of the same fields.
    out : Path
        The `.npz` to write.
    landmarks : Path, optional
        Embedding of the landmarks: triangles and barycentric weights of all 68
        (`landmark_embedding.npy`, or an `.npz` with `lmk_faces_idx` and `lmk_bary_coords`) or
        of the 51 without the jaw line (`flame_static_embedding.pkl`).
    uv : Path, optional
        Where the UVs are: an `.npz` with `vt` and `ft` (`FLAME_texture.npz`), or the OBJ of
        the template (`head_template.obj`).

    Raises
    ------
    ModelFileError
        A file is absent, truncated or another; nothing is written then.
    """
    data = _read(path)
    faces = _faces(data, path)
    if landmarks is not None:
        data["landmarks68"], data["landmark_known"] = flame_landmarks(landmarks, faces)
    if uv is not None:
        data["vt"], data["ft"] = flame_uv(uv, faces)
    model = _model(data, path)
    for name in ("shapedirs", "posedirs"):
        data[name] = data[name].astype(np.float32)
    with atomic_path(out) as part, part.open("wb") as stream:
        np.savez(stream, **data)  # type: ignore[arg-type]
    return model


def _read(path: Path) -> Archive:
    if path.suffix.lower() == ".npz" or npz_names(path):
        return read_archive(path, {**_FIELDS, **_OURS}, model=_WHAT, optional=tuple(_OURS))
    found = read_pickle(path, model=_WHAT)
    data: Archive = {}
    for name in _FIELDS:
        if name not in found:
            raise ModelFileError(f"{path}: {name}: absent; is this {_WHAT}?")
        data[name] = plain_array(found[name], name, path)
    check_fields(data, _FIELDS, path)
    return data


def _faces(data: Archive, path: Path) -> Ints:
    check_below(path, "f", data["f"], len(data["v_template"]))
    return data["f"].astype(np.int32)


def _model(data: Archive, path: Path) -> FaceModel:
    faces = _faces(data, path)
    mean = data["v_template"].astype(np.float64) * _M_TO_MM
    check_height(mean, path, field="v_template", unit_mm=_M_TO_MM)
    skin, eyeballs = _parts(mean, faces)
    check_triangles(mean, faces[skin[faces].all(axis=1)], path, field="f")
    landmarks, sigma, notes = _landmarks(data, mean, faces, skin, path)
    check_frame(mean[landmarks], path, field="v_template", unit_mm=_M_TO_MM)
    if "vt" in data and "ft" in data:
        uv = data["vt"].astype(np.float64)
        check_below(path, "ft", data["ft"], len(uv))
        faces_uv, depth = data["ft"].astype(np.int32), None
    else:
        uv, depth = cylindrical_chart(mean, mean[landmarks])
        faces_uv = faces
        notes.append("no UVs given: maps are in a cylindrical chart of facekit's own")
    for note in notes:
        log.warning("%s: %s", path, note)
    regions, weights = _regions(mean, mean[landmarks], skin, eyeballs)
    modes = data["shapedirs"].transpose(2, 0, 1)
    n_expression = len(modes) - _N_IDENTITY
    return FaceModel(
        name="flame",
        mean=mean,
        faces=faces,
        uv=uv,
        faces_uv=faces_uv,
        identity=_in_mm(modes[:_N_IDENTITY]),
        identity_names=tuple(f"shape{i:03d}" for i in range(_N_IDENTITY)),
        identity_sigma=np.ones(_N_IDENTITY),
        expression=_in_mm(modes[_N_IDENTITY:]),
        expression_names=tuple(f"expression{i:03d}" for i in range(n_expression)),
        expression_range=UNBOUNDED,
        landmarks68=landmarks,
        landmark_sigma_mm=sigma,
        regions=regions,
        weights=weights,
        unit_mm=_M_TO_MM,
        chart_faces=skin_chart(uv, faces_uv, faces, skin, depth=depth),
        notes=tuple(notes),
    )


def _in_mm(modes: Floats32) -> Floats32:
    return np.ascontiguousarray(modes, dtype=np.float32) * np.float32(_M_TO_MM)


def _parts(mean: Floats, faces: Ints) -> tuple[Bools, Bools]:
    """Return skin (V,) and eyeballs (V,): the eyeballs are pieces of their own."""
    piece = vertex_components(faces, len(mean))
    skin = piece == np.bincount(piece).argmax()
    return skin, ~skin


def _landmarks(
    data: Archive, mean: Floats, faces: Ints, skin: Bools, path: Path
) -> tuple[Ints, float, list[str]]:
    """Return the 68 vertices, how far they may be off (mm), and what is to be said of them."""
    known = data.get("landmark_known", np.ones(68, bool))
    if "landmarks68" in data and known.all():
        check_below(path, "landmarks68", data["landmarks68"], len(mean))
        return data["landmarks68"].astype(np.int32), _NEAREST_VERTEX_MM, []
    try:
        landmarks = transferred_landmarks(mean, faces, skin)
    except EstimationError as error:
        raise ModelFileError(f"{path}: v_template: is no face in metres ({error})") from error
    if "landmarks68" not in data:
        note = "no landmarks given: they were carried over from the built-in head, some mm off"
        return landmarks, TRANSFER_SIGMA_MM, [note]
    check_below(path, "landmarks68", data["landmarks68"][known], len(mean))
    landmarks[known] = data["landmarks68"][known]
    note = "no jaw line among the landmarks given: it was carried over from the built-in head"
    return landmarks, _NEAREST_VERTEX_MM, [note]


def _regions(
    mean: Floats, landmarks: Floats, skin: Bools, eyeballs: Bools
) -> tuple[dict[str, Bools], dict[str, Floats]]:
    azimuth = azimuth_deg(mean, landmarks)
    beside = (azimuth > _EAR_AZIMUTH_DEG[0]) & (azimuth < _EAR_AZIMUTH_DEG[1])
    level = (mean[:, 1] > landmarks[33, 1] - 8) & (mean[:, 1] < landmarks[17:27, 1].mean() + 8)
    parts = FaceParts(
        skin=skin,
        ears=skin & beside & level,
        eyeballs=eyeballs,
        mouth_interior=np.zeros(len(mean), bool),
    )
    weights = face_weights(mean, landmarks, parts=parts)
    regions = face_regions(weights, parts=parts)
    regions["frontal_face"] = regions["face"] & (azimuth < _FRONTAL_AZIMUTH_DEG)
    return regions, weights
