"""Builds by a cluster's workers: the same files, kept when a process of any kind is killed."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from facekit.calibration.rigfile import save_rig
from facekit.core.files import read_json
from facekit.core.jobs.localcluster import LocalCluster, local_cluster
from facekit.dataset.groundtruth import GroundTruthConfig, build_ground_truth

pytest.importorskip("distributed")
pytest.importorskip("cryptography")

pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
TINY = GroundTruthConfig(megapixels=1.0, start_megapixels=0.005, model="none")

BUILD = """
import sys
from pathlib import Path
from facekit.dataset.groundtruth import GroundTruthConfig, build_ground_truth
from facekit.capture.session import load_session
from facekit.calibration.rigfile import load_rig
folder = Path(sys.argv[1])
config = GroundTruthConfig(megapixels=1.0, start_megapixels=0.005, model="none")
build_ground_truth(load_session(folder / "session"), load_rig(folder / "rig.json"),
                   folder / "build", config, scheduler=sys.argv[2])
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    with local_cluster(tmp_path_factory.mktemp("cluster") / "place") as cluster:
        yield cluster


def records(build: Path) -> dict[str, int]:
    """Return when each stage of each take ended."""
    return {
        str(path.relative_to(build)): path.stat().st_mtime_ns
        for path in build.glob("*/stages/*/stage.json")
    }


def test_a_cluster_makes_the_same_files(ball: Any, cluster: LocalCluster, tmp_path: Path) -> None:
    session = ball.session(tmp_path / "session", takes=("smile", "frown"))
    here = build_ground_truth(session, ball.rig, tmp_path / "here", TINY, takes=["smile"])
    there = build_ground_truth(
        session, ball.rig, tmp_path / "there", TINY, scheduler=str(cluster.file)
    )
    assert list(there["takes"]) == ["smile", "frown"]
    for name in ("smile/mesh.ply", "smile/mesh.obj"):
        assert (tmp_path / "there" / name).read_bytes() == (tmp_path / "here" / name).read_bytes()
    known = here["takes"]["smile"].keys()
    assert there["takes"]["smile"].keys() == known
    before = records(tmp_path / "there")
    build_ground_truth(session, ball.rig, tmp_path / "there", TINY, scheduler=str(cluster.file))
    assert records(tmp_path / "there") == before


@pytest.mark.slow
def test_the_coordinator_is_killed_and_started_again(
    ball: Any, cluster: LocalCluster, tmp_path: Path
) -> None:
    """What its workers were at when it died is waited for, not done a second time."""
    takes = tuple(f"take{i}" for i in range(4))
    ball.session(tmp_path / "session", takes=takes)
    save_rig(tmp_path / "rig.json", ball.rig)
    build = tmp_path / "build"

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", BUILD, str(tmp_path), str(cluster.file)])

    first = start()
    end = time.monotonic() + 120
    while not list(build.glob("*/mesh.ply")) and time.monotonic() < end:
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    first.wait()
    kept = records(build)
    assert 0 < len({name.partition("/")[0] for name in kept}) < len(takes)
    assert start().wait() == 0
    after = records(build)
    assert {name: after[name] for name in kept} == kept
    summary = read_json(build / "build.json")
    assert set(summary["takes"]) == set(takes)
    assert summary["failed"] == {}


def test_a_take_whose_photographs_went_is_one_failure(
    ball: Any, cluster: LocalCluster, tmp_path: Path
) -> None:
    session = ball.session(tmp_path / "session", takes=("smile", "frown"))
    for shot in session.take("frown").shots:
        (session.folder / shot.file).unlink()
    told = build_ground_truth(
        session, ball.rig, tmp_path / "build", TINY, scheduler=str(cluster.file)
    )
    assert list(told["takes"]) == ["smile"]
    assert "frown" in json.dumps(told["failed"])
