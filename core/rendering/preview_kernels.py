"""Compiled loops of `preview.py`: what a camera sees of a mesh, shaded pixel by pixel.

`rast` (H, W, 4) is as `numba_raster_kernels.locate` leaves it: what the first and second corner
weigh, depth, triangle + 1; `bits` is the same memory as int32.
"""

import math

import numpy as np
from numba import njit

from .numba_raster_kernels import triangle_at

FAST = {"contract", "reassoc", "nsz", "arcp"}  # sums in any order; infinities stay what they are
_BEHIND = -0.15  # smooth normals may turn away a little
_CELLS = 4096  # of the table that guesses an encoded byte


@njit(nogil=True, cache=True, error_model="numpy", fastmath=FAST)
def shade_pixels(  # type: ignore[no-untyped-def]
    rast, bits, faces, normals, openness, colors, texture, turn, lens, lamps, gloss, lit, out
):
    """Fill `out` (H, W, 3), linear light, where the mesh is seen.

    `normals` (V, 3), `openness` (V,), `colors` (V, 3) linear; `texture`: which faces have it
    (F,), their rows of UVs (F, 3), UVs (T, 2), image (t, t, 3) uint8, its bytes as linear light
    (256,); `turn` (3, 3) from the world's to the camera's axes; `lens`: fx, fy, cx, cy, skew;
    `lamps`: unit directions (L, 3), colours (L, 3), sky (3,), tint of back sides (3,).
    """
    textured, corners_uv, uv, image, linear = texture
    for row in range(rast.shape[0]):
        for column in range(rast.shape[1]):
            t = triangle_at(rast, bits, row, column)
            if t < 0:
                continue
            u, v = rast[row, column, 0], rast[row, column, 1]
            w = np.float32(1.0) - u - v
            a, b, c = faces[t, 0], faces[t, 1], faces[t, 2]
            if textured[t]:
                _texel(corners_uv[t], uv, image, linear, u, v, w, out[row, column])
            else:
                for k in range(3):
                    out[row, column, k] = u * colors[a, k] + v * colors[b, k] + w * colors[c, k]
            if lit:
                n_x, n_y, n_z = _turned_normal(normals, a, b, c, u, v, w, turn)
                share = u * openness[a] + v * openness[b] + w * openness[c]
                _light(n_x, n_y, n_z, row, column, share, lens, lamps, gloss, out[row, column])


@njit(nogil=True, cache=True, error_model="numpy", fastmath=FAST)
def normals_at_pixels(rast, bits, faces, normals, turn, out):  # type: ignore[no-untyped-def]
    """Fill `out` (H, W, 4): interpolated normals in the camera's axes, and 1 where seen."""
    for row in range(rast.shape[0]):
        for column in range(rast.shape[1]):
            t = triangle_at(rast, bits, row, column)
            if t < 0:
                continue
            u, v = rast[row, column, 0], rast[row, column, 1]
            a, b, c = faces[t, 0], faces[t, 1], faces[t, 2]
            x, y, z = _turned_normal(normals, a, b, c, u, v, np.float32(1.0) - u - v, turn)
            out[row, column, 0], out[row, column, 1], out[row, column, 2] = x, y, z
            out[row, column, 3] = 1.0


@njit(nogil=True, cache=True, inline="always", error_model="numpy", fastmath=FAST)
def _turned_normal(normals, a, b, c, u, v, w, turn):  # type: ignore[no-untyped-def]
    x = u * normals[a, 0] + v * normals[b, 0] + w * normals[c, 0]
    y = u * normals[a, 1] + v * normals[b, 1] + w * normals[c, 1]
    z = u * normals[a, 2] + v * normals[b, 2] + w * normals[c, 2]
    return (
        turn[0, 0] * x + turn[0, 1] * y + turn[0, 2] * z,
        turn[1, 0] * x + turn[1, 1] * y + turn[1, 2] * z,
        turn[2, 0] * x + turn[2, 1] * y + turn[2, 2] * z,
    )


@njit(nogil=True, cache=True, error_model="numpy", fastmath=FAST)
def _texel(corners, uv, image, linear, u, v, w, out):  # type: ignore[no-untyped-def]
    """Look an image up between texels, as bytes, and write its linear light."""
    a, b, c = corners[0], corners[1], corners[2]
    size = image.shape[0]
    x = (u * uv[a, 0] + v * uv[b, 0] + w * uv[c, 0]) * size - 0.5
    y = (1.0 - (u * uv[a, 1] + v * uv[b, 1] + w * uv[c, 1])) * size - 0.5
    x, y = min(max(x, 0.0), size - 1.0), min(max(y, 0.0), size - 1.0)
    left, top = int(x), int(y)
    right, bottom = min(left + 1, size - 1), min(top + 1, size - 1)
    s, t = x - left, y - top
    for k in range(3):
        upper = image[top, left, k] + s * (np.float64(image[top, right, k]) - image[top, left, k])
        lower = image[bottom, left, k] + s * (
            np.float64(image[bottom, right, k]) - image[bottom, left, k]
        )
        out[k] = linear[int(upper + t * (lower - upper) + 0.5)]


@njit(nogil=True, cache=True, error_model="numpy", fastmath=FAST)
def _light(n_x, n_y, n_z, row, column, share, lens, lamps, gloss, out):  # type: ignore[no-untyped-def]
    """Turn an albedo (3,) into what the camera sees of it, in place."""
    directions, powers, sky, tint = lamps
    length = max(math.sqrt(n_x * n_x + n_y * n_y + n_z * n_z), 1e-9)
    n_x, n_y, n_z = n_x / length, n_y / length, n_z / length
    y = (row + 0.5 - lens[3]) / lens[1]
    x = (column + 0.5 - lens[2] - lens[4] * y) / lens[0]
    length = math.sqrt(x * x + y * y + 1.0)
    v_x, v_y, v_z = -x / length, -y / length, -1.0 / length
    behind = n_x * v_x + n_y * v_y + n_z * v_z < _BEHIND
    if behind:
        n_x, n_y, n_z, share = -n_x, -n_y, -n_z, np.float32(0.5)
    soft = 0.35 + 0.65 * share  # creases are darker under every light, as in a real studio
    h_x, h_y, h_z = v_x + directions[0, 0], v_y + directions[0, 1], v_z + directions[0, 2]
    shine = n_x * h_x + n_y * h_y + n_z * h_z
    shine = max(shine / math.sqrt(h_x * h_x + h_y * h_y + h_z * h_z), 0.0)
    shine *= shine * shine
    shine *= shine
    shine *= shine
    shine *= shine  # to the 24th
    for k in range(3):
        total = sky[k] * share
        for lamp in range(len(directions)):
            facing = (
                n_x * directions[lamp, 0] + n_y * directions[lamp, 1] + n_z * directions[lamp, 2]
            )
            total += soft * max((facing + 0.1) / 1.1, 0.0) * powers[lamp, k]
        value = out[k] * total + gloss * soft * shine
        out[k] = value * tint[k] if behind else value


@njit(nogil=True, cache=True, error_model="numpy", fastmath=FAST)
def camera_space(vertices, pose, out):  # type: ignore[no-untyped-def]
    """Write `out` (V, 3), a camera's axes; return the least and the largest depth."""
    low, high = np.inf, -np.inf
    for i in range(len(vertices)):
        x, y, z = vertices[i, 0], vertices[i, 1], vertices[i, 2]
        for k in range(3):
            out[i, k] = pose[k, 0] * x + pose[k, 1] * y + pose[k, 2] * z + pose[k, 3]
        low, high = min(low, out[i, 2]), max(high, out[i, 2])
    return low, high


@njit(nogil=True, cache=True, error_model="numpy", fastmath=FAST)
def clip_space(in_cam, lens, size, near, far, out):  # type: ignore[no-untyped-def]
    """Write `out` (V, 4): the image's top row at y = -1, depth from -1 at `near` to 1 at `far`.

    `lens`: fx, fy, cx, cy, skew; `size`: width, height.
    """
    a, b = (far + near) / (far - near), 2 * far * near / (far - near)
    for i in range(len(in_cam)):
        x, y, z = in_cam[i, 0], in_cam[i, 1], in_cam[i, 2]
        out[i, 0] = 2 * (lens[0] * x + lens[4] * y + lens[2] * z) / size[0] - z
        out[i, 1] = 2 * (lens[1] * y + lens[3] * z) / size[1] - z
        out[i, 2] = a * z - b
        out[i, 3] = z


@njit(nogil=True, cache=True, error_model="numpy", fastmath=FAST)
def slopes_of(vertices, pose):  # type: ignore[no-untyped-def]
    """Return the box (2, 2) of x/z and y/z of vertices in a camera: least, largest."""
    box = np.array([[np.inf, np.inf], [-np.inf, -np.inf]])
    for i in range(len(vertices)):
        x, y, z = vertices[i, 0], vertices[i, 1], vertices[i, 2]
        depth = pose[2, 0] * x + pose[2, 1] * y + pose[2, 2] * z + pose[2, 3]
        for k in range(2):
            slope = (pose[k, 0] * x + pose[k, 1] * y + pose[k, 2] * z + pose[k, 3]) / depth
            box[0, k], box[1, k] = min(box[0, k], slope), max(box[1, k], slope)
    return box


@njit(nogil=True, cache=True, error_model="numpy", fastmath=FAST)
def encode_means(light, n, guess, edges, out):  # type: ignore[no-untyped-def]
    """Write the bytes `out` (H, W, 3) of the means of n x n pixels of linear light, clipped."""
    for row in range(out.shape[0]):
        for column in range(out.shape[1]):
            for k in range(3):
                total = 0.0
                for i in range(n):
                    for j in range(n):
                        value = light[row * n + i, column * n + j, k]
                        total += min(max(value, 0.0), 1.0)
                mean = total / (n * n)
                byte = guess[min(int(mean * _CELLS), _CELLS - 1)]
                while byte < 255 and mean > edges[byte]:
                    byte += 1
                out[row, column, k] = byte


def encoding_tables():  # type: ignore[no-untyped-def]
    """Return `guess` and `edges` of `encode_means`: sRGB bytes of linear light.

    Byte k + 1 begins at `edges[k]`; `guess` is the byte at a cell's beginning.

    Source
    ------
    IEC 61966-2-1.
    """
    encoded = (np.arange(255) + 0.5) / 255
    edges = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    guess = np.searchsorted(edges, np.arange(_CELLS) / _CELLS, side="left")
    return guess.astype(np.int64), edges
