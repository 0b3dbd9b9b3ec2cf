"""Rays through the distorted lens and over its pupil."""

import numpy as np

from facekit.capture.virtual.rays import lens_rays, pixel_rays
from facekit.core.geometry.camera import Rig


def test_rays_through_pixel_centres_are_the_camera_s_own(rig: Rig) -> None:
    camera = rig.cameras[1]
    rays = pixel_rays(camera, (40, 43), n=1)
    expected = camera.unproject(camera.pixel_centers()[40:43])
    np.testing.assert_allclose(rays[:, :, 0], expected, atol=2e-7)  # float32


def test_subsamples_surround_the_centre(rig: Rig) -> None:
    camera = rig.cameras[1]
    rays = pixel_rays(camera, (10, 11), n=2)
    x, y = np.meshgrid([0.25, 0.75], [0.25, 0.75])
    places = np.stack([x.ravel() + 7, y.ravel() + 10], axis=1)
    np.testing.assert_allclose(rays[0, 7], camera.unproject(places), atol=2e-7)


def test_lens_rays_meet_in_the_plane_of_focus(rig: Rig) -> None:
    camera = rig.cameras[4]
    through_center = pixel_rays(camera, (60, 62), n=3)
    origins, directions = lens_rays(
        through_center, camera, radius_mm=10.0, focus_mm=900.0, top=60, n=3
    )
    np.testing.assert_allclose(
        origins + 900.0 * directions, camera.center + 900.0 * through_center, atol=1e-3
    )
    away = np.linalg.norm(origins - camera.center, axis=-1)
    assert away.max() <= 10.0
    assert 5.5 < away.mean() < 7.5  # evenly over a disc: 2/3 of its radius
    np.testing.assert_allclose((origins - camera.center) @ camera.view_direction, 0, atol=1e-3)
