"""The dataset benchmark's figures: exact answers where the registration is known."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from facekit.benchmarks.dataset_bench_band import BandAgreement, band_agreement
from facekit.benchmarks.dataset_bench_config import (
    DatasetBenchConfig,
    ScanKind,
    SubjectCase,
    draw_expression,
    subject_cases,
)
from facekit.benchmarks.dataset_bench_metrics import registration_error, round_trip
from facekit.benchmarks.dataset_bench_scan import (
    BUILD,
    SESSION,
    ideal_scan,
    load_scan,
    make_scans,
)
from facekit.benchmarks.dataset_bench_truth import TakeTruth, load_take_truth
from facekit.capture.virtual.beyond import smooth_field
from facekit.capture.virtual.studio import rng_of
from facekit.capture.virtual.subject import parse_expression
from facekit.capture.virtual.truth import load_truth
from facekit.core.arrays import Floats
from facekit.core.config import with_overrides
from facekit.core.errors import ConfigError, SchemaError
from facekit.core.facemodel.procedural import procedural_head
from facekit.core.geometry.mesh import Mesh, vertex_normals
from facekit.core.geometry.transform import Similarity
from facekit.dataset.register.registered import Registered

CONFIG = DatasetBenchConfig(
    subjects=1, scan=ScanKind.IDEAL, models=("builtin",), ideal_edge_mm=1.2, megapixels=0.2
)
TAKE = "neutral"
IDENTITY = Similarity(scale=1.0, R=np.eye(3), t=np.zeros(3))


@pytest.fixture(scope="module")
def case() -> SubjectCase:
    return subject_cases(CONFIG)[0]


@pytest.fixture(scope="module")
def folder(case: SubjectCase, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("subject")
    make_scans(case, folder, CONFIG)
    return folder


@pytest.fixture(scope="module")
def truth(folder: Path, case: SubjectCase) -> TakeTruth:
    return load_take_truth(folder / SESSION, TAKE, case.head)


At = Callable[[TakeTruth, Floats], Registered]


@pytest.fixture(scope="session")
def at(registered_on: Callable[..., Registered]) -> At:
    """Give a maker of registrations whose vertices lie somewhere."""
    return lambda truth, vertices: registered_on(truth.model, offset=vertices - truth.model.mean)


def test_the_truth_as_registration_has_no_error(truth: TakeTruth, folder: Path, at: At) -> None:
    scan = load_scan(folder, TAKE).mesh
    error = registration_error(at(truth, truth.vertices), scan, truth)
    # float32 rays and points
    assert error.surface_median_mm < 1e-4
    assert error.correspondence_median_mm == error.landmark_mm == error.landmark_max_mm == 0
    assert error.n_vertices > 5000
    # the scan's noise of 0.02 mm at its vertices: |N(0, s)| has median 0.674 s, and less
    # between vertices, where three are mixed
    assert 0.3 * 0.02 < error.scan_median_mm < 0.674 * 0.02
    assert error.surface_beyond_scan_mm == pytest.approx(-error.scan_median_mm, abs=1e-4)


def test_vertices_that_slide_show_in_correspondence_alone(
    truth: TakeTruth, folder: Path, at: At
) -> None:
    scan = load_scan(folder, TAKE).mesh
    normals = vertex_normals(truth.mesh.vertices, truth.mesh.faces)[: truth.model.n_vertices]
    along = np.cross(normals, [0.0, 1.0, 0.0])
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    error = registration_error(at(truth, truth.vertices + 1.5 * along), scan, truth)
    assert error.correspondence_median_mm == pytest.approx(1.5, abs=1e-6)
    assert error.along_median_mm == pytest.approx(1.5, rel=0.05)
    # on a curved surface 1.5 mm along the tangent leave it by 1.5² / 2R, R from 15 mm
    assert error.surface_median_mm < 0.15


def test_vertices_off_the_surface_show_in_both(truth: TakeTruth, folder: Path, at: At) -> None:
    scan = load_scan(folder, TAKE).mesh
    normals = vertex_normals(truth.mesh.vertices, truth.mesh.faces)[: truth.model.n_vertices]
    error = registration_error(at(truth, truth.vertices + 0.3 * normals), scan, truth)
    assert error.surface_median_mm == pytest.approx(0.3, rel=0.03)
    assert error.correspondence_median_mm == pytest.approx(0.3, abs=1e-6)
    assert error.along_median_mm < 0.05


def test_a_moved_landmark_is_named(truth: TakeTruth, folder: Path, at: At) -> None:
    vertices = truth.vertices.copy()
    vertices[truth.model.landmarks68[54]] += (0.0, 7.0, 0.0)
    error = registration_error(at(truth, vertices), load_scan(folder, TAKE).mesh, truth)
    assert (error.landmark_worst, error.landmark_max_mm) == (54, pytest.approx(7.0))
    assert error.landmark_mm == 0


def test_the_scan_against_itself_makes_the_round_trip(
    truth: TakeTruth, folder: Path, at: At
) -> None:
    scan = load_scan(folder, TAKE).mesh
    registered = at(truth, truth.vertices)
    same = round_trip(scan, scan, registered, face=truth.measured)
    assert same.median_mm < 1e-4
    normals = vertex_normals(scan.vertices, scan.faces)
    inward = dataclasses.replace(scan, vertices=scan.vertices - 0.2 * normals)
    off = round_trip(inward, scan, registered, face=truth.measured)
    assert off.median_mm == pytest.approx(0.2, rel=0.05)
    assert off.bias_mm == pytest.approx(0.2, rel=0.05)  # the scan lies outside


def test_vertices_lie_first_on_the_true_surface(truth: TakeTruth, folder: Path) -> None:
    # between them and the surface without relief is the studio's own relief there
    smooth = load_truth(folder / SESSION).smooth_mesh(TAKE).vertices[: truth.model.n_vertices]
    found = np.linalg.norm(truth.vertices - smooth, axis=1)
    own = np.abs(
        truth.relief_at(
            np.arange(len(truth.model.faces), dtype=np.int32),
            np.tile([1.0, 0.0, 0.0], (len(truth.model.faces), 1)),
        )
    )
    first = truth.model.faces[:, 0]
    assert found[first] == pytest.approx(own, abs=2e-4)
    assert own.max() > 0.1


def test_a_truth_of_another_model_is_refused(truth: TakeTruth) -> None:
    other = Mesh(vertices=truth.mesh.vertices, faces=truth.mesh.faces[:-1])
    with pytest.raises(SchemaError, match="no subdivision of the model 'procedural'"):
        dataclasses.replace(truth, mesh=other)


def test_an_ideal_scan_is_what_two_cameras_see(truth: TakeTruth, folder: Path) -> None:
    scan = load_scan(folder, TAKE).mesh
    rig = load_truth(folder / SESSION).rig
    assert len(rig) == 9
    signed, _, _ = truth.surface.closest(scan.vertices)
    assert np.abs(signed).std() < 0.03  # the noise of 0.02 mm, along the normal
    normals = vertex_normals(scan.vertices, scan.faces)
    assert (normals[:, 2] < -0.8).mean() < 0.01  # the back of the head faces no camera
    assert (vertex_normals(truth.mesh.vertices, truth.mesh.faces)[:, 2] < -0.8).mean() > 0.05
    again = ideal_scan(truth.mesh, truth.surface, noise_mm=0.0, rng=np.random.default_rng(0))
    assert len(again.vertices) == len(scan.vertices)
    assert (folder / BUILD / TAKE / "mesh.ply").is_file()


def test_ideal_scans_are_kept(case: SubjectCase, folder: Path) -> None:
    path = folder / BUILD / TAKE / "mesh.ply"
    before = path.stat().st_mtime_ns
    make_scans(case, folder, CONFIG)
    assert path.stat().st_mtime_ns == before


def test_shape_beyond_the_model_is_smooth_and_as_large_as_asked() -> None:
    points = np.random.default_rng(0).uniform(-90, 90, (4000, 3))
    field = smooth_field(points, sd_mm=1.0, seed=3)
    assert field.std() == pytest.approx(1.0)
    near = smooth_field(points + (0.5, 0, 0), sd_mm=1.0, seed=3)
    assert np.linalg.norm(near - field, axis=1).max() < 0.2


def test_expressions_are_modes_of_the_model_in_pairs() -> None:
    model = procedural_head()
    drawn = {draw_expression(model, rng_of(seed, "expression")) for seed in range(20)}
    assert len(drawn) == 20
    for name in drawn:
        activations = parse_expression(model, name)
        assert activations is not None and 3 <= len(activations) <= 6
        assert not any(mode.startswith("eyeLook") for mode in activations)
        sides = {mode[:-2] for mode in activations if mode.endswith(("_L", "_R"))}
        assert all(f"{s}_L" in activations and f"{s}_R" in activations for s in sides)


def test_settings_that_cannot_be_used_are_refused() -> None:
    with pytest.raises(ConfigError, match="only ideal scans"):
        DatasetBenchConfig(beyond_model_mm=0.5)
    with pytest.raises(ConfigError, match="subjects"):
        DatasetBenchConfig(subjects=0)
    assert with_overrides(DatasetBenchConfig(), ["models=builtin"]).models == ("builtin",)
    assert with_overrides(DatasetBenchConfig(), ["scan=ideal"]).scan is ScanKind.IDEAL


def wave(length_mm: float, *, texel_mm: float, size: int = 512) -> np.ndarray:
    x = np.arange(size) * texel_mm
    return np.tile(np.sin(2 * np.pi * x / length_mm), (size, 1)).astype(np.float32)


def agreement(ours: np.ndarray, true: np.ndarray, *, texel_mm: float) -> BandAgreement:
    usable = np.ones(ours.shape, bool)
    return band_agreement(
        ours, true, usable=usable, texel_mm=np.full(ours.shape, texel_mm, np.float32)
    )


def test_the_band_leaves_form_and_pores_out() -> None:
    true = 0.1 * wave(4.0, texel_mm=0.2)
    same = agreement(true, true, texel_mm=0.2)
    assert same.corr == pytest.approx(1) and same.amplitude_ratio == pytest.approx(1)
    # at 2 and 8 mm half of the amplitude is left; 60 mm of ten times the height, and 0.6 mm,
    # are nearly gone
    with_form = true + 1.0 * wave(60.0, texel_mm=0.2) + 0.1 * wave(0.6, texel_mm=0.2)
    found = agreement(with_form, true, texel_mm=0.2)
    assert found.corr > 0.97 and found.amplitude_ratio == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("length_mm", [2.0, 8.0])
def test_half_the_amplitude_is_left_at_the_ends_of_the_band(length_mm: float) -> None:
    texel = 0.1
    both = 0.1 * wave(length_mm, texel_mm=texel, size=1024)
    found = agreement(both, both, texel_mm=texel)
    # the other end's Gaussian takes at most a sixteenth
    assert found.true_um == pytest.approx(1000 * 0.1 / np.sqrt(2) / 2, rel=0.13)


def test_flat_half_as_high_and_turned_relief_show() -> None:
    true = 0.1 * wave(4.0, texel_mm=0.2)
    half = agreement(0.5 * true, true, texel_mm=0.2)
    assert half.corr == pytest.approx(1)
    assert half.amplitude_ratio == pytest.approx(0.5) and half.gain == pytest.approx(0.5)
    assert agreement(-true, true, texel_mm=0.2).corr == pytest.approx(-1)
    assert agreement(0 * true, true, texel_mm=0.2).corr == 0


def test_blurs_follow_the_size_of_texels() -> None:
    # left half 0.1 mm a texel, right half 0.3: the same 4 mm wave on the skin
    texel = np.full((512, 512), 0.1, np.float32)
    texel[:, 256:] = 0.3
    x = np.cumsum(texel, axis=1)
    true = (0.1 * np.sin(2 * np.pi * x / 4.0)).astype(np.float32)
    usable = np.ones(true.shape, bool)
    usable[:, 250:262] = False
    sides = []
    for part in (np.s_[:, :250], np.s_[:, 262:]):
        only = np.zeros_like(usable)
        only[part] = True
        sides.append(band_agreement(true, true, usable=usable & only, texel_mm=texel).true_um)
    whole = band_agreement(true, true, usable=usable, texel_mm=texel).true_um
    assert sides[0] == pytest.approx(sides[1], rel=0.03)
    assert whole == pytest.approx(sides[0], rel=0.03)


def test_larger_maps_are_averaged_down() -> None:
    small = 0.1 * wave(4.0, texel_mm=0.2, size=1024)
    large = np.repeat(np.repeat(small, 2, axis=0), 2, axis=1)
    found = agreement(large, large, texel_mm=0.1)
    same = agreement(small, small, texel_mm=0.2)
    assert found.n_texels == same.n_texels
    assert found.true_um == pytest.approx(same.true_um, rel=1e-3)
