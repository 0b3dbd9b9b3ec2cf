"""Features of all takes pooled per camera: a fixed rig has one pose for all of them.

The subject may move between takes: features are matched within each take only, and every
take adds its own points to the same cameras.
"""

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...capture.session import Session, Shot, Take
from ...core.arrays import Bytes, Floats, Ints
from ...core.console import track
from ...core.files import hash_of, sha256_file
from .features import Features, FeatureSettings, find_features, match_pairs
from .mapping import Mapped

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PooledFeatures:
    """Features of all takes, together for each camera; rows of features run over the takes."""

    names: tuple[str, ...]
    xy: tuple[Floats, ...]
    """Of each camera: (N, 2) px."""
    colors: tuple[Bytes, ...]
    """Likewise (N, 3) sRGB."""
    take_of: tuple[Ints, ...]
    """Likewise (N,) the take of each feature."""
    matches: dict[tuple[int, int], Ints]
    """Two cameras, the first one first -> (M, 2) rows of their features."""


def pool_features(
    session: Session,
    takes: Sequence[Take],
    digests: Mapping[tuple[str, str], str],
    settings: FeatureSettings,
    *,
    cache: Path,
    n_workers: int,
) -> PooledFeatures:
    """Find the features of all photographs and match them within each take.

    Parameters
    ----------
    digests : Mapping
        (take, camera) -> hash of photograph and mask: names of the files in `cache`.
    n_workers : int
        Photographs searched at a time.
    """

    def find(job: tuple[Take, Shot]) -> Features:
        take, shot = job
        return find_features(
            session.checked_path(shot),
            mask=session.mask_path(shot),
            digest=digests[take.id, shot.camera],
            settings=settings,
            cache=cache,
        )

    jobs = [(take, shot) for take in takes for shot in take.shots]
    with ThreadPoolExecutor(max(1, n_workers)) as pool:
        found = list(track(pool.map(find, jobs), "finding features", total=len(jobs)))
    names = tuple(camera.id for camera in session.cameras)
    parts: dict[str, list[tuple[int, Features]]] = {name: [] for name in names}
    matches: dict[tuple[int, int], list[Ints]] = {}
    offset = dict.fromkeys(names, 0)
    for index, take in enumerate(takes):
        own = {
            shot.camera: features
            for (t, shot), features in zip(jobs, found, strict=True)
            if t is take
        }
        keys = {camera: digests[take.id, camera] for camera in own}
        for (a, b), rows in match_pairs(own, keys, settings=settings, cache=cache).items():
            shifted = rows + np.array([offset[a], offset[b]], np.int32)
            pair = (names.index(a), names.index(b))
            if pair[0] > pair[1]:
                pair, shifted = (pair[1], pair[0]), shifted[:, ::-1]
            matches.setdefault(pair, []).append(shifted)
        for camera, features in own.items():
            parts[camera].append((index, features))
            offset[camera] += len(features)
    log.info("%d features in %d photographs", sum(offset.values()), len(jobs))
    empty = Features(
        xy=np.zeros((0, 2), np.float32),
        descriptors=np.zeros((0, 128), np.uint8),
        colors=np.zeros((0, 3), np.uint8),
    )
    return PooledFeatures(
        names=names,
        xy=tuple(
            np.concatenate([f.xy for _, f in parts[n]] or [empty.xy]).astype(np.float64)
            for n in names
        ),
        colors=tuple(
            np.concatenate([f.colors for _, f in parts[n]] or [empty.colors]) for n in names
        ),
        take_of=tuple(
            np.repeat([i for i, _ in parts[n]], [len(f) for _, f in parts[n]]).astype(np.int32)
            for n in names
        ),
        matches={pair: np.concatenate(rows) for pair, rows in sorted(matches.items())},
    )


def shot_digests(session: Session, takes: Sequence[Take]) -> dict[tuple[str, str], str]:
    """Return (take, camera) -> short hash of photograph and mask."""

    def digest(shot: Shot) -> str:
        mask = session.mask_path(shot)
        return hash_of([shot.sha256, None if mask is None else sha256_file(mask)])

    return {(take.id, shot.camera): digest(shot) for take in takes for shot in take.shots}


def point_colors(pooled: PooledFeatures, mapped: Mapped) -> Bytes:
    """Return the mean colour of each point's features, (P, 3)."""
    total = np.zeros((len(mapped.points), 3))
    for index in np.unique(mapped.camera_of):
        rows = mapped.camera_of == index
        colors = pooled.colors[int(index)][mapped.feature_of[rows]]
        np.add.at(total, mapped.point_of[rows], colors.astype(np.float64))
    n_sightings = np.bincount(mapped.point_of, minlength=len(mapped.points))
    return np.asarray((total / n_sightings[:, None]).round(), np.uint8)
