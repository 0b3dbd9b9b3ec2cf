"""Batches of faces: which samples, in what order, and which people are held out.

A person is trained on or held out, never both; which, is told by the name alone, so that more
data move nobody over. Samples go round in an order drawn anew each time through; the items of a
step are numbered over all processes (`task.own_items`).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from ...core.arrays import Bools, Ints
from ...core.errors import ConfigError, InputError
from ...core.facemodel.load import load_face_model
from ..facetensors import FaceTensors, face_tensors
from ..samples.augment import AugmentConfig, Batch, make_batch
from ..samples.resident import ResidentSamples
from ..samples.sample import Sample, Source
from ..samples.virtual import VirtualConfig, VirtualSource
from .sources import Joined, Kept, open_source
from .sources import people_of as people_of
from .task import own_items

_VALIDATION_BATCH = 32


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """What is trained on.

    Raises
    ------
    ConfigError
        A setting is out of its range.
    """

    folders: tuple[str, ...] = ()  # see `sources.open_source`; most samples with truth
    wild: tuple[str, ...] = ()  # the same, of photographs from somewhere
    virtual: VirtualConfig | None = None  # people rendered on line, where no folder is given
    kept: int = 256  # most photographs of them in memory, in each process
    batch: int = 32  # items of a step, over all parts and processes
    wild_share: float = 0.0  # of them; where `wild` is empty, truth is withheld from so many
    held_out: float = 0.08  # of the people, for validation
    n_validation: int = 512  # most photographs that are validated on
    resident: bool = False  # all samples on the GPU, whose batches are made there

    def __post_init__(self) -> None:
        for name in ("batch", "n_validation", "kept"):
            if getattr(self, name) < 1:
                raise ConfigError(f"data.{name} = {getattr(self, name)}: at least 1")
        for name in ("wild_share", "held_out"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"data.{name} = {getattr(self, name)}: from 0 to below 1")


class SampleFeed:
    """Batches of samples; see `task.Feed`. Sources are opened when they are first asked for.

    Parameters
    ----------
    model : str
        The face model that is trained, by name or file.
    fine : int, optional
        Pixels a side of the crop for textures, see `make_batch`.
    parts : int
        Batches that a step of a process adds up.
    seed : int
        Of the order and of the changes.
    resident : FaceTensors, optional
        On the device that holds the samples, where `data.resident` asks for that.
    relief : bool
        Does the training use displacement maps; without them samples on a device are quicker.
    """

    def __init__(
        self,
        data: DataConfig,
        *,
        model: str,
        augment: AugmentConfig | None,
        fine: int | None = None,
        parts: int = 1,
        seed: int = 0,
        resident: FaceTensors | None = None,
        relief: bool = True,
    ) -> None:
        if not data.folders and data.virtual is None:
            raise InputError(
                "nothing to train on; give folders of samples with --data, or data.virtual"
            )
        if augment is not None and augment.warp_px > 0 and not data.resident:
            raise ConfigError("augment.warp_px: crops are bent with data.resident=true alone")
        self.data, self.model, self.augment = data, model, augment
        self.fine, self.parts, self.seed = fine, parts, seed
        self._resident_face = resident if data.resident else None
        self._relief = relief

    def __getstate__(self) -> dict[str, object]:
        if self._resident_face is not None:
            raise ConfigError("data.resident = true: set loop.workers = 0, the GPU needs none")
        lazy = ("face", "scans", "wild", "_trained", "_held")
        return {name: value for name, value in self.__dict__.items() if name not in lazy}

    @cached_property
    def face(self) -> FaceTensors:
        """The face model, on the processor."""
        return face_tensors(load_face_model(self.model))

    @cached_property
    def scans(self) -> Source:
        """Samples, most of them with truth."""
        if self.data.folders:
            return self._joined(self.data.folders)
        assert self.data.virtual is not None
        return Kept(VirtualSource(self.face.model, self.data.virtual), most=self.data.kept)

    @cached_property
    def wild(self) -> Source | None:
        """Photographs from somewhere."""
        if not self.data.wild:
            return None
        return self._joined(self.data.wild)

    def _joined(self, folders: Sequence[str]) -> Source:
        return Joined([open_source(Path(folder), self.face.model) for folder in folders])

    def batch(self, step: int, part: int, rank: int, world: int) -> Batch:
        """Return one batch: a pure function of the arguments and the settings."""
        numbers = own_items(self.data.batch, step, part, rank, world=world, parts=self.parts)
        if not numbers:
            raise ConfigError(
                f"data.batch = {self.data.batch}: less than one item for each of {world} "
                f"processes with loop.parts = {self.parts}"
            )
        seed = int(np.random.SeedSequence([self.seed, numbers[0]]).generate_state(1)[0])
        if self._resident_face is not None:
            return self._on_device(numbers, seed)
        samples = [self.sample(number) for number in numbers]
        return make_batch(samples, self.face, seed=seed, augment=self.augment, fine=self.fine)

    def sample(self, number: int) -> Sample:
        """Return the sample of an item, numbered over all steps."""
        wild, row, is_hidden = self._chosen(number)
        if wild:
            assert self.wild is not None
            return self.wild[row]
        sample = self.scans[int(self._trained[row])]
        return replace(sample, truth=None) if is_hidden else sample

    def _chosen(self, number: int) -> tuple[bool, int, bool]:
        """Return of an item: is it wild, its place there, is its truth withheld.

        A place is one among the wild samples, or among those trained on.
        """
        step, place = divmod(number, self.data.batch)
        n_wild = int(self.data.batch * self.data.wild_share + 1e-9)
        # strewn over the batch: no process has all of one kind, however many there are
        rank = int(_order(self.data.batch, step, 2, self.seed)[place]) if n_wild else place
        is_wild = rank < n_wild
        if self.wild is None:
            own = number
        elif is_wild:
            return True, self._at(len(self.wild), step * n_wild + rank, stream=1), True
        else:
            own = step * (self.data.batch - n_wild) + rank - n_wild
        return False, self._at(len(self._trained), own, stream=0), is_wild

    def _on_device(self, numbers: Sequence[int], seed: int) -> Batch:
        """Return the batch of items of samples that are held on the device."""
        chosen = [self._chosen(number) for number in numbers]
        rows = [row + wild * len(self._trained) for wild, row, _ in chosen]
        hidden = np.array([is_hidden for _, _, is_hidden in chosen], bool)
        return self._resident.batch(
            np.array(rows, np.int32), hidden, seed=seed, augment=self.augment, fine=self.fine
        )

    @cached_property
    def _resident(self) -> ResidentSamples:
        assert self._resident_face is not None
        source, rows = self.scans, self._trained
        if self.wild is not None:
            source = Joined([self.scans, self.wild])
            wild = len(self.scans) + np.arange(len(self.wild), dtype=np.int32)
            rows = np.concatenate([rows, wild])
        return ResidentSamples(source, rows, self._resident_face, relief=self._relief)

    def validation(self) -> tuple[list[Batch], list[str]]:
        """Return batches of the people held out, unchanged, and of whom each sample is."""
        samples = [self.scans[int(i)] for i in self._held]
        samples = [sample for sample in samples if sample.truth is not None]
        cut = [
            samples[i : i + _VALIDATION_BATCH] for i in range(0, len(samples), _VALIDATION_BATCH)
        ]
        batches = [make_batch(few, self.face, seed=0, augment=None, fine=self.fine) for few in cut]
        return batches, [sample.person for sample in samples]

    def _at(self, n: int, number: int, *, stream: int) -> int:
        """Return the place of an item in a source of `n`, gone round in an order of chance."""
        turn, place = divmod(number, n)
        return int(_order(n, turn, stream, self.seed)[place])

    @cached_property
    def _trained(self) -> Ints:
        held = held_out(people_of(self.scans), self.data.held_out)
        if held.all():
            raise InputError("data.held_out leaves nobody to train on; give more people")
        return np.flatnonzero(~held).astype(np.int32)

    @cached_property
    def _held(self) -> Ints:
        """At most `n_validation` samples of the people held out, evenly spread."""
        held = np.flatnonzero(held_out(people_of(self.scans), self.data.held_out))
        n = min(len(held), self.data.n_validation)
        return held[np.linspace(0, len(held) - 1, n).round().astype(int)].astype(np.int32)


def held_out(people: Sequence[str], share: float) -> Bools:
    """Return (n,) bool: about `share` of the people, by a hash of their names.

    Where there is more than one person and `share` is not zero, at least one is held out.
    """
    value = {person: _fraction(person) for person in set(people)}
    chosen = {person for person, fraction in value.items() if fraction < share}
    if not chosen and share > 0 and len(value) > 1:
        chosen = {min(value, key=lambda person: (value[person], person))}
    return np.array([person in chosen for person in people], bool)


def _fraction(person: str) -> float:
    digest = hashlib.blake2b(person.encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64


_ORDERS: dict[tuple[int, int, int, int], Ints] = {}


def _order(n: int, turn: int, stream: int, seed: int) -> Ints:
    """Return the order (n,) of one turn through a source; the latest few are kept."""
    key = (n, turn, stream, seed)
    if key not in _ORDERS:
        if len(_ORDERS) >= 8:
            _ORDERS.pop(next(iter(_ORDERS)))
        rng = np.random.default_rng([seed, stream, turn])
        _ORDERS[key] = rng.permutation(n).astype(np.int32)
    return _ORDERS[key]
