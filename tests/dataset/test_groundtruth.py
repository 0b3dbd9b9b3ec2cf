"""The chain after the meshes: who is registered, what is kept, what is told of failures."""

import itertools

import numpy as np
import pytest

from facekit.core.errors import ConfigError, RegistrationError
from facekit.core.files import read_json
from facekit.core.geometry.transform import Similarity
from facekit.dataset import groundtruth, registerstage
from facekit.dataset.groundtruth import GroundTruthConfig, Shard, build_ground_truth
from facekit.dataset.register.registered import Registered

TINY = GroundTruthConfig(megapixels=1.0, start_megapixels=0.005)


def laid(model, scan):
    """Return a registration that says nothing of the scan."""
    n = model.n_vertices
    return Registered(
        model=model,
        world_from_head=Similarity(scale=1.0, R=np.eye(3), t=np.zeros(3)),
        identity=np.zeros(model.n_identity),
        expression=np.zeros(model.n_expression),
        offset=np.zeros((n, 3)),
        support=np.ones(n, np.float32),
        residual=np.zeros(n, np.float32),
    )


@pytest.fixture
def calls(monkeypatch):
    """Put registration and baking aside: what is tested is who is asked for what."""
    asked = []

    def register(model, scans, config):
        asked.append(len(scans))
        return [laid(model, scan) for scan in scans]

    monkeypatch.setattr(registerstage, "register_takes", register)
    monkeypatch.setattr(groundtruth, "bake_take", lambda *_, **__: {"maps": {}})
    return asked


@pytest.mark.parametrize(("n", "count"), [(7, 3), (2, 4), (5, 1)])
def test_shards_leave_nothing_out_and_share_nothing(n, count):
    takes = list(range(n))
    parts = [Shard(index=i, count=count).of(takes) for i in range(1, count + 1)]
    assert sorted(itertools.chain(*parts)) == takes
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("text", ["0/3", "4/3", "2", "1/2/3", "a/b", "-1/2"])
def test_a_wrong_shard_is_told(text):
    with pytest.raises(ConfigError, match="such as 2/8"):
        Shard.parse(text)


def test_takes_of_a_person_are_registered_together_and_once(ball, calls, tmp_path):
    session = ball.session(tmp_path / "session", takes=("smile", "frown"))
    first = build_ground_truth(session, ball.rig, tmp_path / "build", TINY)
    assert calls == [2]
    assert not first["failed"]
    assert (tmp_path / "build/smile/registered.obj").is_file()
    summary = read_json(tmp_path / "build/build.json")
    assert (tmp_path / "build" / summary["session_folder"]).samefile(session.folder)
    again = build_ground_truth(session, ball.rig, tmp_path / "build", TINY)
    assert calls == [2]
    assert again["takes"].keys() == first["takes"].keys()


def test_shards_build_meshes_and_the_last_run_registers(ball, calls, tmp_path):
    session = ball.session(tmp_path / "session", takes=("smile", "frown"))
    for index in (1, 2):
        part = Shard(index=index, count=2)
        build_ground_truth(session, ball.rig, tmp_path / "build", TINY, shard=part)
        assert calls == [2] * (index - 1)  # the first has to wait for the second


def test_one_take_that_shows_no_face_stops_no_other(ball, calls, monkeypatch, tmp_path):
    session = ball.session(tmp_path / "session", takes=("smile", "frown"))
    seen = []

    def register(model, scans, config):
        seen.append(len(scans))
        if len(scans) == 2 or len(seen) == 2:
            raise RegistrationError("no face in this scan")
        return [laid(model, scan) for scan in scans]

    monkeypatch.setattr(registerstage, "register_takes", register)
    summary = build_ground_truth(session, ball.rig, tmp_path / "build", TINY, jobs=2)
    assert seen == [2, 1, 1, 1]  # together, each alone, the good ones together
    assert summary["failed"] == {"smile": "registration: no face in this scan"}
    assert (tmp_path / "build/smile/mesh.ply").is_file()
    assert "maps" in summary["takes"]["frown"]
    assert "maps" not in summary["takes"]["smile"]


def test_without_a_model_there_are_meshes_alone(ball, calls, tmp_path):
    session = ball.session(tmp_path / "session")
    config = GroundTruthConfig(megapixels=1.0, start_megapixels=0.005, model="none")
    summary = build_ground_truth(session, ball.rig, tmp_path / "build", config)
    assert calls == []
    assert (tmp_path / "build/smile/mesh.ply").is_file()
    assert not summary["failed"]
