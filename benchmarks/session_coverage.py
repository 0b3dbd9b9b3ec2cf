"""How a surface is covered: by how many cameras, and how surely it is known there."""

from collections.abc import Sequence

import numpy as np

from ..core.arrays import AnyFloats, Floats
from ..core.geometry.mesh import Mesh, face_areas
from ..core.rendering.colormap import AMOUNT
from ..core.report import Block, Cell, ColorBar, Gallery, Missing, Section, Table, Text, picture
from .session_surface import Surface, renders

_AT_LEAST = (1, 2, 3, 4, 5, 6, 8)  # cameras
_MOST_TAKES = 3  # with pictures
_HEIGHT = 440  # px of the pictures
_SCALED = 95.0  # per cent of the sigmas that lie within the scale of colours


def coverage_section(surfaces: Sequence[Surface]) -> Section:
    """Return the section: maps of the number of views and of sigma, of the first takes."""
    blocks = [block for surface in surfaces[:_MOST_TAKES] for block in _blocks(surface)]
    if not blocks and surfaces:
        blocks = [Text(text="The meshes do not tell how many cameras measured them.")]
    elif not blocks:
        blocks = [Missing(what="The coverage of a surface", how="facekit build-dataset")]
    return Section(title="Coverage", blocks=blocks)


def _blocks(surface: Surface) -> list[Block]:
    blocks: list[Block] = []
    n_views = surface.mesh.attributes.get("n_views")
    if n_views is not None and len(n_views) and np.isfinite(n_views).any():
        most = max(1, int(np.nanmax(n_views)))
        images = renders(surface, AMOUNT(n_views, 0.0, most), height=_HEIGHT)
        blocks.append(
            Gallery(
                pictures=[picture(image) for image in images],
                min_width=300,
                color_bar=ColorBar(colors=AMOUNT, low="0", high=f"{most} views", label="coverage"),
                caption=f"Coverage of take {surface.take}: how many cameras measured each place.",
            )
        )
        blocks.append(_shares_table(surface.mesh, n_views))
    sigma = surface.mesh.attributes.get("sigma_mm")
    if sigma is not None and np.isfinite(sigma).any():
        high = float(np.nanpercentile(sigma, _SCALED)) or 1.0
        images = renders(surface, AMOUNT(sigma, 0.0, high), height=_HEIGHT)
        blocks.append(
            Gallery(
                pictures=[picture(image) for image in images],
                min_width=300,
                color_bar=ColorBar(colors=AMOUNT, low="0", high=f"{high:.2g} mm or more",
                                   label="σ"),
                caption=f"How surely the surface of take {surface.take} is known: one standard "
                "deviation along the normal, as stereo predicts it.",
            )
        )  # fmt: skip
    return blocks


def covered_percent(mesh: Mesh, n_views: AnyFloats) -> dict[int, float]:
    """Return number of cameras -> per cent of the surface's area that at least so many measured.

    A triangle counts by the least of its corners.
    """
    area: Floats = np.asarray(face_areas(mesh.vertices, mesh.faces))
    least = n_views[mesh.faces].min(axis=1)
    total = float(area.sum()) or 1.0
    return {n: 100 * float(area[least >= n].sum()) / total for n in _AT_LEAST}


def _shares_table(mesh: Mesh, n_views: AnyFloats) -> Table:
    shares = {n: share for n, share in covered_percent(mesh, n_views).items() if share > 0}
    row: list[Cell] = [f"{share:.1f}" for share in shares.values()]
    return Table(
        columns=["measured by at least", *(f"{n} views" if n > 1 else "1 view" for n in shares)],
        rows=[["area, %", *row]],
    )
