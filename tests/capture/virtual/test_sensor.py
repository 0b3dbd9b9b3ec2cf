"""The sensor: noise of the stated size, exact tones, the same for a seed."""

import numpy as np
import pytest

from facekit.capture.virtual.sensor import Optics, develop
from facekit.core.imaging.color import linear_from_srgb, srgb_from_linear


@pytest.mark.parametrize("level", [0.05, 0.2, 0.6])
def test_noise_has_the_stated_size(level: float) -> None:
    optics = Optics(read_noise=0.01, shot_noise=0.03)  # well above the 8-bit steps
    flat = np.full((200, 300, 1), level, np.float32)
    image = develop(flat, optics, rng=np.random.default_rng(1))
    light = linear_from_srgb(image)
    expected = np.sqrt(0.01**2 + 0.03**2 * level)
    # the sd of 60,000 numbers is known to 0.3 %; rounding to 8 bits adds up to 2 % here
    assert light.std() == pytest.approx(expected, rel=0.04)
    assert light.mean() == pytest.approx(level, abs=4 * expected / np.sqrt(flat.size) + 1e-3)


def test_without_noise_tones_are_exact() -> None:
    ramp = np.linspace(0, 1, 3 * 1000, dtype=np.float32).reshape(20, 50, 3)
    optics = Optics(read_noise=0.0, shot_noise=0.0)
    image = develop(ramp, optics, rng=np.random.default_rng(1))
    assert np.abs(image - 255 * srgb_from_linear(ramp)).max() < 0.51 + 13 * 255 / 65535


def test_light_beyond_the_full_scale_clips() -> None:
    optics = Optics(read_noise=0.0, shot_noise=0.0, exposure=2.0)
    image = develop(np.full((2, 2, 3), 0.7, np.float32), optics, rng=np.random.default_rng(1))
    assert (image == 255).all()


def test_noise_is_a_function_of_the_seed() -> None:
    flat = np.full((50, 60, 3), 0.3, np.float32)
    a, b, c = (develop(flat, Optics(), rng=np.random.default_rng(k)) for k in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert (a != c).mean() > 0.3
