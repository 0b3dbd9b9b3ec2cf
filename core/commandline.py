"""What every command shares: its options, its settings, how it prints and how it fails."""

import json
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from .errors import FacekitError
from .folderlock import entered, folder_to_hold

Command = TypeVar("Command", bound=Callable[..., Any])
Config = TypeVar("Config")


class HeldPath(click.Path):
    """A path to read or to write: while the command works, nobody may erase its folder."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Any:  # as `click.Path` has it
        """Return the path; hold its folder until the command has ended."""
        path = super().convert(value, param, ctx)
        if ctx is not None and not ctx.resilient_parsing:
            hold(ctx, Path(os.fsdecode(path)))
        return path


def hold(ctx: click.Context, path: Path) -> None:
    """Keep a path's folder from being erased until the command has ended.

    Raises
    ------
    InputError
        It is being erased.
    """
    held: set[Path] = ctx.meta.setdefault(f"{__name__}.held", set())
    folder = folder_to_hold(path)
    if folder is not None and folder not in held:
        ctx.with_resource(entered(folder))
        held.add(folder)


IN_FILE = HeldPath(path_type=Path, exists=True, dir_okay=False)
IN_FOLDER = HeldPath(path_type=Path, exists=True, file_okay=False)
IN_PATH = HeldPath(path_type=Path, exists=True)
OUT_PATH = HeldPath(path_type=Path)
ANY_PATH = HeldPath(path_type=Path)
"""To be read; that it is not there is said by the command."""
SEARCHED_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)
"""Of `erase`, which has to be alone in it."""


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
    from .config import from_mapping, load_yaml, with_overrides

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


def show(as_json: bool, title: str, result: dict[str, Any]) -> None:
    """Print a result: for scripts, or as tables."""
    if as_json:
        print_json(result)
    else:
        _show_figures(title, result)


def _show_figures(title: str, result: dict[str, Any]) -> None:
    """Print single figures as one table, and what is told of many things as a table each."""
    from .console import show_table

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
    from .console import show_table

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
