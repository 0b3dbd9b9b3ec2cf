"""Commands about the rig: calibrate, check, export-rig, import-rig."""

from collections.abc import Sequence
from pathlib import Path

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

RIG_FORMATS = ("colmap-text", "colmap-binary", "opencv", "metashape", "realitycapture",
               "transforms", "facescape")  # fmt: skip


@click.command()
@click.argument("session", type=IN_FOLDER)
@click.option("--out", type=OUT_PATH, default=Path("calibration"), show_default=True)
@click.option(
    "--self",
    "without_board",
    is_flag=True,
    help="No board: find the cameras from the subject's photographs.",
)
@click.option(
    "--scale-bar",
    help="A bar with two markers, DICT_5X5_250:240-241=180.02: checks the size, with --self "
    "gives it; or with --self a known distance of two cameras, A,B=MM.",
)
@click.option("--board", help="The board, where the session does not name it (see `target`).")
@click.option(
    "--from", "rig_file", type=IN_FILE,
    help="With --self: a calibration that has drifted, to be refined by the subject.",
)  # fmt: skip
@config_options
@json_option
def calibrate(
    session: Path,
    out: Path,
    without_board: bool,
    rig_file: Path | None,
    scale_bar: str | None,
    board: str | None,
    config_file: Path | None,
    assignments: Sequence[str],
    as_json: bool,
) -> None:
    """Find the cameras: from takes of a board, or with --self from the subject itself."""
    from dataclasses import replace

    from ..capture.session import load_session

    if without_board and board is not None:
        raise click.UsageError("--board and --self exclude each other")
    if rig_file is not None and not without_board:
        raise click.UsageError("--from goes with --self")
    loaded = load_session(session)
    if rig_file is not None:
        from .refine import refine
        from .rigfile import load_rig

        result = refine(loaded, load_rig(rig_file), out)
    elif without_board:
        from .selfcal import SelfCalibrateConfig, self_calibrate

        config = settings(SelfCalibrateConfig, config_file, assignments, scale_bar=scale_bar)
        result = self_calibrate(loaded, out, config)
    else:
        from ..capture.boards import parse_board
        from .calibrate import CalibrateConfig
        from .calibrate import calibrate as calibrate_rig

        if board is not None:
            loaded = replace(loaded, board=parse_board(board))
        bars = None if scale_bar is None else scale_bar.split(",")
        board_config = settings(CalibrateConfig, config_file, assignments, scale_bars=bars)
        result = calibrate_rig(loaded, out, board_config)
    show(as_json, "Calibration", result)


@click.command()
@click.argument("session", type=IN_FOLDER)
@click.option("--color", is_flag=True, help="Also correct the cameras' colours by a chart take.")
@click.option(
    "--rig", "rig_file", type=IN_FILE, help="Also compare every take with this calibration."
)
@click.option(
    "--out", type=OUT_PATH, help="Folder of the comparison; `check` beside the rig if absent."
)
@click.option("--repair/--no-repair", default=True, show_default=True,
              help="With --rig: write a repaired rig for takes whose cameras moved.")  # fmt: skip
@json_option
def check(
    session: Path, color: bool, rig_file: Path | None, out: Path | None, repair: bool, as_json: bool
) -> None:
    """Judge the photographs: sharpness, light, clipping, odd ones; a verdict for every take.

    With --rig also judge whether the cameras still stand where they were calibrated.
    """
    from ..capture.quality import check_quality
    from ..capture.session import load_session

    loaded = load_session(session)
    result = check_quality(loaded)
    if color:
        from ..capture.color import calibrate_color, save_color

        result["color"] = str(save_color(session, calibrate_color(loaded)))
    if rig_file is not None:
        from .check import check_session
        from .rigfile import load_rig

        folder = out or rig_file.parent / "check"
        result["stability"] = check_session(loaded, load_rig(rig_file), out=folder, repair=repair)
    if as_json:
        print_json(result)
        return
    from ..core.console import show_table

    rows = [(t["id"], t["kind"], t["verdict"], "\n".join(t["remarks"])) for t in result["takes"]]
    show_table("Photographs", ["take", "kind", "verdict", "remarks"], rows)
    if rig_file is not None:
        found = result["stability"]["takes"]
        show_table(
            "Cameras against their calibration",
            ["take", "verdict", "remarks"],
            [(take, t["verdict"], "\n".join(t["sentences"])) for take, t in found.items()],
        )


@click.command("export-rig")
@click.argument("rig_file", type=IN_PATH, metavar="RIG")
@click.option("--format", "rig_format", type=click.Choice(RIG_FORMATS), required=True)
@click.option("--out", type=OUT_PATH, required=True, help="File, or folder for COLMAP and XMP.")
@json_option
def export_rig(rig_file: Path, rig_format: str, out: Path, as_json: bool) -> None:
    """Write rig.json in the form of another program."""
    from .interchange.interop import RigFormat
    from .interchange.interop import export_rig as export
    from .rigfile import load_rig

    rig = load_rig(rig_file)
    export(rig, out, RigFormat(rig_format))
    show(as_json, "Exported", {"out": str(out), "format": rig_format, "cameras": len(rig)})


@click.command("import-rig")
@click.argument("source", type=IN_PATH)
@click.option(
    "--format", "rig_format", type=click.Choice(RIG_FORMATS), help="Told by the content if absent."
)
@click.option(
    "--unit-mm",
    type=click.FloatRange(0, min_open=True),
    help="Length of the file's unit, where it does not say.",
)
@click.option("--out", type=OUT_PATH, default=Path("rig.json"), show_default=True)
@json_option
def import_rig(
    source: Path, rig_format: str | None, unit_mm: float | None, out: Path, as_json: bool
) -> None:
    """Read a rig of another program and write it as rig.json."""
    from .interchange.interop import RigFormat
    from .interchange.interop import import_rig as read
    from .rigfile import save_rig

    rig = read(source, None if rig_format is None else RigFormat(rig_format), unit_mm=unit_mm)
    save_rig(out, rig, provenance={"imported_from": source.name})
    result = {"rig": str(out), "cameras": list(rig.names), "metric": rig.metric}
    show(as_json, "Imported", result)
