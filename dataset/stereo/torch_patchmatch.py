"""PatchMatch stereo on a torch device: `patchmatch.py` says what it does, this is its twin."""

import torch

from ...core.arrays import Ints
from .patchmatch import BLIND, DepthMap, MatchingTask, Search, depth_map, matching_task
from .patchmatch_kernels import UNKNOWN_PAIR
from .torch_patchmatch_cost import TorchTask
from .torch_patchmatch_kernels import Found, initialise, propagate
from .views import View

_PIXELS_AT_ONCE = {"cpu": 1 << 13}
_MOST_PIXELS = 1 << 18  # 32 samples each, some 100 bytes a sample: 0.9 GB


def match_view(
    views: list[View], reference: int, sources: Ints, limits: tuple[float, float], *,
    start: DepthMap | None = None, search: Search = BLIND, seed: int = 0, device: str = "cuda",
) -> DepthMap:  # fmt: skip
    """Find the depth of every masked pixel, as `patchmatch.match_view` does, on a torch device.

    Planes are offered in the same order and random ones come from the same hashes; a pixel ends
    with another plane only where rounding tips the comparison of two.
    """
    task = matching_task(views, reference, sources, limits, start=start)
    where = torch.device(device)
    given = _on_device(task, where)
    found = Found(
        plane=torch.from_numpy(task.plane).to(where, copy=True),
        cost=torch.from_numpy(task.cost).to(where, copy=True),
        pair=torch.full(task.cost.shape, UNKNOWN_PAIR, device=where),
    )
    at_once = _PIXELS_AT_ONCE.get(where.type, _MOST_PIXELS)
    for part in torch.from_numpy(task.pixels).to(where).split(at_once):
        initialise(given, part, found, n_random=search.n_random, seed=seed)
    colours = [torch.from_numpy(pixels).to(where) for pixels in task.colours()]
    for sweep in range(search.n_sweeps):
        for colour in colours:
            for part in colour.split(at_once):
                propagate(
                    given, part, found,
                    n_regions=search.n_regions, seed=seed, sweep=sweep,
                    spread=search.spread_of(sweep),
                )  # fmt: skip
    return depth_map(found.plane.cpu().numpy(), found.cost.cpu().numpy())


def _on_device(task: MatchingTask, device: torch.device) -> TorchTask:
    return TorchTask(
        padded=torch.from_numpy(task.padded).to(device),
        images=torch.from_numpy(task.images).to(device).reshape(-1),
        width=task.images.shape[2],
        sizes=torch.from_numpy(task.sizes).to(device).long(),
        A=torch.from_numpy(task.A).to(device),
        b=torch.from_numpy(task.b).to(device),
        K_inverse=torch.from_numpy(task.K_inverse).to(device),
        scale=(float(task.scale[0]), float(task.scale[1])),
        near=task.near,
        far=task.far,
    )
