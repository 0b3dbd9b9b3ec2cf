"""Commands that measure and show: demo, report, bench."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from ..core.commandline import (
    IN_FOLDER,
    OUT_PATH,
    config_options,
    json_option,
    print_json,
    settings,
    show,
)
from .faults.command import bench_faults
from .perf.command import bench_scale
from .plan_bench_command import bench_plan


@click.command()
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
    from .demo import DemoConfig, run_demo

    config = DemoConfig(
        seed=seed,
        head=head,
        layout=layout,
        megapixels=megapixels,
        board_megapixels=board_megapixels,
    )
    result = run_demo(config, out)
    show(as_json, "Demo against its truth", result)
    if not as_json:
        click.echo(f"report: {result['report']}")


@click.command()
@click.argument("session", type=IN_FOLDER)
@click.option(
    "--calibration",
    type=IN_FOLDER,
    help="Folder with rig.json  [default: calibration beside the session]",
)
@click.option(
    "--build", type=IN_FOLDER, help="Folder of `build-dataset`  [default: build beside the session]"
)
@click.option("--compare", type=IN_FOLDER, metavar="OTHER_BUILD",
              help="Another build of the session, to be held against this one.")  # fmt: skip
@click.option("--out", type=OUT_PATH, default=Path("report.html"), show_default=True)
@json_option
def report(
    session: Path, calibration: Path | None, build: Path | None, compare: Path | None, out: Path,
    as_json: bool,
) -> None:  # fmt: skip
    """Write one self-contained HTML page over everything made of a session."""
    from .session_report import write_report

    beside = session.resolve().parent
    page = write_report(
        session,
        calibration_folder=calibration or _if_there(beside / "calibration"),
        build_folder=build or _if_there(beside / "build"),
        compare_folder=compare,
        out=out,
    )
    if as_json:
        print_json({"report": str(page)})
    else:
        click.echo(f"report: {page}")


def _if_there(folder: Path) -> Path | None:
    return folder if folder.is_dir() else None


@click.group()
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
    from .calibration_bench import CalibrationBenchConfig
    from .calibration_bench import bench_calibration as run_bench

    config = settings(CalibrationBenchConfig, config_file, assignments, **given)
    show(as_json, "Calibration against its truth", run_bench(config, out))


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
    from .stereo_bench import bench_stereo as run_bench
    from .stereo_bench_config import StereoBenchConfig
    from .stereo_bench_table import tables

    given["megapixels"] = given["megapixels"] or None
    config = settings(StereoBenchConfig, config_file, assignments, **given)
    result = run_bench(config, out)
    show(as_json, "Stereo against its truth", result if as_json else tables(result))


@bench.command("dataset")
@click.option("--out", type=OUT_PATH, default=Path("outputs/bench/dataset"), show_default=True,
              help="Keeps the photographs and scans, so that a second run goes on.")  # fmt: skip
@click.option("--subjects", type=click.IntRange(1, 1000), help="Virtual people, two takes each.")
@click.option("--seed", type=int, help="Other people, other expressions.")
@click.option("--megapixels", type=click.FloatRange(0.05, 60), help="Of the photographs.")
@config_options
@json_option
def bench_dataset(
    out: Path, config_file: Path | None, assignments: Sequence[str], as_json: bool, **given: Any
) -> None:
    """Register virtual people and bake their maps; errors, time, the HDF5 store."""
    from .dataset_bench import DatasetBenchConfig
    from .dataset_bench import bench_dataset as run_bench
    from .dataset_bench_table import tables

    config = settings(DatasetBenchConfig, config_file, assignments, **given)
    result = run_bench(config, out)
    show(as_json, "Dataset against its truth", result if as_json else tables(result))


@bench.command("raster")
@click.option("--out", type=OUT_PATH, default=Path("outputs/bench/raster"), show_default=True)
@click.option("--subject", help="Head: builtin, ict, or the file of an ICT face model.")
@config_options
@json_option
def bench_raster(
    out: Path, config_file: Path | None, assignments: Sequence[str], as_json: bool, **given: Any
) -> None:
    """Time the rasterisers beside Open3D's rays; measure how true an outline's gradient is."""
    from .raster_bench import RasterBenchConfig
    from .raster_bench import bench_raster as run_bench

    config = settings(RasterBenchConfig, config_file, assignments, **given)
    show(as_json, "Rasterisers", run_bench(config, out))


@bench.command("hrn")
@click.option("--out", type=OUT_PATH, default=Path("outputs/bench/hrn"), show_default=True)
@click.option("--subjects", type=click.IntRange(0, 1000),
              help="Virtual people, a photograph each; 0 leaves the fit out.")  # fmt: skip
@click.option("--seed", type=int, help="Other people, other weights.")
@config_options
@json_option
def bench_hrn(
    out: Path, config_file: Path | None, assignments: Sequence[str], as_json: bool, **given: Any
) -> None:
    """Time HRN's forward pass; fit single photographs of virtual people, against their truth."""
    from .hrn_bench import HrnBenchConfig
    from .hrn_bench import bench_hrn as run_bench

    config = settings(HrnBenchConfig, config_file, assignments, **given)
    show(as_json, "Single-view reconstruction", run_bench(config, out))


@bench.command("multiview")
@click.option("--out", type=OUT_PATH, default=Path("outputs/bench/multiview"), show_default=True,
              help="Keeps the photographs, so that a second run goes on.")  # fmt: skip
@click.option("--subjects", type=click.IntRange(1, 1000), help="Virtual people, nine views each.")
@click.option("--seed", type=int, help="Other people, other cameras, other noise.")
@config_options
@json_option
def bench_multiview(
    out: Path, config_file: Path | None, assignments: Sequence[str], as_json: bool, **given: Any
) -> None:
    """Reconstruct virtual people of nine, three and one views; errors, relief, cost, faults."""
    from .multiview_bench import MultiViewBenchConfig
    from .multiview_bench import bench_multiview as run_bench
    from .multiview_bench_table import tables

    config = settings(MultiViewBenchConfig, config_file, assignments, **given)
    result = run_bench(config, out)
    show(as_json, "Multi-view against its truth", result if as_json else tables(result))


@bench.command("learned")
@click.option("--out", type=OUT_PATH, default=Path("outputs/bench/learned"), show_default=True,
              help="Keeps the photographs, so that a second run goes on.")  # fmt: skip
@click.option("--subjects", type=click.IntRange(1, 1000), help="Virtual people, a photograph each.")
@click.option("--seed", type=int, help="Other people, other noise.")
@config_options
@json_option
def bench_learned(
    out: Path, config_file: Path | None, assignments: Sequence[str], as_json: bool, **given: Any
) -> None:
    """Reconstruct photographs of unseen virtual people by the weights that come with facekit."""
    from .learned_bench import LearnedBenchConfig
    from .learned_bench import bench_learned as run_bench
    from .learned_bench_table import tables

    config = settings(LearnedBenchConfig, config_file, assignments, **given)
    result = run_bench(config, out)
    show(as_json, "Trained weights against the truth", result if as_json else tables(result))


@bench.command("ablation")
@click.option("--out", type=OUT_PATH, default=Path("outputs/bench/ablation"), show_default=True,
              help="Keeps people and trainings, so that a second run goes on.")  # fmt: skip
@click.option("--seed", type=int, help="Other people, other trainings.")
@config_options
@json_option
def bench_ablation(
    out: Path, config_file: Path | None, assignments: Sequence[str], as_json: bool, **given: Any
) -> None:
    """Train the generators without each part of the method; measure all on unseen people."""
    from .ablation_bench import AblationBenchConfig, tables
    from .ablation_bench import bench_ablation as run_bench

    config = settings(AblationBenchConfig, config_file, assignments, **given)
    result = run_bench(config, out)
    show(as_json, "What each part is worth", result if as_json else tables(result))


@bench.command("eval")
@click.option("--fixtures", type=IN_FOLDER, metavar="DIR",
              help="Inputs with the official outcome  [default: ../shared/fixtures]")  # fmt: skip
@click.option("--out", type=OUT_PATH, default=Path("outputs/bench/eval"), show_default=True)
@click.option("--repeats", type=click.IntRange(1, 100), help="Runs of a case; the fastest counts.")
@config_options
@json_option
def bench_evaluators(
    fixtures: Path | None, out: Path, config_file: Path | None, assignments: Sequence[str],
    as_json: bool, **given: Any,
) -> None:  # fmt: skip
    """Run our evaluators beside the official ones' figures: parity, and CPU seconds a thread."""
    from .evaluators_bench import EvaluatorsBenchConfig
    from .evaluators_bench import bench_evaluators as run_bench
    from .evaluators_bench_table import tables

    config = settings(EvaluatorsBenchConfig, config_file, assignments, **given)
    result = run_bench(config, fixtures, out)
    show(as_json, "Evaluators against the official ones", result if as_json else tables(result))


for command in (bench_plan, bench_scale, bench_faults):
    bench.add_command(command)
