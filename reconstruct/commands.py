"""The command that turns photographs into faces: reconstruct."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from ..core.commandline import OUT_PATH, config_options, json_option, settings, show


@click.command()
@click.argument("photographs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", type=OUT_PATH, default=Path("reconstruction"), show_default=True)
@click.option("--fit", is_flag=True, default=None, help="Without any trained weights: optimise.")
@click.option("--model", help="Face model: builtin, a registered one (see `assets`), its file.")
@click.option("--checkpoint", metavar="FILE", help="HRN's weights  [default: the registered ones]")
@click.option("--deretouch", metavar="FILE", help="De-retouching weights, likewise.")
@click.option("--landmarks", metavar="TABLE",
              help="Points of the photographs (.csv, .json) in place of the detector.")  # fmt: skip
@click.option("--yunet", metavar="FILE", help="Face detector  [default: the registered one]")
@click.option("--facemesh", metavar="FILE", help="Landmark network, likewise.")
@click.option("--face", metavar="largest|N", help="Where there are several: 1 is the largest.")
@click.option("--focal-px", type=click.FloatRange(min=1), help="Focal length of the photographs.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), help="Of the networks.")
@click.option("--compat", is_flag=True, default=None,
              help="Compute as the released code of HRN does, quirks and all.")  # fmt: skip
@click.option("--turntable", type=click.Choice(["gif", "mp4", "none"]))
@config_options
@json_option
def reconstruct(
    photographs: Sequence[Path],
    out: Path,
    config_file: Path | None,
    assignments: Sequence[str],
    as_json: bool,
    **given: Any,
) -> None:
    """Reconstruct the face of each photograph, or of each in a folder; resumable.

    Meshes with UVs and texture, displacement and normal maps, a turntable, and an overlay to
    judge by. A photograph that cannot be done is told, and the others go on.
    """
    from .predict import ReconstructConfig, reconstruct_photographs

    config = settings(ReconstructConfig, config_file, assignments, **given)
    result = reconstruct_photographs(photographs, out, config)
    show(as_json, "Reconstruction", result)
    for name, figures in result["photographs"].items():
        for remark in figures["remarks"]:
            click.echo(f"facekit: {name}: {remark}", err=True)
    for name, reason in result["failed"].items():
        click.echo(f"facekit: {name}: {reason}", err=True)
    if result["failed"]:
        sys.exit(3)
