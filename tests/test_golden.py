"""Files of version 1 as they were first written open for good; `golden/make.py` tells of them."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from facekit.benchmarks.evaluation.casefile import load_case
from facekit.benchmarks.evaluation.scoresfile import read_scores, table_of_head
from facekit.benchmarks.faults.parsersmodels import training_parts
from facekit.benchmarks.faults.parsersstores import tiny_model
from facekit.benchmarks.faults.schemaresults import N_VERTICES, RENDER, SETTINGS
from facekit.benchmarks.heads.subjects import people_in
from facekit.benchmarks.session_calibration import read_residuals
from facekit.benchmarks.session_quality import find_quality
from facekit.benchmarks.session_stability import find_stability
from facekit.calibration.rigfile import load_rig
from facekit.capture.color import load_color
from facekit.capture.session import load_session
from facekit.capture.sidecar import load_consent
from facekit.capture.tombstones import erased_on
from facekit.capture.virtual.truth import load_truth
from facekit.core.assets import load_asset
from facekit.core.errors import InputError, SchemaError
from facekit.core.facemodel.landmark_table import load_landmark_table
from facekit.core.files import StageKey, finished
from facekit.core.jobs.schedulerfile import load_scheduler_file
from facekit.dataset.bake.mapfile import load_maps
from facekit.dataset.manifest import read_manifest
from facekit.dataset.register.registeredfile import load_registered
from facekit.dataset.register.takelandmarks import load_landmarks
from facekit.dataset.samples import FaceDataset
from facekit.dataset.topologyfile import read_topology
from facekit.dataset.verify import verify_dataset
from facekit.reconstruct.checkpoint import load_deretouch
from facekit.reconstruct.predictionfile import load_prediction
from facekit.reconstruct.samples.packed import PackedSource
from facekit.reconstruct.samples.rendered import claim as claim_render
from facekit.reconstruct.train.config import LoopConfig, Resume
from facekit.reconstruct.train.runfolder import claim as claim_run
from facekit.reconstruct.train.state import load_state, newest_sound
from facekit.reconstruct.views.resultfile import load_multiview

GOLDEN = Path(__file__).parent / "golden" / "v1"


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy: some readers lock or complete what they read."""
    copy = tmp_path_factory.mktemp("golden") / "v1"
    shutil.copytree(GOLDEN, copy)
    return copy


def session(root: Path) -> object:
    read = load_session(root / "session")
    return read.name, read.read(read.takes[0].shots[0]).shape


def quality(root: Path) -> object:
    found = find_quality(load_session(root / "session"))
    return found.problem, list(found.takes)


def residuals(root: Path) -> object:
    home = root / "calibration"
    found = read_residuals(home / "residuals.json", load_rig(home))["cam01"]
    return found.error.tolist(), found.kept.tolist()


def landmarks(root: Path) -> object:
    found = load_landmark_table(root / "landmarks.json").of("neutral", "cam0")
    return found is not None and found.points[30].tolist()


def shard(root: Path) -> object:
    verify_dataset(root / "dataset", read_data=True)
    data = FaceDataset(root / "dataset", keys=("maps/displacement", "images/*"))
    relief = data[0]["maps/displacement"]
    data.close()
    return len(data), relief.shape, bool(np.isfinite(relief).all())


def scheduler(root: Path) -> object:
    for name in ("authority.pem", "certificate.pem", "key.pem"):  # not kept: nor would git
        (root / "scheduler" / name).touch(mode=0o600)
    return load_scheduler_file(root / "scheduler").address


def asset(root: Path) -> object:
    before = os.environ.get("FACEKIT_ASSETS")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACEKIT_ASSETS", str(root / "assets"))
        found = load_asset("hrn")
    assert os.environ.get("FACEKIT_ASSETS") == before
    return found is not None and list(found.sha256)


def rendered(root: Path) -> object:
    try:
        claim_render(root / "rendered", RENDER)
    except SchemaError:
        raise
    except InputError as error:  # read, and compared: the settings of today may be others
        assert "was rendered with other settings" in str(error)
    return True


def training(root: Path) -> object:
    claim_run(root / "training", "toy", SETTINGS, LoopConfig(), Resume.ONLY)
    step = newest_sound(root / "training" / "state")
    assert step is not None
    progress = load_state(root / "training" / "state", step, training_parts())
    return progress.step, progress.validation


def scores(root: Path) -> object:
    head = read_scores(root / "scores.json")
    return head["cases"]["one"]["values"], table_of_head(head).rows[0]


def case(root: Path) -> object:
    found = load_case(root / "cases", "one", key="k")
    return found is not None and found.distances is not None and found.distances[-1]


OPENS: dict[str, tuple[Callable[[Path], object], object]] = {
    "session": (session, ("golden", (16, 12, 3))),
    "consent": (lambda root: load_consent(root / "session").pseudonym, "QF7M2TZ"),
    "quality": (quality, ("", ["neutral"])),
    "rig": (lambda root: load_rig(root / "calibration")["cam00"].K[0, 0], 4000.0),
    "residuals": (residuals, ([[0.25, 0.25], [0.25, 0.25]], [True, False])),
    "stability": (lambda root: find_stability(root / "calibration")["neutral"]["verdict"],
                  "steady"),
    "truth": (lambda root: load_truth(root / "virtual").rig["cam01"].width, 2000),
    "color": (lambda root: load_color(root / "color").corrections["cam0"].exposure, 1.25),
    "erased": (lambda root: erased_on(root / "erased", "AAAAAAA") is not None, True),
    "landmarks": (landmarks, [1.5, 2.5]),
    "registered": (lambda root: load_registered(root / "take", tiny_model()).identity.tolist(),
                   [1.0, 1.0, 1.0]),
    "maps": (lambda root: load_maps(root / "take").displacement.shape, (16, 16)),
    "take landmarks": (lambda root: load_landmarks(root / "take" / "landmarks.npz").points[0, 0],
                       2.5),
    "manifest": (lambda root: read_manifest(root / "dataset").name, "drawn"),
    "shard": (shard, (1, (16, 16), True)),
    "topology": (lambda root: read_topology(root / "dataset/topology/drawn.h5").n_vertices, 81),
    "stage": (lambda root: (finished(root / "stage", StageKey(stage="mesh", config={}, inputs={}),
                                     outputs=[]) or {})["results"], {"vertices": 12}),
    "scheduler": (scheduler, "tls://127.0.0.1:8786"),
    "asset": (asset, ["weights.bin"]),
    "prediction": (lambda root: load_prediction(root / "prediction", tiny_model()).figures,
                   {"seconds": 1.5}),
    "multiview": (lambda root: load_multiview(root / "multiview", tiny_model()).left_out,
                  {"b.jpg": "dark"}),
    "packed samples": (lambda root: PackedSource(root / "packed", n_vertices=N_VERTICES)[1].person,
                       "p0"),
    "rendered samples": (rendered, True),
    "training": (training, (3, {"mm": 1.5})),
    "deretouch checkpoint": (lambda root: dict(load_deretouch(root / "deretouch.safetensors")
                                               .info.training), {"steps": 3}),
    "scores": (scores, ({"median": 1.25, "mean": "nan"}, ("all", "1.25", "1", "0"))),
    "case score": (case, 1.0),
    "virtual heads": (lambda root: people_in(root / "people")[0].seed, 3),
}  # fmt: skip
"""Format -> what reads its file, and what stands there."""


@pytest.mark.parametrize("name", OPENS)
def test_a_file_of_version_1_opens(name: str, golden: Path) -> None:
    read, expected = OPENS[name]
    assert read(golden) == expected


def test_they_stay_small() -> None:
    sizes = {path: path.stat().st_size for path in GOLDEN.rglob("*") if path.is_file()}
    assert max(sizes.values()) < 150_000 and sum(sizes.values()) < 500_000
