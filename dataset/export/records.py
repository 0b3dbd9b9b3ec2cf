"""One take of a build folder as the record that a shard keeps."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...capture.session import Session, Shot, Take, TakeKind
from ...core.arrays import Bools, Floats32
from ...core.errors import InputError
from ...core.files import hash_of
from ...core.geometry.camera import Camera, Rig
from ...core.geometry.transform import Similarity
from ...core.imaging.imageio import read_image
from ..bake.deformation import deformed
from ..bake.maps import Maps
from ..register.registered import Registered
from ..register.takelandmarks import load_landmarks
from ..registerstage import LANDMARKS_FILE
from ..store import CaptureRecord, encode_displacement
from .encoding import (
    as_array,
    coded_color,
    coded_normals,
    jpeg,
    png,
    smaller,
)  # fmt: skip
from .provenance import sha256_of, stages_json, stages_of

N_DISTORTION = 8
MOST_SIDE_PX = 1024
MOST_DISPLACEMENT_MM = 3.2766
"""What is there or beyond was cut off, here or in `maps.npz`."""
MOST_SIGMA_MM = 1000.0
"""Stored where an uncertainty is larger or unknown."""

_UNNAMED = re.compile(r"(take|shot|t)?[-_ ]*\d+", re.IGNORECASE)
_UNFIT = re.compile(r"[^A-Za-z0-9_-]")
_MOST_NAME = 64
_LEAST_SERIAL = 4  # characters; a serial "01" is part of many a name


@dataclass(frozen=True, kw_only=True)
class TakeResults:
    """What an export knows of a take beside its photographs."""

    registered: Registered
    maps: Maps
    rig: Rig
    rms_px: Mapping[str, float] = field(default_factory=dict)
    """Camera -> reprojection error, where known."""
    unused: tuple[str, ...] = ()
    """Cameras whose photographs stereo left out."""
    folder: Path
    """Of the take in the build folder; `landmarks.npz` may be there."""
    stage_folders: tuple[Path, ...]
    """Where the records of its stages are."""


def capture_record(
    session: Session, take: Take, results: TakeResults, *,
    name: str | None = None, most_side: int = MOST_SIDE_PX, normals: bool = True,
) -> CaptureRecord:  # fmt: skip
    """Return what a shard keeps of a take.

    Parameters
    ----------
    name : str, optional
        Of the capture's group; the take's, made fit for HDF5, by default.
    most_side : int
        Longer side of the photographs inside, px.
    normals : bool
        Also keep both maps of normals, which follow from the others.

    Raises
    ------
    InputError
        A photograph is missing or not the one that was ingested, or none is of a camera of the
        rig.
    """
    mm_from_world = _millimetres(results.registered)
    cameras = [camera.moved(mm_from_world) for camera in results.rig]
    names = camera_names(session, [camera.name for camera in cameras])
    shots = [take.shot(camera.name) for camera in cameras]
    if not any(shots):
        raise InputError(f"{session.folder}: take {take.id} has no photograph of the rig's cameras")
    data: dict[str, NDArray[Any]] = _cameras(cameras, names, shots, results)
    attributes: dict[str, dict[str, Any]] = {}
    for shot, camera, camera_name in zip(shots, cameras, names, strict=True):
        if shot is not None:
            _put_photograph(session, shot, camera_name, most_side, data, attributes)
            width = attributes[f"images/{camera_name}"]["width"]
            attributes[f"images/{camera_name}"]["scale"] = width / camera.width
    data |= _mesh(results, mm_from_world)
    n_too_large = _put_maps(results, data, attributes, normals=normals)
    data |= _landmarks(take, results, cameras, mm_from_world)
    facts = {
        "metric": results.rig.metric,
        "mm_per_world_unit": mm_from_world.scale,
        "displacement_too_large": n_too_large,
    }
    return CaptureRecord(
        name=name or safe_names([take.id])[0],
        attributes={
            "take": take.id,
            "expression": "unknown" if _UNNAMED.fullmatch(take.id) else take.id,
            "session": session_token(session),
            "capture_sha256": sha256_of(sorted(shot.sha256 for shot in take.shots)),
            "status": "complete",
            "stages_json": stages_json(
                results.stage_folders,
                renamed={c.name: new for c, new in zip(cameras, names, strict=True)},
                **facts,
            ),
        },
        data=data,
        data_attributes=attributes,
    )


def session_token(session: Session) -> str:
    """Return what stands for a session: a hash, since its name may tell who is in it."""
    subject = [take for take in session.takes if take.kind is TakeKind.SUBJECT]
    return hash_of(sorted(shot.sha256 for take in subject for shot in take.shots))


def camera_names(session: Session, names: Sequence[str]) -> list[str]:
    """Return what a rig's cameras are called in a shard: a number where the name tells a serial.

    Where files lie without order, ingestion calls cameras by the serial numbers in them.
    """
    serials = {text for camera in session.cameras for text in (camera.serial, camera.lens_serial)}
    told = {plain for serial in serials if serial and (plain := _plain(serial))}
    return safe_names(
        [
            f"camera{number:02d}" if _tells(_plain(name), told) else name
            for number, name in enumerate(names, start=1)
        ]
    )


def _tells(name: str, serials: Collection[str]) -> bool:
    """Whether a name is a serial number, or holds one that is too long to stand there by chance."""
    return any(s == name or (len(s) >= _LEAST_SERIAL and s in name) for s in serials)


def _plain(text: str) -> str:
    return _UNFIT.sub("", text).replace("_", "").replace("-", "").lower()


def safe_names(names: Sequence[str]) -> list[str]:
    """Return names of A-Z, a-z, 0-9, _ and -, all different, in order."""
    safe: list[str] = []
    for name in names:
        base = _UNFIT.sub("_", name)[:_MOST_NAME] or "_"
        found, count = base, 2
        while found in safe:
            found = f"{base[: _MOST_NAME - 1 - len(str(count))]}-{count}"
            count += 1
        safe.append(found)
    return safe


def _millimetres(registered: Registered) -> Similarity:
    """Return `mm_from_world`: a shard has no arbitrary unit, the model's size stands for it."""
    scale = 1 / registered.world_from_head.scale
    return Similarity(scale=scale, R=np.eye(3), t=np.zeros(3))


def _cameras(
    cameras: Sequence[Camera],
    names: Sequence[str],
    shots: Sequence[Shot | None],
    results: TakeResults,
) -> dict[str, NDArray[Any]]:
    used = [
        shot is not None and camera.name not in results.unused
        for shot, camera in zip(shots, cameras, strict=True)
    ]
    dist = np.zeros((len(cameras), N_DISTORTION))
    dist[:, :5] = [camera.distortion for camera in cameras]
    return {
        "cameras/K": np.array([camera.K for camera in cameras]),
        "cameras/RT": np.array([camera.cam_from_world for camera in cameras]),
        "cameras/dist": dist,
        "cameras/size": np.array([[camera.width, camera.height] for camera in cameras]),
        "cameras/id": np.array([name.encode() for name in names], "S64"),
        "cameras/valid": np.array(used, np.uint8),
        "cameras/reproj_rms_px": np.array([results.rms_px.get(c.name, np.nan) for c in cameras]),
    }


def _put_photograph(
    session: Session, shot: Shot, name: str, most_side: int,
    data: dict[str, NDArray[Any]], attributes: dict[str, dict[str, Any]],
) -> None:  # fmt: skip
    image = smaller(session.read(shot), most_side)
    height, width = image.shape[:2]
    data[f"images/{name}"] = as_array(jpeg(image))
    attributes[f"images/{name}"] = {
        "width": width,
        "height": height,
        "sha256_original": shot.sha256,
        "colourspace": "sRGB",
    }
    path = session.mask_path(shot)
    if path is None:
        return
    mask = smaller(read_image(path), most_side)[..., 0]
    if mask.shape != (height, width):
        raise InputError(f"{path}: not of the shape of its photograph; ingest again")
    data[f"masks/{name}"] = as_array(png(np.where(mask >= 128, 255, 0).astype(np.uint8)))
    attributes[f"masks/{name}"] = {"width": width, "height": height}


def _mesh(results: TakeResults, mm_from_world: Similarity) -> dict[str, NDArray[Any]]:
    registered = results.registered
    world_from_head = registered.world_from_head
    vertices = deformed(registered, results.maps)
    return {
        "mesh/vertices": mm_from_world(world_from_head(vertices)),
        "mesh/coarse_vertices": registered.coarse(),
        "mesh/support": np.clip(registered.support, 0, 1),
        "mesh/identity": registered.identity,
        "mesh/expression": registered.expression,
        "mesh/pose": np.column_stack([world_from_head.R, mm_from_world(world_from_head.t)]),
    }


def _put_maps(
    results: TakeResults, data: dict[str, NDArray[Any]], attributes: dict[str, dict[str, Any]], *,
    normals: bool,
) -> int:  # fmt: skip
    """Put the maps; return how many texels lie beyond what 16 bits reach."""
    maps = results.maps
    displacement, fits = encode_displacement(maps.displacement)
    fits &= np.abs(maps.displacement) < MOST_DISPLACEMENT_MM
    valid = maps.valid & fits
    data |= {
        "maps/deformation": maps.deformation,
        "maps/deformation_valid": maps.deformation_valid.astype(np.uint8),
        "maps/deformation_sigma": _sigma(maps.deformation_sigma, maps.deformation_valid),
        "maps/displacement": displacement,
        "maps/valid": valid.astype(np.uint8),
        "maps/sigma": _sigma(maps.sigma, valid),
    }
    attributes["maps/deformation"] = {
        "frame": "head, unposed",
        "base": "M0",
        "interp": "bilinear between texel centres",
    }
    attributes["maps/displacement"] = {
        "direction": "smooth vertex normal of M1, + outward",
        "base": str(maps.base),
    }
    for name in ("normal", "tangent_normal") if normals else ():
        values = coded_normals(getattr(maps, name))
        data[f"maps/{name}"] = as_array(png(values))
        attributes[f"maps/{name}"] = _size(values)
    if maps.albedo.size:
        color, seen = coded_color(maps.albedo), maps.albedo_valid.astype(np.uint8) * 255
        data["maps/albedo"], data["maps/albedo_valid"] = as_array(png(color)), as_array(png(seen))
        attributes["maps/albedo_valid"] = _size(seen)
        attributes["maps/albedo"] = {
            **_size(color), "colourspace": "sRGB",
            "calibrated": albedo_calibrated(results.stage_folders),
        }  # fmt: skip
    return int((maps.valid & ~fits).sum())


def albedo_calibrated(folders: Sequence[Path]) -> bool:
    """Whether a colour chart stands behind the albedo, as the stage that made it tells."""
    return any(
        record["results"].get("albedo_calibrated") is True for record in stages_of(folders).values()
    )


def _sigma(sigma: Floats32, valid: Bools) -> Floats32:
    known = np.nan_to_num(sigma, nan=MOST_SIGMA_MM, posinf=MOST_SIGMA_MM)
    return np.where(valid, np.clip(known, 0, MOST_SIGMA_MM), 0).astype(np.float32)


def _size(image: NDArray[Any]) -> dict[str, int]:
    return {"width": image.shape[1], "height": image.shape[0]}


def _landmarks(
    take: Take, results: TakeResults, cameras: Sequence[Camera], mm_from_world: Similarity
) -> dict[str, NDArray[Any]]:
    path = results.folder / LANDMARKS_FILE
    if not path.is_file():
        return {}
    found = load_landmarks(path)
    pixels = np.full((len(cameras), *found.pixels.shape[1:]), np.nan)
    for row, camera in enumerate(cameras):
        shot = take.shot(camera.name)
        if camera.name in found.cameras and shot is not None:
            # found in the photograph as stored, kept at the size that K is for
            scale = (camera.width / shot.width, camera.height / shot.height)
            pixels[row] = found.pixels[found.cameras.index(camera.name)] * scale
    return {
        "landmarks/points": mm_from_world(found.points),
        "landmarks/sigma": mm_from_world.scale * found.sigma,
        "landmarks/pixels": pixels,
    }
