"""The rendered photograph against exact rays, and what lens and threads may change of it."""

from dataclasses import replace

import numpy as np
import pytest

from facekit.capture.virtual import render
from facekit.capture.virtual.lights import N_LIGHTS, Lights
from facekit.capture.virtual.render import Photograph, focus_distance, photograph
from facekit.capture.virtual.scene import Scene
from facekit.capture.virtual.sensor import Optics
from facekit.core import chunks
from facekit.core.geometry.camera import Rig
from facekit.core.imaging.color import linear_from_srgb


def take(scene: Scene, rig: Rig, lights: Lights, name: str, optics: Optics) -> Photograph:
    return photograph(scene, rig[name], lights, optics, rng=np.random.default_rng(9))


@pytest.fixture(scope="module")
def picture(scene: Scene, rig: Rig, lights: Lights) -> Photograph:
    return take(scene, rig, lights, "cam05", Optics())


def test_depth_is_that_of_exact_rays(scene: Scene, rig: Rig, picture: Photograph) -> None:
    expected = scene.query.depth(rig["cam05"])
    seen = np.isfinite(expected)
    assert (np.isfinite(picture.depth) != seen).sum() <= 2  # rays along an edge, in float32
    both = seen & np.isfinite(picture.depth)
    assert both.mean() > 0.2
    difference = np.abs(picture.depth - expected)[both]
    assert np.percentile(difference, 99.9) < 0.01  # mm


def test_points_of_the_depth_map_lie_on_the_surface(
    scene: Scene, rig: Rig, picture: Photograph
) -> None:
    camera = rig["cam05"]
    rows, cols = np.nonzero(np.isfinite(picture.depth))
    pick = slice(None, None, 37)
    xy = np.stack([cols[pick] + 0.5, rows[pick] + 0.5], axis=1)
    depth = picture.depth[rows[pick], cols[pick]]
    points = camera.center + depth[:, None] * camera.unproject(xy)
    assert scene.query.closest(points).distance.max() < 0.01  # mm, float32 at a metre
    back, _ = camera.project(points)
    assert np.abs(back - xy).max() < 1e-3


def test_normals_are_unit_and_face_the_camera(rig: Rig, picture: Photograph) -> None:
    seen = np.isfinite(picture.depth)
    normal = picture.normal[seen].astype(np.float64)
    np.testing.assert_allclose(np.linalg.norm(normal, axis=1), 1, atol=2e-3)  # float16
    assert (normal @ rig["cam05"].view_direction < 0.3).mean() > 0.99
    assert np.isnan(picture.normal[~seen]).all()


def test_albedo_is_physical_and_zero_off_the_head(picture: Photograph) -> None:
    seen = np.isfinite(picture.depth)
    assert picture.albedo[seen].min() > 0 and picture.albedo.max() <= 0.95
    assert picture.albedo[~seen].max() == 0
    red, _, blue = picture.albedo[seen].mean(axis=0)
    assert red > blue  # it is skin


def test_the_exposure_is_well_used(picture: Photograph) -> None:
    face = picture.image[np.isfinite(picture.depth)]
    assert 40 < np.median(face) < 220
    assert (face == 255).all(axis=1).mean() < 0.005


def test_strips_and_threads_change_nothing(
    scene: Scene, rig: Rig, lights: Lights, picture: Photograph, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(render, "_RAYS_AT_ONCE", 5_000)
    monkeypatch.setattr(chunks, "N_THREADS", 1)
    again = take(scene, rig, lights, "cam05", Optics())
    np.testing.assert_array_equal(again.image, picture.image)
    np.testing.assert_array_equal(again.depth, picture.depth)


def test_an_open_aperture_blurs_only_what_is_out_of_focus(
    scene: Scene, rig: Rig, lights: Lights
) -> None:
    quiet = Optics(read_noise=0.0, shot_noise=0.0, blur_px=0.0, supersampling=5)
    camera = rig["cam04"]
    sharp = take(scene, rig, lights, "cam04", quiet)
    radius = 30.0
    soft = take(scene, rig, lights, "cam04", replace(quiet, lens_radius_mm=radius))
    np.testing.assert_array_equal(soft.depth, sharp.depth)
    focus = focus_distance(sharp.depth)
    circle = 2 * radius * camera.K[0, 0] * np.abs(1 / sharp.depth - 1 / focus)  # px
    change = np.abs(linear_from_srgb(soft.image) - linear_from_srgb(sharp.image)).mean(axis=2)
    inside = np.isfinite(circle)
    in_focus, away = change[inside & (circle < 0.5)], change[inside & (circle > 4)]
    assert len(in_focus) > 500 and len(away) > 500
    assert np.median(away) > 3 * np.median(in_focus)


def test_a_camera_that_looks_elsewhere_sees_the_backdrop(
    scene: Scene, rig: Rig, lights: Lights
) -> None:
    camera = rig["cam04"]
    turned = camera.cam_from_world.copy()
    turned[:, :] = np.diag([-1.0, 1.0, -1.0]) @ turned
    away = photograph(
        scene,
        replace(camera, cam_from_world=turned),
        lights,
        Optics(),
        rng=np.random.default_rng(0),
    )
    assert np.isnan(away.depth).all()
    assert away.image.std() < 3


def test_lights_are_normalised_and_shadowed(scene: Scene, lights: Lights) -> None:
    assert lights.irradiance(np.array([0.0, 0.0, 1.0])) == pytest.approx(1.0)
    np.testing.assert_allclose(np.linalg.norm(lights.directions, axis=1), 1)
    seen = scene.surface.seen
    assert seen.shape[1] == N_LIGHTS + 1
    assert seen.min() >= 0 and seen.max() <= 1
    tip = np.argmax(scene.surface.vertices[: len(seen), 2])
    assert seen[tip, N_LIGHTS] > 0.8  # nothing stands before the tip of the nose
    skull = np.flatnonzero(scene.surface.vertices[: len(seen), 1] > 40)
    back = skull[np.argmin(scene.surface.vertices[skull, 2])]
    assert seen[back, :N_LIGHTS].mean() < 0.1  # all lights are in front, but for their edges
