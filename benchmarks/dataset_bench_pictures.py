"""Pictures of a take: the registered mesh over its scan, and its maps beside the true ones."""

from pathlib import Path

import cv2
import numpy as np

from ..core.arrays import Bools, Bytes, Floats, Floats32
from ..core.facemodel.model import FaceModel
from ..core.geometry.camera import Camera
from ..core.geometry.mesh import Mesh, edges_of, vertex_normals
from ..core.imaging.color import srgb_from_linear
from ..core.imaging.imageio import write_image
from ..core.rendering.colormap import AMOUNT, SIGNED
from ..core.rendering.preview import MeshPreview, orbit_cameras
from ..dataset.bake.chart import chart
from ..dataset.bake.maps import Maps
from ..dataset.register.registered import Registered
from .dataset_bench_maps import face_texels
from .dataset_bench_truth import TakeTruth

REGISTERED, DISPLACEMENT, ALBEDO = "registered.png", "displacement.png", "albedo.png"
_ERROR_MM = 2.0  # of the colours of correspondence: dark is 0, yellow this or more
_RELIEF_MM, _OFF_MM = 0.4, 0.2  # blue to red, either way
_YAWS = (-40.0, 0.0, 40.0)
_HEIGHT = 900
_WIRE = (20, 60, 140)


def draw_registered(path: Path, registered: Registered, scan: Mesh, truth: TakeTruth) -> None:
    """Draw the registered edges over the scan, and the errors of correspondence below."""
    model = registered.model
    posed = registered.posed()
    on_skin = np.asarray(model.regions["skin"][model.faces].all(axis=1))
    mesh = Mesh(vertices=posed, faces=model.faces).selected(on_skin)
    cameras = orbit_cameras(mesh, _YAWS, width=round(0.8 * _HEIGHT), height=_HEIGHT)
    of_scan, of_mesh = MeshPreview(scan), MeshPreview(mesh)
    error = np.linalg.norm(posed - truth.vertices, axis=1)
    error[~truth.measured] = np.nan
    used = np.unique(model.faces[on_skin])
    colors = AMOUNT(error[used], 0.0, _ERROR_MM)
    above = [_wired(of_scan.draw(camera), camera, registered, posed) for camera in cameras]
    below = [of_mesh.draw(camera, colors=colors) for camera in cameras]
    write_image(path, np.vstack([np.hstack(above), np.hstack(below)]))


def draw_displacement(path: Path, maps: Maps, true: Maps, truth: TakeTruth) -> None:
    """Draw the true displacement, ours, and the difference; grey is not known."""
    shown = _box(truth.model, len(maps.displacement), truth.face_region)
    both = maps.valid & true.valid
    off = np.where(both, maps.displacement - true.displacement, np.nan)
    parts = [
        SIGNED(np.where(true.valid, true.displacement, np.nan)[shown], -_RELIEF_MM, _RELIEF_MM),
        SIGNED(np.where(maps.valid, maps.displacement, np.nan)[shown], -_RELIEF_MM, _RELIEF_MM),
        SIGNED(off[shown], -_OFF_MM, _OFF_MM),
    ]
    write_image(path, np.hstack(parts))


def draw_albedo(path: Path, maps: Maps, true: Floats32, truth: TakeTruth) -> None:
    """Draw the true albedo, linear (n, n, 3), and ours."""
    shown = _box(truth.model, len(maps.albedo), truth.face_region)
    pair = [true, np.where(maps.albedo_valid[..., None], maps.albedo, 0.5)]
    parts: list[Bytes] = [
        np.rint(255 * srgb_from_linear(np.clip(image[shown], 0, 1))).astype(np.uint8)
        for image in pair
    ]
    write_image(path, np.hstack(parts))


def _wired(picture: Bytes, camera: Camera, registered: Registered, posed: Floats) -> Bytes:
    """Draw the registered mesh's edges that face the camera over a picture."""
    model = registered.model
    facing = ((camera.center - posed) * vertex_normals(posed, model.faces)).sum(1) > 0
    drawn = facing & model.regions["skin"]
    edges = edges_of(model.faces)
    edges = edges[drawn[edges].all(axis=1)]
    xy, _ = camera.project(posed)
    lines = np.rint((xy[edges] - 0.5) * 16).astype(np.int32)
    out = picture.copy()
    cv2.polylines(out, list(lines), False, _WIRE, 1, cv2.LINE_AA, 4)
    return np.asarray(cv2.addWeighted(out, 0.45, picture, 0.55, 0))


def _box(model: FaceModel, size: int, face: Bools) -> tuple[slice, slice]:
    """Return the rows and columns that the face takes in the chart."""
    rows, columns = np.nonzero(face_texels(chart(model, size), face))
    return (
        slice(int(rows.min()), int(rows.max()) + 1),
        slice(int(columns.min()), int(columns.max()) + 1),
    )
