"""The command line: gathers the commands of every stage; heavy imports are inside them."""

import sys

import click

from . import __version__
from .benchmarks.commands import bench, demo, report
from .benchmarks.evaluation.commands import evaluate
from .benchmarks.view.commands import view
from .calibration.commands import calibrate, check, export_rig, import_rig
from .capture.commands import consent, ingest, studio, target
from .core.commandline import SentenceOnError, json_option, print_json
from .core.facemodel.commands import assets
from .core.jobs.commands import cluster, worker
from .dataset.commands import build_dataset
from .dataset.erase.commands import erase
from .dataset.export.commands import export, verify
from .dataset.plan.commands import rig
from .reconstruct.commands import reconstruct
from .reconstruct.train.commands import train


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


for command in (
    demo, studio, ingest, check, consent, target, calibrate, build_dataset, export, verify,
    erase, rig, cluster, worker, train, reconstruct, evaluate, report, view, export_rig,
    import_rig, assets, bench,
):  # fmt: skip
    main.add_command(command)
