"""Meshes on disk: PLY, OBJ and GLB; all but GLB written here, all read through trimesh.

Open3D's PLY reader can crash on damaged files, so that nothing reads meshes with it. trimesh
takes minutes and gigabytes to write the meshes of large photographs: here they go out in
blocks.
"""

import gc
import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import trimesh

from ..arrays import AnyFloats, Floats
from ..errors import InputError
from ..files import atomic_path
from .mesh import Mesh, vertex_normals
from .objrows import write_faces, write_uv

_PLY_STANDARD = {"x", "y", "z", "nx", "ny", "nz", "red", "green", "blue", "alpha", "s", "t"}
_ROWS_AT_ONCE = 1 << 16
_LARGE = 100_000  # triangles: tens of megabytes to let go
_LEAST_DECIMALS = 6  # of OBJ coordinates: nanometres
_DIGITS = 9  # that OBJ coordinates have at the least, with those before the point
_COLOR_DECIMALS = 4


def save_mesh(path: Path, mesh: Mesh, *, normals: AnyFloats | None = None) -> None:
    """Write a mesh atomically; `.ply` keeps per-vertex attributes as named properties.

    Texture coordinates are kept by `.obj`, and by `.ply` (as s, t) where each vertex has its own.

    Parameters
    ----------
    normals : (V, 3), optional
        Unit normals, for `.ply` and `.glb`; found from the faces by default.

    Raises
    ------
    InputError
        The name ends otherwise than in .ply, .obj or .glb.
    """
    suffix = path.suffix.lower()
    if suffix not in (".ply", ".obj", ".glb"):
        raise InputError(f"{path}: meshes are written as .ply, .obj or .glb")
    if normals is None and suffix != ".obj":
        normals = vertex_normals(mesh.vertices, mesh.faces)
    with atomic_path(path) as part:
        if suffix == ".glb":
            scene = trimesh.Trimesh(
                vertices=mesh.vertices, faces=mesh.faces, vertex_normals=normals,
                vertex_colors=mesh.colors, process=False,
            )  # fmt: skip
            scene.export(part, file_type="glb")
            return
        with part.open("wb") as file:
            if normals is not None and suffix == ".ply":
                _write_ply(file, mesh, normals)
            else:
                _write_obj(file, mesh)


def _write_ply(file: BinaryIO, mesh: Mesh, normals: AnyFloats) -> None:
    fields = [(name, "<f4") for name in ("x", "y", "z", "nx", "ny", "nz")]
    if mesh.colors is not None:
        fields += [(name, "u1") for name in ("red", "green", "blue", "alpha")]
    uv = mesh.uv if mesh.faces_uv is None else None  # PLY has one for each vertex
    if uv is not None:
        fields += [(name, "<f4") for name in ("s", "t")]
    fields += [(name, "<f4") for name in mesh.attributes]
    words = {"<f4": "float", "u1": "uchar"}
    header = [
        "ply", "format binary_little_endian 1.0", f"element vertex {len(mesh.vertices)}",
        *(f"property {words[kind]} {name}" for name, kind in fields),
        f"element face {len(mesh.faces)}", "property list uchar int vertex_indices", "end_header",
    ]  # fmt: skip
    file.write(("\n".join(header) + "\n").encode("ascii"))
    for part in _blocks(len(mesh.vertices)):
        rows = np.zeros(len(mesh.vertices[part]), np.dtype(fields))
        for k, (place, normal) in enumerate((("x", "nx"), ("y", "ny"), ("z", "nz"))):
            rows[place], rows[normal] = mesh.vertices[part, k], normals[part, k]
        if mesh.colors is not None:
            for k, name in enumerate(("red", "green", "blue")):
                rows[name] = mesh.colors[part, k]
            rows["alpha"] = 255
        if uv is not None:
            rows["s"], rows["t"] = uv[part].T
        for name, values in mesh.attributes.items():
            rows[name] = values[part]
        file.write(rows.tobytes())
    for part in _blocks(len(mesh.faces)):
        faces = mesh.faces[part]
        rows = np.zeros(len(faces), np.dtype([("n", "u1"), ("corners", "<i4", 3)]))
        rows["n"], rows["corners"] = 3, faces
        file.write(rows.tobytes())


def _write_obj(file: BinaryIO, mesh: Mesh) -> None:
    from .meshtext import WIDEST, number_lines  # numba: only where meshes are written

    largest = float(np.abs(mesh.vertices).max()) if len(mesh.vertices) else 1.0
    whole = int(np.floor(np.log10(max(largest, 1e-9)))) + 1
    decimals = np.full(3, max(_LEAST_DECIMALS, _DIGITS - whole), np.int64)
    if mesh.colors is not None:
        decimals = np.append(decimals, np.full(3, _COLOR_DECIMALS))
    out = np.zeros(_ROWS_AT_ONCE * (2 + 6 * WIDEST), np.uint8)
    for part in _blocks(len(mesh.vertices)):
        columns = mesh.vertices[part].astype(np.float64)
        if mesh.colors is not None:
            columns = np.concatenate([columns, mesh.colors[part] / 255.0], axis=1)
        numbers = np.rint(columns * 10.0**decimals).astype(np.int64)
        file.write(out[: number_lines(ord("v"), numbers, decimals, out)].data)
    if mesh.uv is not None:
        text = io.TextIOWrapper(file, encoding="ascii", newline="\n")
        write_uv(text, mesh)
        write_faces(text, mesh)
        text.detach()  # flushed; the file is closed by who opened it
        return
    for part in _blocks(len(mesh.faces)):
        corners = mesh.faces[part].astype(np.int64) + 1
        file.write(out[: number_lines(ord("f"), corners, np.zeros(3, np.int64), out)].data)


def _blocks(n: int) -> Iterator[slice]:
    for start in range(0, n, _ROWS_AT_ONCE):
        yield slice(start, start + _ROWS_AT_ONCE)


_NAME_FILES = (".obj", ".ply")  # which are not looked for: textures are not used


def load_mesh(path: Path) -> Mesh:
    """Read a PLY, OBJ, STL or GLB mesh, in the file's own unit.

    Raises
    ------
    InputError
        The file is absent, damaged or has no faces.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        options = {"skip_materials": True} if path.suffix.lower() in _NAME_FILES else {}
        loaded = trimesh.load_mesh(path, process=False, maintain_order=True, **options)
    except Exception as error:  # trimesh raises whatever its parsers meet
        raise InputError(f"{path}: not a readable mesh ({error})") from error
    if not isinstance(loaded, trimesh.Trimesh) or len(loaded.faces) == 0:
        raise InputError(f"{path}: no triangles in it")
    vertices: Floats = np.asarray(loaded.vertices, dtype=np.float64)
    colors = None
    if loaded.visual.kind == "vertex":
        colors = np.asarray(loaded.visual.vertex_colors)[:, :3].astype(np.uint8)
    mesh = Mesh(
        vertices=np.array(vertices),
        faces=np.array(loaded.faces, dtype=np.int32),
        colors=colors,
        attributes=_ply_attributes(loaded),
    )
    del loaded, vertices
    if len(mesh.faces) > _LARGE:
        gc.collect()  # trimesh's objects hold each other, and with them all that was read
    return mesh


def _ply_attributes(loaded: trimesh.Trimesh) -> dict[str, AnyFloats]:
    """Return the scalar vertex properties of a PLY that are no position, normal or colour."""
    raw = loaded.metadata.get("_ply_raw")
    if raw is None or len(raw["vertex"]["data"]) != len(loaded.vertices):
        return {}
    data = raw["vertex"]["data"]
    names = [name for name in data.dtype.names or () if name not in _PLY_STANDARD]
    return {name: np.asarray(data[name], dtype=np.float32) for name in names}
