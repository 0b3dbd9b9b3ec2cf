"""A trap for readers that run what a file asks for: it tells when it was sprung."""

from typing import Any

sprung: list[str] = []
"""What was run, in this process."""


def sing(*_: Any) -> str:
    """Be called by nobody but a pickle; leave word of it."""
    sprung.append("a function that the file named")
    return "sung"


class Canary:
    """An object whose pickle calls something when it is read."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __reduce__(self) -> tuple[Any, ...]:
        """Ask for a harmless call, three ways: of the system, of a module, of Python's text."""
        if self.kind == "os":
            import os

            return os.system, ("true",)
        if self.kind == "module":
            return sing, ()
        text = "__import__('facekit.benchmarks.faults.canary').benchmarks.faults.canary.sing()"
        return eval, (text,)
