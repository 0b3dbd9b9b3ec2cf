"""Pictures of a prediction over its photograph: to see at a glance whether it fits."""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from ..core.arrays import Bools, Bytes, Floats, Floats32
from ..core.facemodel.model import FaceModel
from ..core.geometry.camera import Camera
from ..core.geometry.mesh import Mesh
from ..core.rendering.preview import BACKGROUND, CLAY, Look, MeshPreview, Texture, orbit_cameras
from .detailedsurface import at_vertices, carried, on_chart
from .photograph import CloseUp, resized
from .prediction import Prediction, face_and_eyes
from .surfaces import FaceSurfaces

_FACE = 0.5  # weight from which a vertex is of the face
_MARGIN = 1.5  # side of a picture over the landmarks' extent
_SIDE_DEG = 40.0  # by which the last two pictures are turned
_UP = 0.1  # of it: brows are the highest landmarks, foreheads are not
_INNER = {
    "sclera": (214, 208, 203), "iris": (96, 74, 58), "pupil": (18, 15, 14),
    "mouth_interior": (104, 52, 50),
}  # fmt: skip
_MARK = (60, 220, 90)
_MODEL_MARK = (235, 60, 60)


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A square part of a photograph about a face, and the camera that sees it."""

    pixels: Bytes
    """(size, size, 3)."""
    camera: Camera
    """Its world is the head frame."""
    landmarks: Floats
    """(68, 2) px of it; NaN where unknown."""


def scene_of(prediction: Prediction, view: CloseUp, *, size: int = 320) -> Scene:
    """Cut the face out of a photograph's close-up, `size` px a side."""
    return cut_scene(prediction.camera, prediction.landmarks, view, size=size)


def cut_scene(camera: Camera, landmarks: Floats, view: CloseUp, *, size: int) -> Scene:
    """Cut a face out of a photograph's close-up, `size` px a side.

    Parameters
    ----------
    camera : Camera
        Of the whole photograph.
    landmarks : (68, 2) px of the whole photograph
        About which to cut; some known.
    """
    marks = view.of(landmarks)
    known = marks[np.isfinite(marks).all(axis=1)]
    low, high = known.min(axis=0), known.max(axis=0)
    side = _MARGIN * float((high - low).max())
    corner = (low + high) / 2 - side / 2 - (0, _UP * side)
    scale = size / side
    shrunk = resized(view.pixels, min(1.0, scale))  # warping does not average
    left = scale * np.array(view.pixels.shape[1::-1]) / shrunk.shape[1::-1]
    matrix = np.column_stack([np.diag(left), -scale * corner])
    matrix[:, 2] += 0.5 * left - 0.5  # OpenCV's pixel centres are whole numbers
    cut = cv2.warpAffine(
        shrunk, matrix, (size, size), flags=cv2.INTER_LINEAR if scale < 1 else cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_CONSTANT, borderValue=BACKGROUND,
    )  # fmt: skip
    K = view.K_of(camera.K)
    K[:2, 2] -= corner
    K[:2] *= scale
    camera = replace(camera, width=size, height=size, K=K)
    return Scene(
        pixels=np.asarray(cut, np.uint8), camera=camera, landmarks=(marks - corner) * scale
    )


def panels(prediction: Prediction, scene: Scene) -> dict[str, Bytes]:
    """Return title -> picture (size, size, 3).

    The photograph, each surface over it, and the detailed one from either side: as clay, and
    with the photograph's texture.
    """
    detail, _ = detailed_face(prediction)
    coarse, mid = (model_face(prediction, level) for level in ("coarse", "mid"))
    drawn = {
        name: MeshPreview(mesh, ambient_occlusion=False)
        for name, mesh in (("coarse", coarse), ("mid", mid), ("detail", detail))
    }
    pictures = {"photograph": with_landmarks(prediction, scene)}
    for name, preview in drawn.items():
        _, coverage = preview.normals(scene.camera)
        pictures[name] = over(scene, preview.draw(scene.camera), coverage)
    normals, coverage = drawn["detail"].normals(scene.camera)
    pictures["normals"] = over(scene, colored_normals(normals), coverage)
    return pictures | from_both_sides(prediction, len(scene.pixels))


def from_both_sides(prediction: FaceSurfaces, size: int) -> dict[str, Bytes]:
    """Return `side`, the detailed face as clay, and `texture`, with the photograph's colours."""
    mesh, textured = detailed_face(prediction, mouth=True)
    preview = MeshPreview(mesh, ambient_occlusion=False)
    left, right = orbit_cameras(mesh, (-_SIDE_DEG, _SIDE_DEG), width=size, height=size)
    texture = Texture(image=prediction.texture, faces=textured)
    return {
        "side": preview.draw(left),
        "texture": preview.draw(right, colors=mesh.colors, texture=texture, look=Look(lit=False)),
    }


def with_landmarks(prediction: FaceSurfaces, scene: Scene) -> Bytes:
    """Return the photograph with its landmarks (green) and those of the model's mid (red)."""
    picture = scene.pixels.copy()
    vertices = prediction.mid[prediction.model.landmarks68].astype(np.float64)
    of_model, _ = scene.camera.project(vertices)
    for points, color in ((scene.landmarks, _MARK), (of_model, _MODEL_MARK)):
        for x, y in points[np.isfinite(points).all(axis=1)]:
            center = (round(16 * (x - 0.5)), round(16 * (y - 0.5)))
            cv2.circle(picture, center, 24, color, -1, cv2.LINE_AA, shift=4)
    return picture


def over(scene: Scene, picture: Bytes, coverage: Floats32) -> Bytes:
    """Lay a picture over the photograph where the mesh is."""
    share = coverage[..., None]
    mixed = scene.pixels + share * (picture.astype(np.float32) - scene.pixels)
    return np.rint(mixed).clip(0, 255).astype(np.uint8)


def colored_normals(normals: Floats32) -> Bytes:
    """Colour normals of a camera: red to its right, green up, blue towards it."""
    towards = normals * np.array([1, -1, -1], np.float32)
    return np.rint((towards + 1) / 2 * 255).clip(0, 255).astype(np.uint8)


def detailed_face(
    prediction: FaceSurfaces, *, mouth: bool = False, painted: bool = False
) -> tuple[Mesh, Bools]:
    """Return the face of the detailed mesh, eyes coloured; and which of it has a texture.

    Parameters
    ----------
    mouth : bool
        Whether its inside belongs to it.
    painted : bool
        Whether vertices on the chart have the texture's colours, for viewers without textures.
    """
    mesh, model = prediction.detailed_mesh(), prediction.model
    keep = _within(mesh, carried(model, _shown(model, mouth=mouth), mesh))
    colors = carried(model, inner_colors(model), mesh).round().astype(np.uint8)
    covered = on_chart(model, mesh)
    if painted:
        on = np.unique(mesh.faces[covered])
        values = at_vertices(prediction.texture.astype(np.float32), mesh, covered)
        colors[on] = values[on].round().clip(0, 255).astype(np.uint8)
    return replace(mesh, colors=colors).selected(keep), covered[keep]


def model_face(prediction: FaceSurfaces, level: str, *, mouth: bool = False) -> Mesh:
    """Return the face alone of the `coarse` or `mid` mesh, with eyes, and the mouth's inside."""
    mesh = prediction.mesh(level)
    return mesh.selected(_within(mesh, _shown(prediction.model, mouth=mouth)))


def _shown(model: FaceModel, *, mouth: bool) -> Floats32:
    """Return (V,) the weight of what pictures show."""
    weight = face_and_eyes(model)
    if mouth and "mouth_interior" in model.regions:
        weight = np.maximum(weight, model.regions["mouth_interior"]).astype(np.float32)
    return weight


def inner_colors(model: FaceModel) -> Floats32:
    """Return (V, 3) sRGB, 0 to 255, of eyes and mouth as far as the model names them.

    They are no part of the chart, and so of no texture.
    """
    colors = np.full((model.n_vertices, 3), CLAY, np.float32)
    parts = {**model.weights, "mouth_interior": model.regions.get("mouth_interior")}
    for name, color in _INNER.items():
        share = parts.get(name)
        if share is not None:
            colors += np.asarray(share, np.float32)[:, None] * (np.array(color) - colors)
    return colors.astype(np.float32)


def _within(mesh: Mesh, weight: Floats32) -> Bools:
    return np.asarray((weight[mesh.faces] > _FACE).all(axis=1), dtype=np.bool_)
