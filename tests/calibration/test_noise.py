"""Noise of views from their residuals, and what weighting by it is good for."""

from dataclasses import replace

import numpy as np

from facekit.calibration.solve import rig as solver
from facekit.calibration.solve.noise import view_noise
from facekit.calibration.solve.rig import estimate_rig
from facekit.calibration.solve.rigstate import Observations, RigState
from facekit.core.geometry.transform import align_similarity


def unequal(made, rng):
    """Return views of which every third has three times the noise, and which those are."""
    noise = {(v.take, v.camera): 0.09 if n % 3 == 0 else 0.03 for n, v in enumerate(made.views)}
    views = [
        replace(v, xy=v.xy + rng.normal(0, noise[v.take, v.camera], v.xy.shape)) for v in made.views
    ]
    return views, noise


def test_noise_of_views_is_told_from_their_residuals(capture, rng):
    """The median of some 45 squared distances, drawn towards that of all views."""
    made = capture(5, 12, noise_px=0.0)
    views, noise = unequal(made, rng)
    found = estimate_rig(made.cameras, views, made.spec)
    names = found.rig.names
    true = np.array(
        [
            noise[found.takes[take], names[camera]]
            for take, camera in zip(found.seen.take, found.seen.camera, strict=True)
        ]
    )
    relative = found.seen.noise / (true / 0.03)
    # drawn towards the usual noise by 100 of 145 corners: the noisy ones come out near 1.9 of 3
    assert np.median(found.seen.noise[true > 0.05]) > 1.6
    assert 0.85 < np.median(relative[true < 0.05]) < 1.15


def test_weighted_views_place_cameras_better(capture, rng, monkeypatch):
    """Weights of 1 : 9 against equal ones, in theory a third off; on average over six draws."""
    made = capture(5, 12, noise_px=0.0)
    errors = {"weighted": [], "equal": []}
    draws = [unequal(made, rng)[0] for _ in range(6)]
    for kind, own in errors.items():
        if kind == "equal":
            monkeypatch.setattr(solver, "view_noise", lambda state, seen, kept: np.ones(len(seen)))
        for views in draws:
            found = estimate_rig(made.cameras, views, made.spec).rig.centers
            fit = align_similarity(found, made.rig.centers, with_scale=False)
            own.append(np.linalg.norm(fit(found) - made.rig.centers, axis=1).mean())
    assert np.mean(errors["weighted"]) < 0.9 * np.mean(errors["equal"])


def test_exact_views_are_all_alike(capture):
    made = capture(3, 3, noise_px=0.0, spread_deg=60.0)
    rig = RigState(cameras=made.rig.cameras, rig_from_board=np.eye(3, 4)[None], points=made.corners)
    none = Observations(camera=np.zeros(1, np.int32), take=np.zeros(1, np.int32),
                        corner=np.zeros(1, np.int32), xy=np.zeros((1, 2)))  # fmt: skip
    exact = replace(none, xy=none.xy + made.rig.cameras[0].project(made.corners[:1])[0])
    assert view_noise(rig, exact, np.ones(1, dtype=bool)) == 1.0
