"""Triangles cut at the borders of the image, as Mesa cuts them before it draws.

A cut triangle's depth is interpolated between other corners, so that its float32 rounding is
another: it shows as a step of depth along the image's border.

Source: Sutherland & Hodgman, Reentrant polygon clipping, 1974; order of planes, of corners and of
operations as in Mesa's draw module.
"""

import numpy as np
from numba import njit

PLANES = np.array(
    [[-1, 0, 0, 1], [1, 0, 0, 1], [0, -1, 0, 1], [0, 1, 0, 1], [0, 0, 1, 1], [0, 0, -1, 1]],
    np.float32,
)
_MOST = 12  # corners of a cut triangle, with room


@njit(nogil=True, cache=True)
def cut_triangles(clip, faces, planes):  # type: ignore[no-untyped-def]
    """Cut triangles at the view's six planes.

    Parameters
    ----------
    clip : (V, 4) float32
        Clip coordinates.
    faces : (F, 3) int32
    planes : (6, 4) float32
        Of `PLANES`.

    Returns
    -------
    new_clip : (N, 4) float32
        Corners that were made.
    kept : (M, 3) int32
        Triangles to draw; corners from V on are new.
    """
    outside = np.zeros(len(clip), np.uint8)
    for v in range(len(clip)):
        for k in range(6):
            if not _height(clip[v], planes[k]) >= 0.0:
                outside[v] |= np.uint8(1 << k)
    n_cut = 0
    for t in range(len(faces)):
        codes = outside[faces[t, 0]], outside[faces[t, 1]], outside[faces[t, 2]]
        if codes[0] | codes[1] | codes[2] and not codes[0] & codes[1] & codes[2]:
            n_cut += 1
    made = np.empty((n_cut * _MOST, 4), np.float32)
    kept = np.empty((len(faces) + n_cut * _MOST, 3), np.int32)
    n_made = n_kept = 0
    ring = np.empty(2 * _MOST, np.int32)
    other = np.empty(2 * _MOST, np.int32)
    for t in range(len(faces)):
        a, b, c = faces[t, 0], faces[t, 1], faces[t, 2]
        crossed = outside[a] | outside[b] | outside[c]
        if outside[a] & outside[b] & outside[c]:
            continue
        if not crossed:
            kept[n_kept] = faces[t]
            n_kept += 1
            continue
        ring[0], ring[1], ring[2] = a, b, c
        n = 3
        for k in range(6):
            if crossed & (1 << k) and n >= 3:
                n, n_made = _cut(clip, made, n_made, ring, n, other, planes[k])
                ring, other = other, ring
        for i in range(2, n):
            kept[n_kept, 0], kept[n_kept, 1], kept[n_kept, 2] = ring[i - 1], ring[i], ring[0]
            n_kept += 1
    return made[:n_made], kept[:n_kept]


@njit(nogil=True, cache=True)
def _cut(clip, made, n_made, ring, n, out, plane):  # type: ignore[no-untyped-def]
    """Write to `out` what of a polygon is above a plane; return its size and `n_made`."""
    n_out = 0
    before = ring[0]
    height_before = _height(_corner(clip, made, before), plane)
    for i in range(1, n + 1):
        here = ring[i % n]
        height = _height(_corner(clip, made, here), plane)
        if height_before >= 0.0:
            out[n_out] = before
            n_out += 1
        if (height >= 0.0) != (height_before >= 0.0):
            p, q = _corner(clip, made, before), _corner(clip, made, here)
            if height < 0.0:
                t = height / (height - height_before)
                p, q = q, p
            else:
                t = height_before / (height_before - height)
            for k in range(4):
                made[n_made, k] = p[k] + t * (q[k] - p[k])
            out[n_out] = len(clip) + n_made
            n_made += 1
            n_out += 1
        before, height_before = here, height
    return n_out, n_made


@njit(nogil=True, cache=True, inline="always")
def _corner(clip, made, index):  # type: ignore[no-untyped-def]
    return clip[index] if index < len(clip) else made[index - len(clip)]


@njit(nogil=True, cache=True, inline="always")
def _height(point, plane):  # type: ignore[no-untyped-def]
    """Return the float32 height of a clip point above a plane."""
    return point[0] * plane[0] + point[1] * plane[1] + point[2] * plane[2] + point[3] * plane[3]
