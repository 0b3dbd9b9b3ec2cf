"""SIFT features of photographs and matches between them, kept on disk by content.

Photographs are reduced before the search: features of a face live at scales of several
pixels, and time goes with the area. Coordinates are those of the full photograph, the
centre of its top-left pixel at (0.5, 0.5), as COLMAP counts too.
"""

import logging
import threading
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pycolmap

from ...core.arrays import Bools, Bytes, Floats32, Image, Ints
from ...core.console import track
from ...core.files import atomic_path, hash_of
from ...core.imaging.imageio import read_image

log = logging.getLogger(__name__)

FEATURES_VERSION = 1
"""Raised whenever a change moves features or matches: older caches are then not used."""

N_BLOCK = 4096  # descriptors compared at a time, to bound memory


@dataclass(frozen=True, kw_only=True)
class FeatureSettings:
    """How features are found and matched."""

    max_image_size: int
    """px of the longer side at which features are searched."""
    peak_threshold: float
    """Least contrast of a feature, of 1; SIFT's own 0.0067 leaves skin almost empty."""
    max_features: int
    """Of a photograph, the largest ones."""
    max_ratio: float
    """Of the distances to the best and the second-best candidate (Lowe's test)."""
    first_octave: int = -1
    """-1 searches the picture enlarged twice too, for the smallest features, at four times the
    cost; 0 does not."""


@dataclass(frozen=True, kw_only=True)
class Features:
    """Features of one photograph."""

    xy: Floats32
    """(N, 2) px of the full photograph."""
    descriptors: Bytes
    """(N, 128)."""
    colors: Bytes
    """(N, 3) sRGB at the features."""

    def __len__(self) -> int:
        return len(self.xy)


_quiet_lock = threading.Lock()
_quiet_levels: list[int] = []  # what COLMAP's log was set to, one entry for each block inside


@contextmanager
def quiet_colmap() -> Iterator[None]:
    """Keep COLMAP's own log off the terminal inside the block, in whatever threads."""
    with _quiet_lock:
        _quiet_levels.append(pycolmap.logging.minloglevel)
        pycolmap.logging.minloglevel = pycolmap.logging.FATAL.value
    try:
        yield
    finally:
        with _quiet_lock:
            level = _quiet_levels.pop()
            if not _quiet_levels:
                pycolmap.logging.minloglevel = level
            else:  # others are still inside: the outermost level is for the last to restore
                _quiet_levels[0] = min(_quiet_levels[0], level)


def find_features(
    path: Path, *, mask: Path | None, digest: str, settings: FeatureSettings, cache: Path
) -> Features:
    """Return the features of a photograph, from `cache` where it has been searched before.

    Parameters
    ----------
    mask : Path, optional
        Of any size, white is subject; features elsewhere are left out.
    digest : str
        Of the contents of photograph and mask.

    Raises
    ------
    InputError
        The photograph or the mask cannot be read.
    """
    kept = cache / f"{digest}-{_features_hash(settings)}.npz"
    arrays = _load(kept, ("xy", "descriptors", "colors"))
    if arrays is None:
        found = _search(read_image(path), None if mask is None else read_image(mask), settings)
        arrays = {"xy": found.xy, "descriptors": found.descriptors, "colors": found.colors}
        _save(kept, arrays)
    return Features(xy=arrays["xy"], descriptors=arrays["descriptors"], colors=arrays["colors"])


def match_features(a: Features, b: Features, *, max_ratio: float) -> Ints:
    """Return the (M, 2) rows of `a` and `b` that are each other's clear best match.

    Source
    ------
    Lowe, IJCV 60(2), 2004, section 7.1 (the ratio test), both ways as in COLMAP; descriptors
    compare by the angle between their square roots (Arandjelovic, Zisserman, CVPR 2012).
    """
    if len(a) < 2 or len(b) < 2:
        return np.zeros((0, 2), np.int32)
    best_b, clear_a = _nearest(a, b, max_ratio)
    best_a, clear_b = _nearest(b, a, max_ratio)
    rows = np.arange(len(a))
    mutual = clear_a & (best_a[best_b] == rows) & clear_b[best_b]
    return np.stack([rows[mutual], best_b[mutual]], axis=1).astype(np.int32)


def match_pairs(
    features: Mapping[str, Features],
    digests: Mapping[str, str],
    *,
    settings: FeatureSettings,
    cache: Path,
) -> dict[tuple[str, str], Ints]:
    """Match all pairs of the photographs of one take; `cache` keeps the pairs.

    Parameters
    ----------
    features, digests : Mapping[str, ...]
        Camera -> features, and the digest of photograph and mask.

    Returns
    -------
    dict
        Pair of cameras, in order -> (M, 2) rows of their features.
    """
    names = sorted(features)
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    found = {}
    for a, b in track(pairs, "matching"):
        key = hash_of([digests[a], digests[b], settings.max_ratio, _features_hash(settings)])
        kept = cache / f"{key}.npz"
        arrays = _load(kept, ("matches",))
        if arrays is None:
            matches = match_features(features[a], features[b], max_ratio=settings.max_ratio)
            arrays = {"matches": matches}
            _save(kept, arrays)
        found[a, b] = np.asarray(arrays["matches"], np.int32)
    return found


def _search(image: Image, mask: Image | None, settings: FeatureSettings) -> Features:
    if image.dtype == np.uint16:
        image = (image >> 8).astype(np.uint8)
    color = image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)
    height, width = color.shape[:2]
    factor = min(1.0, settings.max_image_size / max(width, height))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    small = cv2.resize(color, size, interpolation=cv2.INTER_AREA)
    options = pycolmap.FeatureExtractionOptions()
    options.use_gpu, options.num_threads = False, 1
    options.max_image_size = max(size)
    options.sift.peak_threshold = settings.peak_threshold
    options.sift.max_num_features = settings.max_features
    options.sift.first_octave = settings.first_octave
    options.sift.max_num_orientations = 1  # a second one doubles points, not information
    with quiet_colmap():
        extractor = pycolmap.FeatureExtractor.create(options, pycolmap.Device.cpu)
        grey = np.ascontiguousarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY))
        keypoints, descriptors = extractor.extract_from_uint8_array(grey)
    in_small = pycolmap.keypoints_to_matrix(keypoints)[:, :2]
    rows, columns = _pixels(in_small, size)
    keep: Bools = np.ones(len(in_small), dtype=bool)
    if mask is not None:
        flat = mask if mask.ndim == 2 else mask[..., 0]
        inside = cv2.resize(flat, size, interpolation=cv2.INTER_AREA)
        keep = inside[rows, columns] > np.iinfo(flat.dtype).max // 2
    scale = np.array([width / size[0], height / size[1]], np.float32)
    return Features(
        xy=(in_small * scale)[keep],
        descriptors=np.asarray(descriptors.data, np.uint8)[keep],
        colors=np.asarray(small[rows, columns][keep], np.uint8),
    )


def _pixels(xy: Floats32, size: tuple[int, int]) -> tuple[Ints, Ints]:
    """Return rows and columns of the pixels that hold points (N, 2)."""
    columns = np.clip(xy[:, 0], 0, size[0] - 1).astype(np.int32)
    return np.clip(xy[:, 1], 0, size[1] - 1).astype(np.int32), columns


def _nearest(a: Features, b: Features, max_ratio: float) -> tuple[Ints, Bools]:
    """Return for each row of `a` the nearest of `b`, and whether it beats the second clearly."""
    of_a, of_b = _unit(a), _unit(b)
    best, clear = [], []
    for start in range(0, len(a), N_BLOCK):
        cosine = of_a[start : start + N_BLOCK] @ of_b.T
        rows, nearest = np.arange(len(cosine)), cosine.argmax(axis=1)
        first = cosine[rows, nearest]
        cosine[rows, nearest] = -1
        angle, other = (np.arccos(np.clip(c, -1, 1)) for c in (first, cosine.max(axis=1)))
        best.append(nearest)
        clear.append(angle < max_ratio * other)
    return np.concatenate(best).astype(np.int32), np.concatenate(clear)


def _unit(features: Features) -> Floats32:
    values = features.descriptors.astype(np.float32)
    return np.asarray(values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-9))


def _features_hash(settings: FeatureSettings) -> str:
    found_by = [settings.max_image_size, settings.peak_threshold, settings.max_features]
    if settings.first_octave != -1:
        found_by.append(settings.first_octave)
    return hash_of([*found_by, FEATURES_VERSION])


def _load(path: Path, names: Sequence[str]) -> dict[str, Any] | None:
    """Return the arrays of a cache file, None where it is absent or damaged."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            return {name: stored[name] for name in names}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        log.debug("%s: damaged cache, computing again", path)
        return None


def _save(path: Path, arrays: Mapping[str, Any]) -> None:
    with atomic_path(path) as part:
        np.savez(part, **arrays)
