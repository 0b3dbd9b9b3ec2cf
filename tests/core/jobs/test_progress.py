"""The time left is told from what was measured, and a lower bound is called one."""

import io
from dataclasses import dataclass
from types import ModuleType

import pytest
from rich.console import Console

from facekit.core.jobs.engine import run
from facekit.core.jobs.job import Job, Outcome, Where
from facekit.core.jobs.progress import Tally, duration, time_left


@dataclass
class Fixed:
    """A pool of so many slots."""

    cpu: int = 1
    gpu: int = 1
    apart: bool = False

    def slots(self, *, gpu: bool) -> int:
        return self.gpu if gpu else self.cpu


@dataclass
class Clock:
    """A clock that is set."""

    now: float = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("facekit.core.jobs.progress.time", clock)
    return clock


def job(work: ModuleType, number: int, stage: str = "mesh", **more: bool) -> Job:
    return Job(name=f"{stage}{number}", stage=stage, work=work.found, given={}, **more)


def ended(tally: Tally, one: Job, seconds: float, *, fresh: bool = True) -> None:
    tally.started(one)
    answer = {"fresh": ["mesh"] if fresh else []}
    tally.ended(Outcome(job=one, answer=answer, seconds=seconds))


def filled(work: ModuleType, n: int, **more: bool) -> tuple[Tally, list[Job]]:
    tally, jobs = Tally(began=0.0), [job(work, i, **more) for i in range(n)]
    for one in jobs:
        tally.added(one)
    return tally, jobs


def test_rest_by_the_mean_over_the_slots(work: ModuleType, clock: Clock) -> None:
    tally, jobs = filled(work, 10)
    assert time_left(tally, Fixed(cpu=2)) == "time left not known yet"
    ended(tally, jobs[0], 50.0)
    ended(tally, jobs[1], 70.0)
    assert tally.left_s(Fixed(cpu=2)) == (8 * 60 / 2, True)
    assert time_left(tally, Fixed(cpu=2)) == "about 4 min left"
    tally.started(jobs[2])
    clock.now = 30.0  # half of it is done
    assert tally.left_s(Fixed(cpu=2)) == (7.5 * 60 / 2, True)


def test_what_was_found_finished_makes_nothing_look_fast(work: ModuleType, clock: Clock) -> None:
    """A rerun finds 3 of 5 takes done: the two others take as long as a take takes."""
    tally, _ = filled(work, 0)
    jobs = [job(work, i, done_before=i < 3) for i in range(5)]
    for one in jobs:
        tally.added(one)
    ended(tally, jobs[3], 100.0)
    ended(tally, jobs[0], 0.1, fresh=False)
    assert tally.stages["mesh"].found_finished == 1
    assert tally.stages["mesh"].mean_s is None  # one take says little
    ended(tally, jobs[4], 300.0)
    assert tally.stages["mesh"].mean_s == 200.0
    assert tally.left_s(Fixed()) == (0.0, True)  # two are left, which were found finished before


def test_a_stage_not_timed_yet_makes_it_a_bound(work: ModuleType, clock: Clock) -> None:
    tally, jobs = filled(work, 4)
    tally.expect("maps", 4)
    ended(tally, jobs[0], 60.0)
    ended(tally, jobs[1], 60.0)
    assert time_left(tally, Fixed()) == "more than 2 min left"


def test_gpu_and_other_workers_are_two_queues(work: ModuleType, clock: Clock) -> None:
    tally, meshes = filled(work, 6, gpu=True)
    maps = [job(work, i, "maps") for i in range(6)]
    for one in maps:
        tally.added(one)
    for i in range(2):
        ended(tally, meshes[i], 100.0)
        ended(tally, maps[i], 30.0)
    assert tally.left_s(Fixed(cpu=4, gpu=1, apart=True)) == (400.0, True)
    assert tally.left_s(Fixed(cpu=1, gpu=1, apart=False)) == (520.0, True)
    assert "no worker with a GPU" in time_left(tally, Fixed(cpu=4, gpu=0, apart=True))


def test_rates_are_of_what_was_computed(work: ModuleType, clock: Clock) -> None:
    tally, jobs = filled(work, 4)
    clock.now = 1800.0
    ended(tally, jobs[0], 60.0)
    ended(tally, jobs[1], 60.0, fresh=False)
    assert tally.rate("mesh") == pytest.approx(2.0)  # an hour
    assert tally.figures()["mesh"]["done"] == 2


def test_bars_on_a_terminal(work: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    terminal = Console(file=screen, force_terminal=True, width=100, color_system=None)
    monkeypatch.setattr("facekit.core.jobs.progress.console", terminal)
    monkeypatch.setattr("facekit.core.console.console", terminal)
    jobs = [job(work, i) for i in range(3)]
    jobs.append(Job(name="w", stage="maps", work=work.wrong, given={"sentence": "no"}))
    for _ in run(jobs, Where(), expected={"mesh": 9}):
        pass
    last = screen.getvalue()
    assert "mesh" in last
    assert "3/9" in last
    assert "0/1" in last
    assert "1 failed" in last


def test_a_line_now_and_then_without_a_terminal(
    work: ModuleType, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("facekit.core.jobs.progress._LINE_EVERY_S", 0.0)
    jobs = [
        Job(name=f"{i}", stage="mesh", work=work.square, given={"number": i, "seconds": 0.01})
        for i in range(4)
    ]
    with caplog.at_level("INFO", logger="facekit.core.jobs.progress"):
        list(run(jobs, Where()))
    assert len(caplog.messages) >= 4
    assert caplog.messages[0].startswith("mesh 1/4, ")
    assert "an hour; time left not known yet" in caplog.messages[0]
    second = next(line for line in caplog.messages if line.startswith("mesh 2/4"))
    assert "about 0 s left" in second
    caplog.clear()
    list(run(jobs, Where(), progress=False))
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(5, "5 s"), (89, "89 s"), (600, "10 min"), (3600 * 3.5, "3 h 30 min"), (2.2e5, "2 d 13 h")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
