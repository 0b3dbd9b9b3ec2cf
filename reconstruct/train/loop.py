"""The loop of all trainings: steps, states on disk, validation, the end.

Killed at any moment and started again by the same command, a training on the processor ends
with the weights of one that nobody disturbed, to the last bit: batches and chance of a step
depend on its number alone, sums on a fixed number of threads, and states hold all the rest.
On CUDA the networks' convolutions may differ in the last digits from run to run.
"""

import json
import logging
import math
import signal
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ...core.console import step_bar
from ...core.errors import EstimationError
from ...core.files import StageKey, finished, stage_run
from .averages import Averages
from .board import LOG_FILE, Board, first_and_last, open_board, read_log
from .config import LoopConfig, Resume
from .distributed import World, processes, restarted
from .engine import Engine, NotFiniteError
from .loading import step_batches
from .reproducible import frozen, reproducible, seed_of_step
from .runfolder import alone, claim
from .schedule import rate_factor
from .state import (
    Parts,
    Progress,
    clear_parts,
    load_state,
    load_weights,
    newest_sound,
    save_state,
    save_weights,
    saved_steps,
)
from .task import SCORE, TOTAL, Task
from .watchdog import Stop, Watchdog, stop_on_signals

log = logging.getLogger(__name__)

STATES, WEIGHTS, BEST = "state", "weights", "best.safetensors"
EARLY = "early stop"
_SAVE = 1  # a flag among processes, beside numbers of signals: time for a state
_TELL_EVERY = 60.0  # seconds between lines of progress


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """How a training ended."""

    task: str
    steps: int
    """Done, of `of`."""
    of: int
    first: Mapping[str, float]
    """Each term's median over the first tenth of the steps."""
    last: Mapping[str, float]
    """Over the last tenth."""
    seconds: float
    """Over all times it was started."""
    validation: Mapping[str, float]
    """The last one's figures."""
    best_score: float | None
    best_step: int | None
    """Steps done when the weights that are exported were met; None: there was no score."""
    stopped: str | None
    """None: all steps are done; a signal's name, or `early stop`."""
    processes: int = 1

    def plain(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)


def train(
    task: Task,
    config: LoopConfig,
    out: Path,
    *,
    settings: Mapping[str, Any] | None = None,
    resume: Resume = Resume.AUTO,
) -> TrainResult:
    """Train a task, or go on with it where a run in `out` stopped.

    Parameters
    ----------
    task : Task
        Newly built; its networks are given the state's weights.
    out : Path
        The run's folder; `runfolder` says what comes there. All processes must see it.
    settings : mapping, optional
        All that the run depends on, JSON-able, with `loop` for `config`; another run's folder
        is told by it. Default: the loop's alone.

    Raises
    ------
    ConfigError
        The folder holds another run.
    InputError
        The folder cannot be written, or none of its states is sound.
    EstimationError
        The loss is not finite; the message names term and step.
    """
    settings = {"loop": asdict(config)} if settings is None else settings
    settings = json.loads(json.dumps(settings, default=str))
    key = StageKey(stage=f"train {task.name}", config=settings, inputs={})
    with ExitStack() as stack:
        stop = stack.enter_context(stop_on_signals())
        dog = stack.enter_context(Watchdog(config.watchdog_minutes, f"train {task.name}"))
        world = stack.enter_context(processes(config))
        stack.enter_context(reproducible(config, world))
        if world.first:
            stack.enter_context(alone(out))
            claim(out, task.name, settings, config, Resume.AUTO if restarted() else resume)
            clear_parts(out, out / STATES)
        done = world.first_says(finished(out, key, outputs=[WEIGHTS]) if world.first else None)
        if done is not None:
            log.info("%s: this training has ended already", out)
            return TrainResult(**done["results"])
        run = _Run(task, config, out, world, settings)
        run.start(dog)
        if not world.first:
            return run.steps(None, dog, stop)
        board = stack.enter_context(open_board(out, done=run.progress.step))
        try:
            with stage_run(out, key) as record:
                result = run.steps(board, dog, stop)
                if result.stopped not in (None, EARLY):
                    raise _UnfinishedError  # no record then
                record.results |= result.plain()
        except _UnfinishedError:
            log.info("train %s: stopped by %s; start it again to go on", task.name, result.stopped)
        return result


class _UnfinishedError(Exception):
    """A signal ended the training before its time."""


class _Run:
    """A training at work."""

    def __init__(
        self,
        task: Task,
        config: LoopConfig,
        out: Path,
        world: World,
        settings: Mapping[str, Any],
    ) -> None:
        self.settings = settings
        self.task, self.config, self.out, self.world = task, config, out, world
        self.modules: list[nn.Module] = list(task.modules.values())
        for module in self.modules:
            module.to(world.device)
        self.engine = Engine(task.optimisers, config, world)
        self.rates = {
            name: [float(group["lr"]) for group in optimiser.param_groups]
            for name, optimiser in task.optimisers.items()
        }
        self.progress = Progress()
        self.begun, self.saved, self.told = time.monotonic(), time.monotonic(), 0.0
        self.seconds_before = 0.0

    def start(self, dog: Watchdog) -> None:
        """Take up the newest sound state, the same one in all processes."""
        dog.heard("taking up the newest state")
        self.world.share(self.modules)
        self.averages = Averages(self.task.modules, self.config.average)
        self.parts = Parts(
            modules=self.task.modules,
            optimisers=self.task.optimisers,
            averages=self.averages.tensors,
            scaler=self.engine.scaler,
        )
        folder = self.out / STATES
        step = self.world.first_says(newest_sound(folder) if self.world.first else None)
        if step is not None:
            self.progress = load_state(folder, step, self.parts)
            log.info("train %s: going on after %d steps", self.task.name, step)
        self.seconds_before = self.progress.seconds

    def steps(self, board: Board | None, dog: Watchdog, stop: Stop) -> TrainResult:
        """Do the steps that are left; return how the training ended."""
        config, progress = self.config, self.progress
        batches = step_batches(self.task.feed, config, self.world, start=progress.step)
        stopped = EARLY if self._patience_is_over() else None
        bar = step_bar(f"train {self.task.name}", total=config.steps, done=progress.step)
        with closing(batches), bar as tell:
            while stopped is None and progress.step < config.steps:
                self._step(batches, board, dog, tell)
                self._look(board, dog)
                due = time.monotonic() - self.saved > 60 * config.checkpoint_minutes
                asked = self.world.any_says(stop.signal or (_SAVE if due else 0))
                if asked > _SAVE:
                    stopped = signal.Signals(asked).name
                elif self._patience_is_over():
                    stopped = EARLY
                if asked or stopped or progress.step % config.checkpoint_steps == 0:
                    self._save(dog)
        self._save(dog)
        return self._end(board, dog, stopped)

    def _step(
        self,
        batches: Generator[list[Any]],
        board: Board | None,
        dog: Watchdog,
        tell: Callable[[int, str], None],
    ) -> None:
        """Do one step."""
        step, start = self.progress.step, time.monotonic()
        dog.heard(f"making the batches of step {step}")
        of_step = next(batches)
        waited = time.monotonic() - start
        dog.heard(f"step {step}")
        factor = rate_factor(self.config, step)
        for name, optimiser in self.task.optimisers.items():
            for group, rate in zip(optimiser.param_groups, self.rates[name], strict=True):
                group["lr"] = rate * factor
        terms = self._learn(step, of_step)
        self.progress.step = step + 1
        self.progress.seconds = self.seconds_before + time.monotonic() - self.begun
        if step % self.config.log_steps == 0 or step + 1 == self.config.steps:
            terms = self.world.mean_terms(terms)
            if board is not None:
                rate = next(iter(self.rates.values()))[0] * factor if self.rates else 0.0
                board.step(
                    step,
                    terms,
                    rate=rate,
                    norms=self.engine.norms,
                    seconds=time.monotonic() - start,
                    waited=waited,
                )
        if board is not None:
            self._tell(terms, time.monotonic() - start, tell)

    def _learn(self, step: int, batches: list[Any]) -> Mapping[str, float]:
        """Let the task do a step; return the terms of its loss."""
        torch.manual_seed(seed_of_step(self.config.seed, step, self.world.rank))
        self.engine.start_step()
        try:
            terms = self.task.step(step, batches, self.engine)
            self.engine.check(terms)
        except torch.cuda.OutOfMemoryError as error:
            raise EstimationError(
                f"train {self.task.name}: step {step}: the device's memory is full; lower "
                "data.batch, or raise loop.parts: its batches are smaller then"
            ) from error
        except NotFiniteError as error:
            kept = saved_steps(self.out / STATES)
            newest = f"the newest state is of {kept[0]} steps" if kept else "no state is kept yet"
            raise EstimationError(
                f"train {self.task.name}: step {step}: {error}; {newest}; lower "
                "loop.learning_rate or set loop.clip, and train in another folder"
            ) from error
        self.engine.end_step()
        self.averages.update(step)
        self.world.average_buffers(self.modules)
        return terms

    def _tell(
        self, terms: Mapping[str, float], seconds: float, tell: Callable[[int, str], None]
    ) -> None:
        """Say how far it is: in the bar, and once in a while in the log."""
        done, of = self.progress.step, self.config.steps
        said = f"{TOTAL} {terms[TOTAL]:.4g}" if TOTAL in terms else ""
        tell(done, said)
        if time.monotonic() - self.told > _TELL_EVERY:
            self.told = time.monotonic()
            log.info(
                "train %s: step %d of %d, %s (%.3g s)", self.task.name, done, of, said, seconds
            )

    def _look(self, board: Board | None, dog: Watchdog) -> None:
        """Validate and draw when it is time to, on the first process."""
        config, done = self.config, self.progress.step
        last = done == config.steps
        if done % config.validate_steps == 0 or last:
            dog.heard(f"the validation after {done} steps")
            figures: dict[str, float] = {}
            if board is not None:
                with self._looking():
                    figures = {k: float(v) for k, v in self.task.validate(done).items()}
                    self._judge(figures)
                board.validation(done, figures)
                log.info("train %s: after %d steps %s", self.task.name, done, _listed(figures))
            told = self.world.first_says(vars(self.progress) if board is not None else None)
            self.progress.__dict__.update(told)
        if board is not None and (done % config.panel_steps == 0 or last):
            dog.heard(f"the pictures after {done} steps")
            with self._looking():
                board.panels(done, self.task.panels(done))

    def _judge(self, figures: Mapping[str, float]) -> None:
        """Keep and export the weights when they are the best so far."""
        progress = self.progress
        progress.validation = dict(figures)
        score = figures.get(SCORE)
        if score is None or not math.isfinite(score):
            progress.since_best += score is not None
            return
        if progress.best_score is not None and score >= progress.best_score:
            progress.since_best += 1
            return
        progress.best_score, progress.best_step, progress.since_best = score, progress.step, 0
        progress.best_validation = dict(figures)
        save_weights(self.out / BEST, self.task.modules)
        self.task.export(self.out / WEIGHTS, self._record())

    def _patience_is_over(self) -> bool:
        patience = self.config.patience
        return patience is not None and self.progress.since_best >= patience

    @contextmanager
    def _looking(self) -> Iterator[None]:
        """Let networks be looked at: mean weights, a seed of its own, nothing learnt."""
        torch.manual_seed(self.config.seed)
        with frozen(self.modules), self.averages.applied():
            yield

    def _save(self, dog: Watchdog) -> None:
        """Write a state, unless that of this step is there."""
        self.saved = time.monotonic()
        folder, step = self.out / STATES, self.progress.step
        if self.world.first and step not in saved_steps(folder):
            dog.heard(f"writing the state of step {step}")
            save_state(folder, self.parts, self.progress, keep=self.config.keep)

    def _end(self, board: Board | None, dog: Watchdog, stopped: str | None) -> TrainResult:
        """Export the best weights, and sum the training up."""
        result: TrainResult | None = None
        if board is not None:
            dog.heard("the export")
            if self.progress.best_step is not None:
                load_weights(self.out / BEST, self.task.modules)
            else:
                self.averages.put()
            with frozen(self.modules):
                self.task.export(self.out / WEIGHTS, self._record())
            result = self._result(stopped)
        result = self.world.first_says(result)
        assert result is not None
        return result

    def _record(self) -> dict[str, Any]:
        """Return what exported weights say about the training."""
        progress, best = self.progress, self.progress.best_step
        return {
            "task": self.task.name,
            "steps": progress.step if best is None else best,
            "seconds": round(progress.seconds, 1),
            "validation": dict(progress.validation if best is None else progress.best_validation),
            "settings": dict(self.settings),
        }

    def _result(self, stopped: str | None) -> TrainResult:
        first, last = first_and_last(read_log(self.out / LOG_FILE))
        progress = self.progress
        return TrainResult(
            task=self.task.name,
            steps=progress.step,
            of=self.config.steps,
            first=first,
            last=last,
            seconds=round(progress.seconds, 2),
            validation=progress.validation,
            best_score=progress.best_score,
            best_step=progress.best_step,
            stopped=stopped,
            processes=self.world.size,
        )


def _listed(figures: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in figures.items()) or "no figures"
