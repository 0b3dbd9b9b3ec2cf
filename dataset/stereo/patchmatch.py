"""PatchMatch stereo: a slanted plane per pixel, matched to several other views at once.

Source: Bleyer, Rhemann and Rother, PatchMatch Stereo, BMVC 2011 (slanted planes); Galliani,
Lasinger and Schindler, ICCV 2015 (red-black propagation, best-k views); Xu and Tao, CVPR 2019
(best-of-region propagation). Costs are 1 - weighted normalised cross-correlation.

The result is the same for any number of threads: pixels of one colour of the checkerboard
read only the other colour, and random numbers are hashes of pixel and sweep.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from ...core.arrays import Floats32, Ints
from ..kernels import quiet_threads
from .patchmatch_kernels import MARGIN, WORST, initialise, propagate
from .views import View


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


BLIND = Search(n_random=6, n_sweeps=5, n_regions=8, spread=1.0)
"""Without a guess."""

GUIDED = Search(n_random=1, n_sweeps=4, n_regions=4, spread=0.2)
"""From the depths of a coarser scale."""


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
    view = views[reference]
    grid = view.halved(1)
    height, width = grid.mask.shape
    scale = np.array([view.camera.width / width, view.camera.height / height])
    near, far = max(limits[0], 1e-3 * limits[1]), limits[1]
    plane = _starting_planes(start, width, height)
    cost = np.full((height, width), WORST, np.float32)
    pair = np.full((height, width), 16, np.uint8)  # the two best views: 0 and 1 until known
    known = np.where(view.mask, view.grey, np.float32(-1))
    matched = (
        np.pad(known, MARGIN, constant_values=-1),
        *stack_images([views[s].grey for s in sources]),
        *relative_projections(views, reference, sources),
        np.linalg.inv(view.camera.K), scale, near, far,
    )  # fmt: skip
    pixels = np.flatnonzero(grid.mask.ravel()).astype(np.int64)
    odd = ((pixels // width + pixels % width) % 2).astype(bool)
    with quiet_threads():
        initialise(*matched, pixels, plane, cost, pair, search.n_random, seed)
        for sweep in range(search.n_sweeps):
            spread = search.spread * 0.45**sweep
            for colour in (pixels[odd], pixels[~odd]):
                propagate(
                    *matched, colour, plane, cost, pair, search.n_regions, seed, sweep, spread
                )
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
