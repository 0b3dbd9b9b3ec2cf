"""What the rig's uncertainty does to points of a head, against what it does in fact."""

from dataclasses import replace

import numpy as np
import pytest

from facekit.calibration.solve.headpoints import HEAD_BOX_MM, head_grid, neighbours
from facekit.calibration.solve.rig import estimate_rig
from facekit.core.geometry.transform import align_similarity


def triangulated(rig, true_rig, points):
    """Return where a rig sees points of which the images are those of the true rig."""
    A, b = np.zeros((len(points), 3, 3)), np.zeros((len(points), 3))
    seen = np.zeros(len(points))
    for found, true in zip(rig, true_rig, strict=True):
        xy, _ = true.project(points)
        rays = found.unproject(xy)
        rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        inside = ((xy > 0) & (xy < (true.width, true.height))).all(axis=1)
        across = (np.eye(3) - rays[:, :, None] * rays[:, None]) * inside[:, None, None]
        A += across
        b += across @ found.center
        seen += inside
    twice = seen >= 2
    return np.linalg.solve(A[twice], b[twice][..., None])[..., 0], twice


def head_error_um(rig, true_rig):
    """Return the root mean square error over the box, after removing a rigid motion."""
    points = head_grid(true_rig.cameras)
    found, twice = triangulated(rig, true_rig, points)
    return 1000 * align_similarity(found, points[twice], with_scale=False).rms_mm


def test_foretells_the_errors_of_repeated_calibrations(capture):
    """Ten repeats of some 20 independent figures each: well within a factor of 1.5."""
    exact = capture(4, 12, noise_px=0.0)
    rng = np.random.default_rng(1)
    errors, pairs, foretold, weakest = [], [], [], []
    for _ in range(10):
        views = [replace(v, xy=v.xy + rng.normal(0, 0.1, v.xy.shape)) for v in exact.views]
        found = estimate_rig(exact.cameras, views, exact.spec)
        errors.append(head_error_um(found.rig, exact.rig))
        foretold.append(found.head.sigma_um)
        pair = found.head.weakest_pair
        two, true = (
            replace(rig, cameras=tuple(rig[name] for name in pair))
            for rig in (found.rig, exact.rig)
        )
        points = head_grid(exact.rig.cameras)
        places, twice = triangulated(two, true, points)
        fit = align_similarity(places, points[twice], with_scale=False)
        pairs.append(1000 * fit.rms_mm)
        weakest.append(found.head.sigma_pair_um)
    actual = np.sqrt(np.mean(np.square(errors)))
    assert 1 / 1.5 < actual / np.mean(foretold) < 1.5
    # each time the same pair is the weakest here; a pair has fewer independent figures
    assert 1 / 1.5 < np.sqrt(np.mean(np.square(pairs))) / np.mean(weakest) < 1.5


def test_is_proportional_to_noise(capture):
    small, large = (
        estimate_rig(made.cameras, made.views, made.spec).head
        for made in (capture(4, 10, noise_px=noise) for noise in (0.02, 0.1))
    )
    assert large.sigma_um / small.sigma_um == pytest.approx(5, rel=0.15)
    assert large.sigma_pair_um / small.sigma_pair_um == pytest.approx(5, rel=0.15)
    assert large.sigma_pair_um > large.sigma_um  # two cameras know less than all


def test_neighbours_of_an_arc_are_a_chain(capture):
    rig = capture(5, 1).rig
    assert neighbours(rig.cameras) == [(0, 1), (1, 2), (2, 3), (3, 4)]


def test_the_grid_is_a_heads_box_where_the_axes_meet(capture):
    rig = capture(5, 1).rig
    grid = head_grid(rig.cameras)
    assert np.linalg.norm(grid.mean(axis=0)) < 20  # cameras aim within 10 mm of the origin
    # in the frame that is upright for the cameras, the box stands upright
    extent = np.sort(np.linalg.svd(grid - grid.mean(axis=0), compute_uv=False))
    assert len(extent) == 3
    longest = np.linalg.norm(grid - grid.mean(axis=0), axis=1).max()
    assert longest == pytest.approx(np.linalg.norm(HEAD_BOX_MM) / 2)
