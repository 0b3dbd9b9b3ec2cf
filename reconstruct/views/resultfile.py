"""A multi-view prediction on disk: `fit.npz` with the arrays, `fit.json` with all else.

`cameras.json` beside them holds the views' cameras in the form of `rig.json`, the head frame as
their world, for whoever reads rigs.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...calibration.rigfile import save_rig
from ...core.errors import InputError, SchemaError
from ...core.facemodel.model import FaceModel
from ...core.files import read_json, write_json
from ...core.geometry.transform import Similarity
from ..surfacefile import (
    HEAD_FRAME,
    camera_of_record,
    camera_record,
    load_archive,
    model_of_record,
    model_record,
    rounded,
    save_archive,
    surface_arrays,
    surface_fields,
)
from .result import MultiViewPrediction, SeenView

ARRAYS_FILE = "fit.npz"
RECORD_FILE = "fit.json"
CAMERAS_FILE = "cameras.json"
_FORMAT, _VERSION = "facekit-multiview", 1
_AGAIN = "reconstruct the views again"


def save_multiview(
    folder: Path, prediction: MultiViewPrediction, *, model: str | None = None
) -> None:
    """Write `fit.npz`, `cameras.json` and `fit.json` into `folder`, each atomically.

    Parameters
    ----------
    model : str, optional
        What `load_face_model` reads the model by (`builtin`, `ict`, a path); its name by default.
    """
    views = prediction.views
    arrays = surface_arrays(prediction) | {
        "sigma": prediction.sigma,
        "n_views": prediction.n_views.astype(np.uint16),
        "light": np.stack([view.light for view in views]),
        "landmarks": np.stack([view.landmarks for view in views]),
    }
    if prediction.expressions is not None:
        arrays["expressions"] = prediction.expressions
    (folder / RECORD_FILE).unlink(missing_ok=True)  # no record beside other arrays
    save_archive(folder / ARRAYS_FILE, arrays, format_name=_FORMAT, version=_VERSION)
    save_rig(folder / CAMERAS_FILE, prediction.rig, provenance={"world": HEAD_FRAME})
    write_json(folder / RECORD_FILE, _record(prediction, model))


def load_multiview(folder: Path, model: FaceModel | None = None) -> MultiViewPrediction:
    """Read what `save_multiview` wrote.

    Parameters
    ----------
    model : FaceModel, optional
        Loaded by the record by default.

    Raises
    ------
    InputError
        A file is absent or damaged, or the face model cannot be found.
    SchemaError
        Another version, or of another face model.
    """
    path = folder / RECORD_FILE
    record = read_json(path, format_name=_FORMAT, version=_VERSION)
    try:
        model = model_of_record(record["model"], model, where=path)
        archive = load_archive(
            folder / ARRAYS_FILE, format_name=_FORMAT, version=_VERSION, again=_AGAIN
        )
        return MultiViewPrediction(
            model=model,
            name=str(record["name"]),
            method=str(record["method"]),
            views=_views(record["views"], archive),
            left_out={str(k): str(v) for k, v in record["left_out"].items()},
            calibrated=bool(record["calibrated"]),
            metric=bool(record["metric"]),
            world_from_head=_similarity(record["world_from_head"]),
            notes=tuple(map(str, record["notes"])),
            figures={str(k): float(v) for k, v in record["figures"].items()},
            deformation_at_corners=bool(record["deformation_at_corners"]),
            **_arrays(archive, folder / ARRAYS_FILE),
        )
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise SchemaError(f"{path}: its {error} cannot be used; {_AGAIN}") from error


def _record(prediction: MultiViewPrediction, source: str | None) -> dict[str, Any]:
    placed = prediction.world_from_head
    return {
        "format": _FORMAT,
        "version": _VERSION,
        "name": prediction.name,
        "method": prediction.method,
        "model": model_record(prediction.model, source),
        "frame": HEAD_FRAME,
        "calibrated": prediction.calibrated,
        "metric": prediction.metric,
        "world_from_head": None
        if placed is None
        else {"scale": placed.scale, "R": placed.R.tolist(), "t": placed.t.tolist()},
        "views": {view.name: _view_record(view) for view in prediction.views},
        "left_out": dict(prediction.left_out),
        "notes": list(prediction.notes),
        "deformation_at_corners": prediction.deformation_at_corners,
        "figures": rounded(prediction.figures),
    }


def _view_record(view: SeenView) -> dict[str, Any]:
    return {
        "file": view.file,
        "sha256": view.sha256,
        "camera": camera_record(view.camera),
        "focal": view.focal,
        "weight": round(view.weight, 6),
        "residual_px": None if view.residual_px is None else round(view.residual_px, 3),
        "color_residual": None if view.color_residual is None else round(view.color_residual, 5),
        "remark": view.remark,
    }


def _views(
    records: Mapping[str, Mapping[str, Any]], archive: Mapping[str, NDArray[Any]]
) -> tuple[SeenView, ...]:
    lights, landmarks = archive["light"], archive["landmarks"]
    return tuple(
        SeenView(
            name=name,
            file=str(record["file"]),
            sha256=str(record["sha256"]),
            camera=camera_of_record(record["camera"], name=name),
            focal=str(record["focal"]),
            weight=float(record["weight"]),
            landmarks=landmarks[row],
            light=lights[row],
            residual_px=_number(record["residual_px"]),
            color_residual=_number(record["color_residual"]),
            remark=str(record["remark"]),
        )
        for row, (name, record) in enumerate(records.items())
    )


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _similarity(record: Mapping[str, Any] | None) -> Similarity | None:
    if record is None:
        return None
    return Similarity(
        scale=float(record["scale"]),
        R=np.array(record["R"], np.float64).reshape(3, 3),
        t=np.array(record["t"], np.float64).reshape(3),
    )


def _arrays(archive: Mapping[str, NDArray[Any]], path: Path) -> dict[str, Any]:
    """Return an archive's arrays as `MultiViewPrediction` has them."""
    try:
        own = {"sigma": archive["sigma"], "n_views": archive["n_views"].astype(np.int32)}
        return surface_fields(archive) | own | {"expressions": archive.get("expressions")}
    except KeyError as error:
        raise InputError(f"{path}: damaged ({error} is not in it); {_AGAIN}") from error
