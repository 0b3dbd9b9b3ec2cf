"""Plots of a session report: where the cameras stand, residuals, errors of the surface."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.arrays import AnyFloats, Bools, Floats
from ..core.geometry.camera import Camera, Rig
from ..core.report import Picture, new_plot, plot, plot_title

_INK, _BLUE, _RED, _GREY = "#1d232b", "#1f4f82", "#b3261e", "#b6bcc4"


@dataclass(frozen=True, kw_only=True)
class CameraResiduals:
    """What the calibration left over in one camera."""

    xy: Floats
    """(N, 2) px, where corners were seen."""
    error: Floats
    """(N, 2) px, projected minus seen."""
    kept: Bools
    """(N,) False: rejected."""


def layout_plot(rig: Rig, subject: AnyFloats | None = None) -> Picture:
    """Draw the rig from above and from the subject's left, true to scale.

    Parameters
    ----------
    subject : (V, 3), optional
        Points of the subject's surface, in the rig's frame.
    """
    unit = "mm" if rig.metric else "arbitrary unit"
    figure, (top, side) = new_plot(10.5, 4.6, ncols=2)
    for axes, (i, j), title in (
        (top, (0, 2), "from above"),
        (side, (2, 1), "from the subject's left"),
    ):
        if subject is not None:
            axes.scatter(subject[:, i], subject[:, j], s=0.5, c=_GREY, rasterized=True)
        size = _typical_distance(rig) * 0.07
        for camera in rig:
            _draw_camera(axes, camera, (i, j), size=size)
        _label_cameras(axes, rig, (i, j), size=size)
        axes.set_aspect("equal")
        plot_title(axes, title)
        axes.margins(0.09)
        names = "xyz"
        axes.set_xlabel(f"{names[i]}, {unit}")
        axes.set_ylabel(f"{names[j]}, {unit}")
    top.invert_yaxis()
    side.invert_xaxis()
    return plot(figure)


def _draw_camera(axes: Any, camera: Camera, plane: tuple[int, int], *, size: float) -> None:
    pixels = np.array([[0.0, 0], [camera.width, 0], [camera.width, camera.height],
                       [0, camera.height]])  # fmt: skip
    slopes = camera.normalise(pixels)
    slopes *= 0.5 / np.abs(slopes).max()  # long lenses would be hard to see
    corners = (
        camera.center + size * np.column_stack([slopes, np.ones(4)]) @ camera.cam_from_world[:, :3]
    )
    c = camera.center[list(plane)]
    far = (camera.center + 5 * size * camera.view_direction)[list(plane)]
    axes.plot(*zip(c, far, strict=True), color=_GREY, lw=0.7)
    for k in range(4):
        p, q = corners[k][list(plane)], corners[(k + 1) % 4][list(plane)]
        axes.fill(*zip(c, p, q, strict=True), color=_BLUE, alpha=0.22, lw=0)
        axes.plot(*zip(c, p, q, strict=True), color=_BLUE, lw=0.8)


def _label_cameras(axes: Any, rig: Rig, plane: tuple[int, int], *, size: float) -> None:
    """Write names behind the cameras; those that would cover one another share a label."""
    groups: list[tuple[Floats, list[str]]] = []
    for camera in rig:
        behind = (camera.center - 1.2 * size * camera.view_direction)[list(plane)]
        near = [names for at, names in groups if np.abs(at - behind).max() < 1.6 * size]
        if near:
            near[0].append(camera.name)
        else:
            groups.append((behind, [camera.name]))
    for at, names in groups:
        text = names[0] if len(names) == 1 else "\n".join(names)
        axes.annotate(text, at, fontsize=7, color=_INK, ha="center", va="center")


def _typical_distance(rig: Rig) -> float:
    return float(np.linalg.norm(rig.centers - rig.centers.mean(0), axis=1).mean()) or 1.0


def residual_plots(
    residuals: Mapping[str, CameraResiduals], rig: Rig, *, arrows: int = 400
) -> list[Picture]:
    """Draw each camera's residual vectors over its image, all at one scale named in the title.

    Arrows longer than three times the usual (90 % point) are cut to that.
    """
    kept = [np.linalg.norm(r.error[r.kept], axis=1) for r in residuals.values()]
    typical = float(np.percentile(np.concatenate(kept), 90)) if kept else 1.0
    pictures = []
    for name, one in residuals.items():
        camera = rig[name]
        gain = 0.05 * max(camera.width, camera.height) / max(typical, 1e-9)
        figure, axes = new_plot(2.6, 2.6 * camera.height / camera.width + 0.35)
        xy, error = one.xy[one.kept], one.error[one.kept]
        pick = np.linspace(0, len(xy) - 1, min(len(xy), arrows)).astype(int)
        length = np.linalg.norm(error[pick], axis=1, keepdims=True)
        drawn = error[pick] * np.minimum(1, 3 * typical / np.maximum(length, 1e-12))
        axes.quiver(
            *xy[pick].T, *(gain * drawn).T, angles="xy", scale_units="xy", scale=1,
            width=0.005, color=_BLUE,
        )  # fmt: skip
        axes.scatter(*one.xy[~one.kept].T, s=9, marker="x", lw=0.8, color=_RED)
        frame_image(axes, camera)
        rms = float(np.sqrt((error**2).sum(1).mean())) if len(error) else float("nan")
        plot_title(axes, f"{name}: rms {rms:.3f} px, ×{gain:.0f}", size=8.0)
        pictures.append(plot(figure, vector=False, dpi=90))
    return pictures


def frame_image(axes: Any, camera: Camera) -> None:
    """Make the axes those of a camera's image: its pixels, y downwards, a frame without ticks."""
    axes.set_xlim(0, camera.width)
    axes.set_ylim(camera.height, 0)
    axes.set_aspect("equal")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(True)


def residual_histograms(residuals: Mapping[str, CameraResiduals]) -> Picture:
    """Draw the distribution of the kept residuals' x and y parts, one small plot a camera."""
    n_columns = min(len(residuals), 5)
    n_rows = -(-len(residuals) // n_columns)
    parts = {name: r.error[r.kept].ravel() for name, r in residuals.items()}
    limit = float(np.percentile(np.abs(np.concatenate(list(parts.values()))), 99)) * 1.2
    figure, grid = new_plot(
        10.5, 1.5 * n_rows + 0.3, nrows=n_rows, ncols=n_columns, sharex=True, squeeze=False
    )
    bins = np.linspace(-limit, limit, 41)
    for axes in grid.ravel():
        axes.set_visible(False)
    for axes, (name, values) in zip(grid.ravel(), parts.items(), strict=False):
        axes.set_visible(True)
        axes.hist(values, bins=bins, color=_BLUE)
        plot_title(axes, f"{name}, sd {values.std():.3f} px", size=8.0)
        axes.set_yticks([])
        axes.tick_params(labelsize=7, labelbottom=True)
    figure.supxlabel("residual, x and y parts, px", fontsize=8.5)
    return plot(figure, vector=False, dpi=110)


def sigma_plot(figures: Mapping[str, Mapping[str, Any]], limits: Mapping[str, float]) -> Picture:
    """Draw each camera's standard deviations as bars, one panel for each figure.

    Parameters
    ----------
    figures : Mapping[str, Mapping[str, float]]
        Title of the figure -> camera -> value.
    limits : Mapping[str, float]
        Title -> value above which it is weak, drawn as a line.
    """
    n_rows = max(len(values) for values in figures.values())
    figure, grid = new_plot(
        10.5, 0.22 * n_rows + 0.9, ncols=len(figures), squeeze=False, sharey=True
    )
    for axes, (title, values) in zip(grid.ravel(), figures.items(), strict=True):
        limit = limits.get(title)
        colors = [_RED if limit is not None and v > limit else _BLUE for v in values.values()]
        axes.barh(range(len(values)), list(values.values()), color=colors, height=0.62)
        axes.set_yticks(range(len(values)), list(values))
        axes.tick_params(labelsize=8)
        if limit is not None and limit < 2 * max(values.values(), default=0.0):
            axes.axvline(limit, color=_RED, lw=1.0, ls="--")
        plot_title(axes, title, size=8.5)
    grid.ravel()[0].invert_yaxis()
    return plot(figure)


def error_plots(errors_mm: AnyFloats, *, limit_mm: float) -> list[Picture]:
    """Draw the signed errors' distribution, and which share of the surface is within what."""
    figure, axes = new_plot(5.4, 3.0)
    axes.hist(errors_mm, bins=np.linspace(-limit_mm, limit_mm, 81).tolist(), color=_BLUE)
    median = float(np.median(errors_mm))
    axes.axvline(0, color=_INK, lw=0.8)
    axes.axvline(median, color=_RED, lw=1.1, ls="--", label=f"median {1000 * median:+.1f} µm")
    axes.set_yticks([])
    axes.set_xlabel("signed error, mm (+ outside the truth)")
    axes.legend(fontsize=8, frameon=False)
    second, cumulative = new_plot(5.4, 3.0)
    distance = np.sort(np.abs(errors_mm))
    share = 100 * np.arange(1, len(distance) + 1) / len(distance)
    pick = np.linspace(0, len(distance) - 1, min(len(distance), 800)).astype(int)
    cumulative.plot(distance[pick], share[pick], color=_BLUE, lw=1.6)
    for level in (50, 90):
        at = float(np.percentile(distance, level))
        cumulative.plot([0, at, at], [level, level, 0], color=_GREY, lw=0.9)
        cumulative.annotate(f"{level} % within {at:.3f} mm", (at, level), fontsize=8,
                            textcoords="offset points", xytext=(6, -10))  # fmt: skip
    cumulative.set_xlim(0, 1.6 * limit_mm)
    cumulative.set_ylim(0, 101)
    cumulative.set_xlabel("distance to the truth, mm")
    cumulative.set_ylabel("share of the surface, %")
    return [plot(figure), plot(second)]


def timing_plot(stages: Sequence[tuple[str, float]]) -> Picture:
    """Draw how long each stage took (name, seconds)."""
    figure, axes = new_plot(7.0, 0.34 * len(stages) + 0.7)
    names, seconds = [name for name, _ in stages], [s for _, s in stages]
    axes.barh(range(len(stages)), seconds, color=_BLUE, height=0.6)
    axes.set_yticks(range(len(stages)), names)
    axes.invert_yaxis()
    axes.set_xlabel("seconds")
    for row, value in enumerate(seconds):
        axes.annotate(f"{value:.1f}", (value, row), xytext=(4, 0), textcoords="offset points",
                      va="center", fontsize=8)  # fmt: skip
    axes.margins(x=0.1)
    return plot(figure, width=720)
