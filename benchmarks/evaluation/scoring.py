"""Scores cases: in this process or in several, kept as each finishes.

A case is done again unless what is on disk was made of the same files, settings and code.
"""

import hashlib
import logging
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from sys import modules

from ... import __version__
from ...core.console import track
from ...core.errors import EstimationError, FacekitError
from ...core.files import hash_of, sha256_file
from ...core.jobs import each_apart
from .casefile import load_case, remove_case, save_case
from .protocol import Benchmark, Case, CaseScore, Options
from .registry import get
from .shelf import Shelf

log = logging.getLogger(__name__)

_BATCHES = 4  # a process, so that one slow batch does not keep the others waiting
_MOST_IN_BATCH = 25


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A case without a score."""

    id: str
    reason: str
    missing: bool = False
    """There is no prediction at all."""


@dataclass(frozen=True, kw_only=True)
class Scored:
    """What came of all cases."""

    scores: tuple[CaseScore, ...]
    """In the order of the cases; without meshes of errors, and with arrays that are mapped."""
    failures: tuple[Failure, ...]
    keys: Mapping[str, str]
    """Case id -> key of its score on disk."""


@dataclass(frozen=True, kw_only=True)
class _Batch:
    benchmark: Benchmark | str
    """For another process: its name."""
    cases: tuple[Case, ...]
    keys: tuple[str, ...]
    options: Options
    folder: Path


@dataclass(frozen=True)
class _FileHashes:
    """Content hashes; a scan that many cases share is read once."""

    known: dict[Path, str] = field(default_factory=dict)

    def of(self, path: Path) -> str:
        if path not in self.known:
            if path.is_file():
                self.known[path] = sha256_file(path)
            elif path.is_dir():
                inside = sorted(p for p in path.rglob("*") if p.is_file())
                self.known[path] = hash_of([[p.name, sha256_file(p)] for p in inside])
            else:
                self.known[path] = "absent"
        return self.known[path]


def score_cases(
    benchmark: Benchmark, cases: Sequence[Case], options: Options, folder: Path, *, jobs: int = 1
) -> Scored:
    """Score all cases that have a prediction; keep each in `folder` as it finishes.

    Parameters
    ----------
    jobs : int
        Processes; 1 is this one.
    """
    hashes, code = _FileHashes(), code_hash(benchmark)
    keys: dict[str, str] = {}
    failures: dict[str, Failure] = {}
    open_cases: list[Case] = []
    for case in track(cases, "reading"):
        if not case.prediction.exists():
            reason = f"{case.prediction}: there is no such prediction"
            failures[case.id] = Failure(id=case.id, reason=reason, missing=True)
            continue
        keys[case.id] = _key(case, options, hashes, code)
        if load_case(folder, case.id, key=keys[case.id], with_mesh=False) is None:
            open_cases.append(case)
    n_kept = len(keys) - len(open_cases)
    if n_kept:
        log.info("%s: %d cases are finished already", benchmark.name, n_kept)
    failures |= _run(benchmark, open_cases, keys, options, folder, jobs)
    folder.mkdir(parents=True, exist_ok=True)
    with Shelf(folder) as shelf:
        for case in cases:
            if case.id in failures:
                remove_case(folder, case.id)
                continue
            # always of the disk, so that a run in one go and a resumed one give the same bytes
            score = load_case(folder, case.id, key=keys[case.id], with_mesh=False)
            if score is None:
                reason = f"{folder / case.id}.json: its score could not be kept"
                failures[case.id] = Failure(id=case.id, reason=reason)
            else:
                shelf.put(score)
        shelved = tuple(shelf.scores())
    in_order = tuple(failures[case.id] for case in cases if case.id in failures)
    return Scored(scores=shelved, failures=in_order, keys=keys)


def code_hash(benchmark: Benchmark) -> str:
    """Return a hash of the sources that score: the benchmark's folder and the shared metrics."""
    source = getattr(modules.get(type(benchmark).__module__), "__file__", None)
    if source is None:
        return "none"
    home = Path(source).parent
    shared = Path(__file__).resolve().parents[1] / "metrics"
    digest = hashlib.sha256()
    for path in (*sorted(home.glob("*.py")), *sorted(shared.glob("*.py"))):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _key(case: Case, options: Options, hashes: _FileHashes, code: str) -> str:
    files = {name: hashes.of(path) for name, path in case.inputs.items()}
    return hash_of(
        {
            "facekit": __version__, "code": code, "id": case.id, "groups": dict(case.groups),
            "numbers": dict(case.numbers), "prediction": hashes.of(case.prediction),
            "suffix": case.prediction.suffix, "inputs": files,
            "fixed": options.fixed, "settings": dict(options.settings),
        }
    )  # fmt: skip


def _run(
    benchmark: Benchmark, cases: Sequence[Case], keys: Mapping[str, str], options: Options,
    folder: Path, jobs: int,
) -> dict[str, Failure]:  # fmt: skip
    """Score cases; return those that failed."""
    size = min(_MOST_IN_BATCH, max(1, -(-len(cases) // (jobs * _BATCHES))))
    here = jobs == 1 or len(cases) < 2
    if here:
        size = 1
    batches = [
        _Batch(
            benchmark=benchmark if here else benchmark.name,
            cases=tuple(cases[i : i + size]),
            keys=tuple(keys[case.id] for case in cases[i : i + size]),
            options=options,
            folder=folder,
        )
        for i in range(0, len(cases), size)
    ]
    title = f"scoring {benchmark.name}"
    if here:
        failed: dict[str, str] = {}
        for batch in track(batches, title):
            failed |= score_batch(batch)
    else:
        failed, crashed = _apart(batches, jobs, title)
        if crashed:  # one of a batch ended its process: find which
            again, alone = _apart([b for batch in crashed for b in _singles(batch)], jobs, title)
            failed |= again
            failed |= {b.cases[0].id: "its process ended: out of memory?" for b in alone}
    return {name: Failure(id=name, reason=reason) for name, reason in failed.items()}


def _apart(batches: Sequence[_Batch], jobs: int, title: str) -> tuple[dict[str, str], list[_Batch]]:
    """Score in processes; return the failed cases, and the batches whose process ended."""
    failed: dict[str, str] = {}
    crashed: list[_Batch] = []
    answers = each_apart(score_batch, batches, jobs=jobs)
    answer: Future[dict[str, str]]
    for i, answer in track(answers, title, total=len(batches)):
        try:
            failed |= answer.result()
        except EstimationError:  # see `jobs.apart`
            crashed.append(batches[i])
    return failed, crashed


def _singles(batch: _Batch) -> list[_Batch]:
    """Return the cases of a batch that have no score yet, each in a batch of its own."""
    return [
        replace(batch, cases=(case,), keys=(key,))
        for case, key in zip(batch.cases, batch.keys, strict=True)
        if load_case(batch.folder, case.id, key=key, with_mesh=False) is None
    ]


def score_batch(batch: _Batch) -> dict[str, str]:
    """Score some cases and keep what came of them; return id -> reason of those that failed."""
    benchmark = get(batch.benchmark) if isinstance(batch.benchmark, str) else batch.benchmark
    failed = {}
    for case, key in zip(batch.cases, batch.keys, strict=True):
        try:
            start = time.process_time()
            score = benchmark.score(case, batch.options)
            if not score.seconds:
                score = replace(score, seconds=time.process_time() - start)
            save_case(batch.folder, score, key=key)
        except FacekitError as error:
            failed[case.id] = str(error)
        except OSError as error:
            failed[case.id] = f"{error.filename or case.prediction}: {error.strerror or error}"
        except MemoryError:
            failed[case.id] = "out of memory"
        except Exception as error:  # whatever it is, the other cases go on
            text = f"{type(error).__name__}: {error}".splitlines()[0]
            failed[case.id] = f"{case.prediction}: a fault in facekit itself ({text})"
            log.debug("%s", case.id, exc_info=True)
    return failed
