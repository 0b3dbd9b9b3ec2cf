"""A recognition network of the user's, for the perceptual term. None comes with the package."""

import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from ...core.errors import ModelFileError
from ..losses import RECOGNITION_PX


def load_recognition(path: Path, *, device: torch.device | str = "cpu") -> nn.Module:
    """Load a network (B, 3, 112, 112) RGB in -1..1 -> (B, n) features, as TorchScript.

    A TorchScript file is a program: name only files from people you trust. Make one of your own
    network with `torch.jit.trace(network, torch.zeros(1, 3, 112, 112)).save(path)`. It stays
    frozen.

    Raises
    ------
    ModelFileError
        The file is absent, no TorchScript, or does not answer a picture with one row of features.
    """
    if not path.is_file():
        raise ModelFileError(f"{path}: no such file; give a recognition network as TorchScript")
    try:
        with warnings.catch_warnings():  # newer torch would rather have another format
            warnings.simplefilter("ignore", DeprecationWarning)
            network: nn.Module = torch.jit.load(str(path), map_location=device)
        network.eval()
        for parameter in network.parameters():
            parameter.requires_grad_(False)
        with torch.no_grad():
            answer = network(torch.zeros(1, 3, RECOGNITION_PX, RECOGNITION_PX, device=device))
    except (RuntimeError, ValueError, OSError) as error:
        said = str(error).strip().split("\n")[0][:120]
        raise ModelFileError(
            f"{path}: not a recognition network as TorchScript ({said}); save one with torch.jit"
        ) from error
    if not isinstance(answer, Tensor) or answer.ndim != 2 or len(answer) != 1:
        raise ModelFileError(f"{path}: its answer to a picture is not one row of features")
    return network


Recognise = Callable[[Tensor], Tensor]
