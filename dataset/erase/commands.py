"""The command that deletes a subject: erase."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from ...core.commandline import SEARCHED_FOLDER, json_option, print_json


@click.command()
@click.argument("subject")
@click.option(
    "--in",
    "folders",
    type=SEARCHED_FOLDER,
    multiple=True,
    help="Folder that holds sessions, builds, datasets; again for more.  [default: .]",
)
@click.option("--dry-run", is_flag=True, help="Say what would be deleted, and delete nothing.")
@json_option
def erase(subject: str, folders: Sequence[Path], dry_run: bool, as_json: bool) -> None:
    """Delete all that was ever made of SUBJECT, and search the folders for what is left.

    Session with its photographs, builds, predictions, reports, exports, the shard and the rows of
    packed samples go; what listed the subject is written anew; files of others stay as they are.
    There is no way back. A run that is cut off is finished by the same command.

    Exit code 3 where the search came upon something of the subject, or could not look into a
    file: it is named.
    """
    from .erase import erase as erase_subject

    result = erase_subject(subject, folders or [Path()], dry_run=dry_run)
    if as_json:
        print_json(result)
    else:
        _say(result)
    found = result["erase"]
    for path, n in found["found_in"].items():
        click.echo(f"facekit: {path}: holds {n} of the subject's probes; look at it", err=True)
    for path in result["mentions"]:
        click.echo(f"facekit: {path}: names the subject; look at it", err=True)
    for line in result["not_searched"]:
        click.echo(f"facekit: {line}: not searched; look at it", err=True)
    for line in result["remarks"]:
        click.echo(f"facekit: {line}", err=True)
    left = found["found_in"] or result["mentions"] or found.get("undeleted")
    if left or result["not_searched"]:
        sys.exit(3)


def _say(result: dict[str, Any]) -> None:
    for path, why in result["deleted"].items():
        click.echo(f"{'would delete' if result['dry_run'] else 'deleted'}: {path} ({why})")
    for path in result["rebuilt"]:
        click.echo(f"written anew: {path}")
    found = result["erase"]
    click.echo(
        f"{result['deleted_files']} files, {result['deleted_bytes'] / 1e6:.1f} MB; "
        f"{found['probes_found']} of {found['probes']} probes found in the "
        f"{result['searched_files']} files that {'would stay' if result['dry_run'] else 'stay'}; "
        f"{len(result['kept_subjects'])} other subjects"
    )
    for path in result["trainings"]:
        click.echo(f"trained with the subject: {path}")
    click.echo("What this cannot reach:")
    for line in result["not_reached"]:
        click.echo(f"- {line}")
