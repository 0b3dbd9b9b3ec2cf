"""What a take's mesh will cost, told before the work: processor time and memory.

Fitted to measurements of heads that fill the frame, nine views, at 0.5, 1.5 and 6 megapixels
(AVX-512, two cores); all of it grows linearly with the pixels.
"""

from dataclasses import dataclass

_START_S = 1.0  # per view: first depths and the start mesh, at a fixed small size
_VIEW_S = 0.07  # per view and megapixel: loading, masks, choice of views, colours
_SURFACE_S = 6.0  # per megapixel: the mesh's own operations and files
_COMPARED_S = 1.5  # per megapixel and view that judges a vertex
_SEEING = 0.6  # share of the views that see a vertex, of a rig round the head
_MOST_SEEING = 7.0  # that are used

_LIBRARIES_GB = 0.55
_VIEW_GB = 0.013  # per view and megapixel: grey, colour, mask, and the packed copy
_SURFACE_GB = 0.28  # per megapixel: some 0.9 million vertices


@dataclass(frozen=True, kw_only=True)
class Cost:
    """An estimate, good to a quarter."""

    cpu_s: float
    """Processor seconds, of all cores together."""
    gb: float
    """Peak of resident memory."""


def expected_cost(n_views: int, megapixels: float) -> Cost:
    """Return what a take of `n_views` photographs costs at `megapixels` each.

    Of subjects that fill the frame; others cost less, as their share of the pixels is less.
    """
    judging = min(_MOST_SEEING, _SEEING * n_views)
    per_megapixel = _VIEW_S * n_views + _SURFACE_S + _COMPARED_S * judging
    return Cost(
        cpu_s=_START_S * n_views + per_megapixel * megapixels,
        gb=_LIBRARIES_GB + (_VIEW_GB * n_views + _SURFACE_GB) * megapixels,
    )
