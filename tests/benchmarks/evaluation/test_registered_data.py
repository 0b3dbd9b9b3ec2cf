"""Data folders of benchmarks are registered where they lie, and told when they have gone."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from facekit.benchmarks.evaluation.evaluate import EvaluationTask, evaluate
from facekit.core.assets import find_data, register_data, registered_data
from facekit.core.commandline import SentenceOnError
from facekit.core.errors import InputError
from facekit.core.facemodel.commands import assets


def invoke(*words: object) -> Result:
    group = SentenceOnError(commands={"assets": assets})
    return CliRunner().invoke(group, ["assets", *map(str, words)])


@pytest.fixture
def now_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder that looks like NoW's data, and no registered assets."""
    monkeypatch.setenv("FACEKIT_ASSETS", str(tmp_path / "assets"))
    for name in ("scans", "scans_lmks_onlypp"):
        (tmp_path / "NoW" / name).mkdir(parents=True)
    return tmp_path / "NoW"


def test_a_folder_is_remembered_and_not_copied(now_data: Path) -> None:
    result = invoke("add", "now", now_data, "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["folder"] == str(now_data)
    assert "Max Planck" in told["licence"]
    assert find_data("now") == now_data
    assert registered_data() == ("now",)
    kept = [path for path in (now_data.parent / "assets").rglob("*") if path.is_file()]
    assert [path.name for path in kept] == ["data.json"]
    assert str(now_data) in invoke("list", "--json").stdout
    assert invoke("verify").exit_code == 0


def test_a_folder_that_has_gone_is_told(now_data: Path) -> None:
    register_data("now", now_data)
    now_data.rename(now_data.with_name("elsewhere"))
    result = invoke("verify", "--json")
    assert result.exit_code == 2
    assert "no such folder of now data" in result.stdout
    assert invoke("list").exit_code == 0
    with pytest.raises(InputError, match="moved since"):
        find_data("now")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda folder: (folder / "scans").rmdir(), "no folder scans in it; not the now data"),
        (lambda folder: [p.rmdir() for p in folder.iterdir()], "empty"),
    ],
)
def test_a_folder_of_something_else_is_refused(now_data: Path, make, said: str) -> None:
    make(now_data)
    result = invoke("add", "now", now_data)
    assert result.exit_code == 2
    assert said in result.stderr
    assert find_data("now") is None


def test_eval_finds_registered_data(now_data: Path) -> None:
    register_data("now", now_data)
    (now_data.parent / "mine").mkdir()
    task = EvaluationTask(
        benchmark="now", predictions=now_data.parent / "mine", out=now_data.parent / "out"
    )
    with pytest.raises(InputError, match="imagepathsvalidation.txt"):
        evaluate(task)
