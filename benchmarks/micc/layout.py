"""MICC data on disk as GANFit's evaluation lays them out, read and checked.

::

    template.obj                                        the topology of all meshes, dm
    landmark_ids.pkl                                    68 vertices of it (or .txt, .json)
    lms/subject_01/Model/frontal1/obj/<name>.ljson      68 points in the scan's own frame, mm
    reg/subject_01/Model/frontal1/obj/<name>.obj        the scan, registered to the template
    scans/subject_01/Model/frontal1/obj/<name>.obj      the scan itself (Deng et al. only)

and predictions as `subject_01/Indoor-Cooperative.obj` (or `.ply`), `PTZ-Indoor`, `PTZ-Outdoor`.
A subject has one or two frontal scans.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...core.arrays import Floats, Ints
from ...core.errors import InputError
from ...core.facemodel.plainpickle import read_pickled_array
from ...core.files import read_json
from ...core.geometry.mesh import Mesh
from ...core.wording import listed
from ..evaluation.predictions import MESH_SUFFIXES, find_beside, read_mesh
from .ganfit import N_LANDMARKS

log = logging.getLogger(__name__)

SETTINGS = ("Indoor-Cooperative", "PTZ-Indoor", "PTZ-Outdoor")
"""Kinds of footage; a subject has a prediction from each."""
SCANS = ("frontal1", "frontal2")
"""Of a subject, in order; one of them may be missing."""


@dataclass(frozen=True, kw_only=True)
class ScanFiles:
    """Files of one frontal scan."""

    name: str
    """`frontal1` or `frontal2`."""
    landmarks: Path
    mesh: Path
    """The registered mesh, or the scan itself."""


@dataclass(frozen=True, kw_only=True)
class Template:
    """The mesh whose topology registered scans and predictions have."""

    mesh: Mesh
    landmark_vertices: Ints
    """(68,)."""

    @property
    def landmarks(self) -> Floats:
        """(68, 3) of the template."""
        return np.asarray(self.mesh.vertices[self.landmark_vertices], dtype=np.float64)


def subjects_of(data: Path, meshes: str) -> Mapping[int, tuple[ScanFiles, ...]]:
    """Return subject -> its scans, in order; `meshes` is `reg` or `scans`.

    Raises
    ------
    InputError
        Folders are missing, or a scan has landmarks but no mesh.
    """
    for part in ("lms", meshes):
        if not (data / part).is_dir():
            raise InputError(f"{data / part}: no such folder; {_holds(part)} belong there")
    found: dict[int, tuple[ScanFiles, ...]] = {}
    for folder in sorted((data / "lms").glob("subject_*")):
        number = folder.name.removeprefix("subject_")
        if not number.isdigit():
            raise InputError(f"{folder}: a folder subject_<number> is expected")
        scans = [_scan(data, meshes, folder.name, name) for name in SCANS]
        known = tuple(scan for scan in scans if scan is not None)
        if not known:
            raise InputError(f"{folder}: neither Model/{'/obj nor Model/'.join(SCANS)}/obj there")
        if int(number) in found:
            raise InputError(f"{folder}: there is another folder of subject {int(number)}")
        found[int(number)] = known
    if not found:
        raise InputError(f"{data / 'lms'}: no folder subject_01, subject_02, ...")
    without = sorted(
        mesh_folder.name
        for mesh_folder in (data / meshes).glob("subject_*")
        if not (data / "lms" / mesh_folder.name).is_dir()
    )
    if without:
        raise InputError(f"{data / 'lms'}: no landmarks of {listed(without)}")
    return dict(sorted(found.items()))


def prediction_of(predictions: Path, subject: int, setting: str) -> Path:
    """Return where the prediction of a subject is, or is expected."""
    return find_beside(predictions / f"subject_{subject:02d}" / setting, MESH_SUFFIXES)


def read_template(mesh_path: Path, ids_path: Path) -> Template:
    """Read `template.obj` and `landmark_ids.pkl`.

    Raises
    ------
    InputError
        A file is missing or not as it should be.
    """
    mesh = read_mesh(mesh_path)
    ids = read_landmark_ids(ids_path)
    if ids.min() < 0 or ids.max() >= len(mesh.vertices):
        raise InputError(
            f"{ids_path}: vertices up to {ids.max()}, but {mesh_path.name} has {len(mesh.vertices)}"
        )
    return Template(mesh=mesh, landmark_vertices=ids)


def landmark_ids_path(data: Path) -> Path:
    """Return where the template's landmarks are told, or are expected."""
    return find_beside(data / "landmark_ids", (".pkl", ".txt", ".json"))


def read_landmark_ids(path: Path) -> Ints:
    """Return (68,) vertices of the template; a pickle may hold numbers and arrays only.

    Raises
    ------
    InputError
        The file is absent, damaged, holds other things, or not 68 of them.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; the template's {N_LANDMARKS} landmarks are there")
    try:
        if path.suffix == ".pkl":
            value: Any = read_pickled_array(path, model="the template's landmarks")
        elif path.suffix == ".json":
            value = read_json(path)
        else:
            value = path.read_text(encoding="utf-8").replace(",", " ").split()
        ids = np.asarray(value, dtype=np.int64).reshape(-1)
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(f"{path}: not readable as vertex numbers ({error})") from error
    except OSError as error:
        raise InputError(f"{path}: not readable ({error.strerror})") from error
    if len(ids) != N_LANDMARKS:
        raise InputError(f"{path}: {len(ids)} vertices, but {N_LANDMARKS} landmarks are expected")
    return ids.astype(np.int32)


def read_ljson(path: Path) -> Floats:
    """Read (68, 3) points of a `.ljson` file, version 1, 2 or 3, one group of landmarks.

    Raises
    ------
    InputError
        The file is absent or no landmarks file, or has another number of points, or lacks some.
    """
    value = read_json(path)
    try:
        if "groups" in value:  # version 3, of several groups
            groups = value["groups"]
            group = groups.get("LJSON", next(iter(groups.values())))
        else:
            group = value
        rows = group["landmarks"]
        points = rows["points"] if isinstance(rows, Mapping) else rows
        array = np.array(
            [[np.nan if x is None else x for x in point] for point in points], np.float64
        )
    except (KeyError, TypeError, ValueError, AttributeError, StopIteration, OverflowError):
        raise InputError(f"{path}: no landmarks of a .ljson file in it") from None
    if array.shape != (N_LANDMARKS, 3):
        raise InputError(
            f"{path}: points of shape {array.shape}; {N_LANDMARKS} in 3-D are expected"
        )
    absent = np.flatnonzero(~np.isfinite(array).all(axis=1))
    if len(absent):
        raise InputError(f"{path}: landmark {listed([str(i) for i in absent])} has no position")
    return array


def _scan(data: Path, meshes: str, subject: str, name: str) -> ScanFiles | None:
    """Return the files of one scan, or None where the subject has no such scan."""
    inside = Path(subject) / "Model" / name / "obj"
    landmarks = sorted((data / "lms" / inside).glob("*.ljson"))
    found = sorted(
        path for suffix in MESH_SUFFIXES for path in (data / meshes / inside).glob(f"*{suffix}")
    )
    if not landmarks and not found:
        return None
    if not found:
        raise InputError(f"{data / meshes / inside}: no mesh of the scan {landmarks[0].stem}")
    if not landmarks:  # as one of the 106 scans has none
        log.warning("%s: left out, no .ljson file in %s", found[0], data / "lms" / inside)
        return None
    same = [path for path in found if path.stem == landmarks[0].stem]
    return ScanFiles(name=name, landmarks=landmarks[0], mesh=(same or found)[0])


def _holds(folder: str) -> str:
    return {
        "lms": "landmarks, subject_01/Model/frontal1/obj/<name>.ljson,",
        "reg": "registered scans, subject_01/Model/frontal1/obj/<name>.obj,",
        "scans": "scans, subject_01/Model/frontal1/obj/<name>.obj,",
    }[folder]
