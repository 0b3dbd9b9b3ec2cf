"""A toy training, and plans to be carried out in processes of its own.

Plans run as `python toytraining.py JSON`, which imports once and forks the processes that train
before anything was computed: each then costs tenths of a second.
"""

import json
import os
import random
import signal
import socket
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from facekit.core.config import from_mapping
from facekit.reconstruct.train.config import LoopConfig, Resume
from facekit.reconstruct.train.loop import TrainResult, train
from facekit.reconstruct.train.task import PlainTask, own_items
from facekit.reconstruct.train.watchdog import exit_code


@dataclass(frozen=True, kw_only=True)
class Toy:
    """What the toy is like, and what goes wrong in it."""

    seed: int = 0
    parts: int = 1
    items: int = 16
    dropout: float = 0.0
    norm: bool = False
    slow: float = 0.0  # seconds that a step sleeps
    nan_at: int = -1  # step whose term `odd` is no number
    hang_at: int = -1
    signal_at: int = -1  # step in which the process sends itself `signal`
    signal: int = int(signal.SIGTERM)
    signal_rank: int = 0
    once: str = ""  # file: the signal is sent only where it is not there yet
    best_at: int | None = None  # steps after which the score is best


class ToyFeed:
    """Pairs of a random vector and a formula of it."""

    def __init__(self, toy: Toy) -> None:
        self.toy = toy

    def batch(self, step: int, part: int, rank: int, world: int) -> dict[str, Any]:
        toy = self.toy
        numbers = own_items(toy.items, step, part, rank, world=world, parts=toy.parts)
        items = [self._item(number) for number in numbers]
        return {"x": torch.stack([x for x, _ in items]), "y": torch.stack([y for _, y in items])}

    def _item(self, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        chance = torch.Generator().manual_seed(1_000_003 * self.toy.seed + number)
        x = torch.randn(6, generator=chance)
        return x, torch.stack([(x[0] - x[1]).tanh(), x[2].sin()])


class ToyTask(PlainTask):
    """Fits a small network to the formula."""

    name = "toy"

    def __init__(self, toy: Toy, rate: float) -> None:
        torch.manual_seed(toy.seed)
        self.toy, self.feed = toy, ToyFeed(toy)
        norm = nn.BatchNorm1d(24) if toy.norm else nn.Identity()
        self.net = nn.Sequential(
            nn.Linear(6, 24), norm, nn.Tanh(), nn.Dropout(toy.dropout), nn.Linear(24, 2)
        )
        self.unused = nn.Linear(2, 2)
        self.modules = {"net": self.net, "unused": self.unused}
        both = [*self.net.parameters(), *self.unused.parameters()]
        self.optimisers = {"all": torch.optim.Adam(both, lr=rate)}
        self.exported: dict[str, Any] = {}
        self.has_signalled = False

    def losses(self, step: int, batch: Any) -> dict[str, torch.Tensor]:
        self._go_wrong(step)
        fit = (self.net(batch["x"]).float() - batch["y"]).square().mean()
        odd = fit.detach() * (float("nan") if step == self.toy.nan_at else 0.0)
        return {"fit": fit, "odd": odd, "total": fit + odd}

    def _go_wrong(self, step: int) -> None:
        toy = self.toy
        time.sleep(60 if step == toy.hang_at else toy.slow)
        mine = int(os.environ.get("RANK", "0")) == toy.signal_rank
        if step == toy.signal_at and mine and not self.has_signalled:
            self.has_signalled = True
            if toy.once and Path(toy.once).exists():
                return
            if toy.once:
                Path(toy.once).touch()
            os.kill(os.getpid(), toy.signal)

    def validate(self, step: int) -> dict[str, float]:
        batch = ToyFeed(Toy(seed=99)).batch(0, 0, 0, 1)
        at = self.net[0].weight.device
        score = float((self.net(batch["x"].to(at)) - batch["y"].to(at)).square().mean())
        return {"score": score if self.toy.best_at is None else abs(step - self.toy.best_at)}

    def panels(self, step: int) -> dict[str, torch.Tensor]:
        return {"weights": self.net[0].weight.sigmoid().expand(3, -1, -1)}

    def export(self, folder: Path, record: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "record.json").write_text(json.dumps(dict(record)))
        self.exported = {name: t.clone() for name, t in self.net.state_dict().items()}


def trained(
    out: Path, loop: dict[str, Any], *, resume: str = "auto", **toy: Any
) -> tuple[TrainResult, ToyTask]:
    """Train the toy; return how it ended, and the task."""
    values = {"device": "cpu", "steps": 30, "learning_rate": 0.01, "checkpoint_steps": 7} | loop
    config = from_mapping(LoopConfig, values, where="loop")
    task = ToyTask(Toy(**toy, parts=config.parts), config.learning_rate)
    return train(task, config, out, resume=Resume(resume)), task


def forked(out: Path, loop: dict[str, Any], toy: dict[str, Any], **environment: str) -> int:
    """Train in a process of its own; return its number."""
    child = os.fork()
    if child:
        return child
    code = 99
    try:
        os.environ.update(environment)
        code = exit_code(trained(out, loop, **toy)[0].stopped)
    finally:
        sys.stderr.flush()
        os._exit(code)


def killed(
    out: str, loop: dict[str, Any], toy: dict[str, Any], *, kills: int, seed: int
) -> dict[str, Any]:
    """Kill the training when its log has a random length, some times; then let it end."""
    chance = random.Random(seed)
    moments = sorted(chance.sample(range(1, loop["steps"]), kills))
    for moment in moments:
        child = forked(Path(out), loop, toy)
        while _steps_in(Path(out) / "log.jsonl") < moment:
            time.sleep(0.001)
        time.sleep(chance.uniform(0, 0.01))  # into a step, a validation or a state being written
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return {"moments": moments, "codes": [_code_of(forked(Path(out), loop, toy))]}


def together(
    out: str, loop: dict[str, Any], toy: dict[str, Any], *, world: int = 2
) -> dict[str, Any]:
    """Train in several processes; return how each ended."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {
        "WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
        "TORCHELASTIC_RUN_ID": "toy",
    }  # fmt: skip
    children = [forked(Path(out), loop, toy, RANK=str(rank), **shared) for rank in range(world)]
    return {"codes": [_code_of(child) for child in children]}


def alone(out: str, loop: dict[str, Any], toy: dict[str, Any]) -> dict[str, Any]:
    """Train in this process, as `torchrun` starts it."""
    return {"stopped": trained(Path(out), loop, **toy)[0].stopped}


def _code_of(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _steps_in(path: Path) -> int:
    return path.read_text().count('"step"') if path.is_file() else 0


if __name__ == "__main__":
    import torch._dynamo  # by the first step of an optimiser

    with suppress(ImportError):
        import torch.utils.tensorboard
    plans = {"killed": killed, "together": together, "alone": alone}
    answers = [plans[plan](**given) for plan, given in json.loads(sys.argv[1])]
    sys.stdout.write(json.dumps(answers))
