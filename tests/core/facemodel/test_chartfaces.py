"""The skin chart: inside the tile, turned one way, nothing over anything else."""

from pathlib import Path

import numpy as np

from facekit.core.facemodel.chartfaces import skin_chart
from facekit.core.facemodel.ict import load_ict
from facekit.core.facemodel.procedural import procedural_head


def grid(n: int, *, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """Return uv and triangles of a square of n x n cells."""
    x, y = np.meshgrid(np.linspace(low, high, n + 1), np.linspace(low, high, n + 1))
    uv = np.stack([x.ravel(), y.ravel()], axis=1)
    corner = (np.arange(n)[:, None] * (n + 1) + np.arange(n)).ravel()
    lower = np.stack([corner, corner + 1, corner + n + 2], axis=1)
    upper = np.stack([corner, corner + n + 2, corner + n + 1], axis=1)
    return uv, np.concatenate([lower, upper]).astype(np.int32)


def chart(uv: np.ndarray, faces: np.ndarray) -> np.ndarray:
    return skin_chart(uv, faces, faces, np.ones(len(uv), bool))


def test_a_plain_square_is_all_chart() -> None:
    uv, faces = grid(8, low=0.0, high=1.0)
    assert chart(uv, faces).all()


def test_what_leaves_the_tile_is_left_out() -> None:
    uv, faces = grid(10, low=0.05, high=1.95)
    expected = (uv[faces] <= 1).all(axis=(1, 2))
    np.testing.assert_array_equal(chart(uv, faces), expected)


def test_of_islands_over_each_other_the_larger_stays() -> None:
    small, small_faces = grid(4, low=0.4, high=0.6)
    large, large_faces = grid(8, low=0.1, high=0.9)
    uv = np.concatenate([small, large])
    faces = np.concatenate([small_faces, large_faces + len(small)])
    stays = chart(uv, faces)
    assert not stays[: len(small_faces)].any()
    assert stays[len(small_faces) :].all()


def test_a_fold_within_an_island_is_left_out() -> None:
    uv, faces = grid(8, low=0.0, high=1.0)
    uv[:, 0] = np.where(uv[:, 0] > 0.75, 1.5 - uv[:, 0], uv[:, 0])
    stays = chart(uv, faces)
    right = np.isin(faces, np.flatnonzero(np.arange(len(uv)) % 9 > 6)).any(axis=1)
    assert stays[~right].all()
    assert not stays[right].any()


def test_what_lies_deeper_gives_way() -> None:
    uv, faces = grid(8, low=0.0, high=1.0)
    twice = np.concatenate([uv, uv])
    both = np.concatenate([faces, faces[:4] + len(uv)])
    both[both == len(uv)] = 0  # one island
    depth = np.repeat([5.0, 0.0], len(uv))
    stays = skin_chart(twice, both, both, np.ones(len(twice), bool), depth=depth)
    assert stays[len(faces) :].all()
    assert not stays[:4].any()
    assert stays[4 : len(faces)].all()


def test_what_a_seam_stretches_is_left_out() -> None:
    uv, faces = grid(64, low=0.0, high=1.0)
    across = np.array([[0, 64, 65 * 65 - 1]], np.int32)
    stays = chart(uv, np.concatenate([across, faces]))
    assert not stays[0]
    assert stays[1:].all()


def test_vertices_that_are_no_skin_are_left_out() -> None:
    uv, faces = grid(4, low=0.0, high=1.0)
    skin = uv[:, 0] < 0.6
    np.testing.assert_array_equal(skin_chart(uv, faces, faces, skin), skin[faces].all(axis=1))


def test_all_skin_of_the_built_in_head_has_texels() -> None:
    head = procedural_head()
    np.testing.assert_array_equal(head.chart_faces, head.regions["skin"][head.faces].all(axis=1))


def test_the_chart_of_ict_is_its_first_tile(shared_data: Path) -> None:
    model = load_ict(shared_data / "ict_face_model/ict_face_model.npz")
    corners = model.uv[model.faces_uv]
    first_tile = (corners >= 0).all(axis=(1, 2)) & (corners <= 1).all(axis=(1, 2))
    skin = model.regions["skin"][model.faces].all(axis=1)
    np.testing.assert_array_equal(model.chart_faces, first_tile & skin)
    face = model.regions["frontal_face"][model.faces].all(axis=1)
    assert model.chart_faces[face].all()
    assert model.unit_mm == 10
