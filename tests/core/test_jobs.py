"""What ends in one process ends one item alone."""

import math
import os

import pytest

from facekit.core.errors import EstimationError
from facekit.core.jobs import apart, each_apart


def test_answers_and_errors_come_back():
    assert apart(math.sqrt, 4.0) == 2.0
    with pytest.raises(ValueError, match="math domain|nonnegative"):
        apart(math.sqrt, -1.0)


def test_a_process_has_the_threads_that_it_is_given():
    assert apart(os.getenv, "NUMBA_NUM_THREADS", threads=1) == "1"


def test_a_killed_process_is_told_in_a_sentence():
    with pytest.raises(EstimationError, match="ended without an answer"):
        apart(os._exit, 9)


def test_one_item_that_dies_takes_no_other_with_it():
    answers = dict(each_apart(os._exit, [3], jobs=1))
    assert isinstance(answers[0].exception(), EstimationError)
    found = dict(each_apart(math.factorial, [3, -1, 5], jobs=2))
    assert (found[0].result(), found[2].result()) == (6, 120)
    assert isinstance(found[1].exception(), ValueError)
