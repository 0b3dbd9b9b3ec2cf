"""The registered face and its maps, as a section of a session's report."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..core.arrays import AnyFloats, Bytes, Floats32
from ..core.errors import FacekitError
from ..core.geometry.mesh import Mesh
from ..core.geometry.meshio import load_mesh
from ..core.imaging.color import srgb_from_linear
from ..core.imaging.resample import scale_image
from ..core.rendering.colormap import AMOUNT, SIGNED
from ..core.rendering.preview import MeshPreview, orbit_cameras
from ..core.report import Block, ColorBar, Gallery, Missing, Section, Status, Table, Text, picture
from ..dataset.bake.mapfile import load_maps
from ..dataset.bake.maps import Maps
from ..dataset.bake.scansurface import to_head
from ..dataset.register.registeredfile import MESH_FILE, load_fit

_MOST_TAKES = 3  # with pictures
_MAP_PX = 512
_YAWS = (-50.0, 0.0, 50.0)
_LIMITS_MM = (0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 3.0)  # where scales of colours may end
_MOST_OFFSET_MM = 3.0


def maps_section(takes: Mapping[str, Mapping[str, Any]], build_folder: Path | None) -> Section:
    """Return the section: what registration and baking say of each take, and pictures of some.

    Parameters
    ----------
    takes : mapping
        Take -> its entry in `build.json`.
    """
    title = "Registration and maps"
    done = {name: entry for name, entry in takes.items() if "maps" in entry}
    if build_folder is None or not done:
        return Section(
            title=title,
            blocks=[Missing(what="A registered face", how="facekit build-dataset --model builtin")],
        )
    blocks: list[Block] = [_table(done)]
    for name in list(done)[:_MOST_TAKES]:
        try:
            blocks += _pictures(name, build_folder / name)
        except (FacekitError, OSError) as error:
            blocks.append(Text(text=str(error), status=Status.NOTE))
    return Section(
        title=title,
        blocks=blocks,
        lead="One topology on every take. The deformation map leads from the morphable fit to the "
        "registered surface, the displacement map from there to the scan, along the normal.",
    )


def _table(takes: Mapping[str, Mapping[str, Any]]) -> Table:
    rows = []
    for name, entry in takes.items():
        fit, maps = entry["registration"], entry["maps"]
        rows.append([
            name, str(fit["model"]), f"{fit['face_on_scan_percent']:.1f}",
            _figure(fit["residual_median_mm"]), _figure(fit["residual_p90_mm"]),
            f"{fit['identity_rms']:.2f}", f"{maps['valid_percent']:.1f}",
            _figure(maps["displacement_rms_mm"]), _figure(maps["sigma_median_mm"]),
        ])  # fmt: skip
    return Table(
        columns=["take", "model", "face on scan, %", "scan − registered, median mm", "90 %, mm",
                 "identity, rms of σ", "valid texels, %", "displacement, rms mm", "σ, median mm"],
        rows=rows,
        caption="Valid texels are a share of the whole square, of which the face covers a part.",
    )  # fmt: skip


def _pictures(take: str, folder: Path) -> list[Block]:
    maps = load_maps(folder)
    return [*_registered_face(take, folder), *_map_pictures(take, maps)]


def _registered_face(take: str, folder: Path) -> list[Block]:
    """Return pictures of the registered face, upright, as clay and by its distance to the scan."""
    found = load_mesh(folder / MESH_FILE)
    world_from_head, residual = load_fit(folder, len(found.vertices))
    mesh = Mesh(vertices=to_head(world_from_head, found.vertices), faces=found.faces)
    preview = MeshPreview(mesh)
    cameras = orbit_cameras(mesh, _YAWS, width=420, height=520)
    limit = _limit(residual)
    colors = SIGNED(residual, -limit, limit)
    return [
        Gallery(
            pictures=[picture(preview.draw(camera)) for camera in cameras],
            min_width=240,
            caption=f"The registered face of take {take}.",
        ),
        Gallery(
            pictures=[picture(preview.draw(camera, colors=colors)) for camera in cameras],
            min_width=240,
            color_bar=_bar(limit, "scan − registered"),
            caption="How far the scan lies outside of it (red) or inside (blue). Grey follows the "
            "face model alone.",
        ),
    ]


def _map_pictures(take: str, maps: Maps) -> list[Block]:
    depth = np.where(maps.valid, maps.displacement, np.float32(np.nan))
    sigma = np.where(maps.valid, maps.sigma, np.float32(np.nan))
    limit, most = _limit(depth), _limit(sigma)
    offsets = np.where(maps.deformation_valid[..., None], maps.deformation, 0)
    images = {
        f"deformation, ±{_MOST_OFFSET_MM:g} mm": _signed_color(offsets / _MOST_OFFSET_MM),
        "displacement": SIGNED(depth, -limit, limit),
        f"its σ, 0 to {most:g} mm": AMOUNT(sigma, 0.0, most),
        "normals of the surface": _signed_color(maps.normal),
        "the same in the tangent frame": _signed_color(maps.tangent_normal),
    }
    if len(maps.albedo):
        images["albedo"] = _bytes(srgb_from_linear(np.clip(maps.albedo, 0, 1)))
    return [
        Gallery(
            pictures=[picture(_small(image), caption=name) for name, image in images.items()],
            min_width=300,
            color_bar=_bar(limit, "displacement"),
            caption=f"Maps of take {take}. Grey in displacement and σ is no measured surface. "
            "Deformation, normals: x, y, z as red, green, blue; grey is zero.",
        ),
    ]


def _bar(limit: float, label: str) -> ColorBar:
    return ColorBar(
        colors=SIGNED, low=f"−{limit:g} mm", middle="0", high=f"+{limit:g} mm", label=label
    )


def _limit(values: AnyFloats) -> float:
    """Return the end of a scale of colours in mm: a tenth of the values lies beyond, no more."""
    known = np.abs(values[np.isfinite(values)])
    most = float(np.percentile(known, 90)) if known.size else 0.0
    return next((limit for limit in _LIMITS_MM if limit >= most), _LIMITS_MM[-1])


def _signed_color(values: AnyFloats) -> Bytes:
    return _bytes((np.clip(values, -1, 1) + 1) / 2)


def _bytes(values: AnyFloats) -> Bytes:
    return np.rint(255 * np.asarray(values)).astype(np.uint8)


def _small(image: Bytes) -> Bytes:
    size = min(_MAP_PX, len(image))
    scaled: Floats32 = scale_image(image, size, size)
    return _bytes(scaled)


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
