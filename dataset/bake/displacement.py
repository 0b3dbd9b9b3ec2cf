"""The displacement map: how far the scan lies from the registered surface, along its normal.

This module's `measure`: from each texel's point on M1, along M1's smooth unit normal (vertex
normals interpolated over the face), to the nearest hit on the scan, outward or inward; + is
outward. The point itself lies on M1's flat triangle, so that the map holds what
the triangles cut off as well as relief: point + displacement * normal is a point of the scan.
`bake.py` takes that part out again for maps from the curved M1.

FaceScape's definition, `facescape_displacement`: the scan less a smoothed scan, along the
smoothed scan's normal. It has relief alone, whatever the topology, but says nothing of where
the smooth surface is.
"""

from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ...core.arrays import Bools, Floats, Floats32
from ...core.geometry.mesh import vertex_normals
from ..meshgraph import mesh_graph, surface_normals, widely_smoothed
from ..register.registered import Registered, Scan
from .chart import LARGEST, Chart, chart
from .config import BakeConfig
from .curved import sagitta
from .displacement_kernels import judge, rays_of, remove_spikes
from .filling import filled
from .scansurface import ScanSurface

_RAYS_AT_ONCE = 1 << 20
_LEAST_KNOWN = 0.5  # of a texel's rays within the chart
_SPIKE_REACH = 2  # texels around one, whose median it is held against
_STEEPEST = 1.0  # of skin: what a texel's neighbour may differ by, in texels
_CORRELATION_MM = 5.0  # over which relief has little to do with itself
_SMOOTH_SHARE = 0.25  # of a squared edge: variance that one smoothing pass adds


class Measured(NamedTuple):
    """Displacement with its validity and uncertainty."""

    displacement: Floats32
    """(n, n) mm; holes are filled smoothly, outside of the chart 0."""
    valid: Bools
    """(n, n)."""
    sigma: Floats32
    """(n, n) mm; 0 outside of the chart."""


def measure(texels: Chart, vertices: Floats, surface: ScanSurface, config: BakeConfig) -> Measured:
    """Measure the displacement of a scan from M1.

    Parameters
    ----------
    vertices : (V, 3) mm, head frame
        M1 (`deformation.deformed`).
    """
    found = _found(texels, vertices, surface, config, values=surface.sigma)
    # holes continue the curved surface: the triangles' facets would show in their normals
    bend = sagitta(texels, vertices)
    smooth = _filled(texels, vertices, found[..., 0] - bend, found[..., 1], config)
    return smooth._replace(displacement=smooth.displacement + bend)


def facescape_displacement(
    registered: Registered,
    scan: Scan,
    vertices: Floats,
    config: BakeConfig,
) -> Measured:
    """Bake the scan less the smoothed scan, mm, into the chart of the registered topology.

    Parameters
    ----------
    vertices : (V, 3) mm, head frame
        M1, from which the scan is looked for.

    Source
    ------
    The maintainers' words in github.com/zhuhao-nju/facescape, issue 58; how smooth they do not
    say, so that `config.smooth_mm` stands here.
    """
    surface = ScanSurface.of(scan, registered, margin_mm=config.margin_mm)
    texels = chart(registered.model, config.displacement_size)
    relief = relief_over_smooth(surface, smooth_mm=config.smooth_mm)
    both = np.stack([relief, surface.sigma], axis=1)
    found = _found(texels, vertices, surface, config, values=both)
    relief_there = np.where(np.isfinite(found[..., 0]), found[..., 1], np.float32(np.nan))
    return _filled(texels, vertices, relief_there, found[..., 2], config)


def relief_over_smooth(surface: ScanSurface, *, smooth_mm: float) -> Floats32:
    """Return (S,) mm: how far each vertex of a scan stands out of the smoothed scan.

    Smoothing twice and adding back what it took once (2G - G²) keeps curvature: a Gaussian
    alone would flatten a nose by more than skin has relief.
    """
    graph = mesh_graph(surface.faces, len(surface.vertices))
    n_passes = max(1, round(smooth_mm**2 / (_SMOOTH_SHARE * surface.edge_mm**2)))
    center = surface.vertices.mean(axis=0)
    places = surface.vertices - center
    once = widely_smoothed(places, graph, n_passes=n_passes)
    smooth = center + once + widely_smoothed(places - once, graph, n_passes=n_passes)
    normals = surface_normals(smooth, surface.faces)
    return np.asarray(((surface.vertices - smooth) * normals).sum(axis=1), dtype=np.float32)


def _found(
    texels: Chart, vertices: Floats, surface: ScanSurface, config: BakeConfig, *, values: Floats32
) -> Floats32:
    """Return what `_cast` does without spikes, averaged where texels are coarser than the scan."""
    rays = _rays_a_side(texels, vertices, surface, config)
    fine = chart(texels.model, rays * texels.size)
    found = _cast(fine, vertices, surface, config, values=values)
    displacement = found[..., 0]
    valid = fine.inside & np.isfinite(displacement)
    displacement[_spikes(displacement, valid, fine.texel_mm(vertices), config)] = np.nan
    if rays == 1:
        return found
    known = valid & np.isfinite(displacement)
    found[~known] = 0
    n = texels.size
    weight = _block_sums(known, rays, n)
    within = _block_sums(fine.inside, rays, n)
    mean = np.empty((n, n, found.shape[2]), np.float32)
    for k in range(found.shape[2]):
        mean[..., k] = _block_sums(found[..., k], rays, n) / np.maximum(weight, 1)
    mean[~texels.inside | (weight < _LEAST_KNOWN * within), 0] = np.nan
    return mean


def _rays_a_side(texels: Chart, vertices: Floats, surface: ScanSurface, config: BakeConfig) -> int:
    """Return along how many places of a texel's side rays start: the scan's edges set it."""
    side = float(np.median(texels.texel_mm(vertices)[texels.inside]))
    most = min(config.oversampling, LARGEST // texels.size)
    return int(np.clip(round(side / max(surface.edge_mm, 1e-6)), 1, most))


def _block_sums(image: Floats32 | Bools, rays: int, n: int) -> Floats32:
    """Return (n, n) the sums over blocks of rays x rays."""
    blocks = image.reshape(n, rays, n, rays)
    return np.asarray(blocks.sum(axis=(1, 3), dtype=np.float32))


def _cast(
    texels: Chart, vertices: Floats, surface: ScanSurface, config: BakeConfig, *, values: Floats32
) -> Floats32:
    """Return (n, n, 1 + k): displacement, NaN where nothing sound is hit, and `values` there.

    `values` (S,) or (S, k); of sigma, the last column, the part along the ray: a surface known
    to sigma along its own normal is known to sigma / cos along a ray that meets it aslant.
    """
    table = np.column_stack([values, surface.usable]).astype(np.float32)
    model = texels.model
    normals = vertex_normals(vertices, model.faces)
    out = np.zeros((texels.size, texels.size, table.shape[1]), np.float32)
    flat = out.reshape(-1, table.shape[1])
    least_cosine = np.cos(np.radians(config.most_turned_deg))
    for index in _chunks(texels):
        origins = np.empty((len(index), 3), np.float32)
        rays = np.empty_like(origins)
        rays_of(index, texels.face.ravel(), texels.weights.reshape(-1, 2), model.faces,
                vertices.astype(np.float32), normals.astype(np.float32), origins, rays)  # fmt: skip
        ahead, behind = surface.query.cast(origins, rays), surface.query.cast(origins, -rays)
        judge(index, rays, ahead.distance, ahead.face, ahead.uv,
              behind.distance, behind.face, behind.uv, surface.faces, surface.normals, table,
              config.reach_mm, least_cosine, flat)  # fmt: skip
    return out


def _chunks(texels: Chart) -> Iterator[NDArray[np.int64]]:
    """Yield flat indices of the texels inside, `_RAYS_AT_ONCE` at most, row after row."""
    index = np.flatnonzero(texels.face.ravel() >= 0)
    for start in range(0, len(index), _RAYS_AT_ONCE):
        yield index[start : start + _RAYS_AT_ONCE]


def _filled(
    texels: Chart, vertices: Floats, displacement: Floats32, sigma: Floats32, config: BakeConfig
) -> Measured:
    """Fill holes, and say how little is known there."""
    inside = texels.inside
    valid = inside & np.isfinite(displacement) & (sigma <= config.most_sigma_mm)
    values = np.where(valid, displacement, np.float32(0))
    sigma = np.where(valid, sigma, np.float32(0))
    if not valid.any():
        return Measured(values, valid, np.where(inside, np.float32(config.reach_mm), sigma))
    values = filled(values, valid, inside)
    variance = filled(sigma**2, valid, inside)
    hole = inside & ~valid
    away = np.asarray(cv2.distanceTransform((~valid).astype(np.uint8), cv2.DIST_L2, 5), np.float32)
    away = away[hole] * texels.texel_mm(vertices)[hole]
    spread = float(np.median(np.abs(values[valid] - np.median(values[valid])))) * 1.4826
    # two places of a surface whose relief is correlated over some millimetres differ by this
    variance[hole] += 2 * spread**2 * (1 - np.exp(-away / _CORRELATION_MM))
    return Measured(values, valid, np.sqrt(variance))


def _spikes(values: Floats32, valid: Bools, texel_mm: Floats32, config: BakeConfig) -> Bools:
    """Tell (n, n) what departs too far from the median of the valid texels around it."""
    most = (config.spike_mm + _STEEPEST * texel_mm).astype(np.float32)
    kernel = np.ones((2 * _SPIKE_REACH + 1,) * 2, np.uint8)
    far = np.float32(1e6)
    low = cv2.erode(np.where(valid, values, far), kernel)
    high = cv2.dilate(np.where(valid, values, -far), kernel)
    rough = valid & (np.maximum(values - low, high - values) > most)
    spike = np.zeros_like(valid)
    remove_spikes(values, valid, np.flatnonzero(rough), most, _SPIKE_REACH, spike)
    return spike
