"""The benchmark of trained weights: who is measured, and that better surfaces score better."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from facekit.benchmarks import face_distance, learned_bench, learned_bench_people
from facekit.benchmarks.ablation_bench_measure import contour_error_px
from facekit.benchmarks.heads.people import STRENGTH, Group
from facekit.benchmarks.learned_bench import LearnedBenchConfig, bench_learned, summary
from facekit.benchmarks.learned_bench_people import (
    Case,
    cases_of,
    photograph_of,
    truth_of,
    write_landmarks,
)
from facekit.benchmarks.learned_bench_run import ReconstructionTask
from facekit.benchmarks.learned_bench_table import tables
from facekit.capture.virtual.studio import rng_of
from facekit.capture.virtual.subject import draw_subject
from facekit.core.config import with_overrides
from facekit.core.errors import ConfigError, EstimationError, InputError
from facekit.core.facemodel.landmark_table import load_landmark_table
from facekit.core.facemodel.model import FaceModel
from facekit.core.facemodel.procedural import procedural_head
from facekit.reconstruct.surfaces import FaceSurfaces

CASE = Case(name="000-builtin", kind="builtin", head="procedural", seed=1000, group=Group.FRONT)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keep the photograph from test to test."""
    return tmp_path_factory.mktemp("photographs")


def true_vertices(model: FaceModel, seed: int) -> np.ndarray:
    return draw_subject(
        model, identity_rng=rng_of(seed, "identity"), skin_rng=rng_of(seed, "skin"),
        strength=STRENGTH,
    ).vertices()  # fmt: skip


def found_face(model: FaceModel, mid: np.ndarray, coarse: np.ndarray) -> FaceSurfaces:
    n = 64
    flat = np.zeros((n, n, 3), np.float32)
    return FaceSurfaces(
        model=model, identity=np.zeros(model.n_identity), expression=np.zeros(model.n_expression),
        coarse=coarse.astype(np.float32), mid=mid.astype(np.float32), deformation=flat,
        displacement=flat[..., 0], valid=flat[..., 0] + 1, normal=flat, tangent_normal=flat,
        albedo=flat, texture=flat.astype(np.uint8), texture_valid=flat[..., 0],
    )  # fmt: skip


def test_people_are_of_both_heads_and_photographed_in_each_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heads = [("builtin", "procedural"), ("ict", "ict.npz")]
    monkeypatch.setattr(learned_bench_people, "heads_here", lambda models: heads)
    cases, notes = cases_of(16, 3, models=("builtin", "ict"))
    assert notes == () and len({case.seed for case in cases}) == 16
    for kind in ("builtin", "ict"):
        groups = [case.group for case in cases if case.kind == kind]
        assert [groups.count(g) for g in Group] == [4, 2, 2]
    monkeypatch.setattr(learned_bench_people, "heads_here", lambda models: heads[:1])
    cases, (note,) = cases_of(4, 3, models=("builtin", "ict"))
    assert {case.kind for case in cases} == {"builtin"} and "no ICT face model" in note
    assert cases_of(4, 3, models=("builtin",))[1] == ()
    assert {case.seed for case in cases_of(4, 2, models=("builtin",))[0]} == set(range(2000, 2004))


def test_the_nearer_the_surfaces_the_smaller_the_errors(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(face_distance, "_N_POINTS", 800)
    model = procedural_head()
    true = true_vertices(model, CASE.seed)
    found = found_face(model, true, model.mean + 0.5 * (true - model.mean))

    def stand_in(task: ReconstructionTask) -> dict[str, dict[str, Any]]:
        assert task.config.checkpoint == str(folder / "a") and task.threads == 2
        return {"000-builtin": {"seconds": 1.5, "cpu_s": 2.0},
                "001-builtin": {"seconds": 0.1, "cpu_s": 0.1, "failed": "no face"}}  # fmt: skip

    monkeypatch.setattr(learned_bench, "reconstruct_apart", stand_in)
    monkeypatch.setattr(learned_bench, "load_prediction", lambda path, model: found)
    monkeypatch.setattr(learned_bench_people, "single_view", _only_once())
    (folder / "a").write_bytes(b"12345678")
    monkeypatch.setattr(learned_bench, "_spots", lambda config, weights, out: {"spots.gain": 0.4})
    config = LearnedBenchConfig(subjects=2, models=("builtin",), checkpoint=str(folder / "a"))
    result = bench_learned(config, folder)
    assert json.loads((folder / "learned_bench.json").read_text()) == result
    # relief is 0.03 mm; half of the way to the mean is half of its error, about
    assert result["median_mm"] < 0.15 and result["spots.gain"] == 0.4
    assert result["coarse_only_median_mm"] == pytest.approx(
        result["mean_face_median_mm"] / 2, rel=0.3
    )
    assert result["scaled_median_mm"] < result["scaled_mean_face_median_mm"] / 2
    gain = 1 - result["median_mm"] / result["mean_face_median_mm"]
    assert result["gain_over_mean"] == pytest.approx(gain) and gain > 0.7
    assert (result["better_than_coarse"], result["n_subjects"], result["n_failed"]) == (1, 1, 1)
    assert (result["seconds_per_image"], result["weights_mb"]) == (1.5, 8e-6)
    assert result["builtin"]["median_mm"] == result["front"]["median_mm"] == result["median_mm"]
    assert result["relief_corr"] == 0.0  # none was found
    assert 0 < result["normal_deg"] < 8
    assert result["normal_deg"] == pytest.approx(result["normal_without_displacement_deg"])
    shown = tables(result)
    assert shown["failed"] == ["001-builtin: no face"] and "000-builtin" in shown["people"]
    # what is there is not photographed again
    again = photograph_of(CASE, folder / "photographs")
    assert again.is_file()


def _only_once() -> Any:
    """Give the first person's photograph for all people: rendering is what takes long."""
    kept: list[Any] = []
    real = learned_bench_people.single_view

    def view(model: FaceModel, **how: Any) -> Any:
        if not kept:
            kept.append(real(model, **how))
        return kept[0]

    return view


def test_the_outline_is_as_far_off_as_the_mask_says(folder: Path) -> None:
    photographs = folder / "photographs"
    photograph_of(CASE, photographs)
    truth = truth_of(CASE, photographs)
    model = procedural_head()
    table = load_landmark_table(write_landmarks([CASE], photographs))
    marks = table.of("", CASE.name)
    assert marks is not None and np.abs(marks.points - truth.landmarks).max() < 1e-3
    found = found_face(model, true_vertices(model, CASE.seed), model.mean)
    camera = learned_bench_people.single_view(model, seed=CASE.seed).camera
    for name, value in (("camera", camera), ("landmarks", truth.landmarks)):
        object.__setattr__(found, name, value)
    exact = contour_error_px(found, truth.mask)  # type: ignore[arg-type]
    wider = cv2.dilate(truth.mask.astype(np.uint8), np.ones((1, 13), np.uint8)) > 0
    off = contour_error_px(found, wider)  # type: ignore[arg-type]
    # six columns more on either side, each 0.48 px of the crop: 300 mm over 640 px
    assert exact < 0.3
    assert off - exact == pytest.approx(6 * 300 / 640 * 1.02, rel=0.15)


def test_a_truth_of_another_person_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="photograph it again"):
        truth_of(CASE, tmp_path)


def test_medians_over_people_and_parts() -> None:
    row = dict.fromkeys(learned_bench.FIGURES, 1.0)
    rows = [
        {**row, "median_mm": mm, "mean_face_median_mm": 4.0, "better_than_coarse": mm < 2,
         "relief_corr": None, "seconds": mm, "cpu_s": 1.0}
        for mm in (1.0, 3.0, 1.5)
    ]  # fmt: skip
    told = summary(rows)
    assert told["median_mm"] == 1.5 and told["relief_corr"] is None
    assert told["gain_over_mean"] == pytest.approx(1 - 1.5 / 4)  # of the medians
    assert told["better_than_coarse"] == 2 and told["seconds_per_image"] == 1.5


def test_nothing_reconstructed_is_an_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photograph_of(CASE, folder / "photographs")
    monkeypatch.setattr(
        learned_bench, "reconstruct_apart", lambda task: {"000-builtin": {"failed": "no face"}}
    )
    config = LearnedBenchConfig(subjects=1, models=("builtin",), checkpoint=str(folder / "a"))
    with pytest.raises(EstimationError, match="no face"):
        bench_learned(config, folder)


def test_settings_that_measure_nothing_are_refused() -> None:
    assert with_overrides(LearnedBenchConfig(), ["models=ict"]).models == ("ict",)
    for wrong in ({"subjects": 0}, {"beyond_model_mm": -1.0}, {"threads": 0}, {"spotted": -1}):
        with pytest.raises(ConfigError):
            LearnedBenchConfig(**wrong)  # type: ignore[arg-type]
