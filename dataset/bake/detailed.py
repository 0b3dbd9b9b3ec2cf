"""The maps as a surface again: M1 + displacement, dense, in the world frame."""

import numpy as np

from ...core.arrays import Bools, Floats, Floats32, Ints
from ...core.errors import InputError
from ...core.geometry.mesh import Mesh
from ..register.registered import Registered
from .chart import chart, uv_sign
from .curved import flat_displacement
from .deformation import deformed
from .maps import Maps
from .normals import detailed_points, face_derivatives

_ELSEWHERE = 4.0  # texels' sides: what lies farther from its neighbour lies across a seam
_SLACK_MM = 1.0


def detailed_mesh(registered: Registered, maps: Maps, *, step: int = 1) -> Mesh:
    """Return M1 + displacement as a dense mesh with UVs, world frame.

    Every `step`th texel in both directions becomes a vertex; squares of four within the chart
    become two faces. Attributes: `valid` (V,), 1 where the vertex rests on measured scan, and
    `sigma_mm` (V,).

    Raises
    ------
    InputError
        `step` leaves no mesh.
    """
    n = len(maps.displacement)
    if not 1 <= step <= n // 4:
        raise InputError(f"detailed mesh: step {step} of a map of {n} texels a side")
    texels = chart(registered.model, n)
    vertices = deformed(registered, maps)
    displacement = flat_displacement(registered, maps)
    points = detailed_points(texels, vertices, displacement)[step // 2 :: step, step // 2 :: step]
    face = texels.face[step // 2 :: step, step // 2 :: step]
    reach = step * _longest_side(registered, vertices, n)[face]
    quads = _squares(points, face >= 0, reach)
    if len(quads) == 0:
        raise InputError(f"detailed mesh: no square of {step} texels lies within the chart")
    turned = uv_sign(registered.model)[face.ravel()[quads[:, 0]]] < 0
    quads[turned] = quads[turned][:, ::-1]
    return _compact(registered, maps, points, quads, step=step)


def _longest_side(registered: Registered, vertices: Floats, n: int) -> Floats32:
    """Return (F + 1,) mm: the longer side of a texel on each face; 0 for face -1."""
    along = face_derivatives(registered.model, vertices)
    side = np.maximum(*(np.linalg.norm(d, axis=1) for d in along)) / n
    return np.append(side, 0).astype(np.float32)


def _squares(points: Floats32, inside: Bools, reach: Floats32) -> Ints:
    """Return (Q, 4) flat indices of neighbours' squares, counter-clockwise as the map is seen."""
    width = inside.shape[1]
    far = _ELSEWHERE * reach + _SLACK_MM
    right = np.linalg.norm(points[:, 1:] - points[:, :-1], axis=2) < far[:, :-1]
    down = np.linalg.norm(points[1:] - points[:-1], axis=2) < far[:-1]
    whole = inside[:-1, :-1] & inside[1:, :-1] & inside[:-1, 1:] & inside[1:, 1:]
    whole &= right[:-1] & right[1:] & down[:, :-1] & down[:, 1:]
    first = np.flatnonzero(whole.ravel())
    row, col = first // (width - 1), first % (width - 1)
    top_left = row * width + col
    corners = [top_left, top_left + width, top_left + width + 1, top_left + 1]
    return np.stack(corners, axis=1).astype(np.int32)


def _compact(
    registered: Registered, maps: Maps, points: Floats32, quads: Ints, *, step: int
) -> Mesh:
    """Keep the vertices that faces use, and give them UVs and attributes."""
    height, width = points.shape[:2]
    n = len(maps.displacement)
    used = np.zeros(height * width, bool)
    used[quads] = True
    rows = np.flatnonzero(used)
    new = np.cumsum(used, dtype=np.int32) - 1
    quads = new[quads]
    row, col = rows // width * step + step // 2, rows % width * step + step // 2
    head = points.reshape(-1, 3)[rows].astype(np.float64)
    return Mesh(
        vertices=registered.world_from_head(head),
        faces=np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]).astype(np.int32),
        uv=np.stack([(col + 0.5) / n, 1 - (row + 0.5) / n], axis=1),
        attributes={
            "valid": maps.valid[row, col].astype(np.float32),
            "sigma_mm": maps.sigma[row, col] * np.float32(registered.world_from_head.scale),
        },
    )
