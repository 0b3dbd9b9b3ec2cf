"""Lab and CIEDE2000 against published values."""

import numpy as np
import pytest

from facekit.core.imaging.lab import delta_e_2000, lab_from_linear

PAIRS = np.array([
    [50, 2.6772, -79.7751, 50, 0, -82.7485, 2.0425],
    [50, -1.3802, -84.2814, 50, 0, -82.7485, 1.0000],
    [50, 0, 0, 50, -1, 2, 2.3669],
    [50, 2.5, 0, 50, 0, -2.5, 4.3065],
    [50, 2.5, 0, 73, 25, -18, 27.1492],
    [60.2574, -34.0099, 36.2677, 60.4626, -34.1751, 39.4387, 1.2644],
    [63.0109, -31.0961, -5.8663, 62.8187, -29.7946, -4.0864, 1.2630],
    [22.7233, 20.0904, -46.6940, 23.0331, 14.9730, -42.5619, 2.0373],
    [90.8027, -2.0831, 1.4410, 91.1528, -1.6435, 0.0447, 1.4441],
    [2.0776, 0.0795, -1.1350, 0.9033, -0.0636, -0.5514, 0.9082],
])  # fmt: skip
"""L, a, b of two colours and their difference: Sharma, Wu and Dalal 2005, table 1."""


def test_published_differences_are_met_to_their_last_digit_in_both_directions():
    a, b, expected = PAIRS[:, :3], PAIRS[:, 3:6], PAIRS[:, 6]
    assert np.abs(delta_e_2000(a, b) - expected).max() < 6e-5
    assert np.abs(delta_e_2000(b, a) - expected).max() < 6e-5


def test_white_grey_and_red():
    lab = lab_from_linear(np.array([[1.0, 1, 1], [0.18418652, 0.18418652, 0.18418652], [1, 0, 0]]))
    assert lab[0] == pytest.approx([100, 0, 0], abs=1e-4)
    assert lab[1] == pytest.approx([50, 0, 0], abs=1e-4)
    # the red of sRGB under D65
    assert lab[2] == pytest.approx([53.24, 80.09, 67.20], abs=0.02)
