"""Results on the terminal: JSON or tables on stdout, failures and remarks on stderr."""

from collections.abc import Sequence
from typing import Any

import click

from ...core.commandline import print_json
from .scoresfile import table_of_head
from .tables import TextTable, plain_text


def show_result(
    as_json: bool,
    result: dict[str, Any],
    heads: Sequence[dict[str, Any]],
    left_out: dict[str, str],
    *,
    table: dict[str, Any] | None = None,
) -> None:
    """Print a result: for scripts, or as tables.

    Parameters
    ----------
    result : dict
        All of it, for scripts.
    heads : sequence of dict
        What `scores.json` begins with, of each benchmark or method.
    left_out : dict
        Benchmark or method -> why there is nothing of it.
    table : dict, optional
        Of several methods, in place of a table each.
    """
    if as_json:
        print_json(result)
    elif table is not None:
        rows = tuple(tuple(row) for row in table["rows"])
        _print(TextTable(title=heads[0]["title"], columns=tuple(table["columns"]), rows=rows))
        click.echo(f"report: {result['report']}")
    else:
        for head in heads:
            _print(table_of_head(head))
            click.echo(f"report: {head['report']}")
    for name, reason in left_out.items():
        click.echo(f"facekit: {name}: {reason}", err=True)
    for head in heads:
        for failure in head["failed"]:
            click.echo(f"facekit: {failure['id']}: {failure['reason']}", err=True)
        for name, remarks in head.get("remarks", {}).items():
            for remark in remarks:
                click.echo(f"facekit: {name}: {remark}", err=True)


def _print(table: TextTable) -> None:
    click.echo(plain_text(table))
