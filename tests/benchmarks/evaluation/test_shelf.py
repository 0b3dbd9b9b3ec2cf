"""The shelf that holds the arrays of scores on disk."""

import os
from pathlib import Path

import numpy as np
import pytest

from facekit.benchmarks.evaluation.evaluate import EvaluationTask, run
from facekit.benchmarks.evaluation.protocol import CaseScore
from facekit.benchmarks.evaluation.shelf import Shelf


def score(name: str, **given: object) -> CaseScore:
    return CaseScore(id=name, groups={}, values={}, **given)  # type: ignore[arg-type]


def test_what_is_put_on_a_shelf_comes_back_in_order(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    long, odd = rng.normal(size=3001), rng.normal(size=(400, 3)).astype(np.float32)
    colors, few = np.arange(9001, dtype=np.uint8), np.array([1.0, 2.0])
    with Shelf(tmp_path) as shelf:
        shelf.put(score("a", distances=long, arrays={"odd": odd, "few": few}))
        shelf.put(score("b"))
        shelf.put(score("c", distances=few, arrays={"colors": colors, "none": np.zeros((0, 3))}))
        a, b, c = shelf.scores()
    assert [s.id for s in (a, b, c)] == ["a", "b", "c"]
    assert np.array_equal(a.distances, long)
    assert np.array_equal(a.arrays["odd"], odd)
    assert a.arrays["odd"].dtype == np.float32
    assert np.array_equal(a.arrays["few"], few)
    assert b.distances is None
    assert np.array_equal(c.distances, few)
    assert np.array_equal(c.arrays["colors"], colors)
    assert c.arrays["none"].shape == (0, 3)
    with pytest.raises(ValueError, match="read-only"):
        a.distances[0] = 0.0
    assert list(tmp_path.iterdir()) == []


def test_thousands_of_scores_need_one_open_file(tmp_path: Path) -> None:
    with Shelf(tmp_path) as shelf:
        for i in range(1500):  # more than the files that a process may have open
            shelf.put(score(str(i), distances=np.full(512, float(i))))
        scores = shelf.scores()
    assert [s.distances[0] for s in scores] == list(range(1500))
    in_use = {target.name for target in _open_files() if str(tmp_path) in str(target)}
    assert len(in_use) <= 1


def test_an_evaluation_leaves_nothing_of_it_in_its_folder(toy) -> None:
    run(EvaluationTask(benchmark="toy", data=toy.data, predictions=toy.predictions, out=toy.out))
    names = {path.stem for path in (toy.out / "cases").iterdir()}
    assert names == {"ann", "bob", "cat", "dan"}


def _open_files() -> list[Path]:
    here = Path("/proc/self/fd")
    if not here.is_dir():
        return []
    return [path.readlink() for path in here.iterdir() if os.path.lexists(path)]
