"""What the check of a take found: as JSON-able record, and in sentences for a person.

The record is described in `docs/formats/stability.md`.
"""

from typing import Any

from ...core.geometry.camera import Rig
from .stabilityreport import CameraStability, StabilityReport, Verdict

STABILITY_FORMAT = "facekit-stability"
STABILITY_VERSION = 1


def take_verdict(report: StabilityReport) -> str:
    """Return the take's verdict in one word or two: the gravest that holds."""
    verdicts = {camera.verdict for camera in report.cameras}
    if report.whole_rig:
        return "calibrate again"
    if report.exchanged:
        return "exchanged"
    if report.moved:
        return "moved"
    if Verdict.FOREIGN in verdicts:
        return "foreign"
    known = [c for c in report.cameras if c.verdict is Verdict.STEADY]
    return "steady" if len(known) >= 2 else "too few ties"


def record_of(report: StabilityReport, rig: Rig) -> dict[str, Any]:
    """Return a take's record; `repaired` and `sentences` are for the caller to fill in."""
    unit = "mm" if rig.metric else "arbitrary"
    return {
        "verdict": take_verdict(report),
        "cameras": {camera.name: _camera_record(camera) for camera in report.cameras},
        "moved": list(report.moved),
        "exchanged": [list(pair) for pair in report.exchanged],
        "noise_px": _rounded(report.noise_px),
        "usual_px": _rounded(report.usual_px),
        "n_points": 0 if report.ties is None else report.ties.n_points,
        "unit": unit,
        "repaired": None,
        "sentences": [],
    }


def sentences_of(report: StabilityReport, rig: Rig, *, repaired: bool = False) -> list[str]:
    """Say what was found, and what to do."""
    said = []
    if report.whole_rig:
        said.append(
            f"{len(report.moved)} of {len(report.cameras)} cameras no longer fit the calibration "
            f"({', '.join(report.moved)}): the rig as a whole moved or was focused anew; "
            "calibrate it again"
        )
    else:
        said += [_moved_sentence(report.of(name), rig) for name in report.moved]
    said += _exchange_sentences(report)
    for entry in report.cameras:
        if entry.verdict is Verdict.FOREIGN:
            said.append(
                f"{entry.name} shows nothing that the other cameras see: a photograph of another "
                "take or subject, or a camera that was turned away"
            )
    few = [c.name for c in report.cameras if c.verdict is Verdict.TOO_FEW]
    if few:
        said.append(f"too few ties to tell whether {', '.join(few)} moved")
    if repaired:
        said.append("the rig was repaired for this take; calibrate again before the next session")
    if not said:
        said.append(
            f"all cameras stand as calibrated (within {max(report.usual_px, 0.01):.2f} px, from "
            f"{0 if report.ties is None else report.ties.n_points} points)"
        )
    return said


def _exchange_sentences(report: StabilityReport) -> list[str]:
    said, pairs = [], set(report.exchanged)
    for camera, place in report.exchanged:
        if (place, camera) not in pairs:
            said.append(f"the photograph of {camera} was taken by {place}; correct the folders")
        elif camera < place:
            said.append(
                f"the photographs of {camera} and {place} are exchanged; correct the folders"
            )
    return said


def _moved_sentence(entry: CameraStability, rig: Rig) -> str:
    unit = "mm" if rig.metric else "units"
    what = {
        Verdict.TURNED: f"was turned by {entry.turn_deg:.3f} degrees",
        Verdict.SHIFTED: f"was shifted by {entry.shift:.2f} {unit}",
        Verdict.REFOCUSED: f"was refocused (focal length {entry.focal_percent:+.2f} %)",
    }.get(
        entry.verdict,
        f"was moved (turned by {entry.turn_deg:.3f} degrees, shifted by {entry.shift:.2f} {unit})",
    )
    return (
        f"{entry.name} {what} since the calibration: {entry.motion_px or 0:.1f} px in its "
        f"photograph, from {entry.n_ties} ties"
    )


def _camera_record(camera: CameraStability) -> dict[str, Any]:
    return {
        "verdict": camera.verdict.value,
        "n_ties": camera.n_ties,
        "residual_px": _rounded(camera.residual_px),
        "motion_px": _rounded(camera.motion_px),
        "sigma_px": _rounded(camera.sigma_px),
        "turn_deg": round(camera.turn_deg, 5),
        "shift_mm": round(camera.shift, 4),
        "focal_percent": round(camera.focal_percent, 4),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), 4)
