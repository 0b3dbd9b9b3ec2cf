"""The measure of spots: what its figures are of displacements that are known."""

from pathlib import Path

import numpy as np
import pytest

from facekit.benchmarks.learned_bench_spots import (
    OWN_LOSS,
    PLAIN_LOSS,
    SpottedPerson,
    _errors,
    _summary,
    _wider,
    spots_gain,
)

SIDE = 40


def _person() -> SpottedPerson:
    is_spot = np.zeros((SIDE, SIDE), np.uint8)
    is_spot[20, 20] = 1
    return SpottedPerson(
        crops={},
        mask=np.ones((2, 2), np.float32),
        spots=_wider(is_spot, 3),
        near=_wider(is_spot, 9),
        relief=np.full((SIDE, SIDE), 0.3, np.float32),
    )


def test_errors_are_taken_at_the_spots_and_harm_off_them() -> None:
    """A dent of 0.1 mm without the network, 0.03 mm with it; 0.01 mm of change elsewhere."""
    person, flat = _person(), np.zeros((SIDE, SIDE), np.float32)
    own = {
        "plain": flat,
        "plain on": np.where(person.near, 5.0, 0.01).astype(np.float32),
        "spots": np.where(person.spots, -0.1, 7.0).astype(np.float32),
        "spots on": np.where(person.spots, -0.03, 7.0).astype(np.float32),
    }
    # the plain loss has relief of its own, of which a dent of 0.2 mm is left a quarter
    loose = {
        "plain": flat + 2.0,
        "spots": np.where(person.spots, 1.8, -9.0).astype(np.float32),
        "spots on": np.where(person.spots, 1.95, -9.0).astype(np.float32),
    }
    found = {OWN_LOSS: own, PLAIN_LOSS: loose}
    valid = np.ones((SIDE, SIDE), bool)
    told = _summary([_errors(person, found, valid)] * 2)
    assert told["spots.error_off_mm"] == pytest.approx(0.1, rel=1e-5)
    assert told["spots.error_on_mm"] == pytest.approx(0.03, rel=1e-5)
    assert told["spots.gain"] == pytest.approx(0.7, rel=1e-5)
    assert told["spots.plain_loss_error_off_mm"] == pytest.approx(0.2, rel=1e-5)
    assert told["spots.plain_loss_gain"] == pytest.approx(0.75, rel=1e-5)
    assert told["spots.harm_mm"] == pytest.approx(0.01, rel=1e-5)
    # the true relief is one height: its mean says nothing of shape
    assert told["spots.truth_plain_mm"] == pytest.approx(0.0, abs=1e-6)
    assert told["spots.truth_off_mm"] == pytest.approx(0.1, rel=1e-4)
    assert told["spots.truth_gain"] == pytest.approx(0.7, rel=1e-4)
    assert (told["spots.n_texels"], told["spots.subjects"]) == (18, 2)
    unseen = _summary([_errors(person, found, valid & ~person.spots)])
    assert (unseen["spots.gain"], unseen["spots.n_texels"]) == (0.0, 0)


@pytest.mark.slow
def test_the_shipped_network_takes_spots_for_spots(tmp_path: Path) -> None:
    """On people whom neither training nor the choice of its settings has seen.

    Over many people the error that spots cause falls by 30 percent, of two by 15 to 40.
    """
    told = spots_gain(2, 77, out=tmp_path)
    assert told["spots.gain"] > 0.1
    assert told["spots.harm_mm"] < 0.1 * told["spots.relief_mm"]
    assert told["spots.truth_on_mm"] < 1.05 * told["spots.truth_off_mm"]
    assert len(list(tmp_path.glob("*.png"))) == 2
