"""The command that looks at a rig before it is built: rig plan."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from ...core.commandline import OUT_PATH, config_options, json_option, print_json, settings


@click.group()
def rig() -> None:
    """Think about a rig before it is built."""


@rig.command("plan")
@click.argument("layout")
@click.option("--out", type=OUT_PATH, help="Folder for plan.json and the picture plan.png.")
@click.option(
    "--megapixels", type=click.FloatRange(0.05, 60), help="Image size that stereo will work at."
)
@click.option("--head", help="Face model: builtin, a registered one (see `assets`), or its file.")
@click.option("--people", type=click.IntRange(0, 100), help="Drawn from it, beside its mean.")
@click.option("--aperture", type=click.FloatRange(0, 128), help="f-number; 0: everything is sharp.")
@click.option("--skin", type=click.Choice(["fair", "medium", "dark"]),
              help="Of those photographed.")  # fmt: skip
@click.option("--reflectance", type=click.FloatRange(0.01, 1),
              help="Luminance of their skin, instead; white has 1.")  # fmt: skip
@click.option("--exposure", type=click.FloatRange(0.01, 4),
              help="Brightness of a white sheet; 1 saturates.")  # fmt: skip
@click.option("--seed", type=int, help="Other people.")
@config_options
@json_option
def plan_command(
    layout: str, out: Path | None, config_file: Path | None, assignments: Sequence[str],
    as_json: bool, **given: Any,
) -> None:  # fmt: skip
    """Foretell coverage, ground sample distance and precision of LAYOUT, by part of the face.

    LAYOUT is a packaged layout (nine, seven, five, pair, sixteen, arc30) or a YAML file like them.
    """
    from .plan import run_plan
    from .planned import PlanConfig
    from .table import show_plan

    config = settings(PlanConfig, config_file, assignments, layout=layout, **given)
    record = run_plan(config, out)
    if as_json:
        print_json(record)
        return
    show_plan(record)
    for sentence in record["warnings"]:
        click.echo(f"- {sentence}")
    if not record["warnings"]:
        click.echo("Nothing wrong with this rig.")
    if out is not None:
        click.echo(f"picture: {out / record['picture']}")
