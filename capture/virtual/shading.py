"""How skin answers light, at every ray hit: softened diffuse, a mild gloss."""

import math

import numpy as np
from numba import njit

from ...core.arrays import Floats, Floats32, Ints
from ...core.chunks import over_chunks
from .complexion import albedo_at
from .lights import Lights
from .scene import Surface
from .sensor import BACKDROP
from .skin import FOREHEAD, IRIS, LIPS, N_PAINT, NOSE, PUPIL, SCALP, SCLERA, SkinValues

_SOFTENING = (0.55, 0.32, 0.25)
"""Part of the diffuse normal taken from the surface without relief, for red, green and blue.
Light that has travelled under the skin blurs its shading, red farthest."""
_GRAZING = 0.22
"""Reflectance that gloss rises to at grazing angles: rough surfaces never reach one."""
_F0 = 0.028  # of skin: refractive index 1.4
_CHUNK = 1 << 15  # hits at a time


def shade(
    face: Ints, uv: Floats32, *, surface: Surface, skin: SkinValues, center: Floats, lights: Lights
) -> tuple[Floats32, Floats32]:
    """Shade ray hits.

    Parameters
    ----------
    face : (N,)
        Fine triangle that each ray meets, -1 where none.
    uv : (N, 2)
        As in `core.geometry.closest.RayHits`.
    center : (3,) mm
        The camera's.

    Returns
    -------
    radiance, albedo : (N, 3) float32
        Linear RGB; the backdrop's radiance and black where nothing is met.

    Source
    ------
    Gloss: GGX with Smith's shadowing in Schlick's approximation (Walter et al., EGSR 2007;
    Schlick, CGF 13(3), 1994), as rough as the fits of Weyrich et al., Analysis of human faces
    using a measurement-based skin reflectance model, SIGGRAPH 2006. Normals softened by
    colour: after Ma et al., Rapid acquisition of specular and diffuse normal maps, EGSR 2007,
    whose measured normals differ by colour.
    """
    radiance = np.full((len(face), 3), BACKDROP, np.float32)
    albedo = np.zeros_like(radiance)

    def run(start: int, end: int) -> None:
        _shade(
            start, end, face, uv, surface, skin, center, lights.directions, lights.powers,
            lights.ambient, radiance, albedo,
        )  # fmt: skip

    over_chunks(run, len(face), chunk=_CHUNK)
    return radiance, albedo


def normals_at(face: Ints, uv: Floats32, surface: Surface) -> Floats32:
    """Return the unit normals (N, 3) of ray hits; NaN where nothing is met."""
    normals = np.full((len(face), 3), np.nan, np.float32)
    over_chunks(
        lambda start, end: _normals(start, end, face, uv, surface, normals), len(face), chunk=_CHUNK
    )
    return normals


@njit(nogil=True, cache=True)
def _shade(  # type: ignore[no-untyped-def]
    start, end, face, uv, surface, skin, center, directions, powers, ambient, radiance, albedo
):
    p = np.zeros(N_PAINT)
    lit = np.zeros(len(powers) + 1)
    for i in range(start, end):
        if face[i] < 0:
            continue
        q, s = _coarse_values(face[i], uv[i, 0], uv[i, 1], surface, p, lit)
        P = _interpolated(surface.vertices, surface.faces, face[i], uv[i, 0], uv[i, 1])
        N = _unit(_interpolated(surface.normals, surface.faces, face[i], uv[i, 0], uv[i, 1]))
        V = _unit((center[0] - P[0], center[1] - P[1], center[2] - P[2]))
        color = albedo_at(q[0], q[1], q[2], p, skin)
        gloss = _gloss(N, V, _roughness(p), directions, powers, lit)
        for c in range(3):
            albedo[i, c] = color[c]
            light = _diffuse(N, s, _SOFTENING[c], directions, powers, ambient, lit)
            radiance[i, c] = color[c] * light + gloss


@njit(nogil=True, cache=True)
def _normals(start, end, face, uv, surface, out):  # type: ignore[no-untyped-def]
    for i in range(start, end):
        if face[i] >= 0:
            N = _unit(_interpolated(surface.normals, surface.faces, face[i], uv[i, 0], uv[i, 1]))
            for c in range(3):
                out[i, c] = N[c]


@njit(cache=True, inline="always")
def _interpolated(values, faces, f, u, v):  # type: ignore[no-untyped-def]
    a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
    w = 1.0 - u - v
    return (
        w * values[a, 0] + u * values[b, 0] + v * values[c, 0],
        w * values[a, 1] + u * values[b, 1] + v * values[c, 1],
        w * values[a, 2] + u * values[b, 2] + v * values[c, 2],
    )


@njit(cache=True)
def _coarse_values(f, u, v, surface, p, lit):  # type: ignore[no-untyped-def]
    """Return anchor and soft normal at a hit; fill the masks `p` and the lights' `lit`."""
    n_children = len(surface.places)
    parent, place = f // n_children, surface.places[f % n_children]
    a, b, c = (
        surface.coarse_faces[parent, 0],
        surface.coarse_faces[parent, 1],
        surface.coarse_faces[parent, 2],
    )
    w = 1.0 - u - v
    wa = w * place[0, 0] + u * place[1, 0] + v * place[2, 0]
    wb = w * place[0, 1] + u * place[1, 1] + v * place[2, 1]
    wc = 1.0 - wa - wb
    for k in range(len(p)):
        p[k] = wa * surface.paint[a, k] + wb * surface.paint[b, k] + wc * surface.paint[c, k]
    for k in range(len(lit)):
        lit[k] = wa * surface.seen[a, k] + wb * surface.seen[b, k] + wc * surface.seen[c, k]
    anchor, soft = surface.anchor, surface.soft_normals
    q = (
        wa * anchor[a, 0] + wb * anchor[b, 0] + wc * anchor[c, 0],
        wa * anchor[a, 1] + wb * anchor[b, 1] + wc * anchor[c, 1],
        wa * anchor[a, 2] + wb * anchor[b, 2] + wc * anchor[c, 2],
    )
    s = (
        wa * soft[a, 0] + wb * soft[b, 0] + wc * soft[c, 0],
        wa * soft[a, 1] + wb * soft[b, 1] + wc * soft[c, 1],
        wa * soft[a, 2] + wb * soft[b, 2] + wc * soft[c, 2],
    )
    return q, _unit(s)


@njit(cache=True, inline="always")
def _unit(a):  # type: ignore[no-untyped-def]
    k = 1.0 / (math.sqrt(a[0] * a[0] + a[1] * a[1] + a[2] * a[2]) + 1e-12)
    return a[0] * k, a[1] * k, a[2] * k


@njit(cache=True, inline="always")
def _roughness(p):  # type: ignore[no-untyped-def]
    eye = min(1.0, p[IRIS] + p[PUPIL] + p[SCLERA])
    # squared, the slopes' spread: 0.3 on the cheek, 0.22 to 0.25 on nose, lips and forehead
    skin = 0.55 - 0.08 * p[NOSE] - 0.05 * p[FOREHEAD] - 0.05 * p[LIPS] + 0.15 * p[SCALP]
    return 0.12 * eye + skin * (1 - eye)


@njit(cache=True)
def _diffuse(N, s, softening, directions, powers, ambient, lit):  # type: ignore[no-untyped-def]
    """Irradiance on the softened normal."""
    nx = softening * s[0] + (1 - softening) * N[0]
    ny = softening * s[1] + (1 - softening) * N[1]
    nz = softening * s[2] + (1 - softening) * N[2]
    nx, ny, nz = _unit((nx, ny, nz))
    total = ambient * lit[len(powers)] * (1 + 0.25 * ny)
    for k in range(len(powers)):
        cosine = nx * directions[k, 0] + ny * directions[k, 1] + nz * directions[k, 2]
        if cosine > 0:
            total += powers[k] * lit[k] * cosine
    return total


@njit(cache=True)
def _gloss(N, V, rough, directions, powers, lit):  # type: ignore[no-untyped-def]
    alpha2 = rough**4
    k = (rough + 1) ** 2 / 8
    nv = max(0.05, N[0] * V[0] + N[1] * V[1] + N[2] * V[2])
    total = 0.0
    for light in range(len(powers)):
        lx, ly, lz = directions[light, 0], directions[light, 1], directions[light, 2]
        nl = N[0] * lx + N[1] * ly + N[2] * lz
        if nl <= 0 or lit[light] <= 0:
            continue
        hx, hy, hz = _unit((V[0] + lx, V[1] + ly, V[2] + lz))
        nh = max(0.0, N[0] * hx + N[1] * hy + N[2] * hz)
        vh = max(0.0, V[0] * hx + V[1] * hy + V[2] * hz)
        spread = nh * nh * (alpha2 - 1) + 1
        D = alpha2 / (math.pi * spread * spread)
        F = _F0 + (_GRAZING - _F0) * (1 - vh) ** 5
        G = 1 / ((nv * (1 - k) + k) * (nl * (1 - k) + k))
        # pi: `powers` are irradiances, of which a white sheet returns one
        total += math.pi * powers[light] * lit[light] * D * F * G * 0.25 * nl
    return total
