"""Build folders of made-up subjects: small photographs with metadata, small maps."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

from facekit.calibration.rigfile import save_rig
from facekit.capture.pseudonym import drawn_pseudonym
from facekit.capture.session import CameraInfo, Session, Shot, Take, TakeKind, save_session
from facekit.capture.sidecar import Consent, Purpose, save_consent
from facekit.core.facemodel.model import FaceModel
from facekit.core.facemodel.procedural import procedural_head
from facekit.core.files import StageKey, sha256_file, stage_run, write_json
from facekit.core.geometry.camera import Camera, Rig
from facekit.core.geometry.transform import Similarity, look_at
from facekit.dataset.bake.mapfile import load_maps, save_maps
from facekit.dataset.bake.maps import Maps
from facekit.dataset.register.registered import Registered
from facekit.dataset.register.registeredfile import load_registered, save_registered

WIDTH, HEIGHT = 60, 80
CANARIES = (b"CANARY-OWNER", b"CANARY-SERIAL", b"CANARY-COMMENT", b"CANARY-SESSION")


@dataclass(frozen=True)
class Subject:
    """A session and its build folder, as they lie on the disk."""

    build: Path
    session: Session
    takes: dict[str, tuple[Registered, Maps]]


def made_rig(*, metric: bool = True) -> Rig:
    """Return three cameras before the face."""
    cameras = []
    for i, x in enumerate((-300.0, 0.0, 300.0)):
        cameras.append(
            Camera(
                name=f"cam.{i}", width=WIDTH, height=HEIGHT,
                K=np.array([[90.0, 0, 30.5], [0, 90.0, 40.25], [0, 0, 1]]),
                cam_from_world=look_at(np.array([x, 0.0, 700.0]), np.zeros(3)),
                distortion=np.array([-0.1, 0.05, 0.001, -0.002, 0.01]),
            )
        )  # fmt: skip
    return Rig(cameras=tuple(cameras), metric=metric)


def made_registered(model: FaceModel, rng: np.random.Generator, *, scale: float) -> Registered:
    """Return a head with an identity, somewhere in the world."""
    turn = look_at(rng.normal(size=3), np.zeros(3))[:, :3]
    n = model.n_vertices
    return Registered(
        model=model,
        world_from_head=Similarity(scale=scale, R=turn, t=rng.normal(size=3) * 10),
        identity=model.sample_identity(rng),
        expression=np.full(model.n_expression, 0.1),
        offset=0.1 * rng.normal(size=(n, 3)),
        support=rng.random(n).astype(np.float32),
        residual=(0.02 * rng.normal(size=n)).astype(np.float32),
    )


def made_maps(rng: np.random.Generator, *, n: int = 32) -> Maps:
    """Return maps of n texels a side (deformation half of that), valid in the middle."""
    d = n // 2
    inside = np.zeros((n, n), bool)
    inside[2:-2, 2:-2] = True
    valid = inside.copy()
    valid[: n // 4] = False
    normal = rng.normal(size=(n, n, 3)) + (0, 0, 4)
    normal /= np.linalg.norm(normal, axis=2, keepdims=True)
    return Maps(
        deformation=(0.1 * rng.normal(size=(d, d, 3))).astype(np.float32),
        deformation_valid=valid[::2, ::2],
        deformation_sigma=np.where(inside[::2, ::2], 0.05, 0).astype(np.float32),
        displacement=(inside * 0.1 * rng.normal(size=(n, n))).astype(np.float32),
        sigma=np.where(inside, 0.02, 0).astype(np.float32),
        normal=(normal * inside[..., None]).astype(np.float32),
        tangent_normal=(normal * inside[..., None]).astype(np.float32),
        valid=valid,
        albedo=rng.random((n, n, 3), np.float32),
        albedo_valid=inside,
    )


def write_photograph(path: Path, rng: np.random.Generator) -> None:
    """Write a JPEG whose metadata tell who owns the camera."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = rng.integers(0, 256, (HEIGHT // 10, WIDTH // 10, 3)).repeat(10, 0).repeat(10, 1)
    exif = PillowImage.Exif()
    exif[0x013B] = "CANARY-OWNER"
    exif[0xA431] = "CANARY-SERIAL"
    PillowImage.fromarray(pixels.astype(np.uint8)).save(
        path, quality=95, exif=exif, comment=b"CANARY-COMMENT"
    )


def write_session(folder: Path, takes: tuple[str, ...], rng: np.random.Generator) -> Session:
    """Write photographs and masks of three cameras, and `session.json`."""
    written = []
    for take in takes:
        shots = []
        for camera in made_rig():
            path = folder / f"images/{take}/{camera.name}.jpg"
            write_photograph(path, rng)
            mask = folder / f"masks/{take}/{camera.name}.png"
            mask.parent.mkdir(parents=True, exist_ok=True)
            white = np.zeros((HEIGHT, WIDTH), np.uint8)
            white[20:60, 20:40] = 255
            PillowImage.fromarray(white).save(mask)
            shots.append(
                Shot(
                    camera=camera.name, file=str(path.relative_to(folder)),
                    sha256=sha256_file(path), bytes=path.stat().st_size, width=WIDTH,
                    height=HEIGHT, source="CANARY-OWNER.jpg", serial="CANARY-SERIAL",
                    mask=str(mask.relative_to(folder)),
                )
            )  # fmt: skip
        written.append(Take(id=take, kind=TakeKind.SUBJECT, shots=tuple(shots)))
    infos = [CameraInfo(id=c.name, width=WIDTH, height=HEIGHT) for c in made_rig()]
    session = Session(
        folder=folder, name="CANARY-SESSION", cameras=tuple(infos), takes=tuple(written)
    )
    save_session(session)
    return session


def made_consent(pseudonym: str, **changes: Any) -> Consent:
    """Return a consent to research."""
    consent = Consent(
        pseudonym=pseudonym, consent_version="1", date="2026-01-01", legal_basis="consent",
        purposes=(Purpose.RESEARCH,), image_publication=False, controller="University",
    )  # fmt: skip
    return dataclasses.replace(consent, **changes)


@pytest.fixture
def consent_of() -> Callable[..., Consent]:
    """Give a maker of consents to research: `consent_of("AAAAAAA", retention_until=...)`."""
    return made_consent


@pytest.fixture
def make_maps() -> Callable[..., Maps]:
    """Give a maker of maps."""
    return made_maps


@pytest.fixture
def canaries() -> tuple[bytes, ...]:
    """Give what metadata and the session's name hold, and no export may."""
    return CANARIES


@pytest.fixture(scope="session")
def model() -> FaceModel:
    """Give the built-in head."""
    return procedural_head()


@pytest.fixture
def make_subject(tmp_path: Path, model: FaceModel) -> Callable[..., Subject]:
    """Give a maker of subjects: `make_subject("anna", takes=("smile",), consent=...)`.

    They have agreed to research unless told otherwise.
    """

    def make(
        name: str, *, takes: tuple[str, ...] = ("neutral", "smile"),
        consent: Consent | None = None, is_form_kept: bool = True, scale: float = 1.0,
    ) -> Subject:  # fmt: skip
        rng = np.random.default_rng(sum(name.encode()))
        home = tmp_path / name
        session = write_session(home / "session", takes, rng)
        rig = made_rig(metric=scale == 1.0)
        details = {camera.name: {"rms_px": 0.2} for camera in rig}
        save_rig(home / "calibration" / "rig.json", rig, details=details)
        if is_form_kept:
            consent = consent or made_consent(drawn_pseudonym(session))
            save_consent(session.folder, consent)
        results = {}
        for take in takes:
            registered, maps = made_registered(model, rng, scale=scale), made_maps(rng)
            folder = home / "build" / take
            save_registered(folder, registered)
            save_maps(folder, maps)
            key = StageKey(stage="bake", config={"size": 32}, inputs={"before": "0"})
            with stage_run(folder / "stages" / "bake", key) as run:
                run.results = {"covered": 0.7, "mesh": str(folder / "mesh.ply")}
            results[take] = (load_registered(folder, model), load_maps(folder))
        summary = {"session": session.name, "takes": {take: {} for take in takes}, "failed": {}}
        write_json(home / "build" / "build.json", summary)
        return Subject(build=home / "build", session=session, takes=results)

    return make
