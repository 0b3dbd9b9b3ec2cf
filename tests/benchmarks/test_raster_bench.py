"""The rasterisers' benchmark on a tiny scale: every figure is there and plausible."""

import json
from pathlib import Path

import numpy as np
import pytest

from facekit.benchmarks import raster_bench
from facekit.benchmarks.raster_bench import RasterBenchConfig, bench_raster
from facekit.core.errors import ConfigError
from facekit.core.geometry.mesh import Mesh
from facekit.core.rendering.numba_backend import NumbaRasterizer
from facekit.core.rendering.render_cost import camera_rays, clip, cost_scene


def egg() -> Mesh:
    """Return an egg of 2 * 30 * 60 triangles, closed but for two tiny holes."""
    turn, rise = np.meshgrid(np.arange(60) * (2 * np.pi / 60), np.linspace(0.05, np.pi - 0.05, 31))
    points = [np.sin(rise) * np.sin(turn), 1.4 * np.cos(rise), np.sin(rise) * np.cos(turn)]
    a = np.arange(30 * 60)
    right = a // 60 * 60 + (a + 1) % 60
    faces = np.concatenate(
        [np.stack([a, a + 60, right], 1), np.stack([right, a + 60, right + 60], 1)]
    )
    return Mesh(vertices=np.stack(points, -1).reshape(-1, 3), faces=faces.astype(np.int32))


def test_every_figure_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raster_bench, "_head", lambda subject: egg())
    monkeypatch.setattr(raster_bench, "_FEW", 1000)
    monkeypatch.setattr(raster_bench, "_MANY", 2000)
    result = bench_raster(RasterBenchConfig(repeats=1), tmp_path)
    written = json.loads((tmp_path / raster_bench.RESULT_FILE).read_text())
    assert written["edge_gradient_ratio"] == result["edge_gradient_ratio"]
    times = [name for name in result if "_ms_" in name]
    assert len(times) == 8
    assert all(result[name] > 0 for name in times)
    # half as many triangles as pixels across: some of the noise of few samples
    assert result["edge_gradient_ratio"] == pytest.approx(1, abs=0.03)
    assert abs(result["triangles"][0] - 1000) < 50


def test_scene_covers_the_share_that_is_asked() -> None:
    mesh = egg()
    scene = cost_scene(mesh.vertices, mesh.faces, share=0.4)
    face, _ = NumbaRasterizer().visibility(
        clip(scene.vertices, scene.focal), scene.faces, (128, 128)
    )
    assert (face >= 0).float().mean() == pytest.approx(0.4, abs=0.02)


def test_rays_meet_what_is_drawn() -> None:
    mesh = egg()
    scene = cost_scene(mesh.vertices, mesh.faces)
    origin, direction = camera_rays(scene, 8)
    points = origin + 3 * direction
    x, y, _, w = clip(scene.vertices.new_tensor(points), scene.focal).unbind(-1)
    centres = (2 * np.arange(8) + 1) / 8 - 1
    assert np.allclose(x / w, centres[None], atol=1e-5)
    assert np.allclose(y / w, centres[:, None], atol=1e-5)


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match="repeats"):
        RasterBenchConfig(repeats=0)
