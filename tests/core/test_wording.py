"""Long lists are cut, and say by how much."""

from facekit.core.wording import distinct, listed


def test_no_more_than_asked_for_are_named() -> None:
    assert listed(["a", "b"]) == "a, b"
    assert listed(["a", "b", "c"], most=3) == "a, b, c"
    assert listed(list("abcde"), most=2) == "a, b and 3 more"
    assert listed([]) == ""


def test_each_name_is_given_once():
    assert distinct(["a", "b", "a", "a"]) == ["a", "b", "a-2", "a-3"]
    assert distinct(["a", "a-2", "a"], taken=("a",)) == ["a-2", "a-2-2", "a-3"]
