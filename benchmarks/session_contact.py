"""The surface beside the photographs, drawn by the very cameras that took them.

A fault of a mesh shows best where the eye can go from the one to the other: whole, and where it
has most relief, close up.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ..calibration.check import REPAIRED_FILE
from ..calibration.rigfile import load_rig
from ..capture.session import Session, Shot
from ..core.arrays import Bytes, Floats
from ..core.console import track
from ..core.errors import FacekitError
from ..core.geometry.camera import Camera, Rig
from ..core.geometry.mesh import Mesh
from ..core.geometry.transform import Similarity
from ..core.imaging.imageio import read_image
from ..core.imaging.orientation import turned_upright
from ..core.imaging.resample import scale_image
from ..core.rendering.preview import BACKGROUND
from ..core.report import Block, Gallery, Missing, Picture, Section, picture
from .session_surface import Surface

_TILE_PX = 400  # longer side of a tile; four make a picture
_PART = 1 / 4  # of the surface's longer side in the photograph, shown close up
_MARGIN = 0.06  # round the surface, of its longer side
_MOST_VIEWS = 12  # of a take: about 100 kB each
_MOST_TAKES = 3
_GAP_PX = 6
_WHITE = np.uint8(255)
_SOME = 20_000  # vertices that say where the surface is in a photograph


@dataclass(frozen=True, kw_only=True)
class Window:
    """A square part of a photograph, px; it may reach beyond the frame."""

    x: int
    y: int
    side: int


def contact_section(
    session: Session, surfaces: Sequence[Surface], rig: Rig | None, *,
    build_folder: Path | None, upright: Similarity,
) -> Section:  # fmt: skip
    """Return the section: each photograph and its mesh from the same camera, whole and a part.

    Parameters
    ----------
    rig : Rig, optional
        As calibrated; the one that was repaired for a take counts before it.
    upright : Similarity
        The rig's frame -> the surfaces'.
    """
    blocks: list[Block] = []
    for surface in surfaces[:_MOST_TAKES]:
        used = _rig_of_take(rig, build_folder, surface.take)
        if used is None:
            continue
        cameras = {camera.name: camera for camera in used.moved(upright)}
        shots = [shot for shot in session.take(surface.take).shots if shot.camera in cameras]
        few = _spread_evenly(shots, _MOST_VIEWS)
        pictures = [
            made
            for shot in track(few, "beside the photographs")
            if (made := _sheet(session, shot, cameras[shot.camera], surface)) is not None
        ]
        if pictures:
            caption = (
                f"Take {surface.take}: photograph and surface through the same camera; below, "
                "the part with most relief."
            )
            if len(few) < len(shots):
                caption += f" {len(few)} of {len(shots)} cameras."
            blocks.append(Gallery(pictures=pictures, min_width=340, caption=caption))
    if not blocks:
        blocks = [Missing(what="The surface and its cameras", how="facekit build-dataset")]
    return Section(title="Beside the photographs", blocks=blocks)


def photograph_beside_mesh(
    image: Bytes, camera: Camera, surface: Surface, *, orientation: int = 1, tile_px: int = _TILE_PX
) -> Bytes | None:
    """Return the four tiles: photograph and clay; whole, and below the part with most relief.

    Parameters
    ----------
    image : (camera.height, camera.width, 3) uint8
        The photograph as it was stored, with the lens's distortion: rays go through it too.
    camera : Camera
        In the surface's frame.
    orientation : int
        EXIF's, by which the tiles are turned for a person.

    Returns
    -------
    (2 * tile_px + gap, 2 * tile_px + gap, 3) uint8
        None where the surface is not in the picture.
    """
    whole = _window_of(surface.mesh, camera)
    if whole is None:
        return None
    clay = _drawn(surface, camera, whole, tile_px)
    side = max(min(tile_px, whole.side), round(whole.side * _PART))
    part = _richest(clay, whole, side)
    pairs = (
        (_photographed(image, whole, tile_px), clay),
        (_photographed(image, part, tile_px), _drawn(surface, camera, part, tile_px)),
    )
    rows = [_joined([turned_upright(tile, orientation) for tile in pair], axis=1) for pair in pairs]
    return _joined(rows, axis=0)


def _rig_of_take(rig: Rig | None, build_folder: Path | None, take: str) -> Rig | None:
    repaired = None if build_folder is None else build_folder / take / REPAIRED_FILE
    if repaired is not None and repaired.is_file():
        try:
            return load_rig(repaired)
        except FacekitError:
            return rig
    return rig


def _sheet(session: Session, shot: Shot, camera: Camera, surface: Surface) -> Picture | None:
    try:
        image = read_image(session.path(shot))
    except (FacekitError, OSError):
        return None  # the photographs' own section says so
    if image.dtype != np.uint8:
        image = (image >> 8).astype(np.uint8)
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=2)
    seen = camera.scaled(shot.width, shot.height)
    tiles = photograph_beside_mesh(image, seen, surface, orientation=shot.orientation)
    return None if tiles is None else picture(tiles, shot.camera, quality=80)


def _window_of(mesh: Mesh, camera: Camera) -> Window | None:
    """Return the square round the surface in a photograph, None where it is outside of it."""
    step = max(1, len(mesh.vertices) // _SOME)
    xy, depth = camera.project(np.asarray(mesh.vertices[::step], dtype=np.float64))
    xy = xy[(depth > 0) & np.isfinite(xy).all(axis=1)]
    xy = np.clip(xy, 0, [camera.width, camera.height])
    if not len(xy):
        return None
    low, high = np.percentile(xy, [0.2, 99.8], axis=0)
    side = round(float((high - low).max()) * (1 + 2 * _MARGIN))
    if (high - low).min() < 1 or side < 2:
        return None
    corner: Floats = (low + high - side) / 2
    return Window(x=int(corner[0]), y=int(corner[1]), side=side)


def _photographed(image: Bytes, window: Window, tile_px: int) -> Bytes:
    photo = scale_image(_cut(image, window), tile_px, tile_px)
    return np.rint(photo * 255).astype(np.uint8)


def _drawn(surface: Surface, camera: Camera, window: Window, tile_px: int) -> Bytes:
    seen = camera.cropped(window.x, window.y, width=window.side, height=window.side)
    return surface.preview.draw(seen.scaled(tile_px, tile_px))


def _richest(clay: Bytes, whole: Window, side: int) -> Window:
    """Return the part of a window, `side` px wide, where the clay shows most relief."""
    tile_px = len(clay)
    size = max(1, round(side / whole.side * tile_px))
    grey = clay.astype(np.float32).mean(axis=2)
    on_surface = (clay != np.array(BACKGROUND, np.uint8)).any(axis=2).astype(np.float32)
    relief = np.abs(grey - cv2.GaussianBlur(grey, (0, 0), 3.0))
    # outlines are no relief: only what lies well within the surface counts
    inside = cv2.erode(on_surface, np.ones((9, 9), np.uint8), borderValue=0)
    score = cv2.boxFilter(relief * inside, -1, (size, size), borderType=cv2.BORDER_CONSTANT)
    low, high = size // 2, max(size // 2 + 1, tile_px - size + size // 2)
    row, column = np.unravel_index(score[low:high, low:high].argmax(), (high - low, high - low))
    scale = whole.side / tile_px
    return Window(x=whole.x + round(float(column) * scale), y=whole.y + round(float(row) * scale),
                  side=side)  # fmt: skip


def _cut(image: Bytes, window: Window) -> Bytes:
    """Return a window of an image; white beyond its frame."""
    cut = np.full((window.side, window.side, 3), _WHITE)
    height, width = image.shape[:2]
    x0, y0 = max(0, window.x), max(0, window.y)
    x1, y1 = min(width, window.x + window.side), min(height, window.y + window.side)
    if x1 > x0 and y1 > y0:
        cut[y0 - window.y : y1 - window.y, x0 - window.x : x1 - window.x] = image[y0:y1, x0:x1]
    return cut


def _joined(tiles: Sequence[Bytes], *, axis: int) -> Bytes:
    """Return tiles in a row (axis 1) or column (0) with a white gap."""
    shape = list(tiles[0].shape)
    shape[axis] = _GAP_PX
    gap = np.full(shape, _WHITE)
    parts = [part for tile in tiles for part in (gap, tile)][1:]
    return np.concatenate(parts, axis=axis)


def _spread_evenly(shots: Sequence[Shot], most: int) -> list[Shot]:
    if len(shots) <= most:
        return list(shots)
    return [shots[i] for i in np.linspace(0, len(shots) - 1, most).round().astype(int)]
