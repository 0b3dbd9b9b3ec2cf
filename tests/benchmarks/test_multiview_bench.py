"""The multi-view benchmark as a whole, with a reconstruction that knows the truth."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facekit.benchmarks import face_distance, multiview_bench_ablation, multiview_bench_work
from facekit.benchmarks.multiview_bench import bench_multiview
from facekit.benchmarks.multiview_bench_ablation import ALL, NONE, loss_names, worse_percent
from facekit.benchmarks.multiview_bench_case import load_truth
from facekit.benchmarks.multiview_bench_config import (
    MultiViewBenchConfig,
    Way,
    subject_case,
)
from facekit.benchmarks.multiview_bench_faults import fault_figures
from facekit.benchmarks.multiview_bench_methods import Found, FoundFace, Task
from facekit.benchmarks.multiview_bench_table import tables
from facekit.benchmarks.multiview_bench_views import FaultKind
from facekit.benchmarks.multiview_bench_work import FIGURES, summary
from facekit.core.config import with_overrides
from facekit.core.errors import ConfigError, EstimationError
from facekit.core.spent import Spent

OFF_MM = {Way.CALIBRATED9: 0.1, Way.CALIBRATED3: 0.2, Way.UNCALIBRATED3: 0.3, Way.SINGLE: 0.9,
          Way.COMPAT3: 0.6}  # fmt: skip
LOSSES = ("agreement", "ncc")


def stand_in(task: Task, threads: int | None) -> tuple[Found, Spent]:
    """Return the truth, bent by some tenths of a millimetre; spoilt views are named."""
    if task.way is Way.CALIBRATED3 and "1001" in task.path.name:
        raise EstimationError("the three views show three people")
    truth = load_truth(task.path)
    off = OFF_MM[task.way] * (1 + 0.5 * len(task.without) + 0.1 * len(task.fault.views))
    wave = off * np.sin(truth.vertices[:, :1] / 4) * [0.0, 0.0, 1.0]
    face = FoundFace(
        coarse=truth.model.mean,
        mid=truth.vertices + wave,
        displacement=np.zeros((96, 96), np.float32),
        valid=np.ones((96, 96), np.float32),
        world_from_head=truth.world_from_head,
    )
    remarks = dict.fromkeys(task.fault.views, "shows another face")
    if task.fault.kind is FaultKind.BLACK:
        remarks = {"cam00": "is doubted"}
    n_meshes = 2 if task.way is Way.COMPAT3 else 1
    found = Found(faces=(face,) * n_meshes, remarks=remarks, figures={"loss": 1.0})
    return found, Spent(wall_s=2.0, cpu_s=3.0, peak_gb=0.5)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keep the photographs from test to test."""
    return tmp_path_factory.mktemp("bench")


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reconstruct by the stand-in, in this process; measure at fewer points."""
    monkeypatch.setattr(face_distance, "_N_POINTS", 800)
    monkeypatch.setattr(multiview_bench_work, "run_apart", stand_in)
    monkeypatch.setattr(multiview_bench_work, "apart", lambda work, *given: work(*given))
    monkeypatch.setattr(multiview_bench_ablation, "loss_names", lambda: LOSSES)


def test_every_way_is_told_with_medians_the_worst_and_what_failed(here: None, out: Path) -> None:
    config = MultiViewBenchConfig(subjects=2, models=("builtin",), megapixels=0.05, pictures=False)
    result = bench_multiview(config, out)
    assert json.loads((out / "multiview_bench.json").read_text()) == result
    errors = []
    for way in Way:
        found = result[way]
        assert set(FIGURES) <= set(found)
        assert set(found["subjects"]) | set(found["failed"]) == {"00-builtin", "01-builtin"}
        assert (found["seconds"], found["cpu_s"], found["peak_gb"]) == (2.0, 3.0, 0.5)
        assert found["median_mm"] < found["p90_mm"] <= found["worst"]["p90_mm"]["value"]
        assert found["detail_corr"] == 0.0  # no relief was found
        errors.append((OFF_MM[way], found["scaled_median_mm"]))
    assert [mm for _, mm in sorted(errors)] == sorted(mm for _, mm in errors)
    assert result["calibrated3"]["failed"] == {"01-builtin": "the three views show three people"}
    assert result["calibrated9"]["unaligned_median_mm"] is not None
    assert result["single"]["unaligned_median_mm"] is None
    assert result["compat3"]["subjects"]["00-builtin"]["n_meshes"] == 2
    # 0.3 against 0.6, and relief that both lack
    assert 20 < result["gain_over_compat_percent"] < 55
    shown = tables(result)
    assert shown["failed"] == ["01-builtin, calibrated3: the three views show three people"]
    assert set(shown["ways"]) == set(Way) and "01-builtin single" in shown["people"]


def test_faults_and_losses_are_told_apart(here: None, out: Path) -> None:
    config = MultiViewBenchConfig(
        subjects=1, models=("builtin",), cases=(Way.CALIBRATED9,), megapixels=0.05,
        ablation=True, ablation_subjects=1, faults=True, fault_subjects=1, pictures=False,
    )  # fmt: skip
    result = bench_multiview(config, out)
    faults, losses = result["faults"], result["ablation"]
    assert faults["other"]["named"] and faults["swapped"]["named"]
    assert faults["black"]["named"] is False and faults["black"]["wrongly_named"] == 1
    assert 1.0 < faults["other"]["ratio"] < faults["swapped"]["ratio"] < 1.3
    assert faults["swapped"]["subjects"]["00-builtin"]["spoilt"] == ["cam02", "cam06"]
    assert list(losses) == [ALL, "without agreement", "without ncc", NONE]
    assert losses["without ncc"]["meant_for"] == "median_mm"
    assert 10 < losses["without ncc"]["worse_percent"] < 60
    assert losses[NONE]["median_mm"] > losses["without ncc"]["median_mm"]
    shown = tables(result)
    assert "subjects" not in shown["faults"]["other"] and shown["ablation"][ALL]["median_mm"]


def test_a_reconstruction_that_never_ends_well_is_an_error(
    here: None, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(task: Task, threads: int | None) -> Any:
        raise EstimationError("no face was found")

    monkeypatch.setattr(multiview_bench_work, "run_apart", refuse)
    config = MultiViewBenchConfig(
        subjects=1, models=("builtin",), cases=(Way.SINGLE,), megapixels=0.05
    )
    with pytest.raises(EstimationError, match="00-builtin, single: no face was found"):
        bench_multiview(config, out)


def test_medians_and_the_worst_of_each_figure() -> None:
    people = {
        "a": {"median_mm": 0.2, "detail_corr": 0.7},
        "b": {"median_mm": 0.4, "detail_corr": 0.5},
        "c": {"median_mm": 0.3, "detail_corr": None},
    }
    told = summary(people)
    assert told["median_mm"] == 0.3 and told["detail_corr"] == pytest.approx(0.6)
    assert told["worst"]["median_mm"] == {"value": 0.4, "subject": "b"}
    assert told["worst"]["detail_corr"] == {"value": 0.5, "subject": "b"}
    assert summary({})["median_mm"] is None and summary({})["worst"] == {}


def test_a_loss_that_helps_makes_its_figure_worse_when_it_is_gone() -> None:
    assert worse_percent("median_mm", 0.3, 0.2) == pytest.approx(50)
    assert worse_percent("detail_corr", 0.3, 0.6) == pytest.approx(50)
    assert worse_percent("detail_corr", 0.9, 0.6) == pytest.approx(-50)
    assert worse_percent("detail_corr", None, 0.6) is None
    assert {"agreement", "ncc"} <= set(loss_names())


def test_a_view_that_is_doubted_without_a_fault_too_is_not_wrongly_named() -> None:
    sound = {"median_mm": 0.2, "remarks": {"cam08": "shows no face"}}
    figures = {"median_mm": 0.3, "p90_mm": 1.0, "detail_corr": None}
    doubted = {"cam08": "shows no face", "cam01": "?", "cam05": "shows another face"}
    told = fault_figures(figures, sound, spoilt=("cam05",), doubted=doubted)
    assert told["named"] and told["wrongly_named"] == ["cam01"]
    assert told["ratio"] == pytest.approx(1.5)


def test_settings_come_from_the_command_line() -> None:
    config = with_overrides(
        MultiViewBenchConfig(), ["cases=calibrated9,single", "models=builtin", "method=a=1,b=2"]
    )
    assert config.cases == (Way.CALIBRATED9, Way.SINGLE) and config.method == ("a=1", "b=2")
    with pytest.raises(ConfigError, match="give some of calibrated9"):
        with_overrides(MultiViewBenchConfig(), ["cases=calibrated8"])
    with pytest.raises(ConfigError, match="has no consistency losses"):
        MultiViewBenchConfig(ablation_case=Way.SINGLE)
    for wrong in ({"subjects": 0}, {"megapixels": 0.0}, {"focal_error": 0.9}, {"cases": ()},
                  {"threads": 0},
                  {"beyond_model_mm": -1.0}):  # fmt: skip
        with pytest.raises(ConfigError):
            MultiViewBenchConfig(**wrong)  # type: ignore[arg-type]


def test_people_are_others_with_another_seed() -> None:
    one, two = (
        subject_case(MultiViewBenchConfig(seed=seed, models=("builtin",)), 3) for seed in (1, 2)
    )
    assert (one.key.seed, two.key.seed) == (1003, 2003)
    assert one.path(Path()) != two.path(Path()) and one.name == two.name == "03-builtin"
