"""A UV chart of our own for face models that come without one: the face rolled off a cylinder.

The cylinder stands upright through the head. u grows to the subject's left and v upwards, at
the same scale, so that texels are square where the face is as far from the axis as the eyes.
What turns away from the cylinder (inside the nostrils, under the chin) folds over itself and
is kept out of the chart by `chartfaces.skin_chart`.
"""

import numpy as np

from ..arrays import Floats

_MARGIN = 0.01  # of the tile, on each side


def cylindrical_chart(vertices: Floats, landmarks: Floats) -> tuple[Floats, Floats]:
    """Return uv (V, 2) of each vertex, and how deep (V,) it lies inside the head, mm.

    Parameters
    ----------
    vertices : (V, 3) float64, mm, head frame
    landmarks : (68, 3) float64, mm, Multi-PIE order
    """
    eye_span = float(np.linalg.norm(landmarks[45] - landmarks[36]))
    axis_z = landmarks[[0, 16], 2].mean() - 0.28 * eye_span
    along_x, along_z = vertices[:, 0], vertices[:, 2] - axis_z
    radius = float(np.hypot(landmarks[36:48, 0], landmarks[36:48, 2] - axis_z).mean())
    rolled = np.stack([radius * np.arctan2(along_x, along_z), vertices[:, 1]], axis=1)
    low, high = rolled.min(0), rolled.max(0)
    scale = (1 - 2 * _MARGIN) / max(float((high - low).max()), 1e-9)
    depth = radius - np.hypot(along_x, along_z)
    return np.asarray(0.5 + (rolled - (low + high) / 2) * scale), np.asarray(depth)
