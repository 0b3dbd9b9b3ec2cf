"""An interactive 3D view as one HTML text: trimesh's own page, which brings three.js along."""

import fast_simplification
import numpy as np
import trimesh
from scipy import sparse
from scipy.sparse import csgraph
from scipy.spatial import cKDTree
from trimesh.viewer.notebook import scene_to_html

from ..arrays import AnyFloats, Bytes, Floats, Ints
from ..geometry.camera import Camera, Rig
from ..geometry.mesh import Mesh, vertex_normals
from .preview import CLAY, sky_openness

_FRUSTUM_MM = 70.0
_FRUSTUM_RGBA = (40, 70, 110, 255)
_AXIS_RGBA = (205, 212, 220, 255)
_LIGHT = 1.75  # intensity of the light that trimesh's page carries along with the camera
_AMBIENT = 0.14
_STEP_MM = 2.0**-6  # 16 um: finer than a pixel of any view
_STEP_NORMAL = 2.0**-7


def viewer_html(
    mesh: Mesh,
    *,
    rig: Rig | None = None,
    colors: Bytes | None = None,
    max_faces: int = 100_000,
    yaw_deg: float = 25.0,
) -> str:
    """Return a whole HTML page that shows the mesh, and the cameras of `rig` as frustums.

    It opens offline; put it into an `<iframe srcdoc>`. The first view frames the mesh; the
    mouse turns (left), zooms (wheel) and moves (right) it.

    Parameters
    ----------
    colors : (V, 3) uint8, optional
        sRGB per vertex; `mesh.colors`, else clay, by default.
    max_faces : int
        The mesh is simplified to this: 100,000 triangles take about 3.5 MB of page.
    """
    shown = _with_colors(mesh, colors)
    shown = simplified(shown, max_faces)
    scene = trimesh.Scene()
    scene.add_geometry(_surface(shown), geom_name="surface")
    low, high = shown.vertices.min(0), shown.vertices.max(0)
    middle = np.asarray((low + high) / 2, dtype=np.float64)
    if rig is not None and len(rig):
        for name, lines, rgba in _rig_lines(rig, middle):
            scene.add_geometry(_paths(lines, rgba), geom_name=name)
        scene.add_geometry(_balance(rig, middle), geom_name="balance")
    size = float(np.linalg.norm(high - low))
    scene.camera = trimesh.scene.Camera(name="camera", fov=(36, 36))  # else its name is drawn
    scene.set_camera(
        angles=(np.radians(-8), np.radians(yaw_deg), 0), distance=1.4 * size, center=middle,
        fov=(36, 36),
    )  # fmt: skip
    scene.camera.z_near, scene.camera.z_far = 0.02 * size, 50 * size
    return str(scene_to_html(scene))


def simplified(mesh: Mesh, max_faces: int) -> Mesh:
    """Return the mesh with at most about `max_faces` triangles (quadric edge collapse).

    Colours are taken from the nearest vertex; UVs and attributes are dropped.
    """
    if len(mesh.faces) <= max_faces:
        return mesh
    vertices, faces = fast_simplification.simplify(
        np.asarray(mesh.vertices, dtype=np.float64), mesh.faces, target_count=max_faces
    )
    colors = None
    if mesh.colors is not None:
        colors = mesh.colors[cKDTree(mesh.vertices).query(vertices)[1]]
    return Mesh(vertices=vertices, faces=np.asarray(faces, dtype=np.int32), colors=colors)


def _with_colors(mesh: Mesh, colors: Bytes | None) -> Mesh:
    if colors is None:
        colors = mesh.colors
    if colors is None:
        colors = np.tile(np.array(CLAY, np.uint8), (len(mesh.vertices), 1))
    return Mesh(vertices=mesh.vertices, faces=mesh.faces, colors=colors)


def _surface(mesh: Mesh) -> trimesh.Trimesh:
    """Return the mesh with the sky's shadows painted in: the page itself has one light."""
    assert mesh.colors is not None
    soft = 0.4 + 0.6 * sky_openness(mesh)[:, None]
    painted = mesh.colors * soft * (1 - _AMBIENT) * 1.25 / _LIGHT
    rgba = np.full((len(mesh.vertices), 4), 255, np.uint8)
    rgba[:, :3] = np.clip(np.rint(painted), 0, 255)
    normals = vertex_normals(mesh.vertices, mesh.faces)
    faces, order = _along_the_surface(mesh)
    surface = trimesh.Trimesh(
        vertices=_rounded(mesh.vertices[order], _STEP_MM),
        faces=faces,
        vertex_normals=_rounded(normals[order], _STEP_NORMAL),
        process=False,
    )
    mean = mesh.colors.mean(0) / 255
    material = trimesh.visual.material.PBRMaterial(
        metallicFactor=0.0, roughnessFactor=0.9, emissiveFactor=(_AMBIENT * mean).tolist(),
        doubleSided=True,
    )  # fmt: skip
    surface.visual = trimesh.visual.TextureVisuals(material=material)
    surface.visual.vertex_attributes["color"] = rgba[order]
    return surface


def _along_the_surface(mesh: Mesh) -> tuple[Ints, Ints]:
    """Return (faces, order of the vertices) so that neighbours follow each other.

    A page that is compressed then keeps its triangles in a third of the room.
    """
    n = len(mesh.vertices)
    corners = mesh.faces[:, [0, 1, 2, 0]]
    a, b = corners[:, :3].ravel(), corners[:, 1:].ravel()
    graph = sparse.csr_matrix((np.ones(len(a), np.int8), (a, b)), shape=(n, n))
    order = csgraph.reverse_cuthill_mckee(graph + graph.T, symmetric_mode=True)
    place = np.empty(n, np.int32)
    place[order] = np.arange(n, dtype=np.int32)
    faces = place[mesh.faces]
    first = faces.argmin(axis=1)
    turned = np.take_along_axis(faces, (first[:, None] + np.arange(3)) % 3, axis=1)
    return np.ascontiguousarray(turned[np.lexsort(turned.T[::-1])]), np.asarray(order, np.int32)


def _rounded(values: AnyFloats, step: float) -> Floats:
    """Return values to whole steps, a power of two: their last bits are zeros and take no room."""
    return np.asarray(np.rint(np.asarray(values, np.float64) / step) * step)


def _rig_lines(rig: Rig, middle: Floats) -> list[tuple[str, Floats, tuple[int, ...]]]:
    frustums = np.concatenate([_frustum(camera) for camera in rig])
    axes = []
    for camera in rig:
        reach = float((middle - camera.center) @ camera.view_direction)
        start = camera.center + _FRUSTUM_MM * camera.view_direction
        axes.append([start, camera.center + 0.8 * reach * camera.view_direction])
    return [("frustums", frustums, _FRUSTUM_RGBA), ("axes", np.array(axes), _AXIS_RGBA)]


def _frustum(camera: Camera) -> Floats:
    """Return (9, 2, 3) segments: four edges, the image's border, a tick at its upper side."""
    w, h = float(camera.width), float(camera.height)
    corners = np.array([[0, 0], [w, 0], [w, h], [0, h], [0.4 * w, 0], [0.6 * w, 0]])
    in_cam = np.column_stack([camera.normalise(corners), np.ones(6)])
    tip = np.array([0.5 * w, -0.12 * h])
    in_cam = np.vstack([in_cam, [*camera.normalise(tip), 1.0]])
    narrow = float(np.abs(in_cam[:4, :2]).max())  # long lenses: draw them as wide as others
    in_cam[:, :2] *= 0.45 / narrow
    points = camera.center + _FRUSTUM_MM * in_cam @ camera.cam_from_world[:, :3]
    c, (p0, p1, p2, p3, a, b, t) = camera.center, points
    pairs = [(c, p0), (c, p1), (c, p2), (c, p3), (p0, p1), (p1, p2), (p2, p3), (p3, p0), (a, t),
             (t, b)]  # fmt: skip
    return np.array(pairs)


def _paths(segments: AnyFloats, rgba: tuple[int, ...]) -> trimesh.path.Path3D:
    path = trimesh.load_path(np.asarray(segments))
    path.colors = np.tile(np.array(rgba, np.uint8), (len(path.entities), 1))
    return path


def _balance(rig: Rig, middle: Floats) -> trimesh.PointCloud:
    """White points opposite the cameras: the page turns about the middle of all it shows."""
    mirrored = 2 * middle - rig.centers
    white = np.full((len(mirrored), 4), 255, np.uint8)
    return trimesh.PointCloud(mirrored, colors=white)
