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
from .kernels import quiet_threads
from .patchmatch_kernels import WORST, initialise, propagate
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


def match_view(
    views: list[View], reference: int, sources: Ints, limits: tuple[float, float], *,
    start: DepthMap | None = None, n_sweeps: int = 5, seed: int = 0,
) -> DepthMap:  # fmt: skip
    """Find the depth of every masked pixel of a view.

    Parameters
    ----------
    views : list of View
        All of one scale.
    sources : (n,) int32
        Indices of the views to match with.
    limits : (nearest, farthest)
        Depths to search, the rig's unit.
    start : DepthMap, optional
        A first guess of any size, such as of a coarser scale.
    """
    view = views[reference]
    near, far = max(limits[0], 1e-3 * limits[1]), limits[1]
    A, b = relative_projections(views, reference, sources)
    images, sizes = stack_images([views[s].grey for s in sources])
    K_inverse = np.linalg.inv(view.camera.K)
    height, width = view.grey.shape
    plane = _starting_planes(start, width, height)
    cost = np.full((height, width), WORST, np.float32)
    matched = (view.grey, view.mask, images, sizes, A, b, K_inverse, near, far)
    pixels = np.flatnonzero(view.mask.ravel()).astype(np.int64)
    odd = ((pixels // width + pixels % width) % 2).astype(bool)
    with quiet_threads():
        initialise(*matched, pixels, plane, cost, 2 if start is not None else 6, seed)
        for sweep in range(n_sweeps):
            for colour in (pixels[odd], pixels[~odd]):
                propagate(*matched, colour, plane, cost, seed, sweep, start is not None)
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
