"""Features of a take matched along the epipolar lines, and the matches joined to points."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ...core.arrays import Ints
from ...core.geometry.camera import Camera
from ..frame import nearest_to_axes
from .guided import match_guided, normalised_rays, root_descriptors
from .ties import TakePhotos, Ties, TieSettings, in_photographs

MAX_ANGLE_DEG = 55.0  # between two cameras whose photographs are compared
DEPTHS = (0.4, 2.0)  # of a tie, in parts of the distance to where the cameras look


def find_tracks(photos: TakePhotos, settings: TieSettings, *, without: Sequence[int] = ()) -> Ties:
    """Match features along the epipolar lines and join the matches to points.

    Parameters
    ----------
    without : sequence of int
        Rows of cameras that are left aside.

    Returns
    -------
    Ties
        Sightings at the features, some of them wrong; px of the photographs.
    """
    rays, units = [], []
    for camera, features in zip(photos.cameras, photos.features, strict=True):
        rays.append(normalised_rays(camera, features.xy.astype(np.float64)))
        units.append(root_descriptors(features.descriptors))
    matches = {}
    for a, b in near_pairs(photos.cameras):
        if a in without or b in without:
            continue
        longer = max(photos.cameras[b].width, photos.cameras[b].height)
        matches[a, b] = match_guided(
            photos.cameras[a],
            photos.cameras[b],
            (rays[a], rays[b]),
            (units[a], units[b]),
            gate_px=settings.gate * longer,
            depths=_depths(photos.cameras, (a, b)),
            max_ratio=settings.max_ratio,
        )
    camera_of, point_of, row_of = join_matches(matches, [len(f) for f in photos.features])
    xy = np.zeros((len(camera_of), 2))
    for index, features in enumerate(photos.features):
        own = camera_of == index
        xy[own] = features.xy[row_of[own]]
    return replace(in_photographs(photos, camera_of, point_of, xy), feature_of=row_of)


def near_pairs(cameras: Sequence[Camera]) -> list[tuple[int, int]]:
    """Return the pairs of cameras that look at the subject from similar directions."""
    middle = nearest_to_axes(cameras)
    rays = np.array([(c.center - middle) / np.linalg.norm(c.center - middle) for c in cameras])
    close = rays @ rays.T > np.cos(np.radians(MAX_ANGLE_DEG))
    n = len(cameras)
    return [(a, b) for a in range(n) for b in range(a + 1, n) if close[a, b]]


def join_matches(
    matches: Mapping[tuple[int, int], Ints], n_features: Sequence[int]
) -> tuple[Ints, Ints, Ints]:
    """Join pairwise matches to points; those that hold two features of one camera are dropped.

    Returns
    -------
    camera_of, point_of, row_of : (N,) int32
        Of each sighting: camera, point, row among the camera's features.
    """
    offset = np.concatenate([[0], np.cumsum(n_features)])
    parent = np.arange(offset[-1])

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = int(parent[i])
        return i

    for (a, b), rows in matches.items():
        for i, j in rows + np.array([offset[a], offset[b]]):
            one, other = root(int(i)), root(int(j))
            parent[max(one, other)] = min(one, other)
    roots = np.array([root(i) for i in range(offset[-1])], dtype=np.int64)
    camera = np.searchsorted(offset, np.arange(offset[-1]), side="right") - 1
    size = np.bincount(roots, minlength=offset[-1])
    keys, repeats = np.unique(roots * len(n_features) + camera, return_counts=True)
    twice = np.unique(keys[repeats > 1] // len(n_features))
    size[twice] = 0
    kept = np.flatnonzero(size[roots] >= 2)
    _, point_of = np.unique(roots[kept], return_inverse=True)
    return (
        camera[kept].astype(np.int32),
        point_of.ravel().astype(np.int32),
        (kept - offset[camera[kept]]).astype(np.int32),
    )


def _depths(cameras: Sequence[Camera], pair: tuple[int, int]) -> tuple[float, float]:
    middle = nearest_to_axes(cameras)
    away = [float((middle - cameras[i].center) @ cameras[i].view_direction) for i in pair]
    if min(away) <= 0:  # the axes do not meet before the cameras
        return 0.0, np.inf
    return DEPTHS[0] * min(away), DEPTHS[1] * max(away)
