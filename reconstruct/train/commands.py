"""The commands that train: train coarse, deretouch, detail, and those that prepare data."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from ...core.commandline import (
    IN_FOLDER,
    OUT_PATH,
    config_options,
    hold,
    json_option,
    settings,
    show,
)

Command = TypeVar("Command", bound=Callable[..., Any])


@click.group()
def train() -> None:
    """Train the networks of `reconstruct`, and prepare what they are trained on.

    A run folder holds states, log, pictures and weights. The same command goes on where a run
    stopped or was killed. On several GPUs: torchrun --nproc-per-node N -m facekit train ...
    """


def _training_options(command: Command) -> Command:
    """Give a training its options."""
    options = (
        click.option("--data", "folders", multiple=True, type=IN_FOLDER, metavar="FOLDER",
                     help="What is trained on; again for more."),
        click.option("--out", type=OUT_PATH, required=True, help="The run's folder."),
        click.option("--config", "named", metavar="FILE|NAME",
                     help="Settings as YAML, or the name of shipped ones, such as coarse-small."),
        click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE",
                     help="Any setting by its name: loop.steps=500."),
        click.option("--device", type=click.Choice(["auto", "cpu", "cuda"])),
        click.option("--resume", type=click.Choice(["auto", "never", "only"]), default="auto",
                     show_default=True, help="Where the folder holds this run already: go on; "
                     "refuse it; refuse to begin."),
        click.option("--smoke", is_flag=True, help="A tiny training that ends within minutes."),
        json_option,
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


@train.command()
@_training_options
def coarse(**given: Any) -> None:
    """Train the coefficient network: shape, expression, pose, light of a photograph."""
    from .coarse import build
    from .coarseconfig import CoarseConfig

    _train("coarse", CoarseConfig, build, **given)


@train.command()
@_training_options
def deretouch(**given: Any) -> None:
    """Train the network that takes spots out of a face's texture."""
    from .deretouch import DeretouchConfig, build

    _train("deretouch", DeretouchConfig, build, **given)


@train.command()
@_training_options
@click.option("--coarse", "coarse_file", metavar="FILE",
              help="Weights with the coefficient network that it goes with.")  # fmt: skip
def detail(coarse_file: str | None, **given: Any) -> None:
    """Train the generators of the deformation and displacement maps."""
    from .detail import build
    from .detailconfig import DetailConfig

    _train("detail", DetailConfig, build, extra={"coarse": coarse_file}, **given)


def _people_options(command: Command) -> Command:
    """Give a command that draws virtual people their number, their seed, and its processes."""
    options = (
        click.option("--people", type=click.IntRange(min=1), help="How many virtual people."),
        click.option("--seed", type=click.IntRange(min=0), help="Of the virtual people."),
        click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True,
                     help="Processes at work."),
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


@train.command()
@click.option("--out", type=OUT_PATH, required=True, help="The dataset's folder.")
@_people_options
@config_options
@json_option
def render(
    out: Path,
    people: int | None,
    seed: int | None,
    jobs: int,
    config_file: Path | None,
    assignments: Sequence[str],
    as_json: bool,
) -> None:
    """Render virtual people into a dataset; people who are there are kept."""
    from ..samples.rendered import RenderConfig, render_dataset

    config = settings(RenderConfig, config_file, [*_drawn(people, seed), *assignments])
    show(as_json, "Rendered", render_dataset(out, config, jobs=jobs))


@train.command()
@click.argument("data", required=False, type=IN_FOLDER)
@click.option("--out", type=OUT_PATH, required=True, help="Folder of samples, for --data.")
@_people_options
@config_options
@json_option
def pack(
    data: Path | None,
    out: Path,
    people: int | None,
    seed: int | None,
    jobs: int,
    config_file: Path | None,
    assignments: Sequence[str],
    as_json: bool,
) -> None:
    """Pack a dataset, or photographs with landmarks, into samples that are read fast.

    Without DATA: virtual people, rendered into samples. What is there is kept.
    """
    from ..samples.packing import PackConfig, pack_data

    if data is not None and (people, seed) != (None, None):
        raise click.UsageError("--people and --seed are of virtual people: leave out DATA")
    config = settings(PackConfig, config_file, [*_drawn(people, seed), *assignments])
    show(as_json, "Packed", pack_data(data, out, config, jobs=jobs))


def _drawn(people: int | None, seed: int | None) -> list[str]:
    """Return the settings that say which virtual people are drawn."""
    given = {"virtual.n_people": people, "virtual.seed": seed}
    return [f"{name}={value}" for name, value in given.items() if value is not None]


def _train(
    kind: str,
    config_type: type[Any],
    build: Callable[[Any], Any],
    *,
    folders: Sequence[Path],
    out: Path,
    named: str | None,
    assignments: Sequence[str],
    device: str | None,
    resume: str,
    smoke: bool,
    as_json: bool,
    extra: dict[str, Any] | None = None,
) -> None:
    """Run a training; print its result; leave with the exit code of how it ended."""
    from ...core.config import to_mapping
    from .config import Resume
    from .distributed import one_voice
    from .loop import train as run
    from .presets import training_config
    from .watchdog import exit_code

    if smoke and named is not None:
        raise click.UsageError("--smoke has settings of its own: leave out --config")
    config = training_config(
        config_type,
        named or f"{kind}-{'smoke' if smoke else 'small'}",
        given={
            "data.folders": [str(folder) for folder in folders] or None,
            "loop.device": device,
            **(extra or {}),
        },
        assignments=assignments,
    )
    for folder in to_mapping(config)["data"].get("folders") or ():  # of a settings file, too
        hold(click.get_current_context(), Path(folder))
    first = one_voice()
    result = run(
        build(config), config.loop, out, settings=to_mapping(config), resume=Resume(resume)
    )
    if first:
        show(as_json, f"Training {kind}", {**result.plain(), "out": str(out)})
    sys.exit(exit_code(result.stopped))
