"""Whether a calibration is good enough, in words: a gate for each thing that can go wrong.

The residuals of a fit never decide alone. A printed board that bends leaves tenths of a pixel
and yet places cameras to hundredths of a millimetre; three views fitted to 0.05 px place nothing.
So where only the residuals of views held out are large, the verdict is at most `weak`, and without
a figure of where the cameras or the points of a head may be, it is never `good`.

Limits in px hold for images of up to 8192 px and grow in proportion above: up to there, corners
are found to a part of a pixel that hardly depends on the size; beyond, lenses blur.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import numpy as np

FULL_SIZE_PX = 8192  # of the longer side, up to which limits in px hold
REFERENCE_MM = 200.0  # length for which errors of lengths are told
WEAK_CENTER_MM = 0.1
"""A camera placed less surely is weak, never unfit: along the axis of a narrow lens, place and
focal length make up for each other, and points of the head hardly notice."""
FEW_VIEWS = 4  # of a camera, below which its own intrinsics are weak
WEAK_COVERAGE = 0.25  # of an image's area, below which its distortion is extrapolated
LARGE_REJECTED = 0.1  # of a camera's points
GEOMETRY = ("sigma_center_mm", "sigma_head_um")
RESIDUAL = "held_out_rms_px"


class Verdict(StrEnum):
    """How far a calibration may be trusted."""

    GOOD = "good"
    WEAK = "weak"
    UNFIT = "unfit"


@dataclass(frozen=True, kw_only=True)
class Gate:
    """One figure against its limits."""

    name: str
    value: float | None
    """None: could not be told."""
    unit: str
    warn: float | None
    """Beyond it the calibration is weak; None: for information only."""
    fail: float | None
    """Beyond it the calibration is unfit; None: never by this figure alone."""
    verdict: Verdict
    sentence: str

    def record(self) -> dict[str, Any]:
        """Return the fields, JSON-able."""
        return {**asdict(self), "verdict": str(self.verdict)}


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What is known of a calibration; None for what is not."""

    longer_side_px: int
    """Of the largest image."""
    held_out_rms_px: float | None = None
    sigma_center_mm: Mapping[str, float] | None = None
    """Camera -> standard deviation; cameras whose place is a guess are absent."""
    guessed: Sequence[str] = ()
    """Cameras whose place is a guess."""
    n_views: Mapping[str, int] | None = None
    coverage: Mapping[str, float] | None = None
    """Camera -> part of its image that points cover."""
    rejected: Mapping[str, float] | None = None
    """Camera -> part of its points that contradict the rest."""
    left_out: Sequence[str] = ()
    """Cameras that are not in the rig."""
    sigma_head_um: float | None = None
    length_error_mm: float | None = None
    """Largest error of a measured length, for 200 mm: see `length_error`."""
    warp_mm: float | None = None


def judge(figures: Figures) -> tuple[Verdict, tuple[Gate, ...]]:
    """Hold all figures against their limits; return the verdict of all together, and the gates."""
    gates = (
        _held_out_gate(figures),
        _center_gate(figures),
        _head_gate(figures),
        _least("views", figures.n_views, "", FEW_VIEWS, 2, "views of the target"),
        _length_gate(figures),
        _least(
            "coverage",
            figures.coverage,
            "of the image",
            WEAK_COVERAGE,
            0.08,
            "of the image covered",
        ),
        _rejected_gate(figures),
        _left_out_gate(figures),
        _warp_gate(figures),
    )
    return overall(gates), gates


def overall(gates: Sequence[Gate]) -> Verdict:
    """Return the verdict of all gates together, residuals by themselves not deciding."""
    verdicts = {gate.name: gate.verdict for gate in gates}
    if Verdict.UNFIT in [v for name, v in verdicts.items() if name != RESIDUAL]:
        return Verdict.UNFIT
    known = any(gate.name in GEOMETRY and gate.value is not None for gate in gates)
    if any(verdict is not Verdict.GOOD for verdict in verdicts.values()) or not known:
        return Verdict.WEAK
    return Verdict.GOOD


def length_error(
    lengths_mm: Sequence[float], residuals_mm: Sequence[float], *, sigma_ppm: float | None
) -> float | None:
    """Return the error that measured lengths show or leave open, for a length of 200 mm.

    Residuals of shorter lengths count as they are: what a rule is read to does not shrink with
    the length. A single length has no residual, but leaves the size as uncertain as it is.
    """
    if not len(lengths_mm):
        return None
    worst = max(
        abs(residual) / max(1.0, length / REFERENCE_MM)
        for length, residual in zip(lengths_mm, residuals_mm, strict=True)
    )
    return max(worst, REFERENCE_MM * 1e-6 * (sigma_ppm or 0.0))


def _held_out_gate(figures: Figures) -> Gate:
    grows = max(1.0, figures.longer_side_px / FULL_SIZE_PX)
    value = figures.held_out_rms_px
    return _most(
        RESIDUAL, value, "px", 0.3 * grows, 0.5 * grows,
        "not told: too few takes to keep some apart" if value is None else
        f"views that had no say in the rig are missed by {value:.3f} px rms",
        advice="look for blur, a board that bends, or cameras that fire apart",
    )  # fmt: skip


def _center_gate(figures: Figures) -> Gate:
    sigmas = figures.sigma_center_mm
    if figures.guessed:
        names = ", ".join(figures.guessed)
        return Gate(
            name="sigma_center_mm", value=max(sigmas.values()) if sigmas else None, unit="mm",
            warn=WEAK_CENTER_MM, fail=None, verdict=Verdict.UNFIT,
            sentence=f"the place of {names} is a guess: photograph the target in more poses",
        )  # fmt: skip
    if not sigmas:
        return _unknown("sigma_center_mm", "mm", WEAK_CENTER_MM, None, "how well cameras stand")
    value, name = max((sigma, camera) for camera, sigma in sigmas.items())
    return _most(
        "sigma_center_mm", value, "mm", WEAK_CENTER_MM, None,
        f"{name} is the least surely placed camera, to {value:.2g} mm",
        advice="photograph the board in more poses that it shares with others",
    )  # fmt: skip


def _head_gate(figures: Figures) -> Gate:
    value = figures.sigma_head_um
    if value is None or not np.isfinite(value):
        return _unknown("sigma_head_um", "µm", 20, 50, "what the rig adds to errors at the head")
    return _most(
        "sigma_head_um", value, "µm", 20, 50,
        f"the rig's uncertainty moves points of the head by {value:.2g} µm",
        advice="photograph the board in more poses, and where the head will be",
    )  # fmt: skip


def _length_gate(figures: Figures) -> Gate:
    value = figures.length_error_mm
    if value is None:
        return _unknown(
            "length_error_mm", "mm per 200 mm", 0.05, 0.1,
            "whether the size is right (no length was measured on the print)",
        )  # fmt: skip
    return _most(
        "length_error_mm", value, "mm per 200 mm", 0.05, 0.1,
        f"measured lengths agree to {value:.2g} mm in 200 mm",
        advice="measure again, between corners far apart",
    )  # fmt: skip


def _rejected_gate(figures: Figures) -> Gate:
    if not figures.rejected:
        return _unknown("rejected_share", "", LARGE_REJECTED, 0.3, "how many points were rejected")
    value, name = max((share, camera) for camera, share in figures.rejected.items())
    return _most(
        "rejected_share", value, "", LARGE_REJECTED, 0.3,
        f"at most {100 * value:.1f} % of a camera's points were rejected ({name})",
        advice="look for blur, glare and misordered files",
    )  # fmt: skip


def _left_out_gate(figures: Figures) -> Gate:
    n = len(figures.left_out)
    names = ", ".join(figures.left_out)
    return Gate(
        name="cameras_left_out", value=float(n), unit="", warn=0, fail=None,
        verdict=Verdict.WEAK if n else Verdict.GOOD,
        sentence=f"{names}: not in the rig" if n else "all cameras are in the rig",
    )  # fmt: skip


def _warp_gate(figures: Figures) -> Gate:
    value = figures.warp_mm
    sentence = "not told: the board's shape"
    if value is not None:
        sentence = f"the board is warped by {value:.2f} mm, which the rig allows for"
    return Gate(
        name="board_warp_mm", value=value, unit="mm", warn=None, fail=None, verdict=Verdict.GOOD,
        sentence=sentence,
    )  # fmt: skip


def _most(
    name: str,
    value: float | None,
    unit: str,
    warn: float,
    fail: float | None,
    sentence: str,
    *,
    advice: str,
) -> Gate:
    """Return the gate of a figure that should be small."""
    verdict = Verdict.GOOD
    if value is not None and value > warn:
        verdict = Verdict.UNFIT if fail is not None and value > fail else Verdict.WEAK
        sentence = f"{sentence}: {advice}"
    return Gate(
        name=name, value=value, unit=unit, warn=warn, fail=fail, verdict=verdict, sentence=sentence
    )


def _least(
    name: str,
    values: Mapping[str, float] | None,
    unit: str,
    warn: float,
    fail: float,
    what: str,
) -> Gate:
    """Return the gate of a figure of each camera that should be large."""
    if not values:
        return _unknown(name, unit, warn, fail, f"the share {what}")
    least = min(values.values())
    few = [camera for camera, value in values.items() if value < warn]
    verdict = Verdict.GOOD
    if few:
        verdict = Verdict.UNFIT if least < fail else Verdict.WEAK
    shown = f"{100 * least:.0f} %" if isinstance(least, float) else f"{least}"
    sentence = f"at least {shown} {what} in each camera"
    if few:
        sentence = f"{', '.join(few)}: as few as {shown} {what}; take more photographs there"
    return Gate(
        name=name, value=float(least), unit=unit, warn=warn, fail=fail, verdict=verdict,
        sentence=sentence,
    )  # fmt: skip


def _unknown(name: str, unit: str, warn: float, fail: float | None, what: str) -> Gate:
    return Gate(
        name=name, value=None, unit=unit, warn=warn, fail=fail, verdict=Verdict.GOOD,
        sentence=f"not told: {what}",
    )  # fmt: skip
