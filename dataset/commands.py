"""The command that makes ground truth: build-dataset."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from ..core.commandline import (
    IN_PATH,
    OUT_PATH,
    config_options,
    hold,
    json_option,
    settings,
    show,
)

_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)
"""Not held open as other folders are: there may be thousands."""


@click.command("build-dataset")
@click.argument("sessions", type=_FOLDER, nargs=-1, required=True)
@click.option(
    "--rig",
    "rig_file",
    type=IN_PATH,
    help="rig.json, or its folder; otherwise each session's own: calibration/ in or beside it.",
)
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
    "--scheduler",
    metavar="FILE|ADDRESS",
    help="Let the workers of `facekit cluster` do it: its scheduler file, or tls://host:port.",
)
@click.option(
    "--shard",
    metavar="I/N",
    help="Only this part of the meshes, counted from 1; the last part also registers and bakes. "
    "Of several sessions: this part of the sessions.",
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
    sessions: Sequence[Path],
    rig_file: Path | None,
    out: Path,
    takes: Sequence[str],
    jobs: int,
    scheduler: str | None,
    shard: str | None,
    config_file: Path | None,
    assignments: Sequence[str],
    as_json: bool,
    **given: Any,
) -> None:
    """Make a mesh of every take, lay a face model on them all and bake its maps; resumable.

    A session is one person's. Of several sessions each gets a folder of its own in --out.
    """
    from ..calibration.rigfile import load_rig
    from ..capture.session import load_session
    from ..core.jobs.job import Where
    from .groundtruth import GroundTruthConfig, Shard, build_ground_truth
    from .manysessions import Source, build_sessions, rig_beside

    config = settings(GroundTruthConfig, config_file, assignments, **given)
    part = None if shard is None else Shard.parse(shard)
    if len(sessions) == 1:
        hold(click.get_current_context(), sessions[0])
        rig_file = rig_beside(sessions[0]) if rig_file is None else rig_file
        result = build_ground_truth(
            load_session(sessions[0]), load_rig(rig_file), out, config,
            takes=takes or None, jobs=jobs, shard=part, rig_file=rig_file, scheduler=scheduler,
        )  # fmt: skip
    elif takes:
        raise click.UsageError("--take: takes of one session can be chosen, not of several")
    else:
        result = build_sessions(
            [Source(session=one, rig=rig_file) for one in sessions], out, config,
            Where(jobs=jobs, scheduler=scheduler), shard=part,
        )  # fmt: skip
    show(as_json, "Ground truth", result)
    kind = "take" if len(sessions) == 1 else "capture"
    for name, reason in result["failed"].items():
        click.echo(f"facekit: {kind} {name}: {reason}", err=True)
    if result["failed"]:
        sys.exit(3)
