"""Standard deviations against the spread of repeated measurements."""

from dataclasses import replace

import numpy as np

from facekit.calibration.solve.rig import estimate_rig
from facekit.core.geometry.transform import align_similarity


def test_predicts_the_spread_of_repeated_calibrations(capture):
    # ten repeats: the spread is known to 1/sqrt(2 * 9) = 24 % for one number and, the cameras
    # being much alike, better for their mean
    focal, centers, sigmas = [], [], []
    exact = capture(4, 10, noise_px=0.0)
    rng = np.random.default_rng(3)
    for _ in range(10):
        views = [replace(v, xy=v.xy + rng.normal(0, 0.1, v.xy.shape)) for v in exact.views]
        found = estimate_rig(exact.cameras, views, exact.spec)
        fit = align_similarity(found.rig.centers, exact.rig.centers, with_scale=False)
        centers.append(fit(found.rig.centers))
        focal.append([camera.K[0, 0] for camera in found.rig])
        sigmas.append((found.sigma.focal_px, found.sigma.center_mm))
    spread = np.std(focal, axis=0, ddof=1).mean()
    assert 0.6 < spread / np.mean([s[0] for s in sigmas]) < 1.6
    apart = np.sqrt(np.var(centers, axis=0, ddof=1).sum(axis=1)).mean()
    assert 0.6 < apart / np.mean([s[1] for s in sigmas]) < 1.6


def test_is_proportional_to_noise(capture):
    small, large = (
        estimate_rig(made.cameras, made.views, made.spec).sigma
        for made in (capture(3, 8, noise_px=n, spread_deg=60.0) for n in (0.02, 0.1))
    )
    np.testing.assert_allclose(large.center_mm / small.center_mm, 5, rtol=0.15)


def test_a_guessed_focal_length_has_none(capture):
    made = capture(3, 8, spread_deg=60.0)
    first = next(view for view in made.views if view.camera == "C02")
    views = [view for view in made.views if view.camera != "C02"] + [first]
    sigma = estimate_rig(made.cameras, views, made.spec).sigma
    assert np.isnan(sigma.focal_px[2])
    assert np.isnan(sigma.center_mm[2])
    assert np.isfinite(sigma.center_mm[:2]).all()
