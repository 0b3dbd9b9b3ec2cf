"""The printed sheet is true to size, and OpenCV agrees on what the board is."""

import re
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from facekit.calibration.target.detect import detect_board
from facekit.capture.boards import parse_board
from facekit.capture.patterns import (
    black_rectangles,
    board_image,
    board_size,
    charuco_board,
    marker_points,
)
from facekit.capture.session import BoardSpec
from facekit.capture.targets import (
    PAPERS_MM,
    board_from_face,
    describe,
    faces,
    n_face_corners,
    object_points,
    sheet_size,
    write_target,
)
from facekit.core.errors import ConfigError
from facekit.core.geometry.transform import apply

SPEC = BoardSpec(
    squares_x=8, squares_y=6, square_mm=21.0, marker_mm=15.0, dictionary="DICT_5X5_250"
)
DPI = 300
PX_PER_MM = DPI / 25.4


def spec(**change):
    return BoardSpec(**{**SPEC.__dict__, **change})


@pytest.fixture(scope="module")
def sheet(tmp_path_factory):
    """Give the pixels of a PNG sheet and its stated resolution."""
    path = tmp_path_factory.mktemp("sheet") / "board.png"
    write_target(SPEC, path, dpi=DPI)
    with Image.open(path) as picture:
        return np.asarray(picture), picture.info["dpi"]


def test_png_states_its_resolution(sheet):
    pixels, dpi = sheet
    assert dpi == pytest.approx((DPI, DPI), abs=0.01)
    width, height = sheet_size(SPEC)
    assert pixels.shape == pytest.approx((height * PX_PER_MM, width * PX_PER_MM), abs=1)
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 2


def test_printed_squares_have_their_size(sheet):
    ids, xy, _ = detect_board(sheet[0], SPEC)
    points = object_points(SPEC)[:, :2]
    assert len(ids) == len(points)
    offset = xy - points * PX_PER_MM
    # hundredths of a pixel at 12 px a mm: a printed length is wrong by less than 0.01 mm
    assert np.ptp(offset, axis=0).max() < 0.1


def test_small_boards_are_not_moved_to_whole_pixels(tmp_path):
    small = spec(squares_x=4, squares_y=4, square_mm=10.07, marker_mm=7.9)
    write_target(small, tmp_path / "small.png", dpi=DPI)
    with Image.open(tmp_path / "small.png") as picture:
        ids, xy, _ = detect_board(np.asarray(picture), small)
    assert len(ids) == 9
    assert np.ptp(xy - object_points(small)[:, :2] * PX_PER_MM, axis=0).max() < 0.1


def ruler(strip):
    """Return first and last pixel column of the dark line in a strip, and its dark columns."""
    dark = np.flatnonzero(strip.min(axis=0) < 128)
    return dark[0], dark[-1], dark


def test_rulers_have_their_length(sheet):
    pixels, _ = sheet
    _, xy, _ = detect_board(pixels, SPEC)
    left, top = xy[0] - SPEC.square_mm * PX_PER_MM
    height = board_size(SPEC)[1] * PX_PER_MM
    below = round(top + height + 4 * PX_PER_MM)
    rows = pixels[below - 3 : below + round(3.5 * PX_PER_MM)]
    first, last, _ = ruler(rows)
    assert (last - first) / PX_PER_MM == pytest.approx(100, abs=0.15)  # a line is 0.07 mm wide
    assert first / PX_PER_MM == pytest.approx(left / PX_PER_MM, abs=0.1)
    beside = round(left - 4 * PX_PER_MM)
    columns = pixels[
        : round(top + height + 2 * PX_PER_MM), beside - round(3.5 * PX_PER_MM) : beside + 3
    ]
    first, last, _ = ruler(columns.T)
    assert (last - first) / PX_PER_MM == pytest.approx(100, abs=0.15)


def test_ruler_ticks_are_a_millimetre_apart(sheet):
    pixels, _ = sheet
    _, xy, _ = detect_board(pixels, SPEC)
    left, top = xy[0] - SPEC.square_mm * PX_PER_MM
    y = top + board_size(SPEC)[1] * PX_PER_MM + 4.5 * PX_PER_MM  # amid the shortest ticks
    row = 255 - pixels[round(y), : round(left + 101 * PX_PER_MM)].astype(float)
    at = np.arange(len(row)) + 0.5
    for number in range(0, 101, 7):
        near = np.abs(at - (left + number * PX_PER_MM)) < 0.4 * PX_PER_MM
        middle = (row[near] * at[near]).sum() / row[near].sum()
        assert (middle - left) / PX_PER_MM == pytest.approx(number, abs=0.05)


def test_pdf_is_true_to_size(tmp_path):
    path = tmp_path / "board.pdf"
    size = write_target(SPEC, path, paper="A4")
    content = path.read_bytes()
    box = [float(v) for v in re.search(rb"/MediaBox \[([^\]]+)\]", content)[1].split()]
    assert box == pytest.approx([0, 0, size[0] / 25.4 * 72, size[1] / 25.4 * 72], abs=0.01)
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", content, re.S)
    page = next(
        text for s in streams if (text := zlib.decompressobj().decompress(s)).count(b" l\n") > 500
    )
    # the board is the one filled path of many rectangles; 1 mm = 72 / 25.4 points
    filled = max(re.split(rb"\n[SfB]\*?\n", page), key=len)
    corners = np.array(re.findall(rb"([-\d.]+) ([-\d.]+) [ml]", filled), dtype=float) * 25.4 / 72
    np.testing.assert_allclose(np.ptp(corners, axis=0), board_size(SPEC), atol=1e-3)


def test_sheets_are_reproducible(tmp_path):
    for name in ("a.pdf", "b.pdf"):
        write_target(SPEC, tmp_path / name)
    assert (tmp_path / "a.pdf").read_bytes() == (tmp_path / "b.pdf").read_bytes()


@pytest.mark.parametrize("change", [{}, {"legacy_pattern": True}, {"first_id": 40}])
def test_drawing_agrees_with_opencv(change):
    own = spec(**change)
    image = board_image(own, px_per_mm=4.0)
    theirs = charuco_board(own).generateImage(image.shape[::-1], marginSize=0, borderBits=1)
    # they draw whole pixels, we cover parts of them: edges differ by a pixel
    assert np.mean(np.abs(image.astype(int) - theirs) > 128) < 0.03


def test_inverted_is_the_negative():
    dark, light = (board_image(spec(inverted=i), px_per_mm=4.0) for i in (False, True))
    assert np.abs(dark.astype(int) + light - 255).max() <= 1


def test_rectangles_are_disjoint_and_cover_the_dark_area():
    for inverted in (False, True):
        rectangles = black_rectangles(spec(inverted=inverted))
        area = np.prod(rectangles[:, 2:] - rectangles[:, :2], axis=1).sum()
        drawn = board_image(spec(inverted=inverted), px_per_mm=10.0)
        assert area * 100 == pytest.approx((255 - drawn.astype(float)).sum() / 255, rel=1e-3)


def test_corners_lie_between_markers():
    corners, markers = object_points(SPEC), marker_points(SPEC)
    assert len(corners) == 7 * 5
    assert len(markers) == 24
    np.testing.assert_allclose(corners[8], [2 * 21.0, 2 * 21.0, 0])
    gap = (SPEC.square_mm - SPEC.marker_mm) / 2 * np.sqrt(2)
    nearest = np.linalg.norm(markers.reshape(-1, 1, 3) - corners, axis=2).min(axis=0)
    np.testing.assert_allclose(nearest, gap, atol=1e-4)


@pytest.mark.parametrize("paper", ["A4", "A3", "Letter"])
def test_paper_is_as_named(paper, tmp_path):
    small = spec(square_mm=15.0, marker_mm=11.0)
    assert sorted(write_target(small, tmp_path / "b.pdf", paper=paper)) == sorted(PAPERS_MM[paper])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dictionary": "DICT_9X9"}, "unknown marker dictionary"),
        ({"dictionary": "DICT_4X4_50", "squares_x": 20}, "has 50"),
        ({"marker_mm": 30.0}, "do not fit in squares"),
        ({"squares_x": 2}, "at least 3x3"),
    ],
)
def test_impossible_boards_are_refused(change, words):
    with pytest.raises(ConfigError, match=words):
        charuco_board(spec(**change))


def test_a_board_too_large_says_what_fits():
    large = spec(square_mm=45.0, marker_mm=30.0)
    with pytest.raises(ConfigError, match=r"does not fit on A4; A2 would do.*at most 29\.3 mm"):
        sheet_size(large, paper="A4")
    with pytest.raises(ConfigError, match="unknown paper 'B9'"):
        sheet_size(large, paper="B9")


def test_only_pdf_and_png(tmp_path):
    with pytest.raises(ConfigError, match=r"\.pdf or \.png"):
        write_target(SPEC, tmp_path / "board.svg")


def test_opencv_finds_the_printed_board_by_itself(sheet):
    corners, ids, _, _ = cv2.aruco.CharucoDetector(charuco_board(SPEC)).detectBoard(sheet[0])
    assert len(ids) == 35
    assert len(corners) == 35


TWO_SIDED = spec(back_first_id=24, thickness_mm=6.0)


def test_the_back_lies_behind_the_front_turned_round():
    n = n_face_corners(TWO_SIDED)
    front, back = np.split(object_points(TWO_SIDED), [n])
    np.testing.assert_array_equal(front, object_points(SPEC))
    np.testing.assert_allclose(back[:, 2], 6.0)
    # looked at from behind, the back's first row runs the other way
    np.testing.assert_allclose(back[:7, 0], front[:7, 0][::-1], atol=1e-9)
    np.testing.assert_allclose(back[:, 1], front[:, 1])
    placed = board_from_face(TWO_SIDED, 1)
    assert np.linalg.det(placed[:, :3]) == pytest.approx(1)
    np.testing.assert_allclose(placed[:, 2], [0, 0, -1])  # into the print, from behind
    np.testing.assert_allclose(apply(placed, object_points(faces(TWO_SIDED)[1])), back)
    assert [face.first_id for face in faces(TWO_SIDED)] == [0, 24]


def test_both_faces_are_printed(tmp_path):
    write_target(TWO_SIDED, tmp_path / "b.png", dpi=DPI)
    for name, face in (("b.png", 0), ("b-back.png", 1)):
        with Image.open(tmp_path / name) as picture:
            ids, xy, _ = detect_board(np.asarray(picture), TWO_SIDED)
        n = n_face_corners(TWO_SIDED)
        np.testing.assert_array_equal(ids, face * n + np.arange(n))
        offset = xy - object_points(faces(TWO_SIDED)[face])[:, :2] * PX_PER_MM
        assert np.ptp(offset, axis=0).max() < 0.1
    write_target(TWO_SIDED, tmp_path / "b.pdf")
    pages = re.findall(rb"/Type /Page\b", (tmp_path / "b.pdf").read_bytes())
    assert len(pages) == 2


@pytest.mark.parametrize("text", ["aprilgrid:4x3:30:0.3", "checkerboard:8x5:21"])
def test_other_patterns_are_printed_true_to_size(tmp_path, text):
    own = parse_board(text)
    write_target(own, tmp_path / "b.png", dpi=DPI)
    with Image.open(tmp_path / "b.png") as picture:
        ids, xy, _ = detect_board(np.asarray(picture), own)
    assert len(ids) == n_face_corners(own)
    # the printing library's anti-aliasing shifts edges of long paths by hundredths of a pixel
    assert np.ptp(xy - object_points(own)[:, :2] * PX_PER_MM, axis=0).max() < 0.2


def test_a_tag_reads_as_kalibr_prints_it():
    own = parse_board("aprilgrid:2x2:10:0.3")
    cell = 1.0
    image = board_image(own, px_per_mm=10.0)
    # tag 0 stands at the lower left, its code within a border of two cells; the first code
    # of the family, in rows from the top left, most significant bit first
    left, top = marker_points(own)[0, 0, :2] + 2 * cell
    at = (np.arange(6) + 0.5) * cell
    bits = image[np.ix_(np.intp(10 * (top + at)), np.intp(10 * (left + at)))] > 128
    assert int("".join("1" if bit else "0" for bit in bits.ravel()), 2) == 0xD5D628584


def test_rectangles_of_all_patterns_cover_the_dark_area():
    for text in ("aprilgrid:4x3:30:0.3", "checkerboard:8x5:21", "aprilgrid:4x3:30:0.3:inverted"):
        own = parse_board(text)
        rectangles = black_rectangles(own)
        area = np.prod(rectangles[:, 2:] - rectangles[:, :2], axis=1).sum()
        drawn = board_image(own, px_per_mm=10.0)
        assert area * 100 == pytest.approx((255 - drawn.astype(float)).sum() / 255, rel=1e-3)


def test_every_board_is_described():
    grid = parse_board("aprilgrid:6x6:88:0.3:two-sided:thickness=6:length=0-1=88.01")
    assert describe(grid) == (
        "AprilGrid 6 x 6 tags, tag 88 mm, gap 26.4 mm, DICT_APRILTAG_36h11, first id 0, "
        "two-sided, back from id 36, 6 mm thick, 1 measured length"
    )
    assert (
        describe(parse_board("checkerboard:8x5:21")) == "checkerboard 8 x 5 squares, square 21 mm"
    )
