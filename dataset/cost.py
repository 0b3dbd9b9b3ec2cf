"""What a take's mesh will cost, told before the work: processor time and memory.

Three times, each nearer: from the number and size of the photographs alone, for a subject that
fills them; once they are loaded and their masks say how large it is; and before the finest
sweep, which is most of the work, from the mesh that there is by then and from what the sweep
before it took on this very machine.

Almost all of it is in proportion to the mesh's vertices, hence to the pixels on the subject.
Fitted to heads of one to six megapixels before five to sixteen cameras; AVX-512, processors of
2 GHz. Other machines differ in processor time; the last forecast measures by how much.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..core.arrays import Floats
from ..core.geometry.camera import Camera
from .stereo.views import focus_point

_START_S = 2.5  # the start mesh, at a fixed small size
_FIRST_DEPTH_S = 0.5  # per view, at a fixed small size
_VIEW_S = 0.11  # per view and megapixel: decoding, lens, masks, judging the views
_HALVING_S, _COLOURING_S = 0.03, 0.05  # of that: before a coarser sweep, and in the finest
_FINEST_US = (1.7, 2.9)  # per vertex at the finest scale, and per view that judges it
_COARSE_US = (3.0, 2.0)  # at the scales before
_COARSER = 1 / 3  # vertices of all scales before the finest, of its own
_FINEST_VIEWS, _COARSE_VIEWS = 7, 5  # that judge a vertex, at most

_LIBRARIES_GB = 0.5
_LOADED_BYTES = 8.0  # per pixel: grey, colour, mask
_PACKED_BYTES = 4.0  # per pixel, while the mesh is swept
_MASK_BYTES = 1.0
_VERTEX_BYTES = 221.0  # of the finest mesh, with its triangles and all that is known of both

_EDGE_PX = 1.3
_STEEPEST_DEG = 72.5  # at which a view still measures
_FULL = 0.57  # of the pixels: the subject that fills the photographs
_FINER = 3.95  # vertices of a mesh by those of the mesh that it is divided from


@dataclass(frozen=True, kw_only=True)
class Cost:
    """An estimate, good to a quarter."""

    cpu_s: float
    """Processor seconds, of all cores together."""
    gb: float
    """Peak of resident memory."""
    vertices: int
    """Of the finest mesh."""

    def __str__(self) -> str:
        return (
            f"about {self.vertices / 1e6:.2g} million vertices, "
            f"{self.cpu_s:.0f} processor seconds and {self.gb:.1f} GB"
        )

    def record(self) -> dict[str, float]:
        """Return the figures, JSON-able."""
        return {
            "cpu_s": round(self.cpu_s, 1), "gb": round(self.gb, 2), "vertices": self.vertices,
        }  # fmt: skip


def expected_cost(
    cameras: Sequence[Camera], megapixels: float, *,
    vertices: float | None = None, most_kept: float = np.inf,
) -> Cost:  # fmt: skip
    """Return what a take costs at `megapixels` a photograph.

    Parameters
    ----------
    vertices : float, optional
        Of the finest mesh, as far as known; those of a head that fills the frame by default.
    most_kept : float
        Pixels of all photographs together that stay in memory; more are read twice again.
    """
    if vertices is None:
        vertices = vertices_per_pixel(cameras) * _FULL * megapixels * 1e6
    n_views = len(cameras)
    pixels = n_views * megapixels * 1e6
    reads = 1 if pixels <= most_kept else 3
    per_vertex = _finest_us(cameras) + _COARSER * _coarse_us(cameras)
    return Cost(
        cpu_s=_START_S + _FIRST_DEPTH_S * n_views + reads * _VIEW_S * pixels / 1e6
        + per_vertex * vertices / 1e6,
        gb=peak_gb(pixels, vertices, kept=pixels <= most_kept),
        vertices=round(vertices),
    )  # fmt: skip


def _finest_us(cameras: Sequence[Camera]) -> float:
    return _FINEST_US[0] + _FINEST_US[1] * judging_views(cameras, most=_FINEST_VIEWS)


def _coarse_us(cameras: Sequence[Camera]) -> float:
    return _COARSE_US[0] + _COARSE_US[1] * judging_views(cameras, most=_COARSE_VIEWS)


def peak_gb(pixels: float, vertices: float, *, kept: bool) -> float:
    """Return the most memory, GB: while the photographs are loaded or while the mesh is swept.

    Parameters
    ----------
    pixels : float
        Of all photographs together.
    kept : bool
        Whether they stay loaded while the mesh is swept.
    """
    loaded = _LOADED_BYTES * pixels
    swept = _VERTEX_BYTES * vertices + _PACKED_BYTES * pixels
    swept += loaded if kept else _MASK_BYTES * pixels
    return _LIBRARIES_GB + max(loaded, swept) / 1e9


def finest_cost(
    cameras: Sequence[Camera], pixels: float, *,
    kept: bool, seconds_before: float, vertices_before: int,
) -> Cost:  # fmt: skip
    """Return what the finest sweep costs, by the one before it and what that took here.

    Parameters
    ----------
    pixels : float
        Of all photographs together.
    kept : bool
        Whether the photographs stay loaded while the mesh is swept.
    seconds_before, vertices_before
        Processor time and vertices of the sweep at half the scale.
    """
    vertices = _FINER * vertices_before
    megapixels = pixels / 1e6
    on_vertices = max(0.0, seconds_before - _HALVING_S * megapixels)
    cpu_s = _FINER * on_vertices * _finest_us(cameras) / _coarse_us(cameras)
    cpu_s += (_COLOURING_S if kept else _COLOURING_S + _VIEW_S) * megapixels
    return Cost(cpu_s=cpu_s, gb=peak_gb(pixels, vertices, kept=kept), vertices=round(vertices))


def expected_vertices(cameras: Sequence[Camera], subject_pixels: Sequence[float]) -> float:
    """Return about how many vertices the finest mesh will have.

    Parameters
    ----------
    subject_pixels : sequence of float
        Pixels of the subject in each camera's image; those of the whole image where no mask
        tells, of which a part is taken to be the subject.
    """
    subject = []
    for camera, pixels in zip(cameras, subject_pixels, strict=True):
        whole = camera.width * camera.height
        subject.append(pixels if pixels < 0.99 * whole else _FULL * whole)
    return vertices_per_pixel(cameras) * float(np.mean(subject))


def free_gb() -> float | None:
    """Return the memory, GB, that programs can still have; None where the system does not tell."""
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return float(line.split()[1]) * 1024 / 1e9
    except OSError:
        pass
    return None


def shortage(cost: Cost, megapixels: float, free: float | None) -> str | None:
    """Return what to do where a take needs more memory than is free, GB; None where it does not."""
    if free is None or cost.gb <= free:
        return None
    fits = megapixels * max(0.0, free - _LIBRARIES_GB) / (cost.gb - _LIBRARIES_GB)
    return (
        f"may need {cost.gb:.1f} GB of memory, but {free:.1f} GB are free: close other programs "
        f"or ask for fewer megapixels; {np.floor(10 * fits) / 10:g} would fit"
    )


def vertices_per_pixel(cameras: Sequence[Camera]) -> float:
    """Return the finest mesh's vertices by the subject's pixels in one of its photographs.

    Of a cylinder that the cameras stand round: a camera sees its diameter, and two measure as
    much of its circumference as both see less steeply than `_STEEPEST_DEG`.
    """
    circumference = np.radians(_STEEPEST_DEG + _reach(_around(cameras)))  # by the diameter
    density = 1 / (_EDGE_PX**2 * np.sqrt(3) / 2)  # of equilateral triangles
    return float(max(circumference, 0.2) * density)


def judging_views(cameras: Sequence[Camera], *, most: int) -> float:
    """Return how many views judge a vertex of such a cylinder on average, of `most` at most."""
    around = _around(cameras)
    end = max(_STEEPEST_DEG + _reach(around), 1.0)
    places = np.linspace(-end, end, 400)
    n = (np.abs(places[:, None] - around) < _STEEPEST_DEG).sum(axis=1)
    return float(np.clip(n, 2, most).mean())


def _around(cameras: Sequence[Camera]) -> Floats:
    """Return (n,) degrees by which the cameras stand round the subject, in their own plane."""
    middle = focus_point(list(cameras))
    rays = np.array([camera.center - middle for camera in cameras])
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    ahead = rays.mean(axis=0)
    ahead /= np.linalg.norm(ahead)
    beside = rays - np.outer(rays @ ahead, ahead)
    aside = np.linalg.svd(beside, full_matrices=False)[2][0]
    return np.asarray(np.degrees(np.arctan2(rays @ aside, rays @ ahead)))


def _reach(around: Floats) -> float:
    """Return how far round the last camera stands that has another beside it, degrees."""
    aside = np.sort(np.abs(around))
    # the outermost on either side measure nothing without the next
    return float(aside[-3] if len(aside) > 2 else -aside[-1])
