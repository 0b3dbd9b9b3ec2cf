"""Splits: by subject, about the shares asked for, and once given, kept."""

from collections import Counter
from pathlib import Path

import pytest

from facekit.core.files import StageKey, stage_run
from facekit.dataset.export.provenance import stages_json
from facekit.dataset.export.records import safe_names
from facekit.dataset.export.subjects import splits_of


@pytest.mark.parametrize("n", [1, 10, 57, 200])
def test_splits_have_their_shares(n: int) -> None:
    counts = Counter(splits_of([f"S{i}" for i in range(n)]).values())
    for split, share in (("train", 0.8), ("val", 0.1), ("test", 0.1)):
        assert abs(counts[split] - share * n) < 1


def test_nobody_changes_split_when_others_come_or_go() -> None:
    first = splits_of([f"S{i}" for i in range(20)])
    more = splits_of([f"S{i}" for i in range(5, 60)], first)
    assert all(more[subject] == split for subject, split in first.items() if subject in more)


def test_splits_do_not_depend_on_the_order_of_subjects() -> None:
    names = [f"S{i}" for i in range(30)]
    assert splits_of(names) == splits_of(reversed(names))


def test_names_become_safe_and_stay_apart() -> None:
    names = safe_names(["a b", "a/b", "ä", "a_b", "x" * 80, "x" * 80, ""])
    assert len(set(names)) == 7
    assert all(name.isascii() and 1 <= len(name) <= 64 for name in names)


def test_stage_records_shrink_to_what_hdf5_takes(tmp_path: Path) -> None:
    for i in range(40):
        key = StageKey(stage=f"s{i}", config={f"c{j}": j for j in range(50)}, inputs={})
        with stage_run(tmp_path / f"s{i}", key) as run:
            run.results = {f"r{j}": "word " * 20 for j in range(50)}
    text = stages_json([tmp_path], metric=True)
    assert len(text.encode()) <= 60_000
    assert '"c7":7' in text
    assert "word" not in text
