"""The table of the gates on a Markdown page: one row a gate, those that did not run stay."""

from pathlib import Path
from typing import Any

from ...core.errors import InputError
from ...core.files import write_text
from .gates import GATES

BEGIN, END = "<!-- gates: begin -->", "<!-- gates: end -->"
_HEAD = (
    "| gate | what is tried | run | cases | failures | worst s | worst MB | figures | command |\n"
    "|---|---|---|---:|---:|---:|---:|---|---|\n"
)
_NOT_FIGURES = frozenset({
    "passed", "cases", "failed", "failures", "seconds", "worst_seconds", "worst_megabytes", "each",
    "not_run",
})  # fmt: skip


def write_table(page: Path, result: dict[str, Any]) -> None:
    """Put the gates of a result into the table between the two marks of a page.

    Raises
    ------
    InputError
        The page cannot be read or has no marks.
    """
    try:
        text = page.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise InputError(f"{page}: not readable ({error})") from error
    before, mark, rest = text.partition(BEGIN)
    old, end, after = rest.partition(END)
    if not mark or not end:
        raise InputError(f"{page}: no {BEGIN} and {END}, between which the table goes")
    rows = {}
    for line in old.splitlines():
        name = line.strip("| ").partition("|")[0].strip()
        if name in GATES:
            rows[name] = line
    rows |= {name: _row(name, result) for name in GATES if isinstance(result.get(name), dict)}
    table = _HEAD + "".join(f"{rows[name]}\n" for name in GATES if name in rows)
    write_text(page, f"{before}{BEGIN}\n{table}{END}{after}")


def _row(name: str, result: dict[str, Any]) -> str:
    gate, full = result[name], bool(result["full"])
    figures = ", ".join(
        f"{key} {value}"
        for key, value in gate.items()
        if key not in _NOT_FIGURES and isinstance(value, (int, float, str))
    )
    command = f"`facekit bench faults --gate {name}{' --full' if full else ''}`"
    cells = (
        name, GATES[name].tries, "full" if full else "sample", gate["cases"], gate["failed"],
        _number(gate.get("worst_seconds")), _number(gate.get("worst_megabytes")),
        gate.get("not_run", figures), command,
    )  # fmt: skip
    return (
        "| " + " | ".join(str(cell).replace("|", "/").replace("\n", " ") for cell in cells) + " |"
    )


def _number(value: Any) -> str:
    return "–" if value is None else f"{value:.3g}" if value < 100 else f"{value:.0f}"
