"""The training of the mid and high generators, round a frozen coefficient network.

A step looks at the same faces in up to four ways: all of them are deformed (M1, `detailpasses`);
some are unwrapped anew and given relief; some of those are drawn (`detailrenders`); and two
discriminators compare the maps with true ones. The high network learns nothing through M1, so
that the two levels train side by side, the coarse one ahead by `steps.high_from`.

Source
------
Lei et al., HRN, CVPR 2023, section 3; which terms the truth brings in is ours.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .. import losses
from ..checkpoint import save_hrn
from ..hrn import Hrn
from ..networks.discriminators import HIGH_LAYERS, MID_LAYERS, PatchDiscriminator
from ..networks.hrn import HrnNetworks
from ..samples.augment import Batch
from .coarsescore import summary
from .detailconfig import DetailConfig
from .detailfeed import PreparedFeed
from .detailgiven import Given, given_of, missed
from .detailpanels import panels
from .detailpasses import (
    HIGH_SCALE,
    MID_SCALE,
    HighPass,
    MidPass,
    high_pass,
    high_terms,
    mid_pass,
    mid_terms,
    true_deformation,
)
from .detailrenders import render_terms
from .detailscore import high_figures, mid_figures, score
from .engine import Engine
from .facepoints import FacePoints
from .samplefeed import SampleFeed
from .task import TOTAL

EXPORTED = "hrn.safetensors"
"""The file in the folder of an export."""
_SCORED_POINTS = 8000  # of the face: all of the front of the built-in head
_SCORED_AT_ONCE = 8

Terms = dict[str, Tensor]
Maps = dict[str, tuple[Tensor, Tensor]]
"""Level -> maps made, without gradients, and true ones, as discriminators see them."""


class Generators(nn.Module):
    """What is trained and kept: both generators and their gains."""

    def __init__(self, networks: HrnNetworks) -> None:
        super().__init__()
        self.mid_net, self.high_net = networks.mid_net, networks.high_net
        self.alpha, self.beta = networks.alpha, networks.beta


class DetailTask:
    """Trains the generators of `hrn`; its other networks stay as they are.

    Parameters
    ----------
    networks : HrnNetworks
        Those of `hrn`.
    feed : PreparedFeed or SampleFeed
        Of `Given`, or of `Batch`.
    held : SampleFeed
        Whose people held out are validated on.
    """

    name = "detail"

    def __init__(
        self,
        config: DetailConfig,
        hrn: Hrn,
        networks: HrnNetworks,
        feed: PreparedFeed | SampleFeed,
        held: SampleFeed,
    ) -> None:
        self.config, self.hrn, self.networks, self.feed = config, hrn, networks, feed
        self._held_feed = held
        sizes, device = config.sizes, hrn.face.mean.device
        self.judges = nn.ModuleDict(
            {
                level: PatchDiscriminator(
                    n, width=sizes.judge_width, n_layers=layers, normed=sizes.judge_normed
                )
                for level, n, layers in (("mid", 3, MID_LAYERS), ("high", 1, HIGH_LAYERS))
            }
        ).to(device)
        self.generators = Generators(networks)
        self.modules: Mapping[str, nn.Module] = {
            "generators": self.generators, "judges": self.judges
        }  # fmt: skip
        self.optimisers = _optimisers(config, self.generators, self.judges)
        self._held: tuple[list[tuple[Batch, Given]], list[str]] | None = None

    def step(self, step: int, batches: Sequence[Any], engine: Engine) -> Mapping[str, float]:
        """Train the generators, then the discriminators on what they made."""
        seen: dict[str, float] = {}
        made: list[Maps] = []
        with engine.only("mid", "high"):
            for batch in batches:
                terms, maps = self.of_generators(step, self.given(batch), engine.autocast)
                made.append(maps)
                _add(seen, terms, engine, parts=len(batches))
            for name in ("mid", "high"):
                engine.update(name)
        for level in ("mid", "high"):
            name = f"judge_{level}"
            with engine.only(name):
                for maps in made:
                    if level in maps:
                        terms = self.of_judge(level, *maps[level], engine.autocast)
                        _add(seen, terms, engine, parts=len(batches), total=name)
                engine.update(name)
        return seen

    def given(self, batch: Batch | Given) -> Given:
        """Return what the generators are given of a batch."""
        if isinstance(batch, Given):
            return batch
        jitter, off = self.config.jitter, None
        if jitter:  # torch's chance is the step's own
            seed = int(torch.randint(1 << 31, (1,)))
            off = missed(self.hrn.face, len(batch), jitter, seed)
        return given_of(self.hrn, batch, off=off)

    def of_generators(
        self, step: int, given: Given, precision: Callable[[], AbstractContextManager[Any]]
    ) -> tuple[Terms, Maps]:
        """Return the weighted terms with `total`, and the maps that discriminators judge."""
        c, parts = self.config, self.config.parts
        mid = mid_pass(self.hrn, given, deformed=parts.deformation, precision=precision)
        terms: Terms = {}
        maps: Maps = {}
        if parts.deformation:
            terms |= mid_terms(self.hrn, given, mid, c.weights, priors=parts.priors)
            self._judged("mid", step, self._mid_maps(given, mid), terms, maps, precision)
        few = _some(len(given), c.steps.n_high, step).to(given.offset.device)
        if parts.displacement and step >= c.steps.high_from and len(few):
            own = given.rows(few)
            high = high_pass(self.hrn, own, mid.rows(few).detached(), precision=precision)
            terms |= high_terms(own, high, c.weights, priors=parts.priors)
            pair = self._high_maps(given, few, high)
            self._judged("high", step, pair, terms, maps, precision)
        else:
            high, few = None, _some(len(given), c.steps.n_rendered, step).to(few.device)
        terms |= self._drawn(given, mid, high, few)
        terms[TOTAL] = torch.stack(list(terms.values())).sum()
        return terms, maps

    def _drawn(self, given: Given, mid: MidPass, high: HighPass | None, few: Tensor) -> Terms:
        """Return the terms of the first of the faces `few`, of which `high` is."""
        shown = few[: self.config.steps.n_rendered]
        if not len(shown):
            return {}
        relief = None if high is None else high.rows(slice(0, len(shown)))
        return render_terms(
            self.hrn, given.rows(shown), mid.rows(shown), relief, self.config.weights,
            contour=self.config.parts.contour,
        )  # fmt: skip

    def _judged(
        self, level: str, step: int, made_and_true: tuple[Tensor, Tensor] | None, terms: Terms,
        maps: Maps, precision: Callable[[], AbstractContextManager[Any]],
    ) -> None:  # fmt: skip
        """Add the adversarial term of a level, where there are true maps to compare with."""
        c = self.config
        if not c.parts.priors or c.weights.adversarial == 0 or step < c.steps.adversarial_from:
            return
        if made_and_true is None:
            terms[f"adversarial_{level}"] = next(iter(terms.values())).new_zeros(())
            return
        made, true = made_and_true
        with precision():
            scores = self.judges[level](made)
        said = losses.adversarial(scores.float(), real=True, generator=True)
        terms[f"adversarial_{level}"] = c.weights.adversarial * said
        maps[level] = made.detach(), true

    def of_judge(
        self, level: str, made: Tensor, true: Tensor,
        precision: Callable[[], AbstractContextManager[Any]],
    ) -> Terms:  # fmt: skip
        """Return the loss of a discriminator."""
        with precision():
            scores = self.judges[level](torch.cat([made, true])).float()
        on_made, on_true = scores.split([len(made), len(true)])
        said = losses.adversarial(on_made, real=False, generator=False) + losses.adversarial(
            on_true, real=True, generator=False
        )
        return {f"judge_{level}": said / 2}

    def _mid_maps(self, given: Given, mid: MidPass) -> tuple[Tensor, Tensor] | None:
        """Return deformation maps made and true, each where a truth is known."""
        wanted, known = true_deformation(self.hrn, given)
        made = mid.deformation * self.hrn.face.chart_mask(self.hrn.deformation_size)
        rows = torch.arange(len(given), device=made.device)
        return compared(made, rows, wanted, known, given.has_truth, scale=MID_SCALE)

    def _high_maps(
        self, given: Given, rows: Tensor, high: HighPass
    ) -> tuple[Tensor, Tensor] | None:
        """Return displacement maps made, of some rows, and true ones of all that have any."""
        inside = self.hrn.face.chart_mask(self.hrn.displacement_size)
        known = given.relief_valid * given.sure * inside
        made = high.displacement
        return compared(made, rows, given.relief, known, given.has_truth, scale=HIGH_SCALE)

    @torch.no_grad()
    def validate(self, step: int) -> Mapping[str, float]:
        """Return errors of M1, M0 and the relief on the people held out; see `detailscore`."""
        held, people = self.held()
        if not people:
            return {}
        points = FacePoints(self.hrn.face, n_points=_SCORED_POINTS)
        rows: dict[str, list[float]] = {}
        relief: dict[str, list[float]] = {}
        parts = self.config.parts
        for batch, given in held:
            for start in range(0, len(given), _SCORED_AT_ONCE):
                some = slice(start, start + _SCORED_AT_ONCE)
                own = given.rows(some)
                mid = mid_pass(self.hrn, own, deformed=parts.deformation)
                _extend(rows, mid_figures(points, mid, _rows(batch, some)))
                if parts.displacement:
                    _extend(relief, high_figures(self.hrn, own, high_pass(self.hrn, own, mid)))
        figures = summary(people, rows)
        figures |= {name: sum(values) / len(values) for name, values in relief.items() if values}
        gains = {name: float(gain.detach()) for name, gain in self._gains().items()}
        return figures | gains | {"score": score(figures)}

    def held(self) -> tuple[list[tuple[Batch, Given]], list[str]]:
        """Return the faces held out, worked out once, and of whom each is."""
        if self._held is None:
            batches, people = self._held_feed.validation()
            device = self.hrn.face.mean.device
            moved = [batch.to(device) for batch in batches]
            self._held = [(batch, given_of(self.hrn, batch)) for batch in moved], people
        return self._held

    @torch.no_grad()
    def panels(self, step: int) -> Mapping[str, Tensor]:
        """Return people held out: photograph, M1, M1 with relief; relief made and true."""
        held, _ = self.held()
        return panels(self.hrn, held[0][1], parts=self.config.parts) if held else {}

    def export(self, folder: Path, record: Mapping[str, Any]) -> None:
        """Write `hrn.safetensors`: all networks. Parts that were left out are silent in it."""
        networks, parts = self.networks, self.config.parts
        kept = {name: gain.detach().clone() for name, gain in self._gains().items()}
        with torch.no_grad():
            for name, there in (("alpha", parts.deformation), ("beta", parts.displacement)):
                self._gains()[name].mul_(float(there))
            save_hrn(folder / EXPORTED, networks, self.hrn.face.model, training=dict(record))
            for name, gain in kept.items():
                self._gains()[name].copy_(gain)

    def _gains(self) -> dict[str, nn.Parameter]:
        return {"alpha": self.generators.alpha, "beta": self.generators.beta}


def compared(
    made: Tensor, rows: Tensor, true: Tensor, known: Tensor, has_truth: Tensor, *, scale: float
) -> tuple[Tensor, Tensor] | None:
    """Return maps made (n, C, s, s) and true ones (m, C, s, s) for a discriminator.

    Both are 0 where the truth of a face is not known, so that its outline tells nothing: a map
    made of a face without truth takes the outline of one with. None where no face has truth.

    Parameters
    ----------
    rows : (n,)
        Of the batch that `made` is of.
    true, known, has_truth : (B, C, s, s), (B, 1, s, s), (B,)
        Of the whole batch.
    """
    scans = torch.nonzero(has_truth)[:, 0]
    if not len(scans):
        return None
    others = scans[torch.arange(len(rows), device=scans.device) % len(scans)]
    partner = torch.where(has_truth[rows], rows, others)
    return scale * made * known[partner], scale * (true * known)[scans]


def _optimisers(
    config: DetailConfig, generators: Generators, judges: nn.ModuleDict
) -> dict[str, torch.optim.Optimizer]:
    rate, rates = config.loop.learning_rate, config.rates
    found: dict[str, torch.optim.Optimizer] = {}
    for level, net, gain, times in (
        ("mid", generators.mid_net, generators.alpha, 1.0),
        ("high", generators.high_net, generators.beta, rates.high),
    ):
        last = list(net.last.parameters())
        others = [p for p in net.parameters() if all(p is not q for q in last)]
        groups = [
            {"params": others, "lr": rate * times},
            {"params": last, "lr": rate * times * rates.last},
            {"params": [gain], "lr": rate * rates.gains},
        ]
        found[level] = torch.optim.Adam(groups, lr=rate)
    for level, judge in judges.items():
        found[f"judge_{level}"] = torch.optim.Adam(
            judge.parameters(), lr=rates.judges, betas=(0.5, 0.999)
        )
    return found


def _add(
    seen: dict[str, float], terms: Terms, engine: Engine, *, parts: int, total: str = TOTAL
) -> None:
    """Gather the gradients of `total`, and note the terms' share of the means."""
    values = {name: float(value.detach()) for name, value in terms.items()}
    engine.check(values)
    engine.backward(terms[total], parts=parts)
    for name, value in values.items():
        seen[name] = seen.get(name, 0.0) + value / parts


def _some(n: int, n_wanted: int, step: int) -> Tensor:
    """Return which of `n` faces are looked at: evenly spread, others each step."""
    k = min(n, n_wanted)
    return (torch.arange(k) * n // max(k, 1) + step) % n


def _rows(batch: Batch, rows: slice) -> Batch:
    return Batch(**{name: value[rows] for name, value in vars(batch).items()})


def _extend(rows: dict[str, list[float]], more: Mapping[str, Sequence[float]]) -> None:
    for name, values in more.items():
        rows.setdefault(name, []).extend(values)
