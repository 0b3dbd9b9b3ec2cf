"""Values of `--set key=value` that are one of a few words."""

from collections.abc import Sequence

from ...core.errors import InputError
from .protocol import Options

_YES = ("true", "yes", "1")
_NO = ("false", "no", "0")


def flag(options: Options, name: str) -> bool:
    """Return a setting that is true or false; false where it is not given.

    Raises
    ------
    InputError
        It is another word.
    """
    text = options.settings.get(name, "false").lower()
    if text not in _YES + _NO:
        raise InputError(f"--set {name}={text}: true or false")
    return text in _YES


def word(options: Options, name: str, words: Sequence[str]) -> str:
    """Return a setting that is one of some words; the first where it is not given.

    Raises
    ------
    InputError
        It is another word.
    """
    text = options.settings.get(name, words[0])
    if text not in words:
        raise InputError(f"--set {name}={text}: {', '.join(words[:-1])} or {words[-1]}")
    return text
