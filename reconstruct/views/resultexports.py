"""A multi-view prediction as files for other programs, and its views beside it.

the files of `reconstruct.exports`
n_views.png        8 bits: how many views show each texel
sigma.png          16 bits, micrometres; 65535: unknown
views/<name>.jpg   what each view's camera of `cameras.json` shows
residuals/<name>.jpg   photograph, drawn face, difference
views.jpg          all of these and the surfaces over them, a row a view
surfaces.jpg       the surfaces from the front and both sides
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...core.arrays import Bytes, Floats32
from ...core.files import write_bytes
from ...core.imaging.color import as_bytes
from ...dataset.export.encoding import jpeg, png
from ..contactsheet import contact_sheet
from ..exports import export_maps, export_meshes
from .result import MultiViewPrediction
from .viewpictures import ViewPictures, sheet_of_views

VIEWS, RESIDUALS = "views", "residuals"
MAP_FILES = ("n_views.png", "sigma.png")
VIEW_SHEET, SURFACE_SHEET = "views.jpg", "surfaces.jpg"
UNKNOWN_SIGMA = 65535
SIGMA_STEP_MM = 1e-3

_QUALITY = 90


def export_multiview(
    folder: Path, prediction: MultiViewPrediction, images: Mapping[str, Floats32]
) -> list[str]:
    """Write meshes, maps and the views' images; return the files' names, sorted.

    Parameters
    ----------
    images : view -> (H, W, 3) in [0, 1]
    """
    counts = np.minimum(prediction.n_views, 255).astype(np.uint8)
    maps = dict(zip(MAP_FILES, (png(counts), png(coded_sigma(prediction.sigma))), strict=True))
    pictures = {f"{VIEWS}/{name}.jpg": jpeg(as_bytes(image)) for name, image in images.items()}
    for name, content in {**maps, **pictures}.items():
        write_bytes(folder / name, content)
    written = [*export_meshes(folder, prediction), *export_maps(folder, prediction)]
    return sorted([*(path.name for path in written), *maps, *pictures])


def export_pictures(
    folder: Path,
    pictures: Sequence[ViewPictures],
    surfaces: Sequence[tuple[str, Mapping[str, Bytes]]],
) -> list[str]:
    """Write what is to be looked at; return the files' names, sorted."""
    sheets = {
        VIEW_SHEET: sheet_of_views(pictures),
        SURFACE_SHEET: contact_sheet(surfaces),
    } | {
        f"{RESIDUALS}/{one.name}.jpg": contact_sheet(
            [(one.name, {k: v for k, v in one.titled().items() if k not in ("coarse", "detailed")})]
        )
        for one in pictures
    }
    for name, sheet in sheets.items():
        write_bytes(folder / name, jpeg(sheet, quality=_QUALITY))
    return sorted(sheets)


def coded_sigma(sigma: Floats32) -> NDArray[np.uint16]:
    """Return standard deviations (n, n), mm, in steps of a micrometre; unknown is the largest."""
    steps = np.where(np.isfinite(sigma), sigma / SIGMA_STEP_MM, UNKNOWN_SIGMA)
    return np.rint(np.clip(steps, 0, UNKNOWN_SIGMA)).astype(np.uint16)
