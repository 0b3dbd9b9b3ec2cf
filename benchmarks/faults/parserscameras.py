"""Readers of rigs under test: facekit's own and those of seven other programs."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ...calibration.interchange.interop import RigFormat, export_rig, import_rig
from ...calibration.rigfile import load_rig, save_rig
from ...core.files import write_json
from ...core.geometry.camera import Camera, Rig
from ...core.geometry.transform import look_at
from ..facescape.layout import read_camera
from ..session_calibration import read_residuals
from .mutate import BYTES
from .mutateformats import XML, YAML
from .mutatetext import JSON, TEXT
from .parser import Parser

_FILES = {
    RigFormat.COLMAP_TEXT: ("colmap", TEXT), RigFormat.COLMAP_BINARY: ("colmap", BYTES),
    RigFormat.TRANSFORMS: ("transforms.json", JSON), RigFormat.OPENCV: ("rig.yml", YAML),
    RigFormat.FACESCAPE: ("params.json", JSON), RigFormat.METASHAPE: ("cameras.xml", XML),
    RigFormat.REALITYCAPTURE: ("xmp", XML),
}  # fmt: skip


def camera_parsers() -> tuple[Parser, ...]:
    """Return what reads cameras."""
    own = Parser(name="rig-json", make=_save, read=_read, damage={"*": JSON})
    foreign = tuple(
        Parser(
            name=f"rig-{format}",
            make=_exporter(format, name),
            read=_importer(format, name),
            damage={"*": mutations},
        )
        for format, (name, mutations) in _FILES.items()
    )
    camera = Parser(
        name="facescape-camera",
        make=_facescape,
        read=lambda root: read_camera(root / "camera.json"),
        damage={"*": JSON},
    )
    return (own, *foreign, camera)


def small_rig() -> Rig:
    """Return two cameras that look at the head."""
    cameras = []
    for i, x in enumerate((-300.0, 300.0)):
        K = np.array([[4000.0, 0, 1010], [0, 4000.0, 1495], [0, 0, 1]])
        cameras.append(
            Camera(
                name=f"cam{i:02d}", width=2000, height=3000, K=K,
                distortion=np.array([0.05, -0.2, 1e-4, -1e-4, 0.0]),
                cam_from_world=look_at(np.array([x, 0.0, 950.0]), np.zeros(3)),
            )
        )  # fmt: skip
    return Rig(cameras=tuple(cameras))


def _save(folder: Path) -> None:
    rig = small_rig()
    save_rig(folder / "rig.json", rig, details={"cam00": {"rms_px": 0.2}}, provenance={"a": 1})
    residuals = {c.name: {"xy": [[1.0, 2.0]], "error": [[0.1, 0.1]], "kept": [True]} for c in rig}
    write_json(
        folder / "residuals.json",
        {"format": "facekit-residuals", "version": 1, "cameras": residuals},
    )


def _read(root: Path) -> None:
    rig = load_rig(root)
    read_residuals(root / "residuals.json", rig)


def _exporter(format: RigFormat, name: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        path = folder / name
        if format.is_folder:
            path.mkdir()
        export_rig(small_rig(), path, format)

    return make


def _importer(format: RigFormat, name: str) -> Callable[[Path], object]:
    return lambda root: import_rig(root / name, format)


def _facescape(folder: Path) -> None:
    camera = small_rig().cameras[0]
    values = [camera.K.tolist(), camera.cam_from_world.tolist()]
    (folder / "camera.json").write_text(json.dumps(values), encoding="utf-8")
