"""Images with their fine detail brought out, for matching at small scales.

At a fraction of the scale little of the skin's own texture is left, and what the eye takes for
shape prevails: shading, and sheen that travels over a curved surface as the camera does. On a
ridge such as the nose's all views agree on where the sheen seems to lie, which is millimetres
below the skin. What changes from pixel to pixel is painted on the surface; it is made stronger,
and the rest is kept for where there is nothing else.
"""

import cv2
import numpy as np

from ...core.arrays import Floats32

_SPREAD_PX = 1.0  # of the Gaussian; wider ones let shading in, narrower ones noise


def detailed(image: Floats32, detail: float) -> Floats32:
    """Return a grey image (H, W) in [0, 1] with what is finer than about 3 px made stronger.

    Parameters
    ----------
    detail : float
        How many times it is added to the image; 0 returns the image as it is.
    """
    if detail == 0:
        return image
    smooth = cv2.GaussianBlur(image, (0, 0), _SPREAD_PX, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(
        np.clip(image + np.float32(detail) * (image - smooth), 0, 1), dtype=np.float32
    )
