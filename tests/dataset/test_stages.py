"""Stages are done once, in order, and begun again where they were left."""

import logging

import pytest

from facekit.dataset.stages import Stage, run_stages


class Recorder:
    """Three stages that note when they run; `fails` stops one of them."""

    def __init__(self, folder):
        self.folder = folder
        self.ran = []
        self.fails = None

    def stages(self):
        return [
            Stage(name=name, work=lambda name=name: self._work(name), outputs=(f"{name}.txt",))
            for name in ("first", "second", "third")
        ]

    def _work(self, name):
        self.ran.append(name)
        if name == self.fails:
            raise KeyboardInterrupt
        (self.folder / f"{name}.txt").write_text(name)
        return {"length": len(name)}

    def run(self, *, config=None, inputs=None):
        return run_stages(
            self.folder,
            self.stages(),
            config=config or {"a": 1},
            inputs=inputs or {"image": "abc"},
            where="smile",
        )


@pytest.fixture
def recorder(tmp_path):
    return Recorder(tmp_path)


def test_finished_stages_are_skipped_and_say_so(recorder, caplog):
    first = recorder.run()
    recorder.ran.clear()
    with caplog.at_level(logging.INFO, logger="facekit"):
        assert recorder.run() == first
    assert recorder.ran == []
    assert caplog.text.count("finished already") == 3


def test_goes_on_where_it_was_stopped(recorder):
    recorder.fails = "second"
    with pytest.raises(KeyboardInterrupt):
        recorder.run()
    recorder.ran.clear()
    recorder.fails = None
    results = recorder.run()
    assert recorder.ran == ["second", "third"]
    assert results == {name: {"length": len(name)} for name in ("first", "second", "third")}


def test_other_settings_begin_anew(recorder):
    recorder.run()
    recorder.ran.clear()
    recorder.run(config={"a": 2})
    assert recorder.ran == ["first", "second", "third"]


def test_other_inputs_begin_anew(recorder):
    recorder.run()
    recorder.ran.clear()
    recorder.run(inputs={"image": "abd"})
    assert recorder.ran == ["first", "second", "third"]


def test_a_lost_output_is_made_again_with_all_that_follows(recorder):
    recorder.run()
    recorder.ran.clear()
    (recorder.folder / "second.txt").unlink()
    recorder.run()
    assert recorder.ran == ["second", "third"]


def test_a_failure_leaves_no_output_of_an_older_run(recorder):
    recorder.run()
    recorder.fails = "second"
    with pytest.raises(KeyboardInterrupt):
        recorder.run(config={"a": 2})
    assert (recorder.folder / "first.txt").exists()
    assert not (recorder.folder / "second.txt").exists()
    assert not (recorder.folder / "third.txt").exists()


def test_half_written_files_of_a_killed_run_go(recorder):
    recorder.fails = "second"
    with pytest.raises(KeyboardInterrupt):
        recorder.run()
    left = recorder.folder / "second.0123abcd.part.txt"
    left.write_text("half")
    recorder.fails = None
    recorder.run()
    assert not left.exists()
