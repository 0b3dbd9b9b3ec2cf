"""Flipped bits are found; and the judge sees it where they are not."""

from pathlib import Path

import pytest

from facekit.benchmarks.faults import bitflips
from facekit.benchmarks.faults.bitflips import flip_bits
from facekit.benchmarks.faults.lab import PEOPLE, make_dataset, make_lab
from facekit.core.files import sha256_file


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Give a dataset and a session."""
    folder = tmp_path_factory.mktemp("flips")
    (build,) = make_lab(folder, people=PEOPLE[:1])
    make_dataset([build], folder / "data")
    return folder / "data", build.parent / "session"


def test_every_flip_is_found_and_flipped_back(lab: tuple[Path, Path]) -> None:
    data, session = lab
    before = {path: sha256_file(path) for path in data.rglob("*") if path.is_file()}
    found = flip_bits(data, session, counts=(25, 10), seed=4)
    assert found.failures == ()
    assert found.passed
    assert found.figures() == {"flips": 35, "originals": 10, "missed": 0, "silent": 0}
    assert {path: sha256_file(path) for path in before} == before


def test_a_verification_that_finds_nothing_is_seen(
    lab: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bitflips, "verify_dataset", lambda *_, **__: None)
    monkeypatch.setattr(bitflips, "verify_session", lambda *_, **__: None)
    found = flip_bits(*lab, counts=(3, 2), seed=4)
    assert (found.missed, found.passed) == (5, False)
