"""Gates: limits, words, and that residuals alone never decide."""

import json

import pytest

from facekit.calibration.verdict import Figures, Verdict, judge, length_error, overall

GOOD = Figures(
    longer_side_px=8192,
    held_out_rms_px=0.05,
    sigma_center_mm={"A": 0.01, "B": 0.02},
    n_views={"A": 12, "B": 9},
    coverage={"A": 0.6, "B": 0.5},
    rejected={"A": 0.01, "B": 0.0},
    sigma_head_um=2.0,
    length_error_mm=0.01,
    warp_mm=0.3,
)


def changed(**values):
    from dataclasses import replace

    return judge(replace(GOOD, **values))


def gate(gates, name):
    return next(one for one in gates if one.name == name)


def test_a_good_calibration_is_good():
    verdict, gates = judge(GOOD)
    assert verdict is Verdict.GOOD
    assert all(one.verdict is Verdict.GOOD for one in gates)
    json.dumps([one.record() for one in gates], allow_nan=False)


@pytest.mark.parametrize(
    ("name", "weak", "unfit"),
    [
        ("sigma_head_um", 30.0, 80.0),
        ("n_views", {"A": 3, "B": 9}, {"A": 1, "B": 9}),
        ("length_error_mm", 0.07, 0.2),
        ("coverage", {"A": 0.2, "B": 0.5}, {"A": 0.03, "B": 0.5}),
        ("rejected", {"A": 0.2, "B": 0.0}, {"A": 0.5, "B": 0.0}),
    ],
)
def test_each_figure_decides(name, weak, unfit):
    assert changed(**{name: weak})[0] is Verdict.WEAK
    assert changed(**{name: unfit})[0] is Verdict.UNFIT


def test_a_loosely_placed_camera_is_weak_where_the_head_is_sure():
    """Along the axis of a narrow lens, place and focal length make up for each other."""
    assert changed(sigma_center_mm={"A": 0.01, "B": 0.15})[0] is Verdict.WEAK
    assert changed(sigma_center_mm={"A": 0.01, "B": 3.0})[0] is Verdict.WEAK


def test_residuals_alone_condemn_nothing():
    """A bending board leaves tenths of a pixel, and yet places cameras well."""
    verdict, gates = changed(held_out_rms_px=0.9)
    assert gate(gates, "held_out_rms_px").verdict is Verdict.UNFIT
    assert verdict is Verdict.WEAK


def test_residuals_alone_promise_nothing():
    verdict, _ = changed(sigma_center_mm=None, sigma_head_um=None)
    assert verdict is Verdict.WEAK
    assert judge(Figures(longer_side_px=100, held_out_rms_px=0.01))[0] is Verdict.WEAK


def test_limits_in_pixels_grow_with_images_beyond_full_size():
    for size, verdict in ((2000, Verdict.WEAK), (8192, Verdict.WEAK), (16384, Verdict.GOOD)):
        _, gates = changed(held_out_rms_px=0.4, longer_side_px=size)
        assert gate(gates, "held_out_rms_px").verdict is verdict


def test_a_guessed_place_is_unfit():
    verdict, gates = changed(sigma_center_mm={"A": 0.01}, guessed=["B"])
    assert verdict is Verdict.UNFIT
    assert "place of B is a guess" in gate(gates, "sigma_center_mm").sentence


def test_sentences_name_the_camera_and_what_to_do():
    _, gates = changed(n_views={"A": 3, "B": 9}, left_out=["C"])
    assert "A: as few as 3 views of the target" in gate(gates, "views").sentence
    assert gate(gates, "cameras_left_out").sentence == "C: not in the rig"
    assert "more" in gate(gates, "views").sentence


def test_warp_is_for_information():
    verdict, gates = changed(warp_mm=5.0)
    assert verdict is Verdict.GOOD
    assert "5.00 mm" in gate(gates, "board_warp_mm").sentence


def test_length_error_is_that_of_200_mm():
    assert length_error([], [], sigma_ppm=None) is None
    assert length_error([400.0], [0.04], sigma_ppm=10.0) == pytest.approx(0.02)
    assert length_error([20.0], [0.04], sigma_ppm=10.0) == pytest.approx(0.04)
    # a single length has no residual, but its own precision
    assert length_error([150.0], [0.0], sigma_ppm=300.0) == pytest.approx(0.06)


def test_no_gates_promise_nothing():
    assert overall([]) is Verdict.WEAK
