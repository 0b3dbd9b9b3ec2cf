"""The aligned crop: scale, place, contents, and the photographs it cannot be made of."""

import numpy as np
import pytest

from facekit.core.errors import EstimationError, InputError
from facekit.reconstruct.align import HRN_REFERENCE5, align, five_points

WIDTH, HEIGHT = 640, 480


def _landmarks(unit_px: float, centre: tuple[float, float], roll: float = 0.0) -> np.ndarray:
    """Return 68 landmarks whose five points are the reference in a scaled orthographic view."""
    c, s = np.cos(roll), np.sin(roll)
    flat = HRN_REFERENCE5[:, :2] * unit_px @ np.array([[c, s], [-s, c]])
    five = np.asarray(centre) + flat * [1, -1]
    points = np.full((68, 2), np.nan)
    for at, p in zip(((36, 39), (42, 45), (30,), (48,), (54,)), five, strict=True):
        points[list(at)] = p
    return points


@pytest.mark.parametrize("roll", [0.0, 0.3])
@pytest.mark.parametrize("size", [224, 512])
def test_a_unit_of_the_face_has_102_px_of_224(size: int, roll: float) -> None:
    points = _landmarks(150.0, (300.0, 220.0), roll)
    crop = align(np.zeros((HEIGHT, WIDTH, 3), np.uint8), points, size=size)
    assert crop.image.shape == (size, size, 3) and crop.image.dtype == np.float32
    assert crop.scale * 150 == pytest.approx(102 * size / 224)
    np.testing.assert_allclose(crop.from_image([300.0, 220.0]), [size / 2, size / 2], atol=1e-9)
    eyes = five_points(crop.landmarks)[:2]
    assert np.linalg.norm(eyes[0] - eyes[1]) == pytest.approx(63.4 * size / 224, abs=0.2)


def test_landmarks_and_pixels_go_the_same_way_and_back() -> None:
    points = _landmarks(150.0, (300.0, 220.0))
    crop = align(np.zeros((HEIGHT, WIDTH, 3), np.uint8), points)
    known = np.isfinite(points[:, 0])
    down = crop.landmarks[known] * [1, -1] + [0, crop.size]  # y up -> y down
    np.testing.assert_allclose(down, crop.from_image(points[known]), atol=1e-9)
    np.testing.assert_allclose(crop.to_image(down), points[known], atol=1e-9)
    assert np.isnan(crop.landmarks[~known]).all()


@pytest.mark.parametrize("unit_px", [40.0, 150.0, 900.0])
def test_blobs_at_the_landmarks_are_there_in_the_crop(unit_px: float) -> None:
    """Enlarged, shrunk, and shrunk so far that pixels are averaged first."""
    k = unit_px / 150
    width, height = round(WIDTH * k), round(HEIGHT * k)
    points = _landmarks(unit_px, (300.3 * k, 220.7 * k))
    five = five_points(points)
    x, y = np.arange(width) + 0.5, np.arange(height) + 0.5
    for i, p in enumerate(five):
        sigma = 0.04 * unit_px
        blob = np.exp(-((x - p[0]) ** 2) / (2 * sigma**2))
        image = np.exp(-((y - p[1]) ** 2) / (2 * sigma**2))[:, None] * blob
        crop = align(image.astype(np.float32), points)
        weight = crop.image[..., 0].astype(np.float64)
        px = np.arange(224) + 0.5
        found = [(weight.sum(0) * px).sum(), (weight.sum(1) * (224 - px)).sum()] / weight.sum()
        np.testing.assert_allclose(found, five_points(crop.landmarks)[i], atol=0.05)


def test_released_crop_is_within_a_pixel_of_the_exact_one() -> None:
    points = _landmarks(150.0, (300.3, 220.7))
    image = (np.indices((HEIGHT, WIDTH)).sum(axis=0) % 97 * 2).astype(np.uint8)
    exact, released = align(image, points), align(image, points, compat=True)
    # released landmarks count pixels from 0 and the cut is at whole pixels
    np.testing.assert_allclose(
        five_points(released.landmarks), five_points(exact.landmarks), atol=1.0
    )
    assert (released.offset == np.round(released.offset)).all()
    assert np.abs(released.offset - exact.offset).max() < 1.5


def test_released_formulas_by_hand() -> None:
    """Section by section: affine fit with y up, trunc of sizes and of the cut."""
    points = _landmarks(150.0, (300.3, 220.7))
    up = five_points(points) - 0.5
    up[:, 1] = HEIGHT - 1 - up[:, 1]
    A = np.linalg.lstsq(np.column_stack([HRN_REFERENCE5, np.ones(5)]), up, rcond=None)[0]
    s = 102 / (np.linalg.norm(A[:3, 0]) + np.linalg.norm(A[:3, 1])) * 2
    (tx, ty), (w, h) = A[3], (int(WIDTH * s), int(HEIGHT * s))
    left = int(w / 2 - 112 + (tx - WIDTH / 2) * s)
    top = int(h / 2 - 112 + (HEIGHT / 2 - ty) * s)
    crop = align(np.zeros((HEIGHT, WIDTH, 3), np.uint8), points, compat=True)
    assert crop.offset.tolist() == [-left, -top]
    by_hand = (up - A[3] + [WIDTH / 2, HEIGHT / 2]) * s - [w / 2 - 112, h / 2 - 112]
    np.testing.assert_allclose(five_points(crop.landmarks), by_hand, atol=1e-9)


def test_beyond_the_photograph_it_is_black() -> None:
    white = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    crop = align(white, _landmarks(150.0, (20.0, 220.0)))
    edge = crop.from_image([0.0, 0.0])[0]
    assert (crop.image[:, : int(edge)] == 0).all()
    np.testing.assert_allclose(crop.image[100:120, int(edge) + 2 :], 1.0, atol=1e-5)


@pytest.mark.parametrize(
    "image",
    [
        np.full((HEIGHT, WIDTH), 51, np.uint8),
        np.full((HEIGHT, WIDTH, 4), 51, np.uint8),
        np.full((HEIGHT, WIDTH, 3), 13107, np.uint16),
        np.full((HEIGHT, WIDTH, 3), 0.2, np.float64),
    ],
)
def test_every_kind_of_image_gives_rgb_up_to_one(image: np.ndarray) -> None:
    crop = align(image, _landmarks(150.0, (300.0, 220.0)))
    np.testing.assert_allclose(crop.image[100:120, 100:120], 0.2, atol=1e-5)
    mask = crop.cut(image)
    assert mask.shape[:2] == (224, 224)
    np.testing.assert_allclose(mask[100:120, 100:120, 0], 0.2, atol=1e-5)


def test_what_has_no_crop_says_so() -> None:
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    points = _landmarks(150.0, (300.0, 220.0))
    with pytest.raises(EstimationError, match="have no landmarks"):
        align(image, np.where(np.arange(68)[:, None] == 30, np.nan, points))
    with pytest.raises(EstimationError, match="too small"):
        align(image, points * 0 + 5.0)
    with pytest.raises(InputError, match="68 points"):
        align(image, points[:60])
    with pytest.raises(InputError, match="expected grey, RGB or RGBA"):
        align(np.zeros((4, 4, 2), np.uint8), points)
    with pytest.raises(InputError, match="the crop is of one of"):
        align(image, points).cut(image[:-1])


def test_in_the_crop_a_face_is_where_the_reference_projects() -> None:
    reference = 112 + 102 * HRN_REFERENCE5[:, :2]
    crop = align(np.zeros((HEIGHT, WIDTH), np.uint8), _landmarks(99.0, (250.0, 250.0)))
    np.testing.assert_allclose(five_points(crop.landmarks), reference, atol=1e-6)
