"""Boards as people write them: `17x12:12:9:DICT_5X5_250`, or a YAML or TOML file."""

import re
import tomllib
from pathlib import Path
from typing import Any

from ..core.config import from_mapping, load_yaml
from ..core.errors import ConfigError
from .session import BoardSpec
from .targets import charuco_board

FORM = "SQUARES_XxSQUARES_Y:SQUARE_MM:MARKER_MM:DICTIONARY[:legacy][:inverted][:first_id=N]"

BOARD_FILES = (".yaml", ".yml", ".toml")

MAX_SIDE = 200  # squares; more is a slip of the pen


def parse_board(text: str) -> BoardSpec:
    """Read a board from its short form or from a YAML or TOML file.

    A file holds the fields of `BoardSpec`, at its top or under `board`. The TOML files of
    aniposelib and SLEAP (`board_x`, `square_length`, ...) are understood too, in mm.

    Raises
    ------
    ConfigError
        It describes no board that can exist; says what the form is.
    """
    path = Path(text)
    spec = _from_file(path) if path.suffix.lower() in BOARD_FILES else _from_text(text)
    if max(spec.squares_x, spec.squares_y) > MAX_SIDE:
        raise ConfigError(f"board {text!r}: more than {MAX_SIDE} squares a side")
    charuco_board(spec)  # refuses what cannot be built
    return spec


def board_text(spec: BoardSpec) -> str:
    """Return the short form, which `parse_board` reads back."""
    parts = [
        f"{spec.squares_x}x{spec.squares_y}",
        f"{spec.square_mm:g}",
        f"{spec.marker_mm:g}",
        spec.dictionary,
        *(["legacy"] if spec.legacy_pattern else []),
        *(["inverted"] if spec.inverted else []),
        *([f"first_id={spec.first_id}"] if spec.first_id else []),
    ]
    return ":".join(parts)


def _from_text(text: str) -> BoardSpec:
    size, *rest = text.strip().split(":")
    squares = re.fullmatch(r"([0-9]{1,4})\s*[xX×]\s*([0-9]{1,4})", size.strip())
    if squares is None or len(rest) < 3:
        raise ConfigError(f"board {text!r}: expected {FORM}, such as 17x12:12:9:DICT_5X5_250")
    square, marker, dictionary, *flags = (part.strip() for part in rest)
    legacy = inverted = False
    first_id = 0
    for flag in flags:
        number = re.fullmatch(r"first_id=([0-9]{1,6})", flag.lower())
        if number is not None:
            first_id = int(number[1])
        elif flag.lower() in ("legacy", "inverted"):
            legacy |= flag.lower() == "legacy"
            inverted |= flag.lower() == "inverted"
        else:
            raise ConfigError(f"board {text!r}: unknown {flag!r}; expected {FORM}")
    return BoardSpec(
        squares_x=int(squares[1]),
        squares_y=int(squares[2]),
        square_mm=_length(square, text),
        marker_mm=_length(marker, text),
        dictionary=_dictionary(dictionary),
        legacy_pattern=legacy,
        inverted=inverted,
        first_id=first_id,
    )


def _length(part: str, text: str) -> float:
    try:
        length = float(part.lower().removesuffix("mm"))
    except ValueError:
        length = 0.0
    if not 0 < length < 10_000:
        raise ConfigError(f"board {text!r}: {part!r} is no length in mm; expected {FORM}")
    return length


def _dictionary(name: str) -> str:
    upper = name.upper()
    return upper if upper.startswith("DICT_") else f"DICT_{upper}"


def _from_file(path: Path) -> BoardSpec:
    values = _load(path)
    values = values["board"] if isinstance(values.get("board"), dict) else values
    if "board_x" in values:
        values = _from_anipose(values, where=str(path))
    return from_mapping(BoardSpec, values, where=str(path))


def _load(path: Path) -> dict[str, Any]:
    if path.suffix.lower() != ".toml":
        return load_yaml(path)
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
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
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{where}: {error!r} is missing or no number for a board") from error
