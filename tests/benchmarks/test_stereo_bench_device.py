"""The stereo benchmark runs on the device and by the method that it is told."""

import pytest

from facekit.benchmarks import stereo_bench, stereo_bench_cost
from facekit.benchmarks.stereo_bench import StereoBenchConfig, bench_stereo
from facekit.core.config import with_overrides
from facekit.core.devices import Device
from facekit.core.errors import MissingDependencyError
from facekit.dataset.rigcheck import RigCheck
from facekit.dataset.stereo import colmap
from facekit.dataset.stereo.colmap import Stereo


def test_settings_name_device_and_method():
    config = with_overrides(StereoBenchConfig(), ["device=cuda", "stereo=colmap"])
    assert (config.device, config.stereo) == (Device.CUDA, Stereo.COLMAP)
    # figures are quoted in processor seconds: a GPU is used when asked for
    assert StereoBenchConfig().device is Device.CPU


@pytest.mark.parametrize("setting", ["device=cuda", "stereo=colmap"])
def test_missing_cuda_is_said_before_any_work(tmp_path, monkeypatch, setting):
    def missing(*_):
        raise MissingDependencyError("no CUDA here")

    if setting.startswith("device"):
        monkeypatch.setattr(stereo_bench, "chosen_device", missing)
    else:
        monkeypatch.setattr(stereo_bench, "require_cuda", missing)
    with pytest.raises(MissingDependencyError, match="no CUDA here"):
        bench_stereo(with_overrides(StereoBenchConfig(), [setting]), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_builds_are_told(tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(stereo_bench_cost, "apart", lambda _, *given: told.append(given[-1]))

    class Scene:
        session = rig_file = take = type("Any", (), {"folder": tmp_path})
        megapixels = 0.5

    stereo_bench_cost.build_cost(Scene, tmp_path / "a")
    stereo_bench_cost.build_cost(
        Scene, tmp_path / "b", device=Device.CUDA, stereo=colmap.Stereo.COLMAP
    )
    assert [config.device for config in told] == [Device.CPU, Device.CUDA]
    assert [config.stereo for config in told] == [Stereo.SWEEP, Stereo.COLMAP]
    assert all(config.check_rig is RigCheck.OFF for config in told)
