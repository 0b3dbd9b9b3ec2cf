"""Points of the face found again in other views, to a fraction of a texel.

Two views' textures of one shape are alike up to a shift, which tells of errors in shape and
poses. It is found by dense optical flow, both ways; where there and back lead home and the
patches correlate, the texel is a point that both pictures show, at places that no longer
depend on the shape they were found with.

Source
------
Dense inverse search: Kroeger et al., ECCV 2016, doi:10.1007/978-3-319-46493-0_29, as in OpenCV.
Flow in the chart of a face model, and the checks, are ours.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import combinations
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ...core.arrays import Bools, Floats, Floats32
from ...core.geometry.camera import Camera
from .charted import ChartedViews, bilinear

_CLIPPED = 3.0  # of the local contrast: 8 bits hold the rest
_PATCH = 11  # texels, of the correlation
_LEAST_TEXELS = 400  # that two views must share


@dataclass(frozen=True, kw_only=True)
class TrackConfig:
    """How points are found again."""

    angle_deg: float = 60.0  # between two views of a point: from farther aside skin looks other
    wide_deg: float = 110.0  # of few views also so far aside, to tell whose skin is the same
    few: int = 4
    home_texels: float = 0.75  # there and back
    least_ncc: float = 0.6  # of a patch with the one it was found at
    step_texels: int = 6  # between points
    noise_texels: float = 0.35  # sd of a place found
    most: int = 3000  # points kept, evenly


@dataclass(frozen=True, kw_only=True)
class Tracks:
    """N points, each of one view and found in another."""

    texels: NDArray[np.intp]
    """(N, 2) row and column in the chart they were found in."""
    faces: NDArray[np.intp]
    """(N,) triangle of the model."""
    weights: Floats
    """(N, 3) barycentric place in it, where the first view shows the point."""
    views: NDArray[np.intp]
    """(N, 2) the view and the other."""
    xy: Floats
    """(N, 2, 2) px: where both show it."""
    sigma: Floats
    """(N, 2) px."""
    normals: Floats
    """(N, 3) unit, head frame."""

    def selected(self, rows: NDArray[Any]) -> "Tracks":
        """Return some of the points."""
        return Tracks(**{each.name: getattr(self, each.name)[rows] for each in fields(self)})

    def thinned(self, most: int) -> "Tracks":
        """Return at most so many points, evenly chosen."""
        return self.selected(np.arange(0, len(self.faces), max(1, -(-len(self.faces) // most))))


@dataclass(frozen=True, kw_only=True)
class PairAgreement:
    """How far two views show the same skin."""

    views: tuple[int, int]
    n_shared: int
    """Texels that both show."""
    share: float
    """Of them, found again."""


def find_tracks(
    charted: ChartedViews,
    cameras: Sequence[Camera],
    vertices: Sequence[Floats],
    config: TrackConfig,
) -> tuple[Tracks, list[PairAgreement]]:
    """Find points of each view again in those within reach.

    Parameters
    ----------
    cameras : J cameras
        Whose world is the head frame, as `charted` was made with.
    vertices : J x (V, 3)
        The shape that each view shows.
    """
    found = list(pair_tracks(charted, cameras, vertices, config))
    return (
        _joined([tracks for _, both_ways in found for tracks in both_ways]),
        [agreement for agreement, _ in found],
    )


def pair_tracks(
    charted: ChartedViews,
    cameras: Sequence[Camera],
    vertices: Sequence[Floats],
    config: TrackConfig,
) -> Iterator[tuple[PairAgreement, list[Tracks]]]:
    """Yield what `find_tracks` finds, pair by pair: the points of either view, if any."""
    flow = _flow_finder()
    for a, b, is_near in _pairs(charted, cameras, config):
        both = charted.shown[a] & charted.shown[b]
        there, back = (flow(charted, one, other) for one, other in ((a, b), (b, a)))
        good = _checked(charted, (a, b), there, back, config)
        agreement = PairAgreement(
            views=(a, b), n_shared=int(both.sum()), share=float(good[both].mean())
        )
        if not is_near:
            yield agreement, []
            continue
        returned = _checked(charted, (b, a), back, there, config)
        yield (
            agreement,
            [
                _tracks(charted, cameras, vertices, (a, b), there, good, config),
                _tracks(charted, cameras, vertices, (b, a), back, returned, config),
            ],
        )


def _pairs(
    charted: ChartedViews, cameras: Sequence[Camera], config: TrackConfig
) -> list[tuple[int, int, bool]]:
    """Return pairs of views that share skin, and whether they are to give tracks.

    Views far aside of each other see skin at slants that bias the flow; they give tracks only
    where one of them has nothing nearer.
    """
    inside = charted.shown.any(axis=0)
    middle = charted.points[inside].mean(axis=0) if inside.any() else np.zeros(3)
    away = np.array([camera.center - middle for camera in cameras])
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    near, wide = (np.cos(np.radians(deg)) for deg in (config.angle_deg, config.wide_deg))
    pairs = [
        (a, b, bool(away[a] @ away[b] >= near))
        for a, b in combinations(range(len(cameras)), 2)
        if (charted.shown[a] & charted.shown[b]).sum() >= _LEAST_TEXELS
        and away[a] @ away[b] >= (wide if len(cameras) <= config.few else near)
    ]
    accompanied = {view for a, b, is_near in pairs if is_near for view in (a, b)}
    return [(a, b, near or not {a, b} <= accompanied) for a, b, near in pairs]


def _flow_finder() -> Callable[[ChartedViews, int, int], Floats32]:
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    dis.setFinestScale(0)
    dis.setPatchStride(3)
    dis.setGradientDescentIterations(20)
    dis.setVariationalRefinementIterations(5)

    def flow(charted: ChartedViews, a: int, b: int) -> Floats32:
        """Return (n, n, 2) texels: where view b shows what view a shows."""
        first, second = _bytes(charted.textures[a]), _bytes(charted.textures[b])
        nothing = np.zeros((*first.shape, 2), np.float32)
        return np.asarray(dis.calc(first, second, nothing), np.float32)

    return flow


def _bytes(texture: Floats32) -> NDArray[np.uint8]:
    scaled = np.clip(texture, -_CLIPPED, _CLIPPED) * (127 / _CLIPPED) + 128
    return np.asarray(np.rint(scaled), np.uint8)


def _checked(
    charted: ChartedViews,
    pair: tuple[int, int],
    there: Floats32,
    back: Floats32,
    config: TrackConfig,
) -> Bools:
    """Return (n, n) where view a's texels are found again in view b."""
    a, b = pair
    at = _places(len(there)) + there
    home = there + bilinear(back, at)
    other = bilinear(charted.textures[b], at)
    shown = charted.shown[a] & (bilinear(charted.shown[b].astype(np.float32), at) > 0.99)
    close = (home**2).sum(axis=2) < config.home_texels**2
    alike = _ncc(charted.textures[a], other, shown.astype(np.float32)) > config.least_ncc
    return np.asarray(shown & close & alike)


def _places(n: int) -> Floats32:
    """Return (n, n, 2): column and row of each texel, as OpenCV counts."""
    cols, rows = np.meshgrid(np.arange(n, dtype=np.float32), np.arange(n, dtype=np.float32))
    return np.stack([cols, rows], axis=2)


def _ncc(a: Floats32, b: Floats32, weight: Floats32) -> Floats32:
    """Return (n, n) the correlation of patches of two textures, over what both show."""

    def mean(values: Floats32) -> Floats32:
        return np.asarray(cv2.blur(values, (_PATCH, _PATCH)), np.float32)

    total = np.maximum(mean(weight), 1e-6)
    mean_a, mean_b = mean(a * weight) / total, mean(b * weight) / total
    aa, bb = mean(a * a * weight) / total - mean_a**2, mean(b * b * weight) / total - mean_b**2
    ab = mean(a * b * weight) / total - mean_a * mean_b
    ncc = ab / np.sqrt(np.maximum(aa, 1e-3) * np.maximum(bb, 1e-3))
    return np.where(total > 0.6, ncc, -1.0).astype(np.float32)


def _tracks(
    charted: ChartedViews,
    cameras: Sequence[Camera],
    vertices: Sequence[Floats],
    pair: tuple[int, int],
    there: Floats32,
    good: Bools,
    config: TrackConfig,
) -> Tracks:
    a, b = pair
    over, step = charted.chart, config.step_texels
    on_grid = np.zeros_like(good)
    on_grid[step // 2 :: step, step // 2 :: step] = True
    rows, cols = np.nonzero(good & on_grid)
    if len(rows) == 0:
        return _NONE
    faces = over.face[rows, cols].astype(np.intp)
    second, third = over.weights[rows, cols].T.astype(np.float64)
    weights = np.stack([1 - second - third, second, third], axis=1)
    corners = over.model.faces[faces]
    seen_a = cameras[a].project(np.einsum("nk,nkd->nd", weights, vertices[a][corners]))[0]
    # the other's place is that of the texel the flow leads to, on the shape the other shows
    found = bilinear(over.interpolated(vertices[b]), _places(len(there)) + there)[rows, cols]
    seen_b, _ = cameras[b].project(found.astype(np.float64))
    points_a = np.einsum("nk,nkd->nd", weights, vertices[a][corners])
    sigma = np.stack([_pixels_of(points_a, cameras[v], charted, config) for v in pair], axis=1)
    return Tracks(
        texels=np.stack([rows, cols], axis=1),
        faces=faces,
        weights=weights,
        views=np.broadcast_to(np.array(pair), (len(faces), 2)).copy(),
        xy=np.stack([seen_a, seen_b], axis=1),
        sigma=sigma,
        normals=charted.normals[rows, cols].astype(np.float64),
    )


def _pixels_of(
    points: Floats, camera: Camera, charted: ChartedViews, config: TrackConfig
) -> Floats:
    """Return (N,) the noise of a place, px of a view: half of it is each view's."""
    depth = camera.project(points)[1]
    noise_mm = config.noise_texels * charted.texel_mm / np.sqrt(2)
    return np.asarray(noise_mm * camera.K[0, 0] / np.maximum(depth, 1.0))


def _joined(parts: Sequence[Tracks]) -> Tracks:
    parts = parts or [_NONE]
    return Tracks(
        **{
            each.name: np.concatenate([getattr(part, each.name) for part in parts])
            for each in fields(Tracks)
        }
    )


_NONE = Tracks(
    texels=np.zeros((0, 2), np.intp),
    faces=np.zeros(0, np.intp),
    weights=np.zeros((0, 3)),
    views=np.zeros((0, 2), np.intp),
    xy=np.zeros((0, 2, 2)),
    sigma=np.zeros((0, 2)),
    normals=np.zeros((0, 3)),
)
