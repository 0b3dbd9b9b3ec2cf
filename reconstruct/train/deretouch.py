"""The training of the de-retouching network, on pairs of textures with and without spots.

    L1(B, B*) + L1(T0, g) + the same of the inner heads + LSGAN

T0 = soft_light(T, B) is what the layer B makes of the texture T, g the retouched texture, and B*
the layer that makes g of T. Skin that is not seen does not count; spots, which are few texels
among many, count for more. Where no layer lifts a dark mole all of the way, B* is the layer that
does most.

Source
------
Lei et al., ABPN, CVPR 2022 (layers), and HRN, CVPR 2023, whose network and use this is; weights,
the saturated B* and the pairs are ours, since neither training was released.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...core.errors import ConfigError
from ..checkpoint import save_deretouch
from ..networks.deretouch import DeretouchNet, blend_layer
from ..networks.discriminators import PatchDiscriminator
from ..networks.softlight import NEUTRAL, blend_target, soft_light
from .config import LoopConfig
from .distributed import training_device
from .engine import Engine
from .retouchfeed import RetouchBatch, RetouchData, RetouchFeed, batch_of
from .retouchscore import figures_of
from .task import SCORE, TOTAL

WEIGHTS_FILE = "deretouch.safetensors"
_CHANGED = 1.0 / 255.0
_N_PANELS = 3
_HARM = 0.2  # of the score: five levels off the spots are as bad as all spots left


@dataclass(frozen=True, kw_only=True)
class DeretouchWeights:
    """What each term counts for."""

    layer: float = 1.0  # |B - B*|
    retouched: float = 1.0  # |T0 - g|
    inner: float = 0.25  # |B - B*| of the four inner heads, each
    adversarial: float = 0.0  # LSGAN on T0; 0: no discriminator
    spots: float = 25.0  # times: how much more a texel of a spot counts; else none are found


@dataclass(frozen=True, kw_only=True)
class DeretouchConfig:
    """How the de-retouching network is trained.

    Raises
    ------
    ConfigError
        A setting is out of its range.
    """

    loop: LoopConfig = field(default_factory=LoopConfig)
    data: RetouchData = field(default_factory=RetouchData)
    weights: DeretouchWeights = field(default_factory=DeretouchWeights)
    width: int = 64  # channels at full size; the paper's
    judge_width: int = 64  # of the discriminator
    init: str | None = None  # a checkpoint to begin with

    def __post_init__(self) -> None:
        for name in ("width", "judge_width"):
            if not 1 <= getattr(self, name) <= 1024:
                raise ConfigError(f"{name} = {getattr(self, name)}: from 1 to 1024")


def build(config: DeretouchConfig) -> "DeretouchTask":
    """Return the task of a configuration."""
    torch.manual_seed(config.loop.seed)
    return DeretouchTask(config)


class DeretouchTask:
    """See `task.Task`."""

    name = "deretouch"

    def __init__(self, config: DeretouchConfig) -> None:
        self.config, loop = config, config.loop
        device = training_device(loop)
        size = config.data.virtual.size
        self.network = DeretouchNet(width=config.width, size=size)
        if config.init is not None:
            self._begin_with(Path(config.init))
        self.network.to(device).train()
        self.modules: dict[str, nn.Module] = {"generator": self.network}
        self.optimisers: dict[str, torch.optim.Optimizer] = {
            "generator": torch.optim.Adam(self.network.parameters(), lr=loop.learning_rate)
        }
        self.judge: PatchDiscriminator | None = None
        if config.weights.adversarial > 0:
            self.judge = PatchDiscriminator(3, width=config.judge_width).to(device)
            self.modules["judge"] = self.judge
            self.optimisers["judge"] = torch.optim.Adam(
                self.judge.parameters(), lr=loop.learning_rate, betas=(0.5, 0.999)
            )
        self.feed = RetouchFeed(config.data, seed=loop.seed, parts=loop.parts)
        self._held: RetouchBatch | None = None
        self._device = device

    def step(
        self, step: int, batches: Sequence[RetouchBatch], engine: Engine
    ) -> Mapping[str, float]:
        """Do one step of the network, and of its judge where there is one."""
        with engine.only("generator"):
            seen = engine.minimise("generator", batches, self.losses)
        if self.judge is not None:
            with engine.only("judge"):
                judged = engine.minimise("judge", batches, self.judge_losses)
            seen |= {"judge": judged["judge"]}
        return seen

    def losses(self, batch: RetouchBatch) -> dict[str, Tensor]:
        """Return the network's terms, weighted, and their sum."""
        weights = self.config.weights
        layer, inner = self.network.supervised(2 * batch.raw - 1)
        layer = layer.float()
        target = blend_target(batch.raw, batch.retouched, skin=batch.seen, saturated=True)
        change = (batch.raw - batch.retouched).abs().amax(dim=1, keepdim=True)
        counts = batch.seen * (1 + weights.spots * (change >= _CHANGED))
        made = soft_light(batch.raw, layer)
        terms = {
            "layer": weights.layer * _l1(layer, target, counts),
            "retouched": weights.retouched * _l1(made, batch.retouched, counts),
            "inner": weights.inner * _inner(inner, target, counts),
        }
        if self.judge is not None:
            fooled = ((self.judge(made) - 1) ** 2).float().mean()
            terms["adversarial"] = weights.adversarial * fooled
        return terms | {TOTAL: torch.stack(list(terms.values())).sum()}

    def judge_losses(self, batch: RetouchBatch) -> dict[str, Tensor]:
        """Return what the judge minimises: retouched textures are 1, made ones 0."""
        assert self.judge is not None
        with torch.no_grad():
            made = soft_light(batch.raw, self.network(2 * batch.raw - 1).float())
        real, fake = self.judge(batch.retouched).float(), self.judge(made).float()
        loss = 0.5 * (((real - 1) ** 2).mean() + (fake**2).mean())
        return {"judge": loss, TOTAL: loss}

    def validate(self, step: int) -> dict[str, float]:
        """Return what of the spots is gone, and what else is changed, on unseen people."""
        found = figures_of(self.network, self._held_out())
        score = 1 - found.removed + _HARM * found.harm
        return {"spots_removed": found.removed, "harm_levels": found.harm, SCORE: score}

    def panels(self, step: int) -> dict[str, Tensor]:
        """Return, below each other: raw, as retouched here, as it should be, and the layer."""
        held = self._held_out()
        pictures = {}
        for number in range(min(_N_PANELS, len(held.raw))):
            raw, target = held.raw[number], held.retouched[number]
            with torch.no_grad():
                layer = blend_layer(self.network, raw[None])[0]
            rows = (raw, soft_light(raw, layer), target, layer)
            pictures[f"texture {number}"] = torch.cat(rows, dim=1).clamp(0, 1)
        return pictures

    def export(self, folder: Path, record: Mapping[str, Any]) -> None:
        """Write `deretouch.safetensors`."""
        save_deretouch(folder / WEIGHTS_FILE, self.network, training=record)

    def _held_out(self) -> RetouchBatch:
        if self._held is None:
            pairs = batch_of(self.feed.validation())
            self._held = RetouchBatch(*(part.to(self._device) for part in pairs))
        return self._held

    def _begin_with(self, path: Path) -> None:
        """Take over weights.

        Raises
        ------
        ConfigError
            They are of another width.
        """
        from ..checkpoint import load_deretouch

        loaded = load_deretouch(path)
        if loaded.network.width != self.config.width:
            raise ConfigError(f"{path}: width {loaded.network.width}, not {self.config.width}")
        self.network.load_state_dict(loaded.network.state_dict())


def _l1(found: Tensor, wanted: Tensor, counts: Tensor) -> Tensor:
    """Return the mean |found - wanted| over channels and texels that count."""
    gap = (found - wanted).abs().mean(dim=1, keepdim=True)
    return (gap * counts).sum() / counts.sum().clamp(min=1)


def _inner(layers: Sequence[Tensor], target: Tensor, counts: Tensor) -> Tensor:
    """Return the sum over the inner heads' layers, each at its own size."""
    total = target.new_zeros(())
    for layer in layers:
        size = (layer.shape[2], layer.shape[3])
        weight = functional.adaptive_avg_pool2d(counts, size)
        offset = functional.adaptive_avg_pool2d((target - NEUTRAL) * counts, size)
        small = NEUTRAL + offset / weight.clamp(min=1e-6)
        total = total + _l1(layer.float(), small, weight)
    return total
