"""The command that holds rig plans against what came of them: bench plan."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from ..core.commandline import OUT_PATH, config_options, json_option, settings, show

_TITLES = {"sigma": "sigma_mm", "pixel": "gsd_mm", "seen by two": "seen_by_two"}


@click.command("plan")
@click.option("--out", type=OUT_PATH, default=Path("outputs/bench/plan"), show_default=True,
              help="Keeps photographs and meshes, so that a second run goes on.")  # fmt: skip
@click.option("--layout", "layouts", multiple=True,
              help="A layout's name or YAML file; again for more  [default: six]")  # fmt: skip
@click.option("--seed", type=int, help="Another person, other cameras, other noise.")
@click.option("--head", help="Face model of the person: procedural, a registered one, or its file.")
@config_options
@json_option
def bench_plan(
    out: Path, config_file: Path | None, assignments: Sequence[str], as_json: bool, **given: Any
) -> None:
    """Plan virtual rigs, photograph a head with them, and hold the plan against the mesh."""
    from .plan_bench import PlanBenchConfig
    from .plan_bench import bench_plan as run_bench

    given["layouts"] = given["layouts"] or None
    config = settings(PlanBenchConfig, config_file, assignments, **given)
    result = run_bench(config, out)
    show(as_json, "Rig plans against what came of them", result if as_json else _tables(result))


def _tables(result: dict[str, Any]) -> dict[str, Any]:
    """Return planned over measured, a layout a column, and the single figures."""
    tables = {
        f"{title}, planned / measured": {
            name: {
                region: round(figures[figure]["ratio"], 2)
                for region, figures in regions.items()
                if figure in figures
            }
            for name, regions in result["layouts"].items()
        }
        for title, figure in _TITLES.items()
    }
    rest = {name: value for name, value in result.items() if name != "layouts"}
    return {**tables, **rest}
