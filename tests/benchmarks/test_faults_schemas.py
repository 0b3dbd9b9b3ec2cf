"""The judge of versions finds a reader that takes anything; readers refuse another version."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from facekit.benchmarks.evaluation.scoresfile import read_scores, table_of_head
from facekit.benchmarks.faults import schemadata
from facekit.benchmarks.faults.parsersmodels import training_parts
from facekit.benchmarks.faults.parsersresults import make_prediction
from facekit.benchmarks.faults.parsersstores import tiny_model
from facekit.benchmarks.faults.schemadata import make_calibration
from facekit.benchmarks.faults.schemaformat import Format
from facekit.benchmarks.faults.schemaresults import make_scores, make_training
from facekit.benchmarks.faults.schemas import judged, schema_faults
from facekit.benchmarks.session_calibration import read_residuals
from facekit.benchmarks.session_stability import find_stability
from facekit.core.errors import InputError, SchemaError
from facekit.core.files import write_json
from facekit.reconstruct.predictionfile import load_prediction
from facekit.reconstruct.train.state import load_state, newest_sound


def raises(error: Exception) -> Callable[[], object]:
    def opens() -> object:
        raise error

    return opens


@pytest.mark.parametrize(
    ("opens", "redone", "is_read", "said"),
    [
        (lambda: 1, False, True, ""),
        (lambda: 1, False, False, "was read"),
        (raises(SchemaError("a.json: version 2")), False, False, ""),
        (raises(SchemaError("a.json: version 2")), False, True, "was refused: a.json"),
        (raises(SchemaError("not of this version")), False, False, "names no file or no version"),
        (raises(InputError("a.json: damaged")), False, False, "for another reason"),
        (raises(TypeError("later")), False, True, "ended in a TypeError"),
        (lambda: None, True, False, ""),
        (lambda: None, True, True, "is done again"),
        (lambda: 1, True, False, "was taken for done"),
        (raises(SchemaError("a.json: version 2")), True, False, "was refused"),
    ],
)
def test_what_becomes_of_a_file_is_judged(
    opens: Callable[[], object], redone: bool, is_read: bool, said: str
) -> None:
    one = Format(name="a", path=Path("a.json"), opens=opens, redone=redone)
    found = judged(one, is_read=is_read)
    assert said in found and bool(said) == bool(found)


def changed(path: Path, **values: object) -> None:
    write_json(path, json.loads(path.read_text()) | values)


def test_every_format_takes_its_own_versions_alone(tmp_path: Path) -> None:
    found = schema_faults(tmp_path, full=False, seed=0)
    assert found.failures == ()
    assert found.figures()["wrong"] == 0
    assert len(found.formats) >= 30
    assert found.files > 3 * len(found.formats)


def test_a_reader_that_takes_every_version_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def of_anything(folder: Path) -> None:
        pass

    monkeypatch.setattr(schemadata, "load_rig", of_anything)
    found = schema_faults(tmp_path, full=False, seed=0)
    assert [line for line in found.failures if line.startswith("rig,")] == [
        "rig, of a later major version: was read", "rig, of version 0: was read",
    ]  # fmt: skip


def test_arrays_of_another_version_than_their_record_are_refused(tmp_path: Path) -> None:
    make_prediction(tmp_path)
    path = tmp_path / "prediction.npz"
    with np.load(path) as archive:
        arrays = dict(archive)
    np.savez(path, **{**arrays, "version": np.array(2)})
    with pytest.raises(SchemaError, match=r"prediction\.npz: facekit-prediction version 2"):
        load_prediction(tmp_path, tiny_model())
    np.savez(path, **{**arrays, "format": np.array("facekit-multiview")})
    with pytest.raises(SchemaError, match="not a facekit-prediction file"):
        load_prediction(tmp_path, tiny_model())


def test_a_training_of_another_version_is_not_gone_on_with(tmp_path: Path) -> None:
    make_training(tmp_path)
    states = tmp_path / "state"
    path = states / "step-00000003.json"
    progress = json.loads(path.read_text())["progress"]
    changed(path, progress={**progress, "later": 1})
    assert load_state(states, 3, training_parts()).step == 3
    changed(path, version=2)
    with pytest.raises(SchemaError, match=r"step-00000003\.json: facekit-train-state version 2"):
        newest_sound(states)


def test_reports_tell_of_records_of_another_version(tmp_path: Path) -> None:
    rig = make_calibration(tmp_path)
    changed(tmp_path / "stability.json", version=2)
    (record,) = find_stability(tmp_path).values()
    assert record["verdict"] == "not checked"
    assert "stability.json: facekit-stability version 2" in record["sentences"][0]
    changed(tmp_path / "residuals.json", version=2)
    with pytest.raises(SchemaError, match=r"residuals\.json: facekit-residuals version 2"):
        read_residuals(tmp_path / "residuals.json", rig)


def test_scores_of_a_later_minor_version_are_shown(tmp_path: Path) -> None:
    make_scores(tmp_path / "scores.json")
    head = read_scores(tmp_path / "scores.json")
    shown = table_of_head(head)
    for entry in (*head["metrics"], *head["rows"]):
        entry["later"] = 1
    assert table_of_head(head) == shown
