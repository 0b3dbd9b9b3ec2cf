"""The stereo benchmark on five small cameras: what must hold at any size."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facekit.benchmarks.mesh_accuracy import MeshAccuracy, TrueSurface, mesh_error
from facekit.benchmarks.stereo_bench import StereoBenchConfig, accuracy_figures, bench_stereo
from facekit.benchmarks.stereo_bench import compare as compare_with
from facekit.benchmarks.stereo_bench_config import head_of, sizes_of
from facekit.benchmarks.stereo_bench_map import worst_places
from facekit.benchmarks.stereo_bench_scaling import scaling_figures, straightness
from facekit.benchmarks.stereo_bench_scene import BenchScene, folder_rig, folder_scene, open_scene
from facekit.benchmarks.stereo_bench_sigma import SIGMA, sigma_figures
from facekit.benchmarks.stereo_bench_table import tables
from facekit.capture.virtual.studio import make_session
from facekit.core.arrays import Floats
from facekit.core.errors import ConfigError, EstimationError, InputError
from facekit.core.geometry.mesh import Mesh, vertex_normals
from facekit.core.geometry.meshio import load_mesh, save_mesh
from facekit.core.imaging.imageio import read_image, write_image
from facekit.core.jobs import apart

CONFIG = StereoBenchConfig(layout="five", megapixels=("0.12",), warm_up=False, check=False)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stereo")


@pytest.fixture(scope="module")
def result(out: Path) -> dict[str, Any]:
    return bench_stereo(CONFIG, out)


@pytest.fixture(scope="module")
def scene(result: dict[str, Any], out: Path) -> BenchScene:
    return open_scene(CONFIG, 0.12, out / "0.12mp")  # the photographs of `result`


def test_the_figures_are_there_and_physical(result: dict[str, Any], out: Path) -> None:
    figures = result["0.12mp"]
    # a pixel is 1 mm here, and of skin some tenth of that is usual
    assert 0.02 < figures["median_mm"] < 0.25
    assert 2 * figures["median_mm"] < figures["p90_mm"] < 1.0
    within = [figures[f"within_{limit}mm"] for limit in ("0_1", "0_2", "0_5")]
    assert within == sorted(within) and within[0] > 0 and within[-1] <= 100
    assert set(figures["bands"]) == {"1mm", "2mm", "4mm", "8mm"}
    assert figures["relief_corr_2mm"] == figures["bands"]["2mm"]["corr"]
    assert figures["bands"]["8mm"]["corr"] > figures["bands"]["1mm"]["corr"]
    assert figures["vertices"] > 1000
    assert "warm_up_cpu_s" not in result and "rig_check_cpu_s" not in figures
    assert result["cameras"] == "true" and result["n_views"] == 5
    assert {"sigma_corr", "sigma_coverage", "wall_s"} <= set(figures)
    assert json.loads((out / "stereo_bench.json").read_text()) == result
    assert read_image(Path(figures["picture"])).std() > 1


def test_the_cost_is_that_of_the_build_alone(result: dict[str, Any]) -> None:
    figures = result["0.12mp"]
    stages = figures["stages_cpu_s"]
    assert list(stages)[:3] == ["depth", "cloud", "start"] and "mesh" in stages
    # views and records are all that is outside of the stages
    assert 0.5 * figures["cpu_s"] < sum(stages.values()) <= figures["cpu_s"]
    assert 0.1 < figures["peak_gb"] < 2.0
    assert figures["import_cpu_s"] > 0


def test_the_cost_told_before_is_near(result: dict[str, Any]) -> None:
    figures = result["0.12mp"]
    # so small a build is nearly all libraries and start: no better than to a half
    assert figures["predicted_gb"] == pytest.approx(figures["peak_gb"], rel=0.5)
    assert figures["predicted_cpu_s"] > 1
    assert figures["predicted_finest_cpu_s"] is None  # there is one scale, and none before it


def test_scaling_is_measured_over_resolution_and_over_views(
    result: dict[str, Any], out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = "facekit.benchmarks.stereo_bench_scaling"
    monkeypatch.setattr(f"{module}.MEGAPIXELS", ("0.06", "0.12"))
    monkeypatch.setattr(f"{module}.LAYOUTS", ("five",))
    monkeypatch.setattr(f"{module}.VIEWS_MEGAPIXELS", 0.12)
    scaling = scaling_figures(CONFIG, out / "scaling", measured=result)
    small, large = scaling["over_megapixels"].values()
    assert large["cpu_s"] == result["0.12mp"]["cpu_s"]  # not built again
    assert scaling["over_views"] == {"five": large}
    assert large["vertices"] == pytest.approx(2 * small["vertices"], rel=0.15)
    shown = tables({**result, "scaling": scaling})
    assert set(shown["cost over resolution"]) == {"0.06", "0.12"}
    assert shown["sizes"]["0.12mp"]["median_mm"] == result["0.12mp"]["median_mm"]
    assert shown["sizes"]["0.12mp"]["cpu_s of mesh"] > 0
    assert "stages_cpu_s" not in shown["sizes"]["0.12mp"] and "scaling" not in shown


def test_a_straight_line_is_found_and_what_departs_from_it_told() -> None:
    line = straightness([0.5, 1.5, 6.0], [7.0, 11.0, 29.0])
    assert line == pytest.approx({"fixed": 5.0, "each": 4.0, "missed_percent": 0.0}, abs=1e-9)
    assert straightness([1.0, 2.0, 4.0], [1.0, 4.0, 16.0])["missed_percent"] > 20


def test_the_part_that_counts_has_the_same_errors(scene: BenchScene, out: Path) -> None:
    mesh = load_mesh(out / "0.12mp/build/neutral/mesh.ply")
    surface = scene.load_truth().surface
    part = surface.near(mesh)
    assert 0.2 < len(part.faces) / len(mesh.faces) < 0.9
    whole = mesh_error(mesh, surface, rng=np.random.default_rng(7))
    found = mesh_error(part, surface, rng=np.random.default_rng(7))
    assert found.median_mm == pytest.approx(whole.median_mm, rel=0.04)
    assert found.measured.sum() == whole.measured.sum()
    assert found.completeness_percent[0.2] == pytest.approx(
        whole.completeness_percent[0.2], abs=1.0
    )


def test_the_photographs_of_an_earlier_run_are_kept(
    scene: BenchScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def photograph(*_: object, **__: object) -> None:
        raise AssertionError("photographed again")

    monkeypatch.setattr("facekit.capture.virtual.studio.photograph", photograph)
    again = open_scene(CONFIG, 0.12, scene.session.folder.parent)
    assert again.session == scene.session


def test_errors_are_those_of_mesh_accuracy(
    result: dict[str, Any], scene: BenchScene, out: Path
) -> None:
    mesh = load_mesh(out / "0.12mp/build/neutral/mesh.ply")
    truth = scene.load_truth()
    found = mesh_error(mesh, truth.surface, rng=np.random.default_rng(7))
    # other random points on the same surfaces: 1 % of the median each
    assert found.median_mm == pytest.approx(result["0.12mp"]["median_mm"], rel=0.04)
    assert found.p90_mm == pytest.approx(result["0.12mp"]["p90_mm"], rel=0.04)
    assert found.completeness_percent[0.2] == pytest.approx(
        result["0.12mp"]["within_0_2mm"], abs=1.0
    )


def test_the_true_surface_has_all_its_relief_and_the_smooth_one_none(scene: BenchScene) -> None:
    truth = scene.load_truth()
    mesh = truth.surface.mesh
    itself = truth.relief.bands(mesh)
    assert all(band.corr > 0.9999 and abs(band.gain - 1) < 1e-3 for band in itself.values())
    from facekit.capture.virtual.truth import load_truth

    smooth = load_truth(scene.session.folder).smooth_mesh("neutral").vertices
    half = (mesh.vertices + smooth) / 2
    halved = truth.relief.bands(replace(mesh, vertices=half))
    # slopes are small: half the offset along the normal is half the height
    assert halved["4mm"].gain == pytest.approx(0.5, abs=0.02)
    assert halved["4mm"].corr > 0.99
    none = truth.relief.bands(replace(mesh, vertices=smooth))
    assert abs(none["4mm"].gain) < 1e-6 and none["4mm"].corr == 0.0


def test_a_mesh_beside_the_face_has_no_relief_to_compare(scene: BenchScene) -> None:
    truth = scene.load_truth()
    mesh = truth.surface.mesh
    beside = replace(mesh, vertices=mesh.vertices + np.array([500, 0, 0], np.float32))
    with pytest.raises(EstimationError, match="covers too little"):
        truth.relief.bands(beside)


def ball(radius: float = 50.0, *, subdivisions: int = 4) -> tuple[Mesh, Floats]:
    """Return a sphere as a mesh, and its unit normals."""
    import trimesh

    shape = trimesh.creation.icosphere(subdivisions=subdivisions, radius=radius)
    mesh = Mesh(vertices=np.asarray(shape.vertices), faces=shape.faces.astype(np.int32))
    return mesh, vertex_normals(mesh.vertices, mesh.faces)


def measured(true: Mesh, error: Floats, rng: np.random.Generator) -> tuple[Mesh, MeshAccuracy]:
    moved = Mesh(
        vertices=true.vertices + error[:, None] * vertex_normals(true.vertices, true.faces),
        faces=true.faces,
    )
    return moved, mesh_error(moved, TrueSurface(true), n_samples=2000, rng=rng)


def test_the_worst_place_is_where_the_bump_is(rng: np.random.Generator) -> None:
    true, normals = ball()
    error = np.where(normals @ np.array([0.0, 0.6, 0.8]) > 0.99, 1.0, 0.01)
    mesh, accuracy = measured(true, error, rng)
    places = worst_places(mesh, accuracy)
    assert np.linalg.norm(np.array(places[0]["at_mm"]) - [0, 30, 40]) < 15
    assert places[0]["median_mm"] == pytest.approx(1.0, abs=0.1)
    # a cap of 8 degrees about it: 2 pi r^2 (1 - 0.99)
    total = sum(place["wrong_mm2"] for place in places)
    assert total == pytest.approx(2 * np.pi * 51**2 * 0.01, rel=0.3)
    assert worst_places(*measured(true, np.full(len(normals), 0.1), rng)) == []


def test_an_honest_sigma_covers_two_thirds_of_its_errors(rng: np.random.Generator) -> None:
    true, normals = ball(25.0, subdivisions=6)  # 41 thousand vertices, some 20 per patch
    sigma = 0.03 * np.exp(1.5 * normals[:, 0])  # 0.007 to 0.13 mm
    # smooth noise: errors of neighbours that differ would tilt the faces, and shorten distances
    wave = normals @ rng.normal(size=(3, 24)) * 40 + rng.uniform(0, 2 * np.pi, 24)
    error = sigma * np.sqrt(2 / 24) * np.sin(wave).sum(axis=1)
    mesh, accuracy = measured(true, error, rng)
    assert sigma_figures(mesh, accuracy) == {"sigma_corr": None, "sigma_coverage": None}
    honest = sigma_figures(replace(mesh, attributes={SIGMA: sigma.astype(np.float32)}), accuracy)
    assert honest["sigma_coverage"] == pytest.approx(0.683, abs=0.04)
    assert honest["sigma_corr"] is not None and honest["sigma_corr"] > 0.6
    bold = sigma_figures(
        replace(mesh, attributes={SIGMA: (sigma / 3).astype(np.float32)}), accuracy
    )
    assert bold["sigma_coverage"] == pytest.approx(0.26, abs=0.04)  # erf(1 / 3 / sqrt 2)
    assert bold["sigma_corr"] == pytest.approx(honest["sigma_corr"], abs=1e-4)  # size alone
    even = replace(mesh, attributes={SIGMA: np.full(len(sigma), 0.05, np.float32)})
    assert sigma_figures(even, accuracy)["sigma_corr"] is None


def write_folder(folder: Path, scene: BenchScene) -> Path:
    """Write the photographs as another renderer would: pixel centres at integers."""
    for width in (1024, 2048):
        entries = []
        for camera in scene.rig:
            height = round(width * camera.height / camera.width)
            sized = camera.scaled(width, height)
            K = sized.K.copy()
            K[:2, 2] -= 0.5
            entries.append({
                "K": K.tolist(), "R": camera.cam_from_world[:, :3].tolist(),
                "t": camera.cam_from_world[:, 3].tolist(), "W": width, "H": height,
                "name": camera.name,
            })  # fmt: skip
            if width == 1024:
                write_image(
                    folder / "img_1024" / f"{camera.name}.png",
                    np.zeros((height, width, 3), np.uint8),
                )
        (folder / f"cams_{width}.json").write_text(json.dumps(entries))
    mesh = scene.load_truth().surface.mesh
    np.savez(
        folder / "geom_L4.npz", V=mesh.vertices, F=mesh.faces, Vbase=mesh.vertices,
        lab=np.full(len(mesh.faces), 2, np.int8),
    )  # fmt: skip
    return folder


def test_a_folder_s_pixel_centres_are_moved_by_half_a_pixel(
    scene: BenchScene, tmp_path: Path
) -> None:
    source = write_folder(tmp_path / "source", scene)
    found = folder_scene(source, 1.5, tmp_path / "session")
    for name in scene.rig.names:
        expected = scene.rig[name].scaled(found.rig[name].width, found.rig[name].height)
        np.testing.assert_allclose(found.rig[name].K, expected.K, atol=1e-6)
        np.testing.assert_allclose(found.rig[name].center, expected.center, atol=1e-6)
    # the whole photograph, though it is a little more than asked for
    assert found.megapixels == pytest.approx(1024 * 1536 / 1e6, rel=0.01)
    assert folder_scene(source, 0.5, tmp_path / "small").megapixels == 0.5
    assert found.load_truth().surface.sample(1000, rng=np.random.default_rng(0)).shape[1] == 3
    with pytest.raises(InputError, match=r"img_2048.*no such photograph"):
        folder_scene(source, 6.0, tmp_path / "large")
    with pytest.raises(InputError, match="no larger"):
        folder_scene(source, 40.0, tmp_path / "huge")
    (source / "geom_L4.npz").write_bytes(b"PK\x03\x04")
    with pytest.raises(InputError, match="not the surface of a stereo scene"):
        found.load_truth()
    (source / "geom_L4.npz").unlink()
    with pytest.raises(InputError, match=r"holds no geom_L4\.npz"):
        folder_scene(source, 1.5, tmp_path / "session")
    (source / "cams_1024.json").write_text('[{"K": 1}]')
    with pytest.raises(InputError, match="not the cameras of a stereo scene"):
        folder_rig(source, 1024)


def test_wrong_settings_are_told_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="give the folder of a stereo scene, or a seed"):
        bench_stereo(replace(CONFIG, scene=str(tmp_path)), tmp_path / "out")
    with pytest.raises(InputError, match="neither a folder nor a seed"):
        bench_stereo(replace(CONFIG, scene="-3"), tmp_path / "out")
    with pytest.raises(InputError, match="no ICT face model here"):
        head_of(str(tmp_path / "model.npz"))
    with pytest.raises(ConfigError, match="'large' is no size"):
        sizes_of(replace(CONFIG, megapixels=("large",)))
    with pytest.raises(ConfigError, match="none given"):
        sizes_of(replace(CONFIG, megapixels=()))


def _ended() -> None:
    os._exit(9)


def test_a_process_that_dies_is_an_error_with_advice() -> None:
    with pytest.raises(EstimationError, match="fewer megapixels"):
        apart(_ended)


@pytest.mark.parametrize(("layout", "n_cameras"), [("seven", 7), ("sixteen", 16)])
def test_every_camera_of_the_larger_rigs_sees_the_head(
    layout: str, n_cameras: int, tmp_path: Path
) -> None:
    from facekit.capture.virtual.studio import StudioConfig

    session = make_session(
        StudioConfig(layout=layout, megapixels=0.02, n_board_poses=0, truth_maps=False), tmp_path
    )
    shots = session.takes[0].shots
    assert len(shots) == n_cameras
    for shot in shots:
        image = session.read(shot).astype(np.float64).mean(axis=2)
        assert np.ptp(image) > 60  # lit skin before a dark backdrop


@pytest.mark.slow
def test_a_rendered_scene_is_measured_as_by_its_own_tool(
    shared_tools: Path, tmp_path: Path
) -> None:
    """Our figures are those that the scene's own evaluation prints."""
    folder = os.environ.get("FACEKIT_STEREO_SCENE")
    if folder is None:
        pytest.skip("set FACEKIT_STEREO_SCENE to the folder of a rendered stereo scene")
    source = Path(folder)
    for path in source.iterdir():
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / "results.jsonl").unlink(missing_ok=True)
    with np.load(source / "geom_L4.npz") as arrays:
        mixed = (0.7 * arrays["V"] + 0.3 * arrays["Vbase"]).astype(np.float32)
        whole = Mesh(vertices=mixed, faces=arrays["F"])
        mesh = whole.selected(arrays["lab"] == 2)
    save_mesh(tmp_path / "mesh.ply", mesh)
    said = subprocess.run(
        [sys.executable, str(shared_tools / "stereo_scene/evaluate.py"),
         str(tmp_path / "mesh.ply"), "own"],
        env={**os.environ, "SCENE_DIR": str(tmp_path)}, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    truth = folder_scene(source, 1.5, tmp_path / "session").load_truth()
    figures = accuracy_figures(*compare_with(mesh, truth))
    um = [float(x) for x in re.findall(r"acc med (\d+) um  90% (\d+)  bias ([+-]\d+)", said)[0]]
    ours = [1000 * figures[name] for name in ("median_mm", "p90_mm", "bias_mm")]
    assert ours == pytest.approx(um, abs=1.0)
    within = [float(x) for x in re.findall(r"comp .1 (\S+) .2 (\S+) .5 (\S+)%", said)[0]]
    ours = [figures[f"within_{limit}mm"] for limit in ("0_1", "0_2", "0_5")]
    assert ours == pytest.approx(within, abs=0.1)
    bands = re.findall(r"~(\dmm): r=(\S+) gain=(\S+)", said)
    assert len(bands) == 4
    for name, corr, gain in bands:
        assert figures["bands"][name]["corr"] == pytest.approx(float(corr), abs=0.006)
        assert figures["bands"][name]["gain"] == pytest.approx(float(gain), abs=0.006)
