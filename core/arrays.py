"""Names for the array types of public signatures; shapes and units stand in the docstrings."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
"""float64: geometry in calibration and registration."""

Floats32 = NDArray[np.float32]
"""float32: images, depth maps, dense kernels."""

AnyFloats = NDArray[np.floating[Any]]
"""float32 or float64, taken as it comes."""

Ints = NDArray[np.int32]
"""int32: faces and indices."""

Bools = NDArray[np.bool_]

Bytes = NDArray[np.uint8]

Image = NDArray[Any]
"""(H, W) or (H, W, C); dtype and colour encoding stand in the docstring."""
