"""PatchMatch stereo: a slanted plane per pixel, matched to several other views at once.

Source: Bleyer, Rhemann and Rother, PatchMatch Stereo, BMVC 2011 (slanted planes); Galliani,
Lasinger and Schindler, ICCV 2015 (red-black propagation, best-k views); Xu and Tao, CVPR 2019
(best-of-region propagation). Costs are 1 - weighted normalised cross-correlation.

The result is the same for any number of threads: pixels of one colour of the checkerboard
read only the other colour, and random numbers are hashes of pixel and sweep.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from ...core.arrays import Floats, Floats32, Ints
from ..kernels import quiet_threads
from .detail import detailed
from .patchmatch_kernels import MARGIN, UNKNOWN_PAIR, WORST, initialise, propagate
from .views import View

DETAIL = 4.0
"""How much stronger what is finer than 3 px is made before images are compared; see `detail`."""


@dataclass(frozen=True, kw_only=True)
class DepthMap:
    """Depth, normal and matching cost of one view."""

    depth: Floats32
    """(height, width) along z, in the rig's unit; NaN where nothing was found."""
    normal: Floats32
    """(height, width, 3) unit, camera frame, towards the camera; 0 where nothing was found."""
    cost: Floats32
    """(height, width): 1 - NCC, mean of the two best views; 2 is worst."""


@dataclass(frozen=True, kw_only=True)
class Search:
    """How hard to look."""

    n_random: int  # planes drawn at first for each pixel
    n_sweeps: int
    n_regions: int  # 4: neighbours near by; 8: also those farther away
    spread: float  # of random changes in the first sweep; 1: 4 % of depth, 25 degrees

    def spread_of(self, sweep: int) -> float:
        """Return that of any sweep, the first being 0."""
        return float(self.spread * 0.45**sweep)


BLIND = Search(n_random=6, n_sweeps=5, n_regions=8, spread=1.0)
"""Without a guess."""

GUIDED = Search(n_random=1, n_sweeps=4, n_regions=4, spread=0.2)
"""From the depths of a coarser scale."""


class Matcher(Protocol):
    """As `match_view`."""

    def __call__(
        self, views: list[View], reference: int, sources: Ints, limits: tuple[float, float], *,
        start: DepthMap | None = None, search: Search = BLIND, seed: int = 0,
    ) -> DepthMap:  # fmt: skip
        """Find the depth of every masked pixel of a view."""


def match_view(
    views: list[View], reference: int, sources: Ints, limits: tuple[float, float], *,
    start: DepthMap | None = None, search: Search = BLIND, seed: int = 0,
) -> DepthMap:  # fmt: skip
    """Find the depth of every masked pixel of a view, on a grid of half the image's size.

    Parameters
    ----------
    views : list of View
        All of one scale.
    sources : (n,) int32
        Indices of the views to match with, at most 16.
    limits : (nearest, farthest)
        Depths to search, the rig's unit.
    start : DepthMap, optional
        A first guess of any size, such as of a coarser scale.

    Returns
    -------
    DepthMap
        Of the size and camera of `views[reference].halved(1)`.
    """
    task = matching_task(views, reference, sources, limits, start=start)
    plane, cost = task.plane, task.cost
    pair = np.full(cost.shape, UNKNOWN_PAIR, np.uint8)
    with quiet_threads():
        task.run(initialise, task.pixels, plane, cost, pair, search.n_random, seed)
        for sweep in range(search.n_sweeps):
            for colour in task.colours():
                task.run(
                    propagate, colour, plane, cost, pair, search.n_regions, seed, sweep,
                    search.spread_of(sweep),
                )  # fmt: skip
    return depth_map(plane, cost)


@dataclass(frozen=True, kw_only=True)
class MatchingTask:
    """What the loops of PatchMatch work on."""

    padded: Floats32
    """Grey of the reference, `MARGIN` wider on all sides; -1 where it is not the subject."""
    images: Floats32
    """(n, H, W) grey of the sources."""
    sizes: Ints
    """(n, 2) height and width of each."""
    A: Floats
    b: Floats
    """(n, 3, 3), (n, 3): see `relative_projections`."""
    K_inverse: Floats
    scale: Floats
    """(2,) image pixels in a grid pixel, along x and y."""
    near: float
    far: float
    pixels: NDArray[np.int64]
    """Flat indices of the grid's pixels that are matched."""
    plane: Floats32
    """(height, width, 4) normal and depth, from the guess; depth 0 where there is none."""
    cost: Floats32
    """(height, width), all `WORST`."""

    def run(self, loop: Callable[..., None], *given: Any) -> None:
        """Call one of the compiled loops with this before what is given."""
        loop(
            self.padded, self.images, self.sizes, self.A, self.b, self.K_inverse, self.scale,
            self.near, self.far, *given,
        )  # fmt: skip

    def colours(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the pixels of either colour of the checkerboard."""
        width = self.cost.shape[1]
        odd = ((self.pixels // width + self.pixels % width) % 2).astype(bool)
        return self.pixels[odd], self.pixels[~odd]


def matching_task(
    views: list[View], reference: int, sources: Ints, limits: tuple[float, float], *,
    start: DepthMap | None = None,
) -> MatchingTask:  # fmt: skip
    """Prepare what `match_view` is given for its loops."""
    view = views[reference]
    grid = view.halved(1)
    height, width = grid.mask.shape
    known = np.where(view.mask, detailed(view.grey, DETAIL), np.float32(-1))
    images, sizes = stack_images([detailed(views[s].grey, DETAIL) for s in sources])
    A, b = relative_projections(views, reference, sources)
    return MatchingTask(
        padded=np.pad(known, MARGIN, constant_values=-1),
        images=images,
        sizes=sizes,
        A=A,
        b=b,
        K_inverse=np.asarray(np.linalg.inv(view.camera.K), dtype=np.float64),
        scale=np.array([view.camera.width / width, view.camera.height / height]),
        near=max(limits[0], 1e-3 * limits[1]),
        far=limits[1],
        pixels=np.flatnonzero(grid.mask.ravel()).astype(np.int64),
        plane=_starting_planes(start, width, height),
        cost=np.full((height, width), WORST, np.float32),
    )


def depth_map(plane: Floats32, cost: Floats32) -> DepthMap:
    """Return the map that planes (height, width, 4) and their costs amount to."""
    found = cost < WORST
    return DepthMap(
        depth=np.where(found, plane[..., 3], np.nan).astype(np.float32),
        normal=np.where(found[..., None], plane[..., :3], 0).astype(np.float32),
        cost=cost,
    )


def relative_projections(
    views: list[View], reference: int, sources: Ints
) -> tuple[np.ndarray, np.ndarray]:
    """Return A (n, 3, 3) and b (n, 3): source pixel ~ depth * A @ (x, y, 1) + b."""
    camera = views[reference].camera
    K_inverse = np.linalg.inv(camera.K)
    A, b = np.zeros((len(sources), 3, 3)), np.zeros((len(sources), 3))
    for k, source in enumerate(sources):
        other = views[source].camera
        R = other.cam_from_world[:, :3] @ camera.cam_from_world[:, :3].T
        t = other.cam_from_world[:, 3] - R @ camera.cam_from_world[:, 3]
        A[k], b[k] = other.K @ R @ K_inverse, other.K @ t
    return A, b


def stack_images(images: list[Floats32]) -> tuple[Floats32, Ints]:
    """Return images of any sizes as one (n, H, W) array, and their sizes (n, 2) as (h, w)."""
    sizes = np.array([image.shape[:2] for image in images], np.int32)
    height, width = sizes.max(axis=0)
    stack = np.zeros((len(images), height, width), np.float32)
    for k, image in enumerate(images):
        stack[k, : image.shape[0], : image.shape[1]] = image
    return stack, sizes


def _starting_planes(start: DepthMap | None, width: int, height: int) -> Floats32:
    """Return (height, width, 4) normal and depth; depth 0 where there is no guess."""
    plane = np.zeros((height, width, 4), np.float32)
    if start is None:
        return plane
    depth = np.where(np.isfinite(start.depth), start.depth, 0).astype(np.float32)
    # nearest: a mean over an edge would lie between its two sides
    plane[..., 3] = cv2.resize(depth, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    plane[..., :3] = cv2.resize(
        start.normal, (width, height), interpolation=cv2.INTER_NEAREST_EXACT
    )
    return plane
