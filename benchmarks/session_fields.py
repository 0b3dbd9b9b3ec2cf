"""What a lens model leaves over: the mean residual of a camera, place by place in its image.

Single residuals are mostly noise. Their mean over a cell of the image keeps what all poses of
the board say alike, and that is what a model cannot follow: a distortion of another form, a
shifted sensor, a filter that bends.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.colors import ListedColormap

from ..core.arrays import Floats
from ..core.geometry.camera import Camera, Rig
from ..core.rendering.colormap import AMOUNT
from ..core.report import ColorBar, Gallery, Picture, new_plot, plot, plot_title
from .session_plots import CameraResiduals, frame_image

CELLS = 10  # along the longer side
MIN_POINTS = 8  # of a cell, for its mean to say something
LARGE_RATIO = 2.0
"""Times what chance leaves: corners of one view err together, which alone gives up to 1.5."""
_INK = "#1d232b"


@dataclass(frozen=True, kw_only=True)
class Field:
    """Mean residuals over a grid of an image."""

    edges_x: Floats
    """(C + 1,) px."""
    edges_y: Floats
    """(R + 1,) px."""
    mean: Floats
    """(R, C, 2) px; NaN where there are too few points."""
    rms_px: float
    """Of the means."""
    chance_px: float
    """What independent noise of the residuals' size would leave of them."""

    @property
    def ratio(self) -> float:
        """How many times more than by chance; 0 where nothing is known."""
        return self.rms_px / self.chance_px if self.chance_px > 0 else 0.0


def residual_field(residuals: CameraResiduals, camera: Camera) -> Field:
    """Return the mean of a camera's kept residuals in each cell of a grid."""
    cell = max(camera.width, camera.height) / CELLS
    edges_x = np.linspace(0, camera.width, max(1, round(camera.width / cell)) + 1)
    edges_y = np.linspace(0, camera.height, max(1, round(camera.height / cell)) + 1)
    xy, error = residuals.xy[residuals.kept], residuals.error[residuals.kept]
    col = np.clip(np.searchsorted(edges_x, xy[:, 0]) - 1, 0, len(edges_x) - 2)
    row = np.clip(np.searchsorted(edges_y, xy[:, 1]) - 1, 0, len(edges_y) - 2)
    shape = (len(edges_y) - 1, len(edges_x) - 1)
    at = row * shape[1] + col
    count = np.bincount(at, minlength=shape[0] * shape[1])
    total = np.stack([np.bincount(at, error[:, k], minlength=len(count)) for k in range(2)], axis=1)
    firm = count >= MIN_POINTS
    mean = np.full((len(count), 2), np.nan)
    mean[firm] = total[firm] / count[firm, None]
    variance = float(error.var(axis=0).sum()) if len(error) else 0.0
    squared = (mean[firm] ** 2).sum(axis=1)
    return Field(
        edges_x=edges_x,
        edges_y=edges_y,
        mean=mean.reshape(*shape, 2),
        rms_px=float(np.sqrt(squared.mean())) if firm.any() else 0.0,
        chance_px=float(np.sqrt((variance / count[firm]).mean())) if firm.any() else 0.0,
    )


def field_gallery(residuals: Mapping[str, CameraResiduals], rig: Rig) -> Gallery:
    """Draw every camera's field, all with one scale."""
    fields = {name: residual_field(one, rig[name]) for name, one in residuals.items()}
    lengths = np.concatenate(
        [np.linalg.norm(field.mean, axis=2).ravel() for field in fields.values()]
    )
    known = lengths[np.isfinite(lengths)]
    high = float(np.percentile(known, 98)) if len(known) else 1.0
    high = max(high, 1e-4)
    pictures = [_draw(name, field, rig[name], high=high) for name, field in fields.items()]
    odd = [name for name, field in fields.items() if field.ratio > LARGE_RATIO]
    said = (
        f"{', '.join(odd)}: more than {LARGE_RATIO:g} times what chance leaves; the lens model "
        "may not fit, or the board bent while those views were taken."
        if odd
        else f"No camera has more than {LARGE_RATIO:g} times what chance leaves: the lens model "
        "fits."
    )
    upright = all(rig[name].height >= rig[name].width for name in fields)
    return Gallery(
        pictures=pictures,
        min_width=max(96, min(200, 1140 // max(len(pictures), 1) - 12)) if upright else 200,
        plain=True,
        caption="Mean residual over each part of the image, arrows magnified as the title says; "
        "white: too few points. Below the title: its rms, and what noise alone would leave. "
        + said,
        color_bar=ColorBar(colors=AMOUNT, low="0", high=f"{high:.3f} px", label="mean residual"),
    )


def _draw(name: str, field: Field, camera: Camera, *, high: float) -> Picture:
    figure, axes = new_plot(2.2, 2.2 * camera.height / camera.width + 0.45)
    colors = ListedColormap([tuple(c / 255 for c in AMOUNT(np.array(v), 0, 1)) for v in _STEPS])
    axes.pcolormesh(
        field.edges_x, field.edges_y, np.linalg.norm(field.mean, axis=2), cmap=colors,
        vmin=0, vmax=high, alpha=0.75, linewidth=0,
    )  # fmt: skip
    cell = field.edges_x[1] - field.edges_x[0]
    gain = 0.9 * cell / high
    x = (field.edges_x[:-1] + field.edges_x[1:]) / 2
    y = (field.edges_y[:-1] + field.edges_y[1:]) / 2
    axes.quiver(
        *np.meshgrid(x, y), gain * field.mean[..., 0], gain * field.mean[..., 1], angles="xy",
        scale_units="xy", scale=1, width=0.009, color=_INK, pivot="mid",
    )  # fmt: skip
    axes.grid(False)
    frame_image(axes, camera)
    plot_title(
        axes, f"{name}, ×{gain:.0f}\n{field.rms_px:.3f} px, chance {field.chance_px:.3f}", size=7.5
    )
    return plot(figure, vector=False, dpi=110)


_STEPS = np.linspace(0, 1, 64)
