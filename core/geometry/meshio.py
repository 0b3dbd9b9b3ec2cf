"""Meshes on disk: PLY, OBJ and GLB, read and written through trimesh.

Open3D's PLY reader can crash on damaged files, so that nothing reads meshes with it.
"""

from pathlib import Path

import numpy as np
import trimesh

from ..arrays import AnyFloats, Floats
from ..errors import InputError
from ..files import atomic_path
from .mesh import Mesh, vertex_normals

_PLY_STANDARD = {"x", "y", "z", "nx", "ny", "nz", "red", "green", "blue", "alpha", "s", "t"}


def save_mesh(path: Path, mesh: Mesh) -> None:
    """Write a mesh atomically; `.ply` keeps per-vertex attributes as named properties."""
    colors = None if mesh.colors is None else mesh.colors
    scene = trimesh.Trimesh(
        vertices=mesh.vertices,
        faces=mesh.faces,
        vertex_normals=vertex_normals(mesh.vertices, mesh.faces),
        vertex_colors=colors,
        process=False,
    )
    for name, values in mesh.attributes.items():
        scene.vertex_attributes[name] = np.asarray(values, dtype=np.float32)
    suffix = path.suffix.lower()
    if suffix not in (".ply", ".obj", ".glb"):
        raise InputError(f"{path}: meshes are written as .ply, .obj or .glb")
    with atomic_path(path) as part:
        options = {"digits": 6, "include_normals": False} if suffix == ".obj" else {}
        scene.export(part, file_type=suffix[1:], **options)


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
        loaded = trimesh.load_mesh(path, process=False, maintain_order=True)
    except Exception as error:  # trimesh raises whatever its parsers meet
        raise InputError(f"{path}: not a readable mesh ({error})") from error
    if not isinstance(loaded, trimesh.Trimesh) or len(loaded.faces) == 0:
        raise InputError(f"{path}: no triangles in it")
    vertices: Floats = np.asarray(loaded.vertices, dtype=np.float64)
    colors = None
    if loaded.visual.kind == "vertex":
        colors = np.asarray(loaded.visual.vertex_colors)[:, :3].astype(np.uint8)
    return Mesh(
        vertices=vertices,
        faces=np.asarray(loaded.faces, dtype=np.int32),
        colors=colors,
        attributes=_ply_attributes(loaded),
    )


def _ply_attributes(loaded: trimesh.Trimesh) -> dict[str, AnyFloats]:
    """Return the scalar vertex properties of a PLY that are no position, normal or colour."""
    raw = loaded.metadata.get("_ply_raw")
    if raw is None or len(raw["vertex"]["data"]) != len(loaded.vertices):
        return {}
    data = raw["vertex"]["data"]
    names = [name for name in data.dtype.names or () if name not in _PLY_STANDARD]
    return {name: np.asarray(data[name], dtype=np.float32) for name in names}
