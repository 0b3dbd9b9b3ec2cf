"""The terms of the mid and high generators that look at pictures: colours, landmarks, contour.

Mid and high render show one geometry, M1, in two light falls; it is rasterised once. Gradients
of the mid render move vertices and normals, those of the high render the relief alone.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ...core.arrays import Ints
from ...core.rendering.rasterizer import topology
from ...core.rendering.shading import shaded_map
from .. import losses
from ..contour import contour_repaired, signed_distance, silhouette_vertices
from ..hrn import Hrn, resized
from ..maprender import Drawn, Places, coloured, drawn_places
from ..pose import posed, rotated
from ..vectors import unit
from .detailconfig import DetailWeights
from .detailgiven import Given
from .detailpasses import HighPass, MidPass

_BROWS = slice(17, 27)
_RIM_PX = 2  # of the render's edge within which a silhouette has the backdrop behind it
_FAR_PX = 40.0  # a landmark farther off than this is no landmark of this face


def render_terms(
    hrn: Hrn,
    given: Given,
    mid: MidPass,
    high: HighPass | None,
    weights: DetailWeights,
    *,
    contour: bool = True,
) -> dict[str, Tensor]:
    """Return the terms of a batch, weighed.

    Parameters
    ----------
    high : HighPass, optional
        Of the same faces; without it its term is 0.
    contour : bool
        Whether the silhouette is asked to lie on the mask's edge.
    """
    points = posed(mid.mid, mid.found.angles, mid.found.translation)
    places = drawn_places(hrn.face, points, hrn.camera, rasterizer=hrn.rasterizer)
    photo = at_size(given.fine, hrn.camera.size)
    texture = given.texture if high is None else high.texture
    with torch.no_grad():
        coarse = resized(hrn.face.albedo(mid.found.albedo), hrn.displacement_size)
        albedo = hrn.retouch(coarse, texture)
    drawn = _mid_image(hrn, mid, places, albedo)
    mask = drawn.mask * given.mask
    zero = points.new_zeros(())
    terms = {
        "photo_mid": weights.photo * losses.photometric(drawn.image, photo, mask),
        "landmark": weights.landmark * landmark_term(hrn, given, points),
        "contour": weights.contour * contour_term(hrn, given, points, places) if contour else zero,
        "photo_high": zero,
    }
    if high is not None:
        shown = _high_image(hrn, mid, high, places, albedo)
        terms["photo_high"] = weights.photo * losses.photometric(shown.image, photo, mask)
    return terms


def at_size(image: Tensor, size: int) -> Tensor:
    """Resize an image (B, C, S, S), blurred first where it shrinks."""
    if image.shape[-1] == size:
        return image
    return functional.interpolate(
        image, (size, size), mode="bilinear", align_corners=False, antialias=True
    )


def _mid_image(hrn: Hrn, mid: MidPass, places: Places, albedo: Tensor) -> Drawn:
    normals = rotated(hrn.face.vertex_normals(mid.mid), mid.found.angles)
    mapped = unit(hrn.face.to_uv(normals, hrn.displacement_size), dim=1)
    colours = shaded_map(albedo, mapped, mid.found.gamma)
    return coloured(hrn.face, colours, places, rasterizer=hrn.rasterizer)


def _high_image(hrn: Hrn, mid: MidPass, high: HighPass, places: Places, albedo: Tensor) -> Drawn:
    normals = hrn.bent_normals(high.texels, high.displacement)
    colours = shaded_map(albedo, normals, mid.found.gamma)
    still = places._replace(uv=places.uv.detach())
    return coloured(hrn.face, colours, still, rasterizer=hrn.rasterizer)


def landmark_term(hrn: Hrn, given: Given, points: Tensor) -> Tensor:
    """Return how far M1's landmarks are from those found, px^2 of 224; unknown ones count 0."""
    found = hrn.camera.project(points[:, hrn.face.landmarks])
    known = torch.isfinite(given.landmarks).all(dim=-1)
    wanted = torch.where(known[..., None], given.landmarks, found.detach())
    near = (found.detach() - wanted).norm(dim=-1) < _FAR_PX
    counts = losses.landmark_weights(device=points.device) * known * near
    return losses.landmark(found, wanted, counts) * (224 / hrn.camera.size) ** 2


def contour_term(hrn: Hrn, given: Given, points: Tensor, places: Places) -> Tensor:
    """Return how far M1's silhouettes are from the edges of the masks, image widths."""
    total = points.new_zeros(())
    for b in range(len(points)):
        vertices = silhouette(hrn, points[b].detach(), places.seen[b])
        if not len(vertices):
            continue
        signed = signed_distance(given.mask[b, 0].cpu().numpy())
        if not signed.any():  # a mask without an edge
            continue
        pixels = hrn.camera.pixels(points[b, vertices])
        brows = hrn.camera.size - given.landmarks[b, _BROWS, 1]
        known = brows[torch.isfinite(brows)]
        hairline = float(known.min()) if len(known) else hrn.camera.size / 2
        total = total + contour_repaired(
            pixels, torch.from_numpy(signed).to(points), hairline_y=hairline
        )
    return total / len(points)


def silhouette(hrn: Hrn, points: Tensor, seen: Tensor) -> Tensor:
    """Return the vertices (n,) of the face on its silhouette before the backdrop.

    Parameters
    ----------
    points : (V, 3)
        Posed.
    seen : (s, s)
        Triangle at each pixel, -1: none.
    """
    face, device = hrn.face, points.device
    a, b, c = (points[face.faces[:, k].long()] for k in range(3))
    eye = points.new_tensor([0.0, 0.0, hrn.camera.distance])
    turned = (torch.linalg.cross(b - a, c - a) * (eye - a)).sum(dim=1)
    edges = topology(face.faces)
    visible: Ints = np.unique(seen[seen >= 0].cpu().numpy()).astype(np.int32)
    vertices = silhouette_vertices(
        turned.cpu().numpy(),
        edges.edges.cpu().numpy().astype(np.int32),
        edges.faces.cpu().numpy().astype(np.int32),
        visible,
    )
    chosen = torch.from_numpy(vertices.astype(np.int64)).to(device)
    chosen = chosen[face.face_vertices[chosen]]
    return chosen[_before_backdrop(hrn, points[chosen], seen)]


def _before_backdrop(hrn: Hrn, points: Tensor, seen: Tensor) -> Tensor:
    """Return (N,) bool: points near pixels that show none of the head.

    A jaw before its own neck is no edge of the head.
    """
    side = 2 * _RIM_PX + 1
    bare = (seen < 0).to(points)[None, None]
    near = functional.max_pool2d(bare, side, stride=1, padding=_RIM_PX)[0, 0] > 0
    column, row = hrn.camera.pixels(points).floor().clamp(0, hrn.camera.size - 1).long().unbind(1)
    return near[row, column]
