"""Commands that meet, a subject that is erased."""

from pathlib import Path

import pytest

from facekit.benchmarks.faults import eraseprobes, writers
from facekit.benchmarks.faults.eraseprobes import erase_faults
from facekit.benchmarks.faults.trees import tree_of
from facekit.benchmarks.faults.warm import Ended
from facekit.benchmarks.faults.workplace import Stage, Workplace
from facekit.dataset.erase.erase import erase

DONE = Ended(code=0, seconds=1, said="")
WAIT = Ended(code=2, seconds=1, said="facekit: out: another process is writing there; wait")
ILL = Ended(code=2, seconds=1, said="facekit: out/a.json: File exists")


@pytest.mark.parametrize(
    ("ends", "said", "refused"),
    [
        ([DONE, DONE], [], 0),
        ([WAIT, DONE], [], 1),
        ([DONE, ILL], ["s: exit code 2, facekit: out/a.json: File exists"], 1),
        ([WAIT, WAIT], ["s: no command ended well"], 2),
    ],
)
def test_a_loser_has_to_be_a_clean_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: list[Ended], said: list[str],
    refused: int,
) -> None:  # fmt: skip
    monkeypatch.setattr(writers, "_together", lambda *_: ends)
    stage = Stage(name="s", command=lambda out: [str(out)])
    met = writers._two_writers(Workplace(tmp_path), stage, tree_of(tmp_path / "run" / "out"), 0)
    assert (met.said, met.refused) == (said, refused)


def test_an_erased_subject_is_gone(tmp_path: Path) -> None:
    found = erase_faults(tmp_path, full=False, seed=0)
    assert found.failures == ()
    assert found.figures() == {"probes": 40, "probes_found": 0, "others_changed": 0}


def test_a_forgotten_copy_and_a_changed_neighbour_are_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def careless(who: str, roots: list[Path]) -> dict[str, object]:
        copy = (roots[0] / "person-0/session/images/smile/cam0.jpg").read_bytes()
        result = erase(who, roots)
        (roots[0] / "copy.bin").write_bytes(copy)
        (roots[0] / "person-1/session/session.json").write_text("{}")
        return result

    monkeypatch.setattr(eraseprobes, "erase", careless)
    found = erase_faults(tmp_path, full=False, seed=0)
    assert found.probes_found > 0
    assert found.others_changed == 1


@pytest.mark.slow
def test_commands_that_really_meet_tear_nothing(tmp_path: Path) -> None:
    place = Workplace(tmp_path)
    stages = [place.stage(name) for name in ("ingest", "export hdf5")]
    found = writers.writers_meet(place, stages, pairs=2, seed=0)
    assert found.failures == ()
    beside = writers.beside_a_writer(place, pairs=2, seed=0)
    assert beside.failures == ()
    assert beside.reads > 0
