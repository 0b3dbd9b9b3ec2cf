"""`--method`: facekit reconstructs a benchmark's photographs first, as each benchmark wants it.

    hrn      each photograph by `facekit reconstruct`, with its weights
    fit      each photograph by optimisation, without weights
    mv-hrn   all photographs of a person together, by `facekit reconstruct --multi-view`

The reconstructions are kept beside the predictions, in `reconstructions/`, so that a second run
goes on. What a benchmark is given is told by `layouts.py`.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...core.config import from_mapping
from ...core.console import track
from ...core.errors import FacekitError, InputError
from .layouts import Face, face_of, writer_of
from .protocol import Benchmark, Case, MakesPredictions, Options

METHODS = ("hrn", "fit", "mv-hrn")
PHOTOGRAPHS = "photographs"
"""Folder of links to the benchmark's photographs, named as the cases are."""
_MOST_VIEWS = 12  # of one person: more add time, not accuracy


@dataclass(frozen=True, kw_only=True)
class Reconstruction:
    """How facekit reconstructs."""

    method: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Of `facekit reconstruct`: `model`, `landmarks`, `checkpoint` ..."""


def make_predictions(
    benchmark: Benchmark,
    how: Reconstruction,
    data: Path,
    predictions: Path,
    options: Options,
) -> Mapping[str, str]:
    """Write the predictions of a method; return case id -> why there is none.

    Raises
    ------
    InputError
        The benchmark has no photographs, does not take the method, or facekit's face model is
        not what it needs.
    """
    if isinstance(benchmark, MakesPredictions):
        if how.method not in benchmark.methods:
            there = ", ".join(benchmark.methods)
            raise InputError(f"--method {how.method}: {benchmark.name} takes {there}")
        if how.settings:
            raise InputError(f"{benchmark.name} reconstructs in its own way: leave --reconstruct")
        return benchmark.predict(how.method, data, predictions, options)
    if how.method not in METHODS:
        raise InputError(f"--method {how.method}: one of {', '.join(METHODS)}")
    write = writer_of(benchmark.name, data, options)
    photographs = benchmark.photographs(data, options)
    if not photographs:
        raise InputError(
            f"{benchmark.name}: its data hold no photographs; give --predictions instead"
        )
    cases = benchmark.cases(data, predictions, options)
    kept = predictions.parent / "reconstructions"
    if how.method == "mv-hrn":
        return _several_views(cases, photographs, kept, how, write)
    return _single_views(cases, photographs, kept, how, write)


def _single_views(
    cases: Sequence[Case], photographs: Mapping[str, Path], kept: Path, how: Reconstruction,
    write: Callable[[Case, Face], None],
) -> dict[str, str]:  # fmt: skip
    """Reconstruct each case of its own photograph."""
    from ...reconstruct.predict import ReconstructConfig, method_of, reconstruct_photographs
    from ...reconstruct.predictionfile import load_prediction

    settings = {"turntable": "none", "fit": how.method == "fit", **how.settings}
    config = from_mapping(ReconstructConfig, settings, where="--reconstruct")
    method = method_of(config)
    failed = _without_photograph(cases, photographs)
    open_cases = [case for case in cases if case.id not in failed]
    links = _linked(open_cases, photographs, kept / PHOTOGRAPHS)
    result = reconstruct_photographs(links, kept, config, method=method)
    failed |= result["failed"]
    for case in open_cases:
        try:
            if case.id not in failed:
                prediction = load_prediction(kept / case.id, method.model)
                write(case, face_of(prediction, camera=prediction.camera))
        except FacekitError as error:
            failed[case.id] = str(error)
    _remove_predictions(cases, failed)
    return failed


def _several_views(
    cases: Sequence[Case], photographs: Mapping[str, Path], kept: Path, how: Reconstruction,
    write: Callable[[Case, Face], None],
) -> dict[str, str]:  # fmt: skip
    """Reconstruct each person of all their photographs; all their cases get the same face."""
    people: dict[str, list[Case]] = {}
    for case in cases:
        person = case.groups.get("subject")
        if person is None:
            raise InputError(
                "--method mv-hrn: this benchmark does not tell which photographs show the same "
                "person; take hrn or fit"
            )
        if case.id in photographs:
            people.setdefault(person, []).append(case)
    failed = _without_photograph(cases, photographs)
    for person, of_person in track(list(people.items()), "reconstructing by mv-hrn"):
        try:
            links = kept / PHOTOGRAPHS / person
            _linked(of_person[:_MOST_VIEWS], photographs, links)
            face = _face_of_views(person, links, kept, how)
            for case in of_person:
                write(case, face)
        except FacekitError as error:
            failed |= {case.id: str(error) for case in of_person}
    _remove_predictions(cases, failed)
    return failed


def _face_of_views(person: str, photographs: Path, kept: Path, how: Reconstruction) -> Face:
    """Return the face that all photographs of a folder show together.

    Raises
    ------
    FacekitError
        Nothing can be made of them.
    """
    from ...reconstruct.multiview_config import MultiViewRunConfig
    from ...reconstruct.multiview_run import reconstruct_view_sets
    from ...reconstruct.views.resultfile import load_multiview

    config = from_mapping(
        MultiViewRunConfig, {"turntable": "none", **how.settings}, where="--reconstruct"
    )
    result = reconstruct_view_sets([photographs], kept, config)
    if not result["faces"]:
        raise InputError(f"{person}: {next(iter(result['failed'].values()))}")
    return face_of(load_multiview(kept / next(iter(result["faces"]))), camera=None)


def _linked(cases: Sequence[Case], photographs: Mapping[str, Path], folder: Path) -> list[Path]:
    """Give the photographs of cases the cases' names, which are unique, as links."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    links = []
    for case in cases:
        link = folder / f"{case.id}{photographs[case.id].suffix}"
        link.symlink_to(photographs[case.id].resolve())
        links.append(link)
    return links


def _without_photograph(cases: Sequence[Case], photographs: Mapping[str, Path]) -> dict[str, str]:
    reason = "the benchmark's data hold no photograph of it"
    return {case.id: reason for case in cases if case.id not in photographs}


def _remove_predictions(cases: Sequence[Case], failed: Mapping[str, str]) -> None:
    """Leave no prediction of an earlier run to be taken for one that failed now."""
    for case in cases:
        if case.id in failed:
            case.prediction.unlink(missing_ok=True)
