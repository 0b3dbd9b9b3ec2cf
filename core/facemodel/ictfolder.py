"""ICT-FaceKit as its authors publish it: a folder of OBJ files, `FaceXModel`.

    generic_neutral_mesh.obj                   the mean, with quads and UVs, centimetres
    identity000.obj ... identity099.obj        the mean with one identity mode at one sigma
    jawOpen.obj ...                            the mean with one expression at full strength
    vertex_indices.json                        names of the expressions, lists of vertices

Parts are ranges of vertices, which the README tells together with the landmarks.

Source
------
github.com/ICT-VGL/ICT-FaceKit, README.md and FaceXModel (MIT).
"""

import logging
from pathlib import Path

import numpy as np

from ..arrays import Floats, Floats32
from ..errors import InputError, ModelFileError
from ..files import atomic_path, read_json
from .archive import Archive, check_fields
from .ict import FIELDS, ict_model
from .model import FaceModel
from .objfile import read_obj, read_obj_vertices

log = logging.getLogger(__name__)

NEUTRAL = "generic_neutral_mesh.obj"
_INDICES = "vertex_indices.json"

# part: first vertex, in the order of the README's table; the last ends with the mesh
_PART_STARTS = {
    "face": 0, "head_neck": 9409, "mouth_socket": 11248, "eye_socket_left": 13294,
    "eye_socket_right": 13678, "gums_tongue": 14062, "teeth": 17039, "eyeball_left": 21451,
    "eyeball_right": 23021, "lacrimal_left": 24591, "lacrimal_right": 24795,
    "eyeblend_left": 24999, "eyeblend_right": 25023, "eyeocclusion_left": 25047,
    "eyeocclusion_right": 25199, "eyelashes_left": 25351, "eyelashes_right": 26035,
}  # fmt: skip
_N_VERTICES = 26719
_N_NARROW_FACE = 6706
_N_IDENTITY = 100
_LANDMARKS = (
    1225, 1888, 1052, 367, 1719, 1722, 2199, 1447, 966, 3661, 4390, 3927, 3924, 2608, 3272, 4088,
    3443, 268, 493, 1914, 2044, 1401, 3615, 4240, 4114, 2734, 2509, 978, 4527, 4942, 4857, 1140,
    2075, 1147, 4269, 3360, 1507, 1542, 1537, 1528, 1518, 1511, 3742, 3751, 3756, 3721, 3725, 3732,
    5708, 5695, 2081, 0, 4275, 6200, 6213, 6346, 6461, 5518, 5957, 5841, 5702, 5711, 5533, 6216,
    6207, 6470, 5517, 5966,
)  # fmt: skip
_JAW_RIGHT = (1278, 1272, 12, 1834, 243, 781, 2199, 1447)
_JAW_LEFT = (3661, 4390, 3022, 2484, 4036, 2253, 3490, 3496)


def load_ict_folder(folder: Path) -> FaceModel:
    """Load the ICT face model from upstream's folder of OBJ files (about ten seconds).

    Raises
    ------
    ModelFileError
        A file is absent, cut short or of another mesh; the message names it.
    """
    return ict_model(_read(folder), folder)


def convert_ict(folder: Path, out: Path) -> FaceModel:
    """Write the folder's model as the one-file archive that `load_ict` reads; return it.

    Raises
    ------
    ModelFileError
        As `load_ict_folder`; nothing is written then.
    """
    data = _read(folder)
    model = ict_model(data, folder)
    with atomic_path(out) as part, part.open("wb") as stream:
        np.savez(stream, **data)  # type: ignore[arg-type]
    return model


def _read(folder: Path) -> Archive:
    neutral = read_obj(folder / NEUTRAL)
    if len(neutral.vertices) != _N_VERTICES:
        raise ModelFileError(
            f"{folder / NEUTRAL}: {len(neutral.vertices)} vertices, but the ICT Face Model Light "
            f"has {_N_VERTICES}"
        )
    if not len(neutral.uv) or neutral.corners_uv[:, :3].min(initial=0) < 0:
        raise ModelFileError(f"{folder / NEUTRAL}: vt: a face has no texture coordinates")
    triangles, triangles_uv = neutral.triangles()
    starts = np.array(list(_PART_STARTS.values()))
    identity_names = _identity_names(folder)
    expression_names = _expression_names(folder)
    data: Archive = {
        "neutral": neutral.vertices,
        "tri": triangles,
        "tri_uv": triangles_uv,
        "uv": neutral.uv,
        "identity": _modes(folder, identity_names, neutral.vertices),
        "identity_names": np.array(identity_names),
        "expression": _modes(folder, expression_names, neutral.vertices),
        "expression_names": np.array(expression_names),
        "vertex_part": np.searchsorted(starts, np.arange(_N_VERTICES), side="right") - 1,
        "part_names": np.array(list(_PART_STARTS)),
        "landmarks68": np.array(_LANDMARKS),
        "jaw_right": np.array(_JAW_RIGHT),
        "jaw_left": np.array(_JAW_LEFT),
        "narrow_face_nverts": np.array(_N_NARROW_FACE),
    }
    check_fields(data, FIELDS, folder)
    return data


def _identity_names(folder: Path) -> list[str]:
    names = sorted(path.stem for path in folder.glob("identity[0-9][0-9][0-9].obj"))
    for k, name in enumerate(names):
        expected = f"identity{k:03d}"
        if name != expected:
            raise ModelFileError(f"{folder / expected}.obj: absent, but {name}.obj is there")
    if not names:
        raise ModelFileError(f"{folder / 'identity000.obj'}: no such file; is this FaceXModel?")
    if len(names) < _N_IDENTITY:
        log.warning("%s: %d identities, but upstream has %d", folder, len(names), _N_IDENTITY)
    return names


def _expression_names(folder: Path) -> list[str]:
    """Return the names of the list, then what else is there, sorted."""
    path = folder / _INDICES
    try:
        listed = read_json(path)["expressions"]
    except InputError as error:
        raise ModelFileError(str(error)) from error
    except (KeyError, TypeError) as error:
        raise ModelFileError(f"{path}: expressions: absent") from error
    if not isinstance(listed, list) or not all(
        isinstance(name, str) and Path(name).name == name for name in listed
    ):
        raise ModelFileError(f"{path}: expressions: not a list of names")
    there = sorted(path.stem for path in folder.glob("*.obj"))
    shapes = [n for n in there if n != Path(NEUTRAL).stem and not n.startswith("identity")]
    return [*listed, *(n for n in shapes if n not in listed)]


def _modes(folder: Path, names: list[str], neutral: Floats) -> Floats32:
    """Return (n, V, 3) differences from the neutral, centimetres."""
    modes = np.zeros((len(names), *neutral.shape), np.float32)
    for mode, name in zip(modes, names, strict=True):
        mode[:] = read_obj_vertices(folder / f"{name}.obj", n_vertices=len(neutral)) - neutral
    return modes
