"""Settings that all trainings share: how the loop runs."""

from dataclasses import dataclass
from enum import StrEnum

from ...core.devices import Device
from ...core.errors import ConfigError


class Amp(StrEnum):
    """In which numbers networks compute; weights stay float32."""

    AUTO = "auto"
    """On CUDA bf16 where the device has it, else fp16; float32 on the processor."""
    OFF = "off"
    BF16 = "bf16"
    FP16 = "fp16"
    """With scaled losses; CUDA only."""


class Schedule(StrEnum):
    """How the learning rate goes over the steps."""

    CONSTANT = "constant"
    STEPS = "steps"
    """Times `decay_factor` every `decay_every` steps, as the paper."""
    COSINE = "cosine"
    """Half a cosine from 1 down to `final_factor` at the last step."""


class Resume(StrEnum):
    """What a run folder that holds a run already is taken for."""

    AUTO = "auto"
    """Go on where it stopped; start where there is none."""
    NEVER = "never"
    """A run that is there is an error."""
    ONLY = "only"
    """None there is an error."""


FREE = frozenset(
    {"device", "workers", "prefetch", "checkpoint_steps", "checkpoint_minutes", "keep",
     "panel_steps", "watchdog_minutes", "peer_minutes", "patience"}
)  # fmt: skip
"""Settings of the loop that do not change what a step does: another value may resume a run."""


@dataclass(frozen=True, kw_only=True)
class LoopConfig:
    """How a training runs.

    Raises
    ------
    ConfigError
        A setting is out of its range.
    """

    seed: int = 0  # of all chance
    steps: int = 10_000
    parts: int = 1  # batches whose gradients a step adds up, in each process
    learning_rate: float = 1e-4  # before the schedule; the paper's
    schedule: Schedule = Schedule.CONSTANT
    warm_up: int = 0  # steps in which the rate rises from zero
    decay_every: int = 10_000  # steps; the paper: 10 epochs
    decay_factor: float = 0.2
    final_factor: float = 0.01
    clip: float | None = None  # largest norm of an optimiser's gradients
    average: float | None = None  # keep mean weights: an old mean counts so much, such as 0.999
    device: Device = Device.AUTO
    amp: Amp = Amp.AUTO
    threads: int = 1  # of the processor, in each process; sums depend on it
    deterministic: bool = True  # only operations whose result is always the same; slower on CUDA
    workers: int = 0  # processes that make batches; 0: made between steps
    prefetch: int = 2  # batches that each worker makes in advance
    checkpoint_steps: int = 500
    checkpoint_minutes: float = 10.0  # or so long after the last, whichever comes first
    keep: int = 3  # newest states on disk
    validate_steps: int = 1000
    patience: int | None = None  # validations without a better score, then the training ends
    panel_steps: int = 1000
    log_steps: int = 1
    watchdog_minutes: float = 30.0  # longest without a sign of life; then the process ends
    peer_minutes: float = 40.0  # longest that processes wait for each other

    def __post_init__(self) -> None:
        counts = ("steps", "parts", "threads", "prefetch", "keep", "decay_every",
                  "checkpoint_steps", "validate_steps", "panel_steps", "log_steps")  # fmt: skip
        for name in counts:
            if getattr(self, name) < 1:
                raise ConfigError(f"loop.{name} = {getattr(self, name)}: at least 1")
        for name in ("workers", "warm_up", "seed"):
            if getattr(self, name) < 0:
                raise ConfigError(f"loop.{name} = {getattr(self, name)}: not below 0")
        rates = ("learning_rate", "decay_factor", "checkpoint_minutes", "watchdog_minutes",
                 "peer_minutes", "clip", "patience")  # fmt: skip
        for name in rates:
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ConfigError(f"loop.{name} = {value}: above 0")
        if self.average is not None and not 0 < self.average < 1:
            raise ConfigError(f"loop.average = {self.average}: between 0 and 1")
        if not 0 <= self.final_factor <= 1:
            raise ConfigError(f"loop.final_factor = {self.final_factor}: from 0 to 1")

    @property
    def free(self) -> frozenset[str]:
        """Names of settings with which a run may be resumed though they differ."""
        # the cosine is stretched over all steps; the others may just go on for more of them
        return FREE if self.schedule is Schedule.COSINE else FREE | {"steps"}
