"""The command that makes ground truth: build-dataset."""

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
@click.option(
    "--model",
    help="Face model to lay on the meshes: builtin, a registered one (see `assets`), its file; "
    "none: meshes alone, for what is no face.",
)
@click.option(
    "--landmarks",
    help="auto: found by the registered detectors (assets yunet, facemesh) where they are; none: "
    "placed by shape; or a table of points (.csv, .json).",
)
@click.option(
    "--map-size",
    type=click.IntRange(8, 8192),
    help="Texels a side of displacement, normals, albedo.",
)
@click.option(
    "--jobs", type=click.IntRange(1), default=1, show_default=True, help="Takes at a time."
)
@click.option(
    "--shard",
    metavar="I/N",
    help="Only this part of the meshes, counted from 1; the last part also registers and bakes.",
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
    jobs: int,
    shard: str | None,
    config_file: Path | None,
    assignments: Sequence[str],
    as_json: bool,
    **given: Any,
) -> None:
    """Make a mesh of every take, lay a face model on them all and bake its maps; resumable."""
    from ..calibration.rigfile import load_rig
    from ..capture.session import load_session
    from .groundtruth import GroundTruthConfig, Shard, build_ground_truth

    config = settings(GroundTruthConfig, config_file, assignments, **given)
    part = None if shard is None else Shard.parse(shard)
    result = build_ground_truth(
        load_session(session), load_rig(rig_file), out, config,
        takes=takes or None, jobs=jobs, shard=part, rig_file=rig_file,
    )  # fmt: skip
    show(as_json, "Ground truth", result)
    for take, reason in result["failed"].items():
        click.echo(f"facekit: take {take}: {reason}", err=True)
    if result["failed"]:
        sys.exit(3)
