"""Fixtures of the tests of trainings."""

import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Give the toy training; worker processes can import it, too."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    return importlib.import_module("toytraining")


@pytest.fixture
def trained(toy: ModuleType) -> Callable[..., Any]:
    """Give a function that trains the toy in a folder, with settings of loop and toy."""
    return toy.trained


@pytest.fixture
def in_processes(toy: ModuleType) -> Callable[..., list[Any]]:
    """Give a function that lets a fresh process, forking others, carry out plans."""

    def carry_out(*plans: tuple[str, dict[str, Any]]) -> list[Any]:
        command = [sys.executable, toy.__file__, json.dumps(plans)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout)

    return carry_out
