"""Detection on boards drawn by exact area sampling and warped by a known homography."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from facekit.calibration.target.detect import (
    BoardView,
    board_mismatch,
    detect_board,
    detect_session,
    usable,
)
from facekit.capture.patterns import board_image, board_size, marker_points
from facekit.capture.session import BoardSpec, Session, Shot, Take, TakeKind
from facekit.capture.targets import object_points
from facekit.core.errors import InputError
from facekit.core.files import sha256_file
from facekit.core.imaging.imageio import write_image

SPEC = BoardSpec(
    squares_x=9, squares_y=6, square_mm=20.0, marker_mm=15.0, dictionary="DICT_5X5_250"
)
PX_PER_MM = 6.0
MARGIN_MM = 8.0


def warped(spec, quad, *, size=(1200, 900)):
    """Return a photograph of the board with its outer corners at `quad` (4, 2) px, and truth."""
    flat = board_image(spec, px_per_mm=PX_PER_MM, margin_mm=MARGIN_MM)
    width, height = board_size(spec)
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64)
    px_from_mm = cv2.getPerspectiveTransform(corners.astype(np.float32), np.float32(quad))
    drawn = np.array([[PX_PER_MM, 0, PX_PER_MM * MARGIN_MM], [0, PX_PER_MM, PX_PER_MM * MARGIN_MM],
                      [0, 0, 1]])  # fmt: skip
    # both images count pixel centres from 0.5; warpPerspective from 0; 4 x 4 samples a pixel
    factor = 4
    scale = np.diag([factor, factor, 1.0])
    half = np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1.0]])
    H = half @ scale @ px_from_mm @ np.linalg.inv(drawn) @ np.linalg.inv(half)
    big = (size[0] * factor, size[1] * factor)
    fine = cv2.warpPerspective(flat, H, big, flags=cv2.INTER_AREA, borderValue=255)
    image = cv2.resize(fine, size, interpolation=cv2.INTER_AREA)
    image = cv2.GaussianBlur(image, (0, 0), 0.7)
    truth = cv2.perspectiveTransform(object_points(spec)[None, :, :2], px_from_mm)[0]
    return image, truth


QUADS = {
    "frontal": [(100, 120), (1100, 120), (1100, 787), (100, 787)],
    "oblique": [(250, 100), (1000, 220), (980, 700), (220, 820)],
    "turned": [(200, 800), (260, 60), (900, 90), (930, 850)],
}


@pytest.mark.parametrize("name", QUADS)
def test_corners_are_exact(name):
    image, truth = warped(SPEC, QUADS[name])
    ids, xy, n_markers = detect_board(image, SPEC)
    np.testing.assert_array_equal(ids, np.arange(len(truth)))
    assert n_markers == SPEC.squares_x * SPEC.squares_y // 2
    # 8-bit images without noise: what is left is the refinement's own error, hundredths
    assert np.sqrt(((xy - truth) ** 2).mean()) < 0.04
    assert np.abs((xy - truth).mean(axis=0)).max() < 0.02  # half a pixel would show


def test_small_boards_are_not_drawn_to_their_markers():
    # 12 px a square: 1.5 px from corner to marker, where no window of 4 px keeps clear
    image, truth = warped(SPEC, [(30, 30), (225, 40), (220, 165), (28, 160)], size=(256, 192))
    ids, xy, _ = detect_board(image, SPEC)
    assert len(ids) > 30
    assert np.sqrt(((xy - truth[ids]) ** 2).mean()) < 0.3


def test_color_and_16_bit_give_the_same():
    image, _ = warped(SPEC, QUADS["oblique"])
    _, grey, _ = detect_board(image, SPEC)
    _, color, _ = detect_board(np.repeat(image[..., None], 3, axis=2), SPEC)
    _, deep, _ = detect_board(image.astype(np.uint16) * 257, SPEC)
    np.testing.assert_array_equal(grey, color)
    np.testing.assert_array_equal(grey, deep)


def test_inverted_boards():
    spec = replace(SPEC, inverted=True)
    image, truth = warped(spec, QUADS["oblique"])
    ids, xy, _ = detect_board(image, spec)
    assert len(ids) == len(truth)
    assert np.abs(xy - truth).max() < 0.2


def test_half_a_board_keeps_its_ids():
    image, truth = warped(SPEC, QUADS["frontal"])
    image[:, :600] = 255
    ids, xy, _ = detect_board(image, SPEC)
    assert 0 < len(ids) < len(truth)
    assert np.abs(xy - truth[ids]).max() < 0.2


def test_second_face_is_told_apart_by_its_ids():
    image, truth = warped(replace(SPEC, first_id=100), QUADS["frontal"])
    ids, _, n_markers = detect_board(image, SPEC)
    assert (len(ids), n_markers) == (0, 0)
    both = replace(SPEC, back_first_id=100, thickness_mm=6.0)
    ids, xy, n_markers = detect_board(image, both)
    np.testing.assert_array_equal(ids, len(truth) + np.arange(len(truth)))  # the back's
    assert n_markers == 27
    assert np.abs(xy - truth).max() < 0.2
    assert "first_id" not in board_mismatch(image, replace(both, squares_x=6, squares_y=9))


def test_a_two_sided_board_taken_for_a_plain_one_is_named():
    image, _ = warped(replace(SPEC, first_id=27), QUADS["frontal"])
    assert "it fits with first_id 27, the back of a two-sided board" in board_mismatch(image, SPEC)


def test_usable_counts_each_face_for_itself():
    both = replace(SPEC, back_first_id=100, thickness_mm=6.0)
    ids = 40 + np.array([0, 1, 2, 8, 9, 10], np.int32)
    back = BoardView(take="t", camera="c", ids=ids, xy=np.zeros((6, 2)))
    row = BoardView(take="t", camera="c", ids=ids[:3], xy=np.zeros((3, 2)))
    assert usable([back, row], min_corners=3, spec=both) == [back]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"squares_x": 6, "squares_y": 9}, "sizes exchanged"),
        ({"inverted": True}, "inverted switched"),
    ],
)
def test_mismatch_says_what_fits(change, words):
    image, _ = warped(SPEC, QUADS["frontal"])
    assert words in board_mismatch(image, replace(SPEC, **change))


def test_nothing_is_said_of_an_empty_photograph():
    assert board_mismatch(np.full((300, 400), 128, np.uint8), SPEC) == ""


def test_usable_needs_corners_off_one_line():
    def view(ids):
        ids = np.array(ids, np.int32)
        return BoardView(take="t", camera="c", ids=ids, xy=np.zeros((len(ids), 2)))

    row, block, few = view(range(8)), view([0, 1, 2, 8, 9, 10]), view([0, 1, 8])
    assert usable([row, block, few], min_corners=4, spec=SPEC) == [block]


@pytest.fixture
def session(tmp_path):
    """Give a session of two photographs, one without a board."""
    image, _ = warped(SPEC, QUADS["oblique"])
    shots = []
    for camera, pixels in (("A", image), ("B", np.full_like(image, 90))):
        path = tmp_path / f"{camera}.png"
        write_image(path, pixels)
        shots.append(
            Shot(
                camera=camera,
                file=path.name,
                sha256=sha256_file(path),
                bytes=1,
                width=1200,
                height=900,
            )
        )
    take = Take(id="t1", kind=TakeKind.TARGET, shots=tuple(shots))
    return Session(folder=tmp_path, name="s", cameras=(), takes=(take,), board=SPEC)


def test_session_is_detected_once(session, tmp_path, monkeypatch):
    cache = tmp_path / "corners"
    first = detect_session(session, SPEC, cache=cache)
    assert [view.name for view in first] == ["t1/A", "t1/B"]
    assert [len(view.ids) > 0 for view in first] == [True, False]
    assert first[1].problem == "no board seen"
    monkeypatch.setattr(
        "facekit.calibration.target.detect.detect_board", None
    )  # would raise if used
    again = detect_session(session, SPEC, cache=cache)
    np.testing.assert_array_equal(first[0].xy, again[0].xy)


def test_damaged_cache_is_detected_again(session, tmp_path):
    cache = tmp_path / "corners"
    first = detect_session(session, SPEC, cache=cache)
    for path in cache.iterdir():
        path.write_text('{"format": "facekit-corners", "vers')
    again = detect_session(session, SPEC, cache=cache)
    np.testing.assert_array_equal(first[0].xy, again[0].xy)


def test_square_size_does_not_count_but_the_layout_does(session, tmp_path):
    cache = tmp_path / "corners"
    detect_session(session, SPEC, cache=cache)
    n_files = len(list(cache.iterdir()))
    detect_session(session, replace(SPEC, square_mm=40.0, marker_mm=30.0), cache=cache)
    assert len(list(cache.iterdir())) == n_files
    detect_session(session, replace(SPEC, first_id=7), cache=cache)
    assert len(list(cache.iterdir())) == 2 * n_files


def test_the_number_of_threads_changes_nothing():
    image, _ = warped(SPEC, QUADS["oblique"])
    before = cv2.getNumThreads()
    try:
        found = []
        for n_threads in (1, 3):
            cv2.setNumThreads(n_threads)
            found.append(detect_board(image, SPEC)[1])
    finally:
        cv2.setNumThreads(before)
    np.testing.assert_array_equal(*found)


def test_the_stage_leaves_opencv_s_threads_as_they_were(session, tmp_path):
    before = cv2.getNumThreads()
    detect_session(session, SPEC, cache=tmp_path / "corners")
    assert cv2.getNumThreads() == before


def test_unreadable_photograph_is_named(session, tmp_path):
    (tmp_path / "B.png").write_bytes(b"\x89PNG nothing")
    with pytest.raises(InputError, match=r"B\.png"):
        detect_session(session, SPEC, cache=tmp_path / "corners")


def markers_alone(spec, kept):
    """Return a photograph in which only the markers `kept` are on the paper, and no corner."""
    px = 1000 / (spec.squares_x * spec.square_mm)
    bottom = 120 + spec.squares_y * spec.square_mm * px
    image, _ = warped(spec, [(100, 120), (1100, 120), (1100, bottom), (100, bottom)])
    alone = np.full_like(image, 255)
    for quad in marker_points(spec)[kept]:
        x0, y0 = quad[:, :2].min(axis=0) * px + (100, 120)
        x1, y1 = quad[:, :2].max(axis=0) * px + (100, 120)
        part = np.s_[int(y0) - 8 : int(y1) + 8, int(x0) - 8 : int(x1) + 8]
        alone[part] = image[part]
    return alone


def test_few_markers_in_their_places_are_a_board_too_small():
    # every other row, so that no two of them share a corner
    image = markers_alone(SPEC, [0, 2, 9, 12, 18, 21])
    ids, _, n_markers = detect_board(image, SPEC)
    assert (len(ids), n_markers) == (0, 6)
    said = board_mismatch(image, SPEC)
    assert said.startswith("only 6 markers of the board are seen")
    assert "go closer" in said


def test_few_markers_out_of_place_are_another_layout():
    # the same ids on a wide and low board
    image = markers_alone(replace(SPEC, squares_x=13, squares_y=4), [0, 3, 5, 13, 16, 18])
    assert len(detect_board(image, SPEC)[0]) == 0
    assert "layout does not match" in board_mismatch(image, SPEC)


@pytest.mark.parametrize("quad", QUADS.values(), ids=QUADS)
@pytest.mark.parametrize(
    ("made", "asked"),
    [({"legacy_pattern": True}, {}), ({}, {"legacy_pattern": True}), ({}, {"first_id": 3})],
)
def test_no_corner_is_named_by_a_wrong_layout(made, asked, quad):
    image, _ = warped(replace(SPEC, **made), quad)
    assert len(detect_board(image, replace(SPEC, **asked))[0]) == 0
