"""The command that measures scale and plans large runs: bench scale."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from ...core.commandline import OUT_PATH, config_options, json_option, settings, show


@click.command("scale")
@click.option("--out", type=OUT_PATH, default=Path("outputs/bench/scale"), show_default=True,
              help="Keeps the photographs; meshes are made anew.")  # fmt: skip
@click.option("--takes", type=click.IntRange(2, 100_000), help="That a data set grows to.")
@click.option("--workers", type=click.IntRange(1, 64), multiple=True,
              help="Of a local cluster; again for more  [default: 1 and 2]")  # fmt: skip
@click.option("--page", type=OUT_PATH, help="Also write what was found there, as Markdown.")
@config_options
@json_option
def bench_scale(
    out: Path, page: Path | None, config_file: Path | None, assignments: Sequence[str],
    as_json: bool, **given: Any,
) -> None:  # fmt: skip
    """Build many small takes on a local cluster: throughput, growth; plan 2,000 captures."""
    from ...core.files import write_text
    from .page import page as page_of
    from .scale import ScaleBenchConfig
    from .scale import bench_scale as run_bench

    given["workers"] = given["workers"] or None
    config = settings(ScaleBenchConfig, config_file, assignments, **given)
    result = run_bench(config, out)
    if page is not None:
        write_text(page, page_of(result))
    show(as_json, "Scale", result if as_json else _tables(result))


def _tables(result: dict[str, Any]) -> dict[str, Any]:
    """Return the measured figures and the hours of each plan."""
    workers = {
        number: {name: value for name, value in found.items() if name != "steps"}
        for number, found in result["workers"].items()
    }
    plans = {
        f"{row['capture']}; {row['workers']} workers, {row['with_gpu']} with GPU"
        + (f" (x{row['gpu_speed']:g})" if row["gpu_speed"] else "")
        + f", storage {row['storage_gb_s']:g} GB/s": f"{row['hours']:.1f} h, {row['limit']}"
        for row in result["plans"]
    }
    rest = {name: value for name, value in result.items() if name not in ("workers", "plans")}
    return {"workers": workers, "plans": plans, **rest}
