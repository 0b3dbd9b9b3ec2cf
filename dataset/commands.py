"""Commands that make ground truth: build-dataset."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from ..core.commandline import (
    IN_FOLDER,
    IN_PATH,
    OUT_PATH,
    config_options,
    json_option,
    settings,
    show,
)


@click.command("build-dataset")
@click.argument("session", type=IN_FOLDER)
@click.option("--rig", "rig_file", type=IN_PATH, required=True, help="rig.json, or its folder.")
@click.option("--out", type=OUT_PATH, default=Path("build"), show_default=True)
@click.option("--take", "takes", multiple=True, help="Only this take; again for more.")
@click.option(
    "--megapixels", type=click.FloatRange(0.05, 60), help="Image size that stereo works at."
)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), help="What stereo runs on.")
@click.option(
    "--stereo",
    type=click.Choice(["sweep", "colmap"]),
    help="colmap: its PatchMatch, for comparison; needs pycolmap with CUDA.",
)
@config_options
@json_option
def build_dataset(
    session: Path,
    rig_file: Path,
    out: Path,
    takes: Sequence[str],
    config_file: Path | None,
    assignments: Sequence[str],
    as_json: bool,
    **given: Any,
) -> None:
    """Make a dense mesh of every take of the subject; what is finished is kept."""
    from ..calibration.rigfile import load_rig
    from ..capture.session import load_session
    from .build import BuildConfig
    from .build import build_dataset as build

    config = settings(BuildConfig, config_file, assignments, **given)
    result = build(load_session(session), load_rig(rig_file), out, config, takes=takes or None)
    show(as_json, "Ground truth", result)
    for take, reason in result["failed"].items():
        click.echo(f"facekit: take {take}: {reason}", err=True)
    if result["failed"]:
        sys.exit(3)
