"""A camera that is cut, shrunk or turned with its image sees what it saw."""

import numpy as np
import pytest

from facekit.core.geometry.camera import Camera
from facekit.core.geometry.transform import look_at
from facekit.core.imaging.orientation import quarter_turns, turned_upright
from facekit.reconstruct.views.headcrop import HEAD, Part, head_part, turned, turned_points


def _camera() -> Camera:
    K = np.array([[400.0, 0, 150.3], [0, 420.0, 88.7], [0, 0, 1]])
    pose = look_at(np.array([100.0, 50.0, 900.0]), np.array([0.0, 10.0, 20.0]))
    return Camera(name="a", width=320, height=200, K=K, cam_from_world=pose)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 5])
def test_a_camera_turned_with_its_image_sees_the_same(n: int, rng: np.random.Generator) -> None:
    camera = _camera()
    points = rng.normal(scale=80, size=(50, 3))
    pixels, depth = camera.project(points)
    rolled = turned(camera, n)
    seen, there = rolled.project(points)
    expected = turned_points(pixels, n, width=camera.width, height=camera.height)
    np.testing.assert_allclose(seen, expected, atol=1e-9)
    np.testing.assert_allclose(there, depth, atol=1e-9)
    np.testing.assert_allclose(rolled.center, camera.center, atol=1e-9)
    assert np.linalg.det(rolled.cam_from_world[:, :3]) == pytest.approx(1)
    image = np.zeros((camera.height, camera.width))
    assert np.rot90(image, n).shape == (rolled.height, rolled.width)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_points_turn_as_the_pixels_do(n: int) -> None:
    image = np.zeros((5, 7))
    image[1, 4] = 1  # its centre is (4.5, 1.5)
    row, column = np.argwhere(np.rot90(image, n))[0]
    where = turned_points(np.array([4.5, 1.5]), n, width=7, height=5)
    np.testing.assert_allclose(where, (column + 0.5, row + 0.5))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_mirrored_photograph_is_turned_but_not_mirrored(orientation: int) -> None:
    """Its top is up, as with the mirror; left and right stay the camera's."""
    stored = np.arange(15).reshape(3, 5)
    upright = turned_upright(stored, orientation)
    ours = np.rot90(stored, quarter_turns(orientation))
    mirrored = orientation in (2, 4, 5, 7)
    np.testing.assert_array_equal(ours, upright[:, ::-1] if mirrored else upright)


def test_the_part_about_a_head_lies_in_the_image() -> None:
    face = np.array([[100.0, 100], [140, 160]])
    whole = head_part(face, width=1000, height=900)
    assert whole.width == whole.height == pytest.approx(60 * HEAD, abs=1)
    assert whole.x + whole.width / 2 == pytest.approx(120, abs=1)
    near_the_edge = head_part(face - (90, 90), width=1000, height=900)
    assert (near_the_edge.x, near_the_edge.y) == (0, 0)
    assert near_the_edge.width < whole.width
    assert head_part(np.full((68, 2), np.nan), width=1000, height=900) == Part(
        x=0, y=0, width=1000, height=900
    )
    outside = head_part(face + 2000, width=1000, height=900)
    assert outside.width > 0
    assert outside.x + outside.width <= 1000


def test_a_part_scales_with_its_image() -> None:
    part = Part(x=10, y=20, width=101, height=51)
    assert part.shrink(1.0) == 1.0
    by = part.shrink(0.001)
    assert part.width * part.height * by**2 == pytest.approx(1000)
    half = part.scaled(width=200, height=100, of=(400, 200))
    assert (half.x, half.y, half.width, half.height) == (5, 10, 51, 26)  # it holds all of it
    last = Part(x=300, y=0, width=100, height=200).scaled(width=133, height=66, of=(400, 200))
    assert last.x + last.width <= 133
    assert last.y + last.height <= 66
