"""Development of camera RAW files, always with the same settings (extra `raw`)."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import Image
from ..devices import require
from ..errors import InputError

# fmt: off
RAW_SUFFIXES = frozenset({
    ".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".gpr", ".iiq", ".kdc",
    ".mef", ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2",
    ".srf", ".srw", ".x3f",
})
# fmt: on

MIN_BYTES_PER_PX = 0.1  # lossy DNG needs about 0.4; a few per cent of that is a pruned sample

BLACK = 656  # of 65535: nothing of such a photograph is brighter than 1 % of its range

EXIF_FROM_FLIP = {0: 1, 3: 3, 5: 8, 6: 6}
"""LibRaw's flip -> EXIF orientation."""


def is_raw(path: Path) -> bool:
    """Whether the name says camera RAW."""
    return path.suffix.lower() in RAW_SUFFIXES


def develop_raw(path: Path) -> Image:
    """Develop to sRGB in the sensor's frame: camera white balance, no automatic brightness.

    Returns
    -------
    (height, width, 3) uint16

    Raises
    ------
    InputError
        Not recognised, truncated, corrupt, or developed to black or to one flat tone.
    MissingDependencyError
        The extra `raw` is not installed.
    """
    with _opened(path) as raw:
        pixels = raw.postprocess(
            use_camera_wb=True, no_auto_bright=True, user_flip=0, output_bps=16
        )
    if pixels.max() < BLACK:
        raise InputError(f"{path}: develops to black; its data are missing, copy it again")
    if pixels.min() == pixels.max():
        raise InputError(f"{path}: develops to one flat tone; its data are missing, copy it again")
    return np.ascontiguousarray(pixels)


def raw_orientation(path: Path) -> int:
    """Return the EXIF orientation, 1-8, that LibRaw finds; raises as `develop_raw`."""
    with _opened(path) as raw:
        return EXIF_FROM_FLIP.get(int(raw.sizes.flip), 1)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    rawpy = require("rawpy", extra="raw")
    try:
        # through a stream: LibRaw opens names by the system's encoding
        with path.open("rb") as stream, rawpy.imread(stream) as raw:
            n_pixels = raw.sizes.raw_width * raw.sizes.raw_height
            if path.stat().st_size < MIN_BYTES_PER_PX * n_pixels:
                raise InputError(
                    f"{path}: {path.stat().st_size} bytes are too few for "
                    f"{raw.sizes.raw_width}x{raw.sizes.raw_height} px of RAW; copy it again"
                )
            yield raw
    except (rawpy.LibRawError, OSError, ValueError, MemoryError) as error:
        reason = error.args[0] if error.args else error
        text = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        raise InputError(
            f"{path}: this RAW file cannot be developed completely ({text}); copy it again"
        ) from None
