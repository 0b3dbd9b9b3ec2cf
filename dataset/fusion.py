"""Confirmed depth maps -> one oriented, confidence-weighted point cloud."""

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.spatial import cKDTree

from ..core.arrays import Bools, Bytes, Floats, Floats32
from ..core.errors import EstimationError
from .stereo.consistency import CheckedDepth
from .stereo.views import View

_RIM_PX = 2  # of the photographs


@dataclass(frozen=True, kw_only=True)
class PointCloud:
    """Oriented points."""

    points: Floats
    """(N, 3), the rig's unit."""
    normals: Floats
    """(N, 3) unit, outward."""
    confidence: Floats32
    """(N,) in [0, 1]."""
    colors: Bytes
    """(N, 3) sRGB."""
    footprint: Floats32
    """(N,) size of a photograph's pixel there."""


def fuse(views: list[View], depths: list[CheckedDepth]) -> PointCloud:
    """Take every confirmed pixel to the world; drop lone points.

    Parameters
    ----------
    views : list of View
        The photographs that the depths were found in; the maps may be of half their size.

    Raises
    ------
    EstimationError
        Hardly anything was confirmed: the views do not show one textured surface.
    """
    points, normals, confidence, colors, footprint = [], [], [], [], []
    for view, found in zip(views, depths, strict=True):
        focal_px = view.camera.K[0, 0]
        rim = _RIM_PX
        if found.depth.shape != view.mask.shape:
            view, rim = view.halved(1), max(1, _RIM_PX // 2)
        keep = np.isfinite(found.depth) & _within(view.mask, rim)
        camera = view.camera
        directions = camera.unproject(camera.pixel_centers()[keep])
        points.append(camera.center + found.depth[keep, None] * directions)
        normals.append(found.normal[keep])
        # a grazing view measures badly along its normal
        unit = directions / np.linalg.norm(directions, axis=1, keepdims=True)
        facing = np.clip(-(unit * found.normal[keep]).sum(axis=1), 0, 1)
        confidence.append(found.confidence[keep] * facing)
        colors.append(view.color[keep])
        footprint.append(found.depth[keep] / focal_px)
    cloud = PointCloud(
        points=np.concatenate(points),
        normals=np.concatenate(normals).astype(np.float64),
        confidence=np.concatenate(confidence).astype(np.float32),
        colors=np.concatenate(colors),
        footprint=np.concatenate(footprint).astype(np.float32),
    )
    if len(cloud.points) < 500:
        raise EstimationError(
            f"stereo confirmed only {len(cloud.points)} points: check that the rig belongs to "
            "these photographs, that they overlap and are sharp, and the masks"
        )
    return _without_lone_points(cloud)


def _within(mask: Bools, rim: int) -> Bools:
    """Return the mask without its rim: windows there hold more of the backdrop than subject."""
    size = 2 * rim + 1
    kernel = np.ones((size, size), np.uint8)
    # beyond the frame the subject may go on: no rim there
    return cv2.erode(mask.astype(np.uint8), kernel, borderType=cv2.BORDER_REPLICATE) > 0


def _without_lone_points(cloud: PointCloud) -> PointCloud:
    """Drop points whose neighbours are unusually far for their pixel size."""
    distance, _ = cKDTree(cloud.points).query(cloud.points, k=[9], workers=-1)
    relative = np.asarray(distance)[:, 0] / cloud.footprint
    keep = relative < 3.0 * np.median(relative)
    return PointCloud(
        points=cloud.points[keep],
        normals=cloud.normals[keep],
        confidence=cloud.confidence[keep],
        colors=cloud.colors[keep],
        footprint=cloud.footprint[keep],
    )
