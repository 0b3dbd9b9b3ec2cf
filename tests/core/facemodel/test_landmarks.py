"""Landmark schemes: means of points, left and right, and where points lie on a topology."""

from pathlib import Path

import numpy as np
import pytest

from facekit.core.errors import InputError, ModelFileError
from facekit.core.facemodel.ict import load_ict
from facekit.core.facemodel.landmark_schemes import (
    GROUPS68,
    MATRICES,
    MIRROR,
    N_POINTS,
    NAMES68,
    Scheme,
)
from facekit.core.facemodel.landmarks import (
    Detection,
    Placement,
    box_of,
    convert,
    load_placement,
    mirrored,
)
from facekit.core.geometry.transform import align_similarity

PAIRS = list(MATRICES)


@pytest.fixture
def canonical(shared_data: Path) -> np.ndarray:
    path = shared_data / "mediapipe_canonical" / "canonical_face_model.obj"
    rows = [line.split()[1:4] for line in path.read_text().splitlines() if line.startswith("v ")]
    return np.array(rows, dtype=np.float64)


def test_groups_cover_the_68_once() -> None:
    assert [i for rows in GROUPS68.values() for i in rows] == list(range(68))
    assert len(set(NAMES68)) == 68
    assert NAMES68[8] == "jaw_8" and NAMES68[30] == "nose_bridge_3"


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_conversions_are_means(source: Scheme, target: Scheme) -> None:
    weights = MATRICES[source, target]
    assert weights.shape == (N_POINTS[target], N_POINTS[source])
    assert (weights >= 0).all()
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, atol=1e-12)


@pytest.mark.parametrize("scheme", list(MIRROR))
def test_mirrored_twice_is_the_same(scheme: Scheme, rng: np.random.Generator) -> None:
    points = rng.uniform(0, 100, (N_POINTS[scheme], 2))
    twice = mirrored(mirrored(points, scheme, width=100), scheme, width=100)
    np.testing.assert_allclose(twice, points, atol=1e-12)


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_converting_and_mirroring_commute(
    source: Scheme, target: Scheme, rng: np.random.Generator
) -> None:
    points = rng.uniform(0, 100, (N_POINTS[source], 2))
    one_way = mirrored(convert(points, source, target), target, width=100)
    other_way = convert(mirrored(points, source, width=100), source, target)
    np.testing.assert_allclose(one_way, other_way, atol=1e-9)


def test_only_what_needs_an_unknown_point_becomes_unknown(rng: np.random.Generator) -> None:
    points = rng.uniform(0, 100, (68, 2))
    points[[36, 50]] = np.nan  # a corner of the right eye; a point of the lips that none needs
    five = convert(points, Scheme.IBUG68, Scheme.FIVE)
    assert np.isnan(five[0]).all()
    assert np.isfinite(five[1:]).all()


def test_what_does_not_follow_is_refused() -> None:
    with pytest.raises(InputError, match="realy85 landmarks do not follow from ibug68"):
        convert(np.zeros((68, 2)), Scheme.IBUG68, Scheme.REALY85)
    with pytest.raises(InputError, match="468 points"):
        convert(np.zeros((478, 2)), Scheme.MEDIAPIPE468, Scheme.IBUG68)
    with pytest.raises(InputError, match="left and right"):
        mirrored(np.zeros((85, 2)), Scheme.REALY85, width=10)


def test_a_detection_keeps_what_it_is_in_another_scheme(rng: np.random.Generator) -> None:
    points = rng.uniform(10, 90, (468, 2))
    face = Detection(
        points=points, scheme=Scheme.MEDIAPIPE468, score=0.9, box=box_of(points),
        confidence=np.full(468, 0.5), sigma_px=np.full(468, 2.0),
    )  # fmt: skip
    same = face.to(Scheme.IBUG68)
    assert same.points.shape == (68, 2) and same.box is face.box
    np.testing.assert_allclose(same.confidence, 0.5)
    np.testing.assert_allclose(same.sigma_px, 2.0)


def test_the_mirror_table_is_that_of_the_canonical_face(canonical: np.ndarray) -> None:
    np.testing.assert_array_equal(
        canonical[MIRROR[Scheme.MEDIAPIPE468]], canonical * (-1.0, 1.0, 1.0)
    )


def test_the_68_lie_where_a_morphable_head_has_them(
    canonical: np.ndarray, shared_data: Path
) -> None:
    """Two average faces differ by some mm at each point; a wrong row would be 10 mm off."""
    ict = load_ict(shared_data / "ict_face_model" / "ict_face_model.npz")
    wanted = ict.mean[ict.landmarks68]
    found = convert(canonical, Scheme.MEDIAPIPE468, Scheme.IBUG68)
    fitted = align_similarity(found[17:], wanted[17:])(found)
    distance = np.linalg.norm(fitted - wanted, axis=1)
    assert np.median(distance[17:]) < 3.5
    assert distance[17:].max() < 9.0
    assert distance[:17].max() < 15.0  # jaws differ most; their points have no corners


def test_placements_are_read_and_put_on_a_mesh(tmp_path: Path, rng: np.random.Generator) -> None:
    vertices = rng.normal(size=(40, 3))
    triangles = rng.integers(0, 40, (60, 3)).astype(np.int32)
    weights = rng.dirichlet(np.ones(3), 85)
    faces = rng.integers(0, 60, 85)
    path = tmp_path / "keypoints.txt"
    rows = ["# triangle, weights"] + [
        f"{f} {a:.9f}, {b:.9f}, {c:.9f}" for f, (a, b, c) in zip(faces, weights, strict=True)
    ]
    path.write_text("\n".join(rows))
    placement = load_placement(path, Scheme.REALY85, n_faces=60)
    expected = np.einsum("nij,ni->nj", vertices[triangles[faces]], weights)
    np.testing.assert_allclose(placement.on(vertices, triangles), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        (["0 1 0 0"] * 84, "84 rows of 4"),
        (["0 1 0"] * 85, "85 rows of 3"),
        (["60 1 0 0"] * 85, "another topology"),
        (["0.5 1 0 0"] * 85, "whole numbers"),
        (["0 0.5 0 0"] * 85, "sum one"),
        (["0 2 -1 0"] * 85, "positive"),
        (["zero 1 0 0"] * 85, "not rows of four numbers"),
        (["0 1 0 0", "0 1 0"] * 42, "not rows of four numbers"),
    ],
)
def test_wrong_placements_are_refused(tmp_path: Path, rows: list[str], why: str) -> None:
    path = tmp_path / "keypoints.txt"
    path.write_text("\n".join(rows))
    with pytest.raises(ModelFileError, match=why):
        load_placement(path, Scheme.REALY85, n_faces=60)


def test_a_placement_of_corners_gives_vertices() -> None:
    vertices = np.arange(9.0).reshape(3, 3)
    placement = Placement(
        scheme=Scheme.FIVE,
        faces=np.zeros(2, np.int32),
        barycentric=np.array([[1.0, 0, 0], [0, 0, 1.0]]),
    )
    np.testing.assert_array_equal(
        placement.on(vertices, np.array([[0, 1, 2]], np.int32)), vertices[[0, 2]]
    )
