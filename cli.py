"""The command line: one thin function per command, heavy imports inside it."""

import json
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from . import __version__
from .core.errors import FacekitError

Command = TypeVar("Command", bound=Callable[..., Any])
Config = TypeVar("Config")

RIG_FORMATS = ("colmap-text", "colmap-binary", "opencv", "metashape", "realitycapture",
               "transforms", "facescape")  # fmt: skip
IN_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
IN_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)
IN_PATH = click.Path(path_type=Path, exists=True)
OUT_PATH = click.Path(path_type=Path)


class SentenceOnError(click.Group):
    """A group whose errors become one sentence on stderr and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; the one place that maps errors to exit codes."""
        try:
            return super().invoke(ctx)
        except FacekitError as error:
            self._say(ctx, str(error), error.exit_code)
        except OSError as error:
            self._say(ctx, f"{error.filename or 'file system'}: {error.strerror or error}", 2)
        except MemoryError:
            self._say(ctx, "out of memory: ask for fewer megapixels", 1)
        except click.ClickException as error:
            self._say(ctx, error.format_message().replace("\n", " "), error.exit_code)
        except (click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            text = f"{type(error).__name__}: {error}".splitlines()[0]
            self._say(ctx, f"a fault in facekit itself ({text}); run with --debug for details", 1)

    @staticmethod
    def _say(ctx: click.Context, sentence: str, exit_code: int) -> None:
        if ctx.params.get("debug"):
            traceback.print_exc()
        click.echo(f"facekit: {sentence}", err=True)
        sys.exit(exit_code)


@click.group(cls=SentenceOnError, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="facekit")
@click.option("--verbose", is_flag=True, help="Tell more while working.")
@click.option("--debug", is_flag=True, help="Show where an error came from.")
def main(verbose: bool, debug: bool) -> None:
    """Multi-view face capture, ground truth, reconstruction and benchmarks.

    The way through: ingest -> calibrate -> build-dataset -> report. `facekit demo` walks it
    once on a virtual rig whose truth is known.
    """
    from .core.console import install_log_handler

    install_log_handler(verbose=verbose or debug)


def json_option(command: Command) -> Command:
    """Give a command `--json`: its result as one JSON object on stdout."""
    option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
    return option(command)


def config_options(command: Command) -> Command:
    """Give a command `--config FILE` and `--set key=value` for the settings without an option."""
    command = click.option(
        "--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Any setting by its name."
    )(command)
    return click.option("--config", "config_file", type=IN_FILE, help="Settings as YAML.")(command)


def settings(
    config_type: type[Config], config_file: Path | None, assignments: Sequence[str], **given: Any
) -> Config:
    """Return a stage's config: its file, then the options given, then `--set`."""
    from .core.config import from_mapping, load_yaml, with_overrides

    values = {} if config_file is None else load_yaml(config_file)
    values |= {key: value for key, value in given.items() if value is not None}
    where = "options" if config_file is None else str(config_file)
    return with_overrides(from_mapping(config_type, values, where=where), assignments)


def print_json(result: Any) -> None:
    """Print a result for scripts."""
    click.echo(json.dumps(result, indent=1, allow_nan=False, default=_plain))


def _plain(value: Any) -> Any:
    """Return what `json` can write of a numpy number or a path."""
    return value.item() if hasattr(value, "item") else str(value)


def _show(as_json: bool, title: str, result: dict[str, Any]) -> None:
    if as_json:
        print_json(result)
    else:
        _show_figures(title, result)


@main.command()
@click.option("--out", type=OUT_PATH, default=Path("outputs/demo"), show_default=True)
@click.option("--seed", type=int, default=0, show_default=True, help="Another person, rig, noise.")
@click.option("--head", default="procedural", show_default=True,
              help="`procedural`, or the file of an ICT face model (.npz).")  # fmt: skip
@click.option("--layout", default="nine", show_default=True, help="Rig layout: a name or a YAML.")
@click.option("--megapixels", type=click.FloatRange(0.2, 45), default=1.5, show_default=True,
              help="Size of the face photographs.")  # fmt: skip
@click.option("--board-megapixels", type=click.FloatRange(0.5, 45), default=6.0,
              show_default=True, help="Size of the board photographs.")  # fmt: skip
@json_option
def demo(
    out: Path, seed: int, head: str, layout: str, megapixels: float, board_megapixels: float,
    as_json: bool,
) -> None:  # fmt: skip
    """Capture a virtual head, calibrate, build its mesh, measure all of it against the truth."""
    from .benchmarks.demo import DemoConfig, run_demo

    config = DemoConfig(
        seed=seed,
        head=head,
        layout=layout,
        megapixels=megapixels,
        board_megapixels=board_megapixels,
    )
    result = run_demo(config, out)
    _show(as_json, "Demo against its truth", result)
    if not as_json:
        click.echo(f"report: {result['report']}")


@main.command()
@click.option("--out", type=OUT_PATH, required=True, help="Folder of the session to make.")
@click.option("--seed", type=int, help="Another person, skin, rig, light and noise.")
@click.option("--head", help="`procedural`, or the file of an ICT face model (.npz).")
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
    from .capture.virtual.studio import StudioConfig, make_session

    given["expressions"] = given["expressions"] or None
    config = settings(StudioConfig, config_file, assignments, **given)
    session = make_session(config, out)
    result = {"session": str(out), "cameras": len(session.cameras), "takes": len(session.takes)}
    _show(as_json, "Virtual session", {"studio": result} if not as_json else result)


@main.command()
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
    from .capture.boards import parse_board
    from .capture.ingest import IngestConfig
    from .capture.ingest import ingest as take_in

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


@main.command()
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
    from .capture.quality import check_quality
    from .capture.session import load_session

    loaded = load_session(session)
    result = check_quality(loaded)
    if color:
        from .capture.color import calibrate_color, save_color

        result["color"] = str(save_color(session, calibrate_color(loaded)))
    if rig_file is not None:
        from .calibration.check import check_session
        from .calibration.rigfile import load_rig

        folder = out or rig_file.parent / "check"
        result["stability"] = check_session(loaded, load_rig(rig_file), out=folder, repair=repair)
    if as_json:
        print_json(result)
        return
    from .core.console import show_table

    rows = [(t["id"], t["kind"], t["verdict"], "\n".join(t["remarks"])) for t in result["takes"]]
    show_table("Photographs", ["take", "kind", "verdict", "remarks"], rows)
    if rig_file is not None:
        found = result["stability"]["takes"]
        show_table(
            "Cameras against their calibration",
            ["take", "verdict", "remarks"],
            [(take, t["verdict"], "\n".join(t["sentences"])) for take, t in found.items()],
        )


@main.command()
@click.argument("file", type=OUT_PATH)
@json_option
def consent(file: Path, as_json: bool) -> None:
    """Write an empty consent form, to be filled in and given to `ingest --subject`."""
    from .capture.sidecar import write_consent_template

    write_consent_template(file)
    if as_json:
        print_json({"file": str(file)})
    else:
        click.echo(f"{file}: fill it in, then: facekit ingest ... --subject {file}")


@main.command()
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
    from .capture.boards import parse_board
    from .capture.targets import describe, write_target

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


@main.command()
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

    from .capture.session import load_session

    if without_board and board is not None:
        raise click.UsageError("--board and --self exclude each other")
    if rig_file is not None and not without_board:
        raise click.UsageError("--from goes with --self")
    loaded = load_session(session)
    if rig_file is not None:
        from .calibration.refine import refine
        from .calibration.rigfile import load_rig

        result = refine(loaded, load_rig(rig_file), out)
    elif without_board:
        from .calibration.selfcal import SelfCalibrateConfig, self_calibrate

        config = settings(SelfCalibrateConfig, config_file, assignments, scale_bar=scale_bar)
        result = self_calibrate(loaded, out, config)
    else:
        from .calibration.calibrate import CalibrateConfig
        from .calibration.calibrate import calibrate as calibrate_rig
        from .capture.boards import parse_board

        if board is not None:
            loaded = replace(loaded, board=parse_board(board))
        bars = None if scale_bar is None else scale_bar.split(",")
        board_config = settings(CalibrateConfig, config_file, assignments, scale_bars=bars)
        result = calibrate_rig(loaded, out, board_config)
    _show(as_json, "Calibration", result)


@main.command("build-dataset")
@click.argument("session", type=IN_FOLDER)
@click.option("--rig", "rig_file", type=IN_PATH, required=True, help="rig.json, or its folder.")
@click.option("--out", type=OUT_PATH, default=Path("build"), show_default=True)
@click.option("--take", "takes", multiple=True, help="Only this take; again for more.")
@click.option(
    "--megapixels", type=click.FloatRange(0.05, 60), help="Image size that stereo works at."
)
@config_options
@json_option
def build_dataset(
    session: Path,
    rig_file: Path,
    out: Path,
    takes: Sequence[str],
    megapixels: float | None,
    config_file: Path | None,
    assignments: Sequence[str],
    as_json: bool,
) -> None:
    """Make a dense mesh of every take of the subject; what is finished is kept."""
    from .calibration.rigfile import load_rig
    from .capture.session import load_session
    from .dataset.build import BuildConfig
    from .dataset.build import build_dataset as build

    config = settings(BuildConfig, config_file, assignments, megapixels=megapixels)
    result = build(load_session(session), load_rig(rig_file), out, config, takes=takes or None)
    _show(as_json, "Ground truth", result)
    for take, reason in result["failed"].items():
        click.echo(f"facekit: take {take}: {reason}", err=True)
    if result["failed"]:
        sys.exit(3)


@main.command()
@click.argument("session", type=IN_FOLDER)
@click.option(
    "--calibration",
    type=IN_FOLDER,
    help="Folder with rig.json  [default: calibration beside the session]",
)
@click.option(
    "--build", type=IN_FOLDER, help="Folder of `build-dataset`  [default: build beside the session]"
)
@click.option("--out", type=OUT_PATH, default=Path("report.html"), show_default=True)
@json_option
def report(
    session: Path, calibration: Path | None, build: Path | None, out: Path, as_json: bool
) -> None:
    """Write one self-contained HTML page over everything made of a session."""
    from .benchmarks.session_report import write_report

    beside = session.resolve().parent
    page = write_report(
        session,
        calibration_folder=calibration or _if_there(beside / "calibration"),
        build_folder=build or _if_there(beside / "build"),
        out=out,
    )
    if as_json:
        print_json({"report": str(page)})
    else:
        click.echo(f"report: {page}")


def _if_there(folder: Path) -> Path | None:
    return folder if folder.is_dir() else None


@main.command("export-rig")
@click.argument("rig_file", type=IN_PATH, metavar="RIG")
@click.option("--format", "rig_format", type=click.Choice(RIG_FORMATS), required=True)
@click.option("--out", type=OUT_PATH, required=True, help="File, or folder for COLMAP and XMP.")
@json_option
def export_rig(rig_file: Path, rig_format: str, out: Path, as_json: bool) -> None:
    """Write rig.json in the form of another program."""
    from .calibration.interchange.interop import RigFormat
    from .calibration.interchange.interop import export_rig as export
    from .calibration.rigfile import load_rig

    rig = load_rig(rig_file)
    export(rig, out, RigFormat(rig_format))
    _show(as_json, "Exported", {"out": str(out), "format": rig_format, "cameras": len(rig)})


@main.command("import-rig")
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
    from .calibration.interchange.interop import RigFormat
    from .calibration.interchange.interop import import_rig as read
    from .calibration.rigfile import save_rig

    rig = read(source, None if rig_format is None else RigFormat(rig_format), unit_mm=unit_mm)
    save_rig(out, rig, provenance={"imported_from": source.name})
    result = {"rig": str(out), "cameras": list(rig.names), "metric": rig.metric}
    _show(as_json, "Imported", result)


@main.group()
def bench() -> None:
    """Measure facekit against known truth, beside other programs on the same data."""


@bench.command("calibration")
@click.option("--out", type=OUT_PATH, default=Path("outputs/bench/calibration"), show_default=True,
              help="Keeps what was found, so that a second run goes on.")  # fmt: skip
@click.option("--seed", type=int, help="Another rig, other poses, other noise.")
@click.option("--layout", help="Rig layout: a name or a YAML file.")
@click.option("--width", "width_px", type=click.IntRange(512, 12000),
              help="Of the photographs, px; 8192 is 45 megapixels.")  # fmt: skip
@config_options
@json_option
def bench_calibration(
    out: Path, config_file: Path | None, assignments: Sequence[str], as_json: bool, **given: Any
) -> None:
    """Calibrate a virtual rig at 45 megapixels, with faults, and knock its cameras."""
    from .benchmarks.calibration_bench import CalibrationBenchConfig
    from .benchmarks.calibration_bench import bench_calibration as run_bench

    config = settings(CalibrationBenchConfig, config_file, assignments, **given)
    _show(as_json, "Calibration against its truth", run_bench(config, out))


@bench.command("stereo")
@click.option("--out", type=OUT_PATH, default=Path("outputs/bench/stereo"), show_default=True,
              help="Keeps the photographs, so that a second run goes on.")  # fmt: skip
@click.option("--scene", help="A seed of the virtual studio, or the folder of a stereo scene.")
@click.option("--layout", help="Rig layout of a seed: a name or a YAML file.")
@click.option("--subject", help="Head of a seed: builtin, ict, or the file of an ICT face model.")
@click.option("--megapixels", multiple=True, help="A size to reconstruct at; again for more.")
@config_options
@json_option
def bench_stereo(
    out: Path, config_file: Path | None, assignments: Sequence[str], as_json: bool, **given: Any
) -> None:
    """Build a mesh of known truth at 1.5 and 6 megapixels; accuracy, relief, cost."""
    from .benchmarks.stereo_bench import bench_stereo as run_bench
    from .benchmarks.stereo_bench_config import StereoBenchConfig

    given["megapixels"] = given["megapixels"] or None
    config = settings(StereoBenchConfig, config_file, assignments, **given)
    _show(as_json, "Stereo against its truth", run_bench(config, out))


@main.command()
@json_option
def doctor(as_json: bool) -> None:
    """Say what this machine has, and the command for what is missing."""
    import dataclasses

    from .core.doctor import examine

    findings = examine()
    if as_json:
        print_json([dataclasses.asdict(finding) for finding in findings])
    else:
        from .core.console import show_table

        marks = {True: "ok", False: "-"}
        show_table(
            "facekit doctor",
            ["what", "", "detail"],
            [(f.name, marks[f.ok], f.detail) for f in findings],
        )
        for finding in findings:
            if not finding.ok:
                kind = "missing" if finding.needed else "optional"
                click.echo(f"{kind}: {finding.name}: {finding.fix}")
    if not all(finding.ok for finding in findings if finding.needed):
        sys.exit(4)


def _show_figures(title: str, result: dict[str, Any]) -> None:
    """Print single figures as one table, and what is told of many things as a table each."""
    from .core.console import show_table

    rows: list[tuple[str, str]] = []
    for group, value in result.items():
        entries = list(value.values()) if isinstance(value, dict) else []
        if entries and all(isinstance(entry, dict) for entry in entries):
            _show_many(group, value)
        elif isinstance(value, dict):
            rows += [(f"{group}.{key}", _cell(v)) for key, v in value.items() if _is_cell(v)]
        elif isinstance(value, (list, tuple)):
            rows += [(group, str(entry)) for entry in value if isinstance(entry, str)]
        elif _is_cell(value):
            rows.append((group, _cell(value)))
    show_table(title, ["figure", "value"], rows)


def _show_many(title: str, things: dict[str, dict[str, Any]]) -> None:
    """Print the figures of many things as a table, the longer side downwards."""
    from .core.console import show_table

    keys = sorted({key for thing in things.values() for key, v in thing.items() if _is_cell(v)})
    if len(things) >= len(keys):
        rows = [(name, *(_cell(t.get(key, "")) for key in keys)) for name, t in things.items()]
        show_table(title, ["", *keys], rows)
    else:
        rows = [(key, *(_cell(t.get(key, "")) for t in things.values())) for key in keys]
        show_table(title, ["", *things], rows)


def _is_cell(value: Any) -> bool:
    return isinstance(value, (int, float, str, bool)) or hasattr(value, "item")


def _cell(value: Any) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)
