"""Pairs of textures with and without spots: what differs between them, and what does not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facekit.core.errors import ConfigError, InputError
from facekit.core.facemodel.procedural import procedural_head
from facekit.core.imaging.color import linear_from_srgb
from facekit.core.imaging.imageio import write_image
from facekit.reconstruct.samples.retouch import RetouchConfig, VirtualPairs
from facekit.reconstruct.samples.retouchfolders import FolderPairs
from facekit.reconstruct.samples.skintexels import skin_texels, slope_texels, values_of
from facekit.reconstruct.samples.spots import SpotsConfig, with_spots

SIZE = 96


@pytest.fixture(scope="module")
def config() -> RetouchConfig:
    return RetouchConfig(size=SIZE, freckled_share=1.0, moled_share=1.0)


def test_spots_are_darker_and_nothing_else_differs(config: RetouchConfig) -> None:
    """Spots multiply the albedo by less than one; light, gloss and view are shared."""
    head = procedural_head()
    pair = VirtualPairs(head, config, seed=3)[0]
    assert (pair.raw <= pair.retouched).all()
    assert (pair.raw < pair.retouched).any()
    assert not pair.raw[~pair.seen].any() and not pair.retouched[~pair.seen].any()
    assert 0.1 < pair.seen.mean() < 0.5 and not (pair.plain & ~pair.seen).any()
    bare = VirtualPairs(head, replace(config, freckled_share=0.0, moled_share=0.0), seed=3)[0]
    assert np.array_equal(bare.raw, bare.retouched)


def test_a_number_is_one_face(config: RetouchConfig) -> None:
    pairs = VirtualPairs(procedural_head(), config, seed=3)
    later = pairs[1]
    again = VirtualPairs(procedural_head(), config, seed=3)[1]
    assert np.array_equal(later.raw, again.raw) and np.array_equal(later.seen, again.seen)
    assert not np.array_equal(later.raw, pairs[2].raw)


def test_tangents_are_square_and_slopes_small() -> None:
    """Relief within half a millimetre over some millimetres: slopes of one are out of the way."""
    head = procedural_head()
    texels = skin_texels(head, 64)
    first, second = texels.along
    for vectors in (first, second):
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-9)
    assert np.abs((first * second).sum(axis=1)).max() < 1e-9
    pairs = VirtualPairs(head, RetouchConfig(size=64), seed=0)
    assert pairs.config.size == 64
    from facekit.capture.virtual.skin import draw_skin

    skin = values_of(head, draw_skin(np.random.default_rng(1)))
    slopes = slope_texels(texels, skin, spread_mm=0.5)
    assert slopes.shape == (len(texels.rows), 2)
    assert 0.01 < slopes.std() < 0.5 and np.isfinite(slopes).all()


def _skin(side: int = 200) -> np.ndarray:
    return np.full((side, side, 3), (200, 150, 130), np.uint8)


def test_painted_spots_darken_what_may_be_darkened() -> None:
    where = np.zeros((200, 200), bool)
    where[50:150, 50:150] = True
    picture = _skin()
    out = with_spots(picture, where, SpotsConfig(density=30.0), np.random.default_rng(0))
    assert (out <= picture).all() and (out < picture).any()
    assert np.array_equal(out[~where], picture[~where])
    again = with_spots(picture, where, SpotsConfig(density=30.0), np.random.default_rng(0))
    assert np.array_equal(out, again)
    none = with_spots(picture, where, SpotsConfig(density=0.0), np.random.default_rng(0))
    assert np.array_equal(none, picture)


def test_spots_have_their_size_in_millimetres() -> None:
    """The share of the skin that is covered does not depend on the pixels, but for chance."""
    everywhere, moles = np.ones((200, 200), bool), SpotsConfig(density=2.0, freckles=0, pimples=0)
    areas = []
    for mm in (1.0, 0.5):
        share = [
            (with_spots(_skin(), everywhere, moles, np.random.default_rng(seed), pixel_mm=mm)
             < _skin()).any(axis=2).mean()
            for seed in range(30)
        ]  # fmt: skip
        areas.append(np.mean(share))
    assert 0.6 < areas[0] / areas[1] < 1.7


def test_pimples_are_redder_than_moles() -> None:
    everywhere = np.ones((200, 200), bool)
    kept = []
    for kind in ({"moles": 0.0, "pimples": 1.0}, {"moles": 1.0, "pimples": 0.0}):
        rng = np.random.default_rng(5)
        out = with_spots(
            _skin(), everywhere, SpotsConfig(density=4.0, freckles=0.0, **kind), rng, pixel_mm=0.5
        )
        ratio = linear_from_srgb(out) / linear_from_srgb(_skin())
        spot = ratio[..., 1] < 0.9
        kept.append(ratio[spot].mean(axis=0))
    assert kept[0][0] - kept[0][1] > kept[1][0] - kept[1][1] + 0.1


def test_spots_refuse_shares_that_are_none() -> None:
    with pytest.raises(ConfigError, match="not all of them 0"):
        SpotsConfig(freckles=0, moles=0, pimples=0)
    with pytest.raises(ConfigError, match="two sizes"):
        SpotsConfig(mm=(1.0, 0.5))


def test_folders_of_pairs_and_of_pictures(tmp_path: Path) -> None:
    picture = _skin(80)
    picture[:, :20] = 0
    spotted = picture.copy()
    spotted[40, 40] = 60
    for name, image in (("raw", spotted), ("retouched", picture)):
        (tmp_path / "pairs" / name).mkdir(parents=True)
        write_image(tmp_path / "pairs" / name / "a.png", image)
    pairs = FolderPairs(tmp_path / "pairs", side=200)
    pair = pairs[0]
    assert len(pairs) == 1 and np.array_equal(pair.raw, spotted)
    assert np.array_equal(pair.retouched, picture) and not pair.seen[:, :20].any()
    alone = FolderPairs(tmp_path / "pairs" / "raw", side=40)[0]
    assert alone.raw.shape == (40, 40, 3) and np.array_equal(alone.raw, alone.retouched)
    (tmp_path / "pairs" / "retouched" / "a.png").unlink()
    with pytest.raises(InputError, match="retouched one is absent"):
        FolderPairs(tmp_path / "pairs", side=40)
    with pytest.raises(InputError, match="no pictures"):
        FolderPairs(tmp_path / "pairs" / "retouched", side=40)
