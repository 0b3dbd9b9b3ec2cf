"""The texels of a chart that views are compared at: places on a surface, and how large they are.

Only the window of the chart that holds the face is kept, as large as it must be.
"""

from dataclasses import dataclass, field

import cv2
import numpy as np

from ...core.arrays import AnyFloats, Bools, Floats, Floats32
from ...core.errors import InputError
from ...core.facemodel.model import FaceModel
from ...core.geometry.mesh import vertex_normals
from ...dataset.bake.chart import Chart, chart
from ...dataset.bake.curved import sagitta

_MARGIN = 4  # texels about the face, for windows and blurs
_SHARE = 0.5  # of a texel's vertices that must belong to the region
_EXTENDED = 6  # texels by which a map goes on beyond the face before it is resized


@dataclass(frozen=True, kw_only=True)
class TexelGrid:
    """A window (h, w) of a chart laid on a surface, or on one surface a view."""

    model: FaceModel = field(repr=False)
    size: int
    """Texels a side of the whole chart."""
    window: tuple[slice, slice]
    inside: Bools
    """(h, w) texels of the face."""
    points: Floats
    """(E, h, w, 3) mm, on the curved surface; E is 1, or one a view."""
    normals: Floats
    """(E, h, w, 3) unit."""
    texel_mm: Floats32
    """(h, w) side of a texel on the skin."""

    @property
    def spacing_mm(self) -> float:
        """The median side of a texel."""
        return float(np.median(self.texel_mm[self.inside]))

    @property
    def chart(self) -> Chart:
        """The whole chart."""
        return chart(self.model, self.size)

    def whole(self, values: AnyFloats) -> Floats32:
        """Return (size, size, ...) with `values` (h, w, ...) in the window and 0 around."""
        out = np.zeros((self.size, self.size, *values.shape[2:]), np.float32)
        out[self.window] = np.where(
            self.inside.reshape(*self.inside.shape, *[1] * (values.ndim - 2)), values, 0
        )
        return out

    def resized(self, values: AnyFloats, to: "TexelGrid") -> Floats32:
        """Return a map (h, w) of this grid at the texels of another of the same model."""
        ones = self.whole(np.ones(self.inside.shape, np.float32))
        given = self.whole(values)
        near = [cv2.GaussianBlur(m, (0, 0), _EXTENDED / 3) for m in (given * ones, ones)]
        given = np.where(ones > 0, given, near[0] / np.maximum(near[1], 1e-6))
        how = cv2.INTER_LINEAR if to.size >= self.size else cv2.INTER_AREA
        wide = cv2.resize(given.astype(np.float32), (to.size, to.size), interpolation=how)
        return np.asarray(wide[to.window], np.float32)


def texel_grid(model: FaceModel, surfaces: AnyFloats, region: Bools, size: int) -> TexelGrid:
    """Lay the chart's texels on surfaces.

    Parameters
    ----------
    surfaces : (E, V, 3) mm
    region : (V,) bool
        Vertices of the face; of their places in the chart the largest connected one counts.

    Raises
    ------
    InputError
        The region has no place in the chart.
    """
    texels = chart(model, size)
    inside = texels.inside & (texels.interpolated(region.astype(np.float32)) > _SHARE)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(inside.astype(np.uint8))
    if count < 2:
        raise InputError(f"{model.name}: the face has no place in the chart of {size} texels")
    inside = labels == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    window = tuple(
        slice(max(int(at[0]) - _MARGIN, 0), min(int(at[-1]) + 1 + _MARGIN, size))
        for at in (np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0)))
    )
    rows, cols = window
    placed = [_placed(texels, np.asarray(v, np.float64), (rows, cols)) for v in surfaces]
    return TexelGrid(
        model=model,
        size=size,
        window=(rows, cols),
        inside=inside[rows, cols],
        points=np.stack([points for points, _ in placed]),
        normals=np.stack([normals for _, normals in placed]),
        texel_mm=texels.texel_mm(np.asarray(surfaces[0], np.float64))[rows, cols],
    )


def _placed(texels: Chart, vertices: Floats, window: tuple[slice, slice]) -> tuple[Floats, Floats]:
    """Return points on the curved surface and their unit normals, (h, w, 3) each."""
    smooth = texels.interpolated(vertex_normals(vertices, texels.model.faces))[window]
    normals = smooth.astype(np.float64)
    normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-9)
    flat = texels.interpolated(vertices)[window].astype(np.float64)
    return flat + sagitta(texels, vertices)[window][..., None] * normals, normals
