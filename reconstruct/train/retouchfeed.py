"""Batches of pairs for the de-retouching network: pieces of textures, raw and retouched.

Pairs are virtual faces, drawn once and kept, and pairs or pictures of folders. Each item of a
step takes a piece of one, turned or mirrored or resampled, with more spots painted on, in other
light, with noise: so that a network that has seen few people has seen many skins.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from ...core.arrays import Bools, Bytes, Floats32
from ...core.errors import ConfigError
from ...core.facemodel.load import load_face_model
from ..samples.people import PeopleConfig
from ..samples.retouch import RetouchConfig, RetouchPair, VirtualPairs
from ..samples.retouchfolders import FolderPairs
from ..samples.spots import SpotsConfig, with_spots
from .task import own_items

_HELD_OUT = 1 << 20  # added to a seed: people of validation are never those of training


@dataclass(frozen=True, kw_only=True)
class ChangeConfig:
    """What is changed of a pair, at random, the same in both pictures."""

    resampled_share: float = 0.5  # of pieces that are turned and scaled freely
    zoom: tuple[float, float] = (0.7, 1.6)  # of those
    exposure: float = 0.35  # most relative change of brightness
    gamma: float = 0.25  # most change of the exponent, in logarithms
    cast: float = 0.12  # most relative change of a channel
    blurred_share: float = 0.3
    blur_px: float = 0.7  # most sd
    noise: float = 0.02  # most sd, of white
    speckled_share: float = 0.3  # of pieces with single texels that are not seen


@dataclass(frozen=True, kw_only=True)
class RetouchData:
    """What the de-retouching network is trained on.

    Raises
    ------
    ConfigError
        A setting is out of its range.
    """

    model: str = "builtin"  # face model of the virtual people, by name or file
    n_virtual: int = 200  # virtual people; 0: none
    folders: tuple[str, ...] = ()  # of raw/ and retouched/, or of pictures to paint spots on
    folder_share: float = 0.5  # of items, where there are both
    virtual: RetouchConfig = field(default_factory=RetouchConfig)
    people: PeopleConfig = field(default_factory=PeopleConfig)
    spots: SpotsConfig = field(default_factory=SpotsConfig)
    change: ChangeConfig = field(default_factory=ChangeConfig)
    batch: int = 8  # pieces of a step, over all parts and processes
    piece: int = 128  # texels a side
    n_validation: int = 12  # virtual people that are validated on

    def __post_init__(self) -> None:
        for name, least in (("batch", 1), ("piece", 16), ("n_virtual", 0), ("n_validation", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"data.{name} = {getattr(self, name)}: at least {least}")
        if not self.n_virtual and not self.folders:
            raise ConfigError("data: neither virtual people nor folders to train on")
        if self.piece > self.virtual.size:
            raise ConfigError(f"data.piece = {self.piece}: more than the maps' {self.virtual.size}")


class RetouchBatch(NamedTuple):
    """Pieces of textures, 0..1."""

    raw: Tensor
    """(B, 3, s, s)."""
    retouched: Tensor
    """(B, 3, s, s)."""
    seen: Tensor
    """(B, 1, s, s), 1 on the face."""


class RetouchFeed:
    """Batches of pieces; see `task.Feed`."""

    def __init__(self, data: RetouchData, *, seed: int, parts: int = 1) -> None:
        self.data, self.seed, self.parts = data, seed, parts
        self._open()

    def _open(self) -> None:
        data = self.data
        self._virtual: VirtualPairs | None = None
        self._folders = [FolderPairs(Path(f), side=2 * data.virtual.size) for f in data.folders]
        self._kept: dict[tuple[int, int], RetouchPair] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"data": self.data, "seed": self.seed, "parts": self.parts}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open()

    def batch(self, step: int, part: int, rank: int, world: int) -> RetouchBatch:
        """Return one batch: a pure function of the arguments and the settings."""
        numbers = own_items(self.data.batch, step, part, rank, world=world, parts=self.parts)
        if not numbers:
            raise ConfigError(
                f"data.batch = {self.data.batch}: less than one item for each of {world} processes "
                f"with loop.parts = {self.parts}"
            )
        return batch_of([self.item(number) for number in numbers])

    def item(self, number: int) -> RetouchPair:
        """Return one piece."""
        data, rng = self.data, np.random.default_rng([self.seed, number])
        pair = self._pair(rng)
        pair = _piece(pair, data.piece, data.change, rng)
        # a pair's own spots stay; these are more of them, of all kinds
        pair = pair._replace(raw=with_spots(pair.raw, pair.plain, data.spots, rng))
        return changed(pair, data.change, rng)

    def validation(self) -> list[RetouchPair]:
        """Return whole textures of virtual people who are held out, half of them spotted more."""
        data, pairs = self.data, []
        virtual = self._virtual_pairs(seed=self.seed + _HELD_OUT)
        for number in range(data.n_validation):
            pair = virtual[number]
            if number % 2:
                rng = np.random.default_rng([self.seed, _HELD_OUT, number])
                pair = pair._replace(raw=with_spots(pair.raw, pair.plain, data.spots, rng))
            pairs.append(pair)
        return pairs

    def _pair(self, rng: np.random.Generator) -> RetouchPair:
        data = self.data
        from_folder = bool(self._folders) and (
            data.n_virtual == 0 or rng.uniform() < data.folder_share
        )
        if not from_folder:
            return self._keep(-1, int(rng.integers(data.n_virtual)))
        which = int(rng.integers(len(self._folders)))
        return self._keep(which, int(rng.integers(len(self._folders[which]))))

    def _keep(self, folder: int, number: int) -> RetouchPair:
        """Return a pair of a folder, or a virtual one (-1); read or drawn once."""
        key = (folder, number)
        if key not in self._kept:
            if folder < 0 and self._virtual is None:
                self._virtual = self._virtual_pairs(seed=self.seed)
            source = self._virtual if folder < 0 else self._folders[folder]
            assert source is not None
            self._kept[key] = source[number]
        return self._kept[key]

    def _virtual_pairs(self, *, seed: int) -> VirtualPairs:
        data = self.data
        model = load_face_model(data.model)
        return VirtualPairs(model, data.virtual, seed=seed, people=data.people)


def batch_of(pairs: list[RetouchPair]) -> RetouchBatch:
    """Put pairs of one size together."""
    raw, retouched = (
        torch.from_numpy(np.stack([pair[k] for pair in pairs])).permute(0, 3, 1, 2).float() / 255
        for k in (0, 1)
    )
    seen = torch.from_numpy(np.stack([pair.seen for pair in pairs]))[:, None].float()
    return RetouchBatch(raw.contiguous(), retouched.contiguous(), seen)


def _piece(
    pair: RetouchPair, side: int, change: ChangeConfig, rng: np.random.Generator
) -> RetouchPair:
    """Cut a square piece whose middle shows skin, mirrored and turned."""
    rows, columns = np.nonzero(pair.plain if pair.plain.any() else np.ones_like(pair.plain))
    at = int(rng.integers(len(rows)))
    centre = np.array([columns[at], rows[at]]) + rng.uniform(-0.25, 0.25, 2) * side
    if rng.uniform() < change.resampled_share:
        angle, (low, high) = float(rng.uniform(0, 360)), change.zoom
        zoom = float(low * (high / low) ** rng.uniform())
        matrix = cv2.getRotationMatrix2D((float(centre[0]), float(centre[1])), angle, zoom)
        matrix = matrix + np.column_stack([np.zeros((2, 2)), side / 2 - centre])
        parts = [
            cv2.warpAffine(part, matrix, (side, side), flags=how) for part, how in _with_ways(pair)
        ]
    else:
        size = np.array(pair.plain.shape[::-1])
        low_x, low_y = np.clip(
            np.rint(centre - side / 2).astype(int), 0, np.maximum(size - side, 0)
        )
        parts = [
            _padded(part[low_y : low_y + side, low_x : low_x + side], side)
            for part, _ in _with_ways(pair)
        ]
        turns = int(rng.integers(4))
        parts = [np.rot90(part, turns) for part in parts]
    if rng.uniform() < 0.5:
        parts = [part[:, ::-1] for part in parts]
    raw, retouched, seen, plain = (np.ascontiguousarray(part, np.uint8) for part in parts)
    return RetouchPair(raw, retouched, seen > 0, plain > 0)


def _with_ways(pair: RetouchPair) -> list[tuple[Bytes, int]]:
    """Return the pair's pictures and masks as bytes, and how each is resampled."""
    masks = [mask.astype(np.uint8) for mask in (pair.seen, pair.plain)]
    return [(pair.raw, cv2.INTER_LINEAR), (pair.retouched, cv2.INTER_LINEAR)] + [
        (mask, cv2.INTER_NEAREST) for mask in masks
    ]


def _padded(part: Bytes, side: int) -> Bytes:
    """Return a piece at the edge of a small picture, black beyond."""
    missing = [(0, side - part.shape[0]), (0, side - part.shape[1])]
    missing += [(0, 0)] * (part.ndim - 2)
    return np.pad(part, missing)


def changed(pair: RetouchPair, change: ChangeConfig, rng: np.random.Generator) -> RetouchPair:
    """Return a pair in other light, seen by a worse camera; the same change in both pictures."""
    seen = pair.seen
    if rng.uniform() < change.speckled_share:
        seen = seen & (rng.uniform(size=seen.shape) > 0.02 * rng.uniform())
    table = _levels(change, rng)
    blur = float(rng.uniform(0.2, 1.0)) * change.blur_px
    blur = blur if rng.uniform() < change.blurred_share else 0.0
    noise = change.noise * float(rng.uniform()) ** 2
    noise_map = (255 * noise * rng.standard_normal(pair.raw.shape, np.float32)).astype(np.float32)
    pictures = [
        _worse(picture, table, blur, noise_map, seen) for picture in (pair.raw, pair.retouched)
    ]
    return RetouchPair(pictures[0], pictures[1], seen, pair.plain & seen)


def _levels(change: ChangeConfig, rng: np.random.Generator) -> Bytes:
    """Return (1, 256, 3) what becomes of each level."""
    exposure = 1 + change.exposure * float(rng.uniform(-1, 1))
    exponent = np.exp(change.gamma * float(rng.uniform(-1, 1)))
    cast = 1 + change.cast * rng.uniform(-1, 1, 3)
    levels = np.linspace(0, 1, 256)[:, None] ** exponent * exposure * cast
    return np.rint(255 * np.clip(levels, 0, 1)).astype(np.uint8)[None]


def _worse(picture: Bytes, table: Bytes, blur: float, noise: Floats32, seen: Bools) -> Bytes:
    out = np.asarray(cv2.LUT(picture, table)).astype(np.float32)
    if blur > 0:
        # black beyond the face takes no part
        weight = cv2.GaussianBlur(seen.astype(np.float32), (0, 0), blur)
        spread = cv2.GaussianBlur(out * seen[..., None], (0, 0), blur)
        out = np.asarray(spread / np.maximum(weight, 1e-3)[..., None], np.float32)
    out = np.rint(np.clip(out + noise, 0, 255))
    return np.asarray(np.where(seen[..., None], out, 0), np.uint8)
