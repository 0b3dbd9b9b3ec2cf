"""Damaged files: the trial finds what it looks for, and readers have no such faults."""

from pathlib import Path

import numpy as np
import pytest

from facekit.benchmarks.faults.fuzz import fuzz_faults
from facekit.benchmarks.faults.fuzzchild import Seed, damaged
from facekit.benchmarks.faults.fuzzrun import Outcome, Trial, run_parsers
from facekit.benchmarks.faults.mutate import BYTES, MOST_BYTES, mutated
from facekit.benchmarks.faults.mutateformats import change_archive, change_png
from facekit.benchmarks.faults.mutatetext import JSON
from facekit.benchmarks.faults.parsers import all_parsers
from facekit.benchmarks.faults.toyparsers import toy_parsers

FAULTS = {
    "crash": "signal 11",
    "hang": "did not end within",
    "memory": "MemoryError",
    "untyped": "IndexError",
    "writes": "writes ",
    "reads": "reads '/etc/hostname'",
    "litters": "left left.txt behind",
    "runs": "os.system",
    "silent": "without a word",
    "unpickles": "that the file named|os.system",
}


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """Give what a few inputs find of readers with known faults."""
    folder = tmp_path_factory.mktemp("toys")
    trial = Trial(folder=folder, cases=range(3), limit_seconds=0.3)
    return {one.parser: one for one in run_parsers(toy_parsers, trial)}


@pytest.mark.parametrize(("name", "words"), FAULTS.items())
def test_a_known_fault_is_found(tried: dict[str, Outcome], name: str, words: str) -> None:
    assert tried[name].cases == 3
    assert any(part in said for _, said in tried[name].failures for part in words.split("|"))


def test_a_sound_reader_passes(tried: dict[str, Outcome]) -> None:
    assert tried["sound"].failures == [] and tried["sound"].refused > 0


def test_every_reader_refuses_what_is_damaged(tmp_path: Path) -> None:
    found = fuzz_faults(tmp_path, full=False, seed=3, cases=5)
    assert found.failures == ()
    assert found.passed and found.cases > 5 * 50
    assert found.figures()["untyped"] == 0
    assert found.figures()["refused"] > 0.4 * found.cases  # most damage shows
    assert found.worst_megabytes < 2048 and found.worst_seconds < 10
    assert not list(tmp_path.iterdir())


def test_damage_is_that_of_seed_reader_and_number(tmp_path: Path) -> None:
    parser = next(one for one in toy_parsers() if one.name == "sound")
    parser.make(tmp_path)
    seed = Seed.of(parser, tmp_path)
    first = [damaged(parser, seed, case, chance=1) for case in range(40)]
    assert first == [damaged(parser, seed, case, chance=1) for case in range(40)]
    assert first != [damaged(parser, seed, case, chance=2) for case in range(40)]
    assert len(set(first)) > 30


@pytest.mark.parametrize("content", [b"", b"x", bytes(range(256)) * 9, b'{"a": [1, "b"]}'])
def test_damage_of_any_content_is_bounded(content: bytes) -> None:
    for mutations in (BYTES, JSON, (change_png,), (change_archive,)):
        for i in range(30):
            changed = mutated(content, np.random.default_rng(i), mutations)
            assert isinstance(changed, bytes) and len(changed) <= MOST_BYTES


def test_readers_that_were_sound_are_not_tried_again(tmp_path: Path) -> None:
    known = {"cases": 10, "refused": 7, "untyped": 0, "worst_seconds": 0.5, "worst_megabytes": 9.0}
    names = [parser.name for parser in all_parsers()]
    sound = dict.fromkeys([*names[1:], "a reader of the past"], known)
    found = fuzz_faults(tmp_path, full=False, seed=3, cases=5, sound=sound)
    assert [one.parser for one in found.outcomes][-1] == names[0]
    assert len(found.outcomes) == len(names)
    assert found.cases == 10 * (len(names) - 1) + 5
    assert found.worst_seconds == 0.5
