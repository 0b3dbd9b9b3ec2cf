"""FaceScape's benchmark on disk, and where its predictions are put.

The repository's `benchmark/` folder with its data unpacked, or the data with `predef/` in it:

    data/wild_gt_mesh/000.obj ...       code/predef/wild_{pupil_scales,head_centers,rotations}.npy
    data/lab_gt_mesh/00.obj ...         code/predef/lab_{head_centers,rotations}.npy
    data/lab_cam/00_0_00.json ...       [K, Rt], of subject_focal_view

Predictions are meshes of these names, in the orthographic space of the image: x right and y up in
[-1, 1], z towards the viewer in the same unit. It is the space that the official loader `RAFaRe`
takes as it is; the lab's predictions are in it as well, and are moved to the camera here.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...core.arrays import AnyFloats, Floats
from ...core.errors import InputError
from ...core.files import read_json
from ...core.geometry.mesh import Mesh
from ...core.geometry.meshio import load_mesh
from ...core.npzfile import read_npy
from ..evaluation.predictions import check_mesh, find_beside, read_mesh

WILD_CASES = 400
SUBJECTS, FOCALS, VIEWS = 20, (1200, 600, 300), 11
LAB_CASES = SUBJECTS * len(FOCALS) * VIEWS

_IMAGE = 256.0  # px, of the benchmark's images
_BEHIND = 2.0  # units behind the camera's plane: meshes there are seen by the renderer
_FACE_HEIGHT = 3.0  # pupil distances, that a predicted face in the lab is scaled to
_SPLIT_BY = b"\nvt "  # texture coordinates, by which trimesh splits vertices


@dataclass(frozen=True, kw_only=True)
class WildData:
    """What the wild set holds."""

    meshes: dict[int, Path]
    """Index -> truth."""
    pupil_scales: Floats
    """(N,) mm a unit."""
    head_centers: Floats
    """(N, 3)."""
    rotations: Floats
    """(N, 3, 3) head to camera."""


@dataclass(frozen=True, kw_only=True)
class LabData:
    """What the lab set holds."""

    meshes: dict[int, Path]
    """Subject -> truth."""
    cameras: dict[int, Path]
    """Index -> camera."""
    head_centers: Floats
    """(3, 3) mm, a row for each focal length."""
    rotations: Floats
    """(11, 3, 3) head to camera, for each view."""


def lab_name(index: int) -> str:
    """Return a lab case's file name: subject_focal_view."""
    subject, rest = divmod(index, len(FOCALS) * VIEWS)
    focal, view = divmod(rest, VIEWS)
    return f"{subject:02d}_{focal}_{view:02d}"


def wild_angle(index: int) -> str:
    """Return the range of yaw, degrees, of a wild case."""
    return ("0-5", "5-30", "30-60", "60-90")[min(index // 100, 3)]


def view_angle(view: int) -> str:
    """Return the angle, degrees, that a lab view is turned by."""
    return "0" if view == 0 else "30" if view <= 8 else "60"


def wild_data(data: Path) -> WildData:
    """Find the wild set below `data`.

    Raises
    ------
    InputError
        A part of it is missing or has another shape.
    """
    meshes = _true_meshes(data, "wild", most=WILD_CASES, names="000.obj to 399.obj")
    last = max(meshes)
    return WildData(
        meshes=meshes,
        pupil_scales=_table(data, "wild_pupil_scales.npy", (), last).reshape(-1),
        head_centers=_table(data, "wild_head_centers.npy", (3,), last),
        rotations=_table(data, "wild_rotations.npy", (3, 3), last),
    )


def _true_meshes(data: Path, kind: str, *, most: int, names: str) -> dict[int, Path]:
    """Return the true meshes of a set, of the first `most` numbers."""
    folder = _folder(data, f"{kind}_gt_mesh", f"facescape-{kind}")
    meshes = {int(p.stem): p for p in sorted(folder.glob("[0-9]*.obj")) if p.stem.isdigit()}
    meshes = {i: path for i, path in meshes.items() if i < most}
    if not meshes:
        raise InputError(f"{folder}: no {names}, the true meshes of the {kind} set")
    return meshes


def lab_data(data: Path) -> LabData:
    """Find the lab set below `data`.

    Raises
    ------
    InputError
        A part of it is missing or has another shape.
    """
    meshes = _true_meshes(data, "lab", most=SUBJECTS, names="00.obj to 19.obj")
    camera_folder = _folder(data, "lab_cam", "facescape-lab")
    paths = {i: camera_folder / f"{lab_name(i)}.json" for i in range(LAB_CASES)}
    per_subject = len(FOCALS) * VIEWS
    cameras = {i: p for i, p in paths.items() if i // per_subject in meshes and p.is_file()}
    if not cameras:
        raise InputError(f"{camera_folder}: no 00_0_00.json and such, the cameras of the lab set")
    return LabData(
        meshes=meshes,
        cameras=cameras,
        head_centers=_table(data, "lab_head_centers.npy", (3,), len(FOCALS) - 1),
        rotations=_table(data, "lab_rotations.npy", (3, 3), VIEWS - 1),
    )


def read_camera(path: Path) -> tuple[Floats, Floats]:
    """Read a lab camera: K (3, 3) px and Rt (3, 4), its translation in pupil distances.

    Raises
    ------
    InputError
        It is not [K, Rt].
    """
    try:
        values: Any = read_json(path)
        K, Rt = np.array(values[0], np.float64), np.array(values[1], np.float64)
    except (ValueError, TypeError, IndexError, KeyError, OverflowError) as error:
        raise InputError(f"{path}: not a camera [K, Rt] ({error})") from error
    if K.shape != (3, 3) or Rt.shape[:1] < (3,) or Rt.shape[1:] != (4,):
        raise InputError(f"{path}: K is {K.shape} and Rt {Rt.shape}, not (3, 3) and (3, 4)")
    return K, Rt[:3]


def prediction_path(predictions: Path, name: str) -> Path:
    """Return where a prediction is expected: `name` with .obj or .ply."""
    return find_beside(predictions / name)


def read_prediction(path: Path) -> Mesh:
    """Read a predicted mesh, its vertices as the official reader delivers them.

    trimesh has a vertex for each pair of vertex and texture coordinate; the mean depth, by which
    the official loader places a mesh, is over those.
    """
    if path.suffix.lower() == ".obj" and path.is_file() and _SPLIT_BY in path.read_bytes():
        try:
            mesh = load_mesh(path)
            check_mesh(mesh.vertices, mesh.faces, str(path))
        except InputError:
            return read_mesh(path)  # with its own sentence, or for what trimesh cannot read
        return mesh
    return read_mesh(path)


def place_wild(vertices: AnyFloats) -> Floats:
    """Return a wild prediction (V, 3) with its mean depth at -2, in front of the camera."""
    placed = _points(vertices)
    placed[:, 2] -= np.mean(placed[:, 2]) + _BEHIND
    return placed


def place_lab(vertices: AnyFloats, *, focal: float) -> Floats:
    """Return a lab prediction (V, 3) in its camera, in pupil distances.

    From the orthographic space: y and z are reversed, the mesh is put at the depth where it has
    its size in the image, and all is scaled so that the mesh is 3 pupil distances high.
    """
    placed = _points(vertices) * (1.0, -1.0, -1.0)
    placed[:, 2] -= np.mean(placed[:, 2])
    placed[:, 2] += focal / (_IMAGE / 2)
    height = np.max(placed[:, 1]) - np.min(placed[:, 1])
    if not height > 0:
        raise InputError("the prediction has no height")
    return np.asarray(placed / (height / _FACE_HEIGHT))


def _points(vertices: AnyFloats) -> Floats:
    points = np.array(vertices, np.float64)
    if points.ndim != 2 or points.shape[1] != 3 or not len(points):
        raise InputError(f"the prediction has vertices {points.shape}; (V, 3) is needed")
    return points


def photographs_of(data: Path, kind: str) -> dict[str, Path]:
    """Return stem -> photograph of the first folder `<kind>_im...` of the data; empty if none."""
    for root in _roots(data):
        for folder in sorted(root.glob(f"{kind}*_*im*g*")):
            files = sorted(p for p in folder.glob("*") if p.suffix in (".png", ".jpg", ".jpeg"))
            if files:
                return {path.stem: path for path in files}
    return {}


def _roots(data: Path) -> list[Path]:
    return [data / "data", data / "benchmark" / "data", data]


def _folder(data: Path, name: str, benchmark: str) -> Path:
    for root in _roots(data):
        if (root / name).is_dir():
            return root / name
    raise InputError(
        f"{data}: no folder {name} in it or in its data/; {benchmark} wants the benchmark/ folder "
        "of FaceScape's repository with its data unpacked"
    )


def _table(data: Path, name: str, shape: tuple[int, ...], last: int) -> Floats:
    """Read a table of `predef/` with rows up to `last`."""
    roots = [
        root / "predef"
        for root in (data / "code", data / "benchmark" / "code", data, data.parent / "code")
    ]
    path = next((root / name for root in roots if (root / name).is_file()), None)
    if path is None:
        raise InputError(
            f"{data}: no {name} in code/predef/ or predef/; it comes with FaceScape's repository"
        )
    stored = read_npy(path)
    if stored.dtype.kind not in "fiu":
        raise InputError(f"{path}: holds {stored.dtype} in place of numbers")
    table = np.asarray(stored, np.float64)
    rows = table.reshape(-1) if shape == () else table
    if rows.shape[1:] != shape or len(rows) <= last:
        raise InputError(f"{path}: shape {table.shape}; rows of {shape} up to {last} are needed")
    return rows
