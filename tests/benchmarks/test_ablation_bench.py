"""The ablation: variants leave out a part that exists, and all else is the same."""

import json
from concurrent.futures import Future
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytest
import torch

from facekit.benchmarks import ablation_bench
from facekit.benchmarks.ablation_bench import (
    FULL,
    VARIANTS,
    AblationBenchConfig,
    TrainingTask,
    _training,
    bench_ablation,
    tables,
    worse_percent,
)
from facekit.core.config import with_overrides
from facekit.core.errors import ConfigError
from facekit.core.facemodel.checkpoint_tables import HrnLayout
from facekit.core.facemodel.procedural import procedural_head
from facekit.reconstruct.checkpoint import save_hrn
from facekit.reconstruct.facetensors import face_tensors
from facekit.reconstruct.networks.hrn import HrnNetworks
from facekit.reconstruct.shippedweights import ChosenWeights
from facekit.reconstruct.train.detailconfig import DetailConfig, Parts


def training_of(name: str) -> DetailConfig:
    weights = ChosenWeights(
        checkpoint=Path("hrn.safetensors"), deretouch=Path("deretouch.safetensors"), source="given"
    )
    config = AblationBenchConfig(steps=50, training=("data.batch=4",))
    task = TrainingTask(name=name, folder=Path("out"), config=config, weights=weights)
    found: DetailConfig = _training(task)
    return found


def test_a_variant_differs_from_the_full_method_by_one_part_alone() -> None:
    assert {part for part in VARIANTS.values() if part} == {part.name for part in fields(Parts)}
    full = asdict(training_of(FULL))
    assert all(full["parts"].values())
    assert full["loop"]["steps"] == 50 and full["data"]["batch"] == 4
    assert full["data"]["held_out"] == 0.0  # people to measure on are others anyway
    for name, part in VARIANTS.items():
        if part is not None:
            other = asdict(training_of(name))
            assert other.pop("parts") == {**full["parts"], part: False}
            assert other == {key: value for key, value in full.items() if key != "parts"}


def test_worse_is_larger_for_errors_and_smaller_for_correlations() -> None:
    variants = {
        FULL: {"median_mm": 1.0, "relief_corr": 0.5, "contour_px": 2.0, "spot_error_mm": None},
        "no priors": {"median_mm": 1.2, "relief_corr": 0.4, "contour_px": 1.0},
    }
    told = worse_percent(variants)["no priors"]
    assert told["median_mm"] == pytest.approx(20) and told["relief_corr"] == pytest.approx(20)
    assert told["contour_px"] == pytest.approx(-50) and "spot_error_mm" not in told
    assert worse_percent({"no priors": variants["no priors"]}) == {}
    result = {"variants": variants, "worse_percent": {}, "weights": {"source": "given"},
              "models": ["builtin"], "training": [], "steps": 5}  # fmt: skip
    assert "spot_error_mm" not in tables(result)["variants"][FULL]


def test_settings_come_from_the_command_line() -> None:
    config = with_overrides(AblationBenchConfig(), ["variants=full,no priors", "steps=7"])
    assert config.variants == ("full", "no priors") and config.steps == 7
    with pytest.raises(ConfigError, match="give some of full, no deformation map"):
        with_overrides(AblationBenchConfig(), ["variants=no nose"])
    for wrong in ({"steps": 0}, {"jobs": 0}, {"spotted": -1}):
        with pytest.raises(ConfigError):
            AblationBenchConfig(**wrong)  # type: ignore[arg-type]


def _each_here(work: Any, items: Any, *, jobs: int) -> Any:
    for place, item in enumerate(items):
        answer: Future[Any] = Future()
        answer.set_result(work(item))
        yield place, answer


@pytest.mark.slow
def test_variants_are_trained_measured_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ablation_bench, "apart", lambda work, *given, threads: work(*given))
    monkeypatch.setattr(ablation_bench, "each_apart", _each_here)
    torch.manual_seed(0)
    model = procedural_head()
    counts = (model.n_identity, model.n_expression, face_tensors(model).n_albedo)
    layout = HrnLayout(counts=counts, backbone="resnet18", mid_width=4, high_width=4,
                       mid_blocks=1, high_blocks=1)  # fmt: skip
    save_hrn(tmp_path / "hrn.safetensors", HrnNetworks(layout), model)
    config = AblationBenchConfig(
        steps=2, people=2, views=1, subjects=1, spotted=0, jobs=1, models=("builtin",),
        preset="detail-smoke", variants=(FULL, "no displacement"),
        checkpoint=str(tmp_path / "hrn.safetensors"), training=("data.batch=2",),
    )  # fmt: skip
    result = bench_ablation(config, tmp_path / "out")
    assert json.loads((tmp_path / "out/ablation_bench.json").read_text()) == result
    full, other = (result["variants"][name] for name in config.variants)
    assert full["m1_median_mm"] > 0 and full["contour_px"] > 0
    assert other["relief_corr"] == 0.0
    # two steps from zero move little
    assert other["m1_median_mm"] == pytest.approx(full["m1_median_mm"], rel=0.05)
    monkeypatch.setattr(ablation_bench, "measure", None)  # what is known is not measured again
    assert bench_ablation(config, tmp_path / "out")["variants"] == result["variants"]
