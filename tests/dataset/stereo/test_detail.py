"""Detail brought out of images, and why: sheen lies elsewhere than the surface it is seen on."""

from dataclasses import replace

import numpy as np
import pytest

from facekit.core.geometry.camera import Camera
from facekit.core.geometry.mesh import Mesh
from facekit.dataset.stereo.detail import detailed
from facekit.dataset.stereo.sweep import SweepConfig, sweep_surface
from facekit.dataset.stereo.views import View

DEPTH_PX = 3.0  # of the sheen below the surface, in pixel footprints


def test_what_is_even_or_changes_evenly_stays():
    y, x = np.mgrid[0:40, 0:50].astype(np.float32)
    ramp = 0.2 + 0.01 * x + 0.002 * y
    changed = detailed(ramp, 4.0) - ramp
    assert np.abs(changed[5:-5, 5:-5]).max() < 1e-6  # a Gaussian's mean of a plane is the plane


@pytest.mark.parametrize("wavelength", [3.0, 6.0, 30.0])
def test_waves_grow_as_the_gaussian_lets_them(wavelength):
    x = np.arange(200, dtype=np.float32)
    wave = np.tile(0.05 * np.sin(2 * np.pi * x / wavelength), (30, 1)).astype(np.float32)
    found = detailed(0.5 + wave, 4.0) - 0.5
    gain = 1 + 4.0 * (1 - np.exp(-2 * (np.pi / wavelength) ** 2))
    # the Gaussian is sampled and cut off: some per cent at the shortest wave
    np.testing.assert_allclose(found[10:-10, 10:-10], gain * wave[10:-10, 10:-10], atol=0.008)


def test_images_stay_images_and_none_is_changed_without_detail(rng):
    image = rng.random((20, 30)).astype(np.float32)
    strong = detailed(image, 50.0)
    assert strong.min() == 0 and strong.max() == 1 and strong.dtype == np.float32
    assert detailed(image, 0.0) is image


def waves(points: np.ndarray, lengths: tuple[float, float], footprint: float, seed: int):
    rng = np.random.default_rng(seed)
    value = np.zeros(points.shape[:-1])
    for wavelength in np.geomspace(*lengths, 20) * footprint:
        direction = rng.normal(size=3)
        direction *= 2 * np.pi / wavelength / np.linalg.norm(direction)
        value += np.sin(points @ direction + rng.uniform(0, 6.28)) / np.sqrt(20)
    return value


def on_ball(camera: Camera, radius: float) -> np.ndarray:
    """Return (height, width, 3) the points of a ball about the origin that pixels see; or NaN."""
    ray = camera.unproject(camera.pixel_centers())
    a, b = (ray**2).sum(-1), ray @ camera.center
    with np.errstate(invalid="ignore"):
        depth = (-b - np.sqrt(b * b - a * (camera.center @ camera.center - radius**2))) / a
    return camera.center + depth[..., None] * ray


@pytest.fixture(scope="module")
def sheeny(ball) -> list[View]:
    """Give views of a ball of faint fine texture, with strong broad sheen that lies below it."""
    views = []
    for view in ball.views():
        outer = on_ball(view.camera, ball.radius)
        inner = on_ball(view.camera, ball.radius - DEPTH_PX * ball.footprint)
        grey = 0.5 + 0.02 * waves(outer, (4.0, 6.0), ball.footprint, 1)
        grey += 0.12 * waves(inner, (16.0, 40.0), ball.footprint, 2)
        grey = np.nan_to_num(np.clip(grey, 0, 1), nan=0.05).astype(np.float32)
        views.append(replace(view, grey=grey))
    return views


def test_sheen_does_not_lead_the_sweep_below_the_surface(ball, sheeny):
    # as if a start had followed the sheen half of the way
    mesh: Mesh = ball.mesh(radius=ball.radius - 0.5 * DEPTH_PX * ball.footprint)
    wrong = {}
    for detail in (0.0, 4.0):
        swept = sweep_surface(mesh, sheeny, SweepConfig(stiffness=4.0, detail=detail))
        seen = swept.score > -1
        radius = np.linalg.norm(swept.mesh.vertices[seen], axis=1)
        wrong[detail] = np.median(np.abs(radius - ball.radius)) / ball.footprint
    assert wrong[4.0] < 0.25
    assert wrong[0.0] > 3 * wrong[4.0]
