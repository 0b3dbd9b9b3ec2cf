"""Write one small file of every versioned format into `v1/`, as facekit writes it today.

    python tests/golden/make.py FOLDER

The files in `v1/` are read by `tests/test_golden.py` for as long as there is a version 1.x: they
are what people have on their disks. So they are never written again; a format that is new gets a
file of its own beside them, from this script. All of it is noise and made-up people.

Left out: HRN's networks, whose smallest checkpoint has 11 MB (the other checkpoint's header is
written and read by the same code); the journal of an erasure and the record of a benchmark's data,
which name folders of one machine.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

from facekit.benchmarks.dataset_bench_store import drawn_attributes, drawn_capture, drawn_topology
from facekit.benchmarks.evaluation.casefile import save_case
from facekit.benchmarks.evaluation.scoresfile import SCORES_FILE
from facekit.benchmarks.faults.parsersresults import make_multiview, make_prediction
from facekit.benchmarks.faults.parsersstores import make_maps, make_registered
from facekit.benchmarks.faults.schemadata import (
    make_assets,
    make_calibration,
    make_color,
    make_landmarks,
    make_scheduler,
    make_stage,
    make_take_landmarks,
)
from facekit.benchmarks.faults.schemaresults import (
    RENDER,
    case_score,
    make_deretouch,
    make_packed,
    make_people,
    make_scores,
    make_training,
)
from facekit.capture.quality import check_quality
from facekit.capture.session import CameraInfo, Session, Shot, Take, TakeKind, save_session
from facekit.capture.sidecar import Consent, Purpose, save_consent
from facekit.capture.tombstones import bury
from facekit.capture.virtual.truth import save_truth
from facekit.core.assets import RECORD
from facekit.core.files import sha256_file
from facekit.core.jobs.schedulerfile import SCHEDULER_FILE
from facekit.dataset.manifest import write_manifest
from facekit.dataset.store import CaptureRecord, write_shard
from facekit.dataset.topologyfile import write_topology
from facekit.reconstruct.samples.rendered import claim

_SIDE = 9  # vertices along the drawn topology
_OF_VERTICES = ("mesh/vertices", "mesh/coarse_vertices", "mesh/support")
_NARROW, _HIGH = 12, 16  # px of the photograph


def make_golden(out: Path) -> None:
    """Write every file below `out`, which is to be empty."""
    rng = np.random.default_rng(0)
    _session(out / "session", rng)
    rig = make_calibration(out / "calibration")
    save_truth(out / "virtual" / "truth", rig, {"board": np.eye(3, 4)}, {"head": "builtin"})
    make_color(out / "color")
    bury(out / "erased", "AAAAAAA", ["0" * 64])
    make_landmarks(out / "landmarks.json")
    make_registered(out / "take")
    (out / "take" / "registered.obj").unlink()
    make_maps(out / "take")
    make_take_landmarks(out / "take" / "landmarks.npz")
    _dataset(out / "dataset", rng)
    make_stage(out / "stage")
    make_scheduler(out / "scheduler")
    _only(out / "scheduler", out / "scheduler" / SCHEDULER_FILE)  # keys belong in no repository
    make_assets(out / "assets")
    _only(out / "assets", out / "assets" / "hrn" / RECORD)  # its data folder lies elsewhere
    make_prediction(out / "prediction")
    make_multiview(out / "multiview")
    make_packed(out / "packed", rng)
    claim(out / "rendered", RENDER)
    make_training(out / "training")
    make_deretouch(out / "deretouch.safetensors")
    make_scores(out / SCORES_FILE)
    save_case(out / "cases", case_score(), key="k")
    make_people(out / "people")


def _only(folder: Path, kept: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_file() and path != kept:
            path.unlink()
        elif path.is_dir() and not any(path.iterdir()):
            path.rmdir()


def _session(folder: Path, rng: np.random.Generator) -> None:
    path = folder / "images" / "neutral" / "cam0.png"
    path.parent.mkdir(parents=True)
    pixels = rng.integers(0, 256, (_HIGH, _NARROW, 3)).astype(np.uint8)
    PillowImage.fromarray(pixels).save(path)
    shot = Shot(
        camera="cam0", file=path.relative_to(folder).as_posix(), sha256=sha256_file(path),
        bytes=path.stat().st_size, width=_NARROW, height=_HIGH,
    )  # fmt: skip
    session = Session(
        folder=folder, name="golden", notes=("made up",),
        cameras=(CameraInfo(id="cam0", width=_NARROW, height=_HIGH),),
        takes=(Take(id="neutral", kind=TakeKind.SUBJECT, shots=(shot,)),),
    )  # fmt: skip
    save_session(session)
    consent = Consent(
        pseudonym="QF7M2TZ", consent_version="1", date="2026-01-01", legal_basis="consent",
        purposes=(Purpose.RESEARCH,), image_publication=False, controller="University",
    )  # fmt: skip
    save_consent(folder, consent)
    check_quality(session)


def _dataset(folder: Path, rng: np.random.Generator) -> None:
    topology = drawn_topology(side=_SIDE)
    write_topology(folder / "topology" / "drawn.h5", topology)
    drawn = drawn_capture(rng, fine=16, coarse=16, n_views=1)
    fewer = {
        name: values[: topology.n_vertices] if name in _OF_VERTICES else values
        for name, values in drawn.data.items()
    }
    capture = CaptureRecord(
        name=drawn.name, attributes=drawn.attributes, data=fewer,
        data_attributes=drawn.data_attributes,
    )  # fmt: skip
    write_shard(
        folder / "subjects" / "DRAWN00.h5", attributes=drawn_attributes("DRAWN00"),
        topology=topology.attributes(), captures=[capture],
    )  # fmt: skip
    write_manifest(folder, name="drawn", licence="CC0-1.0")


if __name__ == "__main__":
    make_golden(Path(sys.argv[1]))
