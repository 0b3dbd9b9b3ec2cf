"""NoW's own result files, as its plotting code reads them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...core.arrays import Floats
from ...core.files import atomic_path, write_text


def write_distances(
    folder: Path,
    distances: Sequence[Floats],
    files: Sequence[str],
    *,
    n_missing: int,
    challenge: str | None,
    name: str = "facekit",
) -> list[Path]:
    """Write `<name>_computed_distances[_<challenge>].npy` and its median and mean beside it.

    The official file is a pickled dictionary, its distances shuffled within an image by an
    unseeded generator; here they keep the scan's order. Official `num_missing_files` counts
    images that the challenge left out as missing too; `n_missing` is taken as it is.
    """
    suffix = "" if challenge is None else f"_{challenge}"
    path = folder / f"{name}_computed_distances{suffix}.npy"
    rows = np.empty(len(distances), dtype=object)
    rows[:] = list(distances)
    record = {
        "computed_distances": list(rows),
        "num_missing_files": n_missing,
        "input_files": list(files),
    }
    with atomic_path(path) as part, part.open("wb") as stream:
        np.save(stream, np.array(record, dtype=object), allow_pickle=True)
    pooled = np.concatenate([np.asarray(row) for row in distances])
    summary = path.with_name(path.name + ".meanmedian")
    write_text(summary, f"{np.median(pooled)}\n{np.mean(pooled)}\n")
    return [path, summary]
