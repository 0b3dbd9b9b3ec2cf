"""What a training is made of: a `Task`, its `Feed` of batches, and how both are written.

The loop (`loop.train`) knows nothing of faces. It asks a task for its networks and optimisers,
feeds it batches, and sees to all that trainings share: processes, mixed precision, states on
disk, the learning rate, the log, validation, the end. How a task is written:

1.  A config, a frozen dataclass in the task's own module, with `loop: LoopConfig` among its
    fields, and a function `build(config) -> Task`. Whoever starts the training calls
    `train(build(config), config.loop, out, settings=to_mapping(config))`.
2.  A feed: a small object that can be pickled, with `batch(step, part, rank, world)`. A copy of
    it goes to each worker process (`loop.workers`), so it holds no networks and nothing on
    CUDA, and opens files when first asked. `batch` is a pure function of its arguments and the
    feed's settings: whoever resumes a run, with other workers, gets the same batches. Steps
    count from 0; `part` of `loop.parts` is one batch of the gradients that a step adds up;
    `rank` of `world` is the process. Let the items of a step be numbered over all parts and
    processes, and let `own_items` say which of them a batch holds: then the number of processes
    does not change what a step learns from. Tensors in tuples, lists, mappings and dataclasses
    are moved to the device by the loop.
3.  `modules`: name -> network. All of their parameters and buffers are saved; frozen networks
    that somebody else keeps (a recognition network) stay out of it. Put them, and all constant
    tensors, on `distributed.training_device(config.loop)`; build them under a seed of the
    config: `torch.manual_seed(config.loop.seed)` first in `build`.
4.  `optimisers`: name -> optimiser, built with `config.loop.learning_rate` or a rate of the
    task's own. The loop multiplies each group's rate by the schedule's factor.
5.  A plain task (one optimiser, one loss) derives from `PlainTask` and gives `losses(step,
    batch)`: named terms, already weighted, and `total`, their sum, which is minimised. The same
    names in every step: what does not apply is a zero. Called under autocast; compute what
    needs float32 under `torch.autocast(device_type, enabled=False)`.
    An adversarial task gives `step(step, batches, engine)` itself:

        with engine.only("generator"):                     # the others keep no gradients
            seen = engine.minimise("generator", batches, self.of_generator)
        with engine.only("discriminator"):
            seen |= engine.minimise("discriminator", batches, self.of_discriminator)
        return seen

    where `of_generator(batch)` returns terms and `total`. With `engine.autocast()`,
    `engine.backward(loss, parts=n)` and `engine.update(name)` it can be done by hand.
6.  `validate(step)` after `step` steps were done: figures in mm and the like on data never
    trained on; `score` is the one to be small. In `eval()`, without gradients, with averaged
    weights where `loop.average` says so; on the first process only.
7.  `panels(step)`: name -> (3, H, W) picture in 0..1, as `validate`.
8.  `export(folder, record)`: the weights as users load them (`checkpoint.save_hrn`), with the
    record of the training; the networks hold the best weights then, where there was a `score`.
    It must tell what it wrote by nothing but files in `folder`.

Chance: the loop seeds torch before each step from (seed, step, rank), so dropout and
`torch.rand` may be used in `step`. Nothing else may be drawn without a seed of its own, and no
state may live outside of `modules` and `optimisers`: then a run that was killed at any moment
ends with the very weights of one that was not (on the processor).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn
from torch.optim import Optimizer

from .engine import TOTAL as TOTAL
from .engine import Engine

SCORE = "score"
"""Among a validation's figures: smaller is better."""


class Feed(Protocol):
    """Where a training's batches come from; picklable, without networks."""

    def batch(self, step: int, part: int, rank: int, world: int) -> Any:
        """Return one batch: a pure function of the arguments."""


class Task(Protocol):
    """One training: its networks, its optimisers and what a step does; see the module."""

    name: str
    """`coarse`, `deretouch` or `detail`."""
    modules: Mapping[str, nn.Module]
    """What is saved."""
    optimisers: Mapping[str, Optimizer]
    feed: Feed

    def step(self, step: int, batches: Sequence[Any], engine: Engine) -> Mapping[str, float]:
        """Do one optimiser step over `batches`; return the mean of each term of the loss."""

    def validate(self, step: int) -> Mapping[str, float]:
        """Return figures on data never trained on, `score` among them; may be empty."""

    def panels(self, step: int) -> Mapping[str, Tensor]:
        """Return pictures (3, H, W) to look at; may be empty."""

    def export(self, folder: Path, record: Mapping[str, Any]) -> None:
        """Write the weights for use."""


class PlainTask:
    """A task with one optimiser that minimises one loss: the base of such a task."""

    optimisers: Mapping[str, Optimizer]

    def losses(self, step: int, batch: Any) -> Mapping[str, Tensor]:
        """Return the loss's terms, weighted, and `total`, their sum."""
        raise NotImplementedError

    def step(self, step: int, batches: Sequence[Any], engine: Engine) -> Mapping[str, float]:
        """Minimise `total` over the batches."""
        (name,) = self.optimisers
        return engine.minimise(name, batches, lambda batch: self.losses(step, batch))


def own_items(n_items: int, step: int, part: int, rank: int, *, world: int, parts: int) -> range:
    """Return the numbers of the items that one batch of a step holds.

    Parameters
    ----------
    n_items : int
        Of a step, over all its parts and all processes.

    Returns
    -------
    range
        Numbers count on from step to step, so that they tell items of all steps apart: seeds
        may be drawn from them. Together the batches of a step hold each of its items once.
    """
    return range(step * n_items + part * world + rank, (step + 1) * n_items, parts * world)
