"""The reconstructed surfaces' part of a session report: pictures, errors, 3D view."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..core.arrays import Bytes, Floats32
from ..core.geometry.camera import Rig
from ..core.geometry.mesh import Mesh
from ..core.rendering.colormap import AMOUNT, SIGNED
from ..core.rendering.preview import MeshPreview, orbit_cameras
from ..core.rendering.viewer import viewer_html
from ..core.report import (
    Block,
    Cell,
    ColorBar,
    Gallery,
    Missing,
    Page3D,
    Picture,
    Section,
    Table,
    Text,
    picture,
)
from .mesh_accuracy import COMPLETE_WITHIN_MM, MeshAccuracy
from .session_plots import error_plots

_YAWS = (-55.0, 0.0, 55.0)
_MAX_FACES = 200_000  # of the view: 4 MB of page


@dataclass(frozen=True, kw_only=True)
class Surface:
    """A take's mesh, what it was measured at, and the renderer that knows its shadows."""

    take: str
    mesh: Mesh
    """In the upright frame of the page."""
    preview: MeshPreview
    accuracy: MeshAccuracy | None


def surface_section(surfaces: Sequence[Surface], *, has_truth: bool) -> Section:
    """Return the section: figures and error maps where there is a truth, other pictures."""
    blocks: list[Block] = []
    measured = [surface for surface in surfaces if surface.accuracy is not None]
    if measured:
        blocks.append(_accuracy_table(measured))
    for surface in surfaces:
        blocks += _surface_blocks(surface)
    if not surfaces:
        blocks.append(Missing(what="The surface", how="facekit build-dataset"))
    elif not measured:
        blocks.append(Text(text="The session is a real one: there is no truth to hold it against."
                           if not has_truth else
                           "No surface could be held against the truth."))  # fmt: skip
    lead = (
        "Held against the true surface without any fit to it: the rigs' alignment alone takes "
        "one to the other. Measured where at least two cameras see the frontal face at less "
        "than 65°."
        if measured
        else ""
    )
    return Section(title="Surface", blocks=blocks, lead=lead)


def _accuracy_table(surfaces: list[Surface]) -> Table:
    rows: list[list[Cell]] = []
    for surface in surfaces:
        found = surface.accuracy
        assert found is not None
        rows.append([
            surface.take, f"{len(surface.mesh.faces):,}", f"{found.median_mm:.4f}",
            f"{found.p90_mm:.4f}", f"{found.mean_mm:.4f}", f"{found.rms_mm:.4f}",
            f"{found.bias_mm:+.4f}", f"{found.outlier_percent:.2f}", f"{found.normal_deg:.2f}",
            *(f"{value:.1f}" for value in found.completeness_percent.values()),
        ])  # fmt: skip
    limits = [f"within {limit:g} mm, %" for limit in COMPLETE_WITHIN_MM]
    return Table(
        columns=["take", "triangles", "median, mm", "90 %, mm", "mean, mm", "rms, mm",
                 "bias, mm", "beyond 2 mm, %", "normals, °", *limits],
        rows=rows,
        caption="Error: from the reconstruction to the truth. “Within”: share of the true "
        "surface that has reconstruction within the distance.",
    )  # fmt: skip


def _surface_blocks(surface: Surface) -> list[Block]:
    blocks: list[Block] = []
    accuracy = surface.accuracy
    if accuracy is not None:
        limit = nice_limit(accuracy.p90_mm)
        shown = np.where(accuracy.measured, accuracy.signed_mm, np.nan)
        blocks.append(
            Gallery(
                pictures=[
                    picture(image) for image in renders(surface, SIGNED(shown, -limit, limit))
                ],
                min_width=300,
                caption=f"Signed error of take {surface.take}. Grey: not measured.",
                color_bar=ColorBar(
                    colors=SIGNED, low=f"−{limit:g} mm (inside)", middle="0",
                    high=f"+{limit:g} mm (outside)",
                ),
            )
        )  # fmt: skip
        plots: list[Picture] = error_plots(accuracy.errors_mm, limit_mm=2 * limit)
        blocks.append(Gallery(pictures=plots, min_width=420, plain=True))
    if surface.mesh.colors is not None:
        blocks.append(
            Gallery(
                pictures=[picture(i) for i in renders(surface, surface.mesh.colors)],
                min_width=300,
                caption=f"Take {surface.take} with the colours of the photographs.",
            )
        )
    confidence = surface.mesh.attributes.get("confidence")
    if confidence is not None:
        blocks += _confidence_blocks(surface, np.asarray(confidence, dtype=np.float32))
    return blocks


def _confidence_blocks(surface: Surface, confidence: Floats32) -> list[Block]:
    high = float(np.nanpercentile(confidence, 99)) or 1.0
    images = renders(surface, AMOUNT(confidence, 0.0, high), height=520)
    bar = ColorBar(colors=AMOUNT, low="0", high=f"{high:.2g}", label="confidence")
    return [Gallery(pictures=[picture(i) for i in images], min_width=300, color_bar=bar,
                    caption=f"Confidence of take {surface.take}.")]  # fmt: skip


def renders(surface: Surface, colors: Bytes | None = None, *, height: int = 760) -> list[Bytes]:
    """Draw the surface from three sides, as clay or in `colors` (V, 3) uint8."""
    cameras = orbit_cameras(surface.mesh, _YAWS, width=round(0.8 * height), height=height)
    return [surface.preview.draw(camera, colors=colors) for camera in cameras]


def view_section(surfaces: Sequence[Surface], rig: Rig | None) -> Section:
    """Return the section with the interactive view; `rig` in the page's frame."""
    if not surfaces:
        return Section(
            title="3D view", blocks=[Missing(what="The surface", how="facekit build-dataset")]
        )
    first = surfaces[0]
    page = Page3D(
        html=viewer_html(first.mesh, rig=rig, max_faces=_MAX_FACES),
        caption="Drag to turn, wheel to zoom, right button to move; zoom out to see the "
        "cameras. Simplified to at most "
        f"{_MAX_FACES:,} triangles. Needs WebGL; the pictures above show "
        "the same surface without it.",
    )
    return Section(title="3D view", blocks=[page])


def nice_limit(value: float) -> float:
    """Return the next of 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 5 mm."""
    return next((limit for limit in (0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0) if limit >= value), 5.0)
