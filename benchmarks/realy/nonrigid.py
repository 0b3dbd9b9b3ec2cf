"""REALY's non-rigid registration of a scan region onto the prediction (bICP).

An affine transform a vertex, neighbours stiff to each other, drawn to counterparts on the
prediction. Each solve starts from the vertices where the last one left them, so the transforms
are relative ones.

Source
------
Amberg et al., Optimal step nonrigid ICP, CVPR 2007, doi:10.1109/CVPR.2007.383165; stages,
weights and thresholds: behaviour of github.com/czh-98/REALY at 3f13e9a.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ...core.arrays import AnyFloats, Floats, Ints
from .cholesky import BlockCholesky
from .regions import edges_of

_STIFFNESS = 50.0
_FIRST_STIFFNESS = 150.0
_FIRST_BALANCE = np.array([2.0, 2.0, 3.0, 2.0])  # of x, y, z and translation, in the first stage
_KEYPOINT_WEIGHT = 50.0
_KEYPOINT_LATER = 0.1  # of that weight, from the second stage on
_KEYPOINT_DECAY = 0.9  # exponent a solve, over all stages
_MOST_SOLVES = 11  # a stage, with keypoints; without, a stage ends by convergence alone
_RUNAWAY = 1000  # solves: nothing official, only an end to what does not converge
_NEAR = 1.0  # unit (about 9 mm): counterparts within it always count


@dataclass(frozen=True, kw_only=True)
class Guides:
    """Vertices that are led to the prediction's keypoints."""

    vertices: NDArray[np.int64]
    """(K,) of the region; where two keypoints share a vertex, the later one's target counts."""
    targets: Floats
    """(K, 3)."""


@dataclass(frozen=True, kw_only=True)
class _Stage:
    stiffness: float
    change: float
    """||dX|| at which the stage ends."""
    balance: Floats
    guides_alone: bool
    """Drawn by keypoints only, and solved once."""


@dataclass(frozen=True, kw_only=True)
class Deformed:
    """A region after its registration."""

    vertices: Floats
    """(N, 3)."""
    solves: int


def deform(vertices: Floats, faces: Ints, targets: Floats, guides: Guides | None) -> Deformed:
    """Deform a region onto points of the prediction.

    Parameters
    ----------
    vertices : (N, 3) float64, faces : (F, 3)
        The region, equal vertices merged.
    targets : (M, 3) float64
        Points on the prediction. A vertex is drawn to the nearest of these points, not to the
        nearest of the surface.
    guides : optional
        None for the cheek.

    Raises
    ------
    EstimationError
        The system is not determined.
    """
    system = _System(len(vertices), edges_of(faces), guides)
    tree = cKDTree(targets)
    X = np.ones((len(vertices), 4, 3))  # no identity: only its distance to the next X is used
    X_before = np.zeros_like(X)
    solves = 0
    for stage in _stages(guides is not None):
        for step in range(_RUNAWAY):
            if np.sqrt(np.sum((X - X_before) ** 2)) <= stage.change:
                break
            if guides is not None and step >= _MOST_SOLVES:
                break
            X_before = X
            distance, nearest = tree.query(vertices)
            weights = _weights(np.asarray(distance))
            kappa = _keypoint_weight(stage, solves)
            X, vertices = system.solve(stage, vertices, targets[nearest], weights, kappa)
            solves += 1
            if stage.guides_alone:
                break
    return Deformed(vertices=vertices, solves=solves)


def _stages(guided: bool) -> Iterator[_Stage]:
    if guided:
        yield _Stage(
            stiffness=_FIRST_STIFFNESS, change=2.0, balance=_FIRST_BALANCE, guides_alone=True
        )
    for decay in range(3):
        yield _Stage(
            stiffness=_STIFFNESS * np.exp(-0.5 * decay), change=0.5**decay, balance=np.ones(4),
            guides_alone=False,
        )  # fmt: skip


def _weights(distance: Floats) -> Floats:
    """Return (N,) 1 for vertices whose counterpart is near, 0 for others."""
    distance32 = distance.astype(np.float32)  # compared, and averaged, in float32
    reach = max(float(np.mean(distance32)) * 2, _NEAR)
    return np.asarray(distance32 < reach, dtype=np.float64)


def _keypoint_weight(stage: _Stage, solves: int) -> float:
    if stage.guides_alone:
        return _KEYPOINT_WEIGHT
    return float(_KEYPOINT_WEIGHT * _KEYPOINT_LATER * np.exp(-_KEYPOINT_DECAY * solves))


class _System:
    """The normal equations of one region; see the module of `BlockCholesky`."""

    def __init__(self, n: int, edges: NDArray[np.int64], guides: Guides | None) -> None:
        self._degree = np.bincount(edges.reshape(-1), minlength=n).astype(np.float64)
        self._solver = BlockCholesky(n, edges)
        self._guides = guides

    def solve(
        self, stage: _Stage, vertices: Floats, counterparts: Floats, weights: Floats, kappa: float
    ) -> tuple[Floats, Floats]:
        """Return the transforms X (N, 4, 3) and the vertices that they give."""
        n = len(vertices)
        rows = np.ones((n, 4))
        rows[:, :3] = vertices.astype(np.float32)  # the official data matrix is float32
        square = np.zeros(n) if stage.guides_alone else weights**2
        pull = square[:, None] * counterparts
        if self._guides is not None:
            led = self._guides.vertices
            goal = np.zeros((n, 3))
            goal[led] = self._guides.targets  # the last of several wins
            led = np.unique(led)
            square[led] += kappa**2
            pull[led] += kappa**2 * goal[led]
        edge = stage.stiffness**2 * stage.balance**2
        diagonal = (square[:, None] * rows)[:, :, None] * rows[:, None, :]
        at = np.arange(4)
        diagonal[:, at, at] += self._degree[:, None] * edge
        X = self._solver.solve(diagonal, edge, rows[:, :, None] * pull[:, None, :])
        return X, _moved(rows, X)


def _moved(rows: Floats, X: Floats) -> Floats:
    """Return (N, 3) vertices, summed in the order of a sparse product."""
    moved = rows[:, 0, None] * X[:, 0]
    for k in range(1, 4):
        moved = moved + rows[:, k, None] * X[:, k]
    return np.asarray(moved)


def guides_of(vertices: Floats, keypoints: AnyFloats, targets: Floats) -> Guides:
    """Return guides: the region's vertex nearest to each of the scan's keypoints (K, 3)."""
    _, nearest = cKDTree(vertices).query(keypoints)
    return Guides(vertices=np.asarray(nearest, np.int64), targets=targets)
