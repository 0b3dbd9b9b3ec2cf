"""Commands that hand ground truth on: export, verify."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from ...core.commandline import (
    IN_FOLDER,
    OUT_PATH,
    config_options,
    json_option,
    settings,
    show,
)
from ...core.errors import InputError

FORMATS = ("obj", "glb", "detailed", "png16", "albedo", "exr")
PURPOSES = ("research", "publication", "commercial", "sharing")


@click.command()
@click.argument("builds", type=IN_FOLDER, nargs=-1, required=True)
@click.option("--hdf5", "dataset", type=OUT_PATH, help="Dataset folder: one shard a subject.")
@click.option("--facescape", type=OUT_PATH, help="Folders as FaceScape TU has them.")
@click.option("--files", "file_folder", type=OUT_PATH, help="A folder of files for every take.")
@click.option(
    "--format", "formats", type=click.Choice(FORMATS), multiple=True, help="Of --files; repeat."
)
@click.option(
    "--frame", type=click.Choice(["world", "head"]), help="Of the meshes of --files [world]."
)
@click.option(
    "--step", type=click.IntRange(1), help="Texels between vertices of the detailed mesh [2]."
)
@click.option("--purpose", type=click.Choice(PURPOSES), help="What it is for [research].")
@click.option(
    "--no-person", is_flag=True, help="Whoever has no consent form is none: a bust, a mannequin."
)
@click.option("--licence", help="Stands in the dataset; unstated by default.")
@config_options
@json_option
def export(
    builds: Sequence[Path],
    dataset: Path | None,
    facescape: Path | None,
    file_folder: Path | None,
    formats: Sequence[str],
    frame: str | None,
    step: int | None,
    purpose: str | None,
    no_person: bool,
    licence: str | None,
    config_file: Path | None,
    assignments: Sequence[str],
    as_json: bool,
) -> None:
    """Write the results of build folders as a dataset, as meshes and images, or both.

    Needs at least one of --hdf5, --facescape and --files. A subject whose consent does not
    cover the purpose, or who has given none, is refused and named; exit code 3 where something
    was left out, 2 where nothing could be written. Running it again keeps what has not changed.

    Settings of --config and --set are those of the HDF5 dataset: purpose, no_person, licence, name,
    normals, image_px.
    """
    if dataset is None and facescape is None and file_folder is None:
        raise InputError("nothing to do: give --hdf5, --facescape or --files with a folder")
    if formats and file_folder is None:
        raise InputError("--format is of --files: give that with a folder")
    from .files import FileFormat, FilesConfig, export_facescape, export_files
    from .hdf5 import ExportConfig, export_hdf5

    config = settings(
        ExportConfig, config_file, assignments, purpose=purpose, no_person=no_person or None,
        licence=licence,
    )  # fmt: skip
    who: dict[str, Any] = {"purpose": config.purpose, "no_person": config.no_person}
    result: dict[str, Any] = {}
    if dataset is not None:
        result["hdf5"] = export_hdf5(builds, dataset, config)
    if facescape is not None:
        result["facescape"] = export_facescape(builds, facescape, **who)
    if file_folder is not None:
        how = settings(FilesConfig, None, (), frame=frame, step=step, **who)
        wanted = [FileFormat(name) for name in formats or ("obj", "png16", "albedo")]
        result["files"] = export_files(builds, file_folder, wanted, how)
    for kind, told in result.items():
        show(False, f"Export: {kind}", told) if not as_json else None
    if as_json:
        show(True, "", result)
    problems = {
        name: reason
        for told in result.values()
        for group in ("refused", "failed")
        for name, reason in told[group].items()
    }
    for name, reason in problems.items():
        click.echo(f"facekit: {name}: {reason}", err=True)
    if problems:
        sys.exit(3)


@click.command()
@click.argument("folder", type=IN_FOLDER)
@click.option("--read-data", is_flag=True, help="Read every byte: hashes, checksums, ranges.")
@json_option
def verify(folder: Path, read_data: bool, as_json: bool) -> None:
    """Check that a dataset, or a session's originals, are complete and unchanged.

    A dataset has to be as its format asks, too. Without --read-data the seals of HDF5 files (every
    bit of them), their structure and the hashes of text files are checked, no values and no
    originals. Exit code 2 where something is wrong; the first thing is named.
    """
    from dataclasses import asdict

    from ...capture.session import SESSION_FILE

    if (folder / SESSION_FILE).is_file():
        from ...capture.verifysession import verify_session

        show(as_json, "Session", asdict(verify_session(folder, read_data=read_data)))
        return
    from ..verify import verify_dataset

    show(as_json, "Dataset", asdict(verify_dataset(folder, read_data=read_data)))
