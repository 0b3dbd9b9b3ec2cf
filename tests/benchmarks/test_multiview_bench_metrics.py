"""The multi-view benchmark's figures: what is perfect scores so, what is not does not."""

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from facekit.benchmarks import multiview_bench_pictures
from facekit.benchmarks.face_distance import TrueFace
from facekit.benchmarks.multiview_bench_case import CaseTruth
from facekit.benchmarks.multiview_bench_config import Way
from facekit.benchmarks.multiview_bench_detail import detail_error
from facekit.benchmarks.multiview_bench_methods import FoundFace
from facekit.benchmarks.multiview_bench_metrics import (
    Measured,
    found_from_true,
    mean_figures,
    measure_face,
)
from facekit.benchmarks.multiview_bench_pictures import draw_displacement, draw_surfaces
from facekit.core.facemodel.procedural import procedural_head
from facekit.core.geometry.mesh import Mesh, vertex_normals
from facekit.core.geometry.transform import Similarity
from facekit.core.imaging.imageio import read_image
from facekit.reconstruct.detailedsurface import detailed_surface

SIZE = 512
RELIEF_MM = 0.05
WORLD = Similarity(
    scale=1.0, R=Rotation.from_rotvec([0.1, 0.2, -0.1]).as_matrix(), t=np.array([20.0, -9.0, 40.0])
)
STAY = Similarity(scale=1.0, R=np.eye(3), t=np.zeros(3))


@pytest.fixture(scope="module")
def relief() -> np.ndarray:
    """Noise that is smooth over some 4 mm: a texel is about 0.6 mm."""
    noise = gaussian_filter(np.random.default_rng(3).normal(size=(SIZE, SIZE)), 2.0)
    return (RELIEF_MM * noise / noise.std()).astype(np.float32)


@pytest.fixture(scope="module")
def truth(relief: np.ndarray) -> CaseTruth:
    """Displace a head by a map we know."""
    model, vertices = procedural_head(), shape()
    return truth_of(detailed_surface(model, vertices, relief, n_levels=2))


@pytest.fixture(scope="module")
def plain() -> CaseTruth:
    """Take a head without relief, of few triangles."""
    return truth_of(Mesh(vertices=shape(), faces=procedural_head().faces))


@pytest.fixture(scope="module")
def perfect(truth: CaseTruth, relief: np.ndarray) -> Measured:
    """Measure a face that is what it should be."""
    return measure_face(found(truth, relief), truth, Way.CALIBRATED9)


def shape() -> np.ndarray:
    model = procedural_head()
    identity = np.zeros(model.n_identity)
    identity[:4] = (0.8, -0.5, 0.6, 0.4)
    return model.shape(identity)


def truth_of(fine: Mesh) -> CaseTruth:
    model, vertices = procedural_head(), shape()
    per_face = len(fine.faces) // len(model.faces)
    bare = Mesh(vertices=fine.vertices, faces=fine.faces)

    def part(region: str) -> Mesh:
        inside = model.regions[region][model.faces].all(axis=1)
        return bare.selected(np.repeat(inside, per_face))

    return CaseTruth(
        model=model,
        vertices=vertices,
        skin=part("face"),
        face=TrueFace(mesh=part("frontal_face"), landmarks=vertices[model.landmarks68]),
        world_from_head=WORLD,
    )


def found(truth: CaseTruth, displacement: np.ndarray, **changed: object) -> FoundFace:
    values = {
        "coarse": truth.model.mean, "mid": truth.vertices, "displacement": displacement,
        "valid": np.ones_like(displacement), "world_from_head": WORLD,
    }  # fmt: skip
    return FoundFace(**{**values, **changed})  # type: ignore[arg-type]


def corr(truth: CaseTruth, displacement: np.ndarray, mid: np.ndarray | None = None) -> float:
    error = detail_error(
        truth.skin, truth.model, found_from_true=STAY,
        mid=truth.vertices if mid is None else mid,
        displacement=displacement, valid=np.ones((SIZE, SIZE), np.float32),
    )  # fmt: skip
    assert error.band is not None
    return error.band.corr


def test_the_true_relief_is_found_true_and_nothing_else_is(
    truth: CaseTruth, relief: np.ndarray
) -> None:
    # what is left is the mesh's: vertices lie 0.6 mm apart, between them relief is linear
    assert corr(truth, relief) > 0.98
    assert corr(truth, np.zeros_like(relief)) == 0.0
    noise = np.random.default_rng(8).normal(size=relief.shape).astype(np.float32)
    # thousands of patches of 4 mm: chance correlations stay at some per cent
    assert abs(corr(truth, noise)) < 0.05
    assert corr(truth, -relief) < -0.98


def test_detail_is_judged_from_the_surface_that_was_found(
    truth: CaseTruth, relief: np.ndarray
) -> None:
    # a middle surface that lies a little too deep changes nothing of the detail, but where the
    # normals meet: in the folds of lips and eyelids
    normals = vertex_normals(truth.vertices, truth.model.faces)
    assert corr(truth, relief, truth.vertices - 0.2 * normals) > 0.95
    # nor is a surface that is lower here and there over centimetres a matter of detail
    wave = 0.3 * np.sin(truth.vertices[:, 1:2] * 2 * np.pi / 60)
    assert corr(truth, relief, truth.vertices + wave * normals) > 0.95


def test_what_a_method_does_not_vouch_for_does_not_count(
    truth: CaseTruth, relief: np.ndarray
) -> None:
    valid = (np.arange(SIZE) < SIZE // 2)[None].repeat(SIZE, axis=0).astype(np.float32)
    spoilt = np.where(valid > 0, relief, 1.0).astype(np.float32)

    def judged(v: np.ndarray) -> object:
        return detail_error(
            truth.skin, truth.model, found_from_true=STAY, mid=truth.vertices,
            displacement=spoilt, valid=v,
        )  # fmt: skip

    half = judged(valid)
    assert half.band_of_face.corr < 0.7 < half.band.corr  # type: ignore[attr-defined]
    assert half.band.corr > 0.98 and 20 < half.valid_percent < 80  # type: ignore[attr-defined]
    none = judged(np.zeros_like(valid))
    assert 0 < half.compared_percent < half.valid_percent  # type: ignore[attr-defined]
    assert none.compared_percent == 0 and none.band is None and none.valid_percent == 0  # type: ignore[attr-defined]


def test_a_perfect_face_has_no_error(perfect: Measured) -> None:
    figures = perfect.figures
    # levels of subdivision differ by default: micrometres
    assert figures["median_mm"] < 0.01 and figures["unaligned_median_mm"] < 0.01
    assert figures["detail_corr"] > 0.98 and figures["detail_valid_percent"] == 100
    assert figures["mid_median_mm"] == pytest.approx(0.67 * RELIEF_MM, rel=0.25)
    assert figures["coarse_median_mm"] > 0.1  # the mean face


def test_size_and_place_cost_what_they_should(plain: CaseTruth) -> None:
    flat = np.zeros((64, 64), np.float32)
    aside = Similarity(scale=1.0, R=WORLD.R, t=WORLD.t + WORLD.R @ [0.0, 0.0, 1.0])
    moved = measure_face(found(plain, flat, world_from_head=aside), plain, Way.CALIBRATED9)
    # less than what a triangle bends between its corners
    assert moved.figures["median_mm"] < 0.02
    assert 0.6 < moved.figures["unaligned_median_mm"] < 1.01  # most of the face looks forward
    large = found(plain, flat, mid=1.04 * plain.vertices, world_from_head=None)
    rigid = measure_face(large, plain, Way.SINGLE).figures
    assert rigid["median_mm"] > 0.2 and rigid["scaled_median_mm"] < 0.02
    assert rigid["scale_percent"] == pytest.approx(4.0, abs=0.1)
    free = measure_face(large, plain, Way.UNCALIBRATED3).figures
    assert free["median_mm"] == free["scaled_median_mm"] == rigid["scaled_median_mm"]
    assert "unaligned_median_mm" not in free


def test_frames_are_chained_as_they_should_be() -> None:
    points = np.random.default_rng(1).normal(size=(5, 3))
    other = Similarity(scale=2.0, R=WORLD.R.T, t=np.array([1.0, 2.0, 3.0]))
    chain = found_from_true(other, WORLD)
    assert np.allclose(other(chain(points)), WORLD(points))


def test_means_over_meshes_leave_out_what_is_not_known() -> None:
    rows = [{"a": 1.0, "b": None, "c": None}, {"a": 3.0, "b": 4.0, "c": None}]
    assert mean_figures(rows) == {"a": 2.0, "b": 4.0, "c": None}


def test_pictures_show_the_differences(
    perfect: Measured, truth: CaseTruth, relief: np.ndarray, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(multiview_bench_pictures, "_WIDTH", 96)
    monkeypatch.setattr(multiview_bench_pictures, "_HEIGHT", 120)
    surfaces, maps = tmp_path / "s.png", tmp_path / "d.png"
    draw_surfaces(surfaces, perfect, truth)
    draw_displacement(maps, perfect.detail, relief)
    picture = read_image(surfaces).astype(int)
    assert picture.std() > 10
    pair = read_image(maps).astype(int)
    half = pair.shape[1] // 2
    # the same relief twice
    assert np.abs(pair[:, :half] - pair[:, half:]).mean() < 5 and pair.std() > 5
