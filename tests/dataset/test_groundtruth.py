"""The chain after the meshes: who is registered, what is kept, what is told of failures."""

import itertools

import pytest

from facekit.core.errors import ConfigError, FacekitError, RegistrationError
from facekit.core.files import read_json
from facekit.dataset import buildjobs, registerstage
from facekit.dataset.groundtruth import GroundTruthConfig, Shard, build_ground_truth

TINY = GroundTruthConfig(megapixels=1.0, start_megapixels=0.005)


@pytest.fixture
def calls(monkeypatch, registered_on):
    """Put registration and baking aside: what is tested is who is asked for what."""
    asked = []

    def register(model, scans, config):
        asked.append(len(scans))
        return [registered_on(model) for _ in scans]

    monkeypatch.setattr(registerstage, "register_takes", register)
    monkeypatch.setattr(buildjobs, "bake_take", lambda *_, **__: {"maps": {}})
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


def test_the_summary_knows_the_takes_of_all_shards(ball, calls, tmp_path):
    session = ball.session(tmp_path / "session", takes=("smile", "frown"))
    build = tmp_path / "build"
    first = build_ground_truth(session, ball.rig, build, TINY, shard=Shard(index=1, count=2))
    assert first["registration_waits_for"] == ["frown"]
    build_ground_truth(session, ball.rig, build, TINY, shard=Shard(index=2, count=2))
    takes = read_json(build / "build.json")["takes"]
    assert list(takes) == ["smile", "frown"]
    for figures in takes.values():
        assert figures["vertices"] > 0  # of the mesh, whichever shard made it
        assert "maps" in figures


def test_registration_does_not_wait_for_a_take_that_failed(ball, calls, tmp_path):
    session = ball.session(tmp_path / "session", takes=("smile", "frown", "grin"))
    for shot in session.take("frown").shots:
        (session.folder / shot.file).write_bytes(b"no photograph")
    build = tmp_path / "build"
    with pytest.raises(FacekitError, match="frown"):  # all that this shard has
        build_ground_truth(session, ball.rig, build, TINY, shard=Shard(index=2, count=3))
    for index in (1, 3):
        told = build_ground_truth(session, ball.rig, build, TINY, shard=Shard(index=index, count=3))
    assert calls == [2]
    assert told["takes"].keys() == {"smile", "grin"}
    summary = read_json(build / "build.json")
    assert summary["failed"].keys() == {"frown"}
    assert summary["takes"].keys() == {"smile", "grin"}


def test_a_run_of_one_take_keeps_what_is_known_of_the_others(ball, calls, tmp_path):
    session = ball.session(tmp_path / "session", takes=("smile", "frown"))
    build = tmp_path / "build"
    build_ground_truth(session, ball.rig, build, TINY)
    told = build_ground_truth(session, ball.rig, build, TINY, takes=["frown"])
    assert told["takes"].keys() == {"frown"}
    assert read_json(build / "build.json")["takes"].keys() == {"smile", "frown"}


def test_a_damaged_mesh_stops_no_other_take(ball, calls, tmp_path):
    session = ball.session(tmp_path / "session", takes=("smile", "frown"))
    build = tmp_path / "build"
    build_ground_truth(session, ball.rig, build, TINY)
    (build / "smile" / "mesh.ply").write_bytes(b"ply\nformat ascii 1.0\nend_header\n")
    told = build_ground_truth(session, ball.rig, build, TINY)
    assert told["failed"].keys() == {"smile"}
    assert "mesh.ply" in told["failed"]["smile"]
    assert calls == [2, 1]


def test_one_take_that_shows_no_face_stops_no_other(
    ball, calls, monkeypatch, registered_on, tmp_path
):
    session = ball.session(tmp_path / "session", takes=("smile", "frown"))
    seen = []

    def register(model, scans, config):
        seen.append(len(scans))
        if len(scans) == 2 or len(seen) == 2:
            raise RegistrationError("no face in this scan")
        return [registered_on(model) for _ in scans]

    monkeypatch.setattr(registerstage, "register_takes", register)
    summary = build_ground_truth(session, ball.rig, tmp_path / "build", TINY)
    assert seen == [2, 1, 1, 1]  # together, each alone, the good ones together
    assert summary["failed"] == {"smile": "registration: no face in this scan"}
    assert (tmp_path / "build/smile/mesh.ply").is_file()
    assert "maps" in summary["takes"]["frown"]
    assert "maps" not in summary["takes"]["smile"]


def test_a_folder_called_as_a_model_is_not_taken_for_it(ball, calls, monkeypatch, tmp_path):
    (tmp_path / "builtin").mkdir()
    monkeypatch.chdir(tmp_path)
    session = ball.session(tmp_path / "session")
    build_ground_truth(session, ball.rig, tmp_path / "build", TINY)
    assert read_json(tmp_path / "build/build.json")["model"] == "builtin"


def test_without_a_model_there_are_meshes_alone(ball, calls, tmp_path):
    session = ball.session(tmp_path / "session")
    config = GroundTruthConfig(megapixels=1.0, start_megapixels=0.005, model="none")
    summary = build_ground_truth(session, ball.rig, tmp_path / "build", config)
    assert calls == []
    assert (tmp_path / "build/smile/mesh.ply").is_file()
    assert not summary["failed"]
