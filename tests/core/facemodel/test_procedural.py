"""The built-in head: topology, symmetry, proportions, UV chart, modes."""

import numpy as np
import pytest

from facekit.core.facemodel.model import FaceModel
from facekit.core.facemodel.procedural import procedural_head
from facekit.core.geometry.closest import SurfaceQuery
from facekit.core.geometry.mesh import face_areas, face_normals, vertex_components

MIRRORED = np.array([-1.0, 1.0, 1.0])


@pytest.fixture(scope="module")
def head() -> FaceModel:
    return procedural_head()


def test_the_mesh_is_quads_of_moderate_number(head: FaceModel) -> None:
    assert 8_000 <= head.n_vertices <= 20_000
    assert head.quads is not None
    assert 2 * len(head.quads) >= 0.99 * len(head.faces)  # triangles only at the poles of the eyes


def test_the_surface_is_a_manifold_open_at_neck_and_eyeball_backs(head: FaceModel) -> None:
    half_edges = head.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    assert len(np.unique(half_edges, axis=0)) == len(half_edges)  # orientable, no edge thrice
    edges, uses = np.unique(np.sort(half_edges, axis=1), axis=0, return_counts=True)
    border = np.unique(edges[uses == 1])
    at_collar = head.mean[border, 1] < -140
    left_eye = head.mean[head.regions["eyes"] & (head.mean[:, 0] > 0)]
    low, high = left_eye.min(0), left_eye.max(0)
    center, radius = (low + high) / 2, (high[1] - low[1]) / 2
    away = np.linalg.norm(np.abs(head.mean[border] * [1, 0, 0]) + head.mean[border] * [0, 1, 1]
                          - center, axis=1)  # fmt: skip
    assert (at_collar | (away < radius + 0.5)).all()  # in the eyeballs, out of sight
    n_pieces = int(vertex_components(head.faces, head.n_vertices).max()) + 1
    assert n_pieces == 3  # the skin and two eyeballs


def test_faces_look_outwards_and_none_is_degenerate(head: FaceModel) -> None:
    areas = face_areas(head.mean, head.faces)
    assert areas.min() > 1e-4
    skin = head.regions["frontal_face"][head.faces].all(axis=1)
    outwards = face_normals(head.mean, head.faces)[skin, 2] > 0
    assert areas[skin][outwards].sum() > 0.97 * areas[skin].sum()


def test_left_and_right_are_the_same_to_the_bit(head: FaceModel) -> None:
    assert head.mirror is not None
    assert (head.mirror[head.mirror] == np.arange(head.n_vertices)).all()
    np.testing.assert_array_equal(head.mean[head.mirror] * MIRRORED, head.mean)
    faces = {tuple(sorted(face)) for face in head.faces.tolist()}
    assert faces == {tuple(sorted(face)) for face in head.mirror[head.faces].tolist()}


def test_proportions_are_those_of_an_adult(head: FaceModel) -> None:
    marks = head.mean[head.landmarks68]
    crown, chin = head.mean[:, 1].max(), marks[8, 1]
    assert 200 < crown - chin < 250
    pupils = (marks[42:48].mean(0) - marks[36:42].mean(0))[0]
    assert 58 < pupils < 68
    assert 85 < np.linalg.norm(marks[45] - marks[36]) < 95  # outer eye corners
    assert 44 < np.linalg.norm(marks[54] - marks[48]) < 60  # mouth
    assert 28 < np.linalg.norm(marks[35] - marks[31]) < 42  # nose


def test_landmarks_lie_where_the_scheme_says(head: FaceModel) -> None:
    marks = head.mean[head.landmarks68]
    weights = {name: head.weights[name][head.landmarks68] for name in ("brows", "lips", "nose")}
    nose_tip = head.mean[:, 2].max()
    assert marks[30, 2] > nose_tip - 3 and abs(marks[30, 0]) < 1e-9
    assert (weights["brows"][17:27] > 0.5).all()
    assert (weights["lips"][60:68] > 0.9).all()
    x, y = marks[:, 0], marks[:, 1]
    assert (np.diff(x[2:15]) > 0).all()  # the jaw runs from the subject's right to the left,
    assert (np.diff(y[0:9]) < 0).all()  # down from the ear to the chin
    assert (np.diff(x[17:27]) > 0).all()
    assert (np.diff(y[27:31]) < 0).all()  # down the bridge
    assert y[8] == y[:17].min()
    assert (y[[37, 38, 43, 44]] > y[[41, 40, 47, 46]]).all()  # upper lids above the lower
    assert (y[[61, 62, 63]] >= y[[67, 66, 65]]).all()  # lips do not cross
    swapped = [*range(16, -1, -1), *range(26, 16, -1), 27, 28, 29, 30, 35, 34, 33, 32, 31,
               45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40, 54, 53, 52, 51, 50, 49, 48, 59,
               58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65]  # fmt: skip
    np.testing.assert_allclose(marks[swapped] * MIRRORED, marks, atol=1e-9)


def test_lids_cover_the_eyeballs_and_leave_an_opening(head: FaceModel) -> None:
    skin = head.regions["skin"] | head.regions["mouth_interior"]
    lids = SurfaceQuery(head.mean, head.faces[skin[head.faces].all(axis=1)])
    iris = np.flatnonzero(head.weights["iris"] > 0.5)
    ahead = np.tile([0.0, 0.0, 1.0], (len(iris), 1))
    hidden = lids.occluded(head.mean[iris] + 0.1 * ahead, ahead)
    assert 0.02 < hidden.mean() < 0.5  # the upper lid cuts off a part of the iris
    balls = head.regions["eyes"]
    sideways = np.where(head.mean[balls, :1] > 0, 1.0, -1.0) * [1.0, 0.0, 0.0]
    assert lids.occluded(head.mean[balls] + sideways, sideways).mean() > 0.5


def test_the_face_has_one_unfolded_chart_of_even_density(head: FaceModel) -> None:
    corners = head.uv[head.faces_uv]
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area_uv = (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]) / 2
    assert area_uv.min() > 0  # no triangle is turned over
    assert head.uv.min() >= 0 and head.uv.max() <= 1
    face = head.regions["frontal_face"][head.faces].all(axis=1)
    parts = vertex_components(head.faces_uv[face], len(head.uv))
    chart = parts[head.faces_uv[:, 0]]
    main = face & (chart == np.bincount(chart[face]).argmax())
    areas = face_areas(head.mean, head.faces)
    assert areas[main].sum() > 0.98 * areas[face].sum()  # the rest: rims of lids and lips
    density = np.sqrt(area_uv[face] / face_areas(head.mean, head.faces[face]))
    low, middle, high = np.percentile(density, [5, 50, 95])
    assert low > 0.7 * middle and high < 1.3 * middle


def test_charts_do_not_overlap(head: FaceModel) -> None:
    size = 512
    hits = np.zeros((size, size), np.int32)
    for triangle in head.uv[head.faces_uv] * size:
        low = np.floor(triangle.min(0)).astype(int)
        high = np.ceil(triangle.max(0)).astype(int)
        x, y = np.meshgrid(np.arange(low[0], high[0]) + 0.5, np.arange(low[1], high[1]) + 0.5)
        inside = np.ones(x.shape, bool)
        for k in range(3):
            (px, py), (qx, qy) = triangle[k], triangle[(k + 1) % 3]
            inside &= (qx - px) * (y - py) - (qy - py) * (x - px) > 0
        hits[low[1] : high[1], low[0] : high[0]] += inside
    assert (hits > 1).sum() <= 0.001 * (hits > 0).sum()


def test_modes_are_named_and_many(head: FaceModel) -> None:
    assert head.n_identity >= 30 and head.n_expression >= 20
    known = {
        "jawOpen",
        "mouthSmile_L",
        "mouthSmile_R",
        "eyeBlink_L",
        "browInnerUp_L",
        "mouthPucker",
    }
    assert known <= set(head.expression_names)


def test_sided_expressions_mirror_each_other(head: FaceModel) -> None:
    names = head.expression_names
    for name in (n for n in names if n.endswith("_L")):
        left = head.expression[names.index(name)]
        right = head.expression[names.index(f"{name[:-1]}R")]
        np.testing.assert_array_equal(right[head.mirror] * MIRRORED.astype(np.float32), left)


def test_identity_is_symmetric_but_for_the_asymmetries(head: FaceModel) -> None:
    for name, mode in zip(head.identity_names, head.identity, strict=True):
        difference = np.abs(mode[head.mirror] * MIRRORED - mode).max()
        assert (difference < 1e-5) != name.startswith("asymmetry"), name


def turned_over(head: FaceModel, vertices: np.ndarray) -> int:
    """Count skin triangles that point against where they pointed on the mean head."""
    skin = head.regions["skin"][head.faces].all(axis=1)
    before = face_normals(head.mean, head.faces[skin])
    after = face_normals(vertices, head.faces[skin])
    return int(((before * after).sum(1) < -0.5 * np.linalg.norm(before, axis=1)
                * np.linalg.norm(after, axis=1)).sum())  # fmt: skip


def test_no_expression_folds_or_spikes(head: FaceModel) -> None:
    for name in head.expression_names:
        vertices = head.shape(None, {name: 1.0})
        assert face_areas(vertices, head.faces).min() > 1e-5, name
        # closed lids and the corners of an open mouth turn a few rim triangles
        assert turned_over(head, vertices) <= 12, name
        skin = head.faces[head.regions["skin"][head.faces].all(axis=1)]
        apart = (vertices - head.mean)[skin[:, 1]] - (vertices - head.mean)[skin[:, 0]]
        assert np.linalg.norm(apart, axis=1).max() < 5, name  # mm: neighbours stay together


def test_people_of_the_population_have_sound_faces(head: FaceModel) -> None:
    shapes = []
    for person in range(12):
        rng = np.random.default_rng(person)
        vertices = head.shape(head.sample_identity(rng))
        assert turned_over(head, vertices) <= 2
        assert face_areas(vertices, head.faces).min() > 1e-4
        shapes.append(vertices)
    spread = np.linalg.norm(np.std(shapes, axis=0), axis=1)
    assert 1.0 < np.median(spread[head.regions["frontal_face"]]) < 6.0  # mm: people do differ


def test_a_blink_closes_the_eye(head: FaceModel) -> None:
    closed = head.shape(None, {"eyeBlink_L": 1.0, "eyeBlink_R": 1.0})
    skin = head.regions["skin"][head.faces].all(axis=1)
    lids = SurfaceQuery(closed, head.faces[skin])
    iris = closed[head.weights["iris"] > 0.5]
    ahead = np.tile([0.0, 0.0, 1.0], (len(iris), 1))
    assert lids.occluded(iris + 0.05 * ahead, ahead).all()


def test_an_open_jaw_parts_the_lips_and_lowers_the_chin(head: FaceModel) -> None:
    at_rest, opened = (head.shape(None, e)[head.landmarks68] for e in (None, {"jawOpen": 1.0}))
    assert opened[62, 1] - opened[66, 1] > 20
    assert at_rest[8, 1] - opened[8, 1] > 15
    np.testing.assert_allclose(opened[27:31], at_rest[27:31], atol=0.5)  # the nose stays


def test_regions_and_weights_are_there_and_plausible(head: FaceModel) -> None:
    for name in ("frontal_face", "face", "lips", "brows", "eyelids", "forehead", "nose", "chin",
                 "cheeks", "ears", "neck", "eyes"):  # fmt: skip
        assert head.regions[name].any(), name
    assert head.mean[head.regions["lips"], 2].min() > 40  # the lips are in front
    assert np.abs(head.mean[head.regions["ears"], 0]).min() > 55  # the ears beside
    assert not (head.regions["frontal_face"] & head.regions["ears"]).any()
    assert head.weights["scalp"][np.argmax(head.mean[:, 1])] > 0.9  # hair on the crown


def test_the_head_is_the_same_in_every_process(head: FaceModel) -> None:
    again = procedural_head.__wrapped__()
    np.testing.assert_array_equal(again.mean, head.mean)
    np.testing.assert_array_equal(again.expression, head.expression)
    np.testing.assert_array_equal(again.uv, head.uv)
