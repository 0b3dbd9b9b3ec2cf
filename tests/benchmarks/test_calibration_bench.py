"""The calibration benchmark on five small cameras: what must hold at any size."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facekit.benchmarks import calibration_bench_stage
from facekit.benchmarks.calibration_bench import CalibrationBenchConfig, bench_calibration
from facekit.benchmarks.calibration_bench_faults import BOW_MM, bowed, gross, swapped
from facekit.benchmarks.calibration_bench_stage import BOARD, Stage, StageConfig, draw_stage
from facekit.calibration.target.detect import BoardView
from facekit.capture.targets import n_face_corners
from facekit.capture.virtual.studio import rng_of

LAYOUT = """
cameras:
  - {yaw_deg: -60.0}
  - {yaw_deg: -30.0, pitch_deg: 10.0}
  - {yaw_deg: 0.0}
  - {yaw_deg: 30.0, pitch_deg: -10.0}
  - {yaw_deg: 60.0}
sensor_width_mm: 36.0
sensor_height_mm: 24.0
"""
WIDTH, POSES = 2450, 14  # 4 MP; OpenCV needs three full views in each camera


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("layout") / "five.yaml"
    path.write_text(LAYOUT)
    return str(path)


@pytest.fixture(scope="module")
def config(layout: str) -> CalibrationBenchConfig:
    return CalibrationBenchConfig(layout=layout, width_px=WIDTH, n_poses=POSES, bump=False)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bench")


@pytest.fixture(scope="module")
def figures(config: CalibrationBenchConfig, out: Path) -> dict[str, Any]:
    return bench_calibration(config, out)


@pytest.fixture(scope="module")
def stage(layout: str) -> Stage:
    return draw_stage(StageConfig(layout=layout, width_px=WIDTH, n_poses=POSES))


def views_of(stage: Stage) -> list[BoardView]:
    """Return the true corners of the prints that the cameras see."""
    n = n_face_corners(BOARD)
    views = []
    for take in stage.world_from_board:
        for camera in stage.rig:
            face, _ = stage.seen_face(take, camera)
            ids = np.arange(face * n, (face + 1) * n, dtype=np.int32)
            view = BoardView(take=take, camera=camera.name, ids=ids, xy=np.zeros((n, 2)))
            views.append(BoardView(take=take, camera=camera.name, ids=ids, xy=stage.true_xy(view)))
    return views


def test_corners_are_sharp_and_none_is_invented(figures: dict[str, Any]) -> None:
    # a fifth of the pixels of a 45 MP camera along each side: blur, in px, is less, windows too
    assert figures["detect_rms_px_below_50deg"] < 0.05
    frontal = figures["detection"]["0-30deg"]
    assert frontal["n_views_found"] == frontal["n_views"] > 0
    assert frontal["found_percent"] == pytest.approx(100, abs=2)


def test_the_rig_is_found_and_a_bowed_board_changes_nothing(figures: dict[str, Any]) -> None:
    # 0.03 px of 4500 px focal length, at 1 m, over hundreds of corners
    assert figures["center_mm_max"] < 1.0
    assert figures["rejected"] == []
    assert figures["bowed"]["pair_um"] < 1.2 * figures["pair_um"]
    assert figures["bowed"]["center_mm_mean"] < 1.2 * figures["center_mm_mean"] + 0.005


def test_it_beats_opencv(figures: dict[str, Any]) -> None:
    peer = figures["opencv_multiview"]
    assert "failed" not in peer
    assert figures["pair_um"] < peer["pair_um"]
    assert figures["rotation_deg"] < peer["rotation_deg"]


def test_it_is_as_good_as_colmap(figures: dict[str, Any]) -> None:
    peer = figures["pycolmap_rig"]
    # the same least squares but for k3, which COLMAP's model lacks and the true lenses too
    assert figures["pair_um"] < 1.1 * peer["pair_um"]
    assert peer["rejected"] == []


def test_exchanged_photographs_are_named(
    figures: dict[str, Any], stage: Stage, config: CalibrationBenchConfig
) -> None:
    faulty = figures["swapped"]
    assert len(faulty["rejected"]) == 2
    first, second = (name.split("/") for name in faulty["rejected"])
    assert first[1] == second[1]
    assert sorted(faulty["rejected"]) == sorted(figures["swapped"]["exchanged"])
    # two views of fifty are missing
    assert faulty["pair_um"] < 1.5 * figures["pair_um"]


def test_gross_corners_are_left_out(figures: dict[str, Any]) -> None:
    faulty = figures["gross"]
    assert faulty["rejected"] == []
    assert faulty["n_corners_rejected"] > 0
    assert faulty["pair_um"] < 1.5 * figures["pair_um"]


def test_a_second_run_takes_no_photograph(
    figures: dict[str, Any],
    config: CalibrationBenchConfig,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def forbidden(*_: object) -> None:
        raise AssertionError("a photograph was taken again")

    monkeypatch.setattr(calibration_bench_stage, "photograph", forbidden)
    found = calibration_bench_stage.photograph_board(
        draw_stage(StageConfig(layout=config.layout, width_px=WIDTH, n_poses=POSES)),
        out / "corners",
    )
    assert len(found) == figures["n_photographs"] == 5 * POSES


def test_the_print_on_the_back_is_not_where_it_should_be(stage: Stage) -> None:
    n = n_face_corners(BOARD)
    off = stage.points[n:] - calibration_bench_stage.object_points(BOARD)[n:]
    assert np.linalg.norm(off, axis=1).min() > 0.3
    assert np.linalg.norm(off, axis=1).max() < 1.5
    assert np.array_equal(stage.points[:n], calibration_bench_stage.object_points(BOARD)[:n])


def test_a_bow_moves_the_middle_most_and_the_outermost_corners_least(stage: Stage) -> None:
    views = views_of(stage)
    bent = bowed(stage, views)
    front = next(v for v in range(len(views)) if views[v].ids[0] == 0 and steep(stage, views[v]))
    move = np.linalg.norm(bent[front].xy - views[front].xy, axis=1).reshape(11, 16)
    assert move[5, 7] > 3 * move[0, 0]
    # 0.3 mm at 4.5 px a mm, seen from the side
    assert 0.3 < move.max() < 1.3 * BOW_MM * 4.5


def steep(stage: Stage, view: BoardView) -> bool:
    return 40 < stage.seen_face(view.take, stage.rig[view.camera])[1] < 70


def test_swapping_twice_restores(stage: Stage) -> None:
    views = views_of(stage)
    changed, names = swapped(stage, views, rng=rng_of(0, "swap"))
    by_name = {view.name: view for view in views}
    for view in changed:
        other = names[1 - names.index(view.name)] if view.name in names else view.name
        assert np.array_equal(view.xy, by_name[other].xy)
        assert np.array_equal(view.ids, by_name[other].ids)


def test_one_corner_in_a_hundred_is_moved_by_15_px(stage: Stage, rng: np.random.Generator) -> None:
    views = views_of(stage)
    moved = [
        np.linalg.norm(after.xy - before.xy, axis=1)
        for before, after in zip(views, gross(views, rng=rng), strict=True)
    ]
    length = np.concatenate(moved)
    hit = length > 0
    assert np.allclose(length[hit], 15)
    # 8800 draws of one in a hundred: 88 +- 9
    assert abs(hit.mean() - 0.01) < 5 * np.sqrt(0.01 * 0.99 / len(hit))
