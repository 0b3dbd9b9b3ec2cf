"""A bent sheet with a painted texture, photographed from three sides."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from facekit.capture.color import ColorCalibration, ColorCorrection
from facekit.core.arrays import Floats, Floats32, Ints
from facekit.core.errors import ConfigError, EstimationError, InputError
from facekit.core.facemodel.model import FaceModel
from facekit.core.geometry.camera import Camera
from facekit.core.geometry.closest import SurfaceQuery
from facekit.core.geometry.mesh import vertex_normals
from facekit.core.imaging.color import linear_from_srgb, srgb_from_linear
from facekit.dataset.bake.albedo import bake_albedo
from facekit.dataset.bake.albedoconfig import AlbedoConfig
from facekit.dataset.bake.chart import chart
from facekit.dataset.stereo.views import View

SIDE_MM, N_GRID = 120.0, 25
SIZE = 96  # 1.25 mm a texel; a pixel is 0.8 mm
PLAIN = AlbedoConfig(delight=False, n_rays=64)


def sheet(height: float, *, floater: bool = False) -> FaceModel:
    """Return a sheet over the unit square, bent by `height` mm; perhaps with another before it."""
    t = np.linspace(0, 1, N_GRID)
    u, v = (a.ravel() for a in np.meshgrid(t, t))
    x, y = (u - 0.5) * SIDE_MM, (v - 0.5) * SIDE_MM
    mean = np.stack([x, y, height * np.exp(-(x**2 + y**2) / (2 * 30.0**2))], axis=1)
    uv, faces = np.stack([u, v], axis=1), _grid_faces(N_GRID)
    in_chart = np.ones(len(faces), bool)
    if floater:
        square = np.array([[-10, -10, 30], [10, -10, 30], [-10, 10, 30], [10, 10, 30.0]])
        mean, uv = np.concatenate([mean, square]), np.concatenate([uv, uv[:4]])
        faces = np.concatenate([faces, _grid_faces(2) + N_GRID**2]).astype(np.int32)
        in_chart = np.append(in_chart, [False, False])
    none = np.zeros((0, len(mean), 3))
    return FaceModel(
        name="sheet", mean=mean, faces=faces, uv=uv, faces_uv=faces, identity=none,
        identity_names=(), identity_sigma=np.zeros(0), expression=none, expression_names=(),
        landmarks68=np.arange(68, dtype=np.int32), chart_faces=in_chart,
    )  # fmt: skip


def _grid_faces(n: int) -> Ints:
    a = (np.arange(n - 1)[:, None] * n + np.arange(n - 1)).ravel()
    lower, upper = np.stack([a, a + 1, a + n], 1), np.stack([a + 1, a + n + 1, a + n], 1)
    return np.concatenate([lower, upper]).astype(np.int32)


def camera(name: str, yaw_deg: float) -> Camera:
    yaw = np.radians(yaw_deg)
    toward = np.array([-np.sin(yaw), 0, -np.cos(yaw)])  # looks at the origin from 600 mm
    right = np.cross(toward, [0, 1, 0])
    R = np.stack([right, np.cross(toward, right), toward])
    pose = np.column_stack([R, -R @ (-600 * toward)])
    K = np.array([[750, 0, 100], [0, 750, 100], [0, 0, 1.0]])
    return Camera(name=name, width=200, height=200, K=K, cam_from_world=pose)


CAMERAS = [camera("left", -25), camera("middle", 0), camera("right", 25)]


def paint(points: Floats) -> Floats:
    """Return albedo (N, 3): waves of 11 mm and 40 mm on three levels."""
    x, y = points[:, 0], points[:, 1]
    wave = 0.12 * np.sin(x * 2 * np.pi / 11) * np.cos(y * 2 * np.pi / 11) + 0.1 * np.sin(y / 6)
    return np.array([0.45, 0.3, 0.22]) * (1 + wave[:, None])


@dataclass(frozen=True)
class Shot:
    """Where the pixels of a view meet a model."""

    camera: Camera
    hit: np.ndarray
    points: Floats
    normals: Floats
    face: Ints


def shoot(model: FaceModel, which: Camera) -> Shot:
    rays = which.unproject(which.pixel_centers().reshape(-1, 2))
    found = SurfaceQuery(model.mean, model.faces).cast(which.center, rays)
    points = which.center + np.where(found.hit, found.distance, 0)[:, None] * rays
    n, f, (a, b) = vertex_normals(model.mean, model.faces), np.maximum(found.face, 0), found.uv.T
    corners = n[model.faces[f]]
    normals = (1 - a - b)[:, None] * corners[:, 0] + a[:, None] * corners[:, 1]
    normals += b[:, None] * corners[:, 2]
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return Shot(which, found.hit, points, normals, found.face)


def view(shot: Shot, radiance: Floats) -> View:
    """Expose radiance (N, 3) of a shot's hits; nothing but black elsewhere, and masked out."""
    size = (shot.camera.height, shot.camera.width)
    coded = srgb_from_linear(np.where(shot.hit[:, None], radiance, 0)).reshape(*size, 3)
    return View(
        camera=shot.camera, grey=coded[..., 1], color=np.rint(coded * 255).astype(np.uint8),
        mask=shot.hit.reshape(size),
    )  # fmt: skip


def truth(model: FaceModel, size: int = SIZE) -> Floats:
    return paint(chart(model, size).interpolated(model.mean).reshape(-1, 3)).reshape(size, size, 3)


def middle(margin: int = 8) -> tuple[slice, slice]:
    """Texels that borders of the mask do not touch."""
    return slice(margin, SIZE - margin), slice(margin, SIZE - margin)


def test_texture_is_the_paint_up_to_rounding_and_sampling() -> None:
    model = sheet(15)
    views = [view(shot, paint(shot.points)) for shot in (shoot(model, c) for c in CAMERAS)]
    baked = bake_albedo(model.mean, model, views, PLAIN, size=SIZE)
    away = (baked.rgb - truth(model))[middle()]
    # half a code of 255 is 0.0025 linear here; a wave of 11 mm has 14 pixels
    assert np.sqrt((away**2).mean()) < 0.004
    assert baked.valid[middle()].all()
    assert baked.lit is baked.rgb
    np.testing.assert_allclose(baked.gains, 1, atol=0.004)


def test_exposures_of_views_are_evened_out() -> None:
    model = sheet(15)
    exposures = np.array([0.8, 1.0, 1.2])
    shots = [shoot(model, c) for c in CAMERAS]
    views = [view(s, e * paint(s.points)) for s, e in zip(shots, exposures, strict=True)]
    baked = bake_albedo(model.mean, model, views, PLAIN, size=SIZE)
    wanted = np.exp(np.log(exposures).mean()) / exposures
    np.testing.assert_allclose(baked.gains, np.tile(wanted, (3, 1)).T, rtol=0.01)
    ratio = (baked.rgb / truth(model))[middle()]
    assert ratio.std() < 0.01  # unevened, views that differ by 20 % would leave 8 %


def test_gloss_that_one_view_sees_is_left_out() -> None:
    model = sheet(15)
    views = []
    for shot in (shoot(model, c) for c in CAMERAS):
        gloss = np.zeros(len(shot.points))
        if shot.camera.name == "middle":  # the best view of the sheet's middle
            gloss = 0.25 * np.exp(-(shot.points[:, :2] ** 2).sum(axis=1) / (2 * 10.0**2))
        views.append(view(shot, paint(shot.points) + gloss[:, None]))
    baked = bake_albedo(model.mean, model, views, PLAIN, size=SIZE)
    away = (baked.rgb - truth(model))[middle()]
    assert np.abs(away).max() < 0.05  # of the gloss of 0.25
    assert np.sqrt((away**2).mean()) < 0.008


def test_what_hides_the_surface_does_not_colour_it() -> None:
    model = sheet(0, floater=True)
    n_faces = 2 * (N_GRID - 1) ** 2
    views = []
    for shot in (shoot(model, c) for c in CAMERAS):
        green = np.array([0.02, 0.8, 0.02])
        before = (shot.face >= n_faces)[:, None]
        views.append(view(shot, np.where(before, green, paint(shot.points))))
    baked = bake_albedo(model.mean, model, views, replace(PLAIN, equalise=False), size=SIZE)
    inside = middle()
    seen = baked.valid[inside]
    away = np.abs(baked.rgb - truth(model))[inside].max(axis=2)
    assert seen.mean() > 0.97
    # green is 0.5 off; pixels on its very edge are half green
    assert away[seen].max() < 0.06
    assert np.percentile(away[seen], 99) < 0.02
    assert baked.n_views[SIZE // 2, SIZE // 2] == 2 or not baked.valid[SIZE // 2, SIZE // 2]


def test_light_is_divided_out_up_to_one_gain() -> None:
    model = sheet(45)  # slopes to 42 degrees
    toward = np.array([0.3, 0.8, 0.52])
    toward /= np.linalg.norm(toward)

    def light(normals: Floats) -> Floats:
        return np.asarray(0.35 + 0.5 * (normals @ toward) + 0.15 * (normals @ toward) ** 2)

    views = []
    for shot in (shoot(model, c) for c in CAMERAS):
        views.append(view(shot, paint(shot.points) * light(shot.normals)[:, None]))
    config = replace(PLAIN, delight=True, n_rays=256)
    baked = bake_albedo(model.mean, model, views, config, size=SIZE)
    part = middle()
    lit = (baked.lit / truth(model))[part]
    flat = (baked.rgb / truth(model))[part]
    # the paint's own waves pass for light in part: one albedo is all that is known of skin;
    # and the bump hides from its foot some light that the pictures have
    assert lit.std() / lit.mean() > 0.12
    assert flat.std() / flat.mean() < 0.05
    assert baked.light is not None and baked.light.spread < 0.15


def test_colours_are_corrected_first() -> None:
    model = sheet(15)
    matrix = np.array([[1.1, -0.1, 0.0], [0.05, 0.9, 0.05], [0.0, -0.2, 1.2]])
    correction = ColorCorrection(
        camera="middle", matrix=tuple(map(tuple, matrix.tolist())), exposure=1.25,
        black=(0.01, 0.01, 0.01),
    )  # fmt: skip
    calibration = ColorCalibration(corrections={"middle": correction}, missing={})
    shot = shoot(model, CAMERAS[1])
    seen = paint(shot.points) @ np.linalg.inv(1.25 * matrix).T + 0.01
    baked = bake_albedo(model.mean, model, [view(shot, seen)], PLAIN, size=SIZE, colors=calibration)
    np.testing.assert_allclose(baked.rgb[middle()], truth(model)[middle()], atol=0.02)


def test_texels_nobody_sees_are_filled_and_not_valid() -> None:
    model = sheet(15)
    shot = shoot(model, CAMERAS[1])
    half = view(shot, paint(shot.points))
    mask = half.mask.copy()
    half = replace(half, camera=half.camera.cropped(0, 0, width=100, height=200),
                   color=np.ascontiguousarray(half.color[:, :100]), mask=mask[:, :100])  # fmt: skip
    baked = bake_albedo(model.mean, model, [half], PLAIN, size=SIZE)
    assert baked.valid[:, : SIZE // 2 - 2].mean() > 0.95
    assert not baked.valid[:, SIZE // 2 + 2 :].any()
    right: Floats32 = baked.rgb[:, SIZE // 2 + 2 :]
    assert right.min() > 0.1 and right.max() < 0.7


def test_photographs_finer_than_the_texture_are_averaged_not_sampled() -> None:
    """Stripes of one texture texel's fraction must come out as their mean, not as moire."""
    model = sheet(0)
    shot = shoot(model, CAMERAS[1])
    stripes = np.where(np.arange(200) % 2, 0.7, 0.1)  # of single pixels
    radiance = np.tile(stripes[None, :, None], (200, 1, 3)).reshape(-1, 3)
    baked = bake_albedo(model.mean, model, [view(shot, radiance)], PLAIN, size=24)
    inner = baked.rgb[4:-4, 4:-4]
    mean = linear_from_srgb(np.rint(srgb_from_linear(np.array([0.1, 0.7])) * 255) / 255).mean()
    assert inner.std() < 0.02
    assert inner.mean() == pytest.approx(mean, abs=0.01)


def test_bad_input_is_refused() -> None:
    model = sheet(0)
    shot = shoot(model, CAMERAS[1])
    good = view(shot, paint(shot.points))
    with pytest.raises(InputError, match="no photographs"):
        bake_albedo(model.mean, model, [], PLAIN, size=SIZE)
    with pytest.raises(InputError, match="vertices"):
        bake_albedo(model.mean[:-1], model, [good], PLAIN, size=SIZE)
    with pytest.raises(EstimationError, match="frame"):
        bake_albedo(model.mean + [5000, 0, 0], model, [good], PLAIN, size=SIZE)
    with pytest.raises(ConfigError, match="quantile"):
        AlbedoConfig(quantile=1.0)
