"""Who is photographed: expressions by name, people by chance."""

import numpy as np
import pytest

from facekit.capture.virtual.subject import Subject, draw_subject, parse_expression
from facekit.core.errors import ConfigError


def test_expressions_are_named_as_takes_are(subject: Subject) -> None:
    assert parse_expression(subject.model, "neutral") is None
    assert parse_expression(subject.model, "jawOpen=0.6+mouthSmile_L") == {
        "jawOpen": 0.6,
        "mouthSmile_L": 1.0,
    }


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("grin", "no expression 'grin'"),
        ("jawOpen=wide", "'wide' is no number"),
        ("jawOpen=7", "1 is full strength"),
        ("jawOpen=nan", "1 is full strength"),
        ("", "''"),
    ],
)
def test_unknown_expressions_are_refused(subject: Subject, name: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        parse_expression(subject.model, name)


def test_strength_zero_is_the_mean_face(subject: Subject) -> None:
    nobody = draw_subject(
        subject.model,
        identity_rng=np.random.default_rng(1),
        skin_rng=np.random.default_rng(2),
        strength=0.0,
    )
    np.testing.assert_array_equal(nobody.vertices(), subject.model.mean)
    assert np.abs(subject.vertices() - subject.model.mean).max() > 1.0
