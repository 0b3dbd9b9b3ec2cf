"""EXIF orientation: what is turned can be turned back, pixels and points alike."""

import numpy as np
import pytest

from facekit.core.imaging.orientation import to_sensor, to_upright, turned_upright

EVERY = range(1, 9)


@pytest.mark.parametrize("orientation", EVERY)
def test_points_follow_their_pixels(orientation: int) -> None:
    height, width = 4, 7
    image = np.arange(height * width, dtype=np.uint16).reshape(height, width)
    upright = turned_upright(image, orientation)
    rows, cols = np.mgrid[: upright.shape[0], : upright.shape[1]]
    centers = np.stack([cols + 0.5, rows + 0.5], axis=-1)
    stored = to_sensor(centers, orientation, width=width, height=height)
    at = np.floor(stored).astype(int)
    np.testing.assert_array_equal(image[at[..., 1], at[..., 0]], upright)
    np.testing.assert_allclose(
        to_upright(stored, orientation, width=width, height=height), centers, atol=1e-12
    )
