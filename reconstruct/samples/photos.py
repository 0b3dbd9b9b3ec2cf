"""Photographs from somewhere as samples without truth: folders of them, with landmarks.

All are read once beforehand. Those that are damaged, show no face or have no landmarks are left
out and told; the others keep no pixels in memory.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ...core.arrays import Bytes, Floats
from ...core.console import track
from ...core.errors import InputError
from ...core.facemodel.landmark_table import LandmarkTable
from ...core.facemodel.landmarks import Detector
from ...core.facemodel.model import FaceModel
from ...core.files import hash_of
from ...dataset.build import EXPECTED, reason_of
from ..facemasks import mask_file, mask_source
from ..facetensors import reference_points
from ..photograph import Photograph, find_face, photographs_in, read_photograph
from .sample import Sample
from .storedcrop import StoredCrop, stored_crop

log = logging.getLogger(__name__)

_MOST_TOLD = 5  # photographs left out that an error names


@dataclass(frozen=True, kw_only=True)
class _Found:
    """A photograph with its face."""

    path: Path
    person: str
    landmarks: Floats = field(repr=False)
    """(68, 2) px of the photograph turned upright."""
    mask: Path | None


class PhotoSource:
    """Photographs with one face each.

    A photograph that lies in a folder given counts as a person of its own; those in a folder
    *within* it are all of one person. Samples tell people by hashes, not by the folders' names.

    Parameters
    ----------
    folders : sequence of Path
    finder : LandmarkTable or Detector
        A table that names the photographs, or what finds faces; the largest face is taken.
    model : FaceModel
        That is trained: its mean face says what a crop shows.
    masks : Path, optional
        A folder of masks, each named as its photograph, white on the face. Without them all of
        a photograph counts.
    size : int
        Pixels a side of the stored crops.

    Raises
    ------
    InputError
        None of the photographs can be used.
    """

    def __init__(
        self, folders: Sequence[Path], finder: LandmarkTable | Detector, model: FaceModel, *,
        masks: Path | None = None, size: int = 384,
    ) -> None:  # fmt: skip
        self.size = size
        self._reference = reference_points(model)
        found: list[_Found] = []
        left_out: dict[str, str] = {}
        photographs = _photographs(folders)
        if masks is not None:
            mask_source(masks, list(photographs))
        for path, person in track(list(photographs.items()), "photographs"):
            try:
                found.append(self._found(path, person, finder, masks))
            except EXPECTED as error:
                left_out[str(path)] = reason_of(error)
                log.warning("%s", left_out[str(path)])
        if not found:
            some = "; ".join(list(left_out.values())[:_MOST_TOLD])
            raise InputError(f"none of {len(left_out)} photographs can be used: {some}")
        self._all = tuple(found)
        self.left_out: Mapping[str, str] = left_out
        """Photograph -> why it is no sample."""

    @property
    def people(self) -> list[str]:
        """Of whom each sample is."""
        return [one.person for one in self._all]

    def __len__(self) -> int:
        return len(self._all)

    def __getitem__(self, index: int) -> Sample:
        """Read and cut one photograph.

        Raises
        ------
        InputError
            It has been changed or taken away since.
        """
        if not 0 <= index < len(self):
            raise IndexError(index)
        one = self._all[index]
        photograph = read_photograph(one.path, mask=one.mask)
        crop = self._crop(one.landmarks)
        return Sample(
            image=crop.cut(photograph.pixels),
            mask=_mask(photograph, crop),
            landmarks=crop.points(one.landmarks).astype(np.float32),
            person=one.person,
            truth=None,
        )

    def _found(
        self, path: Path, person: str, finder: LandmarkTable | Detector, masks: Path | None
    ) -> _Found:
        mask = None if masks is None else mask_file(masks, path)
        photograph = read_photograph(path, mask=mask)
        landmarks = find_face(photograph, finder).landmarks
        self._crop(landmarks)  # or it has none
        return _Found(
            path=path, person=person or f"photograph-{photograph.sha256[:16]}",
            landmarks=landmarks, mask=mask,
        )  # fmt: skip

    def _crop(self, landmarks: Floats) -> StoredCrop:
        return stored_crop(landmarks, size=self.size, reference5=self._reference)


def _photographs(folders: Sequence[Path]) -> dict[Path, str]:
    """Return photograph -> the person of its folder, empty where it stands for itself."""
    found: dict[Path, str] = {}
    for folder in folders:
        inner = sorted(p for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []
        holding = [p for p in inner if not p.name.startswith(".") and _has_photographs(p)]
        if not holding or _has_photographs(folder):
            found |= dict.fromkeys(photographs_in([folder]), "")
        for one in holding:
            found |= dict.fromkeys(photographs_in([one]), f"person-{hash_of(one.name)[:16]}")
    return found


def _has_photographs(folder: Path) -> bool:
    try:
        return bool(photographs_in([folder]))
    except InputError:
        return False


def _mask(photograph: Photograph, crop: StoredCrop) -> Bytes:
    """Return the crop of the photograph's mask; without one, of the whole photograph."""
    mask = photograph.mask
    if mask is None:
        mask = np.full((photograph.height, photograph.width), 255, np.uint8)
    return np.where(crop.cut(mask)[..., 0] > 127, 255, 0).astype(np.uint8)
