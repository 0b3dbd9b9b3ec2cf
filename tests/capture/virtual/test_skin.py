"""Skin relief: amplitude, wavelengths, places and repeatability."""

import numpy as np
import pytest

from facekit.capture.virtual.lights import Lights
from facekit.capture.virtual.scene import Scene, build_scene, interpolate_down, places_in_parent
from facekit.capture.virtual.skin import DEEPEST_MM, PAINT, Skin, draw_skin, relief, skin_values
from facekit.capture.virtual.subject import Subject
from facekit.core.facemodel.model import FaceModel
from facekit.core.facemodel.procedural import procedural_head
from facekit.core.geometry.mesh import Mesh, subdivide_loop


@pytest.fixture(scope="module")
def head() -> FaceModel:
    return procedural_head()


def height(head: FaceModel, skin: Skin, points: np.ndarray, paint: np.ndarray, edge: float):
    values = skin_values(
        skin, head.mean, weights=head.weights, eye_corners=head.mean[head.landmarks68[[36, 45]]]
    )
    return relief(points, paint, skin=values, edge_mm=edge)


def only(name: str, n: int) -> np.ndarray:
    paint = np.zeros((n, len(PAINT)))
    paint[:, PAINT.index(name)] = 1.0
    return paint


def test_relief_is_as_deep_as_skin(scene: Scene) -> None:
    frontal = np.unique(scene.surface.faces[scene.frontal])
    heights = scene.relief[frontal]
    assert np.abs(heights).max() <= DEEPEST_MM
    assert 0.02 < heights.std() < 0.2


def test_relief_has_all_wavelengths_of_skin(head: FaceModel) -> None:
    # a line over a cheek, a sample every 0.1 mm
    x = np.arange(0, 80, 0.1)
    line = np.stack([x - 40, 0 * x - 5, 0 * x + 60], axis=1)
    skin = draw_skin(np.random.default_rng(0))
    heights = height(head, skin, line, only("cheek_pores", len(x)), edge=0.05)
    power = np.abs(np.fft.rfft(heights - heights.mean())) ** 2
    wavelength = 1 / np.maximum(np.fft.rfftfreq(len(x), 0.1), 1e-9)
    for low, high in ((0.3, 0.6), (0.6, 1.2), (1.2, 2.5), (2.5, 5.0), (5.0, 10.0)):
        band = (wavelength >= low) & (wavelength < high)
        rms = np.sqrt(2 * power[band].sum()) / len(x)
        assert 0.002 < rms < 0.1, (low, high)  # mm


def test_a_coarse_mesh_leaves_out_what_it_cannot_carry(head: FaceModel) -> None:
    rng = np.random.default_rng(1)
    points = rng.uniform(-30, 30, (4000, 3))
    skin = draw_skin(rng)
    paint = np.zeros((len(points), len(PAINT)))
    fine, coarse = (height(head, skin, points, paint, edge) for edge in (0.05, 4.0))
    assert coarse.std() < 0.75 * fine.std()


def test_wrinkles_are_furrows_that_deepen_with_age(head: FaceModel) -> None:
    y = np.linspace(60, 100, 4000)
    line = np.stack([0 * y + 5, y, 0 * y + 75], axis=1)
    heights = {}
    for age in (0.0, 1.0):
        skin = draw_skin(np.random.default_rng(3))
        skin = Skin(seed=skin.seed, tone=skin.tone, hair=skin.hair, eyes=skin.eyes, age=age,
                    freckles=0.0)  # fmt: skip
        heights[age] = height(head, skin, line, only("forehead", len(y)), edge=0.05)
    furrows = heights[1.0] - heights[0.0]
    assert furrows.max() < 1e-6
    assert -0.5 < furrows.min() < -0.1


def test_skin_is_a_function_of_its_seed(
    subject: Subject, lights: Lights, scene: Scene, head: FaceModel
) -> None:
    again = build_scene(subject, lights, footprint_mm=1.0, rng=np.random.default_rng(4))
    np.testing.assert_array_equal(again.relief, scene.relief)
    np.testing.assert_array_equal(again.surface.seen, scene.surface.seen)
    one, other = (draw_skin(np.random.default_rng(k)) for k in (1, 2))
    points = np.random.default_rng(0).uniform(-30, 30, (2000, 3))
    paint = only("cheeks", 2000)
    a, b = (height(head, skin, points, paint, 0.1) for skin in (one, other))
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.1


def test_skin_stays_on_its_place_in_every_expression(
    subject: Subject, lights: Lights, scene: Scene
) -> None:
    smiling = build_scene(
        subject.showing("mouthSmile_L"), lights, footprint_mm=1.0, rng=np.random.default_rng(4)
    )
    np.testing.assert_array_equal(smiling.relief, scene.relief)


def test_eyeballs_are_smooth(scene: Scene, head: FaceModel) -> None:
    eyes = np.flatnonzero(head.regions["eyes"])
    assert np.abs(scene.relief[eyes]).max() == 0  # the coarse vertices come first


def test_fine_triangles_know_their_places_in_the_coarse_ones() -> None:
    triangle = Mesh(
        vertices=np.array([[0.0, 0, 0], [4, 0, 0], [0, 4, 0]]),
        faces=np.array([[0, 1, 2]], np.int32),
    )
    fine = subdivide_loop(triangle, n_times=2)
    places = places_in_parent(2)
    assert places.shape == (16, 3, 3)
    np.testing.assert_allclose(places.sum(axis=2), 1)
    # values linear over the coarse triangle are linear over the fine ones
    values = interpolate_down(triangle.vertices, triangle.faces, fine.faces, places=places)
    for f in range(16):
        np.testing.assert_allclose(values[fine.faces[f]], places[f] @ triangle.vertices, atol=1e-6)
