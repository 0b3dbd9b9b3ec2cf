"""A predicted head as any method writes it: a mesh and perhaps 68 landmarks, or facekit's folder.

<predictions>/single/<subject>.obj|.ply       and perhaps <subject>.txt|.npy: 68 landmarks on it
<predictions>/multi/<subject>.obj|.ply
<predictions>/single/<subject>/               what `facekit reconstruct` writes of a photograph
<predictions>/multi/<subject>/                and of several

Of facekit's folders the coarse surface and the maps are scored, too.
"""

from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import numpy as np

from ...core.arrays import Floats
from ...core.errors import InputError
from ...core.facemodel.model import FaceModel
from ...core.facemodel.procedural import procedural_head
from ...core.geometry.mesh import Mesh, face_areas
from ...reconstruct import predictionfile
from ...reconstruct.surfaces import FaceSurfaces
from ...reconstruct.views import resultfile
from ..evaluation.predictions import (
    LANDMARK_SUFFIXES,
    MESH_SUFFIXES,
    check_mesh,
    find_beside,
    read_mesh,
    read_points,
)
from .truth import N_LANDMARKS


@dataclass(frozen=True, kw_only=True)
class FoundHead:
    """A predicted head, in the method's own frame."""

    mesh: Mesh = field(repr=False)
    """Any topology, any unit unless it is stated; triangles without area left out."""
    landmarks: Floats | None = field(default=None, repr=False)
    """(68, 3) on it."""
    surfaces: FaceSurfaces | None = field(default=None, repr=False)
    """Its coarse surface and maps, where the method is facekit's."""


def prediction_of(folder: Path, name: str) -> Path:
    """Return where a person's prediction lies: a folder, or a mesh of any of the suffixes.

    Raises
    ------
    InputError
        There are two.
    """
    there = [folder / f"{name}{suffix}" for suffix in MESH_SUFFIXES]
    there = [path for path in there if path.is_file()]
    if (folder / name).is_dir():
        there.append(folder / name)
    if len(there) > 1:
        told = " and ".join(path.name for path in there)
        raise InputError(f"{folder}: both {told}; leave one prediction of {name}")
    return there[0] if there else find_beside(folder / name)


def landmarks_of(prediction: Path) -> Path | None:
    """Return the file of landmarks beside a mesh; None where there is none."""
    stem = prediction.with_suffix("") if prediction.suffix in MESH_SUFFIXES else prediction
    path = find_beside(stem, LANDMARK_SUFFIXES)
    return path if path.is_file() else None


def read_found(prediction: Path) -> FoundHead:
    """Read a prediction.

    Raises
    ------
    InputError
        A file is absent or damaged, or the surface or its landmarks cannot be measured.
    """
    if not prediction.is_dir():
        marks = landmarks_of(prediction)
        points = None if marks is None else read_points(marks, N_LANDMARKS)
        return _centred(with_area(read_mesh(prediction), str(prediction)), points)
    surfaces = _surfaces(prediction)
    if surfaces is not None:
        return found_of_surfaces(surfaces)
    meshes = sorted(path for path in prediction.iterdir() if path.suffix in MESH_SUFFIXES)
    if len(meshes) != 1:
        raise InputError(
            f"{prediction}: {len(meshes)} meshes and no result of facekit reconstruct; leave one "
            "OBJ or PLY in it"
        )
    return read_found(meshes[0])


def found_of_surfaces(surfaces: FaceSurfaces) -> FoundHead:
    """Return what is scored of a result of facekit."""
    mesh = surfaces.detailed_mesh()
    marks = np.asarray(surfaces.mid, np.float64)[surfaces.model.landmarks68]
    return FoundHead(mesh=with_area(mesh, "prediction"), landmarks=marks, surfaces=surfaces)


def mean_head() -> FoundHead:
    """Return the mean of the built-in face model: what a method has to be better than."""
    model = _mean_model()
    return FoundHead(
        mesh=Mesh(vertices=model.mean, faces=model.faces),
        landmarks=np.asarray(model.mean[model.landmarks68]),
    )


def with_area(mesh: Mesh, where: str) -> Mesh:
    """Return a mesh without triangles that have no area, which have no normal either.

    Raises
    ------
    InputError
        None has any, or the mesh cannot be measured.
    """
    check_mesh(mesh.vertices, mesh.faces, where)
    vertices = np.asarray(mesh.vertices, np.float64)
    kept = face_areas(vertices, mesh.faces) > 0
    if not kept.any():
        raise InputError(f"{where}: no triangle has any area; a surface is needed")
    return Mesh(vertices=vertices, faces=np.ascontiguousarray(mesh.faces[kept]))


def _centred(mesh: Mesh, landmarks: Floats | None) -> FoundHead:
    """Return a head about its origin: rays are cast in float32, which a far frame wastes."""
    used = mesh.vertices[np.unique(mesh.faces)]
    middle = (used.min(axis=0) + used.max(axis=0)) / 2
    mesh = replace(mesh, vertices=mesh.vertices - middle)
    return FoundHead(mesh=mesh, landmarks=None if landmarks is None else landmarks - middle)


def _surfaces(folder: Path) -> FaceSurfaces | None:
    """Return what facekit wrote into a folder; None where it is not facekit's."""
    if (folder / predictionfile.RECORD_FILE).is_file():
        return predictionfile.load_prediction(folder)
    if (folder / resultfile.RECORD_FILE).is_file():
        return resultfile.load_multiview(folder)
    return None


@cache
def _mean_model() -> FaceModel:
    return procedural_head()
