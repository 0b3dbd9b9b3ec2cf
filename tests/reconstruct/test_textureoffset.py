"""The exported texture's offset makes the render the photograph; the jaw alone swells."""

import numpy as np
import pytest
import torch

from facekit.reconstruct.facetensors import FaceTensors
from facekit.reconstruct.maprender import draw
from facekit.reconstruct.pose import HrnCamera
from facekit.reconstruct.textureoffset import OffsetConfig, fit_texture_offset, swollen

SIZE = 200
MIDDLE = 100.0


def test_the_offset_is_what_the_photograph_has_more(bfm_face: FaceTensors) -> None:
    camera = HrnCamera().resized(112)
    points, shaded = bfm_face.mean[None], torch.full((1, 3, 64, 64), 0.4)
    more = torch.tensor([0.1, 0.0, -0.05]).view(1, 3, 1, 1)
    crop = draw(bfm_face, points, shaded + more, camera).image
    offset = fit_texture_offset(
        bfm_face, points, shaded, crop, camera, config=OffsetConfig(n_steps=40)
    )
    drawn = draw(bfm_face, points, shaded + offset, camera)
    before = draw(bfm_face, points, shaded, camera)
    seen = drawn.mask.expand_as(crop) > 0
    gap = (drawn.image - crop)[seen].abs().mean()
    # Adam goes 0.01 a step: 40 steps reach 0.1 and settle to a step or so
    assert gap < 0.01 < 0.04 < (before.image - crop)[seen].abs().mean()
    assert offset.shape == shaded.shape and not offset.requires_grad


def _marks() -> np.ndarray:
    """Return landmarks (68, 2) px, y up: a jaw of radius 80 below, features within 25."""
    marks = np.zeros((68, 2))
    jaw = np.linspace(np.pi, 2 * np.pi, 17)
    marks[:17] = MIDDLE + 80 * np.column_stack([np.cos(jaw), np.sin(jaw)])
    inner = np.linspace(0, 2 * np.pi, 51, endpoint=False)
    marks[17:] = MIDDLE + 25 * np.column_stack([np.cos(inner), np.sin(inner)])
    return marks


def test_the_jaw_swells_and_the_features_stay() -> None:
    """A picture of distances: below, at the jaw, what lay 3 % nearer is seen."""
    marks = _marks()
    x, y = np.meshgrid(np.arange(SIZE) + 0.5, np.arange(SIZE) + 0.5)
    middle = np.array([marks[:, 0].mean(), SIZE - marks[:, 1].mean()])
    radius = np.hypot(x - middle[0], y - middle[1]).astype(np.float32)
    picture = np.repeat(radius[..., None], 3, axis=2)
    moved = swollen(picture, marks)[..., 0]
    chin, bridge = (SIZE - 21, SIZE // 2), (SIZE // 2, SIZE // 2)
    assert moved[chin] == pytest.approx(0.97 * radius[chin], rel=0.005)
    assert moved[bridge] == pytest.approx(radius[bridge], abs=0.05)
    above = slice(0, 60)
    np.testing.assert_allclose(moved[above], radius[above], atol=0.1)


def test_without_a_jaw_or_swelling_nothing_moves() -> None:
    picture = np.random.default_rng(0).random((SIZE, SIZE, 3)).astype(np.float32)
    np.testing.assert_allclose(swollen(picture, _marks(), by=0.0), picture, atol=1e-6)
    unknown = _marks()
    unknown[:17] = np.nan
    np.testing.assert_array_equal(swollen(picture, unknown), picture)
