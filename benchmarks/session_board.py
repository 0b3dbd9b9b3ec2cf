"""The board as the calibration found it: its shape, what was measured on it, who saw it."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import ListedColormap

from ..capture.session import BoardSpec, Session, TakeKind
from ..capture.targets import board_from_face, faces, n_face_corners, object_points
from ..core.arrays import Floats
from ..core.errors import FacekitError
from ..core.files import read_json
from ..core.geometry.transform import align_similarity, apply, invert
from ..core.rendering.colormap import SIGNED
from ..core.report import (
    Badge,
    Block,
    Cell,
    ColorBar,
    Gallery,
    Picture,
    Status,
    Table,
    Text,
    new_plot,
    plot,
    plot_title,
)

MIN_CORNERS = 6  # of a photograph, for it to say anything
WEAK_PAIR = 4  # takes that join two neighbours; fewer make their relative place weak


def board_blocks(session: Session, shape: Mapping[str, Any]) -> list[Block]:
    """Return the map of the board's shape; none where it was taken as flat or is not known."""
    corners = _corners(shape)
    if corners is None or not shape.get("free", True):
        return []
    found = _all_faces(session.board, corners, square_mm=float(shape.get("square_mm") or 0.0))
    drawn = [(place, off) for place, off in found if len(place) >= 4]
    if not drawn:
        return []
    high = max(float(np.nanmax(np.abs(off[:, 2]))) for _, off in drawn)
    high = max(high, 1e-3)
    names = ["front", "back"] if len(found) > 1 else ["the board"]
    pictures = [
        _draw(name, place, off, high=high) for name, (place, off) in zip(names, drawn, strict=False)
    ]
    return [
        Gallery(
            pictures=pictures,
            min_width=380,
            plain=True,
            caption="How far each corner lies off the flat nominal print, best fitted: colour out "
            "of the plane, arrows in it (magnified). The rig allows for a board of any shape, "
            "as long as it does not bend from take to take.",
            color_bar=ColorBar(
                colors=SIGNED, low=f"−{high:.3f} mm", middle="0", high=f"+{high:.3f} mm",
                label="towards the cameras",
            ),
        )
    ]  # fmt: skip


def _corners(shape: Mapping[str, Any]) -> Floats | None:
    try:
        corners = np.array(shape["corners_mm"], dtype=np.float64)
    except (KeyError, TypeError, ValueError):
        return None
    return corners if corners.ndim == 2 and corners.shape[1] == 3 else None


def _all_faces(
    spec: BoardSpec | None, corners: Floats, *, square_mm: float
) -> list[tuple[Floats, Floats]]:
    """Return `_warp` of every face of the board; of all corners at once without a spec."""
    if spec is None or len(object_points(spec)) != len(corners):
        return [_warp(corners, None)]
    n = n_face_corners(spec)
    size = square_mm / spec.square_mm if square_mm else 1.0
    found = []
    for face in range(len(faces(spec))):
        rows = slice(face * n, (face + 1) * n)
        face_from_board = invert(board_from_face(spec, face))
        flat = apply(face_from_board, object_points(spec)[rows]) * size
        found.append(_warp(apply(face_from_board, corners[rows]), flat))
    return found


def _warp(corners: Floats, nominal: Floats | None) -> tuple[Floats, Floats]:
    """Return places (N, 2) and deviations (N, 3), mm, of a face's corners from a flat print.

    Both in the face's frame, but z towards the cameras. Without a nominal face, only the
    deviation out of the plane is known.
    """
    known = np.isfinite(corners).all(axis=1)
    found = corners[known]
    if len(found) < 4:
        return np.zeros((0, 2)), np.zeros((0, 3))
    if nominal is not None:
        flat = nominal[known]
        off = align_similarity(found, flat, with_scale=False)(found) - flat
        return flat[:, :2], off * (1, 1, -1)
    centred = found - found.mean(axis=0)
    axis = np.linalg.svd(centred, full_matrices=False)[2][2]
    height = centred @ axis * -np.sign(axis[2] or 1.0)
    return centred[:, :2], np.column_stack([np.zeros((len(found), 2)), height])


def _draw(name: str, place: Floats, off: Floats, *, high: float) -> Picture:
    width, height = np.ptp(place, axis=0)
    figure, axes = new_plot(4.6, 4.6 * height / max(width, 1e-9) + 0.5)
    colors = ListedColormap([tuple(c / 255 for c in SIGNED(np.array(v), 0, 1)) for v in _STEPS])
    with suppress(RuntimeError, ValueError):  # corners on one line have no triangles
        axes.tricontourf(*place.T, off[:, 2], levels=24, cmap=colors, vmin=-high, vmax=high)
    axes.scatter(*place.T, c=off[:, 2], cmap=colors, vmin=-high, vmax=high, s=9,
                 edgecolors="#1d232b", linewidths=0.3)  # fmt: skip
    in_plane = np.linalg.norm(off[:, :2], axis=1)
    usual = float(np.percentile(in_plane, 95))
    if usual > 0:
        gain = 0.04 * width / usual
        axes.quiver(*place.T, *(gain * off[:, :2]).T, angles="xy", scale_units="xy", scale=1,
                    width=0.003, color="#1d232b")  # fmt: skip
    axes.set_aspect("equal")
    axes.invert_yaxis()
    axes.grid(False)
    axes.set_xlabel("mm")
    plot_title(
        axes,
        f"{name}: {np.ptp(off[:, 2]):.3f} mm from lowest to highest; "
        f"in the plane rms {np.sqrt((in_plane**2).mean()):.3f} mm",
        size=8.0,
    )
    return plot(figure, vector=False, dpi=130, width=560)


def board_views(session: Session, folder: Path) -> dict[str, set[str]]:
    """Return the takes in which each camera saw the board, from the corners that are kept."""
    kept: dict[str, int] = {}
    for path in sorted((folder / "corners").glob("*.json")):
        try:
            n = len(read_json(path)["ids"])
        except (FacekitError, KeyError, TypeError):
            continue
        name = path.name.partition("-")[0]
        kept[name] = max(n, kept.get(name, 0))
    seen: dict[str, set[str]] = {camera.id: set() for camera in session.cameras}
    for take in session.takes_of(TakeKind.TARGET):
        for shot in take.shots:
            if kept.get(shot.sha256[:16], 0) >= MIN_CORNERS:
                seen[shot.camera].add(take.id)
    return seen if any(seen.values()) else {}


def connectivity_table(seen: Mapping[str, set[str]]) -> Table:
    """Return how many takes show the board to both cameras of each pair."""
    names = list(seen)
    strongest = {
        name: max((len(seen[name] & seen[other]) for other in names if other != name), default=0)
        for name in names
    }
    rows: list[list[Cell]] = []
    for name in names:
        row: list[Cell] = [name]
        row += ["" if other == name else len(seen[name] & seen[other]) for other in names]
        weak = strongest[name] < WEAK_PAIR
        row += [len(seen[name]), Badge(text="weakly joined", status=Status.BAD) if weak else ""]
        rows.append(row)
    groups = _groups(seen)
    caption = (
        "Takes in which both cameras saw the board (at least "
        f"{MIN_CORNERS} corners, before any view was rejected); last: takes of the camera itself."
    )
    if len(groups) > 1:
        parts = "; ".join(", ".join(group) for group in groups)
        caption += f" Not joined by any take: {parts}."
    return Table(columns=["shared takes", *names, "all", ""], rows=rows, caption=caption)


def _groups(seen: Mapping[str, set[str]]) -> list[list[str]]:
    group = {name: {name} for name in seen}
    for a, b in combinations(seen, 2):
        if seen[a] & seen[b] and group[a] is not group[b]:
            joined = group[a] | group[b]
            for name in joined:
                group[name] = joined
    found = {id(members): [n for n in seen if n in members] for members in group.values()}
    return list(found.values())


def length_blocks(shape: Mapping[str, Any]) -> list[Block]:
    """Return the table of lengths measured on the print, against the rig's."""
    given = shape.get("lengths")
    rows: list[list[Cell]] = [
        [f"{one['first']} – {one['second']}", f"{one['mm']:.3f}",
         f"{one['mm'] + one['residual_mm']:.3f}", f"{one['residual_mm']:+.3f}",
         f"{one['sigma_mm']:.3f}"]
        for one in (given if isinstance(given, list) else [])
    ]  # fmt: skip
    if not rows:
        return []
    ppm, sigma = shape.get("scale_ppm"), shape.get("scale_sigma_ppm")
    known = isinstance(ppm, (int, float)) and isinstance(sigma, (int, float))
    caption = "Lengths measured on the print, which give the rig its size."
    if known:
        caption += f" They make the print {ppm:+.0f} ± {sigma:.0f} ppm larger than nominal."
    columns = ["corners", "measured on it, mm", "in the rig, mm", "difference, mm", "σ, mm"]
    return [Table(columns=columns, rows=rows, caption=caption)]


def scale_bar_blocks(records: Sequence[Mapping[str, Any]]) -> list[Block]:
    """Return the table of scale bars, take by take."""
    rows: list[list[Cell]] = []
    absent = []
    for record in records:
        takes = record.get("takes") or []
        if not takes:
            absent.append(str(record.get("bar")))
        for take in takes:
            rows.append([
                str(record["bar"]), str(take["take"]), f"{record['mm']:.3f}",
                f"{take['measured_mm']:.3f}", f"{take['error_mm']:+.3f}",
                f"{take['error_ppm']:+.0f}", f"{take['sigma_mm']:.3f}",
                " / ".join(str(n) for n in take["n_views"]), f"{take['rms_px']:.3f}",
            ])  # fmt: skip
    blocks: list[Block] = []
    if rows:
        blocks.append(
            Table(
                columns=["scale bar", "take", "measured on it, mm", "in the rig, mm", "error, mm",
                         "ppm", "σ, mm", "photographs", "rms, px"],
                rows=rows,
                caption="Scale bars: the distance of two coded markers, as measured with a rule "
                "and as the rig makes it. 250 ppm are 0.05 mm on 200 mm.",
            )
        )  # fmt: skip
    if absent:
        blocks.append(Text(text=f"Not found: {', '.join(absent)}.", status=Status.NOTE))
    return blocks


_STEPS = np.linspace(0, 1, 128)
