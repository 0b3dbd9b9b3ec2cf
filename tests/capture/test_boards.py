"""Boards as people write them."""

import json
from pathlib import Path

import pytest
import yaml

from facekit.capture.boards import board_text, parse_board
from facekit.capture.ingest import IngestConfig
from facekit.capture.session import BoardPattern, BoardSpec
from facekit.core.config import from_mapping
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


@pytest.mark.parametrize(
    "text",
    [
        "aprilgrid:6x6:88:0.3",
        "aprilgrid:5x4:30:0.25:DICT_APRILTAG_25h9:inverted:first_id=3",
        "aprilgrid:6x6:88:0.3:two-sided:thickness=6",
        "checkerboard:10x7:25",
        "checkerboard:10x7:25.0123456:inverted",
        "17x12:12:9:DICT_5X5_250:two-sided",
        "17x12:12:9:DICT_5X5_250:first_id=4:back_id=110:thickness=5.8",
        "17x12:12:9:DICT_5X5_250:length=0-15=180.053:length=0-160=120.02+-0.05",
    ],
)
def test_the_other_short_forms_round_trip(text):
    assert board_text(parse_board(text)) == text


def test_the_back_counts_on():
    spec = parse_board("17x12:12:9:5X5_250:two-sided:first_id=7:thickness=6mm")
    assert (spec.back_first_id, spec.thickness_mm) == (7 + 102, 6.0)
    grid = parse_board("aprilgrid:6x6:88:0.3:apriltag_36H11")
    assert (grid.pattern, grid.dictionary) == (BoardPattern.APRILGRID, "DICT_APRILTAG_36h11")
    assert (grid.marker_mm, grid.square_mm) == (88.0, pytest.approx(114.4))


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("aprilgrid", "expected aprilgrid:TAGS_X"),
        ("aprilgrid:6x6:88", "expected aprilgrid"),
        ("aprilgrid:6x6:88:3", "no ratio of gap to tag"),
        ("aprilgrid:6x6:88:0.3:legacy", "unknown 'legacy'"),
        ("aprilgrid:1x6:88:0.3", "at least 2x2"),
        ("aprilgrid:40x40:88:0.3", "has 587"),
        ("checkerboard:10x7", "expected checkerboard:SQUARES_X"),
        ("checkerboard:9x7:25", "both numbers odd.*upside down"),
        ("checkerboard:8x6:25", "both numbers even.*upside down"),
        ("checkerboard:10x7:25:two-sided", "cannot be told apart"),
        ("17x12:12:9:DICT_5X5_250:back_id=50", "both faces have marker 50.*102 or more"),
        ("17x12:12:9:DICT_5X5_250:back_id=200", "needs markers 200 to 301"),
        ("17x12:12:9:DICT_5X5_250:thickness=thin", "no length"),
        ("17x12:12:9:DICT_5X5_250:length=0-15", "no measured length"),
        ("17x12:12:9:DICT_5X5_250:length=0-15=1.2.3", "no measured length"),
        ("17x12:12:9:DICT_5X5_250:length=0-176=180", "names corner 176.*0 to 175"),
        ("17x12:12:9:DICT_5X5_250:length=3-3=180", "is none"),
        ("17x12:12:9:DICT_5X5_250:length=0-15=0", "above zero"),
    ],
)
def test_no_board_of_the_other_kinds_is_a_sentence_too(text, word):
    with pytest.raises(ConfigError, match=word):
        parse_board(text)


def test_all_fields_are_read_from_a_file(tmp_path: Path):
    path = tmp_path / "b.yaml"
    spec = parse_board(
        "17x12:12:9:DICT_5X5_250:inverted:two-sided:thickness=6:length=0-15=180.05+-0.03"
    )
    path.write_text(yaml.safe_dump(json.loads(json.dumps(spec.record()))))
    assert parse_board(str(path)) == spec
    path.write_text("board: 'aprilgrid:6x6:88:0.3'\n")
    assert parse_board(str(path)) == parse_board("aprilgrid:6x6:88:0.3")


def test_a_configuration_may_hold_the_short_form():
    config = from_mapping(IngestConfig, {"board": "checkerboard:10x7:25"}, where="ingest.yaml")
    assert config.board == parse_board("checkerboard:10x7:25")


def test_target_files_of_kalibr_are_in_metres(tmp_path: Path):
    path = tmp_path / "target.yaml"
    path.write_text(
        "target_type: 'aprilgrid'\ntagCols: 6\ntagRows: 5\ntagSize: 0.088\ntagSpacing: 0.3\n"
    )
    assert parse_board(str(path)) == parse_board("aprilgrid:6x5:88:0.3")
    corners = "target_type: checkerboard\ntargetCols: 9\ntargetRows: 6\n"
    path.write_text(corners + "rowSpacingMeters: 0.025\ncolSpacingMeters: 0.025\n")
    assert parse_board(str(path)) == parse_board("checkerboard:10x7:25")
    path.write_text(corners + "rowSpacingMeters: 0.025\ncolSpacingMeters: 0.03\n")
    with pytest.raises(ConfigError, match="facekit needs squares"):
        parse_board(str(path))
    path.write_text("target_type: circlegrid\n")
    with pytest.raises(ConfigError, match="'circlegrid' is not supported; known: aprilgrid"):
        parse_board(str(path))
    path.write_text("target_type: aprilgrid\ntagCols: 6\n")
    with pytest.raises(ConfigError, match="tagSize"):
        parse_board(str(path))
