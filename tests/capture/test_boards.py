"""Boards as people write them."""

from pathlib import Path

import pytest

from facekit.capture.boards import board_text, parse_board
from facekit.capture.session import BoardSpec
from facekit.core.errors import ConfigError


@pytest.mark.parametrize(
    "text",
    [
        "17x12:12:9:DICT_5X5_250",
        "8x11:24:18.75:DICT_4X4_1000:legacy",
        "4x5:54:40.5:DICT_4X4_1000:inverted",
        "17x12:12:9:DICT_5X5_250:legacy:inverted:first_id=102",
    ],
)
def test_the_short_form_round_trips(text):
    assert board_text(parse_board(text)) == text


def test_small_liberties_are_understood():
    spec = parse_board(" 17X12:12mm:9.0 mm:5x5_250:first_id=3 ")
    assert spec == BoardSpec(
        squares_x=17, squares_y=12, square_mm=12, marker_mm=9, dictionary="DICT_5X5_250", first_id=3
    )


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "expected"),
        ("17x12", "expected"),
        ("17x12:12:9", "expected"),
        ("17x12:12:15:DICT_5X5_250", "do not fit"),
        ("17x12:0:9:DICT_5X5_250", "no length"),
        ("17x12:nan:9:DICT_5X5_250", "no length"),
        ("17x12:twelve:9:DICT_5X5_250", "no length"),
        ("17x12:12:9:DICT_9X9", "unknown marker dictionary"),
        ("40x40:12:9:DICT_5X5_250", "has 250"),
        ("999x999:12:9:DICT_5X5_250", "squares a side"),
        ("1x2:12:9:DICT_5X5_250", "at least"),
        ("17x12:12:9:DICT_5X5_250:mirrored", "unknown 'mirrored'"),
        ("absent.toml", "not readable"),
        ("absent.yaml", "not readable"),
    ],
)
def test_no_board_is_a_sentence(text, word):
    with pytest.raises(ConfigError, match=word):
        parse_board(text)


@pytest.mark.parametrize("name", ["board.yaml", "board.toml"])
@pytest.mark.parametrize("nested", [True, False])
def test_a_file_holds_the_fields_of_the_board(tmp_path: Path, name, nested):
    sign = ": " if name.endswith("yaml") else " = "
    values = {"squares_x": "8", "squares_y": "6", "square_mm": "20.0", "marker_mm": "15",
              "dictionary": '"DICT_4X4_50"', "inverted": "true"}  # fmt: skip
    head = ("board:\n" if name.endswith("yaml") else "[board]\n") if nested else ""
    indent = "  " if nested else ""
    lines = [f"{indent}{key}{sign}{value}" for key, value in values.items()]
    (tmp_path / name).write_text(head + "\n".join(lines) + "\n")
    assert board_text(parse_board(str(tmp_path / name))) == "8x6:20:15:DICT_4X4_50:inverted"


def test_a_file_of_another_tool_is_understood_or_refused(tmp_path: Path):
    path = tmp_path / "b.toml"
    path.write_text(
        "board_x = 8\nboard_y = 11\nsquare_length = 24.0\nmarker_length = 18.75\n"
        "marker_bits = 4\ndict_size = 1000\n"
    )
    assert board_text(parse_board(str(path))) == "8x11:24:18.75:DICT_4X4_1000"
    path.write_text("board_x = 8\n")
    with pytest.raises(ConfigError, match="missing"):
        parse_board(str(path))
    path.write_text("squares_z = 8\n")
    with pytest.raises(ConfigError, match="did you mean"):
        parse_board(str(path))
