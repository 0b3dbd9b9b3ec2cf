"""A lab's folder with three subjects and everything that is made of them."""

import base64
import dataclasses
import importlib.util
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facekit.calibration.rigfile import save_rig
from facekit.capture.session import save_session
from facekit.capture.sidecar import Consent, Purpose, save_consent
from facekit.core.facemodel.model import FaceModel
from facekit.core.facemodel.procedural import procedural_head
from facekit.core.files import StageKey, sha256_file, stage_run, write_json
from facekit.dataset.bake.mapfile import save_maps
from facekit.dataset.export.files import FileFormat, FilesConfig, export_files
from facekit.dataset.export.hdf5 import ExportConfig, export_hdf5
from facekit.dataset.register.registeredfile import save_registered

_PATH = Path(__file__).parents[1] / "export" / "conftest.py"
_SPEC = importlib.util.spec_from_file_location("export_fixtures", _PATH)
assert _SPEC is not None
assert _SPEC.loader is not None
_EXPORT = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_EXPORT)

GONE, STAYS = "QF7M2TZ", ("KX3WVB5", "RJ6HD4N")


def subject(home: Path, pseudonym: str, model: FaceModel) -> Path:
    """Write session, rig and build of a subject; return the build folder."""
    rng = np.random.default_rng(sum(home.name.encode()))
    session = _EXPORT.write_session(home / "session", ("neutral", "smile"), rng)
    save_session(dataclasses.replace(session, name=f"study of {home.name}"))
    save_rig(home / "calibration" / "rig.json", _EXPORT.made_rig())
    consent = Consent(
        pseudonym=pseudonym, consent_version="1", date="2026-01-01", legal_basis="consent",
        purposes=(Purpose.RESEARCH,), image_publication=False, controller="University",
    )  # fmt: skip
    save_consent(session.folder, consent)
    for take in session.takes:
        folder = home / "build" / take.id
        save_registered(folder, _EXPORT.made_registered(model, rng, scale=1.0))
        save_maps(folder, _EXPORT.made_maps(rng))
        inputs = {f"photograph of {shot.camera}": shot.sha256 for shot in take.shots}
        with stage_run(folder / "stages/depth", StageKey(stage="depth", config={}, inputs=inputs)):
            pass
    takes: dict[str, Any] = {take.id: {} for take in session.takes}
    write_json(home / "build/build.json", {"session": session.name, "takes": takes, "failed": {}})
    return home / "build"


def pack(folder: Path, people: list[str]) -> None:
    """Write packed samples, two of each take, as `reconstruct.samples.packed` lays them out."""
    rng = np.random.default_rng(5)
    n, n_takes = len(people), len(people) // 2
    part = folder / "part-0000000"
    part.mkdir(parents=True)
    arrays = {
        "image": rng.integers(0, 256, (n, 16, 16, 3), np.uint8),
        "mask": np.full((n, 8, 8), 255, np.uint8),
        "landmarks": rng.normal(size=(n, 68, 2)),
        "K": rng.normal(size=(n, 3, 3)),
        "cam_from_head": rng.normal(size=(n, 3, 4)),
        "take": np.arange(n) // 2,
        "has_truth": np.ones(n_takes, bool),
        "vertices": rng.normal(size=(n_takes, 50, 3)).astype(np.float32),
    }
    for name, values in arrays.items():
        np.save(part / f"{name}.npy", values)
    write_json(part / "people.json", people)
    write_json(
        folder / "packed.json", {"format": "facekit-packed", "version": 1, "source": {}, "part": 9}
    )


def predict(folder: Path, photograph: Path, rng: np.random.Generator) -> None:
    """Write a folder as a prediction of a photograph leaves it."""
    key = StageKey(stage="reconstruct", config={}, inputs={"photograph": sha256_file(photograph)})
    with stage_run(folder, key):
        np.savez(folder / "prediction.npz", mid=rng.normal(size=(200, 3)).astype(np.float32))
        told = {"photograph": {"file": photograph.name, "sha256": sha256_file(photograph)}}
        write_json(folder / "prediction.json", told)


def report(path: Path, title: str, photograph: Path) -> None:
    """Write a page with a photograph in it."""
    text = base64.b64encode(photograph.read_bytes()).decode()
    path.write_text(f"<title>{title}</title><img src='data:image/jpeg;base64,{text}'>")


@pytest.fixture(scope="session")
def first_lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the folder once."""
    root = tmp_path_factory.mktemp("erase") / "lab"
    model = procedural_head()
    names = ("one", "two", "three")
    builds = [
        subject(root / name, pseudonym, model)
        for name, pseudonym in zip(names, (GONE, *STAYS), strict=True)
    ]
    export_hdf5(builds, root / "data", ExportConfig(name="lab"))
    formats = (FileFormat.OBJ, FileFormat.GLB, FileFormat.PNG16, FileFormat.ALBEDO)
    export_files(builds, root / "files", formats, FilesConfig())
    rng = np.random.default_rng(3)
    summary: dict[str, Any] = {"photographs": {}, "failed": {}}
    for name in names[:2]:
        photograph = root / name / "session/images/smile/cam.0.jpg"
        predict(root / "predictions" / name, photograph, rng)
        summary["photographs"][name] = {"seconds": 1.0}
        report(root / f"report-{name}.html", f"study of {name}", photograph)
    write_json(root / "predictions" / "reconstruct.json", summary)
    (root / "predictions" / "contact.jpg").write_bytes(rng.bytes(4000))
    pack(root / "packed", [GONE, GONE, STAYS[0], STAYS[0], GONE, GONE, STAYS[1], STAYS[1]])
    run = root / "runs" / "coarse"
    (run / "panels").mkdir(parents=True)
    (run / "panels" / "faces.png").write_bytes(rng.bytes(1000))
    write_json(run / "run.json", {"settings": {"data": {"folder": "../../packed"}}})
    (root / "notes.txt").write_text("the second studio has a new lamp\n")
    return root


@pytest.fixture
def lab(first_lab: Path, tmp_path: Path) -> Path:
    """Give a copy of the folder; `tmp_path` is above it."""
    return Path(shutil.copytree(first_lab, tmp_path / "lab"))
