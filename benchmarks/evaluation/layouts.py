"""What each benchmark wants of facekit's own reconstructions: which surface, frame and files."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...core.arrays import Floats, Ints
from ...core.errors import InputError
from ...core.facemodel.model import FaceModel
from ...core.files import atomic_path
from ...core.geometry.camera import Camera
from ...core.geometry.mesh import Mesh
from ...core.geometry.meshio import save_mesh
from ...reconstruct.surfaces import FaceSurfaces
from .predictions import read_mesh
from .protocol import Case, Options

SEVEN_OF_68 = (36, 39, 42, 45, 33, 48, 54)
"""NoW's landmarks among the 68: eye corners from the subject's right, below the nose, mouth."""


_CANNOT = {
    "facescape-lab": "it scores poses before cameras of known focal length, which facekit's "
    "reconstruction estimates for itself",
    "micc": "it scores the topology of GANFit's template, which facekit's face models do not have",
    "micc-deep3d": "its footage is video, of which methods choose their frames",
}
"""Benchmark -> why facekit's reconstructions are not written for it."""


@dataclass(frozen=True, kw_only=True)
class Face:
    """A reconstructed face in the head frame, mm, in the scale of the face model."""

    model: FaceModel
    posed: Floats
    """(V, 3) as the photograph shows it."""
    neutral: Floats
    """(V, 3) the same person at rest."""
    faces: Ints
    """(F, 3)."""
    camera: Camera | None
    """Of the photograph, its world is the head frame; None of several photographs."""


def face_of(surfaces: FaceSurfaces, *, camera: Camera | None) -> Face:
    """Return what benchmarks are given of a reconstruction."""
    model, mid = surfaces.model, np.asarray(surfaces.mid, dtype=np.float64)
    shown = model.shape(expression=np.asarray(surfaces.expression, dtype=np.float64))
    return Face(
        model=model, posed=mid, neutral=mid - (shown - model.shape()), faces=model.faces,
        camera=camera,
    )  # fmt: skip


def writer_of(name: str, data: Path, options: Options) -> Callable[[Case, Face], None]:
    """Return what writes a face as a benchmark's prediction.

    Raises
    ------
    InputError
        The benchmark scores another topology than facekit's face models have.
    """
    if name in ("now", "esrc"):
        return _write_with_seven
    if name == "realy":
        return _realy_writer(data, options)
    if name == "facescape-wild":
        return _write_orthographic
    why = _CANNOT.get(name, "facekit cannot write its own reconstructions as it wants them")
    raise InputError(f"--method: {name}: {why}; give --predictions")


def _write_with_seven(case: Case, face: Face) -> None:
    """Write the person at rest, as the scans are, and seven landmarks beside it."""
    save_mesh(case.prediction, Mesh(vertices=face.neutral, faces=face.faces))
    seven = face.neutral[face.model.landmarks68[list(SEVEN_OF_68)]]
    with atomic_path(case.prediction.with_suffix(".npy")) as part, part.open("wb") as stream:
        np.save(stream, seven)


def _realy_writer(data: Path, options: Options) -> Callable[[Case, Face], None]:
    """Return a writer for a template that has facekit's topology."""
    chosen = options.settings.get("template", "")
    template = data / "data" / f"{chosen}.obj"
    if not chosen or not template.is_file():
        raise InputError(
            "realy: it scores by 85 keypoints on a template; give the one that has the face "
            "model's topology by --set template=NAME (Deep3D has the registered bfm's; those of "
            f"the built-in head are not known: {data / 'data'} needs its NAME.obj and NAME.txt)"
        )
    n_vertices = len(read_mesh(template).vertices)

    def write(case: Case, face: Face) -> None:
        if len(face.posed) != n_vertices:
            raise InputError(
                f"realy: the template {chosen} has {n_vertices} vertices, the face model "
                f"{face.model.name} {len(face.posed)}; take --reconstruct model=bfm with "
                "--set template=Deep3D"
            )
        save_mesh(case.prediction, Mesh(vertices=face.posed, faces=face.faces))

    return write


def _write_orthographic(case: Case, face: Face) -> None:
    """Write the face as its photograph shows it, in the orthographic space [-1, 1]^3.

    x to the right, y up, z to the viewer; depth in the scale that the face has in the image.
    """
    if face.camera is None:
        raise InputError("facescape-wild: poses are scored, and several views have no one pose")
    camera = face.camera
    pixels, depth = camera.project(face.posed)
    half = np.array([camera.width, camera.height]) / 2
    middle = float(np.median(depth))
    z = -(depth - middle) * float(camera.K[0, 0]) / middle / half[0]
    ortho = np.column_stack([(pixels - half) / half * (1.0, -1.0), z])
    save_mesh(case.prediction, Mesh(vertices=ortho, faces=face.faces))
