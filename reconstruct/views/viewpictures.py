"""Each view beside what the result says it should look like: drawn face and difference.

All pictures of a view are of one square part of it, about the face.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...core.arrays import Bools, Bytes, Floats32
from ...core.imaging.color import as_bytes
from ...core.rendering.colormap import SIGNED
from ...core.rendering.preview import Look, MeshPreview, Texture, orbit_cameras
from ...dataset.bake.chart import chart
from ..contactsheet import contact_sheet
from ..photograph import CloseUp
from ..pictures import Scene, cut_scene, detailed_face, model_face, over, with_landmarks
from ..surfaces import FaceSurfaces
from .mergedtexture import shaded_albedo
from .result import MultiViewPrediction, SeenView

DIFFERENCE = 0.2
"""Of the encoded range: from which on a difference has the strongest colour."""

_GUTTER = 8
_WHOLE = 250  # of 255: pixels that the chart fills
_SIDES_DEG = (0.0, -40.0, 40.0)


@dataclass(frozen=True, kw_only=True)
class ViewPictures:
    """Pictures (size, size, 3) of one view."""

    name: str
    photograph: Bytes
    """With the landmarks: green as found, red the model's."""
    coarse: Bytes
    """The coarse surface over the photograph."""
    detail: Bytes
    """The detailed one."""
    drawn: Bytes
    """Its albedo in the view's light, over the photograph."""
    difference: Bytes
    """Photograph less drawn: red where the photograph is brighter, blue where darker."""

    def titled(self) -> dict[str, Bytes]:
        """Return title -> picture."""
        return {
            "photograph": self.photograph,
            "coarse": self.coarse,
            "detailed": self.detail,
            "albedo and light": self.drawn,
            "photograph less that": self.difference,
        }


@dataclass(frozen=True, kw_only=True)
class FacePreviews:
    """The face's surfaces, ready to be drawn."""

    detail: MeshPreview
    """Its colours are the texture's, and those of eyes and mouth."""
    textured: Bools
    """(F,) which of its faces the texture is of."""
    mid: MeshPreview
    coarse: MeshPreview


def face_previews(prediction: MultiViewPrediction) -> FacePreviews:
    """Make a prediction's surfaces ready to be drawn."""
    mesh, textured = detailed_face(prediction, mouth=True, painted=True)
    mid, coarse = (model_face(prediction, level, mouth=True) for level in ("mid", "coarse"))
    return FacePreviews(
        detail=MeshPreview(mesh, ambient_occlusion=False),
        textured=textured,
        mid=MeshPreview(mid, ambient_occlusion=False),
        coarse=MeshPreview(coarse, ambient_occlusion=False),
    )


def view_pictures(
    prediction: MultiViewPrediction,
    previews: FacePreviews,
    images: Mapping[str, Floats32],
    *,
    size: int,
) -> tuple[list[ViewPictures], MultiViewPrediction]:
    """Draw the face as each view sees it.

    Parameters
    ----------
    images : view -> (H, W, 3) in [0, 1]
    size : int
        Px a side.

    Returns
    -------
    list of ViewPictures
        In the order of the views.
    MultiViewPrediction
        The same with each view's `residual_px` and `color_residual`.
    """
    pictures, measured = [], []
    for row, view in enumerate(prediction.views):
        shown = prediction.in_expression_of(row)
        own = previews if prediction.expressions is None else face_previews(shown)
        drawn, off = _view_pictures(shown, own, view, images[view.name], size=size)
        pictures.append(drawn)
        residual = landmark_residual(shown, view)
        measured.append(replace(view, residual_px=residual, color_residual=off))
    return pictures, replace(prediction, views=tuple(measured))


def _view_pictures(
    prediction: MultiViewPrediction,
    previews: FacePreviews,
    view: SeenView,
    image: Floats32,
    *,
    size: int,
) -> tuple[ViewPictures, float | None]:
    """Return a view's pictures, and its median difference of colour."""
    detail, mesh = previews.detail, previews.detail.mesh
    scene = scene_of_view(prediction, view, image, size=size)
    camera, lit = scene.camera, _lit_texture(prediction, view)
    drawn = detail.draw(
        camera, colors=mesh.colors, texture=Texture(image=lit, faces=previews.textured),
        look=Look(lit=False, background=_mean_color(lit)),
    )  # fmt: skip
    of_chart = detail.draw(
        camera, colors=np.zeros_like(mesh.vertices, np.uint8),
        texture=Texture(image=np.full_like(lit, 255), faces=previews.textured),
        look=Look(lit=False, background=(0, 0, 0)),
    )[..., 0]  # fmt: skip
    _, coverage = detail.normals(camera)
    _, of_coarse = previews.coarse.normals(camera)
    off = (scene.pixels.astype(np.float32) - drawn) / np.float32(255)
    shown = (of_chart >= _WHOLE) & _inside(scene, view)
    pictures = ViewPictures(
        name=view.name,
        photograph=with_landmarks(prediction, scene),
        coarse=over(scene, previews.coarse.draw(camera), of_coarse),
        detail=over(scene, detail.draw(camera), coverage),
        drawn=over(scene, drawn, coverage),
        difference=_difference(off, shown),
    )
    return pictures, float(np.median(np.abs(off[shown]).mean(axis=1))) if shown.any() else None


def scene_of_view(
    prediction: MultiViewPrediction, view: SeenView, image: Floats32, *, size: int
) -> Scene:
    """Cut the face out of a view's image, `size` px a side."""
    pixels = as_bytes(image)
    whole = CloseUp(pixels, 1.0, np.zeros(2))
    found = bool(np.isfinite(view.landmarks).all(axis=1).any())
    about = view.landmarks
    if not found:  # where the others say that the face is
        about, _ = view.camera.project(prediction.mid[prediction.model.landmarks68])
    if not np.isfinite(about).all(axis=1).any():  # behind the camera
        about = np.array([[0, 0], [view.camera.width, view.camera.height]], np.float64)
    scene = cut_scene(view.camera, about, whole, size=size)
    return scene if found else replace(scene, landmarks=np.full((68, 2), np.nan))


def landmark_residual(prediction: MultiViewPrediction, view: SeenView) -> float | None:
    """Return the median distance of the model's landmarks to those found, px; None of none."""
    vertices = prediction.mid[prediction.model.landmarks68].astype(np.float64)
    off = np.linalg.norm(view.camera.project(vertices)[0] - view.landmarks, axis=1)
    known = np.isfinite(off)
    return float(np.median(off[known])) if known.any() else None


def sheet_of_views(pictures: Sequence[ViewPictures]) -> Bytes:
    """Return one picture of all, a row a view."""
    return contact_sheet([(one.name, one.titled()) for one in pictures])


def surface_pictures(
    prediction: MultiViewPrediction,
    previews: FacePreviews,
    *,
    size: int,
    alone: FaceSurfaces | None = None,
) -> list[tuple[str, dict[str, Bytes]]]:
    """Return rows of pictures: the surfaces from the front and both sides.

    Parameters
    ----------
    alone : FaceSurfaces, optional
        What one view alone gives, to stand before the others.
    """
    mesh, single = previews.detail.mesh, None
    if alone is not None:
        face, _ = detailed_face(alone, mouth=True)
        single = MeshPreview(face, ambient_occlusion=False)
    texture = Texture(image=prediction.texture, faces=previews.textured)
    rows = []
    cameras = orbit_cameras(mesh, _SIDES_DEG, width=size, height=size)
    for title, camera in zip(("front", "right", "left"), cameras, strict=True):
        row = {} if single is None else {"one view alone": single.draw(camera)}
        row |= {
            "coarse": previews.coarse.draw(camera),
            "middle": previews.mid.draw(camera),
            "detailed": previews.detail.draw(camera),
            "texture": previews.detail.draw(
                camera, colors=mesh.colors, texture=texture, look=Look(lit=False)
            ),
        }
        rows.append((title, row))
    return rows


def _lit_texture(prediction: MultiViewPrediction, view: SeenView) -> Bytes:
    """Return (a, a, 3) the albedo in a view's light, sRGB."""
    lit = shaded_albedo(
        prediction.model, prediction.mid, prediction.albedo, view.camera, view.light
    )
    texels = chart(prediction.model, len(lit))
    spread = texels.dilated(np.clip(lit, 0, 1), n_texels=_GUTTER)
    return np.rint(np.asarray(spread) * 255).astype(np.uint8)


def _mean_color(texture: Bytes) -> tuple[int, int, int]:
    """Return what pixels at the face's edge may be mixed with unseen."""
    r, g, b = texture.reshape(-1, 3).mean(axis=0).round().astype(int)
    return int(r), int(g), int(b)


def _inside(scene: Scene, view: SeenView) -> Bools:
    """Return (size, size): which pixels of a scene lie in the view's image."""
    normalised = scene.camera.normalise(scene.camera.pixel_centers())
    xy = normalised @ view.camera.K[:2, :2].T + view.camera.K[:2, 2]
    size = np.array([view.camera.width, view.camera.height])
    return np.asarray(((xy > 0) & (xy < size)).all(axis=-1))


def _difference(off: Floats32, shown: Bools) -> Bytes:
    """Colour differences (h, w, 3) where the face is shown; grey elsewhere."""
    signed = np.where(shown, off.mean(axis=2), np.nan)
    return SIGNED(signed, -DIFFERENCE, DIFFERENCE)
