"""Faults of the stereo benchmark: they are what they claim to be, and who is to blame is told."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facekit.benchmarks import stereo_bench_faults as bench
from facekit.benchmarks.stereo_bench_config import StereoBenchConfig
from facekit.benchmarks.stereo_bench_faults import (
    POSE_MM,
    Fault,
    blame,
    exposed,
    fault_figures,
    faults,
    middle_view,
    spoilt,
)
from facekit.benchmarks.stereo_bench_scene import BenchScene, open_scene
from facekit.calibration.rigfile import load_rig
from facekit.core.imaging.imageio import read_image
from facekit.dataset.stereo.views import focus_point

CONFIG = StereoBenchConfig(layout="five", megapixels=("0.12",))


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> BenchScene:
    return open_scene(CONFIG, 0.12, tmp_path_factory.mktemp("faults"))


def photographs(scene: BenchScene) -> dict[str, np.ndarray]:
    take = scene.session.take(scene.take)
    return {shot.camera: read_image(scene.session.path(shot)) for shot in take.shots}


def test_the_middle_view_has_neighbours_on_both_sides(scene: BenchScene) -> None:
    centers = np.array([camera.center for camera in scene.rig])
    x = scene.rig[middle_view(scene.rig)].center[0]
    assert (centers[:, 0] < x).any() and (centers[:, 0] > x).any()


def test_a_pose_fault_moves_the_subject_by_what_it_says(scene: BenchScene, tmp_path: Path) -> None:
    victim = middle_view(scene.rig)
    wrong = spoilt(scene, faults()["pose_0.1mm"], victim, tmp_path)
    assert photographs(wrong).keys() == photographs(scene).keys()
    assert all((a == b).all() for a, b in zip(
        photographs(wrong).values(), photographs(scene).values(), strict=True))  # fmt: skip
    stated = load_rig(wrong.rig_file)
    middle = focus_point(list(scene.rig.cameras))[None]
    for camera in scene.rig:
        moved = stated[camera.name].cam_from_world - camera.cam_from_world
        off = np.linalg.norm(moved[:, :3] @ middle[0] + moved[:, 3])
        assert off == pytest.approx(POSE_MM if camera.name == victim else 0.0, abs=1e-6)


def test_a_turn_keeps_the_middle_in_place(scene: BenchScene, tmp_path: Path) -> None:
    victim = middle_view(scene.rig)
    wrong = spoilt(scene, faults()["turned_0.5deg"], victim, tmp_path)
    true, stated = scene.rig[victim], load_rig(wrong.rig_file)[victim]
    middle = focus_point(list(scene.rig.cameras))
    beside = middle + 80.0 * true.cam_from_world[0, :3]  # to the right in the image
    seen = [c.cam_from_world[:, :3] @ p + c.cam_from_world[:, 3]
            for p in (middle, beside) for c in (true, stated)]  # fmt: skip
    assert seen[1] == pytest.approx(seen[0], abs=1e-6)
    assert np.linalg.norm(seen[3] - seen[2]) == pytest.approx(80 * np.radians(0.5), rel=1e-3)


def test_one_photograph_is_spoilt_and_two_are_exchanged(scene: BenchScene, tmp_path: Path) -> None:
    victim, true = middle_view(scene.rig), photographs(scene)
    names = list(true)
    beside = names[names.index(victim) + 1]
    blurred = photographs(spoilt(scene, faults()["blur_2px"], victim, tmp_path / "blur"))
    assert [name for name in names if (blurred[name] != true[name]).any()] == [victim]
    swapped = photographs(spoilt(scene, faults()["swapped"], victim, tmp_path / "swap"))
    assert (swapped[victim] == true[beside]).all() and (swapped[beside] == true[victim]).all()


def test_exposure_doubles_linear_light_and_clips() -> None:
    image = np.array([[[0, 50, 100]], [[150, 200, 255]]], np.uint8)
    brighter = exposed(image, 2.0)
    assert brighter.ravel().tolist()[-2:] == [255, 255]
    # ((50/255 + .055) / 1.055)^2.4 = .0319; twice that is .0638, coded 71.4
    assert brighter[0, 0].tolist()[:2] == [0, 71]
    assert (exposed(image, 1.0) == image).all()


def test_blame_goes_by_whole_names(scene: BenchScene) -> None:
    names = scene.rig.names
    figures = {"remarks": [f"{names[0]} is blurred: see there", "the rig was repaired"],
               "left_out": []}  # fmt: skip
    found = blame(figures, names[0], scene.rig)
    assert found["named"] and found["blamed"] == []
    assert blame(figures, names[1], scene.rig)["blamed"] == [names[0]]
    longer = {"remarks": [f"{names[0]}0 is blurred"], "left_out": []}
    assert not blame(longer, names[0], scene.rig)["named"]


def test_an_over_exposed_view_is_named_by_the_bench(
    scene: BenchScene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = Fault(image=lambda image, _: exposed(image, 4.0))
    monkeypatch.setattr(bench, "faults", lambda: {"exposed": fault})
    truth = scene.load_truth()
    found = fault_figures(replace(scene, load_truth=lambda: truth), tmp_path)
    figures = found["of"]["exposed"]
    assert figures["named"] and figures["blamed"] == []
    assert 0.02 < figures["median_mm"] < 0.3
    assert 0.4 < figures["sigma_coverage"] < 0.9
    assert figures["there"]["sigma_median_mm"] > 0
