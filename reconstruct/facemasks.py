"""Masks of photographs: where they show the face, or the head before a backdrop."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..capture.masks import find_mask, mask_of, read_mask
from ..core.arrays import Bytes, Floats
from ..core.errors import InputError
from ..core.imaging.imageio import SUFFIXES, ImageHeader
from ..core.imaging.orientation import quarter_turns, turned_upright

_IMAGES = frozenset({*SUFFIXES.values(), ".jpeg", ".tiff"})
_LEAST_SHOWN = 0.3  # of the landmarks in the picture; a mask that shows fewer is of something else


def mask_source(source: Path, photographs: Sequence[Path]) -> None:
    """Refuse what cannot be the masks of photographs, before any work.

    Raises
    ------
    InputError
        No such path, or one file for several photographs.
    """
    if not source.exists():
        raise InputError(f"{source}: no such file or folder; give the photographs' masks")
    if source.is_file() and len(photographs) > 1:
        raise InputError(
            f"{source}: one mask for {len(photographs)} photographs; give a folder of masks, each "
            "named as its photograph"
        )


def mask_file(source: Path, photograph: Path) -> Path:
    """Return the mask of a photograph: `source` itself, or the file of its name in that folder.

    Raises
    ------
    InputError
        The folder has none, or several.
    """
    if source.is_file():
        return source
    files = [p for p in sorted(source.iterdir()) if _is_image(p) and p != photograph]
    masks = [m for p in files if (m := mask_of(source, Path(p.name), always=True)) is not None]
    found = find_mask(masks, (), photograph.stem, unique=True)
    if found is None:
        raise InputError(
            f"{photograph}: {source} has no mask of its name, or several; one called "
            f"{photograph.stem}.png, white on the face, is looked for"
        )
    return found.path


def upright_mask(path: Path, header: ImageHeader) -> Bytes:
    """Read the mask of a photograph stored as `header` tells; (height, width) of it upright.

    A mask may be stored as the photograph is, or upright.

    Raises
    ------
    InputError
        It does not decode, or has another size.
    """
    width, height = header.width, header.height
    if quarter_turns(header.orientation) % 2 and width != height:
        try:
            return read_mask(path, width=height, height=width)
        except InputError:
            pass  # stored as the photograph is, or told of below
    return np.ascontiguousarray(
        turned_upright(read_mask(path, width=width, height=height), header.orientation)
    )


def require_face(photograph: Path, mask: Bytes, landmarks: Floats) -> None:
    """Refuse a mask that does not show the face whose landmarks (68, 2) px are known.

    Raises
    ------
    InputError
        It is black on most of them.
    """
    height, width = mask.shape
    at = np.floor(landmarks[np.isfinite(landmarks).all(axis=1)]).astype(int)
    inside = ((at >= 0) & (at < [width, height])).all(axis=1)
    x, y = at[inside].T
    if inside.any() and (mask[y, x] > 127).mean() < _LEAST_SHOWN:
        raise InputError(
            f"{photograph}: its mask is black on the face; white is what belongs to it: is the "
            "mask inverted, or another photograph's?"
        )


def _is_image(path: Path) -> bool:
    """Return whether a folder's entry is an image by its name; `._a.png` is macOS' own."""
    return path.suffix.lower() in _IMAGES and not path.name.startswith(".") and path.is_file()
