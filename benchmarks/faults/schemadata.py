"""A file of every format that captures, calibrations, datasets and core write, and its reader."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ...calibration.check import STABILITY_FILE, save_stability
from ...calibration.record import RESIDUALS_FILE, Residuals, write_record
from ...calibration.rigfile import load_rig
from ...calibration.stability.stabilityrecord import record_of
from ...calibration.stability.stabilityreport import CameraStability, StabilityReport, Verdict
from ...capture.color import ColorCalibration, ColorCorrection, load_color, save_color
from ...capture.quality import QUALITY_FILE, check_quality
from ...capture.session import CameraInfo, load_session
from ...capture.sidecar import load_consent
from ...capture.tombstones import ERASED_FILE, bury, erased_on
from ...capture.virtual.truth import TRUTH_FILE, load_truth, save_truth
from ...core.assets import DATA_RECORD, RECORD, find_data, load_asset, register_asset, register_data
from ...core.errors import SchemaError
from ...core.facemodel.landmark_table import LANDMARKS_FORMAT, load_landmark_table
from ...core.facemodel.procedural import procedural_head
from ...core.files import STAGE_RECORD, StageKey, finished, stage_run, write_json, write_text
from ...core.geometry.camera import Rig
from ...core.jobs.certificates import certificates_in
from ...core.jobs.schedulerfile import SCHEDULER_FILE, load_scheduler_file, write_scheduler_file
from ...dataset.bake.mapfile import load_maps
from ...dataset.erase.identity import Identity
from ...dataset.erase.journal import JOURNAL, Journal, open_journal
from ...dataset.export.hdf5 import ExportConfig, export_hdf5
from ...dataset.manifest import MANIFEST, read_manifest
from ...dataset.register.registeredfile import load_registered
from ...dataset.register.takelandmarks import TakeLandmarks, load_landmarks, save_landmarks
from ...dataset.shardcheck import verify_shard, verify_topology
from ..session_calibration import read_residuals
from ..session_quality import find_quality
from ..session_stability import find_stability
from .lab import PEOPLE, home_of, make_dataset, make_lab
from .parserscameras import small_rig
from .parsersrecords import AssetsIn
from .schemaformat import Format as _Format

_KEY = StageKey(stage="mesh", config={}, inputs={})


def data_formats(folder: Path, seed: int) -> Iterator[_Format]:
    """Make a file of every format, one after the other."""
    yield from _of_a_lab(folder / "lab", seed)
    yield from _of_a_capture(folder)
    yield from _of_a_calibration(folder)
    yield from _of_takes(folder)
    yield from _of_core(folder)


def _of_a_lab(folder: Path, seed: int) -> Iterator[_Format]:
    """Yield what a session, a build and an export of it leave."""
    (build,) = make_lab(folder, people=PEOPLE[:1], seed=seed)
    home, data = home_of(folder, PEOPLE[0]), folder / "data"
    make_dataset([build], data)
    session, take, model = home / "session", build / "neutral", procedural_head()
    one = _Format
    yield one(name="session", path=session / "session.json", opens=lambda: load_session(session))
    yield one(name="rig", path=home / "calibration/rig.json",
              opens=lambda: load_rig(home / "calibration"))  # fmt: skip
    yield one(name="consent", path=session / "restricted/consent.json",
              strict=True, opens=lambda: load_consent(session))  # fmt: skip
    yield one(name="maps", path=take / "maps.npz", opens=lambda: load_maps(take))
    yield one(name="registered", path=take / "registered.npz",
              opens=lambda: load_registered(take, model))  # fmt: skip
    yield one(name="dataset", path=data / MANIFEST, opens=lambda: read_manifest(data))
    yield one(name="export", path=data / "export.json",
              opens=lambda: export_hdf5([build], data, ExportConfig(name="lab")),
              closed=("subjects", "subjects.*.captures"))  # fmt: skip
    shard = data / "subjects" / f"{PEOPLE[0]}.h5"
    yield one(name="hdf5 shard", path=shard, opens=lambda: verify_shard(shard))
    topology = data / "topology" / f"{model.name}.h5"
    yield one(name="hdf5 topology", path=topology, opens=lambda: verify_topology(topology))
    check_quality(load_session(session))
    yield one(name="quality", path=session / QUALITY_FILE, opens=lambda: _quality(session))


def _quality(session: Path) -> None:
    found = find_quality(load_session(session))
    if found.problem:  # a report goes on without
        raise SchemaError(found.problem)


def make_color(folder: Path) -> None:
    """Write `color.json` of a camera, and of one that could not be calibrated."""
    eye = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    known = {"cam0": ColorCorrection(camera="cam0", matrix=eye, exposure=1.25)}
    save_color(folder, ColorCalibration(corrections=known, missing={"cam1": "no chart"}))


def make_landmarks(path: Path) -> None:
    """Write a table of landmarks as JSON."""
    point = {"camera": "cam0", "landmark": 30, "x": 1.5, "y": 2.5}
    write_json(path, {"format": LANDMARKS_FORMAT, "version": 1, "points": [point]})


def _of_a_capture(folder: Path) -> Iterator[_Format]:
    make_color(folder)
    yield _Format(name="color", path=folder / "color.json", opens=lambda: load_color(folder),
                  closed=("cameras", "missing"))  # fmt: skip
    bury(folder, "AAAAAAA", ["0" * 64])
    yield _Format(name="erased", path=folder / ERASED_FILE,
                  opens=lambda: erased_on(folder, "AAAAAAA"))  # fmt: skip
    marks = folder / "landmarks.json"
    make_landmarks(marks)
    yield _Format(name="landmarks", path=marks, opens=lambda: load_landmark_table(marks))
    save_truth(folder / "truth", small_rig(), {"board": np.eye(3, 4)}, {"head": "builtin"})
    yield _Format(name="truth", path=folder / "truth" / TRUTH_FILE,
                  opens=lambda: load_truth(folder), closed=("world_from_board",))  # fmt: skip


def make_calibration(folder: Path) -> Rig:
    """Write `rig.json`, `residuals.json` and `stability.json`; return the rig."""
    rig = small_rig()
    seen = np.array([[100.0, 200.0], [300.0, 400.0]])
    found = Residuals(xy=seen, error=np.full((2, 2), 0.25), kept=np.array([True, False]))
    infos = {c.name: CameraInfo(id=c.name, width=c.width, height=c.height) for c in rig}
    write_record(folder, rig, dict.fromkeys(rig.names, found), infos=infos,
                 figures={"cam00": {"rms_px": 0.25}}, provenance={"method": "board"})  # fmt: skip
    steady = tuple(
        CameraStability(name=name, verdict=Verdict.STEADY, n_ties=40, motion_px=0.125)
        for name in rig.names
    )
    save_stability(folder, "one", {"neutral": record_of(StabilityReport(cameras=steady), rig)})
    return rig


def _of_a_calibration(folder: Path) -> Iterator[_Format]:
    home = folder / "calibration"
    rig = make_calibration(home)
    path = home / RESIDUALS_FILE
    yield _Format(name="residuals", path=path, opens=lambda: read_residuals(path, rig),
                  closed=("cameras",))  # fmt: skip
    yield _Format(name="stability", path=home / STABILITY_FILE, opens=lambda: _steady(home),
                  closed=("takes", "takes.*.cameras"))  # fmt: skip


def _steady(folder: Path) -> None:
    for record in find_stability(folder).values():
        if record["verdict"] == "not checked":  # a report goes on without, and says why
            raise SchemaError(" ".join(record["sentences"]))


def make_take_landmarks(path: Path) -> None:
    """Write the landmarks of a take."""
    marks = TakeLandmarks(
        cameras=("cam00", "cam01"), pixels=np.ones((2, 68, 2)), confidence=np.ones((2, 68)),
        score=np.ones(2), points=np.full((68, 3), 2.5), sigma=np.ones(68),
        residual_px=np.ones((2, 68)), used=np.ones((2, 68), bool), remarks=("a",), detector="table",
    )  # fmt: skip
    save_landmarks(path, marks)


def make_stage(folder: Path) -> StageKey:
    """Write a stage's record; return its key."""
    with stage_run(folder, _KEY) as run:
        run.results = {"vertices": 12}
    return _KEY


def _of_takes(folder: Path) -> Iterator[_Format]:
    path = folder / "take" / "landmarks.npz"
    make_take_landmarks(path)
    yield _Format(name="take landmarks", path=path, opens=lambda: load_landmarks(path))
    root = folder.resolve()
    who = Identity(pseudonym="ABCDEFG", sessions=frozenset([str(root / "session")]))
    journal = Journal(identity=who, roots=(root,))
    journal.units = {root / "session": "session"}
    journal.save()
    yield _Format(name="erasure", path=root / JOURNAL,
                  opens=lambda: open_journal((root,), "ABCDEFG"),
                  closed=("units", "predictions"))  # fmt: skip
    place = folder / "stage"
    key = make_stage(place)
    yield _Format(name="stage", path=place / STAGE_RECORD, redone=True,
                  opens=lambda: finished(place, key, outputs=[]))  # fmt: skip


def make_scheduler(folder: Path) -> None:
    """Write a scheduler's file, and what stands for its certificates."""
    names = certificates_in(folder)
    for path in (names.authority, names.certificate, names.key):
        write_text(path, "none")
        path.chmod(0o600)
    write_scheduler_file(folder, "tls://127.0.0.1:8786", names)


def make_assets(folder: Path) -> None:
    """Register a file and a benchmark's data in a folder of assets."""
    write_text(folder / "weights.bin", "weights")
    write_text(folder / "esrc" / "given" / "a.txt", "data")
    with AssetsIn(folder):
        register_asset("hrn", {"weights.bin": folder / "weights.bin"}, source="weights.bin")
        register_data("esrc", folder / "esrc" / "given")


def _of_core(folder: Path) -> Iterator[_Format]:
    place, assets = folder / "scheduler", folder / "assets"
    make_scheduler(place)
    yield _Format(name="scheduler", path=place / SCHEDULER_FILE,
                  opens=lambda: load_scheduler_file(place))  # fmt: skip
    make_assets(assets)
    yield _Format(name="asset", path=assets / "hrn" / RECORD, opens=lambda: _asset(assets))
    yield _Format(name="asset data", path=assets / "esrc" / DATA_RECORD,
                  opens=lambda: _asset_data(assets))  # fmt: skip


def _asset(folder: Path) -> object:
    with AssetsIn(folder):
        return load_asset("hrn")


def _asset_data(folder: Path) -> object:
    with AssetsIn(folder):
        return find_data("esrc")
