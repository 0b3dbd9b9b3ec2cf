"""One colour for all cameras: black level, fall-off, a 3x3 matrix and an exposure for each.

    linear sRGB = exposure * matrix @ ((linear light of the file - black) / fall-off)

The matrix keeps grey grey (its rows sum to one after the balance of the channels, which it
contains); the exposure brings all cameras to the reflectances of the chart.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..core.arrays import Floats, Floats32, Image
from ..core.config import from_mapping, known_fields
from ..core.errors import EstimationError, SchemaError
from ..core.files import read_json, write_json
from ..core.imaging.color import linear_from_srgb
from ..core.imaging.lab import delta_e_2000, lab_from_linear
from .chart import N_GREY, ChartSample, chart_reference, sample_chart
from .session import Session, Shot, TakeKind
from .vignette import Vignette, fit_vignette

log = logging.getLogger(__name__)

COLOR_FILE = "color.json"
COLOR_FORMAT = "facekit-color"
COLOR_VERSION = 1

MIN_PATCHES = 12  # not clipped, for a matrix
MIN_GREYS = 3
MAX_BLACK = 0.03  # linear; a larger offset is not a black level
MAX_DELTA_E = 3.0  # mean CIEDE2000 after correction: more is a wrong chart or a tone curve


@dataclass(frozen=True, kw_only=True)
class ColorCorrection:
    """What takes a camera's pixels to linear sRGB."""

    camera: str
    matrix: tuple[tuple[float, float, float], ...]
    """(3, 3); takes grey of this camera to grey."""
    exposure: float
    black: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Linear light that the file shows where there is none."""
    vignette: Vignette = field(default_factory=Vignette)
    n_patches: int = 0
    """Patches of the chart that were used."""
    delta_e_before: float = 0.0
    """Mean CIEDE2000 to the chart with the exposure alone."""
    delta_e: float = 0.0
    """Mean CIEDE2000 after correction."""
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ColorCalibration:
    """Corrections of the cameras of a session, and why some have none."""

    corrections: Mapping[str, ColorCorrection]
    missing: Mapping[str, str]
    """Camera -> why it has no correction."""


def apply(image: Image, correction: ColorCorrection) -> Floats32:
    """Take a photograph of the correction's camera to linear sRGB.

    Parameters
    ----------
    image : (height, width, 3) uint8 or uint16
        sRGB-encoded, as `read_image` gives it.

    Returns
    -------
    (height, width, 3) float32
        Not negative; above 1 where it is brighter than a white patch of reflectance 1.
    """
    light = linear_from_srgb(image) - np.array(correction.black, dtype=np.float32)
    if correction.vignette != Vignette():
        light /= correction.vignette.gain(image.shape[1], image.shape[0])[..., None]
    full = (correction.exposure * np.array(correction.matrix)).astype(np.float32)
    return np.asarray(np.maximum(light @ full.T, 0), dtype=np.float32)


def calibrate_color(session: Session) -> ColorCalibration:
    """Find the corrections from the takes of the colour chart and of the empty studio.

    Raises
    ------
    EstimationError
        No take shows a chart, or no camera sees it well enough.
    """
    takes = session.takes_of(TakeKind.COLOR_CHART)
    if not takes:
        raise EstimationError(
            f"{session.folder}: no take shows a colour chart; photograph one, and name its take "
            "`chart` or say which with --kinds PATTERN=color_chart"
        )
    corrections: dict[str, ColorCorrection] = {}
    missing: dict[str, str] = {}
    for camera in session.cameras:
        shots = [shot for take in takes if (shot := take.shot(camera.id)) is not None]
        vignette, remark = _vignette(session, camera.id)
        try:
            samples = _samples(session, shots, vignette)
            corrections[camera.id] = fit_correction(
                camera.id, samples, vignette=vignette, remarks=(remark,) if remark else ()
            )
        except EstimationError as error:
            missing[camera.id] = str(error)
    if not corrections:
        camera_id, reason = next(iter(missing.items()))
        raise EstimationError(
            f"{session.folder}: no colours from any camera ({camera_id}: {reason})"
        )
    log.info("colour of %d cameras, none of %d", len(corrections), len(missing))
    return ColorCalibration(corrections=corrections, missing=missing)


def fit_correction(
    camera: str,
    samples: Sequence[ChartSample],
    *,
    vignette: Vignette | None = None,
    remarks: Sequence[str] = (),
) -> ColorCorrection:
    """Fit black level, channel balance, matrix and exposure to samples of the chart.

    Parameters
    ----------
    samples
        Already divided by the fall-off.

    Raises
    ------
    EstimationError
        Too few patches within the sensor's range.
    """
    seen = np.concatenate([sample.linear for sample in samples])
    reference = np.tile(chart_reference(), (len(samples), 1))
    used = ~np.concatenate([sample.clipped for sample in samples])
    greys = used & np.tile(np.arange(24) >= 24 - N_GREY, len(samples))
    if used.sum() < MIN_PATCHES or greys.sum() < MIN_GREYS:
        raise EstimationError(
            f"only {used.sum()} patches of the chart are within the sensor's range, {MIN_PATCHES} "
            f"({MIN_GREYS} of them grey) are needed; expose the chart less"
        )
    black, balance = _grey_lines(seen[greys], reference[greys])
    balanced = (seen - black) * balance
    mixing = _mixing(balanced[used], reference[used])
    exposure = float(np.mean(balance))
    matrix = mixing * (balance / exposure)
    corrected = exposure * (seen - black) @ matrix.T
    level = float((seen * reference).sum() / (seen**2).sum())
    delta_e = float(_difference(corrected, reference)[used].mean())
    notes = list(remarks)
    if delta_e > MAX_DELTA_E:
        notes.append(
            f"the chart is still {delta_e:.1f} off (CIEDE2000); a picture style or another chart?"
        )
    return ColorCorrection(
        camera=camera,
        matrix=tuple((float(a), float(b), float(c)) for a, b, c in matrix),
        exposure=exposure,
        black=(float(black[0]), float(black[1]), float(black[2])),
        vignette=vignette or Vignette(),
        n_patches=int(used.sum()),
        delta_e_before=float(_difference(level * seen, reference)[used].mean()),
        delta_e=delta_e,
        remarks=tuple(notes),
    )


def save_color(folder: Path, calibration: ColorCalibration) -> Path:
    """Write `color.json` into the session's folder, atomically; return its path."""
    path = folder / COLOR_FILE
    cameras = [
        asdict(calibration.corrections[camera]) for camera in sorted(calibration.corrections)
    ]
    write_json(
        path,
        {
            "format": COLOR_FORMAT,
            "version": COLOR_VERSION,
            "cameras": cameras,
            "missing": dict(calibration.missing),
        },
    )
    return path


def load_color(folder: Path) -> ColorCalibration:
    """Read the `color.json` of a session's folder.

    Raises
    ------
    InputError
        There is none.
    SchemaError
        It has another version or shape.
    """
    path = folder / COLOR_FILE
    values = read_json(path, format_name=COLOR_FORMAT, version=COLOR_VERSION)
    try:
        corrections = [_correction(entry, where=str(path)) for entry in values["cameras"]]
        missing = {str(camera): str(reason) for camera, reason in values["missing"].items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SchemaError(f"{path}: {error!r} is missing or of the wrong type") from error
    return ColorCalibration(corrections={one.camera: one for one in corrections}, missing=missing)


def _correction(entry: Mapping[str, Any], *, where: str) -> ColorCorrection:
    correction = from_mapping(ColorCorrection, known_fields(ColorCorrection, entry), where=where)
    numbers = np.array([*np.ravel(correction.matrix), *correction.black, correction.exposure])
    if np.shape(correction.matrix) != (3, 3) or not np.isfinite(numbers).all():
        raise SchemaError(f"{where}: camera {correction.camera}: expected a matrix of 3x3 numbers")
    return correction


def _samples(session: Session, shots: Sequence[Shot], vignette: Vignette) -> list[ChartSample]:
    samples = []
    for shot in shots:
        image = session.read(shot)
        sample = sample_chart(image)
        if sample is not None:
            gain = vignette.gain(image.shape[1], image.shape[0])
            at = np.floor(sample.patches.mean(axis=1)).astype(int)
            share = gain[
                np.clip(at[:, 1], 0, len(gain) - 1), np.clip(at[:, 0], 0, gain.shape[1] - 1)
            ]
            samples.append(
                ChartSample(
                    linear=sample.linear / share[:, None],
                    clipped=sample.clipped,
                    patches=sample.patches,
                )
            )
    if not shots:
        raise EstimationError("it took no photograph of the chart")
    if not samples:
        raise EstimationError("it does not see the chart, or too obliquely; turn the chart to it")
    return samples


def _vignette(session: Session, camera: str) -> tuple[Vignette, str]:
    shots = [take.shot(camera) for take in session.takes_of(TakeKind.EMPTY)]
    fields = [linear_from_srgb(session.read(shot)) for shot in shots if shot is not None]
    if not fields or any(one.shape != fields[0].shape for one in fields):
        return Vignette(), ""
    vignette, remark = fit_vignette(np.asarray(np.mean(fields, axis=0), dtype=np.float32))
    return vignette, f"no fall-off from the empty studio: {remark}" if remark else ""


def _grey_lines(seen: Floats, reference: Floats) -> tuple[Floats, Floats]:
    """Return (3,) black level and (3,) gain of each channel that take the greys to grey.

    Relative errors count alike, since patches span a factor of thirty.
    """
    black, gain = np.zeros(3), np.zeros(3)
    for c in range(3):
        weight = 1 / (reference[:, c] + 0.02)
        design = np.stack([np.ones(len(seen)), reference[:, c]], axis=1) * weight[:, None]
        offset, slope = np.linalg.lstsq(design, seen[:, c] * weight, rcond=None)[0]
        black[c] = np.clip(offset, 0, MAX_BLACK)
        above = seen[:, c] - black[c]
        slope = (
            (above * weight) @ (reference[:, c] * weight) / ((reference[:, c] * weight) ** 2).sum()
        )
        gain[c] = 1 / max(float(slope), 1e-6)
    return black, gain


def _mixing(balanced: Floats, reference: Floats) -> Floats:
    """Return the (3, 3) matrix with rows that sum to one, which takes the colours to the chart's.

    Least squares on what is left beside grey; weights follow the slope of the cube root in
    CIE lightness, so that dark patches count as they are seen.
    """
    weight = (reference.mean(axis=1) + 0.03) ** (-2 / 3)
    matrix = np.zeros((3, 3))
    for row in range(3):
        others = [c for c in range(3) if c != row]
        design = balanced[:, others] - balanced[:, [row]]
        target = reference[:, row] - balanced[:, row]
        part = np.linalg.lstsq(design * weight[:, None], target * weight, rcond=None)[0]
        matrix[row, others] = part
        matrix[row, row] = 1 - part.sum()
    return matrix


def _difference(linear: Floats, reference: Floats) -> Floats:
    return delta_e_2000(lab_from_linear(np.clip(linear, 0, None)), lab_from_linear(reference))
