"""Files are looked at where they can do no harm."""

from facekit.capture import inspection
from facekit.capture.inspection import inspect_files


def test_a_file_that_takes_too_long_is_refused(shoot, tmp_path, monkeypatch):
    monkeypatch.setattr(inspection, "TIMEOUT_S", 0.0)
    monkeypatch.setattr(inspection, "BYTES_A_SECOND", float("inf"))
    (stuck,) = inspect_files([shoot(tmp_path / "a.jpg")])
    assert stuck.header is None
    assert "does not decode within" in stuck.reason


def test_a_worker_that_dies_costs_one_file(tmp_path, shoot, monkeypatch):
    start = inspection._Worker._start
    dead = []

    def start_and_kill_the_first(worker):
        process = start(worker)
        if not dead:
            dead.append(process)
            process.kill()
            process.wait()
        return process

    monkeypatch.setattr(inspection._Worker, "_start", start_and_kill_the_first)
    lost, found = inspect_files([shoot(tmp_path / "a.jpg"), shoot(tmp_path / "b.jpg")])
    assert "crashes its decoder" in lost.reason
    assert found.header is not None


def test_nothing_to_look_at_starts_nothing():
    assert inspect_files([]) == []
