"""A take's stages in order: each leaves a record, and what is recorded is not done again."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.files import STAGE_RECORD, StageKey, clear_unfinished, finished, stage_run
from ..core.folderlock import only_writer

log = logging.getLogger(__name__)

STAGES_FOLDER = "stages"
"""Folder of a take that holds a folder for each stage's record and intermediate files."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One step of the way from photographs to a mesh."""

    name: str
    """Also the name of its folder below `stages/`."""
    work: Callable[[], Mapping[str, Any]]
    """Does it; returns figures for the record, JSON-able."""
    outputs: tuple[str, ...]
    """Files that it writes, relative to the take's folder."""


def run_stages(
    folder: Path, stages: Sequence[Stage], *,
    config: Mapping[str, Any], inputs: Mapping[str, str], where: str,
) -> dict[str, Any]:  # fmt: skip
    """Run the stages of a take that are not finished; return stage -> figures.

    A stage's key covers the configuration, the inputs and the stages before it. From the first
    unfinished stage on, all outputs are removed before work begins, so that a failure leaves
    nothing of an older run behind.

    Parameters
    ----------
    folder : Path
        Of the take.
    where : str
        Name of the take, for the log.
    """
    with only_writer(folder, wait=True):
        return _run(folder, stages, config, dict(inputs), where)


def _run(
    folder: Path, stages: Sequence[Stage], config: Mapping[str, Any], before: dict[str, str],
    where: str,
) -> dict[str, Any]:  # fmt: skip
    results: dict[str, Any] = {}
    fresh = False
    for index, stage in enumerate(stages):
        place = folder / STAGES_FOLDER / stage.name
        key = StageKey(stage=f"build-dataset/{stage.name}", config=config, inputs=before)
        up = "../../"  # outputs are named from the take's folder, records lie two below
        record = finished(place, key, outputs=[up + name for name in stage.outputs])
        if record is not None and not fresh:
            log.info("%s: %s finished already", where, stage.name)
            results[stage.name] = record["results"]
        else:
            if not fresh:
                _forget(folder, stages[index:])
            fresh = True
            log.info("%s: %s", where, stage.name)
            with stage_run(place, key) as run:
                run.results.update(stage.work())
            results[stage.name] = run.results
        before = {"before": key.hash()}
    return results


def _forget(folder: Path, stages: Sequence[Stage]) -> None:
    """Remove the records, then the outputs, of `stages`, and what a killed run left."""
    for stage in stages:
        (folder / STAGES_FOLDER / stage.name / STAGE_RECORD).unlink(missing_ok=True)
    for stage in stages:
        for name in stage.outputs:
            (folder / name).unlink(missing_ok=True)
    for place in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        clear_unfinished(place)
