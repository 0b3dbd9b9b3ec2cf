"""The score of one case on disk: `cases/<id>.json` beside `cases/<id>.npz`.

The record is written last and holds a key of all that determined the score, so that a run that
was killed goes on with the cases that were finished, and only with those.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import InputError
from ...core.files import atomic_path, read_json, write_json
from ...core.npzfile import read_npz
from .protocol import CaseScore, ErrorMesh
from .thinning import thinned

FORMAT = "facekit-case-score"
VERSION = 1
_OWN = "array_"  # before the names of a benchmark's own arrays


def save_case(folder: Path, score: CaseScore, *, key: str) -> None:
    """Write a score; the mesh of errors is thinned to what a picture shows."""
    record, archive = _paths(folder, score.id)
    record.unlink(missing_ok=True)  # else an older record would go with newer arrays
    arrays: dict[str, NDArray[Any]] = {_OWN + name: a for name, a in score.arrays.items()}
    if score.distances is not None:
        arrays["distances"] = np.asarray(score.distances, dtype=np.float64)
    if score.error_mesh is not None:
        mesh = thinned(score.error_mesh)
        arrays["mesh_vertices"] = np.asarray(mesh.vertices, dtype=np.float32)
        arrays["mesh_faces"] = np.asarray(mesh.faces, dtype=np.int32)
        arrays["mesh_error"] = np.asarray(mesh.error, dtype=np.float32)
    if arrays:
        with atomic_path(archive) as part, part.open("wb") as stream:
            np.savez(stream, allow_pickle=False, **arrays)
    else:
        archive.unlink(missing_ok=True)
    write_json(
        record,
        {
            "format": FORMAT, "version": VERSION, "key": key, "id": score.id,
            "groups": dict(score.groups), "values": plain(score.values),
            "fixed": plain(score.fixed),
            "counts": {name: int(count) for name, count in score.counts.items()},
            "seconds": round(float(score.seconds), 6), "remarks": list(score.remarks),
            "arrays": sorted(arrays),
        },
    )  # fmt: skip


def load_case(folder: Path, case_id: str, *, key: str, with_mesh: bool = True) -> CaseScore | None:
    """Return the score of a case; None where there is none of this key, or it is damaged."""
    record_path, archive = _paths(folder, case_id)
    if not record_path.is_file():
        return None
    try:
        record = read_json(record_path, format_name=FORMAT, version=VERSION)
        if record["key"] != key:
            return None
        arrays = _arrays(archive, record["arrays"], with_mesh=with_mesh)
        return _score(record, arrays)
    except (InputError, KeyError, TypeError, ValueError, AttributeError):
        return None


def remove_case(folder: Path, case_id: str) -> None:
    """Leave nothing of an older score of a case that has none now."""
    for path in _paths(folder, case_id):
        path.unlink(missing_ok=True)


def load_stored(folder: Path, case_id: str) -> ErrorMesh | None:
    """Return a case's mesh of errors as it is on disk; None where there is none."""
    archive = _paths(folder, case_id)[1]
    try:
        arrays = _arrays(archive, ["mesh_vertices", "mesh_faces", "mesh_error"], with_mesh=True)
    except (InputError, KeyError):
        return None
    return _mesh(arrays)


def plain(values: Mapping[str, float]) -> dict[str, float | str]:
    """Return figures as strict JSON takes them: what is no number as `nan`, `inf`, `-inf`."""
    out: dict[str, float | str] = {}
    for name, value in values.items():
        number = float(value)
        out[name] = number if np.isfinite(number) else str(number)
    return out


def numbers(values: Mapping[str, float | str]) -> dict[str, float]:
    """Undo `plain`."""
    return {name: float(value) for name, value in values.items()}


def _paths(folder: Path, case_id: str) -> tuple[Path, Path]:
    return folder / f"{case_id}.json", folder / f"{case_id}.npz"


def _arrays(archive: Path, names: list[str], *, with_mesh: bool) -> dict[str, NDArray[Any]]:
    if not names:
        return {}
    wanted = [n for n in names if with_mesh or not n.startswith("mesh_")]
    stored = read_npz(archive, names=wanted)
    return {n: stored[n] for n in wanted}


def _score(record: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> CaseScore:
    return CaseScore(
        id=record["id"],
        groups=record["groups"],
        values=numbers(record["values"]),
        fixed=numbers(record["fixed"]),
        counts=record["counts"],
        distances=arrays.get("distances"),
        error_mesh=_mesh(arrays),
        seconds=record["seconds"],
        remarks=tuple(record["remarks"]),
        arrays={n.removeprefix(_OWN): a for n, a in arrays.items() if n.startswith(_OWN)},
    )


def _mesh(arrays: Mapping[str, NDArray[Any]]) -> ErrorMesh | None:
    if "mesh_vertices" not in arrays:
        return None
    return ErrorMesh(
        vertices=arrays["mesh_vertices"], faces=arrays["mesh_faces"], error=arrays["mesh_error"]
    )
