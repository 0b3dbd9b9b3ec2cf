"""The command that turns photographs into faces: reconstruct, of one view each or of several."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from ..core.commandline import (
    ANY_PATH,
    IN_PATH,
    OUT_PATH,
    config_options,
    json_option,
    settings,
    show,
)
from ..core.errors import ConfigError


@click.command()
@click.argument("photographs", nargs=-1, required=True, type=ANY_PATH)
@click.option("--multi-view", is_flag=True,
              help="All of a folder, or of a take of a session, show one face.")  # fmt: skip
@click.option("--rig", "rig_file", type=IN_PATH,
              help="With --multi-view: rig.json  [default: the session's own]")  # fmt: skip
@click.option("--take", "takes", multiple=True,
              help="With --multi-view: only this take of a session; again for more.")  # fmt: skip
@click.option("--expressions", type=click.Choice(["auto", "shared", "per-view"]),
              help="With --multi-view: auto shares one where all is of one moment.")  # fmt: skip
@click.option("--megapixels", type=click.FloatRange(0.01, 150),
              help="With --multi-view: of each view, spent on the head  [default: 1]")  # fmt: skip
@click.option("--out", type=OUT_PATH, default=Path("reconstruction"), show_default=True)
@click.option("--fit", is_flag=True, default=None, help="Without any trained weights: optimise.")
@click.option("--model", help="Face model: builtin, a registered one (see `assets`), its file.")
@click.option("--checkpoint", metavar="FILE|shipped",
              help="HRN's weights  [default: the registered, else the shipped]")  # fmt: skip
@click.option("--deretouch", metavar="FILE|shipped|none",
              help="De-retouching weights, likewise; with --fit none by default.")  # fmt: skip
@click.option("--landmarks", metavar="TABLE",
              help="Points of the photographs (.csv, .json) in place of the detector.")  # fmt: skip
@click.option("--yunet", metavar="FILE", help="Face detector  [default: the registered one]")
@click.option("--facemesh", metavar="FILE", help="Landmark network, likewise.")
@click.option("--mask", metavar="FILE|FOLDER", help="White is face; a folder: named as they are.")
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
    multi_view: bool,
    config_file: Path | None,
    assignments: Sequence[str],
    as_json: bool,
    **given: Any,
) -> None:
    """Reconstruct the face of each photograph, or of each in a folder; resumable.

    Meshes with UVs and texture, displacement and normal maps, a turntable, and an overlay to
    judge by. A photograph that cannot be done is told, and the others go on.

    With --multi-view one face is made of all photographs of a folder, or of each take of a
    session: one mesh, its maps, and a report.
    """
    rig_file, takes = given.pop("rig_file"), given.pop("takes")
    if multi_view:
        from .multiview_config import MultiViewRunConfig
        from .multiview_run import reconstruct_view_sets

        views = settings(MultiViewRunConfig, config_file, assignments, **given)
        result = reconstruct_view_sets(photographs, out, views, rig_file=rig_file, takes=takes)
        _show_faces(as_json, result)
    else:
        of_views = {name: given.pop(name) for name in ("expressions", "megapixels")}
        _refuse_options({"rig": rig_file, "take": takes, **of_views})
        from .predict import ReconstructConfig, reconstruct_photographs

        config = settings(ReconstructConfig, config_file, assignments, **given)
        result = reconstruct_photographs(photographs, out, config)
        show(as_json, "Reconstruction", result)
        _tell({name: entry["remarks"] for name, entry in result["photographs"].items()})
    _tell({name: [reason] for name, reason in result["failed"].items()})
    if result["failed"]:
        sys.exit(3)


def _refuse_options(of_views: Mapping[str, Any]) -> None:
    """Refuse options that only several views of one face have.

    Raises
    ------
    ConfigError
        One is given.
    """
    for name, value in of_views.items():
        if value:
            raise ConfigError(f"--{name} is for several views of one face: add --multi-view")


def _show_faces(as_json: bool, result: dict[str, Any]) -> None:
    """Print what came of several views: for scripts, or a table of each face's views."""
    if as_json:
        show(as_json, "", result)
    for name, entry in result["faces"].items():
        if not as_json:
            show(as_json, name, {k: v for k, v in entry.items() if k not in ("files", "fit")})
        remarks = list(entry["remarks"])
        remarks += [f"{k}: {v['remark']}" for k, v in entry["views"].items() if v["remark"]]
        remarks += [f"{k}: left out: {reason}" for k, reason in entry["left_out"].items()]
        _tell({name: remarks})


def _tell(sentences: Mapping[str, Sequence[str]]) -> None:
    """Print what is odd, beside the result."""
    for name, some in sentences.items():
        for sentence in some:
            click.echo(f"facekit: {name}: {sentence}", err=True)
