"""Shared fixtures, and the guards that the layout needs."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import facekit

SHARED = Path(__file__).resolve().parents[2] / "shared"


class RootIsNoTestPackage:
    """Collect the repository root as a plain folder.

    The root holds ``__init__.py`` (it *is* the package ``facekit``); without this, pytest
    imports that file a second time under the name of the checkout folder.
    """

    @pytest.hookimpl(tryfirst=True)
    def pytest_collect_directory(self, path: Path, parent: pytest.Collector) -> pytest.Dir | None:
        if path == parent.config.rootpath:
            return pytest.Dir.from_parent(parent, path=path)
        return None


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(RootIsNoTestPackage())
    imported = Path(facekit.__file__).resolve().parent
    if imported != config.rootpath and "FACEKIT_TEST_INSTALLED" not in os.environ:
        raise pytest.UsageError(f"facekit is imported from {imported}, not from this checkout")


@pytest.fixture
def rng() -> np.random.Generator:
    """Give a generator with a fixed seed."""
    return np.random.default_rng(20260101)


def _shared(part: str) -> Path:
    folder = SHARED / part
    if not folder.is_dir():
        pytest.skip(f"the development data ../shared/{part} is not here")
    return folder


@pytest.fixture(scope="session")
def registered_on() -> Callable[..., Any]:
    """Give a maker of registrations: a model's mean as it stands, or with other fields."""
    from facekit.core.geometry.transform import Similarity
    from facekit.dataset.register.registered import Registered

    def make(model: Any, **changes: Any) -> Registered:
        n = model.n_vertices
        fields = {
            "world_from_head": Similarity(scale=1.0, R=np.eye(3), t=np.zeros(3)),
            "identity": np.zeros(model.n_identity),
            "expression": np.zeros(model.n_expression),
            "offset": np.zeros((n, 3)),
            "support": np.ones(n, np.float32),
            "residual": np.zeros(n, np.float32),
        }
        return Registered(model=model, **(fields | changes))

    return make


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Give the real photographs and models that developers have; skip where absent."""
    return _shared("data")


@pytest.fixture(scope="session")
def shared_fixtures() -> Path:
    """Give parity cases with official outputs; skip where absent."""
    return _shared("fixtures")


@pytest.fixture(scope="session")
def shared_tools() -> Path:
    """Give the scenes and metrics that methods were chosen by; skip where absent."""
    return _shared("tools")
