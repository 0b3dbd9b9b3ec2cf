"""Masks from the empty studio and from a plain backdrop, against the true outline of the head."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from facekit.capture.plates import (
    add_masks,
    mask_by_backdrop,
    mask_by_light,
    mask_by_plate,
    subject_mask,
)
from facekit.capture.session import CameraInfo, Session, Shot, Take, TakeKind, load_session
from facekit.capture.virtual.truth import load_truth
from facekit.core.files import sha256_file
from facekit.core.imaging.color import linear_from_srgb, srgb_from_linear
from facekit.core.imaging.imageio import read_image, write_image


def _iou(a, b):
    return (a & b).sum() / (a | b).sum()


@pytest.fixture(scope="module")
def views(studio_session):
    """Give (photograph, empty plate, true mask) of each camera."""
    truth = load_truth(studio_session.folder)
    empty = studio_session.take("empty")
    return [
        (
            read_image(studio_session.path(shot)),
            read_image(studio_session.path(empty.shot(shot.camera))),
            np.isfinite(truth.depth("neutral", shot.camera)),
        )
        for shot in studio_session.take("neutral").shots
    ]


def test_the_outline_is_exact_from_a_plate_and_from_a_backdrop(views):
    for image, plate, true in views:
        # the outline is 1 % of the pixels: a quarter of a pixel all along it is 0.3 %
        assert _iou(mask_by_plate(image, plate), true) > 0.996
        assert _iou(mask_by_backdrop(image), true) > 0.996


def test_a_plate_of_another_exposure_and_an_uneven_backdrop(views, rng):
    image, plate, true = views[1]
    height, width = true.shape
    x = np.linspace(0.85, 1.15, width, dtype=np.float32)[None, :, None]
    y = np.linspace(1.1, 0.9, height, dtype=np.float32)[:, None, None]

    def lit(pixels, gain):
        linear = linear_from_srgb(pixels) * x * y * np.float32(gain)
        return np.round(srgb_from_linear(linear) * 255).astype(np.uint8)

    assert _iou(mask_by_plate(lit(image, 1.0), lit(plate, 0.93)), true) > 0.99
    assert _iou(mask_by_backdrop(lit(image, 1.0)), true) > 0.99


def test_an_empty_studio_has_no_subject(views):
    _, plate, _ = views[0]
    again = np.clip(plate + np.random.default_rng(0).normal(0, 0.8, plate.shape), 0, 255)
    assert mask_by_plate(again.astype(np.uint8), plate) is None
    assert mask_by_backdrop(plate) is None


def test_a_cluttered_background_tells_nothing(views, rng):
    image, _, true = views[0]
    tiles = rng.integers(30, 200, (true.shape[0] // 20 + 1, true.shape[1] // 20 + 1, 3))
    clutter = np.kron(tiles, np.ones((20, 20, 1)))[: true.shape[0], : true.shape[1]]
    assert mask_by_backdrop(np.where(true[..., None], image, clutter).astype(np.uint8)) is None


def test_wide_black_is_left_out_and_creases_are_not(rng):
    # a bright block with a crease and a see-through gap on a dark table, before black
    image = np.full((300, 400, 3), 3.0)
    image[220:] = 40
    image[60:240, 100:300] = 170
    image[100:104, 120:280] = 4
    image[130:200, 180:220] = 4
    lit = mask_by_light(np.rint(image + rng.normal(0, 1.5, image.shape)).clip(0).astype(np.uint8))
    assert lit[62:238, 102:298].mean() > 0.9
    assert lit[101:103, 130:270].all()
    assert not lit[136:194, 186:214].any()
    assert not lit[:55].any()
    assert lit[225:].all()  # the table is no black: it stays


def test_without_wide_black_nothing_is_left_out(views, rng):
    assert all(mask_by_light(image) is None for image, _, _ in views)
    noise = rng.integers(0, 255, (60, 80, 3)).astype(np.uint8)
    assert mask_by_light(noise) is None
    assert mask_by_light(np.zeros((60, 80, 3), np.uint8)) is None


def test_all_that_is_lit_is_no_mask_to_be_written(tmp_path, rng):
    image = np.zeros((90, 120, 3), np.uint8)
    image[40:, ::2] = rng.integers(60, 250, (50, 60, 3))
    path = tmp_path / "images" / "t" / "a.png"
    write_image(path, image)
    shot = Shot(
        camera="a", file="images/t/a.png", sha256=sha256_file(path), bytes=path.stat().st_size,
        width=120, height=90,
    )  # fmt: skip
    session = Session(
        folder=tmp_path, name="s", cameras=(CameraInfo(id="a", width=120, height=90),),
        takes=(Take(id="t", kind=TakeKind.SUBJECT, shots=(shot,)),),
    )  # fmt: skip
    assert subject_mask(session, shot).how == "lit"
    assert add_masks(session) == session


def test_masks_are_added_to_a_session_and_named_in_it(studio_session, tmp_path):
    for part in ("images/neutral", "images/empty"):
        shutil.copytree(studio_session.folder / part, tmp_path / part)
    takes = tuple(take for take in studio_session.takes if take.id != "chart")
    masked = add_masks(replace(studio_session, folder=tmp_path, takes=takes))
    loaded = load_session(tmp_path)
    assert loaded == masked
    truth = load_truth(studio_session.folder)
    for shot in loaded.take("neutral").shots:
        assert shot.mask == f"masks/neutral/{shot.camera}.png"
        found = subject_mask(loaded, shot)
        assert found.how == "given"
        assert _iou(found.pixels, np.isfinite(truth.depth("neutral", shot.camera))) > 0.996
    assert all(shot.mask is None for shot in loaded.take("empty").shots)
    assert add_masks(loaded) == loaded


def test_real_photographs_in_a_museum_have_no_plain_backdrop(shared_data):
    files = sorted((shared_data / "bm_livia").rglob("*.JPG"))[:2]
    assert files
    for path in files:
        assert mask_by_backdrop(np.ascontiguousarray(read_image(path)[::4, ::4])) is None
