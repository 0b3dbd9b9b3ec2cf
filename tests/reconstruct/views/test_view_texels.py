"""Texels of the face: where they lie on the skin, how large they are, maps to and fro."""

from typing import Any

import numpy as np
import pytest

from facekit.core.errors import InputError
from facekit.core.geometry.mesh import face_areas
from facekit.dataset.bake.chart import chart
from facekit.reconstruct.views.texels import texel_grid


def _near(skin: Any, point: np.ndarray, mm: float) -> np.ndarray:
    return np.linalg.norm(skin.vertices - point, axis=1) < mm


def test_texels_lie_on_the_curved_surface(skin: Any) -> None:
    """Vertices on a ball: chords lie `L² / 8 R` deep, the curved surface on the ball itself."""
    middle, radius = skin.model.mean.mean(axis=0), 90.0
    towards = skin.model.mean - middle
    ball = middle + radius * towards / np.linalg.norm(towards, axis=1, keepdims=True)
    grid = texel_grid(skin.model, ball[None], skin.region, 256)
    flat = chart(skin.model, 256).interpolated(ball)[grid.window]
    off = [
        np.linalg.norm(p - middle, axis=-1)[grid.inside] - radius for p in (grid.points[0], flat)
    ]
    # folds of lips, lids and nostrils are no ball: of the rest, which is most
    assert np.median(off[1]) < -0.01
    assert abs(np.median(off[0])) < 0.1 * abs(np.median(off[1]))
    outward = (grid.points[0] - middle) / np.linalg.norm(grid.points[0] - middle, axis=-1)[
        ..., None
    ]
    cosine = (outward * grid.normals[0]).sum(axis=-1)[grid.inside]
    assert np.median(cosine) > np.cos(np.radians(1.0))


def test_texels_are_as_large_as_their_share_of_the_skin(skin: Any) -> None:
    """Their areas add up to the skin's, whatever the number of texels."""
    faces, areas = skin.model.faces, face_areas(skin.vertices, skin.model.faces)
    cheek = _near(skin, skin.vertices[skin.model.landmarks68[35]] + [30.0, 0.0, 0.0], 25)
    n_known = cheek[faces].sum(axis=1)
    area = areas[n_known == 3].sum() + 0.5 * areas[(n_known > 0) & (n_known < 3)].sum()
    fine, rough = (texel_grid(skin.model, skin.vertices[None], cheek, n) for n in (512, 256))
    for grid in (fine, rough):
        assert (grid.texel_mm[grid.inside] ** 2).sum() == pytest.approx(area, rel=0.02)
    assert rough.spacing_mm == pytest.approx(2 * fine.spacing_mm, rel=0.02)
    # neighbours on the skin stand a texel apart
    beside = np.linalg.norm(np.diff(fine.points[0], axis=1), axis=-1)
    both = fine.inside[:, 1:] & fine.inside[:, :-1]
    assert np.median(beside[both]) == pytest.approx(fine.spacing_mm, rel=0.15)


def test_only_the_largest_connected_part_counts(skin: Any) -> None:
    marks = skin.vertices[skin.model.landmarks68]
    nose = _near(skin, marks[30], 25)
    both = nose | _near(skin, marks[8], 12)
    alone, with_chin = (texel_grid(skin.model, skin.vertices[None], r, 256) for r in (nose, both))
    assert alone.window == with_chin.window
    np.testing.assert_array_equal(alone.inside, with_chin.inside)
    assert np.linalg.norm(alone.points[0][alone.inside] - marks[30], axis=-1).max() < 32
    with pytest.raises(InputError, match="no place in the chart"):
        texel_grid(skin.model, skin.vertices[None], np.zeros_like(nose), 256)


def test_every_surface_has_its_own_points(skin: Any) -> None:
    moved = skin.vertices + np.array([3.0, 0.0, -1.0])
    grid = texel_grid(skin.model, np.stack([skin.vertices, moved]), skin.region, 128)
    apart = (grid.points[1] - grid.points[0])[grid.inside]
    np.testing.assert_allclose(apart, np.broadcast_to([3.0, 0.0, -1.0], apart.shape), atol=1e-4)
    np.testing.assert_allclose(grid.normals[1], grid.normals[0], atol=1e-6)


def test_maps_of_another_size(skin: Any) -> None:
    """A linear function of the chart's own coordinates is the same in every size."""
    rough, fine = skin.grid(128), skin.grid(256)

    def ramp(size: int, window: tuple[slice, slice]) -> np.ndarray:
        at = (np.arange(size) + 0.5) / size
        return (at[:, None] + 2 * at[None])[window].astype(np.float32)

    small, large = ramp(128, rough.window), ramp(256, fine.window)
    whole = rough.whole(small)
    np.testing.assert_array_equal(whole[rough.window], np.where(rough.inside, small, 0))
    assert np.count_nonzero(whole) == rough.inside.sum()
    assert rough.whole(np.stack([small] * 3, axis=-1)).shape == (128, 128, 3)
    for values, source, expected, to in ((small, rough, large, fine), (large, fine, small, rough)):
        found = source.resized(values, to)
        off = np.abs(found - expected)[to.inside]
        # beyond the face's edge a map goes on level: there it may err by a texel's step
        assert np.quantile(off, 0.9) < 1e-5
        assert off.max() < 2 * 3 / 128
    ones = rough.resized(np.ones(rough.inside.shape, np.float32), fine)
    np.testing.assert_allclose(ones[fine.inside], 1, atol=1e-4)
