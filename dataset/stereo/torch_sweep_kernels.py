"""The loops of the surface sweep as torch operations; `sweep_kernels.py` is their compiled twin.

The same linearised projections, the same samples, the same sums: results differ by rounding.
Vertices are taken in parts, so that memory stays bounded; arrays are (view, sample, vertex).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from .packed import PackedImages
from .sweep_kernels import FULL, LEAST_SQUARE, REACH
from .torch_mesh import SumsOver

_SAMPLES_AT_ONCE = {"cpu": 1 << 19}  # some 80 bytes each; a processor's caches like few
_MOST_SAMPLES = 1 << 23  # 0.7 GB, enough to keep a GPU busy


@dataclass(frozen=True, kw_only=True)
class TorchImages:
    """Grey images one after the other, as `PackedImages` has them, unpacked."""

    grey: Tensor
    """(N,) float32 in [0, 65535]."""
    starts: Tensor
    """(n,) int64: place of each image's first pixel."""
    sizes: Tensor
    """(n, 2) int64: height, width."""

    @staticmethod
    def of(images: PackedImages, device: torch.device) -> "TorchImages":
        """Unpack the words' lower halves on the device."""
        words = torch.from_numpy(images.words.copy()).to(device)
        return TorchImages(
            grey=(words & FULL).float(),
            starts=torch.from_numpy(images.starts).to(device),
            sizes=torch.from_numpy(images.sizes).to(device),
        )


@dataclass(frozen=True, kw_only=True)
class _Places:
    """Where vertices lie in their views, linearised; see `sweep_kernels._project`."""

    begin: Tensor
    """(M, N) int64: the place that offsets count from; 0 where unused."""
    width: Tensor
    """(M, N) int64 of the image."""
    geometry: Tensor
    """(9, M, 1, N) float32; 0 where unused."""
    inside: Tensor
    """(M, N) bool: the patch lies in the image at every step."""


def score_profiles(
    rows: Tensor, vertices: Tensor, normals: Tensor, footprint: Tensor, chosen: Tensor,
    images: TorchImages, P: Tensor, steps: Tensor, grid: Tensor,
) -> Tensor:  # fmt: skip
    """Return (V, n) agreement of the views at `steps` (n,) footprints; -1 but in `rows`.

    Parameters
    ----------
    rows : (R,) int64
    vertices, normals : (V, 3) float64, float32
    footprint : (V,) float64
    chosen : (V, M) int64
        Views of each vertex; -1 is none.
    P : (n_views, 3, 4) float64
    grid : (4, S) float32
        As of `sweep.patch_grid`.
    """
    profile = torch.full((len(vertices), len(steps)), -1.0, device=vertices.device)
    most = _SAMPLES_AT_ONCE.get(vertices.device.type, _MOST_SAMPLES)
    for part in rows.split(max(1, most // (chosen.shape[1] * grid.shape[1]))):
        places = _project(
            vertices[part], normals[part].double(), footprint[part], chosen[part].T, images, P,
            reach=steps.max(), radius=grid[0].max(),
        )  # fmt: skip
        for i in range(len(steps)):
            patches, used, scale = _compare(_samples(images.grey, places, steps[i], grid), grid)
            profile[part, i] = _best_triples(patches, used & places.inside, scale)
    return profile


def _project(
    vertices: Tensor, normals: Tensor, size: Tensor, chosen: Tensor, images: TorchImages,
    P: Tensor, *, reach: Tensor, radius: Tensor,
) -> _Places:  # fmt: skip
    up = torch.zeros_like(normals)
    level = normals[:, 1].abs() < 0.9
    up[:, 1], up[:, 0] = level.double(), -(~level).double()
    tangent = torch.linalg.cross(up, normals)
    tangent = tangent / (tangent.norm(dim=1, keepdim=True) + 1e-30)
    other = torch.linalg.cross(normals, tangent)
    view = chosen.clamp(min=0)
    projection = P[view]  # (M, N, 3, 4)

    def turned(x: Tensor) -> Tensor:
        return (projection[..., :3] * x[:, None]).sum(-1)

    at = turned(vertices) + projection[..., 3]
    w = at[..., 2]
    u, v = at[..., 0] / w, at[..., 1] / w
    s = size / w
    changes = []
    for direction in (normals, tangent, other):
        d = turned(direction)
        changes += [s * (d[..., 0] - u * d[..., 2]), s * (d[..., 1] - v * d[..., 2])]
    un, vn, ut, vt, ub, vb = changes
    reach_u = radius * (ut.abs() + ub.abs()) + reach * un.abs() + 2.0
    reach_v = radius * (vt.abs() + vb.abs()) + reach * vn.abs() + 2.0
    height, width = images.sizes[view, 0], images.sizes[view, 1]
    inside = (chosen >= 0) & (w > 0)
    inside &= reach_u < torch.minimum(u, width - u).clamp(max=float(REACH))
    inside &= reach_v < torch.minimum(v, height - v).clamp(max=float(REACH))
    col, row = (torch.where(inside, x - 0.5, 0.0).long() for x in (u, v))
    along = s * turned(normals)[..., 2]
    geometry = torch.stack(
        [u - 0.5 - col + REACH, v - 0.5 - row + REACH, un, vn, ut, vt, ub, vb, along]
    )
    begin = images.starts[view] + (row - REACH) * width + col - REACH
    return _Places(
        begin=torch.where(inside, begin, 0),
        width=torch.where(inside, width, 0),
        geometry=torch.where(inside, geometry, 0.0).float()[:, :, None],
        inside=inside,
    )


def _samples(grey: Tensor, places: _Places, step: Tensor, grid: Tensor) -> Tensor:
    """Return (M, S, N) the patches at `step` footprints along the normals, bilinear."""
    u0, v0, un, vn, ut, vt, ub, vb, depth = places.geometry
    a, b = grid[0][:, None], grid[1][:, None]
    along = step / (1 + step * depth)
    u = (u0 + along * un) + a * ut + b * ub
    v = (v0 + along * vn) + a * vt + b * vb
    col, row = u.long(), v.long()
    u -= col
    v -= row
    width = places.width[:, None]
    at = row.mul_(width).add_(col).add_(places.begin[:, None])
    above = torch.lerp(grey[at], grey[at + 1], u)
    at += width
    below = torch.lerp(grey[at], grey[at + 1], u)
    return above.lerp_(below, v)


def _compare(values: Tensor, grid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return patches times roots of weights, of weighted mean zero; texture; 1 / deviation."""
    mean = (grid[2][:, None] * values).sum(1, keepdim=True)
    patches = values.sub_(mean).mul_(grid[3][:, None])
    square = (patches * patches).sum(1)
    textured = square > LEAST_SQUARE
    return patches, textured, torch.where(textured, square, 1.0).rsqrt()


def _best_triples(patches: Tensor, used: Tensor, scale: Tensor) -> Tensor:
    """Return (N,) the best mean of a view's two best NCC with others; -1 of fewer than two."""
    first, second = torch.full((2, *used.shape), -1.0, device=used.device)
    for c in range(1, len(patches)):
        for e in range(c):
            ncc = (patches[c] * patches[e]).sum(0) * scale[c] * scale[e]
            ncc = torch.where(used[c] & used[e], ncc, -1.0)
            for k in (c, e):
                second[k] = torch.maximum(torch.minimum(ncc, first[k]), second[k])
                first[k] = torch.maximum(ncc, first[k])
    pair = used.sum(0) < 3
    best = torch.where(pair, first, 0.5 * (first + second))
    return best.amax(0)


def smooth_profiles(profile: Tensor, around: SumsOver, *, n_passes: int) -> Tensor:
    """Return (V, n): each profile blended with its neighbours', 0.4 to 0.6; -1 is unmeasured."""
    for _ in range(n_passes):
        known = profile > -1
        total = around(torch.where(known, profile, 0.0))
        count = around(known.float())
        blended = 0.4 * profile + 0.6 * (total / count.clamp(min=1e-6))
        profile = torch.where(known, blended, -1.0)
    return profile


def tops_of(profile: Tensor) -> Tensor:
    """Return (V,) int64 place of the first of each profile's largest values."""
    top = torch.zeros(len(profile), dtype=torch.int64, device=profile.device)
    largest = profile[:, 0]
    for k in range(1, profile.shape[1]):  # argmax may take any of several equals
        better = profile[:, k] > largest
        largest = torch.where(better, profile[:, k], largest)
        top[better] = k
    return top


def find_peaks(
    profile: Tensor, tops: Tensor, *, least_score: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return (V,) offsets in steps from the middle, scores, curvatures per squared step.

    The score is -1, the others 0, where nothing was measured.
    """
    n = profile.shape[1]

    def value(at: Tensor) -> Tensor:
        return profile.gather(1, at[:, None])[:, 0]

    top = tops.clamp(1, n - 2)
    near = top - 1
    for k in (top, top + 1):
        near = torch.where(value(k) > value(near), k, near)
    near = near.clamp(1, n - 2)
    left, mid, right = value(near - 1), value(near), value(near + 1)
    good = (tops > 0) & (tops < n - 1) & (mid > least_score) & (left > -1) & (right > -1)
    bend = 2 * mid - left - right
    shift = torch.where(bend > 1e-6, 0.5 * (right - left) / bend.clamp(min=1e-6), 0.0)
    offset = near - n // 2 + shift.clamp(-0.75, 0.75)
    return (
        torch.where(good, offset, 0.0),
        torch.where(good, mid, -1.0),
        torch.where(good, bend.clamp(min=0), 0.0),
    )
