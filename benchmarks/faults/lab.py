"""A lab's folder in little: sessions, builds and a dataset of made-up people, in a second.

Photographs and maps are noise, so that no two files share bytes by chance; all records are as
the stages write them, and the dataset is exported by `export` itself.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PillowImage

from ...calibration.rigfile import save_rig
from ...capture.session import (
    CameraInfo,
    Session,
    Shot,
    Take,
    TakeKind,
    save_session,
)
from ...capture.sidecar import Consent, Purpose, save_consent
from ...capture.store import save_sums
from ...core.facemodel.model import FaceModel
from ...core.facemodel.procedural import procedural_head
from ...core.files import StageKey, sha256_file, stage_run, write_json
from ...core.geometry.camera import Camera, Rig
from ...core.geometry.transform import Similarity, look_at
from ...dataset.bake.mapfile import save_maps
from ...dataset.bake.maps import Maps
from ...dataset.build import SUMMARY
from ...dataset.export.hdf5 import ExportConfig, export_hdf5
from ...dataset.register.registered import Registered
from ...dataset.register.registeredfile import save_registered

PEOPLE = ("QF7M2TZ", "KX3WVB5", "RJ6HD4N")
"""Pseudonyms."""
TAKES = ("neutral", "smile")
_WIDTH, _HEIGHT = 60, 80
_TEXELS = 32


def make_lab(folder: Path, *, people: Sequence[str] = PEOPLE, seed: int = 0) -> list[Path]:
    """Write `session`, `calibration` and `build` in a folder for each; return the builds."""
    model = procedural_head()
    return [
        _make_person(home_of(folder, name), name, model, np.random.default_rng([seed, number]))
        for number, name in enumerate(people)
    ]


def home_of(folder: Path, pseudonym: str) -> Path:
    """Return a person's folder, which is not called after the person."""
    return folder / f"person-{PEOPLE.index(pseudonym)}"


def make_dataset(builds: Sequence[Path], out: Path) -> None:
    """Export the builds as one HDF5 dataset."""
    export_hdf5(builds, out, ExportConfig(name="lab"))


def _make_person(home: Path, pseudonym: str, model: FaceModel, rng: np.random.Generator) -> Path:
    session = _session(home / "session", rng)
    save_rig(home / "calibration" / "rig.json", _rig())
    consent = Consent(
        pseudonym=pseudonym, consent_version="1", date="2026-01-01", legal_basis="consent",
        purposes=(Purpose.RESEARCH,), image_publication=False, controller="University",
    )  # fmt: skip
    save_consent(session.folder, consent)
    for take in session.takes:
        folder = home / "build" / take.id
        save_registered(folder, _registered(model, rng))
        save_maps(folder, _maps(rng))
        inputs = {f"photograph of {shot.camera}": shot.sha256 for shot in take.shots}
        with stage_run(folder / "stages/depth", StageKey(stage="depth", config={}, inputs=inputs)):
            pass
    told: dict[str, Any] = {
        "session": session.name, "takes": {take.id: {} for take in session.takes}, "failed": {},
        "session_folder": "../session", "rig_file": "../calibration/rig.json", "model": "builtin",
    }  # fmt: skip
    write_json(home / "build" / SUMMARY, told)
    return home / "build"


def _rig() -> Rig:
    cameras = [
        Camera(
            name=f"cam{i}", width=_WIDTH, height=_HEIGHT,
            K=np.array([[90.0, 0, 30.0], [0, 90.0, 40.0], [0, 0, 1]]),
            cam_from_world=look_at(np.array([x, 0.0, 700.0]), np.zeros(3)),
        )
        for i, x in enumerate((-200.0, 200.0))
    ]  # fmt: skip
    return Rig(cameras=tuple(cameras), metric=True)


def _session(folder: Path, rng: np.random.Generator) -> Session:
    takes = []
    for take in TAKES:
        shots = []
        for camera in _rig():
            file = f"images/{take}/{camera.name}.jpg"
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(0, 256, (_HEIGHT // 4, _WIDTH // 4, 3)).repeat(4, 0).repeat(4, 1)
            PillowImage.fromarray(pixels.astype(np.uint8)).save(folder / file, quality=95)
            shots.append(
                Shot(
                    camera=camera.name, file=file, sha256=sha256_file(folder / file),
                    bytes=(folder / file).stat().st_size, width=_WIDTH, height=_HEIGHT,
                )
            )  # fmt: skip
        takes.append(Take(id=take, kind=TakeKind.SUBJECT, shots=tuple(shots)))
    session = Session(
        folder=folder, name=folder.parent.name, takes=tuple(takes),
        cameras=tuple(CameraInfo(id=c.name, width=_WIDTH, height=_HEIGHT) for c in _rig()),
    )  # fmt: skip
    save_sums(folder, {shot.file: shot.sha256 for take in takes for shot in take.shots})
    save_session(session)
    return session


def _registered(model: FaceModel, rng: np.random.Generator) -> Registered:
    n = model.n_vertices
    return Registered(
        model=model,
        world_from_head=Similarity(scale=1.0, R=np.eye(3), t=rng.normal(size=3)),
        identity=model.sample_identity(rng),
        expression=np.full(model.n_expression, 0.1),
        offset=0.1 * rng.normal(size=(n, 3)),
        support=rng.random(n).astype(np.float32),
        residual=(0.02 * rng.normal(size=n)).astype(np.float32),
    )


def _maps(rng: np.random.Generator) -> Maps:
    n, d = _TEXELS, _TEXELS // 2
    inside = np.zeros((n, n), bool)
    inside[2:-2, 2:-2] = True
    normal = rng.normal(size=(n, n, 3)) + np.array([0, 0, 4])
    normal /= np.linalg.norm(normal, axis=2, keepdims=True)
    seen = (normal * inside[..., None]).astype(np.float32)
    return Maps(
        deformation=(0.1 * rng.normal(size=(d, d, 3))).astype(np.float32),
        deformation_valid=inside[::2, ::2],
        deformation_sigma=np.where(inside[::2, ::2], 0.05, 0).astype(np.float32),
        displacement=(inside * 0.1 * rng.normal(size=(n, n))).astype(np.float32),
        sigma=np.where(inside, 0.02, 0).astype(np.float32),
        normal=seen, tangent_normal=seen, valid=inside,
        albedo=rng.random((n, n, 3), np.float32),
        albedo_valid=inside,
    )  # fmt: skip
