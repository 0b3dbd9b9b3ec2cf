"""Several sessions in one run: each with its rig, its folder, its failures."""

import resource
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from facekit.calibration.rigfile import save_rig
from facekit.capture.session import load_session, save_session
from facekit.core.errors import EstimationError, InputError
from facekit.core.files import read_json
from facekit.core.jobs.job import Where
from facekit.dataset import buildjobs
from facekit.dataset.commands import build_dataset
from facekit.dataset.groundtruth import GroundTruthConfig, Shard
from facekit.dataset.manysessions import Source, build_sessions, rig_beside

TINY = GroundTruthConfig(megapixels=1.0, start_megapixels=0.005)
HERE = Where()


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Put the work aside: what is tested is who is asked for what, in which order."""
    asked: list[str] = []

    def mesh(session: Any, take: Any, rig: Any, folder: Path, config: Any) -> dict[str, Any]:
        asked.append(f"{session.name}/{take.id}")
        if "bad" in take.id:
            raise EstimationError("nothing to see")
        (folder / "stages" / "mesh").mkdir(parents=True, exist_ok=True)
        (folder / "stages" / "mesh" / "stage.json").write_text("{}")
        (folder / "mesh.ply").write_bytes(b"")
        return {"vertices": 7}

    def register(out: Path, takes: Any, model: Any, settings: Any) -> dict[str, str]:
        asked.append(f"{out.name}: {' '.join(take.id for take in takes)}")
        return {}

    monkeypatch.setattr(buildjobs, "build_take", mesh)
    monkeypatch.setattr(buildjobs, "register_session", register)
    monkeypatch.setattr(buildjobs, "find_landmarks", lambda *_: None)
    monkeypatch.setattr(buildjobs, "bake_take", lambda *_, **__: {"maps": {"valid_percent": 50.0}})
    return asked


@pytest.fixture
def lab(ball: Any, tmp_path: Path) -> list[Source]:
    """Give two subjects, each with a calibration of its own."""
    found = []
    for name, takes in (("anna", ("smile", "frown")), ("otto", ("smile", "bad", "grin"))):
        folder = tmp_path / name
        named(ball, folder, name, takes)
        save_rig(folder / "calibration" / "rig.json", ball.rig)
        found.append(Source(session=folder, rig=folder / "calibration" / "rig.json"))
    return found


def named(ball: Any, folder: Path, name: str, takes: tuple[str, ...]) -> None:
    save_session(replace(ball.session(folder, takes=takes), name=name))


def test_each_session_has_its_folder_and_is_registered_alone(
    lab: list[Source], calls: list[str], tmp_path: Path
) -> None:
    told = build_sessions(lab, tmp_path / "build", TINY, HERE)
    assert calls == [
        "anna/smile", "anna/frown", "anna: smile frown",
        "otto/smile", "otto/bad", "otto/grin", "otto: smile grin",
    ]  # fmt: skip
    assert {name: (one["done"], one["failed"]) for name, one in told["sessions"].items()} == {
        "anna": (2, 0), "otto": (2, 1),
    }  # fmt: skip
    assert told["failed"] == {"otto/bad": "nothing to see"}
    stages = told["stages"]
    assert (stages["mesh"]["jobs"], stages["mesh"]["failed"]) == (5, 1)
    assert (stages["registration"]["done"], stages["maps"]["done"]) == (2, 4)
    summary = read_json(tmp_path / "build/otto/build.json")
    assert summary["takes"]["grin"] == {"vertices": 7, "maps": {"valid_percent": 50.0}}
    assert summary["failed"] == {"bad": "nothing to see"}
    assert (tmp_path / "build/otto" / summary["session_folder"]).samefile(tmp_path / "otto")
    assert (tmp_path / "build/otto" / summary["rig_file"]).is_file()


def test_a_shard_takes_whole_sessions(lab: list[Source], calls: list[str], tmp_path: Path) -> None:
    build_sessions(lab, tmp_path / "build", TINY, HERE, shard=Shard(index=2, count=2))
    assert calls == ["otto/smile", "otto/bad", "otto/grin", "otto: smile grin"]
    empty = build_sessions(lab, tmp_path / "build", TINY, HERE, shard=Shard(index=3, count=3))
    assert empty["sessions"] == {}


def test_shards_are_of_the_sessions_given_whichever_can_be_read(
    lab: list[Source], calls: list[str], tmp_path: Path
) -> None:
    (tmp_path / "anna" / "session.json").write_text("{}")
    told = build_sessions(lab, tmp_path / "build", TINY, HERE, shard=Shard(index=2, count=2))
    assert list(told["sessions"]) == ["otto"]
    assert list(told["failed"]) == ["otto/bad"]  # anna is the other part's, and so is her failure


def test_a_session_is_not_built_twice(lab: list[Source], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="anna: the session is given twice"):
        build_sessions([*lab, lab[0]], tmp_path / "build", TINY, HERE)


def test_a_session_that_cannot_be_read_stops_no_other(
    lab: list[Source], calls: list[str], tmp_path: Path
) -> None:
    (tmp_path / "anna" / "session.json").write_text("{}")
    told = build_sessions(lab, tmp_path / "build", TINY, HERE)
    assert list(told["sessions"]) == ["otto"]
    assert set(told["failed"]) == {str(tmp_path / "anna"), "otto/bad"}


def test_a_session_without_calibration_stops_no_other(
    lab: list[Source], calls: list[str], tmp_path: Path
) -> None:
    (tmp_path / "anna" / "calibration" / "rig.json").unlink()
    sources = [Source(session=source.session) for source in lab]
    told = build_sessions(sources, tmp_path / "build", TINY, HERE)
    assert list(told["sessions"]) == ["otto"]
    assert "say where it is by --rig" in told["failed"][str(tmp_path / "anna")]


def test_a_run_that_makes_nothing_fails(
    ball: Any, calls: list[str], lab: list[Source], tmp_path: Path
) -> None:
    for name in ("anna", "otto"):
        named(ball, tmp_path / name, name, ("bad",))
    with pytest.raises(EstimationError, match=r"nothing could be built. anna/bad: nothing to see"):
        build_sessions(lab, tmp_path / "build", TINY, HERE)
    for name in ("anna", "otto"):
        (tmp_path / name / "session.json").unlink()
    with pytest.raises(InputError, match="nothing could be built"):
        build_sessions(lab, tmp_path / "build", TINY, HERE)


def test_two_sessions_of_one_name_are_told(
    ball: Any, lab: list[Source], calls: list[str], tmp_path: Path
) -> None:
    named(ball, tmp_path / "otto", "anna", ("smile",))
    with pytest.raises(InputError, match=r"both sessions are called 'anna'.*--name"):
        build_sessions(lab, tmp_path / "build", TINY, HERE)
    assert calls == []
    named(ball, tmp_path / "otto", "../anna", ("smile",))
    with pytest.raises(InputError, match="no name for a folder"):
        build_sessions(lab, tmp_path / "build", TINY, HERE)


def test_a_calibration_is_looked_for_in_and_beside_the_session(ball: Any, tmp_path: Path) -> None:
    session = tmp_path / "lab" / "anna"
    session.mkdir(parents=True)
    with pytest.raises(InputError, match=r"say where it is by --rig"):
        rig_beside(session)
    for place in ("lab/calibration", "lab/anna", "lab/anna/calibration"):  # the nearest wins
        save_rig(tmp_path / place / "rig.json", ball.rig)
        assert rig_beside(session) == tmp_path / place / "rig.json"


def test_the_command_tells_each_failure_and_ends_with_3(
    lab: list[Source], calls: list[str], tmp_path: Path
) -> None:
    sessions = [str(source.session) for source in lab]
    given = [*sessions, "--out", str(tmp_path / "build"), "--megapixels", "1"]
    result = CliRunner().invoke(build_dataset, given)
    assert result.exit_code == 3
    assert "facekit: capture otto/bad: nothing to see" in result.stderr
    assert "registration" in result.stdout
    good = CliRunner().invoke(build_dataset, [sessions[0], "--out", str(tmp_path / "one")])
    assert good.exit_code == 0  # its rig was found beside it
    assert (tmp_path / "one" / "build.json").is_file()
    refused = CliRunner().invoke(build_dataset, [*given, "--take", "smile"])
    assert refused.exit_code == 2
    assert "of one session" in refused.output


def test_a_build_that_was_cut_off_goes_on(
    lab: list[Source], calls: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Ctrl-C in the middle: what was built till then stands in the summary."""
    good = buildjobs.build_take

    def stop(session: Any, take: Any, *more: Any) -> Any:
        if session.name == "otto":
            raise KeyboardInterrupt
        return good(session, take, *more)

    monkeypatch.setattr(buildjobs, "build_take", stop)
    with pytest.raises(KeyboardInterrupt):
        build_sessions(lab, tmp_path / "build", TINY, HERE)
    assert set(read_json(tmp_path / "build/anna/build.json")["takes"]) == {"smile", "frown"}
    assert load_session(tmp_path / "otto").name == "otto"
    monkeypatch.setattr(buildjobs, "build_take", good)
    assert build_sessions(lab, tmp_path / "build", TINY, HERE)["sessions"]["otto"]["done"] == 2


def test_more_sessions_than_files_can_be_open(ball: Any, calls: list[str], tmp_path: Path) -> None:
    session = ball.session(tmp_path / "first")
    names = [f"subject{i:03}" for i in range(120)]
    for name in names:
        (tmp_path / "lab" / name).mkdir(parents=True)
        save_session(replace(session, folder=tmp_path / "lab" / name, name=name))
    save_rig(tmp_path / "lab" / "calibration" / "rig.json", ball.rig)
    sessions = [str(tmp_path / "lab" / name) for name in names]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    open_now = max(int(path.name) for path in Path("/proc/self/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_now + 40, hard))
    try:
        result = CliRunner().invoke(build_dataset, [*sessions, "--out", str(tmp_path / "build")])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert result.exit_code == 0
    assert len(list((tmp_path / "build").glob("*/build.json"))) == len(names)
