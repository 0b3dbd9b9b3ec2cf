"""Pictures of errors at the vertices of a surface."""

from collections.abc import Sequence

import numpy as np

from ...core.arrays import Bytes
from ...core.geometry.mesh import Mesh, face_normals
from ...core.rendering.colormap import AMOUNT
from ...core.rendering.preview import Look, MeshPreview, orbit_cameras
from .protocol import ErrorMesh

_WIDTH, _HEIGHT = 300, 360
_YAWS = (-35.0, 35.0)


def error_pictures(mesh: ErrorMesh, *, most: float) -> list[Bytes]:
    """Draw the errors from either side of the front; dark is 0, yellow `most` mm or more."""
    surface = Mesh(vertices=np.asarray(mesh.vertices, np.float64), faces=mesh.faces)
    preview = MeshPreview(surface, ambient_occlusion=False)
    colors = AMOUNT(mesh.error, 0.0, most)
    look = Look(gloss=0.0)
    front = front_yaw_deg(surface)
    yaws = [front + yaw for yaw in _YAWS]
    cameras = orbit_cameras(surface, yaws, width=_WIDTH, height=_HEIGHT)
    return [preview.draw(camera, colors=colors, look=look) for camera in cameras]


def front_yaw_deg(mesh: Mesh) -> float:
    """Return from where a face looks at the viewer, degrees about y; 0 is +z, 90 is +x.

    A part of a head faces where its normals do, on average; scans are not all in one pose.
    """
    x, _, z = face_normals(mesh.vertices, mesh.faces).sum(axis=0)
    return float(np.degrees(np.arctan2(x, z)))


def top_of_scale(meshes: Sequence[ErrorMesh]) -> float:
    """Return the error that ends the colour scale: what 95 of 100 vertices stay below."""
    some = [float(np.nanpercentile(m.error, 95)) for m in meshes if np.isfinite(m.error).any()]
    if not some:
        return 1.0
    value = max(float(np.median(some)), 1e-3)
    step = 10.0 ** np.floor(np.log10(value))
    return float(np.ceil(value / step) * step)
