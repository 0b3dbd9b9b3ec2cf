"""Landmarks of the user's own: read from CSV and JSON, refused with a sentence."""

import json
from pathlib import Path

import numpy as np
import pytest

from facekit.core.errors import InputError, SchemaError
from facekit.core.facemodel.landmark_schemes import Scheme
from facekit.core.facemodel.landmark_table import load_landmark_table

CSV = """\
# scheme: ibug68
take,camera,landmark,x,y,confidence
smile,cam01,30,100.5,200.5,
smile,cam01,outer_lips_0,80,260,0.5
,cam01,30,1,2,1

smile,cam02,0,3,4,1
"""


def test_csv(tmp_path: Path) -> None:
    path = tmp_path / "points.csv"
    path.write_text(CSV)
    table = load_landmark_table(path)
    assert table.cameras == ("cam01", "cam02")
    face = table.of("smile", "cam01")
    assert face is not None and face.scheme is Scheme.IBUG68
    np.testing.assert_array_equal(face.points[[30, 48]], [[100.5, 200.5], [80, 260]])
    assert np.isnan(face.points).any(axis=1).sum() == 66
    np.testing.assert_array_equal(face.confidence[[30, 48, 0]], [1, 0.5, 0])
    # rows without a take count for takes that have none of their own
    neutral = table.of("neutral", "cam01")
    assert neutral is not None and tuple(neutral.points[30]) == (1, 2)
    assert table.of("neutral", "cam02") is None


def test_json_says_the_same(tmp_path: Path) -> None:
    rows = [
        {"camera": "a", "landmark": 3, "x": 1.5, "y": 2.5},
        {"camera": "a", "landmark": 4, "x": 9, "y": 8},
    ]
    path = tmp_path / "points.json"
    path.write_text(
        json.dumps({"format": "facekit-landmarks", "version": 1, "scheme": "five", "points": rows})
    )
    face = load_landmark_table(path).of("any", "a")
    assert face is not None and face.scheme is Scheme.FIVE
    np.testing.assert_array_equal(face.points[3:], [[1.5, 2.5], [9, 8]])


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("camera,landmark,x\na,1,2\n", "no column 'y'"),
        ("camera,landmark,x,y\n", "holds no points"),
        ("camera,landmark,x,y\na,68,2,3\n", "line 2: no landmark '68'"),
        ("camera,landmark,x,y\na,chin,2,3\n", "no landmark 'chin'"),
        ("camera,landmark,x,y\n\na,1,2\n", "line 3: x, y and confidence have to be numbers"),
        ("camera,landmark,x,y\na,1,2,nan\n", "finite"),
        ("camera,landmark,x,y\na,1,2,3\na,1,2,3\n", "line 3: landmark 1 of a stands twice"),
        ("# scheme: wflw\ncamera,landmark,x,y\na,1,2,3\n", "no scheme 'wflw'; known: ibug68"),
        ("", "no column"),
    ],
)
def test_wrong_tables_are_refused(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "points.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=why):
        load_landmark_table(path)


def test_wrong_json_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "points.json"
    path.write_text('{"format": "other", "version": 1}')
    with pytest.raises(SchemaError, match="not a facekit-landmarks file"):
        load_landmark_table(path)
    path.write_text('{"format": "facekit-landmarks", "version": 1, "points": [{"x": 1}]}')
    with pytest.raises(InputError, match="points: not a list"):
        load_landmark_table(path)
    with pytest.raises(InputError, match="no such file"):
        load_landmark_table(tmp_path / "absent.csv")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(InputError, match="not readable as text"):
        load_landmark_table(tmp_path / "bytes.csv")
