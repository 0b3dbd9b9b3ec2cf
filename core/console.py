"""The one rich console: log handler, progress bars, tables."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import Progress, TextColumn
from rich.progress import track as rich_track
from rich.table import Table

Item = TypeVar("Item")

console = Console(stderr=True)
"""Log and progress go to stderr; stdout is kept for results."""


def install_log_handler(*, verbose: bool = False) -> None:
    """Send facekit's log to the console; called by `cli` alone."""
    handler: logging.Handler = logging.StreamHandler()  # a file gets plain lines, not wrapped
    if console.is_terminal:
        handler = RichHandler(console=console, show_path=False, show_level=False, markup=False)
    log = logging.getLogger("facekit")
    log.handlers[:] = [handler]
    log.setLevel(logging.DEBUG if verbose else logging.INFO)
    log.propagate = False


_bars_wanted = True


def show_no_bars() -> None:
    """Show no progress in this process: another one shows its own on the same terminal."""
    global _bars_wanted
    _bars_wanted = False


def bars_shown() -> bool:
    """Tell whether progress bars are shown."""
    return _bars_wanted and console.is_terminal


def track(items: Iterable[Item], description: str, *, total: float | None = None) -> Iterator[Item]:
    """Yield `items` behind a progress bar; silent without a terminal."""
    yield from rich_track(
        items,
        description=description,
        total=total,
        console=console,
        transient=True,
        disable=not bars_shown(),
    )


def show_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table to stdout: it is a result."""
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column)
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    Console().print(table)


@contextmanager
def step_bar(
    description: str, *, total: int, done: int = 0
) -> Iterator[Callable[[int, str], None]]:
    """Show a progress bar that is told how far it is, and a word on it; silent without a terminal.

    Yields
    ------
    callable
        `tell(done, text)`.
    """
    columns = (*Progress.get_default_columns(), TextColumn("{task.fields[said]}"))
    bar = Progress(*columns, console=console, transient=True, disable=not bars_shown())
    with bar:
        task = bar.add_task(description, total=total, completed=done, said="")
        yield lambda now, said: bar.update(task, completed=now, said=said)
