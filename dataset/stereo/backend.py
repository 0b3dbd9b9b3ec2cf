"""Who runs the heavy loops of stereo: numba on the processor, or torch on CUDA.

Both are one algorithm. From one mesh, their sweeps differ by some 1e-5 of a pixel footprint.
PatchMatch passes on what rounding tips, so that whole builds differ by a fifth of the surface's
standard deviation, less than with another seed; neither is the better one. torch is imported
only when CUDA is chosen.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from ...core.devices import Device
from ...core.errors import EstimationError
from ...core.geometry.mesh import Mesh
from .packed import PackedImages
from .patchmatch import Matcher, match_view
from .sweep import SweepConfig, Swept, sweep_surface
from .views import View
from .visibility import Visible

_T = TypeVar("_T")


class Sweeper(Protocol):
    """As `sweep.sweep_surface`."""

    def __call__(
        self, mesh: Mesh, views: list[View], config: SweepConfig, *,
        visible: Visible | None = None, images: PackedImages | None = None,
    ) -> Swept:  # fmt: skip
        """Measure all vertices and move them."""


@dataclass(frozen=True, kw_only=True)
class Backend:
    """The heavy loops."""

    match_view: Matcher
    sweep_surface: Sweeper


def backend_of(device: Device) -> Backend:
    """Return the loops for `CPU` or `CUDA`, as `core.devices.chosen_device` gives them.

    Those for CUDA raise EstimationError when the device's memory runs out.
    """
    if device is not Device.CUDA:
        return Backend(match_view=match_view, sweep_surface=sweep_surface)
    from . import torch_patchmatch, torch_sweep

    return Backend(
        match_view=_on_cuda(torch_patchmatch.match_view),
        sweep_surface=_on_cuda(torch_sweep.sweep_surface),
    )


def _on_cuda(loop: Callable[..., _T]) -> Callable[..., _T]:
    """Return a torch loop for CUDA, which says in a sentence when its memory runs out."""
    import torch

    @functools.wraps(loop)
    def on_cuda(*given: Any, **named: Any) -> _T:
        try:
            return loop(*given, **named, device="cuda")
        except torch.OutOfMemoryError:
            raise EstimationError(
                "the GPU's memory ran out; choose device cpu, or ask for fewer megapixels"
            ) from None

    return on_cuda
