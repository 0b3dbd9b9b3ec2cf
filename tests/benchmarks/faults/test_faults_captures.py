"""Captures with a mistake: the gate holds, and it fails where nothing or too much is said."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facekit.benchmarks.faults import captures
from facekit.benchmarks.faults.captures import capture_faults
from facekit.benchmarks.faults.mistakes import MISTAKES, Faulty, Mistake, Source, make_source
from facekit.capture.ingest import ingest
from facekit.capture.quality import check_quality

BY_NAME = {mistake.name: mistake for mistake in MISTAKES}


def _only(monkeypatch: pytest.MonkeyPatch, *mistakes: Mistake) -> None:
    monkeypatch.setattr(captures, "MISTAKES", mistakes)
    monkeypatch.setattr(captures, "SAMPLED", [mistake.name for mistake in mistakes])


def test_some_mistakes_are_named_and_nobody_else_is_accused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _only(monkeypatch, BY_NAME["exchanged"], BY_NAME["saved-again"], BY_NAME["lacks-3"])
    gate = capture_faults(tmp_path, full=False, seed=5)
    assert gate.passed, gate.failures
    assert (gate.cases, gate.kinds, gate.unnamed, gate.accused) == (3, 3, 0, 0)


def test_a_mistake_of_which_nothing_is_said_fails_the_gate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(_source: Source, _rng: np.random.Generator) -> Faulty:
        return Faulty(take="take2", names=("cam03",))

    _only(monkeypatch, Mistake(name="unseen", make=nothing))
    gate = capture_faults(tmp_path, full=False, seed=0)
    assert gate.failures == ("unseen: nothing is said of cam03 in take2",)


def test_a_sound_take_that_is_accused_fails_the_gate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def elsewhere(source: Source, rng: np.random.Generator) -> Faulty:
        return replace(BY_NAME["lacks-1"].make(source, rng), take="another")

    _only(monkeypatch, Mistake(name="astray", make=elsewhere))
    gate = capture_faults(tmp_path, full=False, seed=0)
    assert gate.accused and gate.unnamed


def test_the_photographs_themselves_are_sound(tmp_path: Path) -> None:
    source = make_source(tmp_path / "source", np.random.default_rng(1))
    result = ingest(source.folder, tmp_path / "session")
    assert result.ok and all(take.complete for take in result.session.takes)
    quality: dict[str, Any] = check_quality(result.session)
    assert not any(take["remarks"] for take in quality["takes"])
    assert len(result.session.takes) == 5 and len(result.session.cameras) == 9
