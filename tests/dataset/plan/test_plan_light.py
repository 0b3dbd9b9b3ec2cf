"""Light on skin and the noise in it: against the studio's own sensor, and by laws."""

import numpy as np
import pytest

from facekit.capture.virtual.sensor import Optics, develop
from facekit.core.geometry.closest import SurfaceQuery
from facekit.core.imaging.color import linear_from_srgb
from facekit.dataset.plan.light import (
    STEADY,
    TEXTURE,
    USUAL_LIGHT,
    Sensor,
    dimness,
    disagreement,
    irradiance,
    relative_noise,
)

_NO_HAIR = np.zeros(1)


@pytest.mark.parametrize("light", [0.05, 0.12, 0.3, 0.8])
def test_noise_is_what_the_sensor_of_the_studio_makes(
    light: float, rng: np.random.Generator
) -> None:
    radiance = np.full((300, 300, 3), light, np.float32)
    photographed = linear_from_srgb(develop(radiance, Optics(), rng=rng) / np.float32(255))
    found = float(photographed.std() / photographed.mean())
    # beside other noise, rounding to eight bits is as good as a noise of its own
    assert relative_noise(np.array([light]), Sensor())[0] == pytest.approx(found, rel=0.1)


def test_patches_disagree_by_noise_over_texture(rng: np.random.Generator) -> None:
    light = np.array([0.1])
    noise = float(relative_noise(light, Sensor())[0])
    skin = rng.normal(0, TEXTURE, 200_000)
    one, other = (skin + rng.normal(0, noise, skin.size) for _ in range(2))
    found = 1 - np.corrcoef(one, other)[0, 1]
    expected = disagreement(light, _NO_HAIR, Sensor())[0] - STEADY
    # 1 - 1 / (1 + x) against x: they part by x itself
    assert found == pytest.approx(expected / (1 + expected), rel=0.03)


def test_usual_light_has_no_factor_and_less_light_has_more() -> None:
    light = np.array([USUAL_LIGHT, 0.2, 0.1, 0.05])
    factor = dimness(light, np.zeros(4), Sensor())
    assert factor[0] == pytest.approx(1.0)
    assert (np.diff(factor) > 0).all()
    assert (dimness(light, np.ones(4), Sensor()) < factor).all()
    none = dimness(light, np.zeros(4), Sensor(read=0.0, shot=0.0))
    assert (none < factor).all()  # eight bits remain


def test_a_sheet_that_faces_the_cameras_has_its_light_and_shadows_take_it() -> None:
    plate = np.array([[-40.0, -40, 0], [40, -40, 0], [40, 40, 0], [-40, 40, 0]])
    faces = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    point, up = np.zeros((1, 3)), np.array([[0.0, 0, 1]])
    alone = irradiance(up, point, SurfaceQuery(plate, faces))[0]
    assert alone == pytest.approx(1.0)
    lid = plate + (0, 0, 5.0)
    both = np.concatenate([plate, lid])
    hidden = irradiance(up, point, SurfaceQuery(both, np.concatenate([faces, faces + 4])))[0]
    assert 0 < hidden < 0.5 * alone  # what comes from all sides stays
    away = irradiance(-up, point, SurfaceQuery(plate, faces))[0]
    assert away == pytest.approx(hidden)
