"""Held-out views: an error that the adjustment could not hide."""

import numpy as np
import pytest

from facekit.calibration.solve.rig import estimate_rig
from facekit.core.geometry.transform import apply


def solve(made, views=None, **settings):
    return estimate_rig(made.cameras, views or made.views, made.spec, **settings)


def test_is_hardly_more_than_the_noise(capture):
    found = solve(capture(5, 20))
    assert found.held_out.n_takes == 4
    assert 0.98 * 0.03 * np.sqrt(2) < found.held_out.rms_px < 1.2 * 0.03 * np.sqrt(2)
    by_camera = found.held_out.by_camera_px
    assert np.nanmax(by_camera) < 1.4 * 0.03 * np.sqrt(2)


def test_few_takes_have_none(capture):
    assert solve(capture(5, 7)).held_out is None


def test_tells_a_model_that_does_not_fit(capture):
    """A bent board taken as flat: held-out views are missed like the others, by far."""
    made = capture(3, 10, spread_deg=60.0, bow_mm=0.3)
    assert solve(made, free_board=False).held_out.rms_px > 3 * solve(made).held_out.rms_px


def test_each_camera_keeps_views(capture):
    """A camera with three views loses none of them, or nothing is held out at all."""
    made = capture(4, 12)
    own = [view for view in made.views if view.camera == "C02"]
    few = [view for view in made.views if view.camera != "C02"] + own[2:5]
    found = solve(made, few)
    takes = {view.take for view in own[2:5]}
    if found.held_out is not None:
        assert np.isnan(found.held_out.by_camera_px[2])
        assert len(takes) == 3


@pytest.mark.parametrize("bend_mm", [0.05])
def test_a_board_that_bends_between_takes_shows(capture, bend_mm):
    """What changes from take to take fits no rig: held-out views miss by more than kept ones."""
    rng = np.random.default_rng(2)
    made = capture(5, 15, noise_px=0.01)
    middle = made.corners.mean(axis=0)
    half = np.abs(made.corners[:, 0] - middle[0]).max()
    found = solve(made)
    bent = []
    bends = {take: rng.normal(0, bend_mm) for take in found.takes}
    for view in made.views:
        pose = found.world_from_board[found.takes.index(view.take)]
        corners = made.corners.copy()
        corners[:, 2] += bends[view.take] * ((corners[:, 0] - middle[0]) / half) ** 2
        camera = found.rig[view.camera]
        moved = (
            camera.project(apply(pose, corners))[0] - camera.project(apply(pose, made.corners))[0]
        )
        bent.append(type(view)(take=view.take, camera=view.camera, ids=view.ids,
                               xy=view.xy + moved[view.ids]))  # fmt: skip
    again = solve(made, bent)
    kept = np.sqrt((again.residuals[again.kept] ** 2).sum(axis=1).mean())
    assert again.held_out.rms_px > 1.02 * kept > 3 * 0.01 * np.sqrt(2)
