"""Where the subject is: by its difference to the empty studio, or to a plain backdrop.

The difference is compared with the noise that the photograph itself shows where nothing
changed; the rim of the subject is placed where a pixel is half subject, half backdrop.
Where neither tells, wide areas of mere black are known to show nothing.
"""

import logging
from dataclasses import dataclass, replace

import cv2
import numpy as np
from scipy import ndimage

from ..core.arrays import Bools, Floats, Floats32, Image
from .masks import read_mask
from .session import Session, Shot, TakeKind, save_session
from .store import MASKS, store_mask

log = logging.getLogger(__name__)

N_SIGMA = 6.0  # of the noise after smoothing; one pixel in 1e9 by chance
MIN_DIFFERENCE = 0.006  # of the encoded range: 1.5 of 255 steps
SMOOTH_PX = 1.0  # sd of the smoothing before the threshold
RIM_PX = 3  # to either side of the first rim; lens blur and smoothing reach so far
MIN_CONTRAST = 0.05  # encoded, between subject and backdrop, to place the rim by halves
MIN_SHARE, MAX_SHARE = 0.002, 0.95  # of the picture that a subject covers
MIN_SOLID = 0.3  # of what differs that its largest piece holds; less is a moved studio
BORDER = 0.04  # of the sides: where the backdrop is looked for
MAX_UNEVENNESS = 0.02  # encoded, robust; a border with more in it is no plain backdrop
MAX_CLUTTER = 0.1  # of the pixels of a plain side that may show something else
N_PLAIN_SIDES = 3
BLACK = 0.06  # encoded, 0.5 % of white: dark hair and dark stone lie above
BLACK_RADIUS = 0.01  # of the longer side: narrower black may be a crease
MIN_BLACK = 0.05  # of the picture


@dataclass(frozen=True, kw_only=True)
class SubjectMask:
    """The subject's pixels in the sensor's frame."""

    pixels: Bools
    """(height, width)."""
    how: str
    """`given`, `plate`, `backdrop`; or `lit`: all that is not black, which may be too much."""


def subject_mask(
    session: Session,
    shot: Shot,
    image: Image | None = None,
    *,
    most_megapixels: float = np.inf,
) -> SubjectMask | None:
    """Return where the subject is in a photograph; None where nothing tells.

    The mask that came with the photograph counts first, then the difference to the same
    camera's photograph of the empty studio, then that to a plain backdrop; at last it is
    somewhere in what is not black.

    Parameters
    ----------
    image
        The photograph, where it is read already.
    most_megapixels
        Larger photographs are looked at in this size, and the mask has it; a given mask
        comes in its own.

    Raises
    ------
    InputError
        A file of the session does not decode.
    """
    given = session.mask_path(shot)
    if given is not None:
        pixels = read_mask(given, width=shot.width, height=shot.height) > 127
        return SubjectMask(pixels=pixels, how="given")
    image = _reduced(session.read(shot) if image is None else image, most_megapixels)
    for take in session.takes_of(TakeKind.EMPTY):
        empty = take.shot(shot.camera)
        if empty is not None and (empty.width, empty.height) == (shot.width, shot.height):
            plate = _reduced(session.read(empty), most_megapixels)
            found = mask_by_plate(image, plate)
            if found is not None:
                return SubjectMask(pixels=found, how="plate")
    found, lit = mask_by_backdrop(image), mask_by_light(image)
    if found is not None:
        pixels = found & lit if lit is not None and _is_black_around(image) else found
        return SubjectMask(pixels=pixels, how="backdrop")
    return None if lit is None else SubjectMask(pixels=lit, how="lit")


def add_masks(session: Session) -> Session:
    """Write masks of the subject takes that have none, and name them in `session.json`.

    Returns
    -------
    Session
        As saved; the same one where nothing could be added.

    Raises
    ------
    InputError
        A file of the session does not decode, or a mask cannot be written.
    """
    takes, n_made, n_unknown = [], 0, 0
    for take in session.takes:
        shots = []
        for shot in take.shots:
            if take.kind is TakeKind.SUBJECT and shot.mask is None:
                found = subject_mask(session, shot)
                if found is None or found.how == "lit":
                    n_unknown += 1
                else:
                    name = f"{MASKS}/{take.id}/{shot.camera}.png"
                    store_mask(session.folder / name, found.pixels.astype(np.uint8) * 255)
                    shot = replace(shot, mask=name)
                    n_made += 1
            shots.append(shot)
        takes.append(replace(take, shots=tuple(shots)))
    log.info("%s: %d masks made, %d not", session.folder, n_made, n_unknown)
    if not n_made:
        return session
    note = f"{n_made} masks were made from the empty studio or a plain backdrop"
    masked = replace(session, takes=tuple(takes), notes=(*session.notes, note))
    save_session(masked)
    return masked


def mask_by_plate(image: Image, plate: Image) -> Bools | None:
    """Return (height, width) of what differs from the empty studio; None for no subject.

    Parameters
    ----------
    image, plate : (height, width, C) or (height, width), uint8 or uint16
        sRGB-encoded, of one camera that was not moved.
    """
    picture, empty = _encoded(image), _encoded(plate)
    if picture.shape != empty.shape:
        return None
    return _mask(picture, _same_exposure(picture, empty))


def mask_by_backdrop(image: Image) -> Bools | None:
    """Return (height, width) of what differs from a smooth backdrop; None where it is not plain."""
    picture = _encoded(image)
    backdrop = _backdrop(picture)
    return None if backdrop is None else _mask(picture, backdrop)


def mask_by_light(image: Image) -> Bools | None:
    """Return (height, width) without wide areas of mere black; None where there are hardly any.

    Nothing can be measured there, but stereo would carry the outline before it into them.
    """
    brightest = np.ascontiguousarray(_encoded(image).max(axis=2))
    black = (cv2.GaussianBlur(brightest, (0, 0), SMOOTH_PX) < BLACK).astype(np.uint8)
    radius = max(1, round(BLACK_RADIUS * max(black.shape)))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    # beyond the frame it goes on as it is there
    framed = np.pad(black, 2 * radius, mode="edge")
    inner = slice(2 * radius, -2 * radius)
    lit: Bools = cv2.morphologyEx(framed, cv2.MORPH_OPEN, disc)[inner, inner] == 0
    return lit if MIN_SHARE < float(lit.mean()) < 1 - MIN_BLACK else None


def _is_black_around(image: Image) -> bool:
    picture = _encoded(image)
    return float(np.median(picture[_ring(*picture.shape[:2])])) < BLACK


def _reduced(image: Image, most_megapixels: float) -> Image:
    height, width = image.shape[:2]
    factor = np.sqrt(most_megapixels * 1e6 / (height * width))
    if factor >= 1:
        return image
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))


def _encoded(image: Image) -> Floats32:
    """Return (height, width, C) in [0, 1], still sRGB-encoded: noise is alike at all levels."""
    full = np.float32(np.iinfo(image.dtype).max)
    pixels = image.astype(np.float32) / full
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _same_exposure(picture: Floats32, empty: Floats32) -> Floats32:
    """Scale the plate to the photograph's exposure, as the border shows it."""
    ring = _ring(picture.shape[0], picture.shape[1])
    ratio = np.median(picture[ring] / np.maximum(empty[ring], 1e-3), axis=0)
    near = np.abs(ratio - 1) < 0.2
    return np.asarray(empty * np.where(near, ratio, 1).astype(np.float32))


def _mask(picture: Floats32, empty: Floats32) -> Bools | None:
    difference = picture - empty
    smooth = cv2.GaussianBlur(difference, (0, 0), SMOOTH_PX)
    smooth = smooth[..., None] if smooth.ndim == 2 else smooth
    ring = _ring(picture.shape[0], picture.shape[1])
    middle = np.median(smooth[ring], axis=0)
    noise = 1.4826 * np.median(np.abs(smooth[ring] - middle), axis=0)
    limit = np.maximum(N_SIGMA * noise, MIN_DIFFERENCE)
    rough = (np.abs(smooth - middle) > limit).any(axis=2)
    rough = _solid(rough)
    share = float(rough.mean())
    if not MIN_SHARE < share < MAX_SHARE:
        return None
    return _solid(_with_exact_rim(rough, picture, empty + middle.astype(np.float32)))


def _solid(mask: Bools) -> Bools:
    """Close gaps, keep the largest piece and fill its holes; empty where it is in crumbs."""
    square = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
    closed = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, square)
    n, labels, stats, _ = cv2.connectedComponentsWithStats(closed, connectivity=4)
    if n < 2:
        return np.zeros_like(mask)
    areas = stats[1:, cv2.CC_STAT_AREA]
    largest = 1 + int(np.argmax(areas))
    if areas.max() < MIN_SOLID * areas.sum():
        return np.zeros_like(mask)
    filled = ndimage.binary_fill_holes(labels == largest)
    return np.asarray(filled & (mask | ndimage.binary_erosion(filled, iterations=2)))


def _with_exact_rim(rough: Bools, picture: Floats32, empty: Floats32) -> Bools:
    """Decide the pixels of the rim by their share of the subject's colour beside them."""
    core = cv2.erode(rough.astype(np.uint8), np.ones((3, 3), np.uint8), iterations=RIM_PX)
    wide = cv2.dilate(rough.astype(np.uint8), np.ones((3, 3), np.uint8), iterations=RIM_PX)
    rim = (wide > 0) & (core == 0)
    if not core.any():
        return rough
    _, labels = cv2.distanceTransformWithLabels(
        1 - core, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    # every pixel of the core has a label of its own
    inside = np.flatnonzero(core)
    place = np.zeros(int(labels.max()) + 1, dtype=np.int64)
    place[labels.ravel()[inside]] = inside
    at = np.flatnonzero(rim)
    nearest = place[labels.ravel()[at]]
    n_channels = picture.shape[2]
    flat, back = picture.reshape(-1, n_channels), empty.reshape(-1, n_channels)
    contrast = flat[nearest] - back[nearest]
    length2 = (contrast**2).sum(axis=1)
    share = ((flat[at] - back[at]) * contrast).sum(axis=1) / np.maximum(length2, 1e-12)
    clear = length2 > MIN_CONTRAST**2
    result = rough.copy()
    result.ravel()[at] = np.where(clear, share > 0.5, result.ravel()[at])
    return result


def _ring(height: int, width: int) -> Bools:
    """Return the pixels along the edges: a subject comes in from one of them at most."""
    ring = np.zeros((height, width), dtype=bool)
    for side in _sides(height, width):
        ring[side] = True
    return ring


def _sides(height: int, width: int) -> tuple[tuple[slice, slice], ...]:
    rows, cols = max(1, round(BORDER * height)), max(1, round(BORDER * width))
    every = slice(None)
    return (
        (slice(None, rows), every),
        (slice(-rows, None), every),
        (every, slice(None, cols)),
        (every, slice(-cols, None)),
    )


def _backdrop(picture: Floats32) -> Floats32 | None:
    """Return a smooth surface through the border, None where three sides are not plain."""
    height, width, n_channels = picture.shape
    rows, cols = np.nonzero(_ring(height, width))
    step = max(1, len(rows) // 8_000)
    rows, cols = rows[::step], cols[::step]
    design = _quadratic((cols + 0.5) / width, (rows + 0.5) / height)
    x = ((np.arange(width) + 0.5) / width)[None]
    y = ((np.arange(height) + 0.5) / height)[:, None]
    surface = np.empty_like(picture)
    for c in range(n_channels):
        values = picture[rows, cols, c].astype(np.float64)
        weight = np.ones_like(values)
        spread, a = 0.0, np.zeros(6)
        for _ in range(8):
            weighted = design * weight[:, None]
            a = np.linalg.solve(weighted.T @ design + 1e-9 * np.eye(6), weighted.T @ values)
            residual = values - design @ a
            spread = 1.4826 * float(np.median(np.abs(residual)))
            weight = 1 / (1 + (residual / (3 * spread + 1e-4)) ** 2) ** 2
        if spread > MAX_UNEVENNESS:
            return None
        along, down = a[1] * x + a[3] * x * x, a[0] + a[2] * y + a[5] * y * y
        surface[..., c] = (along + down + a[4] * x * y).astype(np.float32)
        limit = 4 * spread + MIN_DIFFERENCE
        plain = [
            float((np.abs(picture[side][..., c] - surface[side][..., c]) > limit).mean())
            < MAX_CLUTTER
            for side in _sides(height, width)
        ]
        if sum(plain) < N_PLAIN_SIDES:
            return None
    return surface


def _quadratic(x: Floats, y: Floats) -> Floats:
    """Return (N, 6) terms of a surface of second order."""
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)
