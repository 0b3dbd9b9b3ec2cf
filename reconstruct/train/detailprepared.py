"""What the generators are given of a whole set of photographs, worked out once and kept on disk.

On the processor this is most of what a step would cost: the frozen coefficient network, the
augmentation of the photograph, its unwrapping and the test of what is seen. A folder holds one
memory-mapped array a field of `Given`, colours and validity in 8 bits, lengths in 16-bit floats
(3 micrometres of a deformation, 0.1 of a relief), and grows by blocks: killed at any moment it
goes on with the block it was at.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...core.console import track
from ...core.errors import InputError, SchemaError
from ...core.files import StageKey, finished, read_json, stage_run, write_json
from ..align import MODEL_UNIT_MM
from ..hrn import Hrn
from ..samples.augment import AugmentConfig, make_batch
from ..samples.sample import Sample, Source
from .detailgiven import Given, given_of, missed

FORMAT, VERSION = "facekit-detail-given", 1
_PROGRESS = "progress.json"
_BLOCK = 8  # photographs between two notes of how far it is
_BYTES = ("texture", "sure", "fine", "mask", "support")  # 0..1 in 255 steps
_HALF = ("offset", "relief")  # mm
_FLAGS = ("has_truth", "relief_valid")


def prepare(
    hrn: Hrn,
    source: Source,
    folder: Path,
    *,
    key: Mapping[str, Any],
    augment: AugmentConfig | None,
    seed: int,
    copies: int = 1,
    fine: int,
    jitter: float = 0.0,
    waits: bool = False,
) -> Path:
    """Work out what is given of all photographs of a source, if it is not there already.

    Parameters
    ----------
    hrn : Hrn
        With the frozen coefficient network, on any device.
    key : mapping
        What tells the source and the network apart from others; JSON-able. A folder of another
        key is made anew.
    copies : int
        Differently augmented versions of each photograph.
    fine : int
        Pixels a side of the crops that textures are taken from.
    jitter : float
        How far coefficients are put off; see `detailgiven.missed`.
    waits : bool
        Whether another process works it out, until whose end this one waits.

    Raises
    ------
    InputError
        The source is empty.
    """
    n = len(source) * copies
    if n == 0:
        raise InputError(f"{folder}: nothing to prepare, as there is not one photograph")
    config = {**key, "seed": seed, "copies": copies, "fine": fine, "n": n, "jitter": jitter,
              "augment": None if augment is None else repr(augment)}  # fmt: skip
    stage = StageKey(stage="detail-given", config=config, inputs={})
    while finished(folder, stage, outputs=[]) is None and waits:
        time.sleep(1)
    if finished(folder, stage, outputs=[]) is not None:
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    done = _progress(folder, stage)
    with stage_run(folder, stage):
        arrays: dict[str, NDArray[Any]] | None = None
        blocks = [range(i, min(i + _BLOCK, n)) for i in range(done, n, _BLOCK)]
        for rows in track(blocks, "preparing"):
            samples = [source[row % len(source)] for row in rows]
            own = int(np.random.SeedSequence([seed, rows[0]]).generate_state(1)[0])
            packed = _packed(
                _given(hrn, samples, seed=own, augment=augment, fine=fine, jitter=jitter)
            )
            arrays = arrays or _arrays(folder, packed, n, fresh=done == 0)
            for name, values in packed.items():
                arrays[name][rows.start : rows.stop] = values
                arrays[name].flush()  # type: ignore[attr-defined]
            write_json(folder / _PROGRESS, {"format": FORMAT, "version": VERSION,
                                            "key": stage.hash(), "done": rows.stop})  # fmt: skip
    return folder


def _given(
    hrn: Hrn,
    samples: Sequence[Sample],
    *,
    seed: int,
    augment: AugmentConfig | None,
    fine: int,
    jitter: float,
) -> Given:
    batch = make_batch(samples, hrn.face, seed=seed, augment=augment, fine=fine)
    off = missed(hrn.face, len(samples), jitter, seed) if jitter else None
    return given_of(hrn, batch.to(hrn.face.mean.device), off=off).to("cpu")


def _progress(folder: Path, stage: StageKey) -> int:
    """Return how many photographs of this very stage are done."""
    path = folder / _PROGRESS
    if not path.exists():
        return 0
    try:
        found = read_json(path, format_name=FORMAT, version=VERSION)
    except (SchemaError, InputError):
        return 0
    return int(found["done"]) if found.get("key") == stage.hash() else 0


def _arrays(
    folder: Path, packed: Mapping[str, NDArray[Any]], n: int, *, fresh: bool
) -> dict[str, NDArray[Any]]:
    """Return the arrays of `n` faces, mapped for writing; made where they are wanted fresh."""
    arrays: dict[str, NDArray[Any]] = {}
    for name, values in packed.items():
        path, shape = folder / f"{name}.npy", (n, *values.shape[1:])
        if fresh:
            arrays[name] = np.lib.format.open_memmap(
                path, mode="w+", dtype=values.dtype, shape=shape
            )
        else:
            arrays[name] = np.lib.format.open_memmap(path, mode="r+")
    return arrays


def _packed(given: Given) -> dict[str, NDArray[Any]]:
    """Return the fields as they are kept."""
    kept: dict[str, NDArray[Any]] = {}
    for name, value in vars(given).items():
        values = value.numpy()
        if name in _BYTES:
            values = np.rint(255 * values.clip(0, 1)).astype(np.uint8)
        elif name in _HALF:
            values = (MODEL_UNIT_MM * values).astype(np.float16)
        elif name in _FLAGS:
            values = values.astype(bool)
        kept[name] = values
    return kept


def _unpacked(name: str, values: NDArray[Any]) -> Tensor:
    if name in _BYTES:
        return torch.from_numpy(values.astype(np.float32)).div_(255)
    if name in _HALF:
        return torch.from_numpy(values.astype(np.float32)).div_(MODEL_UNIT_MM)
    if name == "relief_valid":
        return torch.from_numpy(values.astype(np.float32))
    return torch.from_numpy(values.copy())


@dataclass(frozen=True)
class PreparedSet:
    """A prepared folder, opened when rows are first asked for; picklable."""

    folder: Path

    def _array(self, name: str) -> NDArray[Any]:
        kept: dict[str, NDArray[Any]] = self.__dict__.setdefault("_kept", {})
        if name not in kept:
            path = self.folder / f"{name}.npy"
            try:
                kept[name] = np.load(path, mmap_mode="r")
            except (OSError, ValueError) as error:
                raise InputError(
                    f"{path}: not readable ({error}); delete {self.folder} to prepare it anew"
                ) from error
        return kept[name]

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self.folder}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        object.__setattr__(self, "folder", state["folder"])

    def __len__(self) -> int:
        return len(self._array("has_truth"))

    def has_truth(self) -> NDArray[np.bool_]:
        """Return (N,)."""
        return np.asarray(self._array("has_truth"))

    def rows(self, rows: Sequence[int]) -> Given:
        """Return some of the faces, in this order."""
        found = {
            name: _unpacked(name, np.stack([self._array(name)[i] for i in rows]))
            for name in Given.__dataclass_fields__
        }
        return Given(**found)
