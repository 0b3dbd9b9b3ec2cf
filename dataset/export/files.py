"""Meshes and maps as files, a folder for every take."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from ...capture.sidecar import Purpose
from ...core.arrays import Bytes
from ...core.console import track
from ...core.devices import require
from ...core.errors import InputError
from ...core.facemodel.model import FaceModel
from ...core.files import write_json
from ...core.geometry.mesh import Mesh
from ...core.geometry.meshio import save_mesh
from ...core.geometry.transform import Similarity
from ..bake.chart import chart
from ..bake.chart_kernels import nearest_texel
from ..bake.config import BakeConfig
from ..bake.deformation import deformed
from ..bake.detailed import detailed_mesh
from ..bake.displacement import facescape_displacement
from ..bake.maps import Maps
from ..build import EXPECTED, reason_of
from ..register.registered import Registered
from ..registerstage import load_scan
from .encoding import coded_color, tangent_bytes
from .facescape import write_about, write_facescape
from .gathering import Gathered, SourceTake, gather
from .images import write_albedo, write_exr, write_png16
from .meshes import Textures, write_glb, write_obj

TAKE_FILE = "take.json"
_GUTTER = 64  # parts of an image that its colours go on beyond the chart: viewers shrink it


class FileFormat(StrEnum):
    """What can be written of a take."""

    OBJ = "obj"
    GLB = "glb"
    DETAILED = "detailed"
    PNG16 = "png16"
    ALBEDO = "albedo"
    EXR = "exr"


class Frame(StrEnum):
    """Where meshes lie."""

    WORLD = "world"
    """The rig's, in which the scan and the cameras are."""
    HEAD = "head"
    """The face model's: upright, the same for all takes."""


@dataclass(frozen=True, kw_only=True)
class FilesConfig:
    """How files are written."""

    frame: Frame = Frame.WORLD
    step: int = 2  # texels of the displacement between vertices of the detailed mesh
    purpose: Purpose = Purpose.RESEARCH  # a consent that does not cover it keeps a subject back
    no_person: bool = False  # whoever has no consent form is none: a bust, a mannequin


def export_files(
    builds: Sequence[Path], out: Path, formats: Sequence[FileFormat], config: FilesConfig
) -> dict[str, Any]:
    """Write `out/<subject>/<take>/`, one set of files a take.

    Returns
    -------
    dict
        `folder`, `written` (takes), `takes` (`<subject>/<take>` -> names of files), `refused` and
        `failed` (-> reason).

    Raises
    ------
    InputError
        No format is given, or nothing can be exported.
    MissingDependencyError
        EXR is asked for, and the extra `exr` is not installed.
    """
    if not formats:
        raise InputError("no format is given; name one or more of " + ", ".join(FileFormat))
    if FileFormat.EXR in formats:
        require("OpenEXR", extra="exr")  # before any work

    def write(subject: str, one: SourceTake, registered: Registered, maps: Maps) -> list[str]:
        folder = out / subject / one.name
        written = _write_take(folder, registered, maps, formats, config)
        about = {
            "format": "facekit-take-files",
            "version": 1,
            "subject": subject,
            "take": one.name,
            "model": registered.model.name,
            "unit": "mm",
            "metric": one.source.rig_of(one.take).metric,
            "frame": config.frame,
            "world_from_head": _rigid(registered).tolist(),
        }
        write_json(folder / TAKE_FILE, about)
        return [path.name for path in written] + [TAKE_FILE]

    return _each_take(gather(builds, config.purpose, no_person=config.no_person), out, write)


def export_facescape(
    builds: Sequence[Path], out: Path, *, purpose: Purpose = Purpose.RESEARCH,
    no_person: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Write folders as FaceScape TU has them, see `facescape.py`; needs the scans (`mesh.ply`).

    Returns
    -------
    dict
        `folder`, `written` (takes), `takes` (`<subject>/<take>` -> clipped texels), `refused` and
        `failed` (-> reason).
    """

    def write(subject: str, one: SourceTake, registered: Registered, maps: Maps) -> dict[str, int]:
        how = BakeConfig(displacement_size=len(maps.displacement))
        write_about(out, [registered.model.name], smooth_mm=how.smooth_mm)
        shape, scan = deformed(registered, maps), load_scan(one.source.take_folder(one.take))
        relief = facescape_displacement(registered, scan, shape, how).displacement
        mesh, textures = _mesh(registered, shape), textures_of(registered, maps)
        return {"clipped_texels": write_facescape(out, subject, one.name, mesh, textures, relief)}

    return _each_take(gather(builds, purpose, no_person=no_person), out, write)


def placed(registered: Registered, points: Any, frame: Frame) -> Any:
    """Take points (V, 3) of the head frame to a frame, mm.

    A rig without scale has a world of its own unit; millimetres are then the model's.
    """
    if frame is Frame.HEAD:
        return points
    pose = _rigid(registered)
    return points @ pose[:, :3].T + pose[:, 3]


def textures_of(registered: Registered, maps: Maps) -> Textures:
    """Return the albedo and the tangent normals as 8-bit images, and the faces they are of.

    Both go on a little beyond the chart, so that viewers blend no black into its borders.
    """
    model = registered.model
    color = coded_color(maps.albedo) if maps.albedo.size else None
    if color is not None:
        color = _beyond(model, color)
    normals = _beyond(model, tangent_bytes(maps.tangent_normal))
    return Textures(color=color, tangent_normal=normals, covered=model.chart_faces)


def _beyond(model: FaceModel, image: Bytes) -> Bytes:
    gutter = max(4, len(image) // _GUTTER)
    row, col, near = nearest_texel(chart(model, len(image)).inside, gutter)
    extended = image.copy()
    extended[near] = image[row[near], col[near]]
    return extended


def _write_take(
    folder: Path, registered: Registered, maps: Maps, formats: Sequence[FileFormat],
    config: FilesConfig,
) -> list[Path]:  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    if FileFormat.OBJ in formats or FileFormat.GLB in formats:
        shape = placed(registered, deformed(registered, maps), config.frame)
        mesh, textures = _mesh(registered, shape), textures_of(registered, maps)
        if FileFormat.OBJ in formats:
            written += write_obj(folder / "head.obj", mesh, textures)
        if FileFormat.GLB in formats:
            written.append(write_glb(folder / "head.glb", mesh, textures))
    if FileFormat.DETAILED in formats:
        written.append(_write_detailed(folder / "detailed.ply", registered, maps, config))
    if FileFormat.PNG16 in formats:
        written += write_png16(folder, maps)
    if FileFormat.ALBEDO in formats:
        written += write_albedo(folder / "albedo.png", maps)
    if FileFormat.EXR in formats:
        written += write_exr(folder, maps)
    return written


def _write_detailed(path: Path, registered: Registered, maps: Maps, config: FilesConfig) -> Path:
    mesh = detailed_mesh(registered, maps, step=config.step)
    pose = registered.world_from_head
    head_from_world = Similarity(
        scale=1 / pose.scale, R=pose.R.T, t=-pose.R.T @ pose.t / pose.scale
    )
    vertices = placed(registered, head_from_world(mesh.vertices), config.frame)
    sigma = mesh.attributes["sigma_mm"] / pose.scale
    written = Mesh(
        vertices=vertices, faces=mesh.faces, attributes={**mesh.attributes, "sigma_mm": sigma}
    )
    if maps.albedo.size and mesh.uv is not None:
        n = len(maps.albedo)
        row, col = ((1 - mesh.uv[:, 1]) * n).astype(int), (mesh.uv[:, 0] * n).astype(int)
        within = (np.clip(row, 0, n - 1), np.clip(col, 0, n - 1))
        written = replace(written, colors=coded_color(maps.albedo[within]))
    save_mesh(path, written)
    return path


def _mesh(registered: Registered, vertices: Any) -> Mesh:
    model = registered.model
    return Mesh(vertices=vertices, faces=model.faces, uv=model.uv, faces_uv=model.faces_uv)


def _rigid(registered: Registered) -> Any:
    """Return `world_from_head` (3, 4), R | t, with t in mm."""
    pose = registered.world_from_head
    return np.column_stack([pose.R, pose.t / pose.scale])


def _each_take(
    gathered: Gathered, out: Path, write: Callable[[str, SourceTake, Registered, Maps], Any]
) -> dict[str, Any]:
    """Write all takes; one that fails does not stop the others."""
    takes: dict[str, Any] = {}
    failed = dict(gathered.left_out)
    every = [(s.pseudonym, one) for s, several in gathered.subjects.items() for one in several]
    for subject, one in track(every, "takes"):
        label = f"{subject}/{one.name}"
        try:
            model = one.source.model(one.take)
            takes[label] = write(subject, one, *one.source.results(one.take, model))
        except EXPECTED as error:
            failed[label] = reason_of(error)
    if not takes:
        raise InputError("nothing could be exported. " + "; ".join(failed.values()))
    return {
        "folder": str(out),
        "written": len(takes),
        "takes": takes,
        "refused": dict(gathered.refused),
        "failed": failed,
    }
