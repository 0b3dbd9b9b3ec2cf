"""The ledger tells what was really executed, and names what was executed once too often."""

import sys
from pathlib import Path
from typing import Any

import pytest

from facekit.benchmarks.perf.ledger import Death, Ledger, Line, repeats, unfinished, watched
from facekit.core.files import STAGE_RECORD
from facekit.core.jobs.engine import run
from facekit.core.jobs.job import Job, Where
from facekit.dataset.stages import STAGES_FOLDER, Stage, run_stages


def two_stages(*, folder: str, forgetful: bool = False) -> dict[str, Any]:
    """Write two files, a stage each; forget what was recorded where that is asked for."""
    place = Path(folder)

    def write(name: str) -> dict[str, Any]:
        place.mkdir(parents=True, exist_ok=True)
        (place / name).write_text("x", encoding="utf-8")
        return {}

    if forgetful:
        for record in place.glob(f"{STAGES_FOLDER}/*/{STAGE_RECORD}"):
            record.unlink()
    stages = [
        Stage(name=name, work=lambda name=name: write(name), outputs=(name,))  # type: ignore[misc]
        for name in ("depth", "mesh")
    ]
    run_stages(place, stages, config={}, inputs={}, where="take")
    return {"figure": 1}


def failing(**_: Any) -> dict[str, Any]:
    """Raise what a bad input raises."""
    raise ValueError("a bad take")


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(path=tmp_path / "ledger.jsonl")


def _run(ledger: Ledger, work: Any, **given: Any) -> Any:
    # the worker finds it by its module's name
    sys.modules.setdefault(work.__module__, sys.modules[work.__module__])
    job = Job(name="session/take_0000/mesh", stage="mesh", work=work, given=given)
    (outcome,) = run([ledger.watching(job)], Where(), progress=False)
    return outcome


def test_a_watched_job_answers_as_it_would(ledger: Ledger, tmp_path: Path) -> None:
    outcome = _run(ledger, two_stages, folder=str(tmp_path / "take"))
    assert outcome.answer == {"figure": 1}
    assert (tmp_path / "take" / "mesh").is_file()
    events = [(line.event, line.stage.rpartition("/")[2]) for line in ledger.lines()]
    assert events == [
        ("begin", ""), ("start", "depth"), ("end", "depth"), ("start", "mesh"), ("end", "mesh"),
        ("done", ""),
    ]  # fmt: skip


def test_what_is_found_finished_is_no_repetition(ledger: Ledger, tmp_path: Path) -> None:
    for _ in range(2):
        _run(ledger, two_stages, folder=str(tmp_path / "take"))
    lines = ledger.lines()
    assert sum(line.event == "start" for line in lines) == 2
    assert sum(line.event == "found" for line in lines) == 2
    assert repeats(lines) == []


def test_what_is_done_again_is_named(ledger: Ledger, tmp_path: Path) -> None:
    for forgetful in (False, True):
        _run(ledger, two_stages, folder=str(tmp_path / "take"), forgetful=forgetful)
    assert [text.rpartition("/")[2] for text in repeats(ledger.lines())] == ["depth", "mesh"]


def test_a_job_that_fails_stays_open(ledger: Ledger) -> None:
    outcome = _run(ledger, failing)
    assert outcome.answer is None and "a bad take" in outcome.reason
    (line,) = unfinished(ledger.lines()).values()
    assert line.event == "begin"


def test_a_stage_that_was_cut_off_may_be_done_again() -> None:
    lines = [
        _line("start", "a"), _line("start", "b"), _line("end", "b"), _line("done", "b", stage=""),
    ]  # fmt: skip
    assert repeats(lines) == []
    assert list(unfinished(lines)) == ["a"]


def test_two_at_a_time_who_do_the_same_are_named() -> None:
    lines = [_line("start", "a"), _line("start", "b"), _line("end", "a"), _line("end", "b")]
    assert repeats(lines) == ["take: mesh"]


def test_a_record_that_was_found_counts_as_acknowledged() -> None:
    lines = [_line("found", "a"), _line("start", "b"), _line("end", "b")]
    assert repeats(lines) == ["take: mesh"]


def test_following_sees_whole_lines_alone(ledger: Ledger) -> None:
    read = ledger.follow()
    assert read() == []
    whole = '{"event": "begin", "item": "i", "attempt": "a", "pid": 1, "time": 0.0}\n'
    ledger.path.write_text(whole + whole[:20], encoding="utf-8")
    assert len(read()) == 1
    with ledger.path.open("a", encoding="utf-8") as stream:
        stream.write(whole[20:])
    assert len(read()) == 2 and len(read()) == 2


def _line(event: str, attempt: str, stage: str = "mesh") -> Line:
    return Line(event=event, item="take", attempt=attempt, pid=1, time=0.0, stage=stage)


def test_memory_that_nobody_minds_is_told(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facekit.benchmarks.perf.ledger._BLOCK", 1 << 20)
    monkeypatch.setattr("facekit.benchmarks.perf.ledger._MOST_BLOCKS", 3)
    given = {"folder": str(tmp_path / "take")}
    with pytest.raises(RuntimeError, match="3 MB were taken, and nobody minded"):
        watched(
            ledger=str(ledger.path), item="take", target="nothing:called", given=given,
            deadly=Death.MEMORY,
        )  # fmt: skip
    assert [line.event for line in ledger.lines()] == ["begin"]
