"""The picture of a plan: the rig from above and from the side, the head in the plan's colours."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ...core.arrays import AnyFloats, Bools, Bytes, Floats
from ...core.files import atomic_path
from ...core.geometry.camera import Camera, Rig
from ...core.rendering.colormap import AMOUNT, ColorMap
from ...core.rendering.preview import Look, MeshPreview, orbit_cameras
from ...core.report import new_plot, plot_title
from .planned import RigPlan

_INK, _BLUE, _GREY = "#1d232b", "#1f4f82", "#b6bcc4"
_YAWS_DEG = (0.0, 55.0, -55.0)
_SIZE = (300, 380)  # px of one view
_DPI = 110
_MOST_VIEWS = 5  # beyond, the colour says no more


def draw_plan(path: Path, plan: RigPlan) -> None:
    """Write a PNG."""
    figure, axes = new_plot(
        13.0, 10.6, nrows=4, ncols=2,
        gridspec_kw={"height_ratios": (1.35, 1, 1, 1), "width_ratios": (1, 1)},
    )  # fmt: skip
    _draw_rig(axes[0, 0], plan.rig, plan.mean.mesh.vertices, (0, 2), "from above")
    _draw_rig(axes[0, 1], plan.rig, plan.mean.mesh.vertices, (2, 1), "from the subject's left")
    axes[0, 0].invert_yaxis()
    axes[0, 1].invert_xaxis()
    head = plan.mean
    preview = MeshPreview(head.mesh)
    outside = head.area > 0
    known = outside & (head.n_views >= 2)
    panels = (
        ("cameras that see it", head.n_views.astype(float), (0.0, float(_MOST_VIEWS)), outside),
        ("a pixel, mm (grey: not seen by two)", head.gsd_mm, _range(head.gsd_mm, known), known),
        ("sigma along the normal, mm", head.sigma_mm, _range(head.sigma_mm, known), known),
        ("blur, px", head.blur_px, _range(head.blur_px, known), known),
        ("degrees between the two nearest cameras", head.angle_deg, (0.0, 50.0), known),
    )
    for (title, values, (low, high), shown), place in zip(panels, axes[1:].ravel(), strict=False):
        picture = _views(preview, AMOUNT(np.where(shown, values, np.nan), low, high))
        _show(figure, place, picture, title, AMOUNT, (low, high))
    _write_remarks(axes[3, 1], plan.remarks)
    with atomic_path(path) as part:
        figure.savefig(part, format="png", dpi=_DPI, bbox_inches="tight")


def _range(values: AnyFloats, known: Bools) -> tuple[float, float]:
    """Return from where to where the colours go: all but the last twentieth at either end."""
    shown = values[known & np.isfinite(values)]
    if len(shown) == 0:
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(shown, (2, 95)))
    return low, max(high, low + 1e-3)


def _views(preview: MeshPreview, colors: Bytes) -> Bytes:
    cameras = orbit_cameras(preview.mesh, _YAWS_DEG, width=_SIZE[0], height=_SIZE[1])
    look = Look(background=(255, 255, 255), gloss=0.0)
    drawn = [preview.draw(camera, colors=colors, look=look) for camera in cameras]
    return np.concatenate(drawn, axis=1)


def _show(
    figure: Figure, axes: Any, picture: Bytes, title: str, colors: ColorMap,
    limits: tuple[float, float],
) -> None:  # fmt: skip
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    axes.imshow(picture)
    axes.axis("off")
    plot_title(axes, title)
    stops = [tuple(channel / 255 for channel in stop) for stop in colors.stops]
    scale = ScalarMappable(Normalize(*limits), LinearSegmentedColormap.from_list("plan", stops))
    figure.colorbar(scale, ax=axes, shrink=0.75, pad=0.01)


def _write_remarks(axes: Any, remarks: Sequence[str]) -> None:
    import textwrap

    axes.axis("off")
    lines = [textwrap.fill(f"• {remark}", 92, subsequent_indent="   ") for remark in remarks]
    text = "\n".join(lines) if lines else "Nothing wrong with this rig."
    plot_title(axes, "what to change" if lines else "no remarks")
    axes.text(
        0, 0.98, text, va="top", ha="left", fontsize=7.5, color=_INK, transform=axes.transAxes
    )


def _draw_rig(axes: Any, rig: Rig, subject: AnyFloats, plane: tuple[int, int], title: str) -> None:
    """Draw cameras, their names and lines of sight, true to scale."""
    axes.scatter(*subject[:, list(plane)].T, s=0.4, c=_GREY, rasterized=True)
    size = 0.07 * float(np.linalg.norm(rig.centers - subject.mean(0), axis=1).mean())
    labels: dict[tuple[int, int], tuple[Floats, list[str]]] = {}
    for camera in rig:
        center, corners = camera.center[list(plane)], _frustum(camera, size)[:, list(plane)]
        far = (camera.center + 5 * size * camera.view_direction)[list(plane)]
        axes.plot(*zip(center, far, strict=True), color=_GREY, lw=0.7)
        for k in range(4):
            triangle = (center, corners[k], corners[(k + 1) % 4])
            axes.fill(*zip(*triangle, strict=True), color=_BLUE, alpha=0.22, lw=0)
        behind = (camera.center - 0.9 * size * camera.view_direction)[list(plane)]
        place = (round(behind[0] / (0.6 * size)), round(behind[1] / (0.6 * size)))
        labels.setdefault(place, (behind, []))[1].append(camera.name.removeprefix("cam"))
    for at, names in labels.values():  # cameras behind one another share a label
        axes.annotate(", ".join(names), at, fontsize=7, color=_INK, ha="center", va="center")
    axes.set_aspect("equal")
    axes.margins(0.09)
    axes.set_xlabel(f"{'xyz'[plane[0]]}, mm")
    axes.set_ylabel(f"{'xyz'[plane[1]]}, mm")
    plot_title(axes, title)


def _frustum(camera: Camera, size: float) -> Floats:
    """Return (4, 3) the corners of a small picture before the camera."""
    width, height = camera.width, camera.height
    slopes = camera.normalise(np.array([[0.0, 0], [width, 0], [width, height], [0, height]]))
    slopes *= 0.5 / np.abs(slopes).max()  # long lenses would be hard to see
    rays = np.column_stack([slopes, np.ones(4)]) @ camera.cam_from_world[:, :3]
    return np.asarray(camera.center + size * rays)
