"""One albedo, and a light for each view: what pictures made of them tell again."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from facekit.core.rendering.shading import AMBIENT
from facekit.reconstruct.fit_light import sh_basis
from facekit.reconstruct.views.appearance import Appearance, appearance_of
from facekit.reconstruct.views.sampling import Pictures, ViewSampler

SIZE = 256
ALBEDO = np.array([0.55, 0.42, 0.35])
LIGHTS = 0.12 * np.array(
    [[0, 2.0, 1.0, 1.5, 0.2, 0, -0.4, 0.3, 0], [0, 1.0, -0.5, -2.0, 0, 0.3, 0.2, 0, 0.4]]
)
"""Beyond the mean, of two views; of any colour."""


class Known:
    """Stands in for sampled pictures: colours of texels that are known."""

    def __init__(self, skin: Any, cameras: Any, albedo: np.ndarray, lights: np.ndarray) -> None:
        self.grid = skin.grid(SIZE)
        colours, weights = [], []
        for camera, light in zip(cameras, lights, strict=True):
            normals = self.grid.normals[0] @ camera.cam_from_world[:, :3].T * [1, -1, -1]
            basis = sh_basis(normals.reshape(-1, 3)).reshape(*normals.shape[:2], 9)
            colours.append((albedo * (basis @ light)[..., None]).transpose(2, 0, 1))
            weights.append(np.where(self.grid.inside, normals[..., 2].clip(0.25), 0)[None])
        self.given = torch.from_numpy(np.stack(colours)).float()
        self.weight = torch.from_numpy(np.stack(weights)).float()

    def colours(self, depth: Any) -> torch.Tensor:
        return self.given


def _lights(mean: float) -> np.ndarray:
    lights = LIGHTS.copy()
    lights[:, 0] = mean / sh_basis(np.array([[0, 0, 1.0]]))[0, 0]
    return lights


def _found(known: Known | ViewSampler, cameras: Any) -> Appearance:
    return appearance_of(known, torch.zeros(known.grid.inside.shape), cameras)  # type: ignore[arg-type]


def _even(skin: Any) -> np.ndarray:
    spots = 0.25 * np.sin(skin.grid(SIZE).points[0][..., :1] / 4)
    return np.asarray(ALBEDO * (1 + spots))


@pytest.fixture(scope="module")
def two(cameras: Any) -> Any:
    return cameras[1], cameras[3]


def test_albedo_and_lights_are_told_apart_up_to_the_mean_light(skin: Any, two: Any) -> None:
    albedo = _even(skin)
    known = Known(skin, two, albedo, _lights(1.0))
    found = _found(known, two)
    grid, inside = known.grid, known.grid.inside
    assert found.albedo.shape == (SIZE, SIZE, 3)
    assert (found.residual < 0.01).all()
    # the product is what pictures show: the mean light is 1 by definition, colour by colour
    ratio = found.albedo[grid.window][inside] / albedo[inside]
    assert (ratio.std(axis=0) / ratio.mean(axis=0) < 0.04).all()  # its spots are 18 % rms
    whole = found.light.copy()
    whole[..., 0] += AMBIENT
    mean = 0.0
    for view, camera in enumerate(two):
        normals = grid.normals[0] @ camera.cam_from_world[:, :3].T * [1, -1, -1]
        lit = sh_basis(normals[inside]) @ whole[view].T
        true = sh_basis(normals[inside]) @ _lights(1.0)[view]
        gap = lit * ratio.mean(axis=0) - true[:, None]
        assert np.sqrt((gap**2).mean()) < 0.15 * true.std()
        mean = mean + (known.weight[view, 0].numpy()[inside][:, None] * lit).sum(axis=0)
    np.testing.assert_allclose(mean / known.weight.sum().item(), 1, atol=0.01)


def test_light_is_told_where_there_is_one_colour(skin: Any, two: Any) -> None:
    known = Known(
        skin, two, np.broadcast_to(ALBEDO, (*skin.grid(SIZE).inside.shape, 3)), _lights(0.8)
    )
    found = _found(known, two)
    assert (found.residual < 0.003).all()
    shown = found.albedo[known.grid.window][known.grid.inside]
    assert (shown.std(axis=0) < 0.005).all()
    # gloss on a twentieth of the skin in one view changes neither much
    glossy = np.random.default_rng(0).uniform(size=known.grid.inside.shape) < 0.05
    known.given[0][:, glossy] += 0.4
    other = _found(known, two)
    np.testing.assert_allclose(other.light, found.light, atol=0.03)
    assert other.residual[0] > 3 * other.residual[1]


def test_where_no_view_sees_the_colour_goes_on(skin: Any, two: Any) -> None:
    known = Known(skin, two, _even(skin), _lights(1.0))
    known.weight[:, :, :, : known.weight.shape[3] // 2] = 0
    found = _found(known, two)
    assert np.isfinite(found.albedo).all()
    # neither black nor white: somewhere about the colour of the skin
    usual = np.median(found.albedo[found.albedo[..., 0] > 0].reshape(-1, 3), axis=0)
    assert (np.abs(found.albedo - usual) < 0.6 * usual).all()
    known.weight[0] = 0  # a view that is not believed has an even light, and tells nothing
    assert np.isfinite(_found(known, two).light).all()


def test_a_painted_face_under_even_light(skin: Any, skin_views: Any, cameras: Any) -> None:
    sampler = ViewSampler(
        skin.grid(SIZE), Pictures(skin_views.views), cameras, skin.vertices[None],
        np.ones(len(cameras)),
    )  # fmt: skip
    found = appearance_of(sampler, torch.full(sampler.grid.inside.shape, 0.8), cameras)
    # nothing but paint: of light the ambient part, which is the mean
    harmonics = found.light.copy()
    harmonics[..., 0] += AMBIENT - 1 / sh_basis(np.array([[0, 0, 1.0]]))[0, 0]
    assert np.abs(harmonics[..., 0]).max() < 0.3
    assert (found.residual < 0.06).all()
    dim = [replace(v, image=0.8 * v.image) if i == 1 else v for i, v in enumerate(skin_views.views)]
    darker = ViewSampler(
        skin.grid(SIZE), Pictures(dim), cameras, skin.vertices[None], np.ones(len(cameras))
    )
    low = appearance_of(darker, torch.full(sampler.grid.inside.shape, 0.8), cameras)
    # an exposure is part of the light: those of the others rise together
    share = (low.light[..., 0] + AMBIENT) / (found.light[..., 0] + AMBIENT)
    np.testing.assert_allclose(share[1] / share[[0, 2, 3, 4]].mean(axis=0), 0.8, atol=0.03)
