"""Whether each photograph of a take agrees with the others: moved, blurred, over-exposed.

Every view's patches of the surface (`surfacepatches.py`) are held against the mean of the other
views' patches of the same points. What one photograph has wrong shows as its own: a systematic
displacement where it moved or the subject did, less contrast of fine detail where it is blurred,
clipped pixels where it is over-exposed. A view is judged by how far it lies from the other
views of the same take, never by an absolute score alone: marble, beards and soft lenses make
all views alike worse. Views that disagree are taken out of the consensus, worst first, before
the rest is judged, since one bad view spoils the means that its neighbours are held against.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from ..core.arrays import Bools, Floats, Floats32
from ..core.files import STAGE_RECORD, read_json
from .stages import STAGES_FOLDER
from .stereo.views import View
from .surfacepatches import SurfacePatches, normalised, sample

log = logging.getLogger(__name__)

HEALTH_STAGE = "health"
"""Of a take, whose record keeps what is found here."""

LEAST_VIEWS = 4
"""With fewer it cannot be told which of them is wrong: none is judged."""

LEFT_OUT = "left out of the finest sweep"
"""What a remark says of a view that does more harm than good."""

_LEAST_PATCHES = 50  # of a view that is judged
_LEAST_NCC = 0.5  # of a patch whose displacement counts
_ODD_NCC = 0.5  # of patches that a view shows otherwise
_ODD_AROUND = 9  # of them make a place
_COHERENT = 0.8  # of the others there: length of the mean of their patches of length one
_FAR_OFF_NCC = 0.75  # of a view: below, its displacement may be more than a pixel
_COARSE_PX = 6  # displacements looked for then
_COARSE_PATCHES = 200
_SQUARE = 0.65  # cosine of views whose sharpness can be compared
_CLIPPED = 254  # of 255, in any channel
_MAD = 1.4826  # a normal distribution's standard deviation over its median deviation
_OUTLYING = 6.0  # deviations from the other views' median that are no chance

# what is worth a sentence even where the views are very alike: healthy virtual takes, and real
# ones whose rig is right, stay below a half of it
_DISPLACED_PX = 0.15
_UNEVEN_PX = 0.15
_DISAGREEING_NCC = 0.15
_BLURRED = 0.15  # of log sharpness
_CLIPPED_SHARE = 0.02
_ODD_SHARE = 0.02
# times these limits from which a take is better off without the view
_HARMFUL_DISPLACED = 1.2
_HARMFUL = 1.5
_HARMFUL_CLIPPED = 0.5


@dataclass(frozen=True, kw_only=True)
class ViewHealth:
    """One photograph against the others of its take."""

    name: str
    n_patches: int
    """Patches that it shares with two or more other views."""
    ncc: float
    """Median NCC with the mean of the others; NaN without patches, as all that follows."""
    shift_px: tuple[float, float]
    """Median displacement in its image, against the others: x right, y down."""
    spread_px: float
    """Robust standard deviation of the displacements of its patches, per axis."""
    sharpness: float
    """Contrast of fine detail over that of the others at the same points; 1: as sharp as they."""
    clipped_share: float
    """Of its patches' middles, 0-1."""
    odd_share: float
    """Of the surface that the other views agree on: what it shows otherwise, 0-1."""
    remarks: tuple[str, ...] = ()
    """What is wrong with it, a sentence each."""
    left_out: bool = False
    """Whether it does more harm than good."""

    def record(self) -> dict[str, Any]:
        """Return the figures, JSON-able, None for NaN."""
        figures = {
            "ncc": self.ncc, "shift_x_px": self.shift_px[0], "shift_y_px": self.shift_px[1],
            "spread_px": self.spread_px, "sharpness": self.sharpness,
            "clipped_percent": 100 * self.clipped_share, "odd_percent": 100 * self.odd_share,
        }  # fmt: skip
        return {
            "patches": self.n_patches,
            **{k: round(v, 3) if np.isfinite(v) else None for k, v in figures.items()},
            "remarks": list(self.remarks),
            "left_out": self.left_out,
        }


def view_health(patches: SurfacePatches, views: Sequence[View]) -> tuple[ViewHealth, ...]:
    """Measure and judge every view; `patches` are of these views, at their scale.

    Returns
    -------
    tuple of ViewHealth
        In the order of `views`. Without remarks where fewer than `LEAST_VIEWS` can be judged.
    """
    unit = normalised(patches.values)
    found = _measured(views, unit, patches, out=[])
    judged = [k for k, health in enumerate(found) if health.n_patches >= _LEAST_PATCHES]
    if len(judged) < LEAST_VIEWS:
        return tuple(found)
    odd: dict[int, float] = {}
    while len(odd) < len(judged) // 3:
        rest = [k for k in judged if k not in odd]
        suspect = max(rest, key=lambda k: _oddness(k, found, rest, robust=False))
        without = _measured(views, unit, patches, out=[*odd, suspect])
        oddness = _oddness(suspect, without, rest, robust=True)
        if oddness <= 1:
            break
        odd[suspect] = _oddness(suspect, without, rest, robust=True, harm=True)
        found = without
    return tuple(_judged(k, found, judged, odd) for k in range(len(found)))


def displacements(folder: Path, names: Sequence[str]) -> Floats:
    """Return (n,) how many px each view of a take lies displaced, as recorded; unknown: 0.

    Parameters
    ----------
    folder : Path
        Of the take.
    """
    path = folder / STAGES_FOLDER / HEALTH_STAGE / STAGE_RECORD
    views = read_json(path)["results"]["views"] if path.is_file() else {}
    found = [views.get(name, {}) for name in names]
    xy = [[view.get("shift_x_px") or 0.0, view.get("shift_y_px") or 0.0] for view in found]
    return np.asarray(np.linalg.norm(np.array(xy, dtype=np.float64).reshape(-1, 2), axis=1))


def sentences_of(health: Sequence[ViewHealth]) -> list[str]:
    """Return what is wrong with the photographs, a sentence each, names first."""
    return [f"{view.name} {remark}" for view in health for remark in view.remarks]


def _measured(
    views: Sequence[View], unit: Floats32, patches: SurfacePatches, *, out: Sequence[int]
) -> list[ViewHealth]:
    """Return the figures of all views, the consensus made without those `out`."""
    consensus = ~np.isin(np.arange(len(views)), out)
    sharpness = _sharpness(unit, patches)
    found = []
    for k, view in enumerate(views):
        ncc, shift, spread, n = _against_others(k, view, unit, patches, consensus)
        found.append(
            ViewHealth(
                name=view.camera.name, n_patches=n, ncc=ncc, shift_px=shift, spread_px=spread,
                sharpness=sharpness[k],
                clipped_share=_clipped_share(view, patches.points[patches.seen[k]]),
                odd_share=_odd_share(k, unit, patches),
            )
        )  # fmt: skip
    return found


def _against_others(
    k: int, view: View, unit: Floats32, patches: SurfacePatches, consensus: Bools
) -> tuple[float, tuple[float, float], float, int]:
    """Return a view's NCC, displacement and its spread against the mean of the others."""
    others = consensus.copy()
    others[k] = False
    mates = patches.seen[others].sum(axis=0)
    rows = np.flatnonzero(patches.seen[k] & (mates >= 2))
    nothing = (float("nan"), (float("nan"), float("nan")), float("nan"))
    if len(rows) < _LEAST_PATCHES:
        return *nothing, len(rows)
    mean = normalised(unit[others][:, rows].sum(axis=0))
    affine = patches.px_per_step[k, rows]
    own, total = unit[k, rows], np.zeros(2)
    ncc = float(np.median((own * mean).sum(axis=(1, 2))))
    if ncc < _FAR_OFF_NCC:
        total = _coarse_shift(view, patches.points[rows], affine, mean)
        own = normalised(sample(view, patches.points[rows], affine, shift=total))
    for turn in range(4):
        shifts = _displacements(own, mean, affine)
        if len(shifts) < _LEAST_PATCHES // 2:
            return ncc, *nothing[1:], len(rows)
        step = np.median(shifts, axis=0)
        total += step
        if turn == 3 or np.linalg.norm(step) < 0.1:
            break
        # the step is exact for small displacements only: look again where it leads
        own = normalised(sample(view, patches.points[rows], affine, shift=total))
    deviation = np.median(np.abs(shifts - step), axis=0)
    spread = _MAD * float(np.sqrt((deviation**2).mean()))
    return ncc, (float(total[0]), float(total[1])), spread, len(rows)


def _coarse_shift(view: View, points: Floats, px_per_step: Floats32, mean: Floats32) -> Floats:
    """Return the whole-pixel displacement (2,) at which a view agrees best with the others."""
    some = slice(None, None, -(-len(points) // _COARSE_PATCHES))
    reach = np.arange(-_COARSE_PX, _COARSE_PX + 1.0)
    best, best_ncc = np.zeros(2), -1.0
    for shift in np.stack(np.meshgrid(reach, reach), axis=-1).reshape(-1, 2):
        own = normalised(sample(view, points[some], px_per_step[some], shift=shift))
        ncc = float((own * mean[some]).sum(axis=(1, 2)).mean())
        if ncc > best_ncc:
            best, best_ncc = shift, ncc
    return best


def _displacements(own: Floats32, mean: Floats32, px_per_step: Floats32) -> Floats:
    """Return (M, 2) px by which patches lie displaced against `mean`; textured ones only.

    One Gauss-Newton step of least squares in the mean of both patches' gradients.
    """
    both = 0.5 * (own + mean)
    gx, gy = np.gradient(both, axis=2), np.gradient(both, axis=1)
    differs = mean - own
    a, b, c = ((u * v).sum(axis=(1, 2)) for u, v in ((gx, gx), (gx, gy), (gy, gy)))
    weakest = 0.5 * (a + c) - np.sqrt(0.25 * (a - c) ** 2 + b * b)
    used = (weakest >= np.median(weakest)) & ((own * mean).sum(axis=(1, 2)) > _LEAST_NCC)
    used &= weakest > 1e-6
    p, q = (gx * differs).sum(axis=(1, 2)), (gy * differs).sum(axis=(1, 2))
    a, b, c, p, q = (x[used].astype(np.float64) for x in (a, b, c, p, q))
    determinant = a * c - b * b
    steps = np.stack([c * p - b * q, a * q - b * p], axis=1) / determinant[:, None]
    return np.asarray(np.einsum("nij,nj->ni", px_per_step[used], steps))


def _sharpness(unit: Floats32, patches: SurfacePatches) -> list[float]:
    """Return each view's median ratio of fine contrast to the others' that are as square."""
    fine = (np.diff(unit, axis=3) ** 2).sum(axis=(2, 3)) + (np.diff(unit, axis=2) ** 2).sum((2, 3))
    logs = np.where((patches.cosine > _SQUARE) & (fine > 0), 0.5 * np.log(fine + 1e-12), np.nan)
    found = []
    for k in range(len(logs)):
        others = np.delete(logs, k, axis=0)
        rows = np.flatnonzero(np.isfinite(logs[k]) & (np.isfinite(others).sum(axis=0) >= 2))
        if len(rows) < _LEAST_PATCHES:
            found.append(float("nan"))
            continue
        ratio = logs[k, rows] - np.nanmedian(others[:, rows], axis=0)
        found.append(float(np.exp(np.median(ratio))))
    return found


def _odd_share(k: int, unit: Floats32, patches: SurfacePatches) -> float:
    """Return the share of a view's surface that differs from what the other views agree on.

    By the median over the nearest patches: single ones differ in any photograph.
    """
    mates = patches.seen.sum(axis=0) - patches.seen[k]
    rows = np.flatnonzero(patches.seen[k] & (mates >= 2))
    if len(rows) < _LEAST_PATCHES:
        return float("nan")
    own = unit[k, rows]
    total = unit[:, rows].sum(axis=0) - own  # patches not seen are all zero
    length = np.sqrt((total * total).sum(axis=(1, 2)))
    ncc = (own * total).sum(axis=(1, 2)) / np.maximum(length, 1e-6)
    coherent = length > _COHERENT * mates[rows]
    if coherent.sum() < _LEAST_PATCHES:
        return float("nan")
    points = patches.points[rows[coherent]]
    _, around = cKDTree(points).query(points, k=_ODD_AROUND)
    return float((np.median(ncc[coherent][around], axis=1) < _ODD_NCC).mean())


def _clipped_share(view: View, points: Floats) -> float:
    if len(points) == 0:
        return float("nan")
    col, row = view.camera.project(points)[0].astype(np.int64).T
    return float((view.color[row, col].max(axis=1) >= _CLIPPED).mean())


def _oddness(
    k: int, found: list[ViewHealth], among: list[int], *, robust: bool, harm: bool = False
) -> float:
    """Return by how many limits view `k` disagrees more than the others; `_excess`.

    The limits are those of a remark, or, if `harm`, those from which it does harm.
    """
    return max(
        _excess(k, [value(view) for view in found], among, least, robust=robust)
        / (factor if harm else 1.0)
        for value, least, factor in (
            (lambda view: float(np.hypot(*view.shift_px)), _DISPLACED_PX, _HARMFUL_DISPLACED),
            (lambda view: view.spread_px, _UNEVEN_PX, _HARMFUL),
            (lambda view: -view.ncc, _DISAGREEING_NCC, _HARMFUL),
        )
    )


def _excess(
    k: int, values: list[float], among: list[int], least: float, *, robust: bool = True
) -> float:
    """Return by how many limits a value lies above the median of the others; NaN: 0.

    The limit is `least`, or, if `robust`, six robust deviations of the others where that is more.
    """
    others = np.array([values[i] for i in among if i != k and np.isfinite(values[i])])
    if len(others) < 2 or not np.isfinite(values[k]):
        return 0.0
    middle = np.median(others)
    deviation = _MAD * float(np.median(np.abs(others - middle)))
    return float((values[k] - middle) / max(least, _OUTLYING * deviation * robust))


def _judged(
    k: int, found: list[ViewHealth], judged: list[int], odd: dict[int, float]
) -> ViewHealth:
    """Return a view with what is wrong with it in words."""
    health = found[k]
    if k not in judged:
        return health
    remarks = []
    if _excess(k, [-float(np.log(view.sharpness)) for view in found], judged, _BLURRED) > 1:
        remarks.append(
            f"is blurred: {100 * health.sharpness:.0f} % of the other photographs' fine contrast "
            "at the same places; check focus, shutter and lens"
        )
    if _excess(k, [view.clipped_share for view in found], judged, _CLIPPED_SHARE) > 1:
        remarks.append(
            f"is over-exposed: {100 * health.clipped_share:.0f} % of the subject in it is clipped"
        )
    displaced = float(np.hypot(*health.shift_px)) > _DISPLACED_PX
    if k in odd and (displaced or not remarks):  # blur and clipping alone explain the rest
        remarks.append(_disagreement(health, [found[i] for i in judged if i != k]))
    if not remarks and _excess(k, [v.odd_share for v in found], judged, _ODD_SHARE) > 1:
        remarks.append(
            f"shows something else in {100 * health.odd_share:.0f} % of the places that the other "
            "photographs agree on: a part of the subject moved in it, or something stands before it"
        )
    harmful = odd.get(k, 0.0) > 1 or health.clipped_share > _HARMFUL_CLIPPED
    if harmful and remarks:
        remarks[-1] += f"; {LEFT_OUT}"
    return replace(health, remarks=tuple(remarks), left_out=harmful and bool(remarks))


def _disagreement(health: ViewHealth, others: list[ViewHealth]) -> str:
    x, y = health.shift_px
    if np.hypot(x, y) > max(_DISPLACED_PX, 0.7 * health.spread_px):
        return (
            f"disagrees with the other photographs by {np.hypot(x, y):.2f} px ({x:+.2f} to the "
            f"right, {y:+.2f} down): the camera moved, or the subject did before it fired"
        )
    usual = float(np.median([view.spread_px for view in others]))
    if health.spread_px > usual + _UNEVEN_PX:
        return (
            f"disagrees with the other photographs by {health.spread_px:.2f} px, in other "
            "directions from place to place: the subject moved in it, or its lens is wrong"
        )
    usual = float(np.median([view.ncc for view in others]))
    return (
        f"shows something else than the other photographs (NCC {health.ncc:.2f}, theirs "
        f"{usual:.2f}): the subject moved in it, or something stands before it"
    )
