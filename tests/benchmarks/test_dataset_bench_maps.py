"""Maps against the true ones: exact answers where the scan is the true surface."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from facekit.benchmarks.dataset_bench_config import DatasetBenchConfig, ScanKind, subject_cases
from facekit.benchmarks.dataset_bench_maps import (
    albedo_figures,
    albedo_truth,
    face_texels,
    map_figures,
    true_maps,
)
from facekit.benchmarks.dataset_bench_pictures import draw_albedo, draw_displacement
from facekit.benchmarks.dataset_bench_scan import SESSION, make_scans
from facekit.benchmarks.dataset_bench_truth import TakeTruth, load_take_truth
from facekit.core.imaging.imageio import read_image
from facekit.dataset.bake.chart import chart
from facekit.dataset.bake.config import BakeConfig
from facekit.dataset.bake.maps import Maps
from facekit.dataset.register.registered import Registered, Scan

CONFIG = DatasetBenchConfig(
    subjects=1, scan=ScanKind.IDEAL, models=("builtin",), ideal_edge_mm=0.6, megapixels=0.2
)
BAKE = BakeConfig(deformation_size=128, displacement_size=512, albedo_size=128)


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> TakeTruth:
    folder = tmp_path_factory.mktemp("subject")
    case = dataclasses.replace(subject_cases(CONFIG)[0], expressions=("neutral",))
    make_scans(case, folder, CONFIG)
    return load_take_truth(folder / SESSION, "neutral", case.head)


@pytest.fixture(scope="module")
def registered(truth: TakeTruth, registered_on: Callable[..., Registered]) -> Registered:
    return registered_on(truth.model, offset=truth.vertices - truth.model.mean)


@pytest.fixture(scope="module")
def true(truth: TakeTruth, registered: Registered) -> Maps:
    return true_maps(registered, truth, BAKE)


def test_maps_of_the_true_surface_are_without_error(
    truth: TakeTruth, registered: Registered, true: Maps
) -> None:
    found = map_figures(registered, Scan(mesh=truth.mesh), true, true, truth)
    assert found["displacement_corr"] == pytest.approx(1)
    assert found["displacement_amplitude_ratio"] == pytest.approx(1)
    assert found["displacement_median_um"] == 0
    assert found["displacement_true_um"] > 5
    # what the texels of 0.7 mm cut off of relief
    assert found["roundtrip_median_mm"] < 0.02 and abs(found["roundtrip_bias_mm"]) < 0.005
    # what the vertices follow is no longer in the map
    assert 0.3 < found["displacement_corr_canonical"] < 1
    assert found["valid_percent"] > 95


def test_a_turned_sign_and_a_lesser_relief_show(
    truth: TakeTruth, registered: Registered, true: Maps
) -> None:
    scan = Scan(mesh=truth.mesh)
    turned = dataclasses.replace(true, displacement=-true.displacement)
    found = map_figures(registered, scan, turned, true, truth)
    assert found["displacement_corr"] == pytest.approx(-1)
    lesser = dataclasses.replace(true, displacement=0.5 * true.displacement)
    found = map_figures(registered, scan, lesser, true, truth)
    assert found["displacement_corr"] == pytest.approx(1)
    assert found["displacement_amplitude_ratio"] == pytest.approx(0.5)


def test_an_albedo_is_compared_on_the_face_after_one_gain(truth: TakeTruth, true: Maps) -> None:
    painted = albedo_truth(truth, 128)
    on_face = face_texels(chart(truth.model, 128), truth.face_region)
    assert 0.02 < painted[on_face].mean() < 0.6
    known = dataclasses.replace(true, albedo=0.7 * painted, albedo_valid=on_face)
    found = albedo_figures(known, painted, truth)
    assert found["albedo_gain"] == pytest.approx(1 / 0.7, rel=1e-5)
    assert found["albedo_psnr_db"] > 80 and found["albedo_valid_percent"] == 100
    noise = 0.02 * np.random.default_rng(0).standard_normal(painted.shape).astype(np.float32)
    noisy = dataclasses.replace(known, albedo=painted + noise)
    # 20 log10(1 / 0.02) = 34 dB
    assert albedo_figures(noisy, painted, truth)["albedo_psnr_db"] == pytest.approx(34.0, abs=0.3)


def test_maps_are_drawn_side_by_side(truth: TakeTruth, true: Maps, tmp_path: Path) -> None:
    draw_displacement(tmp_path / "displacement.png", true, true, truth)
    image = read_image(tmp_path / "displacement.png")
    true_part, ours, difference = np.split(image, 3, axis=1)
    assert (true_part == ours).all() and true_part.std() > 5
    assert difference.min() == 190  # none, but for what is unknown
    painted = albedo_truth(truth, 128)
    known = dataclasses.replace(true, albedo=painted, albedo_valid=np.ones((128, 128), bool))
    draw_albedo(tmp_path / "albedo.png", known, painted, truth)
    left, right = np.split(read_image(tmp_path / "albedo.png"), 2, axis=1)
    assert (left == right).all() and left.std() > 5
