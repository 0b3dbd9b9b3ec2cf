"""Textured meshes for other programs: OBJ with MTL and PNG, GLB with maps.

Vertices keep their order, so that equal rows of two exports are the same point of the face.
OBJ is in millimetres; glTF demands metres, which its node's scale makes of the millimetres
inside.
"""

import io
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from PIL import Image as PillowImage

from ...core.arrays import AnyFloats, Bools, Bytes, Ints
from ...core.errors import InputError
from ...core.files import atomic_path, write_bytes, write_text
from ...core.geometry.mesh import Mesh, vertex_normals
from ...core.geometry.objrows import write_faces, write_points
from .encoding import TEXTURE_QUALITY, jpeg, png

_M_PER_MM = 1e-3

_MTL = """newmtl skin
Ka 0 0 0
Kd 1 1 1
Ks 0 0 0
illum 1
"""
_PLAIN_MTL = """newmtl plain
Ka 0 0 0
Kd 0.8 0.8 0.8
Ks 0 0 0
illum 1
"""


@dataclass(frozen=True, kw_only=True)
class Textures:
    """Images of a mesh in its UV chart, row 0 is v = 1."""

    color: Bytes | None = None
    """(a, a, 3) sRGB."""
    tangent_normal: Bytes | None = None
    """(n, n, 3) uint8, (n + 1) / 2: x along +u, y along +v, z outward, as glTF has it."""
    covered: Bools | None = None
    """(F,) the faces that the images are of: eyes and teeth have other tiles, or none. None:
    all."""


def write_obj(path: Path, mesh: Mesh, textures: Textures | None = None, *,
              texture_suffix: str = ".png") -> list[Path]:  # fmt: skip
    """Write `path`, its `.mtl` and its texture; return what was written, `path` last.

    Coordinates have six decimals; vertices and triangles keep their order.

    Parameters
    ----------
    texture_suffix : str
        `.png`, or `.jpg` for a JPEG of quality 98.

    Raises
    ------
    InputError
        The mesh has no texture coordinates, but there is a texture.
    """
    textures = textures or Textures()
    written: list[Path] = []
    material = None
    if textures.color is not None:
        if mesh.uv is None:
            raise InputError(f"{path}: a texture for a mesh without texture coordinates")
        image = path.with_suffix(texture_suffix)
        is_jpeg = texture_suffix in (".jpg", ".jpeg")
        content = jpeg(textures.color, quality=TEXTURE_QUALITY) if is_jpeg else png(textures.color)
        write_bytes(image, content)
        material = path.with_suffix(".mtl")
        write_text(material, f"{_MTL}map_Kd {image.name}\n\n{_PLAIN_MTL}")
        written += [image, material]
    with atomic_path(path) as part, part.open("w", encoding="ascii", newline="\n") as file:
        if material is not None:
            file.write(f"mtllib {material.name}\n")
        write_points(file, mesh)
        for start, stop, covered in _runs(textures.covered, len(mesh.faces)):
            if material is not None:
                file.write(f"usemtl {'skin' if covered else 'plain'}\n")
            write_faces(file, mesh, slice(start, stop))
    return [*written, path]


def write_glb(path: Path, mesh: Mesh, textures: Textures | None = None) -> Path:
    """Write a GLB with normals, UVs, texture and normal map, as far as there are.

    A vertex at a seam of the chart stands there once for each of its texture coordinates;
    those that stand twice have the same position.
    """
    textures = textures or Textures()
    normals = vertex_normals(mesh.vertices, mesh.faces)
    covered = np.ones(len(mesh.faces), bool) if textures.covered is None else textures.covered
    scene = trimesh.Scene()
    for name, kept, images in (("skin", covered, textures), ("plain", ~covered, Textures())):
        if kept.any():
            shape = _shape(mesh, normals, kept, images)
            metres = np.diag([_M_PER_MM, _M_PER_MM, _M_PER_MM, 1.0])
            scene.add_geometry(shape, node_name=name, geom_name=name, transform=metres)
    content = scene.export(file_type="glb", include_normals=True)
    assert isinstance(content, bytes)
    write_bytes(path, content)
    return path


def _shape(mesh: Mesh, normals: AnyFloats, kept: Bools, textures: Textures) -> trimesh.Trimesh:
    """Return some faces of a mesh with their part of its material."""
    per_corner = None if mesh.faces_uv is None else mesh.faces_uv[kept]
    rows, faces, uv = one_uv_a_vertex(replace(mesh, faces=mesh.faces[kept], faces_uv=per_corner))
    shape = trimesh.Trimesh(
        vertices=mesh.vertices[rows], faces=faces, vertex_normals=normals[rows], process=False,
    )  # fmt: skip
    if uv is not None:
        material: Any = trimesh.visual.material.PBRMaterial(
            metallicFactor=0.0, roughnessFactor=0.8,
            baseColorTexture=_picture(textures.color, "JPEG"),
            normalTexture=_picture(textures.tangent_normal, "PNG"),
        )  # fmt: skip
        shape.visual = trimesh.visual.TextureVisuals(uv=uv, material=material)
    return shape


def one_uv_a_vertex(mesh: Mesh) -> tuple[Ints, Ints, AnyFloats | None]:
    """Split vertices at the chart's seams.

    Returns
    -------
    rows : (N,) int32
        The vertex that each new one is.
    faces : (F, 3) int32
    uv : (N, 2) or None
    """
    if mesh.uv is None or mesh.faces_uv is None:
        return np.arange(len(mesh.vertices), dtype=np.int32), mesh.faces, mesh.uv
    pairs = mesh.faces.ravel().astype(np.int64) * len(mesh.uv) + mesh.faces_uv.ravel()
    distinct, new = np.unique(pairs, return_inverse=True)
    vertex, uv_row = np.divmod(distinct, len(mesh.uv))
    return vertex.astype(np.int32), new.reshape(-1, 3).astype(np.int32), mesh.uv[uv_row]


def _picture(image: Bytes | None, kind: str) -> PillowImage.Image | None:
    """Return an image that trimesh embeds as a file of this kind."""
    if image is None:
        return None
    content = jpeg(image, quality=TEXTURE_QUALITY) if kind == "JPEG" else png(image)
    return PillowImage.open(io.BytesIO(content))


def _runs(covered: Bools | None, n: int) -> list[tuple[int, int, bool]]:
    """Return the stretches (start, stop, covered) of faces that are alike."""
    if n == 0 or covered is None:
        return [(0, n, True)]
    starts = [0, *(np.flatnonzero(np.diff(covered.astype(np.int8))) + 1).tolist(), n]
    return [(a, b, bool(covered[a])) for a, b in pairwise(starts)]
