"""Boards as people write them: `17x12:12:9:DICT_5X5_250`, or a YAML or TOML file."""

import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..core.config import from_mapping, load_yaml
from ..core.errors import ConfigError
from .patterns import marker_ids
from .session import BoardPattern, BoardSpec, MeasuredLength
from .targets import check_board

FORM = "SQUARES_XxSQUARES_Y:SQUARE_MM:MARKER_MM:DICTIONARY[:legacy]"
FORMS = {
    BoardPattern.CHARUCO: f"{FORM}, such as 17x12:12:9:DICT_5X5_250",
    BoardPattern.APRILGRID: "aprilgrid:TAGS_XxTAGS_Y:TAG_MM:GAP/TAG[:DICTIONARY], such as "
    "aprilgrid:6x6:88:0.3",
    BoardPattern.CHECKERBOARD: "checkerboard:SQUARES_XxSQUARES_Y:SQUARE_MM, such as "
    "checkerboard:10x7:25",
}
OPTIONS = "inverted, first_id=N, two-sided, back_id=N, thickness=MM, length=CORNER-CORNER=MM"

BOARD_FILES = (".yaml", ".yml", ".toml")

KALIBR_DICTIONARY = "DICT_APRILTAG_36h11"

MAX_SIDE = 200  # squares; more is a slip of the pen


def parse_board(text: str) -> BoardSpec:
    """Read a board from its short form or from a YAML or TOML file.

    A file holds the fields of `BoardSpec`, at its top or under `board`. The TOML files of
    aniposelib and SLEAP (`board_x`, `square_length`, ..., in mm) and the target files of Kalibr
    (`target_type`, ..., in m) are understood too.

    Raises
    ------
    ConfigError
        It describes no board that can exist; says what the form is.
    """
    path = Path(text)
    spec = _from_file(path) if path.suffix.lower() in BOARD_FILES else _from_text(text)
    if max(spec.squares_x, spec.squares_y) > MAX_SIDE:
        raise ConfigError(f"board {text!r}: more than {MAX_SIDE} squares a side")
    check_board(spec)
    return spec


def board_text(spec: BoardSpec) -> str:
    """Return the short form, which `parse_board` reads back."""
    size = f"{spec.squares_x}x{spec.squares_y}"
    square, marker = (_number(length) for length in (spec.square_mm, spec.marker_mm))
    if spec.pattern is BoardPattern.CHECKERBOARD:
        parts = ["checkerboard", size, square]
    elif spec.pattern is BoardPattern.APRILGRID:
        parts = ["aprilgrid", size, marker, f"{spec.square_mm / spec.marker_mm - 1:.9g}"]
        parts += [] if spec.dictionary == KALIBR_DICTIONARY else [spec.dictionary]
    else:
        parts = [size, square, marker, spec.dictionary]
    parts += ["legacy"] if spec.legacy_pattern else []
    parts += ["inverted"] if spec.inverted else []
    parts += [f"first_id={spec.first_id}"] if spec.first_id else []
    if spec.back_first_id is not None:
        follows = spec.back_first_id == spec.first_id + len(marker_ids(spec))
        parts.append("two-sided" if follows else f"back_id={spec.back_first_id}")
    parts += [f"thickness={_number(spec.thickness_mm)}"] if spec.thickness_mm else []
    for length in spec.lengths:
        sigma = "" if length.sigma_mm == MeasuredLength.sigma_mm else f"+-{length.sigma_mm:g}"
        parts.append(f"length={length.first}-{length.second}={_number(length.mm)}{sigma}")
    return ":".join(parts)


def _number(value: float) -> str:
    """Return a length in as few digits as bring it back."""
    return f"{value:g}" if float(f"{value:g}") == value else repr(float(value))


def _from_text(text: str) -> BoardSpec:
    first, *rest = (part.strip() for part in text.strip().split(":"))
    if first.lower() in (BoardPattern.APRILGRID, BoardPattern.CHECKERBOARD):
        pattern = BoardPattern(first.lower())
        size, *rest = rest or [""]
    else:
        pattern, size = BoardPattern.CHARUCO, first
    form = FORMS[pattern]
    squares = re.fullmatch(r"([0-9]{1,4})\s*[xX×]\s*([0-9]{1,4})", size)
    n_lengths = {"charuco": 3, "aprilgrid": 2, "checkerboard": 1}[pattern]
    if squares is None or len(rest) < n_lengths:
        raise ConfigError(f"board {text!r}: expected {form}")
    across, down = int(squares[1]), int(squares[2])
    options = rest[n_lengths:]
    square, marker, dictionary = _length(rest[0], text, form), 0.0, ""
    if pattern is BoardPattern.CHARUCO:
        marker, dictionary = _length(rest[1], text, form), _dictionary(rest[2])
    elif pattern is BoardPattern.APRILGRID:
        marker, square = square, square * (1 + _ratio(rest[1], text, form))
        named = options and options[0].upper().removeprefix("DICT_").startswith("APRILTAG")
        dictionary = _dictionary(options.pop(0)) if named else KALIBR_DICTIONARY
    spec = BoardSpec(
        pattern=pattern,
        squares_x=across,
        squares_y=down,
        square_mm=square,
        marker_mm=marker,
        dictionary=dictionary,
    )
    return _with_options(spec, options, text, form)


def _with_options(spec: BoardSpec, options: list[str], text: str, form: str) -> BoardSpec:
    """Apply what may follow the sizes; the back's first id may depend on the front's."""
    two_sided = False
    for option in options:
        key, _, value = option.lower().partition("=")
        number = re.fullmatch(r"[0-9]{1,6}", value)
        if key == "legacy" and spec.pattern is BoardPattern.CHARUCO and not value:
            spec = replace(spec, legacy_pattern=True)
        elif option.lower() == "inverted":
            spec = replace(spec, inverted=True)
        elif option.lower() in ("two-sided", "two_sided"):
            two_sided = True
        elif key == "first_id" and number:
            spec = replace(spec, first_id=int(value))
        elif key == "back_id" and number:
            spec = replace(spec, back_first_id=int(value))
        elif key == "thickness":
            spec = replace(spec, thickness_mm=_length(value, text, form))
        elif key == "length":
            spec = replace(spec, lengths=(*spec.lengths, _measured(value, text)))
        else:
            raise ConfigError(
                f"board {text!r}: unknown {option!r}; expected {form}, then any of {OPTIONS}"
            )
    if two_sided and spec.back_first_id is None:
        spec = replace(spec, back_first_id=spec.first_id + len(marker_ids(spec)))
    return spec


def _measured(value: str, text: str) -> MeasuredLength:
    parts = re.fullmatch(
        r"(\d{1,6})-(\d{1,6})=([0-9.]{1,12})(?:mm)?(?:(?:\+-|±)([0-9.]{1,12})(?:mm)?)?", value
    )
    try:
        if parts is None:
            raise ValueError
        sigma = MeasuredLength.sigma_mm if parts[4] is None else float(parts[4])
        return MeasuredLength(
            first=int(parts[1]), second=int(parts[2]), mm=float(parts[3]), sigma_mm=sigma
        )
    except ValueError as error:
        raise ConfigError(
            f"board {text!r}: {value!r} is no measured length; expected CORNER-CORNER=MM, such as "
            "length=0-15=180.05 or, with its standard deviation, length=0-15=180.05+-0.03"
        ) from error


def _length(part: str, text: str, form: str) -> float:
    try:
        length = float(part.lower().removesuffix("mm"))
    except ValueError:
        length = 0.0
    if not 0 < length < 10_000:
        raise ConfigError(f"board {text!r}: {part!r} is no length in mm; expected {form}")
    return length


def _ratio(part: str, text: str, form: str) -> float:
    try:
        ratio = float(part)
    except ValueError:
        ratio = 0.0
    if not 0 < ratio <= 1:
        raise ConfigError(
            f"board {text!r}: {part!r} is no ratio of gap to tag (above 0, at most 1); "
            f"expected {form}"
        )
    return ratio


def _dictionary(name: str) -> str:
    upper = name.upper()
    full = upper if upper.startswith("DICT_") else f"DICT_{upper}"
    # OpenCV writes AprilTag families with a small h
    return re.sub(r"(APRILTAG_\d+)H(\d+)", r"\1h\2", full)


def _from_file(path: Path) -> BoardSpec:
    values = _load(path)
    if isinstance(values.get("board"), str):
        return _from_text(values["board"])
    values = values["board"] if isinstance(values.get("board"), dict) else values
    if "board_x" in values:
        values = _from_anipose(values, where=str(path))
    elif "target_type" in values:
        values = _from_kalibr(values, where=str(path))
    return from_mapping(BoardSpec, values, where=str(path))


def _load(path: Path) -> dict[str, Any]:
    if path.suffix.lower() != ".toml":
        return load_yaml(path)
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not readable as TOML ({error})") from error


def _from_anipose(values: dict[str, Any], *, where: str) -> dict[str, Any]:
    try:
        bits = int(values["marker_bits"])
        return {
            "squares_x": int(values["board_x"]),
            "squares_y": int(values["board_y"]),
            "square_mm": float(values["square_length"]),
            "marker_mm": float(values["marker_length"]),
            "dictionary": f"DICT_{bits}X{bits}_{values['dict_size']}",
        }
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ConfigError(f"{where}: {error!r} is missing or no number for a board") from error


def _from_kalibr(values: dict[str, Any], *, where: str) -> dict[str, Any]:
    """Return the fields of a Kalibr target file: metres, and inner corners of a checkerboard.

    Source: ethz-asl/kalibr, kalibr_common/ConfigReader.py (CalibrationTargetParameters).
    """
    kind = values["target_type"]
    if kind not in (BoardPattern.APRILGRID, BoardPattern.CHECKERBOARD):
        raise ConfigError(
            f"{where}: target_type {kind!r} is not supported; known: aprilgrid, checkerboard"
        )
    try:
        if kind == BoardPattern.APRILGRID:
            tag_mm = 1000 * float(values["tagSize"])
            return {
                "pattern": kind,
                "squares_x": int(values["tagCols"]),
                "squares_y": int(values["tagRows"]),
                "square_mm": _micrometres(tag_mm * (1 + float(values["tagSpacing"]))),
                "marker_mm": _micrometres(tag_mm),
                "dictionary": KALIBR_DICTIONARY,
            }
        across, down = (1000 * float(values[f"{way}SpacingMeters"]) for way in ("col", "row"))
        columns, rows = int(values["targetCols"]), int(values["targetRows"])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ConfigError(f"{where}: {error!r} is missing or no number for a target") from error
    if not np.isclose(across, down, rtol=1e-6):
        raise ConfigError(
            f"{where}: rows {down:g} mm and columns {across:g} mm apart; facekit needs squares"
        )
    return {
        "pattern": kind,
        "squares_x": columns + 1,
        "squares_y": rows + 1,
        "square_mm": _micrometres(across),
        "marker_mm": 0.0,
        "dictionary": "",
    }


def _micrometres(length_mm: float) -> float:
    """Return the length without the dust of its conversion from metres."""
    return round(length_mm, 6)
