"""Laws of the similarities that registration moves."""

import numpy as np
from scipy.spatial.transform import Rotation

from facekit.core.geometry.transform import Similarity
from facekit.dataset.register.pose import inverse, pose_rows, product, stepped


def _random(seed: int) -> Similarity:
    rng = np.random.default_rng(seed)
    return Similarity(
        scale=float(rng.uniform(0.2, 5)),
        R=Rotation.random(random_state=seed).as_matrix(),
        t=rng.uniform(-100, 100, 3),
    )


def test_inverse_undoes_and_product_chains():
    points = np.random.default_rng(0).uniform(-100, 100, (20, 3))
    for seed in range(5):
        a, b = _random(seed), _random(seed + 50)
        np.testing.assert_allclose(inverse(a)(a(points)), points, atol=1e-9)
        np.testing.assert_allclose(product(a, b)(points), a(b(points)), atol=1e-9)


def test_pose_rows_are_the_derivative_of_stepped():
    rng = np.random.default_rng(1)
    pose, points = _random(3), rng.uniform(-100, 100, (10, 3))
    normals = rng.standard_normal((10, 3))
    rows = pose_rows(pose(points), normals)
    for axis in range(7):
        step = np.zeros(7)
        step[axis] = 1e-6
        change = (stepped(pose, step)(points) - stepped(pose, -step)(points)) / 2e-6
        np.testing.assert_allclose((change * normals).sum(1), rows[:, axis], rtol=1e-5, atol=1e-5)
