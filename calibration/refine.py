"""A board calibration refined by the subject itself: every camera turned a little, by ties.

For a rig that stood for weeks: mounts give way and all cameras turn, while their places and
lenses stay. (Where single cameras were knocked, `check` finds and repairs these alone.)
"""

import logging
from pathlib import Path
from typing import Any

from ..capture.session import Session, TakeKind
from ..core.errors import InputError
from ..core.geometry.camera import Rig
from .rigfile import RIG_FILE, save_rig
from .stability.coarse import look
from .stability.repair import differences, refine_rig
from .stability.stability import stability_from_ties
from .stability.ties import TieSettings, load_photos, refine_ties

log = logging.getLogger(__name__)


def refine(session: Session, rig: Rig, out: Path, *, take: str | None = None) -> dict[str, Any]:
    """Turn a rig's cameras so that the ties of a take meet; write `out/rig.json`.

    Parameters
    ----------
    take : str, optional
        Id of the take; the first of the subject by default.

    Returns
    -------
    dict
        JSON-able: `take`, `n_points`, `residual_px` (median, after), `registered`,
        `cameras.<id>.turn_deg`, `rig`.

    Raises
    ------
    InputError
        The session has no such take, or no take of a subject.
    CalibrationError
        Too few ties to hold all cameras.
    """
    subjects = session.takes_of(TakeKind.SUBJECT)
    if take is None and not subjects:
        raise InputError(f"{session.folder}: no take of a subject to refine the rig by")
    chosen = subjects[0] if take is None else session.take(take)
    settings = TieSettings()
    photos = load_photos(session, chosen, rig, settings, cache=out / "features")
    coarse = look(photos.seen_by(rig), settings)
    found = refine_ties(coarse.view, coarse.tracks, coarse.points)
    report = stability_from_ties(found, rig)
    ties = found if report.ties is None else report.ties  # without gross errors where it tells
    repair = refine_rig(ties, rig)
    changes = differences(rig, repair.rig)
    provenance = {"method": "refined", "take": chosen.id, "residual_px": repair.residual_px}
    save_rig(out / RIG_FILE, repair.rig, provenance=provenance)
    most = max(changes, key=lambda name: changes[name]["turn_deg"])
    log.info("refined by %s: %s turned most, by %.4f degrees", chosen.id, most,
             changes[most]["turn_deg"])  # fmt: skip
    return {
        "take": chosen.id,
        "n_points": ties.n_points,
        "residual_px": repair.residual_px,
        "registered": len(repair.rig),
        "cameras": {name: {"turn_deg": one["turn_deg"]} for name, one in changes.items()},
        "rig": str(out / RIG_FILE),
    }
