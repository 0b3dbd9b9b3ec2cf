"""The benchmark of single-view reconstruction: what it costs, and how near to the truth it comes.

Cost is that of HRN's complete forward pass, on a stand-in as large as its face model. Accuracy
is that of the fit, which needs no weights, on virtual photographs of people whose shape is known
(see `hrn_bench_fit.py`).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.errors import ConfigError
from ..core.files import write_json
from ..core.jobs import apart

RESULT_FILE = "hrn_bench.json"


@dataclass(frozen=True, kw_only=True)
class HrnBenchConfig:
    """What is measured.

    Raises
    ------
    ConfigError
        Numbers that cannot be used.
    """

    subjects: int = 8  # virtual people, each in one photograph; 0 leaves the fit out
    seed: int = 0  # other people, other weights
    beyond_model_mm: float = 0.0  # sd of smooth shape that the fit's model does not span
    threads: int = 2  # of the forward pass
    repeats: int = 3  # forward passes, of which the median counts

    def __post_init__(self) -> None:
        for name, least in (("subjects", 0), ("threads", 1), ("repeats", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} = {getattr(self, name)}: at least {least}")
        if not 0 <= self.beyond_model_mm <= 20:
            raise ConfigError(f"beyond_model_mm = {self.beyond_model_mm}: from 0 to 20")


def bench_hrn(config: HrnBenchConfig, out: Path) -> dict[str, Any]:
    """Run the benchmark in `out`.

    Returns
    -------
    dict
        JSON-able, also written to `hrn_bench.json`:

        `forward_s`, `forward_cpu_s`, `peak_gb`
            Of the complete model at batch 1 with random weights, in a process of its own.
        `params`
            Parameters of `net_recon`, `mid_net`, `high_net` and `deretouch` as released.
        `fit_median_mm`, `coarse_median_mm`
            The median over subjects of the median distance from the true face to the fitted
            surface and to its coarse part, after rigid alignment; and what else
            `hrn_bench_fit.fit_accuracy` tells.
    """
    # torch takes seconds to load; settings are checked before
    from ..reconstruct.forwardcost import forward_cost, parameter_counts

    out.mkdir(parents=True, exist_ok=True)
    settings = (config.threads, config.repeats, config.seed)
    result: dict[str, Any] = dict(apart(forward_cost, settings, threads=config.threads))
    result["params"] = parameter_counts()
    if config.subjects:
        from .hrn_bench_fit import fit_accuracy

        result |= fit_accuracy(
            config.subjects, config.seed, out, beyond_model_mm=config.beyond_model_mm
        )
    write_json(out / RESULT_FILE, result)
    return result
