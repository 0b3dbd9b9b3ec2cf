"""Coded markers (ArUco, AprilTag) of photographs: their corners, to sub-pixel accuracy.

All coordinates that leave this module count the centre of the top-left pixel as (0.5, 0.5).
"""

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from ...capture.session import Session, Shot, Take
from ...core.arrays import Bytes, Floats, Image
from ...core.console import track
from ...core.errors import ConfigError, InputError, SchemaError
from ...core.files import read_json, write_json

log = logging.getLogger(__name__)

MARKERS_VERSION = 1
"""Raised whenever a change moves corners: older caches are then not used."""
MARKERS_FORMAT = "facekit-markers"

WINDOW_CELLS = 0.7  # half-window, in cells of the marker's grid: the black border is one cell
WINDOW_PX = (2, 20)  # no refinement below; above, perspective bends the window's edges
MAX_REFINEMENT_PX = 2.0  # a corner that moves farther was drawn to something else

Sightings = Mapping[int, Floats]
"""Marker id -> (N, 4, 2) px, corners clockwise from the top left; N > 1: seen more than once."""


def marker_dictionary(name: str) -> cv2.aruco.Dictionary:
    """Return OpenCV's dictionary of this name.

    Raises
    ------
    ConfigError
        There is none.
    """
    number = getattr(cv2.aruco, name, None) if name.startswith("DICT_") else None
    if number is None:
        known = ", ".join(sorted(n for n in dir(cv2.aruco) if n.startswith("DICT_")))
        raise ConfigError(f"unknown marker dictionary {name!r}; known: {known}")
    return cv2.aruco.getPredefinedDictionary(number)


def find_markers(image: Image, dictionary: str) -> dict[int, Floats]:
    """Find all markers of a dictionary.

    Corners are refined in windows that stay within the marker's black border. Blur draws the
    corners of a square inwards, all four alike: their diagonals still meet in its centre.

    Parameters
    ----------
    image : (H, W) or (H, W, 3), uint8 or uint16
        RGB or grey.

    Returns
    -------
    dict[int, (N, 4, 2) float64]
        px, by marker id, ascending.

    Raises
    ------
    ConfigError
        The dictionary is unknown.
    """
    known = marker_dictionary(dictionary)
    grey = _grey(image)
    quads, ids, _ = cv2.aruco.ArucoDetector(known).detectMarkers(grey)
    found: dict[int, list[Floats]] = {}
    if ids is not None:
        for marker_id, quad in zip(np.asarray(ids).ravel().tolist(), quads, strict=True):
            corners = np.asarray(quad, np.float64).reshape(4, 2)
            refined = _refined(grey, corners, known.markerSize + 2)
            found.setdefault(int(marker_id), []).append(refined + 0.5)
    return {marker_id: np.array(found[marker_id]) for marker_id in sorted(found)}


def markers_of_session(
    session: Session,
    takes: Sequence[Take],
    dictionary: str,
    *,
    cache: Path | None = None,
    n_workers: int = 2,
) -> dict[tuple[str, str], Sightings]:
    """Find the dictionary's markers in all photographs of the takes.

    Parameters
    ----------
    cache : Path, optional
        Folder that keeps the corners of each file, by its content and the dictionary.
    n_workers : int
        Photographs at a time.

    Returns
    -------
    dict[tuple[str, str], Sightings]
        By take and camera.

    Raises
    ------
    ConfigError
        The dictionary is unknown.
    InputError
        A photograph cannot be read.
    """
    marker_dictionary(dictionary)
    jobs = [(take.id, shot) for take in takes for shot in take.shots]

    def find(job: tuple[str, Shot]) -> dict[int, Floats]:
        shot = job[1]
        path = cache / f"{shot.sha256[:16]}-{dictionary}.json" if cache else None
        known = None if path is None else _kept(path)
        if known is not None:
            return known
        found = find_markers(session.read(shot), dictionary)
        found = {marker_id: np.round(quads, 5) for marker_id, quads in found.items()}
        if path is not None:
            markers = {str(marker_id): quads.tolist() for marker_id, quads in found.items()}
            values = {"format": MARKERS_FORMAT, "version": MARKERS_VERSION, "markers": markers}
            write_json(path, values)
        return found

    with ThreadPoolExecutor(max(1, n_workers)) as pool:
        all_found = list(track(pool.map(find, jobs), "finding markers", total=len(jobs)))
    return {(take, shot.camera): found for (take, shot), found in zip(jobs, all_found, strict=True)}


def _kept(path: Path) -> dict[int, Floats] | None:
    if not path.is_file():
        return None
    try:
        values = read_json(path, format_name=MARKERS_FORMAT, version=MARKERS_VERSION)["markers"]
        return {
            int(marker_id): np.array(quads, np.float64).reshape(-1, 4, 2)
            for marker_id, quads in values.items()
        }
    except (InputError, SchemaError, KeyError, TypeError, ValueError, AttributeError):
        log.debug("%s: damaged cache, detecting again", path)
        return None


def _grey(image: Image) -> Bytes:
    if image.dtype == np.uint16:
        image = (image >> 8).astype(np.uint8)
    grey = image if image.ndim == 2 else np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))
    return np.ascontiguousarray(grey, dtype=np.uint8)


def _refined(grey: Bytes, corners: Floats, n_cells: int) -> Floats:
    """Return the corners (4, 2) refined; as they were where that fails or must not be tried."""
    sides = np.linalg.norm(corners - np.roll(corners, 1, axis=0), axis=1)
    half = int(min(WINDOW_CELLS * sides.min() / n_cells, WINDOW_PX[1]))
    if half < WINDOW_PX[0]:
        return corners
    criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 100, 1e-4)
    start = np.ascontiguousarray(corners.reshape(-1, 1, 2), dtype=np.float32)
    found = cv2.cornerSubPix(grey, start, (half, half), (-1, -1), criteria)
    refined = np.asarray(found, np.float64).reshape(4, 2)
    moved = np.linalg.norm(refined - corners, axis=1).max()
    return refined if moved <= MAX_REFINEMENT_PX else corners
