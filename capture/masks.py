"""Masks that come with photographs: found, checked, written as 8-bit grey PNG."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

from ..core.arrays import Bytes
from ..core.errors import InputError
from ..core.imaging.imageio import FORMATS, MAX_PIXELS

MASK_FOLDERS = frozenset({"mask", "masks", "matte", "mattes", "silhouette", "silhouettes"})
MASK_ENDINGS = ("_mask", "-mask", ".mask", "_matte", "_silhouette")


@dataclass(frozen=True, kw_only=True)
class MaskFile:
    """A mask on disk."""

    path: Path
    folders: tuple[str, ...]
    """The folders above it without the one called `masks`."""
    stem: str
    """Its name without suffix and `_mask`."""


def mask_of(root: Path, path: Path, *, always: bool = False) -> MaskFile | None:
    """Return `path`, relative to `root`, as a mask where its name or folder says so.

    Parameters
    ----------
    always
        True: every file is a mask.
    """
    *folders, _ = path.parts
    bare = path.stem
    for ending in MASK_ENDINGS:
        bare = bare[: -len(ending)] if bare.lower().endswith(ending) else bare
    kept = tuple(folder for folder in folders if folder.lower() not in MASK_FOLDERS)
    if not always and len(kept) == len(folders) and bare == path.stem:
        return None
    # IMG_1.JPG.png, as some programs name them
    bare = Path(bare).stem if Path(bare).suffix.lower() in (".jpg", ".jpeg", ".png") else bare
    return MaskFile(path=root / path, folders=kept, stem=bare)


def find_mask(
    masks: Sequence[MaskFile], folders: tuple[str, ...], stem: str, *, unique: bool
) -> MaskFile | None:
    """Return the mask of a photograph: same name, and same folders where names repeat.

    Parameters
    ----------
    unique
        Whether no other photograph has this stem.
    """
    named = [mask for mask in masks if mask.stem.lower() == stem.lower()]
    best = [
        mask for mask in named if mask.folders and mask.folders == folders[-len(mask.folders) :]
    ]
    if len(best) == 1:
        return best[0]
    return named[0] if unique and len(named) == 1 else None


def read_mask(path: Path, *, width: int, height: int) -> Bytes:
    """Read a mask; white is subject. Alpha is taken where there is any.

    Returns
    -------
    (height, width) uint8

    Raises
    ------
    InputError
        It does not decode, or has another size than the photograph in the sensor's frame.
    """
    try:
        with path.open("rb") as stream, PillowImage.open(stream, formats=FORMATS) as picture:
            if picture.size != (width, height) or width * height > MAX_PIXELS:
                raise InputError(
                    f"{path}: this mask is {picture.width}x{picture.height} px, its photograph "
                    f"{width}x{height} in the sensor's frame; masks are not turned or scaled"
                )
            picture.load()
            if picture.mode.startswith("I"):  # 16 bit
                return np.asarray(np.asarray(picture).astype(np.int64) >> 8, dtype=np.uint8)
            if "A" in picture.getbands():
                alpha = np.asarray(picture.getchannel("A"))
                if alpha.min() < 255:
                    return np.asarray(alpha, dtype=np.uint8)
            return np.asarray(picture.convert("L"), dtype=np.uint8)
    except InputError:
        raise
    except Exception as error:  # plug-ins raise what they like on damaged files
        raise InputError(f"{path}: this mask is no complete image; make it again") from error
