"""Readers of results under test: predictions, builds, virtual people, lists of photographs."""

from pathlib import Path
from typing import Any

import numpy as np

from ...calibration.rigfile import save_rig
from ...core.files import write_json, write_text
from ...core.geometry.camera import Camera
from ...core.geometry.transform import Similarity
from ...dataset.export.source import load_source
from ...dataset.stages import STAGES_FOLDER
from ...reconstruct.prediction import Prediction
from ...reconstruct.predictionfile import load_prediction, save_prediction
from ...reconstruct.views.result import MultiViewPrediction, SeenView
from ...reconstruct.views.resultfile import load_multiview, save_multiview
from ..esrc.layout import list_items
from ..heads.subjects import people_in, truth_files
from ..now.layout import list_images
from ..session_provenance import find_stages
from ..session_stability import find_stability
from .mutateformats import ARCHIVE
from .mutatetext import JSON, TEXT
from .parser import Parser
from .parserscameras import small_rig
from .parsersrecords import make_session
from .parsersstores import make_maps, make_registered, tiny_model

_SIDE = 8


def result_parsers() -> tuple[Parser, ...]:
    """Return what reads results."""
    both = {"*.npz": ARCHIVE, "*.json": JSON}
    return (
        Parser(name="prediction", make=make_prediction,
               read=lambda root: load_prediction(root, tiny_model()), damage=both),
        Parser(name="multiview", make=make_multiview,
               read=lambda root: load_multiview(root, tiny_model()), damage=both),
        Parser(name="build", make=_build, read=_read_build, damage={"build/*.json": JSON}),
        Parser(name="people", make=_people, read=people_in, damage={"virtual.json": JSON}),
        Parser(name="stability", make=_stability, read=lambda root: find_stability(root),
               damage={"*.json": JSON}),
        Parser(name="now-list", make=_now, read=lambda root: list_images(root, None),
               damage={"*": TEXT}),
        Parser(name="esrc-list", make=_esrc, read=_read_esrc, damage={"*": TEXT}),
    )  # fmt: skip


def _surfaces() -> dict[str, Any]:
    model, n = tiny_model(), _SIDE
    up = np.zeros((n, n, 3), np.float32)
    up[..., 2] = 1
    flat = np.zeros((n, n), np.float32)
    return {
        "model": model, "identity": np.zeros(3), "expression": np.zeros(2),
        "coarse": model.mean.astype(np.float32), "mid": model.mean.astype(np.float32),
        "deformation": np.zeros((n, n, 3), np.float32), "displacement": flat, "valid": flat + 1,
        "normal": up, "tangent_normal": up, "albedo": up * 0.5,
        "texture": np.full((n, n, 3), 99, np.uint8), "texture_valid": flat + 1,
    }  # fmt: skip


def _camera() -> Camera:
    K = np.array([[900.0, 0, 32], [0, 900.0, 32], [0, 0, 1]])
    pose = np.column_stack([np.diag([1.0, -1.0, -1.0]), [0, 0, 900.0]])
    return Camera(name="photograph", width=64, height=64, K=K, cam_from_world=pose)


def make_prediction(folder: Path) -> None:
    """Write a prediction of `tiny_model`."""
    made = Prediction(
        **_surfaces(), photograph="a.jpg", photograph_sha256="ab" * 32, method="fit",
        camera=_camera(), landmarks=np.ones((68, 2)), light=np.zeros((3, 9)), remarks=("none",),
        figures={"seconds": 1.5},
    )  # fmt: skip
    save_prediction(folder, made)


def make_multiview(folder: Path) -> None:
    """Write a prediction of `tiny_model` from one view."""
    view = SeenView(
        name="cam00", file="a.jpg", sha256="ab" * 32, camera=_camera(), focal="rig", weight=1.0,
        landmarks=np.ones((68, 2)), light=np.zeros((3, 9)), residual_px=0.5, color_residual=None,
    )  # fmt: skip
    flat = np.zeros((_SIDE, _SIDE), np.float32)
    made = MultiViewPrediction(
        **_surfaces(), name="neutral", method="fit", views=(view,), calibrated=True, metric=True,
        sigma=flat, n_views=flat.astype(np.int32), notes=("none",), left_out={"b.jpg": "dark"},
        world_from_head=Similarity(scale=1.0, R=np.eye(3), t=np.ones(3)),
    )  # fmt: skip
    save_multiview(folder, made)


def _build(folder: Path) -> None:
    make_session(folder / "session")
    save_rig(folder / "calibration" / "rig.json", small_rig())
    take = folder / "build" / "neutral"
    make_registered(take)
    make_maps(take)
    record = {
        "format": "facekit-stage", "version": 1, "facekit": "0.1", "stage": "build-dataset/mesh",
        "key": "k", "config": {"a": 1}, "inputs": {"rig": "0"}, "seconds": 1.0, "results": {},
    }  # fmt: skip
    write_json(take / STAGES_FOLDER / "mesh" / "stage.json", record)
    write_json(
        folder / "build" / "build.json",
        {
            "session": "one", "session_folder": "../session", "model": "builtin",
            "rig_file": "../calibration/rig.json", "takes": {"neutral": {"vertices": 3}},
            "failed": {},
        },
    )  # fmt: skip


def _read_build(root: Path) -> None:
    source = load_source(root / "build")
    for take in source.takes:
        source.hashes_of(take)
    find_stages([root / "build"])


def _people(folder: Path) -> None:
    entry = {"name": "S0001", "kind": "builtin", "group": "front", "seed": 3}
    for path in truth_files(folder, "S0001").values():
        write_text(path, "x")
    write_json(
        folder / "virtual.json",
        {"format": "facekit-virtual-heads", "version": 1, "made_of": {}, "subjects": [entry]},
    )


def _stability(folder: Path) -> None:
    record = {"verdict": "sound", "cameras": {"cam00": {"shift_px": 0.1, "verdict": "sound"}}}
    write_json(folder / "stability.json", {"takes": {"neutral": record}})


def _now(folder: Path) -> None:
    lines = [f"FaMoS_{i}/multiview_neutral/IMG_{i}.jpg" for i in range(5)]
    write_text(folder / "imagepathsvalidation.txt", "\n".join(lines) + "\n")


def _esrc(folder: Path) -> None:
    write_text(folder / "images.txt", "set/a/one.jpg\nset/b/two.jpg\na/three.jpg\n")


def _read_esrc(root: Path) -> None:
    here = (root, root)
    list_items(root, {"a": here, "b": here})
