"""The calibration's own judgement: its verdict, the gates behind it, what is weak and why."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..calibration.rigfile import RIG_FILE
from ..core.errors import FacekitError
from ..core.files import STAGE_RECORD, read_json
from ..core.report import (
    Badge,
    Block,
    Cell,
    Fold,
    KeyFigure,
    KeyFigures,
    Status,
    Table,
    Text,
)

_MANY = 6  # warnings shown unfolded
STATUS = {"good": Status.GOOD, "weak": Status.NOTE, "unfit": Status.BAD}
"""Verdicts of `calibration.verdict` -> colours."""
_NAMES = {
    "held_out_rms_px": "held-out views, rms", "sigma_center_mm": "σ of camera centres",
    "sigma_head_um": "σ at the head", "views": "views of a camera",
    "length_error_mm": "measured lengths", "coverage": "covered by the board",
    "rejected_share": "rejected corners", "cameras_left_out": "cameras left out",
    "board_warp_mm": "warp of the board",
}  # fmt: skip
_MEANING = {
    "good": "The calibration is good: every gate below is passed.",
    "weak": "The calibration is weak: use it with care, and mend what is marked below.",
    "unfit": "The calibration is unfit for measuring: mend what is marked below, and calibrate "
    "again.",
}


def calibration_result(folder: Path) -> dict[str, Any]:
    """Return what the stage said: its result, and what `rig.json` says of its making."""
    found: dict[str, Any] = {}
    for name, key in ((RIG_FILE, "provenance"), (STAGE_RECORD, "results")):
        try:
            values = read_json(folder / name).get(key)
        except (FacekitError, AttributeError):
            continue
        if isinstance(values, dict):
            found |= values
    return found


def verdict_word(result: Mapping[str, Any]) -> str:
    """Return `good`, `weak` or `unfit`; empty where the calibration has no verdict."""
    verdict = result.get("verdict")
    return verdict if isinstance(verdict, str) else ""


def verdict_blocks(result: Mapping[str, Any]) -> list[Block]:
    """Return the verdict in words, its key figures, its gates and its warnings."""
    blocks: list[Block] = []
    word = verdict_word(result)
    if word:
        text = _MEANING.get(word, f"The calibration is {word}.")
        if word == "weak" and all(gate.get("verdict") == "good" for gate in gates(result)):
            text = "The calibration is weak: no gate fails, but the ones that decide are not told."
        blocks.append(Text(text=text, status=STATUS.get(word, Status.NONE)))
    figures = _figures(result)
    if figures:
        blocks.append(KeyFigures(figures=figures))
    blocks += _gate_table(result)
    blocks += _warnings(result)
    blocks += _rejected(result)
    return blocks


def _figures(result: Mapping[str, Any]) -> list[KeyFigure]:
    wanted = (
        ("rms_px", "Residual, rms", "{:.3f} px", "over the kept points"),
        ("held_out_rms_px", "Held-out rms", "{:.3f} px", "of takes that had no say"),
        ("sigma_head_um", "At the head, σ", "{:.1f} µm", "of a point in the head's volume"),
    )
    figures = [
        KeyFigure(label=label, value=form.format(result[key]), note=note)
        for key, label, form, note in wanted
        if isinstance(result.get(key), (int, float))
    ]
    views = result.get("views")
    if isinstance(views, Mapping) and "used" in views:
        figures.append(
            KeyFigure(
                label="Views of the board", value=str(views["used"]),
                note=f"used, of {views.get('with_board', '?')} with the board in "
                f"{views.get('photographs', '?')} photographs",
            )
        )  # fmt: skip
    scale = result.get("scale")
    if isinstance(scale, str):
        figures.append(
            KeyFigure(label="Size from", value="nothing" if scale == "unknown" else _short(scale),
                      note={"unknown": "lengths have no unit",
                            "board": "its nominal square"}.get(scale, scale[:90]),
                      status=Status.NOTE if scale == "unknown" else Status.NONE)
        )  # fmt: skip
    board = result.get("board_shape")
    mounting = board.get("mounting") if isinstance(board, Mapping) else None
    if isinstance(mounting, Mapping) and isinstance(mounting.get("offset_mm"), (int, float)):
        angle = mounting.get("angle_deg")
        figures.append(
            KeyFigure(
                label="Back of the board",
                value=f"{mounting['offset_mm']:.2f} mm off",
                note=f"and turned {angle:.2f}° from its nominal place"
                if isinstance(angle, (int, float))
                else "from its nominal place",
            )
        )
    return figures


def _short(scale: str) -> str:
    for word in ("scale bar", "distance", "measured", "board"):
        if scale.startswith(word):
            return {"measured": "lengths", "distance": "two cameras"}.get(word, word)
    return scale[:18]


def gates(result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the gates' records (`calibration.verdict.Gate`); none where there are none."""
    given = result.get("gates")
    return [one for one in given if isinstance(one, Mapping)] if isinstance(given, list) else []


def _gate_table(result: Mapping[str, Any]) -> list[Block]:
    rows: list[list[Cell]] = []
    for gate in gates(result):
        word = str(gate.get("verdict", ""))
        known = gate.get("value") is not None
        rows.append([
            _NAMES.get(str(gate.get("name")), str(gate.get("name", "")).replace("_", " ")),
            _value(gate.get("value")), *_limits(gate.get("warn"), gate.get("fail")),
            str(gate.get("unit") or ""),
            Badge(text=word, status=STATUS.get(word, Status.NONE))
            if known else Badge(text="not told", status=Status.NONE),
            str(gate.get("sentence", "")),
        ])  # fmt: skip
    if not rows:
        return []
    columns = ["gate", "found", "weak", "unfit", "unit", "verdict", ""]
    return [Table(columns=columns, rows=rows)]


def _limits(weak: Any, unfit: Any) -> list[Cell]:
    """Return both limits with their side: some figures should be small, others large."""
    numbers = [one if isinstance(one, (int, float)) else None for one in (weak, unfit)]
    low = numbers[0] is not None and numbers[1] is not None and numbers[1] < numbers[0]
    side = "below" if low else "above"
    return [None if one is None else f"{side}\u00a0{one:.4g}" for one in numbers]


def _value(value: Any) -> Cell:
    return f"{value:.4g}" if isinstance(value, (int, float)) else None


def _warnings(result: Mapping[str, Any]) -> list[Block]:
    given = result.get("warnings")
    said = [str(one) for one in given] if isinstance(given, list) else []
    shown: list[Block] = [Text(text=one, status=Status.NOTE) for one in said]
    if len(shown) <= _MANY:
        return shown
    return [*shown[:_MANY], Fold(title=f"{len(shown) - _MANY} more remarks", blocks=shown[_MANY:])]


def _rejected(result: Mapping[str, Any]) -> list[Block]:
    given = result.get("rejected")
    rows: list[list[Cell]] = [
        [str(view.get("view")), f"{view['median_px']:.2f}"]
        for view in (given if isinstance(given, list) else [])
        if isinstance(view, Mapping) and isinstance(view.get("median_px"), (int, float))
    ]
    if not rows:
        return []
    return [Table(columns=["rejected view", "off by, median px"], rows=rows,
                  caption="They contradict the other views: no say in the rig.")]  # fmt: skip
