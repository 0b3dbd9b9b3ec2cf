"""Device choice, and optional packages: found, or named with the extra that brings them."""

import ctypes
import importlib
import sys
from enum import StrEnum
from types import ModuleType

from .errors import MissingDependencyError


class Device(StrEnum):
    """Where heavy loops run."""

    AUTO = "auto"
    """On CUDA where there is a device, else on the processor."""
    CPU = "cpu"
    CUDA = "cuda"


def chosen_device(wanted: Device) -> Device:
    """Return `CPU` or `CUDA`.

    torch is not imported where no NVIDIA driver is installed: that takes seconds.

    Raises
    ------
    MissingDependencyError
        CUDA is wanted, and torch finds none.
    """
    if wanted is Device.CPU:
        return Device.CPU
    if wanted is Device.AUTO:
        return Device.CUDA if _driver_is_here() and not _why_no_cuda() else Device.CPU
    reason = _why_no_cuda()
    if reason:
        raise MissingDependencyError(
            f"device cuda: {reason}; choose device cpu or auto, or install an NVIDIA driver and "
            "a CUDA build of torch (https://pytorch.org)"
        )
    return Device.CUDA


def require(module: str, *, extra: str) -> ModuleType:
    """Import an optional package, or say which extra brings it.

    Raises
    ------
    MissingDependencyError
        The package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingDependencyError(
            f"{module} is not installed; run: pip install 'facekit[{extra}]'"
        ) from error


def _driver_is_here() -> bool:
    name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def _why_no_cuda() -> str | None:
    """Return why torch cannot use CUDA; None where it can."""
    try:
        import torch
    except ImportError:
        return "torch is not installed"
    if torch.version.cuda is None:
        return f"the installed torch {torch.__version__} is built without CUDA"
    if not torch.cuda.is_available():
        return f"torch {torch.__version__} finds no CUDA device on this machine"
    try:  # a device may be too old or too new for this torch, or another program's alone
        torch.ones(1, device="cuda").add(1).cpu()
    except RuntimeError as error:
        first_line = str(error).partition("\n")[0]
        return f"torch {torch.__version__} cannot use the CUDA device ({first_line})"
    return None
