"""Jobs here and in processes: all end, each once, and none stops another."""

import os
from pathlib import Path
from types import ModuleType

import pytest

from facekit.core.errors import InputError
from facekit.core.jobs.engine import run
from facekit.core.jobs.job import Job, Outcome, Where

HERE, PROCESSES = Where(), Where(jobs=2)


def squares(work: ModuleType, numbers: range) -> list[Job]:
    return [
        Job(name=f"{n}", stage="square", work=work.square, given={"number": n}) for n in numbers
    ]


@pytest.mark.parametrize("where", [HERE, PROCESSES])
def test_every_job_ends_once(work: ModuleType, where: Where) -> None:
    outcomes = list(run(squares(work, range(5)), where))
    found = {outcome.job.name: outcome.answer["square"] for outcome in outcomes if outcome.answer}
    assert len(outcomes) == 5
    assert found == {"0": 0, "1": 1, "2": 4, "3": 9, "4": 16}
    processes = {outcome.answer["process"] for outcome in outcomes if outcome.answer}
    assert (os.getpid() in processes) == (where is HERE)


def test_what_is_ready_first_is_done_first(work: ModuleType) -> None:
    """Of two sessions with two takes the first is finished before the second is begun."""
    jobs = [
        Job(name=f"{s}/{t}/mesh", stage="mesh", work=work.found, given={})
        for s in "ab"
        for t in "12"
    ]
    left = {"a": 2, "b": 2}

    def then(outcome: Outcome) -> list[Job]:
        session = outcome.job.name[0]
        if outcome.job.stage != "mesh":
            return []
        left[session] -= 1
        last = Job(name=f"{session}/last", stage="last", work=work.found, given={}, priority=1)
        return [] if left[session] else [last]

    names = [outcome.job.name for outcome in run(jobs, HERE, then=then)]
    assert names == ["a/1/mesh", "a/2/mesh", "a/last", "b/1/mesh", "b/2/mesh", "b/last"]


@pytest.mark.parametrize("where", [HERE, PROCESSES])
def test_a_failure_is_told_and_stops_nothing(work: ModuleType, where: Where) -> None:
    jobs = [
        Job(name="wrong", stage="x", work=work.wrong, given={"sentence": "take 3: no face"}),
        Job(name="broken", stage="x", work=work.broken, given={}),
        *squares(work, range(2)),
    ]
    found = {outcome.job.name: outcome for outcome in run(jobs, where)}
    assert (found["wrong"].reason, found["wrong"].exit_code) == ("take 3: no face", 3)
    assert "a fault in facekit itself (TypeError: no such thing)" in str(found["broken"].reason)
    assert found["broken"].exit_code == 1
    assert found["1"].answer is not None


def test_a_process_that_dies_costs_its_own_job_alone(work: ModuleType) -> None:
    jobs = [Job(name="poison", stage="x", work=work.poison, given={}), *squares(work, range(6))]
    found = {outcome.job.name: outcome for outcome in run(jobs, PROCESSES)}
    assert "ended without an answer" in str(found["poison"].reason)
    assert sum(outcome.answer is not None for outcome in found.values()) == 6


@pytest.mark.parametrize("where", [HERE, PROCESSES])
def test_a_disk_is_tried_again_and_a_wrong_value_is_not(
    work: ModuleType, where: Where, tmp_path: Path
) -> None:
    def calls(error: str, times: int) -> tuple[Outcome, int]:
        file = tmp_path / f"{error}{times}"
        given = {"file": str(file), "error": error, "times": times}
        job = Job(name="one", stage="x", work=work.counted, given=given)
        (outcome,) = run([job], where)
        return outcome, len(file.read_text().splitlines())

    outcome, n_calls = calls("OSError", 2)
    assert outcome.reason is None
    assert n_calls == 3
    outcome, n_calls = calls("OSError", 3)
    assert outcome.reason == "/here: disk"
    assert n_calls == 3
    outcome, n_calls = calls("ValueError", 3)
    assert "ValueError: no" in str(outcome.reason)
    assert n_calls == 1


def test_two_jobs_of_one_name_are_refused(work: ModuleType) -> None:
    with pytest.raises(InputError, match="two jobs are called 1"):
        list(run([*squares(work, range(2)), *squares(work, range(1, 2))], HERE))


def test_arrays_are_not_sent(work: ModuleType) -> None:
    job = Job(name="a", stage="x", work=work.square, given={"number": Path("x")})
    with pytest.raises(TypeError, match="not JSON serializable"):
        list(run([job], HERE))


def test_another_version_does_not_work(work: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facekit.core.jobs.pools.__version__", "99.0")
    (outcome,) = run(squares(work, range(1)), HERE)
    assert "99.0 asks; install the same version on both" in str(outcome.reason)
