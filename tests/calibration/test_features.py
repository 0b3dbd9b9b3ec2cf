"""Features and matches: places, masks, caches."""

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pycolmap
import pytest

from facekit.calibration.structure.features import (
    Features,
    FeatureSettings,
    find_features,
    match_features,
    match_pairs,
    quiet_colmap,
)
from facekit.core.errors import InputError
from facekit.core.imaging.imageio import write_image

SETTINGS = FeatureSettings(
    max_image_size=640, peak_threshold=0.0015, max_features=2000, max_ratio=0.8
)


def texture(rng, width, height):
    """Return random blotches of several sizes, uint8."""
    total = np.zeros((height, width))
    for sigma in (2, 4, 8):
        total += cv2.GaussianBlur(rng.normal(size=(height, width)), (0, 0), sigma) * sigma
    low, high = np.percentile(total, [1, 99])
    return np.clip(255 * (total - low) / (high - low), 0, 255).astype(np.uint8)


def found_in(image, tmp_path, *, mask=None, name="a", settings=SETTINGS):
    write_image(tmp_path / f"{name}.png", image)
    if mask is not None:
        write_image(tmp_path / "mask.png", mask)
        mask = tmp_path / "mask.png"
    path = tmp_path / f"{name}.png"
    return find_features(path, mask=mask, digest=name, settings=settings, cache=tmp_path / "c")


def test_a_blob_is_found_at_its_centre(tmp_path):
    # pixel centres count from 0.5; the search runs at half size
    y, x = np.mgrid[:900, :1280] + 0.5
    image = 40 + 180 * np.exp(-((x - 401.5) ** 2 + (y - 300.25) ** 2) / (2 * 14.0**2))
    found = found_in(np.rint(image).astype(np.uint8), tmp_path)
    nearest = np.linalg.norm(found.xy - (401.5, 300.25), axis=1).min()
    assert nearest < 0.25


def test_matches_of_a_shifted_picture_are_shifted(tmp_path, rng):
    scene = texture(rng, 700, 500)
    a = found_in(scene[:480, :640], tmp_path, name="a")
    b = found_in(scene[20:, 60:], tmp_path, name="b")
    rows = match_features(a, b, max_ratio=0.8)
    assert len(rows) > 100
    shift = a.xy[rows[:, 0]] - b.xy[rows[:, 1]]
    good = np.linalg.norm(shift - (60, 20), axis=1) < 1
    assert good.mean() > 0.95
    assert len(set(rows[:, 0])) == len(set(rows[:, 1])) == len(rows)  # one to one


def test_matching_is_symmetric(tmp_path, rng):
    scene = texture(rng, 500, 400)
    a = found_in(scene[:, :400], tmp_path, name="a")
    b = found_in(scene[:, 100:], tmp_path, name="b")
    forth = {tuple(row) for row in match_features(a, b, max_ratio=0.8)}
    back = {tuple(row[::-1]) for row in match_features(b, a, max_ratio=0.8)}
    assert forth == back


def test_unlike_pictures_do_not_match(tmp_path, rng):
    a = found_in(texture(rng, 400, 300), tmp_path, name="a")
    b = found_in(texture(rng, 400, 300), tmp_path, name="b")
    assert len(match_features(a, b, max_ratio=0.8)) < 0.02 * len(a)


def test_masks_of_any_size_are_respected(tmp_path, rng):
    image = texture(rng, 640, 480)
    mask = np.zeros((240, 320), np.uint8)
    mask[:, :160] = 255
    found = found_in(image, tmp_path, mask=mask)
    assert len(found) > 100
    assert found.xy[:, 0].max() <= 321


def test_color_follows_the_picture(tmp_path, rng):
    image = np.stack([texture(rng, 640, 480), np.full((480, 640), 30, np.uint8),
                      np.full((480, 640), 200, np.uint8)], axis=2)  # fmt: skip
    found = found_in(image, tmp_path)
    assert (found.colors[:, 1] == 30).all()
    assert (found.colors[:, 2] == 200).all()


def test_caches_are_used_and_damaged_ones_redone(tmp_path, rng, monkeypatch):
    image = texture(rng, 320, 240)
    first = found_in(image, tmp_path)
    (kept,) = (tmp_path / "c").iterdir()
    kept.write_bytes(kept.read_bytes()[:100])
    again = found_in(image, tmp_path)
    np.testing.assert_array_equal(first.xy, again.xy)
    monkeypatch.setattr(
        "facekit.calibration.structure.features._search", None
    )  # would raise if used
    np.testing.assert_array_equal(found_in(image, tmp_path).descriptors, first.descriptors)


def test_pairs_are_matched_once(tmp_path, rng, monkeypatch):
    scene = texture(rng, 400, 300)
    found = {name: found_in(scene, tmp_path, name=name) for name in "ab"}
    digests = {"a": "a", "b": "b"}
    first = match_pairs(found, digests, settings=SETTINGS, cache=tmp_path / "c")
    assert list(first) == [("a", "b")]
    monkeypatch.setattr("facekit.calibration.structure.features.match_features", None)
    again = match_pairs(found, digests, settings=SETTINGS, cache=tmp_path / "c")
    np.testing.assert_array_equal(first["a", "b"], again["a", "b"])


def test_colmap_is_quiet_inside_and_as_before_outside():
    def enter(_):
        with quiet_colmap():
            return pycolmap.logging.minloglevel

    before = pycolmap.logging.minloglevel
    with ThreadPoolExecutor(4) as pool:
        levels = set(pool.map(enter, range(200)))
    assert levels == {pycolmap.logging.FATAL.value}
    assert pycolmap.logging.minloglevel == before


def test_few_features_match_nothing():
    none = Features(
        xy=np.zeros((1, 2), np.float32),
        descriptors=np.zeros((1, 128), np.uint8),
        colors=np.zeros((1, 3), np.uint8),
    )
    assert match_features(none, none, max_ratio=0.8).shape == (0, 2)


def test_an_unreadable_photograph_is_named(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"broken\.png"):
        find_features(
            tmp_path / "broken.png", mask=None, digest="x", settings=SETTINGS, cache=tmp_path
        )
