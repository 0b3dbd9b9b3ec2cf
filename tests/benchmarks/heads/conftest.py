"""Virtual people on disk, coarser than the benchmark draws them, for all tests of it."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from facekit.benchmarks import face_distance
from facekit.benchmarks.heads import relief, subjects
from facekit.benchmarks.heads.settings import HeadsConfig
from facekit.benchmarks.heads.truth import TrueHead, load_truth

SETTINGS = {"subjects": "1", "heads": "builtin", "layout": "pair", "megapixels": "0.03"}
FINEST_MM = 1.2


@dataclass(frozen=True)
class Made:
    """One person's data."""

    data: Path
    config: HeadsConfig
    name: str
    true: TrueHead


@pytest.fixture(autouse=True)
def coarser(monkeypatch: pytest.MonkeyPatch) -> None:
    """Score at fewer points, and draw with larger triangles."""
    monkeypatch.setattr(face_distance, "_N_POINTS", 1500)
    monkeypatch.setattr(relief, "STEP_MM", 0.5)
    monkeypatch.setattr(subjects, "_FINEST_MM", FINEST_MM)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Give one person, photographed alone and by two cameras."""
    data = tmp_path_factory.mktemp("virtual")
    config = HeadsConfig(subjects=1, heads=("builtin",), layout="pair", megapixels=0.03)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subjects, "_FINEST_MM", FINEST_MM)
        subjects.make_heads(data, config)
    name = subjects.people_in(data)[0].name
    files = subjects.truth_files(data, name)
    return Made(data=data, config=config, name=name, true=load_truth(files))
