"""Landmarks that the user marked or another program found, as a table: CSV or JSON.

CSV, a line a point, in any order; columns `camera,landmark,x,y` and perhaps `take`
(absent or empty: every take) and `confidence` (0 to 1):

    # scheme: ibug68
    take,camera,landmark,x,y
    neutral,cam03,30,1012.4,873.0
    neutral,cam03,outer_lips_0,950.1,1020.7

JSON: the same rows, `{"format": "facekit-landmarks", "version": 1, "scheme": "ibug68",
"points": [{"camera": "cam03", "landmark": 30, "x": 1012.4, "y": 873.0}]}`.

`landmark` is a number counted from 0, or of the 68 a name (`landmark_schemes.NAMES68`). `x` and
`y` are px of the photograph **turned upright**, as viewers show it; the top-left pixel's centre
is (0.5, 0.5). Points that are not listed are unknown.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..files import read_json
from .landmark_schemes import N_POINTS, NAMES68, Scheme
from .landmarks import Detection, box_of

LANDMARKS_FORMAT = "facekit-landmarks"
_VERSION = 1
_COLUMNS = ("camera", "landmark", "x", "y")
_MOST_LINE = 4000  # characters


@dataclass(frozen=True, kw_only=True)
class LandmarkTable:
    """Points of photographs; stands where a detector may stand."""

    faces: Mapping[tuple[str, str], Detection]
    """(take, camera) -> points; take "" counts for every take without rows of its own."""
    name: str = "table"
    """What found the points, for records."""

    def of(self, take: str, camera: str) -> Detection | None:
        """Return the points of a photograph, None where the table has none."""
        return self.faces.get((take, camera)) or self.faces.get(("", camera))

    @property
    def cameras(self) -> tuple[str, ...]:
        """The cameras that it names, sorted."""
        return tuple(sorted({camera for _, camera in self.faces}))


def load_landmark_table(path: Path) -> LandmarkTable:
    """Read a table of landmarks, by its suffix `.json` or else as CSV.

    Raises
    ------
    InputError
        It is absent, has no such columns, names a landmark that the scheme has not, gives one
        twice, or holds something else than numbers.
    SchemaError
        JSON of another format or version.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    scheme_name, rows = _json_rows(path) if path.suffix.lower() == ".json" else _csv_rows(path)
    try:
        scheme = Scheme(scheme_name)
    except ValueError:
        known = ", ".join(Scheme)
        raise InputError(f"{path}: no scheme {scheme_name!r}; known: {known}") from None
    points: dict[tuple[str, str], dict[int, tuple[float, float, float]]] = {}
    for where, row in rows:
        key = (str(row.get("take") or ""), str(row["camera"]))
        landmark = _landmark(row["landmark"], scheme, f"{path}: {where}")
        values = _numbers(row, f"{path}: {where}")
        face = points.setdefault(key, {})
        if landmark in face:
            raise InputError(f"{path}: {where}: landmark {landmark} of {key[1]} stands twice")
        face[landmark] = values
    if not points:
        raise InputError(f"{path}: holds no points")
    return LandmarkTable(faces={key: _face(face, scheme) for key, face in points.items()})


def _csv_rows(path: Path) -> tuple[str, list[tuple[str, dict[str, Any]]]]:
    scheme = str(Scheme.IBUG68)
    kept = []
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not readable as text ({error})") from error
    _short_lines(path, lines)
    for number, line in enumerate(lines, start=1):
        comment = line.strip().lstrip("#").strip()
        if line.strip().startswith("#"):
            if comment.startswith("scheme:"):
                scheme = comment.partition(":")[2].strip()
        elif line.strip():
            kept.append((number, line))
    reader = csv.DictReader([line for _, line in kept])
    absent = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
    if absent:
        raise InputError(
            f"{path}: no column {absent[0]!r}; its first line has to name {', '.join(_COLUMNS)}"
        )
    rows = []
    for (number, _), row in zip(kept[1:], reader, strict=False):
        rows.append((f"line {number}", {key: value for key, value in row.items() if key}))
    return scheme, rows


def _short_lines(path: Path, lines: list[str]) -> None:
    for number, line in enumerate(lines, start=1):
        if len(line) > _MOST_LINE:
            raise InputError(f"{path}: line {number} is too long for a landmark")


def _json_rows(path: Path) -> tuple[str, list[tuple[str, dict[str, Any]]]]:
    values = read_json(path, format_name=LANDMARKS_FORMAT, version=_VERSION)
    rows = values.get("points")
    if not isinstance(rows, list) or not all(
        isinstance(row, dict) and all(name in row for name in _COLUMNS) for row in rows
    ):
        raise InputError(f"{path}: points: not a list of {{{', '.join(_COLUMNS)}}}")
    scheme = str(values.get("scheme", Scheme.IBUG68))
    return scheme, [(f"points[{i}]", row) for i, row in enumerate(rows)]


def _landmark(given: Any, scheme: Scheme, where: str) -> int:
    text = str(given).strip()
    if scheme is Scheme.IBUG68 and text in NAMES68:
        return NAMES68.index(text)
    if text.isdecimal() and len(text) < 10 and int(text) < N_POINTS[scheme]:
        return int(text)
    raise InputError(
        f"{where}: no landmark {text[:40]!r} in {scheme}; it counts 0 to {N_POINTS[scheme] - 1}"
    )


def _numbers(row: Mapping[str, Any], where: str) -> tuple[float, float, float]:
    try:
        x, y = float(row["x"]), float(row["y"])
        confidence = float(row.get("confidence") or 1.0)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{where}: x, y and confidence have to be numbers") from None
    if not np.isfinite([x, y]).all() or not 0 <= confidence <= 1:
        raise InputError(f"{where}: x and y have to be finite, confidence from 0 to 1")
    return x, y, confidence


def _face(face: Mapping[int, tuple[float, float, float]], scheme: Scheme) -> Detection:
    points = np.full((N_POINTS[scheme], 2), np.nan)
    confidence = np.zeros(N_POINTS[scheme])
    for landmark, (x, y, sure) in face.items():
        points[landmark] = x, y
        confidence[landmark] = sure
    return Detection(
        points=points,
        scheme=scheme,
        score=1.0,
        box=box_of(points),
        confidence=confidence,
        sigma_px=np.zeros(N_POINTS[scheme]),
    )
