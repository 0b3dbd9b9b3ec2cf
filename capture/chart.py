"""The classic colour chart with 24 patches: found at reduced size, sampled at full."""

from dataclasses import dataclass

import cv2
import numpy as np

from ..core.arrays import Bools, Floats, Floats32, Image
from ..core.imaging.color import linear_from_srgb

CHART_SRGB = np.array([
    [115, 82, 68], [194, 150, 130], [98, 122, 157], [87, 108, 67], [133, 128, 177], [103, 189, 170],
    [214, 126, 44], [80, 91, 166], [193, 90, 99], [94, 60, 108], [157, 188, 64], [224, 163, 46],
    [56, 61, 150], [70, 148, 73], [175, 54, 60], [231, 199, 31], [187, 86, 149], [8, 133, 161],
    [243, 243, 242], [200, 200, 200], [160, 160, 160], [122, 122, 121], [85, 85, 85], [52, 52, 52],
], np.uint8)  # fmt: skip
"""(24, 3) sRGB of the patches, row by row.

Source: McCamy, Marcus and Davidson, J. Appl. Photographic Engineering 2(3), 1976, in the sRGB
values that the chart's maker publishes.
"""

N_GREY = 6  # the last row, white to black

DETECTION_SIDE_PX = 1200  # longest side at which the chart is looked for: 1/7 of 45 megapixels
INNER = 0.5  # of a patch's width that is sampled: its edges are blurred
GRID = 24  # samples along a patch at most
CLIPPED = 0.98  # linear; the sensor has nothing above
MIN_PATCH_PX = 4.0  # narrower patches are blurred through


@dataclass(frozen=True, kw_only=True)
class ChartSample:
    """The patches of a chart as one photograph shows them."""

    linear: Floats
    """(24, 3) linear light of the file, median of each patch."""
    clipped: Bools
    """(24,) at either end of the sensor's range."""
    patches: Floats
    """(24, 4, 2) corners in px."""


def chart_reference() -> Floats:
    """Return the (24, 3) linear sRGB reflectances of the patches."""
    return linear_from_srgb(CHART_SRGB).astype(np.float64)


def sample_chart(image: Image) -> ChartSample | None:
    """Find the chart in a photograph and sample it; None where it is not seen or too oblique.

    Parameters
    ----------
    image : (height, width, 3) uint8 or uint16
        sRGB-encoded.
    """
    if image.ndim != 3:
        return None
    patches = _find(image)
    if patches is None:
        return None
    sides = np.linalg.norm(patches - np.roll(patches, 1, axis=1), axis=2)
    if sides.min() < MIN_PATCH_PX:
        return None
    linear = np.zeros((len(patches), 3))
    clipped = np.zeros(len(patches), dtype=bool)
    for i, corners in enumerate(patches):
        values = _values(image, corners)
        linear[i] = np.median(values, axis=0)
        clipped[i] = (np.mean(values >= CLIPPED, axis=0) > 0.01).any()
    return ChartSample(linear=linear, clipped=clipped, patches=patches)


def _find(image: Image) -> Floats | None:
    """Return the corners (24, 4, 2) px of the patches by OpenCV's detector at reduced size."""
    height, width = image.shape[:2]
    factor = min(1.0, DETECTION_SIDE_PX / max(height, width))
    small = image if image.dtype == np.uint8 else (image >> 8).astype(np.uint8)
    if factor < 1:
        size = (round(width * factor), round(height * factor))
        small = np.asarray(cv2.resize(small, size, interpolation=cv2.INTER_AREA))
    scale = np.array([width / small.shape[1], height / small.shape[0]])
    detector = cv2.mcc.CCheckerDetector.create()
    detector.setColorChartType(cv2.mcc.MCC24)
    detector.setUseDnnModel(False)  # the network is not part of OpenCV's wheel
    for stretch in _stretches(small):
        # charts of a badly exposed or tinted camera are found once their colours are stretched
        if detector.process(np.ascontiguousarray(stretch[..., ::-1]), 1):
            corners = detector.getBestColorChecker().getColorCharts()
            # OpenCV counts from the centre of the top-left pixel
            found = (np.asarray(corners, dtype=np.float64).reshape(-1, 4, 2) + 0.5) * scale
            return found if len(found) == len(CHART_SRGB) else None
    return None


def _stretches(small: Image) -> list[Image]:
    """Return the picture as it is, and with each channel stretched over the whole range."""
    low, high = np.percentile(small.reshape(-1, 3), [1, 99.8], axis=0)
    factor = 235 / np.maximum(high - low, 8)
    stretched = np.clip((small - low) * factor, 0, 255).astype(np.uint8)
    return [small, stretched]


def _values(image: Image, corners: Floats) -> Floats32:
    """Return (N, 3) linear light at a grid of pixels in the inner part of a patch."""
    center = corners.mean(axis=0)
    inner = center + INNER * (corners - center)
    n = int(np.clip(np.linalg.norm(inner[1] - inner[0]), 2, GRID))
    s = np.linspace(0, 1, n)
    u, v = np.meshgrid(s, s)
    weights = np.stack([(1 - u) * (1 - v), u * (1 - v), u * v, (1 - u) * v], axis=-1)
    points = weights.reshape(-1, 4) @ inner
    at = np.floor(points).astype(int)
    rows = np.clip(at[:, 1], 0, image.shape[0] - 1)
    cols = np.clip(at[:, 0], 0, image.shape[1] - 1)
    return linear_from_srgb(image[rows, cols])
