"""`registered.npz` and `registered.obj`: a registered take on disk."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.arrays import Floats, Floats32
from ...core.errors import InputError, SchemaError
from ...core.facemodel.model import FaceModel
from ...core.files import atomic_path
from ...core.geometry.mesh import Mesh
from ...core.geometry.objrows import write_faces, write_points
from ...core.geometry.transform import Similarity
from ...core.npzfile import read_npz
from .registered import Registered

REGISTERED_FILE = "registered.npz"
MESH_FILE = "registered.obj"
_FORMAT, _VERSION = "facekit-registered", 1


def save_registered(folder: Path, registered: Registered) -> None:
    """Write `registered.npz`, and `registered.obj` (world frame, with UVs), each atomically."""
    model, pose = registered.model, registered.world_from_head
    mesh = Mesh(
        vertices=registered.posed(), faces=model.faces, uv=model.uv, faces_uv=model.faces_uv
    )
    with (
        atomic_path(folder / MESH_FILE) as part,
        part.open("w", encoding="ascii", newline="\n") as text,
    ):
        write_points(text, mesh)
        write_faces(text, mesh)
    with atomic_path(folder / REGISTERED_FILE) as part, part.open("wb") as file:
        np.savez_compressed(
            file,
            format=np.array(_FORMAT),
            version=np.array(_VERSION),
            model=np.array(model.name),
            scale=np.array(pose.scale),
            R=pose.R,
            t=pose.t,
            identity=registered.identity,
            expression=registered.expression,
            offset=registered.offset,
            support=registered.support,
            residual=registered.residual,
        )


def load_registered(folder: Path, model: FaceModel) -> Registered:
    """Read `registered.npz` of a folder.

    Raises
    ------
    InputError
        The file is absent or damaged.
    SchemaError
        It is another format or version, of another face model, or an array has another shape or
        holds numbers that are not finite.
    """
    path = folder / REGISTERED_FILE
    values = _values(path)
    _check_model(path, values, model)
    v = model.n_vertices
    shapes: dict[str, tuple[int, ...]] = {
        "scale": (),
        "R": (3, 3),
        "t": (3,),
        "identity": (model.n_identity,),
        "expression": (model.n_expression,),
        "offset": (v, 3),
        "support": (v,),
        "residual": (v,),
    }
    read = {name: _array(path, values, name, shape) for name, shape in shapes.items()}
    return Registered(
        model=model,
        world_from_head=_pose(path, read),
        identity=read["identity"],
        expression=read["expression"],
        offset=read["offset"],
        support=read["support"].astype(np.float32),
        residual=read["residual"].astype(np.float32),
    )


def load_fit(folder: Path, n_vertices: int) -> tuple[Similarity, Floats32]:
    """Read `world_from_head` and the residual (V,), mm, alone: they need no face model.

    Raises
    ------
    InputError, SchemaError
        As `load_registered`.
    """
    path = folder / REGISTERED_FILE
    values = _values(path)
    shapes: dict[str, tuple[int, ...]] = {"scale": (), "R": (3, 3), "t": (3,)}
    read = {name: _array(path, values, name, shape) for name, shape in shapes.items()}
    residual = _array(path, values, "residual", (n_vertices,))
    return _pose(path, read), residual.astype(np.float32)


def _values(path: Path) -> dict[str, NDArray[Any]]:
    """Read a `registered.npz` and check that it is one."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; register the take first")
    values = read_npz(path, again="register the take again")
    found = str(values.get("format")), str(values.get("version"))
    if found != (_FORMAT, str(_VERSION)):
        raise SchemaError(
            f"{path}: format {found[0]!r} version {found[1]}, but this facekit reads "
            f"{_FORMAT} version {_VERSION}"
        )
    return values


def _check_model(path: Path, values: dict[str, NDArray[Any]], model: FaceModel) -> None:
    if str(values.get("model")) != model.name:
        raise SchemaError(
            f"{path}: registered with the face model {str(values.get('model'))!r}, "
            f"but {model.name!r} was given"
        )


def _pose(path: Path, read: dict[str, Floats]) -> Similarity:
    scale, R = float(read["scale"]), read["R"]
    if scale <= 0 or not np.allclose(R @ R.T, np.eye(3), atol=1e-6) or np.linalg.det(R) < 0:
        raise SchemaError(f"{path}: scale and R are no similarity; register the take again")
    return Similarity(scale=scale, R=R, t=read["t"])


def _array(
    path: Path, values: dict[str, NDArray[Any]], name: str, shape: tuple[int, ...]
) -> Floats:
    if name not in values:
        raise SchemaError(f"{path}: has no {name}; register the take again")
    array = values[name]
    if array.shape != shape or array.dtype.kind != "f":
        raise SchemaError(
            f"{path}: {name} is {array.dtype} {array.shape}, expected floats {shape}; "
            "was it registered with another version of the face model?"
        )
    if name != "residual" and not np.isfinite(array).all():
        raise SchemaError(f"{path}: {name} holds numbers that are not finite")
    return array.astype(np.float64)
