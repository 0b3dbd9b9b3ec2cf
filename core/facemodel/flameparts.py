"""What comes with FLAME in files of its own: where its landmarks lie, and its UVs."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Bools, Floats, Ints
from ..errors import ModelFileError
from ..npzfile import npz_names, read_npz
from .archive import Archive, check_below, check_fields, read_archive
from .objfile import read_obj
from .plainpickle import plain_array, read_pickle

# names under which releases and their users keep triangles and weights; first what has all 68
_NAMES = (
    ("full_lmk_faces_idx", "full_lmk_bary_coords"),
    ("lmk_faces_idx", "lmk_bary_coords"),
    ("lmk_face_idx", "lmk_b_coords"),
    ("static_lmk_faces_idx", "static_lmk_bary_coords"),
)
_N_JAW = 17
_WHAT = "FLAME's landmark embedding"


def flame_landmarks(path: Path, faces: Ints) -> tuple[Ints, Bools]:
    """Return the vertices (68,) nearest to the landmarks, and which are known (68,).

    Parameters
    ----------
    path : Path
        An embedding of all 68 landmarks, or of the 51 without the jaw line: `.npz`, or a
        pickle or `.npy` of a dict, read without running it.
    faces : (F, 3) int32

    Raises
    ------
    ModelFileError
        The file is absent, damaged or another; the message names the field at fault.
    """
    data, at, weight = _embedding(path)
    triangles = data[at].reshape(-1)
    barycentric = data[weight]
    if barycentric.size != 3 * len(triangles):
        raise ModelFileError(f"{path}: {weight}: shape {barycentric.shape}, not three a landmark")
    barycentric = barycentric.reshape(-1, 3)
    check_fields(
        {at: triangles, weight: barycentric},
        {at: ("iu", ("landmarks",)), weight: ("f", ("landmarks", 3))},
        path,
    )
    if len(triangles) not in (68, 68 - _N_JAW):
        raise ModelFileError(f"{path}: {at}: {len(triangles)} landmarks; 68, or 51, are known")
    check_below(path, at, triangles, len(faces))
    if np.abs(barycentric.sum(axis=1) - 1).max() > 0.01 or barycentric.min() < -0.01:
        raise ModelFileError(f"{path}: {weight}: not weights that are positive and sum to one")
    corner = faces[triangles, barycentric.argmax(axis=1)]
    known = np.ones(68, bool)
    known[: 68 - len(corner)] = False
    landmarks = np.zeros(68, np.int32)
    landmarks[known] = corner
    return landmarks, known


def flame_uv(path: Path, faces: Ints) -> tuple[Floats, Ints]:
    """Return uv (T, 2) and its rows at the corners of `faces` (F, 3).

    Parameters
    ----------
    path : Path
        An `.npz` with `vt` and `ft`, or an OBJ of the same triangles.

    Raises
    ------
    ModelFileError
        The file is absent, damaged or of another mesh.
    """
    if path.suffix.lower() == ".obj":
        obj = read_obj(path)
        corners, corners_uv = obj.triangles()
        if corners.shape != faces.shape or (corners != faces).any():
            raise ModelFileError(f"{path}: faces: not those of the model, or in another order")
        if corners_uv.min(initial=0) < 0:
            raise ModelFileError(f"{path}: vt: a face has no texture coordinates")
        return obj.uv, corners_uv
    data = read_archive(
        path,
        {"vt": ("f", ("texture vertices", 2)), "ft": ("iu", (len(faces), 3))},
        model="FLAME's UVs (FLAME_texture.npz or head_template.obj)",
    )
    check_below(path, "ft", data["ft"], len(data["vt"]))
    return data["vt"].astype(np.float64), data["ft"].astype(np.int32)


def _embedding(path: Path) -> tuple[Archive, str, str]:
    """Return arrays and the names of triangles and weights among them."""
    names = npz_names(path)
    found: dict[str, Any] = {}
    if not names:
        found = read_pickle(path, model=_WHAT)
        names = frozenset(found)
    for pair in _NAMES:
        if names.issuperset(pair):
            if found:
                return {n: _integers(plain_array(found[n], n, path)) for n in pair}, *pair
            return _from_archive(path, pair), *pair
    raise ModelFileError(f"{path}: lmk_faces_idx and lmk_bary_coords: absent; is this {_WHAT}?")


def _from_archive(path: Path, pair: tuple[str, str]) -> Archive:
    arrays = read_npz(path, names=pair, again=f"fetch {_WHAT} again", error=ModelFileError)
    return {name: _integers(arrays[name]) for name in pair}


def _integers(values: NDArray[Any]) -> NDArray[Any]:
    """Return indices kept as floats as integers; other numbers as they are."""
    is_index = values.ndim <= 2 and values.shape[-1:] != (3,)
    return values.astype(np.int64) if is_index and values.dtype.kind == "f" else values
