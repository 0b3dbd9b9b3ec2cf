"""Long lists are cut, and say by how much."""

from facekit.core.wording import listed


def test_no_more_than_asked_for_are_named() -> None:
    assert listed(["a", "b"]) == "a, b"
    assert listed(["a", "b", "c"], most=3) == "a, b, c"
    assert listed(list("abcde"), most=2) == "a, b and 3 more"
    assert listed([]) == ""
