"""The commands that make a cluster: cluster, worker."""

import asyncio
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from ..commandline import json_option, print_json

_FOLDER = Path(".facekit-cluster")


@click.command()
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=_FOLDER,
    show_default=True,
    help="For scheduler.json and the certificates; yours alone. On a disk that workers share.",
)
@click.option(
    "--workers",
    type=click.IntRange(0),
    default=1,
    show_default=True,
    help="Started on this machine; 0: others join by `facekit worker`.",
)
@click.option("--gpu", type=click.IntRange(0), default=0, help="Of these, how many get a GPU.")
@click.option("--memory", help="Of each of these workers, such as 16GB; all of it shared.")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen at; the network's, so that other machines can join.",
)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="0: one that is free.")
@json_option
def cluster(
    folder: Path, workers: int, gpu: int, memory: str | None, host: str, port: int, as_json: bool
) -> None:
    """Start a scheduler, encrypted and with certificates, and workers; Ctrl-C ends them.

    Whoever can read the folder can run programs on every machine that has joined, as you.
    """
    from .scheduler import SchedulerConfig, serve
    from .slurm import parse_memory

    if gpu > workers:
        raise click.UsageError("--gpu: at most as many as --workers")
    if memory is not None:
        parse_memory(memory)

    def ready(file: Path) -> None:
        _say(as_json, "scheduler", str(file))
        click.echo(
            f"facekit: listening; build with: facekit build-dataset SESSION... --scheduler {file}",
            err=True,
        )
        started.extend(_start(file, workers=workers, gpu=gpu, memory=memory))

    started: list[subprocess.Popen[bytes]] = []
    with _ended(started):
        asyncio.run(serve(SchedulerConfig(folder=str(folder), host=host, port=port), ready))
    click.echo("facekit: cluster ended", err=True)


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--gpu", type=click.IntRange(0), default=0, help="GPUs to use, with a process for each."
)
@click.option("--lifetime", help="End after that, such as 7h; jobs then go to other workers.")
@click.option(
    "--memory", help="A process that takes more is ended, its job tried again; such as 16GB."
)
@click.option(
    "--wait",
    default="10min",
    show_default=True,
    help="For a scheduler that went to come back under the same file.",
)
@click.option("--print-slurm", is_flag=True, help="Print a script for sbatch instead.")
@json_option
def worker(
    file: Path,
    gpu: int,
    lifetime: str | None,
    memory: str | None,
    wait: str,
    print_slurm: bool,
    as_json: bool,
) -> None:
    """Join the scheduler of FILE, on this or another machine, and do its jobs."""
    from .slurm import batch_script, parse_memory, parse_time

    if print_slurm:
        script = batch_script(file, gpu=gpu, lifetime=lifetime, memory=memory)
        _say(as_json, "script", script.removesuffix("\n"))
        return
    from .worker import WorkerConfig, work

    given: dict[str, Any] = {}
    if memory is not None:
        given["memory"] = f"{parse_memory(memory):.0f}MB"
    if lifetime is not None:
        given["lifetime_s"] = parse_time(lifetime)
    asyncio.run(work(WorkerConfig(file=str(file), gpu=gpu, patience_s=parse_time(wait), **given)))
    if as_json:
        print_json({"worked_for": str(file)})


def _say(as_json: bool, name: str, value: str) -> None:
    if as_json:
        print_json({name: value})
    else:
        click.echo(value)


def _start(
    file: Path, *, workers: int, gpu: int, memory: str | None
) -> Iterator["subprocess.Popen[bytes]"]:
    """Start workers of this machine, which end with its scheduler."""
    import os

    from .worker import WorkerConfig, command

    n = max(1, workers)
    for index in range(workers):
        config = WorkerConfig(
            file=str(file.absolute()),
            gpu=int(index < gpu),
            first_gpu=index,
            memory=f"{1 / n:.4f}" if memory is None else memory.replace(" ", ""),
            threads=max(1, (os.cpu_count() or 1) // n),
            patience_s=0.0,
        )
        yield subprocess.Popen(command(config), stdin=subprocess.DEVNULL)


@contextmanager
def _ended(processes: "list[subprocess.Popen[bytes]]") -> Iterator[None]:
    try:
        yield
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            try:
                process.wait(40)  # a job that runs is given up after 30 s
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
