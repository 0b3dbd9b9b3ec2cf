"""Commands that bring photographs in: studio, ingest, consent, target."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from ..core.commandline import (
    IN_FILE,
    IN_FOLDER,
    IN_PATH,
    OUT_PATH,
    config_options,
    json_option,
    print_json,
    settings,
    show,
)


@click.command()
@click.option("--out", type=OUT_PATH, required=True, help="Folder of the session to make.")
@click.option("--seed", type=int, help="Another person, skin, rig, light and noise.")
@click.option(
    "--head", help="Face model: builtin, a registered one (see `assets`), or its file; ICT or ours."
)
@click.option("--layout", help="Rig layout: nine, five, pair, or a YAML file.")
@click.option("--megapixels", type=click.FloatRange(0.02, 60), help="Of the subject's photographs.")
@click.option("--board-megapixels", type=click.FloatRange(0.02, 60), help="Of the board's.")
@click.option(
    "--expression",
    "expressions",
    multiple=True,
    help="A take: `neutral` or modes such as `jawOpen=0.6`; again for more takes.",
)
@click.option("--board-poses", "n_board_poses", type=click.IntRange(0), help="0: no board takes.")
@click.option("--color-chart/--no-color-chart", default=None, help="A take of the colour chart.")
@click.option("--empty-plate/--no-empty-plate", default=None, help="A take of the empty studio.")
@click.option("--masks/--no-masks", default=None, help="Write masks of the subject.")
@click.option(
    "--aperture",
    type=click.FloatRange(0, min_open=True),
    help="f-number: blur what is out of focus.",
)
@config_options
@json_option
def studio(
    out: Path, config_file: Path | None, assignments: Sequence[str], as_json: bool, **given: Any
) -> None:
    """Photograph a virtual subject with a virtual rig: try a rig before buying it."""
    from .virtual.studio import StudioConfig, make_session

    given["expressions"] = given["expressions"] or None
    config = settings(StudioConfig, config_file, assignments, **given)
    session = make_session(config, out)
    result = {"session": str(out), "cameras": len(session.cameras), "takes": len(session.takes)}
    show(as_json, "Virtual session", {"studio": result} if not as_json else result)


@click.command()
@click.argument("source", type=IN_PATH)
@click.option("--out", type=OUT_PATH, required=True, help="Folder of the session.")
@click.option(
    "--layout",
    type=click.Choice(["auto", "folders", "takes", "flat", "moving"]),
    help="How cameras and takes lie in the source; moving: one camera went round.",
)
@click.option("--board", help="The calibration target (see `target`), or a file that tells it.")
@click.option(
    "--kind",
    type=click.Choice(["subject", "target", "color_chart", "empty"]),
    help="What all takes show.",
)
@click.option(
    "--kinds",
    multiple=True,
    metavar="PATTERN=KIND",
    help="What takes of these names show, such as `t0*=target`; again for more.",
)
@click.option("--camera", "cameras", multiple=True, help="A camera of the rig, or a pattern.")
@click.option("--masks", type=IN_FOLDER, help="Folder of masks, white where the subject is.")
@click.option("--order", type=IN_FILE, help="List of files in order round a still object.")
@click.option("--name", help="Name of the session.")
@click.option(
    "--subject",
    type=IN_FILE,
    help="The subject's consent form (see `consent`), kept apart and refused if void.",
)
@click.option(
    "--make-masks/--no-make-masks",
    default=None,
    help="Find masks from a take of the empty studio, or a plain backdrop.",
)
@config_options
@json_option
def ingest(
    source: Path,
    out: Path,
    board: str | None,
    config_file: Path | None,
    assignments: Sequence[str],
    as_json: bool,
    **given: Any,
) -> None:
    """Take photographs into a checked session: each decoded to its end, none changed."""
    from .boards import parse_board
    from .ingest import IngestConfig
    from .ingest import ingest as take_in

    given |= {key: given[key] or None for key in ("kinds", "cameras")}
    given["board"] = None if board is None else parse_board(board)
    result = take_in(source, out, settings(IngestConfig, config_file, assignments, **given))
    session = result.session
    flawed = {take.id: list(take.problems) for take in session.takes if take.problems}
    figures = {
        "session": str(out),
        "cameras": [camera.id for camera in session.cameras],
        "takes": {take.id: str(take.kind) for take in session.takes},
        "photographs": sum(len(take.shots) for take in session.takes),
        "copied": result.copied,
        "problems": flawed,
        "notes": list(session.notes),
        "refused": {refusal.file: refusal.reason for refusal in result.refused},
        "duplicates": dict(result.duplicates),
    }
    if as_json:
        print_json(figures)
    else:
        for take, problems in flawed.items():
            for problem in problems:
                click.echo(f"take {take} is incomplete: {problem}")
        for line in session.notes:
            click.echo(line)
    for refusal in result.refused:
        click.echo(f"facekit: {source / refusal.file}: {refusal.reason}", err=True)
    if not result.ok:
        sys.exit(2)


@click.command()
@click.argument("file", type=OUT_PATH)
@json_option
def consent(file: Path, as_json: bool) -> None:
    """Write an empty consent form, to be filled in and given to `ingest --subject`."""
    from .sidecar import write_consent_template

    write_consent_template(file)
    if as_json:
        print_json({"file": str(file)})
    else:
        click.echo(f"{file}: fill it in, then: facekit ingest ... --subject {file}")


@click.command()
@click.option(
    "--board",
    default="17x12:12:9:DICT_5X5_250",
    show_default=True,
    help="Squares across x down : square mm : marker mm : dictionary [:two-sided]; "
    "or aprilgrid:6x6:35:0.3 (tag mm : gap in tags), checkerboard:10x7:25, or a file.",
)
@click.option("--paper", help="A4, A3, A2, A1, A0, Letter, Tabloid; as large as need be if absent.")
@click.option(
    "--dpi", type=click.IntRange(72, 2400), default=600, show_default=True, help="Of a PNG."
)
@click.option(
    "--out",
    type=OUT_PATH,
    default=Path("target.pdf"),
    show_default=True,
    help="A .pdf (vector) or .png.",
)
@json_option
def target(board: str, paper: str | None, dpi: int, out: Path, as_json: bool) -> None:
    """Write a calibration board to print at 100 %, with rulers to check the print."""
    from .boards import parse_board
    from .targets import describe, write_target

    spec = parse_board(board)
    width, height = write_target(spec, out, paper=paper, dpi=dpi)
    back = out.with_name(f"{out.stem}-back{out.suffix}")
    files = [str(out)]
    if spec.back_first_id is not None and out.suffix.lower() != ".pdf":  # a PDF has two pages
        files.append(str(back))
    if as_json:
        print_json({"file": str(out), "files": files, "width_mm": width, "height_mm": height,
                    "board": board})  # fmt: skip
    else:
        click.echo(
            f"{' and '.join(files)}: {describe(spec)}, on a sheet of {width:g} x {height:g} mm"
        )
