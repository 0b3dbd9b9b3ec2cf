"""Find the board at reduced size where a photograph is large, its corners at full resolution.

Coordinates count OpenCV's way, the centre of the top-left pixel as (0, 0).
"""

from dataclasses import replace

import cv2
import numpy as np

from ...capture.patterns import face_corners
from ...capture.session import BoardPattern, BoardSpec
from ...capture.targets import faces
from ...core.arrays import Bytes, Floats, Ints
from .cornerfit import completed, plane_map, refined
from .facesearch import FaceSighting, sight_face

REDUCED_MEGAPIXELS = 2.8  # photographs of four times as many pixels and more are searched reduced
MAX_REFINEMENT_PX = 2.0  # a corner that moves farther was drawn to something else
TAG_CORNER_PX = 4.0  # a tag's outline runs into the small squares at its corners
AROUND_MISSING = 2.5  # squares: markers so near to missing corners are looked for again


def find_face(grey: Bytes, spec: BoardSpec) -> FaceSighting:
    """Find the face that is seen, dark on white, and its corners to sub-pixel accuracy."""
    factor = max(1, int(np.sqrt(grey.size / (REDUCED_MEGAPIXELS * 1e6))))
    if factor == 1:
        return _fine(grey, spec)
    if spec.pattern is BoardPattern.CHECKERBOARD:
        return _completed(grey, spec, _fine(grey, spec, per_px=factor))
    shape = (grey.shape[1] // factor, grey.shape[0] // factor)
    whole = grey[: shape[1] * factor, : shape[0] * factor]
    small = cv2.resize(whole, shape, interpolation=cv2.INTER_AREA)
    seen = sight_face(np.asarray(small, np.uint8), spec)
    seen = replace(seen, xy=(seen.xy + 0.5) * factor - 0.5)
    face = faces(spec)[seen.face]
    reach = factor * _start_px(face)
    xy, held, sharp = refined(
        grey, face, seen.ids, seen.xy, max_move=reach, tag_border=seen.tag_border
    )
    good = held & sharp
    if plane_map(face, seen.ids[good], xy[good], grey.shape) is None:
        return _completed(grey, spec, _fine(grey, spec))
    seen = replace(seen, ids=seen.ids[good], xy=xy[good])
    return _completed(grey, spec, seen)


def _fine(grey: Bytes, spec: BoardSpec, *, per_px: int = 1) -> FaceSighting:
    """Find and refine a face at full resolution, found to `per_px` pixels."""
    seen = sight_face(grey, spec)
    face = faces(spec)[seen.face]
    xy, held, _ = refined(
        grey, face, seen.ids, seen.xy, max_move=per_px * _start_px(face), tag_border=seen.tag_border
    )
    return replace(seen, ids=seen.ids[held], xy=xy[held])


def _start_px(face: BoardSpec) -> float:
    """Return how far off, px of the searched picture, corners may be found."""
    return TAG_CORNER_PX if face.pattern is BoardPattern.APRILGRID else MAX_REFINEMENT_PX


def _completed(grey: Bytes, spec: BoardSpec, seen: FaceSighting) -> FaceSighting:
    """Add the corners that the search missed: by their place, else by the markers round them."""
    face = faces(spec)[seen.face]
    ids, xy, missing = completed(grey, face, seen.ids, seen.xy, tag_border=seen.tag_border)
    if len(missing) and face.pattern is not BoardPattern.CHECKERBOARD:
        left, top, right, bottom = _around(grey, face, ids, xy, missing)
        part = np.ascontiguousarray(grey[top:bottom, left:right])
        again = _fine(part, face)
        new = np.isin(again.ids, missing)
        ids = np.concatenate([ids, again.ids[new]])
        xy = np.concatenate([xy, again.xy[new] + [left, top]])
        ids, xy, _ = completed(grey, face, ids, xy, tag_border=seen.tag_border)
    return replace(seen, ids=ids, xy=xy)


def _around(
    grey: Bytes, face: BoardSpec, ids: Ints, xy: Floats, missing: Ints
) -> tuple[int, int, int, int]:
    """Return left, top, right, bottom px of the missing corners and the markers round them."""
    fitted = plane_map(face, ids, xy, grey.shape)
    assert fitted is not None, "corners were completed by such a map"
    corners = face_corners(face)[missing, :2]
    reach = AROUND_MISSING * face.square_mm
    box = np.array([corners.min(axis=0) - reach, corners.max(axis=0) + reach])
    x, y = np.meshgrid(box[:, 0], box[:, 1])
    put = fitted(np.stack([x.ravel(), y.ravel()], axis=1))
    low = np.clip(np.floor(put.min(axis=0)), 0, None).astype(int)
    high = np.clip(np.ceil(put.max(axis=0)) + 1, None, grey.shape[1::-1]).astype(int)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])
