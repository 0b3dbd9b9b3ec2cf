"""The command that scores predictions on published benchmarks: eval."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from ...core.commandline import ANY_PATH, OUT_PATH, json_option
from ...core.errors import ConfigError
from .registry import NAMES


@click.command("eval")
@click.option("--benchmark", metavar="NAME", help=f"One of {', '.join(NAMES)}.")
@click.option("--all", "everything", is_flag=True,
              help="Every benchmark whose data are there; a folder of its name each.")  # fmt: skip
@click.option("--data", type=ANY_PATH, metavar="DIR",
              help="The benchmark's data  [default: as registered by `assets add`]")  # fmt: skip
@click.option("--predictions", type=ANY_PATH, metavar="DIR",
              help="Meshes to score, in the benchmark's own layout.")  # fmt: skip
@click.option("--method", "methods", multiple=True, metavar="NAME",
              help="Reconstruct first: hrn, fit, mv-hrn; several, or `a,b`: compared.")  # fmt: skip
@click.option("--reconstruct", "reconstruct", multiple=True, metavar="KEY=VALUE",
              help="With --method: a setting of `facekit reconstruct`, as model=bfm.")  # fmt: skip
@click.option("--out", type=OUT_PATH, default=Path("evaluation"), show_default=True,
              help="Keeps every score, so that a second run goes on.")  # fmt: skip
@click.option("--jobs", type=click.IntRange(1, 256), default=1, show_default=True,
              help="Processes that score.")  # fmt: skip
@click.option("--fixed", is_flag=True, help="Also without the official code's oddities, beside.")
@click.option("--official-missing", is_flag=True,
              help="Be silent about missing predictions, as the official code is.")  # fmt: skip
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE",
              help="A setting of the benchmark; see docs/evaluation.md.")  # fmt: skip
@json_option
def evaluate(
    benchmark: str | None,
    everything: bool,
    methods: Sequence[str],
    reconstruct: Sequence[str],
    assignments: Sequence[str],
    fixed: bool,
    official_missing: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Score predicted faces as published benchmarks' official code does; resumable.

    Writes the official text files, scores.json, tables beside published results, cumulative
    curves and a page with the errors on the surfaces. A prediction that is missing or cannot be
    scored is told, and the others go on; exit code 3 where not one could be scored.
    """
    from .evaluate import EvaluationTask
    from .evaluate import evaluate as run_evaluation
    from .everything import evaluate_all, evaluate_methods
    from .protocol import Options
    from .shown import show_result

    if everything == (benchmark is not None):
        raise ConfigError("give --benchmark NAME, or --all")
    chosen = [name.strip() for word in methods for name in word.split(",") if name.strip()]
    if reconstruct and not chosen:
        raise ConfigError("--reconstruct goes with --method")
    options = Options(
        fixed=fixed, official_missing=official_missing, settings=_pairs(assignments, "--set")
    )
    task = EvaluationTask(
        benchmark=benchmark or "",
        method=chosen[0] if len(chosen) == 1 else None,
        reconstruct=_values(reconstruct),
        options=options,
        **given,
    )
    if everything:
        if len(chosen) > 1:
            raise ConfigError("--all takes one --method; compare methods benchmark by benchmark")
        result = evaluate_all(task)
        show_result(as_json, result, list(result["benchmarks"].values()), result["left_out"])
    elif len(chosen) > 1:
        result = evaluate_methods(task, chosen)
        show_result(as_json, result, list(result["methods"].values()), result["failed"],
              table=result["table"])  # fmt: skip
    else:
        result = run_evaluation(task)
        show_result(as_json, result, [result], {})


def _pairs(assignments: Sequence[str], option: str) -> dict[str, str]:
    pairs = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"{option} {assignment}: expected key=value")
        pairs[key.strip()] = value.strip()
    return pairs


def _values(assignments: Sequence[str]) -> dict[str, Any]:
    """Return settings with values as YAML has them."""
    import yaml

    return {k: yaml.safe_load(v) for k, v in _pairs(assignments, "--reconstruct").items()}
