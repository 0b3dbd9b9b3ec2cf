"""GANFit's MICC protocol: laws that it keeps, and those that its official oddities break."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from facekit.benchmarks.micc.ganfit import NOSE_TIP, score_ganfit, similarity_of_sizes
from facekit.core.errors import InputError
from facekit.core.facemodel.procedural import procedural_head

TURN = Rotation.from_rotvec([0.2, -0.5, 0.1]).as_matrix()
DM = 0.01  # a millimetre


@pytest.fixture(scope="module")
def face():
    """Give a scan and another person, both in the head's frame, dm; landmarks in mm."""
    model = procedural_head()
    rng = np.random.default_rng(4)
    people = [model.shape(0.8 * rng.standard_normal(model.n_identity)) for _ in range(2)]
    scan, other = (np.asarray(p, np.float64) * DM for p in people)
    marks = model.landmarks68
    given = {
        "scan_landmarks": scan[marks] / DM,
        "template_landmarks": scan[marks],
        "nose_vertex": int(marks[NOSE_TIP]),
    }
    return scan, other, model.faces, given


def test_a_moved_copy_has_no_error_and_takes_two_alignments(face):
    scan, _, faces, given = face
    moved = scan @ TURN.T + [3.0, -1.0, 0.5]
    score = score_ganfit(scan, moved, faces, **given)
    assert score.error_mm < 1e-10
    # the first alignment is by equal indices and exact; the second finds that nothing improved
    assert (score.reg_to_rec.iterations, score.rec_to_reg.iterations) == (2, 2)


def test_the_way_to_the_prediction_is_measured_in_the_predictions_scale(face):
    scan, other, faces, given = face
    one = score_ganfit(scan, other, faces, **given)
    twice = score_ganfit(scan, 2 * other, faces, **given)
    # the same crop, twice the length; the stopping rule, in its micrometres, may stop later
    assert twice.reg_to_rec.error_mm == pytest.approx(2 * one.reg_to_rec.error_mm, rel=0.02)
    # the crop of 0.95 units now is half as wide on the prediction
    assert len(twice.rec_to_reg.rows) < 0.5 * len(one.rec_to_reg.rows)


@pytest.mark.parametrize("scale", [0.01, 0.5, 100.0])
def test_fixed_a_score_does_not_depend_on_the_unit(face, scale):
    scan, other, faces, given = face
    one = score_ganfit(scan, other, faces, **given, fixed=True)
    scaled = score_ganfit(scan, scale * other @ TURN.T + 5.0, faces, **given, fixed=True)
    assert scaled.error_mm == pytest.approx(one.error_mm, rel=1e-9)
    assert scaled.reg_to_rec.iterations == one.reg_to_rec.iterations
    assert np.array_equal(scaled.rec_to_reg.rows, one.rec_to_reg.rows)


def test_fixed_both_ways_agree_on_the_length_of_a_millimetre(face):
    scan, _, faces, given = face
    rng = np.random.default_rng(0)
    noisy = scan + 0.5 * DM * rng.standard_normal(scan.shape)
    score = score_ganfit(scan, 7 * noisy, faces, **given, fixed=True)
    # noise of 0.5 mm is 0.4 mm in the mean along the normal; less where closest points slide
    # sideways, as they do most from a smooth surface to a rough one
    for way in (score.rec_to_reg, score.reg_to_rec):
        assert 0.15 < way.error_mm < 0.45


@pytest.mark.parametrize("scale", [20.0, 1000.0])
def test_a_unit_that_leaves_nothing_in_the_crop_is_told(face, scale):
    scan, other, faces, given = face
    coarse = faces[:: len(faces) // 300]  # few triangles, so that none is within 0.95 units
    with pytest.raises(InputError, match="decimetres"):
        score_ganfit(scan, scale * 100 * other, coarse, **given)


def test_wrong_numbers_of_vertices_and_nan_are_told(face):
    scan, other, faces, given = face
    with pytest.raises(InputError, match="template's vertices in its order"):
        score_ganfit(scan, other[:-1], faces, **given)
    broken = other.copy()
    broken[7, 1] = np.nan
    with pytest.raises(InputError, match="no finite numbers"):
        score_ganfit(scan, broken, faces, **given)
    marks = given["scan_landmarks"][:5]
    with pytest.raises(InputError, match="68 finite points"):
        score_ganfit(scan, other, faces, **(given | {"scan_landmarks": marks}))


def test_a_vertex_counts_only_with_a_whole_triangle_inside():
    # a strip of triangles along x, vertices at 0, 0.5, 1, ...: 0.95 around the first holds
    # the vertices at 0 and 0.5, and one triangle of them
    x = np.repeat(np.arange(6) * 0.5, 2)
    y = np.tile([0.0, 0.4], 6)
    vertices = np.stack([x, y, np.zeros(12)], axis=1)
    faces = np.array([[i, i + 1, i + 2] for i in range(10)], np.int32)
    marks = np.zeros((68, 3))
    marks[:, 0], marks[:, 1] = np.linspace(-1, 1, 68), np.linspace(-1, 1, 68) ** 2
    marks -= marks[NOSE_TIP]
    score = score_ganfit(
        vertices, vertices, faces, scan_landmarks=marks, template_landmarks=marks, nose_vertex=0
    )
    assert score.rec_to_reg.rows.tolist() == [0, 1, 2, 3]
    narrow = score_ganfit(
        vertices, vertices, faces, scan_landmarks=marks, template_landmarks=marks, nose_vertex=0,
        radius=0.6,
    )  # fmt: skip
    assert narrow.rec_to_reg.rows.tolist() == [0, 1, 2]  # (0.5, 0.4) is 0.64 away


def test_a_similarity_of_sizes_is_exact_and_never_mirrors(rng):
    points = rng.standard_normal((30, 3))
    found = similarity_of_sizes(points, 2.5 * points @ TURN.T + [1.0, 2.0, 3.0])
    assert found.scale == pytest.approx(2.5)
    assert np.allclose(found.R, TURN)
    mirrored = similarity_of_sizes(points, points * [1, 1, -1])
    assert np.linalg.det(mirrored.R) == pytest.approx(1.0)
    assert mirrored.scale == pytest.approx(1.0)  # of sizes; least squares would shrink
    with pytest.raises(InputError, match="coincide"):
        similarity_of_sizes(np.zeros((5, 3)), points[:5])
