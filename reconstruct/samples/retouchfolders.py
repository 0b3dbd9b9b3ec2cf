"""Pairs of textures from folders: photographs with their retouched selves, or alone.

`raw/` and `retouched/` hold pictures of the same names; `mask/`, where it is, white skin. A
folder without them is one of photographs or textures to paint spots on: each is its own
retouched self, and its skin is what a mask of the same name in `mask/` shows, else all that is
not black.
"""

from pathlib import Path

import cv2
import numpy as np

from ...core.arrays import Bytes, Floats32
from ...core.errors import InputError
from ...core.imaging.imageio import read_image, without_alpha
from .retouch import RetouchPair

RAW, RETOUCHED, MASK = "raw", "retouched", "mask"
_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp")
_WHITE = 127
_BLACK = 4  # levels; darker is outside of a texture


class FolderPairs:
    """The pairs of a folder, scaled so that their shorter side is `side` pixels, or less.

    Raises
    ------
    InputError
        There are no pictures, or one has no retouched self.
    """

    def __init__(self, folder: Path, *, side: int) -> None:
        self.folder, self.side = folder, side
        self.is_paired = (folder / RAW).is_dir() and (folder / RETOUCHED).is_dir()
        place = folder / RAW if self.is_paired else folder
        if not place.is_dir():
            raise InputError(f"{folder}: no such folder")
        self.names = sorted(p.name for p in place.iterdir() if p.suffix.lower() in _SUFFIXES)
        if not self.names:
            raise InputError(f"{place}: no pictures in it")
        if self.is_paired:
            for name in self.names:
                if not (folder / RETOUCHED / name).is_file():
                    raise InputError(f"{folder / RETOUCHED / name}: the retouched one is absent")

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, number: int) -> RetouchPair:
        """Read a pair.

        Raises
        ------
        InputError
            The two have other sizes.
        """
        name = self.names[number]
        first = self.folder / RAW / name if self.is_paired else self.folder / name
        raw = _rgb8(first)
        retouched = _rgb8(self.folder / RETOUCHED / name) if self.is_paired else raw
        if raw.shape != retouched.shape:
            raise InputError(f"{first}: its retouched self has another size")
        mask = self._mask(name, raw)
        scale = min(1.0, self.side / min(raw.shape[:2]))
        raw, retouched = _scaled(raw, scale), _scaled(retouched, scale)
        seen = _scaled(mask, scale) > _WHITE
        # spots are painted where the pair itself tells of none
        return RetouchPair(raw=raw, retouched=retouched, seen=seen, plain=seen)

    def _mask(self, name: str, picture: Bytes) -> Bytes:
        path = (self.folder / MASK / name).with_suffix(".png")
        if not path.is_file():
            return ((picture.max(axis=2) > _BLACK) * 255).astype(np.uint8)
        mask = read_image(path)
        mask = mask if mask.ndim == 2 else mask[..., 0]
        if mask.shape != picture.shape[:2]:
            raise InputError(f"{path}: another size than its picture")
        return mask if mask.dtype == np.uint8 else (mask >> 8).astype(np.uint8)


def _rgb8(path: Path) -> Bytes:
    image = without_alpha(read_image(path))
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=2)
    return np.asarray(image if image.dtype == np.uint8 else image >> 8, np.uint8)


def _scaled(image: Bytes | Floats32, scale: float) -> Bytes:
    if scale == 1.0:
        return np.asarray(image, np.uint8)
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
