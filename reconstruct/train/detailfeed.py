"""Batches of prepared faces: scans and photographs from somewhere, mixed as `DataConfig` says."""

from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ...core.errors import ConfigError
from .detailgiven import Given
from .detailprepared import PreparedSet
from .samplefeed import DataConfig
from .task import own_items


class PreparedFeed:
    """Batches of `Given`; see `task.Feed`.

    Of the items of a step, `data.wild_share` are photographs from somewhere, spread evenly. Where
    the folder has none, they are scans whose truth is withheld.

    Parameters
    ----------
    folder : Path
        Of `detailprepared.prepare`.
    parts, seed : int
        As `SampleFeed`.
    """

    def __init__(self, folder: Path, data: DataConfig, *, parts: int = 1, seed: int = 0) -> None:
        self.folder, self.data, self.parts, self.seed = folder, data, parts, seed

    def __getstate__(self) -> dict[str, object]:
        lazy = ("faces", "_scans", "_wild")
        return {name: value for name, value in self.__dict__.items() if name not in lazy}

    @cached_property
    def faces(self) -> PreparedSet:
        """All of the folder's."""
        return PreparedSet(self.folder)

    @cached_property
    def _scans(self) -> NDArray[np.int64]:
        return np.flatnonzero(self.faces.has_truth())

    @cached_property
    def _wild(self) -> NDArray[np.int64]:
        wild = np.flatnonzero(~self.faces.has_truth())
        return wild if len(wild) else self._scans

    def batch(self, step: int, part: int, rank: int, world: int) -> Given:
        """Return one batch: a pure function of the arguments and the settings."""
        numbers = own_items(self.data.batch, step, part, rank, world=world, parts=self.parts)
        if not numbers:
            raise ConfigError(
                f"data.batch = {self.data.batch}: less than one item for each of {world} "
                f"processes with loop.parts = {self.parts}"
            )
        chosen = [self.item(number) for number in numbers]
        given = self.faces.rows([row for row, _ in chosen])
        return withheld(given, torch.tensor([is_wild for _, is_wild in chosen]))

    def item(self, number: int) -> tuple[int, bool]:
        """Return the row of an item, numbered over all steps, and whether it has no truth."""
        step, place = divmod(number, self.data.batch)
        before, after, n_wild = (
            int(k * self.data.wild_share + 1e-9) for k in (place, place + 1, self.data.batch)
        )
        is_wild = after > before or not len(self._scans)
        if is_wild:
            return self._at(self._wild, step * n_wild + before, stream=1), True
        own = step * (self.data.batch - n_wild) + place - before
        return self._at(self._scans, own, stream=0), False

    def _at(self, rows: NDArray[np.int64], number: int, *, stream: int) -> int:
        """Return one of the rows, gone round in an order of chance."""
        turn, place = divmod(number, len(rows))
        order = self.__dict__.get("_order")
        key = (turn, stream, len(rows))
        if order is None or key not in order:
            rng = np.random.default_rng([self.seed, stream, turn])
            order = {**(order or {}), key: rng.permutation(rows)}
            # the turn before is done with, but for what another stream still has
            self._order = {k: v for k, v in order.items() if k[0] >= turn - 1 or k[1] != stream}
            order = self._order
        return int(order[key][place])


def withheld(given: Given, hidden: torch.Tensor) -> Given:
    """Return the faces without the truth of those `hidden` (B,) bool."""
    kept = (given.has_truth & ~hidden).to(given.offset)
    return replace(
        given,
        has_truth=given.has_truth & ~hidden,
        offset=given.offset * kept[:, None, None],
        support=given.support * kept[:, None],
        relief=given.relief * kept[:, None, None, None],
        relief_valid=given.relief_valid * kept[:, None, None, None],
    )
