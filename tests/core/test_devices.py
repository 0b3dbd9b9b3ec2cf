"""Device choice: CUDA where it is, a clear sentence where it is not."""

import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from facekit.core import devices
from facekit.core.devices import Device, chosen_device, require
from facekit.core.errors import MissingDependencyError


def torch_like(*, cuda: bool, built_with: str | None, broken: bool = False) -> SimpleNamespace:
    def ones(*_, **__):
        if broken:
            raise RuntimeError("CUDA error: no kernel image is available\nCompile with ...")
        return torch.ones(1)

    return SimpleNamespace(
        ones=ones,
        __version__="9.9",
        cuda=SimpleNamespace(is_available=lambda: cuda),
        version=SimpleNamespace(cuda=built_with),
    )


@pytest.fixture
def machine(monkeypatch):
    """Give a function that makes this machine another one."""

    def make(*, driver: bool, torch: object) -> None:
        monkeypatch.setattr(devices, "_driver_is_here", lambda: driver)
        monkeypatch.setitem(sys.modules, "torch", torch)

    return make


def test_cpu_is_cpu_everywhere(machine):
    for cuda in (True, False):
        machine(driver=True, torch=torch_like(cuda=cuda, built_with="12.8"))
        assert chosen_device(Device.CPU) is Device.CPU


def test_cuda_is_taken_where_torch_finds_it(machine):
    machine(driver=True, torch=torch_like(cuda=True, built_with="12.8"))
    assert chosen_device(Device.AUTO) is Device.CUDA
    assert chosen_device(Device.CUDA) is Device.CUDA


@pytest.mark.parametrize(
    ("fake", "reason"),
    [
        (torch_like(cuda=False, built_with=None), "the installed torch 9.9 is built without CUDA"),
        (torch_like(cuda=False, built_with="12.8"), "torch 9.9 finds no CUDA device"),
        (
            torch_like(cuda=True, built_with="12.8", broken=True),
            "torch 9.9 cannot use the CUDA device (CUDA error: no kernel image is available)",
        ),
        (None, "torch is not installed"),
    ],
)
def test_without_cuda_auto_is_cpu_and_cuda_is_refused_in_one_sentence(machine, fake, reason):
    machine(driver=True, torch=fake)
    assert chosen_device(Device.AUTO) is Device.CPU
    with pytest.raises(MissingDependencyError) as error:
        chosen_device(Device.CUDA)
    assert str(error.value).startswith(f"device cuda: {reason}")
    assert "choose device cpu or auto" in str(error.value)
    assert "\n" not in str(error.value)
    assert error.value.exit_code == 4


def test_where_no_driver_is_torch_is_not_even_loaded():
    code = (
        "import sys; from facekit.core import devices; devices._driver_is_here = lambda: False; "
        "devices.chosen_device(devices.Device.AUTO); "
        "import facekit.dataset.take, facekit.dataset.build; "
        "from facekit.dataset.stereo.backend import backend_of; backend_of(devices.Device.CPU); "
        "print('torch' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd="/")
    assert answer.stdout.strip() == "False", answer.stderr


def test_driver_is_looked_for_by_its_library(monkeypatch):
    asked = []

    def load(name):
        asked.append(name)
        raise OSError

    monkeypatch.setattr(devices.ctypes, "CDLL", load)
    assert not devices._driver_is_here()
    monkeypatch.setattr(devices.sys, "platform", "win32")
    assert not devices._driver_is_here()
    assert asked == ["libcuda.so.1", "nvcuda.dll"]


def test_a_missing_package_is_named_with_its_extra():
    with pytest.raises(MissingDependencyError, match=r"pip install 'facekit\[raw\]'"):
        require("no_such_package", extra="raw")
