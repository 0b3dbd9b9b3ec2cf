"""Resampling keeps values where the camera says they are."""

import numpy as np
import pytest

from facekit.core.arrays import Floats, Floats32, Image
from facekit.core.geometry.camera import Camera
from facekit.core.imaging import resample
from facekit.core.imaging.resample import scale_image, scaled_to, undistorted_strips

WIDTH, HEIGHT = 120, 90


def camera(*, distorted: bool = True) -> Camera:
    return Camera(
        name="a", width=WIDTH, height=HEIGHT,
        K=np.array([[150.0, 0, 62.3], [0, 151.0, 43.1], [0, 0, 1]]),
        cam_from_world=np.eye(3, 4),
        distortion=np.array([-0.15, 0.05, 0.002, -0.001, 0.0]) * distorted,
    )  # fmt: skip


def undistorted(image: Image, camera: Camera) -> Floats32:
    """Return the strips put together."""
    parts = list(undistorted_strips(image, camera))
    assert [rows.start for rows, _ in parts[1:]] == [rows.stop for rows, _ in parts[:-1]]
    return np.concatenate([pixels for _, pixels in parts])


def places(camera: Camera) -> Floats:
    """Return where each pixel of the ideal image lies in that of the camera, (H, W, 2)."""
    ideal = camera.undistorted()
    return camera.project(ideal.unproject(ideal.pixel_centers()))[0]


def within(xy: Floats, *, margin: float = 2.5) -> np.ndarray:
    return ((xy > margin) & (xy < np.array([WIDTH, HEIGHT]) - margin)).all(axis=-1)


def test_a_ramp_stays_exact():
    """What is linear in the photograph is read at the very place, to 6e-3 of a pixel.

    Cubic convolution is exact for parabolas; places are interpolated between nodes 4 px apart,
    over which places bend by 6 k x / f = 2.4e-3 px per squared pixel, hence by 5e-3 px. A
    portrait lens of 2000 px and more bends them a hundredth of that.
    """
    x, y = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)
    slope = 1 / 300
    image = np.stack([x * slope, y * slope, (x + y) * slope / 2], axis=-1).astype(np.float32)
    found, xy = undistorted(image, camera()), places(camera())
    inside = within(xy)
    assert inside.mean() > 0.8
    np.testing.assert_allclose(found[inside, 0] / slope, xy[inside, 0], atol=6e-3)
    np.testing.assert_allclose(found[inside, 1] / slope, xy[inside, 1], atol=6e-3)
    np.testing.assert_allclose(found[inside, 2] / slope * 2, xy[inside].sum(axis=-1), atol=12e-3)


def test_fine_texture_keeps_its_contrast():
    """A wave of five pixels keeps 96 % of its contrast; bilinear reading would leave 84 %."""
    x = np.arange(WIDTH) + 0.5
    row = 0.5 + 0.4 * np.sin(2 * np.pi * x / 5)
    image = np.tile(row, (HEIGHT, 1)).astype(np.float32)
    found, xy = undistorted(image, camera()), places(camera())
    inside = within(xy)
    true = np.sin(2 * np.pi * xy[inside, 0] / 5)
    contrast = (found[inside] - 0.5) @ true / (true @ true) / 0.4
    assert 0.94 < contrast < 1.01


@pytest.mark.parametrize("size", [(120, 90), (60, 45), (48, 36)])
@pytest.mark.parametrize("distorted", [True, False])
def test_scaling_and_undistortion_together_keep_places(size, distorted):
    """A blob's centroid lies where the scaled ideal camera sees it: half a pixel would show."""
    ray = np.array([0.2, -0.13, 1.0])
    original = camera(distorted=distorted)
    spot = original.project(ray)[0]
    x, y = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)
    blob = np.exp(-((x - spot[0]) ** 2 + (y - spot[1]) ** 2) / (2 * 4.0**2))
    small = original.scaled(*size)
    found = undistorted(np.rint(65535 * blob).astype(np.uint16), small)
    assert found.shape == size[::-1]
    weight = np.where(found > 0.01, found, 0).astype(np.float64)
    centroid = (small.pixel_centers() * weight[..., None]).sum(axis=(0, 1)) / weight.sum()
    # the lens stretches the blob a little more on its outer side
    np.testing.assert_allclose(
        centroid, small.undistorted().project(ray)[0], atol=0.06 if distorted else 0.01
    )


def test_nothing_outside_and_no_overshoot():
    image = np.zeros((HEIGHT, WIDTH), np.uint8)
    image[:, 60:] = 255
    found = undistorted(image, camera())
    assert found.min() == 0
    assert found.max() == 1
    whole = undistorted(np.full((HEIGHT, WIDTH), 255, np.uint8), camera())
    xy = places(camera())
    np.testing.assert_allclose(whole[within(xy, margin=0.01)], 1, atol=1e-6)
    pin = Camera(
        name="p", width=WIDTH, height=HEIGHT, K=camera().K, cam_from_world=np.eye(3, 4),
        distortion=np.array([0.3, 0, 0, 0, 0.0]),
    )  # fmt: skip
    rim = undistorted(np.full((HEIGHT, WIDTH), 255, np.uint8), pin)
    assert rim[0, 0] == 0  # a pincushion's corners come from beyond its photograph
    assert rim[HEIGHT // 2, WIDTH // 2] == 1


@pytest.mark.parametrize("distorted", [True, False])
def test_strips_make_the_whole(distorted, monkeypatch):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    whole = undistorted(image, camera(distorted=distorted))
    monkeypatch.setattr(resample, "_STRIP_ROWS", 7)
    monkeypatch.setattr(resample, "_THREAD_ROWS", 3)
    np.testing.assert_array_equal(undistorted(image, camera(distorted=distorted)), whole)
    grey = undistorted(image[..., 1], camera(distorted=distorted))
    np.testing.assert_array_equal(grey, whole[..., 1])


def test_a_camera_without_distortion_is_scaled_by_areas():
    image = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    half = undistorted(image, camera(distorted=False).scaled(60, 45))
    expected = image.reshape(45, 2, 60, 2, 3).mean(axis=(1, 3)) / 255
    np.testing.assert_allclose(half, expected, atol=1e-6)
    np.testing.assert_array_equal(half, scale_image(image, 60, 45))


def test_a_size_near_enough_stays():
    whole = camera()
    assert scaled_to(whole, 0.95 * WIDTH * HEIGHT / 1e6) is whole
    assert scaled_to(whole, 0.25 * WIDTH * HEIGHT / 1e6).width == 60
