"""The benchmark of single-view reconstruction measures the model that it names."""

import numpy as np
import pytest

from facekit.core.errors import ConfigError
from facekit.reconstruct.forwardcost import forward_cost, parameter_counts, standin_bfm


def test_networks_have_as_many_parameters_as_the_released_ones() -> None:
    assert parameter_counts() == {
        "net_recon": 24_034_625,
        "mid_net": 11_387_587,
        "high_net": 11_390_721,
        "deretouch": 13_397_007,
    }


def test_the_stand_in_is_as_large_as_hrns_face_model(rng: np.random.Generator) -> None:
    model, maps = standin_bfm(rng)
    assert (model.n_identity, model.n_expression, len(maps.modes)) == (80, 64, 80)
    assert maps.mean.shape == (256, 256, 3)
    assert model.n_vertices == pytest.approx(35_709, rel=0.15)
    # its landmarks are still a face's: the nose's tip lies farthest out
    marks = model.mean[model.landmarks68]
    assert marks[:, 2].argmax() == 30
    assert len(np.unique(model.landmarks68)) == 68


def test_settings_that_measure_nothing_are_refused() -> None:
    hrn_bench = pytest.importorskip("facekit.benchmarks.hrn_bench")
    with pytest.raises(ConfigError, match="at least 1"):
        hrn_bench.HrnBenchConfig(threads=0)
    with pytest.raises(ConfigError, match="at least 0"):
        hrn_bench.HrnBenchConfig(subjects=-1)
    with pytest.raises(ConfigError, match="from 0 to 20"):
        hrn_bench.HrnBenchConfig(beyond_model_mm=-1.0)


@pytest.mark.slow
def test_a_forward_pass_keeps_within_memory() -> None:
    cost = forward_cost((1, 1, 0))
    assert cost["forward_cpu_s"] > 0
    assert cost["peak_gb"] < 4  # of this process, other tests and all
