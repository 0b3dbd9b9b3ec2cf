"""The MICC protocol that Deng et al. describe: its laws."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from facekit.benchmarks.micc.deng import Forehead, crop_of_face, score_deep3d
from facekit.core.errors import InputError
from facekit.core.facemodel.procedural import procedural_head
from facekit.core.geometry.mesh import Mesh, subdivide_loop

TURN = Rotation.from_rotvec([0.2, -0.5, 0.1]).as_matrix()


@pytest.fixture(scope="module")
def people():
    model = procedural_head()
    rng = np.random.default_rng(4)
    scan, other = (
        np.asarray(model.shape(s * rng.standard_normal(model.n_identity)), np.float64)
        for s in (0.8, 0.5)
    )
    return scan, other, model.faces, model.landmarks68


def test_the_scan_itself_in_any_frame_and_unit_has_no_error(people):
    scan, _, faces, marks = people
    moved = 0.1 * scan @ TURN.T + 7.0
    score = score_deep3d(
        scan, moved, faces, scan_landmarks=scan[marks], predicted_landmarks=moved[marks]
    )
    assert score.rmse_mm < 1e-9
    assert score.scan_from_prediction.scale == pytest.approx(10.0)


def test_the_score_does_not_depend_on_the_predictions_frame_and_unit(people):
    scan, other, faces, marks = people
    moved = 1e-3 * other @ TURN.T - 2.0
    one, two = (
        score_deep3d(scan, mesh, faces, scan_landmarks=scan[marks], predicted_landmarks=mesh[marks])
        for mesh in (other, moved)
    )
    assert two.rmse_mm == pytest.approx(one.rmse_mm, rel=1e-6)
    assert two.iterations == one.iterations
    # a plane is never farther than the point of its triangle; a root mean square is above a mean
    assert one.rmse_mm > 0.8 * one.surface_mm > 0


def test_landmarks_only_start_the_alignment(people):
    scan, other, faces, marks = people
    near = other[marks] + np.random.default_rng(0).normal(0, 1.5, (68, 3))
    exact, rough = (
        score_deep3d(scan, other, faces, scan_landmarks=scan[marks], predicted_landmarks=p)
        for p in (other[marks], near)
    )
    # the ICP stops at 1e-5 a step, along directions in which a face slides on itself
    assert rough.rmse_mm == pytest.approx(exact.rmse_mm, rel=0.01)


def test_a_prediction_of_another_topology_scores_alike(people):
    scan, other, faces, marks = people
    fine = subdivide_loop(Mesh(vertices=other, faces=faces))
    one = score_deep3d(
        scan, other, faces, scan_landmarks=scan[marks], predicted_landmarks=other[marks]
    )
    two = score_deep3d(
        scan, fine.vertices, fine.faces, scan_landmarks=scan[marks],
        predicted_landmarks=other[marks],
    )  # fmt: skip
    assert two.rmse_mm == pytest.approx(one.rmse_mm, rel=0.1)


def test_the_crop_is_a_ball_without_the_forehead(people):
    scan, _, _, marks = people
    points = scan[marks]
    whole = crop_of_face(scan, points, forehead=Forehead.KEEP)
    cut = crop_of_face(scan, points)
    assert np.linalg.norm(scan[whole] - points[30], axis=1).max() <= 95.0
    assert set(cut) < set(whole)
    up = points[17:27].mean(0) - points[8]
    assert (scan[cut] @ up).max() <= (points[17:27] @ up).max()


def test_a_scan_in_metres_is_told(people):
    scan, other, faces, marks = people
    with pytest.raises(InputError, match="not millimetres"):
        score_deep3d(
            scan * 10, other, faces, scan_landmarks=scan[marks], predicted_landmarks=other[marks]
        )
