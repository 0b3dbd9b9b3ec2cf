"""Small takes are real takes: no two alike, and a surface near the true one comes of each."""

from pathlib import Path

import numpy as np
import pytest

from facekit.benchmarks.mesh_accuracy import TrueSurface, mesh_error
from facekit.benchmarks.perf.smalltakes import (
    STUDIO,
    SmallTakes,
    SmallTakesConfig,
    small_takes,
    take_names,
)
from facekit.capture.session import load_session
from facekit.capture.virtual.truth import load_truth
from facekit.core.errors import ConfigError, EstimationError
from facekit.core.geometry.meshio import load_mesh
from facekit.dataset.build import build_take


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("small")


@pytest.fixture(scope="module")
def takes(folder: Path) -> SmallTakes:
    return small_takes(folder, 4, SmallTakesConfig(), blank=["take_0001"])


def test_no_two_takes_are_the_same(takes: SmallTakes) -> None:
    hashes = [shot.sha256 for take in takes.session.takes for shot in take.shots]
    assert len(set(hashes)) == len(hashes) - 1  # the blank one's two photographs are the same


def test_a_session_grows_without_a_change_to_what_is_there(folder: Path, takes: SmallTakes) -> None:
    grown = small_takes(folder, 6, SmallTakesConfig(), blank=["take_0001"])
    assert [take.id for take in grown.session.takes] == take_names(6)
    assert grown.session.takes[:4] == takes.session.takes
    assert load_session(grown.session.folder).takes == grown.session.takes


def test_a_small_take_has_the_surface_that_its_pixels_allow(
    takes: SmallTakes, tmp_path: Path, rng: np.random.Generator
) -> None:
    take = takes.session.takes[0]
    build_take(takes.session, take, takes.rig, tmp_path, takes.build)
    truth = load_truth(takes.session.folder.parent / STUDIO)
    error = mesh_error(
        load_mesh(tmp_path / "mesh.ply"), TrueSurface(truth.mesh("neutral"), rig=truth.rig), rng=rng
    )
    # a pixel is 2.4 mm on the face; two cameras 22 degrees apart
    assert error.median_mm < 1.2


def test_of_a_blank_take_no_surface_can_be_made(takes: SmallTakes, tmp_path: Path) -> None:
    with pytest.raises(EstimationError, match="no depth"):
        build_take(takes.session, takes.session.takes[1], takes.rig, tmp_path, takes.build)


def test_a_session_needs_a_take(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="takes: 0"):
        small_takes(tmp_path, 0, SmallTakesConfig())
