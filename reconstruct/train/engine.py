"""What a step does with gradients: mixed precision, several processes, clipping, updates."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ...core.errors import ConfigError, EstimationError
from .config import Amp, LoopConfig
from .distributed import World

TOTAL = "total"
"""Among the terms of a loss: what is minimised."""


class NotFiniteError(EstimationError):
    """A term of the loss or a gradient is infinite or no number."""


class Engine:
    """Gradients and updates of a task's optimisers.

    Parameters
    ----------
    optimisers : mapping
        The task's.

    Raises
    ------
    ConfigError
        The mixed precision is none that the device has.
    """

    def __init__(
        self, optimisers: Mapping[str, Optimizer], config: LoopConfig, world: World
    ) -> None:
        self.world, self.device = world, world.device
        self.half = half_type(config.amp, world.device)
        self.norms: dict[str, float] = {}
        """Optimiser -> norm of its gradients at its last update."""
        self._optimisers, self._clip = dict(optimisers), config.clip
        self._parameters = {
            name: [p for group in optimiser.param_groups for p in group["params"]]
            for name, optimiser in optimisers.items()
        }
        self.scaler = torch.amp.GradScaler(
            world.device.type, enabled=self.half is torch.float16
        )  # of losses: small gradients would vanish in fp16

    def autocast(self) -> AbstractContextManager[Any]:
        """Compute within in the training's mixed precision."""
        return torch.autocast(
            self.device.type, dtype=self.half or torch.bfloat16, enabled=self.half is not None
        )

    @contextmanager
    def only(self, *names: str) -> Iterator[None]:
        """Let only the parameters of the optimisers `names` gather gradients within."""
        kept = {id(p) for name in names for p in self._parameters[name]}
        others = [
            p
            for parameters in self._parameters.values()
            for p in parameters
            if p.requires_grad and id(p) not in kept
        ]
        for parameter in others:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in others:
                parameter.requires_grad_(True)

    def minimise(
        self,
        name: str,
        batches: Sequence[Any],
        losses: Callable[[Any], Mapping[str, Tensor]],
    ) -> dict[str, float]:
        """Do one step of an optimiser over the batches.

        Parameters
        ----------
        name : str
            The optimiser.
        losses : callable
            Terms of one batch, and `total`, which is minimised; called under `autocast`.

        Returns
        -------
        dict
            Mean of each term.

        Raises
        ------
        NotFiniteError
            A term, or the gradient, is not finite; the message names it. Nothing is changed.
        """
        seen: dict[str, float] = {}
        for batch in batches:
            with self.autocast():
                terms = losses(batch)
            values = _numbers(terms)
            self.check(values)
            self.backward(terms[TOTAL], parts=len(batches))
            for key, value in values.items():
                seen[key] = seen.get(key, 0.0) + value / len(batches)
        self.update(name)
        return seen

    @staticmethod
    def check(values: Mapping[str, float]) -> None:
        """Refuse terms that are not finite, the parts of the loss before their sum."""
        bad = [name for name, value in values.items() if not math.isfinite(value)]
        if bad:
            name = next((name for name in bad if name != TOTAL), TOTAL)
            raise NotFiniteError(f"the loss's term {name!r} is {values[name]}")

    def backward(self, loss: Tensor, *, parts: int = 1) -> None:
        """Add the gradients of `loss / parts`; of a loss that nothing is learnt through, none."""
        if not loss.requires_grad:
            return
        scaled: Any = self.scaler.scale(loss.float() / parts)
        scaled.backward()

    def update(self, name: str) -> None:
        """Step an optimiser by the mean gradient of all processes, and clear its gradients.

        Raises
        ------
        NotFiniteError
            The gradient is not finite. (In fp16 the step is left out, and the scale halved.)
        """
        optimiser, parameters = self._optimisers[name], self._parameters[name]
        self.world.average_gradients(parameters)
        if all(p.grad is None for p in parameters):
            return
        self.scaler.unscale_(optimiser)
        limit = math.inf if self._clip is None else self._clip
        norm = float(nn.utils.clip_grad_norm_(parameters, limit))
        if not (math.isfinite(norm) or self.scaler.is_enabled()):
            raise NotFiniteError(f"the gradient of {name!r} is {norm}")
        self.norms[name] = norm
        self.scaler.step(optimiser)
        optimiser.zero_grad(set_to_none=True)

    def start_step(self) -> None:
        """Clear all gradients."""
        for optimiser in self._optimisers.values():
            optimiser.zero_grad(set_to_none=True)
        self.norms.clear()

    def end_step(self) -> None:
        """Let the scale of losses follow what the step saw."""
        if self.scaler.is_enabled() and self.norms:
            self.scaler.update()


def _numbers(terms: Mapping[str, Tensor]) -> dict[str, float]:
    """Return terms as numbers, fetched from the device at once."""
    stacked = torch.stack([value.detach().float().reshape(()) for value in terms.values()])
    return dict(zip(terms, stacked.tolist(), strict=True))


def half_type(amp: Amp, device: torch.device) -> torch.dtype | None:
    """Return the type that networks compute in beside float32; None for float32 alone.

    Raises
    ------
    ConfigError
        fp16 is asked for on the processor.
    """
    cuda = device.type == "cuda"
    if amp is Amp.FP16 and not cuda:
        raise ConfigError("loop.amp = fp16 is for CUDA: on the processor choose bf16 or off")
    if amp is Amp.AUTO:
        if not cuda:
            return None
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return {Amp.BF16: torch.bfloat16, Amp.FP16: torch.float16}.get(amp)
