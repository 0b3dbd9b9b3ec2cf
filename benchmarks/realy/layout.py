"""REALY's files on disk: scans, keypoints, scales, templates and predictions.

    DATA/REALY_HIFI3D_keypoints/<id>.obj            85 vertices
    DATA/REALY_scan_region/<id>/{nose,mouth,forehead,cheek}.obj
    DATA/metrical_scale.txt                         mm in a unit, a line per subject
    DATA/<TEMPLATE>.obj, DATA/<TEMPLATE>.txt        topology, and where the keypoints lie on it
    PREDICTIONS/<id>.obj, <id>_<image>.obj          frontal; side and multi-view

Each of DATA's may lie in DATA or in DATA/data, as in the official repository.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...core.arrays import Bools
from ...core.errors import InputError
from ...core.files import read_json, read_text
from ..evaluation.predictions import check_mesh, find_beside, read_mesh, read_obj_mesh
from .regions import N_KEYPOINTS, REGIONS, Region, Scan
from .score import Prediction, keypoint_table

KEYPOINTS = "REALY_HIFI3D_keypoints"
SCANS = "REALY_scan_region"
SCALES = "metrical_scale.txt"
IMAGES = ("REALY_image", "images")


@dataclass(frozen=True, kw_only=True)
class RealyData:
    """The benchmark's folder, checked for what every case needs."""

    keypoints: Path
    scans: Path
    scales: Path
    subjects: tuple[int, ...]
    """That have a scan."""
    mm_per_unit: Mapping[int, float]
    """Subject -> metrical scale."""
    places: tuple[Path, ...]
    """Where templates may be."""


def open_data(root: Path) -> RealyData:
    """Find and check the benchmark's folder.

    Raises
    ------
    InputError
        A part is missing or not as it should be.
    """
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; REALY's data are needed there")
    places = tuple(place for place in (root, root / "data") if place.is_dir())
    keypoints, scans = _folder(places, KEYPOINTS), _folder(places, SCANS)
    scales = next((p / SCALES for p in places if (p / SCALES).is_file()), None)
    if scales is None:
        raise InputError(f"{root}: {SCALES} is missing (100 lines, in the official data folder)")
    subjects = sorted(int(p.name) for p in scans.iterdir() if p.is_dir() and p.name.isdigit())
    if not subjects:
        raise InputError(f"{scans}: no subjects; folders 1 to 100 with four regions are needed")
    return RealyData(
        keypoints=keypoints, scans=scans, scales=scales, subjects=tuple(subjects),
        mm_per_unit=_scales(scales), places=places,
    )  # fmt: skip


def _folder(places: tuple[Path, ...], name: str) -> Path:
    for place in places:
        if (place / name).is_dir():
            return place / name
    raise InputError(f"{places[0]}: the folder {name} is missing; it comes with REALY's data")


def _scales(path: Path) -> dict[int, float]:
    try:
        values = [float(word) for word in read_text(path).split()]
    except ValueError as error:
        raise InputError(f"{path}: not numbers ({error})") from error
    return {i + 1: value for i, value in enumerate(values)}  # subjects count from 1


def scan_files(data: RealyData, subject: int) -> dict[str, Path]:
    """Return what the scan of a subject is read from, by name.

    Raises
    ------
    InputError
        A file is missing.
    """
    files = {"keypoints": data.keypoints / f"{subject}.obj"}
    files |= {name: data.scans / str(subject) / f"{name}.obj" for name in REGIONS}
    for path in files.values():
        if not path.is_file():
            raise InputError(f"{path}: missing; subject {subject} cannot be scored without it")
    scale = data.mm_per_unit.get(subject)
    if scale is None or not scale > 0:
        raise InputError(f"{data.scales}: no scale for subject {subject}")
    return files


def read_scan(files: Mapping[str, Path], mm_per_unit: float) -> Scan:
    """Read a subject's scan.

    Raises
    ------
    InputError
        A file is damaged.
    """
    keypoints = read_obj_mesh(files["keypoints"]).vertices
    if len(keypoints) != N_KEYPOINTS:
        raise InputError(
            f"{files['keypoints']}: {len(keypoints)} vertices; {N_KEYPOINTS} keypoints are needed"
        )
    regions = {}
    for name in REGIONS:
        mesh = read_mesh(files[name])
        regions[name] = Region(vertices=mesh.vertices.astype(np.float32), faces=mesh.faces)
    return Scan(keypoints=keypoints.astype(np.float32), regions=regions, mm_per_unit=mm_per_unit)


@dataclass(frozen=True, kw_only=True)
class Template:
    """A topology that predictions may have."""

    name: str
    mesh: Path
    keypoints: Path


def templates(data: RealyData) -> dict[str, Template]:
    """Return name -> template: an OBJ and a text file of one name."""
    found: dict[str, Template] = {}
    for place in data.places:
        for path in sorted(place.glob("*.txt")):
            mesh = path.with_suffix(".obj")
            if mesh.is_file() and path.stem not in found:
                found[path.stem] = Template(name=path.stem, mesh=mesh, keypoints=path)
    return found


def choose_template(data: RealyData, name: str | None, examples: Sequence[Path]) -> Template:
    """Return the template by name, or else the one with as many vertices as a prediction has.

    Of the predictions `examples` the first that has a template counts: others may be broken.

    Raises
    ------
    InputError
        There is none, or several suit.
    """
    known = templates(data)
    there = ", ".join(known) or "none"
    if name is not None:
        if name not in known:
            raise InputError(
                f"{data.places[-1]}: no template {name!r} ({name}.obj with {name}.txt); "
                f"there are {there}"
            )
        return known[name]
    if not known:
        raise InputError(
            f"{data.places[-1]}: no template; put the predictions' topology there as NAME.obj "
            "with NAME.txt, the 85 keypoints' triangles and weights"
        )
    if len(known) == 1 or not examples:
        return next(iter(known.values()))
    sizes = {template.name: _n_vertices(template.mesh) for template in known.values()}
    told = ""
    for example in examples:
        try:
            n = _n_vertices(example)
        except InputError as error:
            told = told or str(error)
            continue
        fitting = [template for template in known if sizes[template] == n]
        if len(fitting) == 1:
            return known[fitting[0]]
        many = ", ".join(fitting) or "none"
        told = told or f"{example}: {n} vertices; templates with as many: {many}, of {there}"
    raise InputError(f"{told}; name one by --set template=NAME")


def _n_vertices(path: Path) -> int:
    if path.suffix.lower() == ".obj":
        return len(read_obj_mesh(path).vertices)
    return len(read_mesh(path).vertices)


def read_prediction(path: Path, template: Template, mask: Path | None) -> Prediction:
    """Read a predicted mesh that has the template's vertices.

    Raises
    ------
    InputError
        It is absent, damaged or of another topology; or the template is.
    """
    topology = read_obj_mesh(template.mesh)
    where = str(template.keypoints)
    try:
        rows = np.array(read_json(template.keypoints), np.float64)
    except (ValueError, TypeError) as error:
        raise InputError(f"{where}: not 85 rows of [triangle, weight, weight]") from error
    check_mesh(topology.vertices, topology.faces, str(template.mesh))
    table = keypoint_table(rows, topology.faces, where)
    mesh = read_mesh(path, n_vertices=len(topology.vertices))
    return Prediction(
        vertices=mesh.vertices.astype(np.float32), faces=mesh.faces, keypoints=table,
        mask=None if mask is None else read_mask(mask), name=str(path),
    )  # fmt: skip


def read_mask(path: Path) -> Bools:
    """Read a template's mask: a 0 or 1 for each vertex.

    Raises
    ------
    InputError
        It is absent or has other values.
    """
    try:
        text = path.read_text(encoding="utf-8")
        values = np.array([float(word) for word in text.replace(",", " ").split()])
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not readable as a mask of 0 and 1 ({error})") from error
    if not np.isin(values, (0, 1)).all():
        raise InputError(f"{path}: a template's mask has a 0 or 1 for each vertex")
    return values.astype(bool)


@dataclass(frozen=True, kw_only=True)
class Name:
    """What a prediction's file name says."""

    stem: str
    subject: int
    side: bool
    """Of the side and multi-view set, `<subject>_<image>`."""

    @property
    def place(self) -> int:
        """Where it comes in the official order: all digits as one number."""
        return int(self.stem.replace("_", ""))


def read_name(stem: str, folder: Path) -> Name:
    """Read `<subject>` or `<subject>_<image>`.

    Raises
    ------
    InputError
        It is otherwise.
    """
    parts = stem.split("_")
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise InputError(
            f"{folder / stem}: predictions are named as the photographs, <subject> or "
            "<subject>_<image>, in digits"
        )
    return Name(stem=stem, subject=int(parts[0]), side=len(parts) > 1)


def predicted_names(folder: Path) -> list[Name]:
    """Return the names of all predictions in a folder, in the official order.

    Raises
    ------
    InputError
        The folder is absent, or a name is none.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; predictions are <id>.obj in it")
    names = [read_name(stem, folder) for stem in sorted(set(_stems(folder)))]
    return sorted(names, key=lambda name: (name.place, name.stem))


def prediction_file(folder: Path, stem: str) -> Path:
    """Return a prediction's file; `.obj` is the official one, `.ply` is read too."""
    return find_beside(folder / stem)


def _stems(folder: Path) -> Iterator[str]:
    for path in folder.iterdir():
        if path.suffix in (".obj", ".ply") and path.is_file() and path.name[0] not in "._":
            yield path.stem
