"""Two builds of one session beside each other: figures, settings, and where the surfaces differ."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..capture.virtual.truth import Truth
from ..core.errors import FacekitError
from ..core.files import read_json
from ..core.geometry.mesh import Mesh
from ..core.geometry.meshio import load_mesh
from ..core.geometry.transform import Similarity
from ..core.rendering.colormap import SIGNED
from ..core.report import (
    Block,
    Cell,
    ColorBar,
    Gallery,
    Section,
    Status,
    Table,
    Text,
    picture,
)
from ..dataset.build import SUMMARY
from .mesh_accuracy import MeshAccuracy, TrueSurface, mesh_error
from .rig_accuracy import CalibrationAccuracy, calibration_error
from .session_frames import shared_frame
from .session_provenance import changed_settings, find_stages
from .session_surface import Surface, nice_limit, renders
from .virtual import find_meshes, measure_take

_SEED = 3  # of the points drawn on the surfaces
_WITHIN_MM = 0.2
_FIGURES = (  # path in an entry of build.json, title, format
    (("triangles",), "triangles", "{:,.0f}"),
    (("measured_percent",), "measured, %", "{:.2f}"),
    (("median_score",), "median score", "{:.4f}"),
    (("photo_consistency", "ncc"), "predicted photographs, NCC", "{:.4f}"),
    (("registration", "residual_median_mm"), "scan − registered, median mm", "{:.4f}"),
    (("maps", "valid_percent"), "valid texels, %", "{:.2f}"),
    (("maps", "displacement_rms_mm"), "displacement, rms mm", "{:.4f}"),
    (("maps", "sigma_median_mm"), "σ of the displacement, median mm", "{:.4f}"),
    (("seconds",), "seconds", "{:.1f}"),
    (("peak_gb",), "memory, GB", "{:.2f}"),
)


def compare_section(
    surfaces: Sequence[Surface],
    build_folder: Path | None,
    other_folder: Path,
    *,
    upright: Similarity,
    truth: Truth | None = None,
    rig_accuracy: CalibrationAccuracy | None = None,
) -> Section:
    """Return the section: this build against another of the same session.

    Parameters
    ----------
    surfaces : sequence of Surface
        Of this build, in the page's frame.
    upright : Similarity
        Frame of this build -> the page's. The other's is this one's, or is moved into it by the
        cameras of its rig.
    truth, rig_accuracy
        Where known, both builds are held against the truth, too.
    """
    title = "Comparison"
    ours, others = _takes(build_folder), _takes(other_folder)
    shared = [take for take in ours if take in others]
    if not shared:
        said = f"{other_folder}: no take in it that this build has, too."
        return Section(title=title, blocks=[Text(text=said, status=Status.BAD)])
    frame = shared_frame(build_folder, other_folder)
    blocks: list[Block] = [_settings(build_folder, other_folder)]
    for take in shared:
        blocks.append(_figures(take, ours[take], others[take]))
    meshes = find_meshes(other_folder)
    for surface in surfaces:
        if surface.take not in meshes or frame.this_from_other is None:
            continue
        try:
            other_mesh = _moved(meshes[surface.take], frame.this_from_other, upright)
            blocks += _surface_blocks(surface, other_mesh)
            if truth is not None and rig_accuracy is not None and surface.accuracy is not None:
                theirs = rig_accuracy
                if frame.other_rig is not None:
                    theirs = calibration_error(frame.other_rig, truth.rig)
                other = measure_take(truth, surface.take, meshes[surface.take], theirs)
                blocks.append(_truth_table(surface.take, surface.accuracy, other))
        except FacekitError as error:
            blocks.append(Text(text=f"{surface.take}: {error}", status=Status.NOTE))
    absent = sorted({*ours, *others} - set(shared))
    if absent:
        blocks.append(Text(text=f"In one of the builds alone: {', '.join(absent)}."))
    return Section(
        title=title, blocks=blocks,
        lead=f"“This” is {build_folder}, “other” is {other_folder}. {frame.told}",
    )  # fmt: skip


def _takes(folder: Path | None) -> dict[str, Mapping[str, Any]]:
    """Return take -> its entry in `build.json`, an empty one for a mesh that nothing is said of."""
    if folder is None:
        return {}
    takes: dict[str, Mapping[str, Any]] = {take: {} for take in find_meshes(folder)}
    try:
        said = read_json(folder / SUMMARY)["takes"] if (folder / SUMMARY).is_file() else {}
    except (FacekitError, KeyError, TypeError):
        return takes
    if isinstance(said, dict):
        takes |= {str(k): v for k, v in said.items() if isinstance(v, Mapping)}
    return takes


def _settings(build_folder: Path | None, other_folder: Path) -> Block:
    changed = changed_settings(find_stages([build_folder]), find_stages([other_folder]))
    if not changed:
        return Text(text="No difference in settings or versions is on record.")
    rows: list[list[Cell]] = [list(row) for row in changed]
    return Table(columns=["stage", "setting", "this", "other"], rows=rows,
                 caption="What was set differently.")  # fmt: skip


def _figures(take: str, ours: Mapping[str, Any], other: Mapping[str, Any]) -> Block:
    rows: list[list[Cell]] = []
    for path, title, form in _FIGURES:
        a, b = _number(ours, path), _number(other, path)
        if a is None and b is None:
            continue
        change = None if a is None or b is None else _signed(form, a - b)
        rows.append([title, *(None if v is None else form.format(v) for v in (a, b)), change])
    if not rows:
        return Text(text=f"{take}: no figures to compare.")
    return Table(columns=[take, "this", "other", "this − other"], rows=rows)


def _number(entry: Mapping[str, Any], path: tuple[str, ...]) -> float | None:
    value: Any = entry
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return float(value) if isinstance(value, (int, float)) else None


def _signed(form: str, value: float) -> str:
    text = form.format(abs(value))
    is_zero = not any(c in "123456789" for c in text)
    return text if is_zero else f"{'−' if value < 0 else '+'}{text}"


def _surface_blocks(surface: Surface, other: Mesh) -> list[Block]:
    """Return how far this surface lies from the other, as figures and as a map."""
    found = mesh_error(
        surface.mesh,
        TrueSurface(other),
        rng=np.random.default_rng(_SEED),
    )
    limit = nice_limit(found.p90_mm)
    images = renders(surface, SIGNED(found.signed_mm, -limit, limit), height=520)
    return [
        Table(
            columns=[surface.take, "median, mm", "90 %, mm", "bias, mm",
                     f"other within {_WITHIN_MM:g} mm, %"],
            rows=[["this − other", f"{found.median_mm:.4f}", f"{found.p90_mm:.4f}",
                   f"{found.bias_mm:+.4f}", f"{found.completeness_percent[_WITHIN_MM]:.1f}"]],
        ),
        Gallery(
            pictures=[picture(image) for image in images],
            min_width=300,
            color_bar=ColorBar(colors=SIGNED, low=f"−{limit:g} mm", middle="0",
                               high=f"+{limit:g} mm", label="this − other"),
            caption=f"Take {surface.take}: where this surface lies outside (red) and inside "
            "(blue) of the other. Grey: nothing within 5 mm.",
        ),
    ]  # fmt: skip


def _moved(file: Path, this_from_other: Similarity, upright: Similarity) -> Mesh:
    mesh = load_mesh(file)
    here = this_from_other(np.asarray(mesh.vertices, dtype=np.float64))
    return replace(mesh, vertices=upright(here))


def _truth_table(take: str, ours: MeshAccuracy, other: MeshAccuracy) -> Block:
    names = ("median_mm", "p90_mm", "rms_mm", "bias_mm", "outlier_percent", "normal_deg")
    rows: list[list[Cell]] = []
    for label, found in (("this", ours), ("other", other)):
        values = [f"{getattr(found, name):.4f}" for name in names]
        rows.append([label, *values, f"{found.completeness_percent[_WITHIN_MM]:.1f}"])
    return Table(
        columns=[f"{take}, against the truth", "median, mm", "90 %, mm", "rms, mm", "bias, mm",
                 "beyond 2 mm, %", "normals, °", f"within {_WITHIN_MM:g} mm, %"],
        rows=rows,
    )  # fmt: skip
