"""The dataset benchmark as a whole: what it tells of takes, and a run on ideal scans."""

import json
from pathlib import Path
from typing import Any

import pytest

from facekit.benchmarks.dataset_bench import FIGURES, bench_dataset, summary
from facekit.benchmarks.dataset_bench_config import DatasetBenchConfig, ScanKind
from facekit.benchmarks.dataset_bench_table import tables
from facekit.core.errors import EstimationError
from facekit.core.imaging.imageio import read_image

TAKES: dict[str, dict[str, Any]] = {
    "a": {"surface_median_mm": 0.01, "displacement_corr": 0.9, "displacement_amplitude_ratio": 0.8,
          "register_s": 10.0, "maps_s": 2.0, "register_gb": 1.0, "maps_gb": 3.0},
    "b": {"surface_median_mm": 0.03, "displacement_corr": 0.7, "displacement_amplitude_ratio": 1.1,
          "register_s": 20.0, "maps_s": 4.0, "register_gb": 2.0, "maps_gb": 1.0},
    "c": {"surface_median_mm": 0.02, "register_s": 30.0, "register_gb": 1.0},
}  # fmt: skip


def test_medians_and_the_worst_take_of_each_figure() -> None:
    told = summary(TAKES)
    assert told["surface_median_mm"] == 0.02 and told["displacement_corr"] == pytest.approx(0.8)
    assert told["albedo_psnr_db"] is None  # no take has one
    assert told["worst"]["surface_median_mm"] == {"value": 0.03, "take": "b"}
    assert told["worst"]["displacement_corr"] == {"value": 0.7, "take": "b"}
    # 0.8 is farther from 1 than 1.1
    assert told["worst"]["displacement_amplitude_ratio"] == {"value": 0.8, "take": "a"}
    assert (told["register_s"], told["maps_s"], told["peak_gb"]) == (20.0, 3.0, 3.0)
    assert set(FIGURES) <= set(told)


def test_tables_show_each_take_and_what_failed() -> None:
    takes = {"00-ict/neutral": TAKES["a"], "00-ict/jawOpen=0.40+mouthSmile_L=0.50": TAKES["b"]}
    shown = tables({**summary(takes), "takes": takes, "failed": {"d": "no surface"}})
    assert list(shown["takes"]) == ["00-ict neutral", "00-ict expression"]
    assert shown["failed"] == ["d: no surface"]
    assert shown["takes"]["00-ict neutral"]["surface_median_mm"] == 0.01
    assert "albedo_psnr_db" not in shown["takes"]["00-ict neutral"]
    assert shown["worst"]["displacement_corr"] == {"value": 0.7, "take": "00-ict expression"}


def test_a_subject_without_scans_is_told_as_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def apart(*_: object) -> None:
        raise EstimationError("no surface was found")

    monkeypatch.setattr("facekit.benchmarks.dataset_bench.apart", apart)
    config = DatasetBenchConfig(subjects=1, models=("builtin",), store=False)
    with pytest.raises(EstimationError, match="00-builtin: no surface was found"):
        bench_dataset(config, tmp_path)


@pytest.mark.slow
def test_ideal_scans_are_registered_and_baked(tmp_path: Path) -> None:
    config = DatasetBenchConfig(
        subjects=1, scan=ScanKind.IDEAL, models=("builtin",), displacement_size=512, store=False
    )
    result = bench_dataset(config, tmp_path)
    assert result["failed"] == {} and result["n_takes"] == 2
    # what the scans allow, without stereo's errors
    assert result["surface_beyond_scan_mm"] < 0.05 and result["roundtrip_median_mm"] < 0.02
    assert result["correspondence_median_mm"] < 1.0 and result["landmark_mm"] < 1.5
    assert result["albedo_psnr_db"] is None  # there are no photographs
    assert json.loads((tmp_path / "dataset_bench.json").read_text()) == result
    for name in ("registered.png", "displacement.png"):
        assert read_image(tmp_path / "00-builtin/build/neutral" / name).std() > 1
