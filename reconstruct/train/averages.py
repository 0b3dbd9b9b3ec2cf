"""Mean weights: what a training validates and exports beside the weights of its last step."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Averages:
    """An exponential mean of all parameters that are trained.

    In the beginning old weights count less: after n steps at most (1 + n) / (10 + n).

    Parameters
    ----------
    decay : float, optional
        How much the old mean counts; None: no mean, and nothing is kept.
    """

    def __init__(self, modules: Mapping[str, nn.Module], decay: float | None) -> None:
        self.decay = decay
        self._parameters = {
            f"{name}.{key}": parameter
            for name, module in modules.items()
            for key, parameter in module.named_parameters()
            if decay is not None and parameter.requires_grad
        }
        self.tensors: dict[str, Tensor] = {
            name: parameter.detach().clone() for name, parameter in self._parameters.items()
        }

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights that a step, counted from 0, ended with."""
        if self.decay is None or not self.tensors:
            return
        new = 1 - min(self.decay, (2 + step) / (11 + step))
        means, now = list(self.tensors.values()), list(self._parameters.values())
        torch._foreach_lerp_(means, [p.detach() for p in now], new)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Let the networks have the mean weights within."""
        kept = {name: p.detach().clone() for name, p in self._parameters.items()}
        self.put()
        try:
            yield
        finally:
            self._give(kept)

    def put(self) -> None:
        """Give the networks the mean weights."""
        self._give(self.tensors)

    @torch.no_grad()
    def _give(self, tensors: Mapping[str, Tensor]) -> None:
        for name, parameter in self._parameters.items():
            parameter.copy_(tensors[name])
