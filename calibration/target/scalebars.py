"""Scale bars: coded markers whose distance was measured, and how long a rig makes them.

A bar in the photographs tests what nothing else in a capture tests, the size: lenses that all
breathe alike, or a board that was printed too large, leave no other trace.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...capture.patterns import marker_ids
from ...capture.session import BoardSpec, Session, Take
from ...capture.targets import faces
from ...core.arrays import Floats
from ...core.errors import ConfigError
from ...core.geometry.camera import Camera, Rig, undistort
from .codedmarkers import Sightings, marker_dictionary, markers_of_session
from .triangulation import Ray, triangulate

DEFAULT_SIGMA_MM = 0.02
WARN_PPM = 250.0  # 0.05 mm on 200 mm: what a face scan of 0.05 mm can bear
_FORM = re.compile(
    r"\s*(?P<dictionary>DICT_\w+)\s*:\s*(?P<first>\d+)\s*-\s*(?P<second>\d+)\s*=\s*"
    r"(?P<mm>[\d.]+)\s*(?:(?:\+-|±)\s*(?P<sigma>[\d.]+))?\s*"
)
_EXAMPLE = "`DICT_5X5_250:240-241=180.02` (mm between the centres of markers 240 and 241)"


@dataclass(frozen=True, kw_only=True)
class ScaleBar:
    """Two coded markers at a measured distance."""

    dictionary: str
    """OpenCV's name, such as `DICT_5X5_250`."""
    first: int
    """Marker id."""
    second: int
    mm: float
    """From centre to centre."""
    sigma_mm: float = DEFAULT_SIGMA_MM
    """Standard deviation of that measurement."""

    @property
    def name(self) -> str:
        """`DICT_5X5_250:240-241`."""
        return f"{self.dictionary}:{self.first}-{self.second}"

    def __str__(self) -> str:
        """Return the text form."""
        return f"{self.name}={self.mm:g}"


@dataclass(frozen=True, kw_only=True)
class BarLength:
    """A bar as one take shows it to a rig."""

    bar: ScaleBar
    take: str
    length: float
    """In the rig's unit: mm where it is metric."""
    sigma: float
    """Standard deviation, from the residuals and the geometry of the rays."""
    n_views: tuple[int, int]
    """Photographs that agree on the first and on the second marker."""
    rms_px: float
    """Of the two centres, over these photographs."""

    def scaled(self, factor: float) -> "BarLength":
        """Return the same in a rig that is so many times larger."""
        return replace(self, length=factor * self.length, sigma=factor * self.sigma)


def is_marker_form(text: str) -> bool:
    """Whether a scale bar names markers rather than cameras."""
    return text.lstrip().startswith("DICT_")


def parse_bars(text: str | Sequence[str]) -> tuple[ScaleBar, ...]:
    """Read bars from their text form: one, several with commas between, or a list.

    `DICT_5X5_250:240-241=180.02` or, with the standard deviation of the measurement in mm,
    `DICT_5X5_250:240-241=180.02+-0.01`.

    Raises
    ------
    ConfigError
        Not of this form, an unknown dictionary or id, no length, or a bar given twice.
    """
    texts = text.split(",") if isinstance(text, str) else [str(one) for one in text]
    bars = tuple(_parse_bar(one) for one in texts)
    ends = [(bar.dictionary, *sorted((bar.first, bar.second))) for bar in bars]
    for bar, end in zip(bars, ends, strict=True):
        if ends.count(end) > 1:
            raise ConfigError(f"scale_bar {bar.name}: given twice")
    return bars


def _parse_bar(text: str) -> ScaleBar:
    match = _FORM.fullmatch(text)
    try:
        mm = float(match["mm"]) if match else 0.0
        sigma_mm = float(match["sigma"] or DEFAULT_SIGMA_MM) if match else 0.0
    except ValueError:
        mm = sigma_mm = 0.0
    if match is None or not mm > 0 or not sigma_mm > 0:
        raise ConfigError(f"scale_bar {text!r}: expected a bar such as {_EXAMPLE}")
    first, second, dictionary = int(match["first"]), int(match["second"]), match["dictionary"]
    n_known = len(marker_dictionary(dictionary).bytesList)
    if first == second:
        raise ConfigError(f"scale_bar {text!r}: names one marker twice")
    if max(first, second) >= n_known:
        raise ConfigError(
            f"scale_bar {text!r}: {dictionary} has no marker {max(first, second)}, "
            f"its ids are 0 to {n_known - 1}"
        )
    return ScaleBar(dictionary=dictionary, first=first, second=second, mm=mm, sigma_mm=sigma_mm)


def refuse_shared_markers(bars: Sequence[ScaleBar], board: BoardSpec | None) -> None:
    """Refuse bars whose markers are also on the board.

    Raises
    ------
    ConfigError
        Such a marker, named.
    """
    if board is None or not board.dictionary:
        return
    own = {int(marker) for face in faces(board) for marker in marker_ids(face)}
    for bar in bars:
        shared = own & {bar.first, bar.second}
        if bar.dictionary == board.dictionary and shared:
            raise ConfigError(
                f"scale_bar {bar.name}: marker {min(shared)} is on the board too, so that it is "
                "ambiguous; make the bar of ids or a dictionary that the board does not use"
            )


def measure_bars(
    session: Session,
    rig: Rig,
    bars: Sequence[ScaleBar],
    *,
    takes: Sequence[Take] | None = None,
    cache: Path | None = None,
    n_workers: int = 2,
) -> tuple[BarLength, ...]:
    """Measure bars in the photographs of a rig.

    Parameters
    ----------
    takes : Sequence[Take], optional
        Of any kind; all takes of the session by default.
    cache : Path, optional
        Folder that keeps the markers of each photograph, by its content.

    Returns
    -------
    tuple[BarLength, ...]
        One for each bar and take in which two photographs agree on either marker.

    Raises
    ------
    ConfigError
        Markers of a bar are on the session's board too.
    InputError
        A photograph cannot be read.
    """
    refuse_shared_markers(bars, session.board)
    looked = session.takes if takes is None else tuple(takes)
    found: list[BarLength] = []
    for dictionary in dict.fromkeys(bar.dictionary for bar in bars):
        seen = markers_of_session(session, looked, dictionary, cache=cache, n_workers=n_workers)
        for bar in (bar for bar in bars if bar.dictionary == dictionary):
            for take in looked:
                views = {
                    shot.camera: seen[take.id, shot.camera]
                    for shot in take.shots
                    if shot.camera in rig.names
                }
                sizes = {shot.camera: (shot.width, shot.height) for shot in take.shots}
                cameras = {name: _as_taken(rig[name], *sizes[name]) for name in views}
                one = bar_length(bar, take.id, cameras, views)
                if one is not None:
                    found.append(one)
    return tuple(found)


def bar_length(
    bar: ScaleBar, take: str, cameras: Mapping[str, Camera], views: Mapping[str, Sightings]
) -> BarLength | None:
    """Measure a bar in the photographs of one take; None: not seen well enough.

    Parameters
    ----------
    cameras : Mapping[str, Camera]
        For the size of each photograph.
    views : Mapping[str, Sightings]
        Camera -> markers of the bar's dictionary.
    """
    ends = [
        triangulate(
            [
                ray
                for name, sightings in views.items()
                for ray in _rays(cameras[name], sightings.get(marker))
            ]
        )
        for marker in (bar.first, bar.second)
    ]
    a, b = ends
    if a is None or b is None:
        return None
    apart = a.point - b.point
    length = float(np.linalg.norm(apart))
    if not length > 0:
        return None
    along = apart / length
    return BarLength(
        bar=bar,
        take=take,
        length=length,
        sigma=float(np.sqrt(along @ (a.covariance + b.covariance) @ along)),
        n_views=(a.n_views, b.n_views),
        rms_px=float(
            np.sqrt((a.n_views * a.rms_px**2 + b.n_views * b.rms_px**2) / (a.n_views + b.n_views))
        ),
    )


def marker_center(camera: Camera, quad: Floats) -> Floats:
    """Return a marker's centre in a photograph, (2,) normalised and undistorted.

    Where the diagonals of its corners (4, 2) px meet: the image of the centre of the square in
    any perspective, which the mean of the corners is not.
    """
    a, b, c, d = undistort(camera.normalise(quad), camera.distortion)
    along = np.column_stack([c - a, b - d])
    share = np.linalg.solve(along, b - a)[0]
    return np.asarray(a + share * (c - a), dtype=np.float64)


def _rays(camera: Camera, quads: Floats | None) -> list[Ray]:
    rays = []
    for quad in [] if quads is None else quads:
        try:
            center = marker_center(camera, quad)
        except np.linalg.LinAlgError:  # seen edge on: its corners lie on one line
            continue
        if np.isfinite(center).all():
            rays.append(Ray(camera=camera, normalised=center))
    return rays


def _as_taken(camera: Camera, width: int, height: int) -> Camera:
    if (camera.width, camera.height) == (width, height):
        return camera
    return camera.scaled(width, height)


@dataclass(frozen=True, kw_only=True)
class BarSummary:
    """A bar over all takes that show it."""

    bar: ScaleBar
    lengths: tuple[BarLength, ...]

    @property
    def length(self) -> float:
        """Median over the takes; NaN where none shows the bar."""
        return float(np.median([one.length for one in self.lengths])) if self.lengths else np.nan

    @property
    def sigma(self) -> float:
        """Of that median: from the rays, or from the scatter of three takes or more."""
        if not self.lengths:
            return float("nan")
        within = 1 / np.sqrt(sum(1 / max(one.sigma, 1e-12) ** 2 for one in self.lengths))
        n = len(self.lengths)
        scatter = np.std([one.length for one in self.lengths], ddof=1) / np.sqrt(n) if n > 2 else 0
        return float(max(within, scatter))

    def record(self) -> dict[str, Any]:
        """Return the bar's figures, JSON-able; lengths are in mm."""
        bar = self.bar
        figures: dict[str, Any] = {
            "bar": bar.name, "mm": bar.mm, "sigma_mm": bar.sigma_mm, "n_takes": len(self.lengths),
        }  # fmt: skip
        if self.lengths:
            error = self.length - bar.mm
            figures |= {
                "measured_mm": self.length,
                "measured_sigma_mm": self.sigma,
                "error_mm": error,
                "error_ppm": 1e6 * error / bar.mm,
                "takes": [
                    {
                        "take": one.take,
                        "measured_mm": one.length,
                        "error_mm": one.length - bar.mm,
                        "error_ppm": 1e6 * (one.length - bar.mm) / bar.mm,
                        "sigma_mm": one.sigma,
                        "n_views": list(one.n_views),
                        "rms_px": one.rms_px,
                    }
                    for one in self.lengths
                ],
            }
        return figures


def summarise(bars: Sequence[ScaleBar], lengths: Sequence[BarLength]) -> tuple[BarSummary, ...]:
    """Gather what was measured by bars, in their order."""
    return tuple(
        BarSummary(bar=bar, lengths=tuple(one for one in lengths if one.bar == bar)) for bar in bars
    )


def bar_warnings(summaries: Sequence[BarSummary]) -> list[str]:
    """Say which bars were not found, and which contradict the rig."""
    said = []
    for one in summaries:
        bar = one.bar
        if not one.lengths:
            said.append(
                f"scale bar {bar.name} was not found: no take shows both markers to two cameras "
                "that agree; check the dictionary and the ids, and hold it where cameras overlap"
            )
            continue
        error, ppm = one.length - bar.mm, 1e6 * (one.length - bar.mm) / bar.mm
        if abs(ppm) > WARN_PPM and abs(error) > 3 * np.hypot(one.sigma, bar.sigma_mm):
            said.append(
                f"scale bar {bar.name} comes out {error:+.3f} mm ({ppm:+.0f} ppm) off its "
                f"{bar.mm:g} mm: measure board and bar again, or calibrate anew if lenses were "
                "refocused"
            )
    return said
