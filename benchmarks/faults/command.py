"""The command that damages, kills and fills on purpose: bench faults."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from ...core.commandline import IN_FILE, OUT_PATH, config_options, json_option, settings, show


@click.command("faults")
@click.option("--out", type=OUT_PATH, default=Path("outputs/bench/faults"), show_default=True,
              help="For scratch files; inputs that failed stay there.")  # fmt: skip
@click.option("--full", is_flag=True, help="All that a release needs (hours), not a sample.")
@click.option("--gate", "gates", multiple=True, help="One gate; again for more  [default: all]")
@click.option("--seed", type=int, help="Other damage, other moments.")
@click.option("--again", type=IN_FILE, metavar="JSON",
              help="What an earlier run printed with --json: of gates with parts (readers, stages) "
              "only those that failed then are tried.")  # fmt: skip
@click.option("--page", type=IN_FILE, help="A Markdown page whose table of gates is written anew.")
@config_options
@json_option
def bench_faults(
    out: Path, full: bool, again: Path | None, page: Path | None, config_file: Path | None,
    assignments: Sequence[str], as_json: bool, **given: Any,
) -> None:  # fmt: skip
    """Damage files, kill stages, fill disks; every gate must hold, or the exit code tells."""
    from .gates import FaultsConfig, read_result, run_gates
    from .page import write_table

    given["gates"] = given["gates"] or None
    config = settings(FaultsConfig, config_file, assignments, full=full or None, **given)
    after = None if page is None else partial(write_table, page)
    if after is not None:
        after({})  # a page that cannot take the table is told now, not after hours
    earlier = None if again is None else read_result(again)
    result = run_gates(config, out, after=after, earlier=earlier)
    show(as_json, "Faults on purpose", result if as_json else _tables(result))
    if not result["passed"]:
        click.get_current_context().exit(1)


def _tables(result: dict[str, Any]) -> dict[str, Any]:
    """Return the gates side by side, and what failed in words."""
    shown = ("passed", "cases", "failed", "seconds", "worst_seconds", "worst_megabytes")
    gates = {name: one for name, one in result.items() if isinstance(one, dict)}
    sentences = [f"{name}: {text}" for name, one in gates.items() for text in _told(one)]
    return {
        "gates": {name: {key: one.get(key) for key in shown} for name, one in gates.items()},
        "passed": result["passed"],
        "failures": sentences,
    }


def _told(gate: dict[str, Any]) -> list[str]:
    return [*gate.get("failures", []), *([gate["not_run"]] if "not_run" in gate else [])]
