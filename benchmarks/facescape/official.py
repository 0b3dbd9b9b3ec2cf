r"""The official result files: a value a line, and the tables made of them.

`CD_full.txt`, `CR_full.txt`, `MNE_full.txt` are as `np.savetxt` writes them (%.18e), nan where
there is no result; the tables are those of `export_table.py`, with one method.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...core.arrays import Floats
from ...core.files import write_text
from .layout import FOCALS, LAB_CASES, SUBJECTS, VIEWS, WILD_CASES, view_angle

METRICS = ("CD", "MNE", "CR")
"""Order of the columns."""

_COLUMNS = "CD/$mm$,MNE/$rad$,CR/$\\%$"


def write_lists(values: dict[str, Floats], out: Path) -> list[Path]:
    """Write the list of each metric; `values` is metric -> (N,) a value each index."""
    paths = []
    for metric in ("CD", "CR", "MNE"):
        path = out / f"{metric}_full.txt"
        write_text(path, "".join(f"{value:.18e}\n" for value in values[metric].tolist()))
        paths.append(path)
    return paths


def write_wild_table(values: dict[str, Floats], method: str, out: Path) -> Path:
    """Write `table_1_fswild_angle.csv`."""
    groups = [range(start, start + 100) for start in range(0, WILD_CASES, 100)]
    head = (",,$\\pm5$,,,$\\pm30$,,,$\\pm60$,,,$\\pm90$,,", 4)
    path = out / "table_1_fswild_angle.csv"
    write_text(path, _table(values, groups, method, head))
    return path


def write_lab_tables(values: dict[str, Floats], method: str, out: Path) -> list[Path]:
    """Write `table_2_fslab_angle.csv` (f = 1200 alone) and `table_3_fslab_f.csv`."""
    per_subject = len(FOCALS) * VIEWS
    angles = [
        [
            subject * per_subject + view
            for subject in range(SUBJECTS)
            for view in range(VIEWS)
            if view_angle(view) == angle
        ]
        for angle in ("0", "30", "60")
    ]
    focals = [
        [i for i in range(LAB_CASES) if i % per_subject // VIEWS == focal]
        for focal in range(len(FOCALS))
    ]
    paths = [out / "table_2_fslab_angle.csv", out / "table_3_fslab_f.csv"]
    head = (",,$\\pm5$,,,$\\pm30$,,,$\\pm60$,,", 3)
    write_text(paths[0], _table(values, angles, method, head, without_last=-1.0))
    head = (",,$1200$,,,$600$,,,$300$,,", 3)
    write_text(paths[1], _table(values, focals, method, head))
    return paths


def mean_of(values: Floats, indices: Sequence[int]) -> float:
    """Return the mean of those that there are, NaN left out; NaN if there are none."""
    chosen = values[[i for i in indices if i < len(values)]]
    chosen = chosen[~np.isnan(chosen)]
    return float(np.mean(chosen)) if len(chosen) else float("nan")


def done_rate(values: Floats) -> float:
    """Return the share of cases that have a value."""
    return float(len(values[~np.isnan(values)])) / len(values)


def _table(
    values: dict[str, Floats], groups: Sequence[Sequence[int]], method: str,
    head: tuple[str, int], *, without_last: float = float("nan"),
) -> str:  # fmt: skip
    """Return a table; `without_last` stands for an empty last group."""
    first, n = head
    line = f"{method},"
    for k, group in enumerate(groups):
        cd, mne, cr = (mean_of(values[metric], group) for metric in METRICS)
        if k == len(groups) - 1 and not np.isnan(without_last):
            cd, mne, cr = (without_last if np.isnan(v) else v for v in (cd, mne, cr))
        line += f"{cd:1.2f},{mne:1.3f},{cr * 100:2.1f},"
    line += f"{done_rate(values[METRICS[-1]]) * 100:2.1f}"
    columns = "," + ",".join([_COLUMNS] * n) + ",done/$\\%$"
    return f"{first}\n{columns}\n{line}\n"
