"""Names that tell, and names that are safe."""

import pytest

from facekit.capture.naming import (
    kind_of_names,
    natural_key,
    safe_name,
    safe_names,
    split_name,
    without_stamp,
)
from facekit.capture.session import TakeKind


@pytest.mark.parametrize(
    "text",
    ["", ".", "..", "../../etc/passwd", "a/b\\c", "con", "x" * 500, "\0", "日本", "é ü", "-rf"],
)
def test_safe_names_stay_in_their_folder(text):
    name = safe_name(text, fallback="camera")
    assert name
    assert name.isascii()
    assert not set(name) & set('/\\:*?"<>|\0 ')
    assert name[0] not in ".-"
    assert len(name) <= 61
    assert safe_name(name, fallback="camera") == name


def test_different_labels_never_share_a_name():
    names = safe_names(["a b", "a_b", "A?B", "a b", "日", "本"], fallback="camera")
    assert len({name.lower() for name in names.values()}) == len(names) == 5


def test_numbers_sort_as_numbers():
    names = ["IMG_10", "img_9", "IMG_100", "a", "10", "9b"]
    assert sorted(names, key=natural_key) == ["9b", "10", "a", "img_9", "IMG_10", "IMG_100"]


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (["neutral"], TakeKind.SUBJECT),
        (["calibration_images"], TakeKind.TARGET),
        (["frames_board"], TakeKind.TARGET),
        (["Charuco-3"], TakeKind.TARGET),
        (["ColorChecker"], TakeKind.COLOR_CHART),
        (["colour_chart_2"], TakeKind.COLOR_CHART),
        (["empty"], TakeKind.EMPTY),
        (["keyboard", "t01"], None),
        (["t01", "plate"], TakeKind.EMPTY),
    ],
)
def test_the_first_telling_name_tells_the_kind(names, kind):
    assert kind_of_names(names) is kind


@pytest.mark.parametrize(
    ("stem", "rule", "parts"),
    [
        ("cam01_take02", "camera word", ("cam01", "take02")),
        ("take02-Camera_B", "camera word", ("Camera_B", "take02")),
        ("neutral_C05", "camera word", ("C05", "neutral")),
        ("camera", "camera word", None),
        ("A-B-000123", "last number", ("A-B", "000123")),
        ("back-02242022135219-0", "last number", ("back", "0")),
        ("20240101", "last number", None),
        ("0012_left", "first number", ("left", "0012")),
        ("anna_left", "last word", ("left", "anna")),
    ],
)
def test_file_names_split_into_camera_and_take(stem, rule, parts):
    assert split_name(stem, rule) == parts


def test_time_stamps_are_taken_out():
    assert without_stamp("02242022135219-0") == "0"
    assert without_stamp("back-02242022135219") == "back"
    assert without_stamp("IMG_1234567") == "IMG_1234567"
