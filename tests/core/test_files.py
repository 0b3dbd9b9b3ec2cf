"""Nothing half-written is ever seen under its final name, and finished stages are known."""

from pathlib import Path

import pytest

from facekit.core.errors import InputError, SchemaError
from facekit.core.files import (
    STAGE_RECORD,
    StageKey,
    atomic_path,
    finished,
    read_json,
    stage_run,
    write_json,
)

KEY = StageKey(stage="bake", config={"size": 4}, inputs={"mesh": "abc"})


def test_a_crash_while_writing_keeps_the_older_file(tmp_path: Path) -> None:
    path = tmp_path / "mesh.ply"
    path.write_text("older")
    with pytest.raises(RuntimeError), atomic_path(path) as part:
        part.write_text("half")
        raise RuntimeError("power cut")
    assert path.read_text() == "older"
    assert [p.name for p in tmp_path.iterdir()] == ["mesh.ply"]


def test_the_temporary_keeps_the_suffix(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "a" / "mesh.ply") as part:
        assert part.suffix == ".ply"
        part.write_text("whole")
    assert (tmp_path / "a" / "mesh.ply").read_text() == "whole"


def test_json_refuses_what_other_readers_cannot_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        write_json(tmp_path / "x.json", {"rms_px": float("nan")})
    assert not (tmp_path / "x.json").exists()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "not readable as JSON"),
        ('{"format": "other", "version": 1}', "not a facekit-rig file"),
        ('{"format": "facekit-rig", "version": 9}', "reads version 1"),
        ("[1, 2]", "not a facekit-rig file"),
    ],
)
def test_a_foreign_file_is_named_with_what_is_wrong(
    tmp_path: Path, text: str, sentence: str
) -> None:
    path = tmp_path / "rig.json"
    path.write_text(text)
    with pytest.raises(InputError, match=sentence) as caught:
        read_json(path, format_name="facekit-rig", version=1)
    assert str(path) in str(caught.value)


def test_an_absent_file_is_no_schema_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file") as caught:
        read_json(tmp_path / "none.json")
    assert not isinstance(caught.value, SchemaError)


def test_a_stage_counts_as_finished_only_with_record_and_outputs(tmp_path: Path) -> None:
    assert finished(tmp_path, KEY, outputs=["map.png"]) is None
    with stage_run(tmp_path, KEY) as run:
        (tmp_path / "map.png").write_bytes(b"")
        run.results["n_texels"] = 16
    record = finished(tmp_path, KEY, outputs=["map.png"])
    assert record is not None
    assert record["results"] == {"n_texels": 16}
    (tmp_path / "map.png").unlink()
    assert finished(tmp_path, KEY, outputs=["map.png"]) is None


def test_a_stage_that_fails_leaves_no_record(tmp_path: Path) -> None:
    with stage_run(tmp_path, KEY):
        pass
    with pytest.raises(RuntimeError), stage_run(tmp_path, KEY):
        raise RuntimeError("killed")
    assert not (tmp_path / STAGE_RECORD).exists()


def test_another_setting_or_input_redoes_the_stage(tmp_path: Path) -> None:
    with stage_run(tmp_path, KEY):
        pass
    for other in (
        StageKey(stage="bake", config={"size": 8}, inputs={"mesh": "abc"}),
        StageKey(stage="bake", config={"size": 4}, inputs={"mesh": "def"}),
    ):
        assert finished(tmp_path, other, outputs=[]) is None
    assert finished(tmp_path, KEY, outputs=[]) is not None
