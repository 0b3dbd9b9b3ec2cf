"""Displacement by defocus: found where it is, left alone where it is not."""

from dataclasses import replace

import numpy as np
import pytest

from facekit.calibration.solve.rig import estimate_rig
from facekit.core.geometry.transform import align_similarity, apply

PUPIL_MM, FOCUS_MM = 30.0, 1000.0  # 85 mm at f/2.8


def centre_errors(found, true):
    fit = align_similarity(found.centers, true.centers, with_scale=False)
    return np.linalg.norm(fit(found.centers) - true.centers, axis=1)


def out_of_focus(made, noise_px, rng):
    """Return the views with their corners moved by half the slope of the blur's variance.

    By its definition: the variance at each corner, and its slope from a plane through the
    inverse depths.
    """
    exact = estimate_rig(made.cameras, made.views, made.spec)
    views = []
    for view in made.views:
        camera = exact.rig[view.camera]
        pose = exact.world_from_board[exact.takes.index(view.take)]
        xy, depth = camera.project(apply(pose, exact.board.corners[view.ids]))
        design = np.column_stack([xy, np.ones(len(xy))])
        slope = np.linalg.lstsq(design, 1 / depth, rcond=None)[0][:2]
        spread = PUPIL_MM / 4 * camera.K[0, 0]
        by_variance = spread**2 * (1 / depth - 1 / FOCUS_MM)[:, None] * slope
        noise = rng.normal(0, noise_px, xy.shape)
        views.append(replace(view, xy=view.xy - by_variance + noise))
    return views


def test_finds_the_lens_and_spares_the_rig(capture, rng):
    """Pupil and focus to a few percent, centres as without defocus, and its sigmas true."""
    made = capture(5, 14, noise_px=0.0)
    views = out_of_focus(made, 0.01, rng)
    found = estimate_rig(made.cameras, views, made.spec)
    pupil, focus = found.pupil_and_focus_mm.T
    # 14 poses of 48 corners: k² is known to some percent
    np.testing.assert_allclose(pupil, PUPIL_MM, rtol=0.1)
    np.testing.assert_allclose(focus, FOCUS_MM, rtol=0.03)
    errors = centre_errors(found.rig, made.rig)
    sigma = np.sqrt((found.sigma.center_mm**2).mean())
    assert np.sqrt((errors**2).mean()) < 1.6 * sigma  # 5 x 3 figures that hang together
    rms = np.sqrt((found.residuals**2).sum(axis=1).mean())
    assert rms == pytest.approx(0.01 * np.sqrt(2), rel=0.05)
    assert found.held_out.rms_px < 1.25 * rms


def test_a_sharp_lens_has_none(capture):
    for seed in range(3):
        made = capture(5, 14, noise_px=0.03, seed=seed)
        found = estimate_rig(made.cameras, made.views, made.spec)
        assert np.isnan(found.pupil_and_focus_mm).all()


def test_what_no_lens_does_is_refused(capture, rng):
    """The same displacement the other way round: no disc has a negative variance."""
    made = capture(5, 14, noise_px=0.0)
    moved = out_of_focus(made, 0.0, rng)
    views = [
        replace(view, xy=2 * view.xy - other.xy)
        for view, other in zip(made.views, moved, strict=True)
    ]
    found = estimate_rig(made.cameras, views, made.spec)
    assert np.isnan(found.pupil_and_focus_mm).all()
