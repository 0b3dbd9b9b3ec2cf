"""Calibrated photographs as stereo wants them: undistorted, scaled, grey, masked."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from ...capture.plates import subject_mask
from ...capture.session import Session, Take
from ...core.arrays import Bools, Bytes, Floats, Floats32, Image, Ints
from ...core.errors import InputError
from ...core.geometry.camera import Camera, Rig
from ...core.imaging.resample import scale_image, scaled_to, undistorted_strips

_SAME_SHAPE = 2e-3  # relative: a thumbnail rounds its sides
_LEAST_CONVERGENCE_DEG = 3.0  # between axes that are taken to meet at the subject
_CLOSE_DEG = 8.0  # between cameras that show a subject from the same side
_BASELINES_AWAY = 3.0  # distance of a subject that parallel cameras look at
_MASK_MEGAPIXELS = 2.0  # masks need not be finer: stereo itself finds the outline
_GREY = np.array([0.3, 0.5, 0.2], np.float32)


@dataclass(frozen=True, kw_only=True)
class View:
    """One undistorted photograph."""

    camera: Camera
    """Without distortion, at the size of `grey`."""
    grey: Floats32
    """(height, width), sRGB-coded, [0, 1]."""
    color: Bytes
    """(height, width, 3) RGB, sRGB-coded."""
    mask: Bools
    """(height, width): where the subject may be."""

    def halved(self, times: int) -> "View":
        """Return the view at 1 / 2**times of the size."""
        if times == 0:
            return self
        width = max(1, self.camera.width >> times)
        height = max(1, self.camera.height >> times)
        mask = scale_image(self.mask.astype(np.float32), width, height) > 0.5
        return replace(
            self,
            camera=self.camera.scaled(width, height),
            grey=scale_image(self.grey, width, height),
            color=_bytes(scale_image(self.color, width, height)),
            mask=mask,
        )

    def without_pixels(self) -> "View":
        """Return the view with its camera and mask alone."""
        nothing = np.zeros((0, 0, 3), np.uint8)
        return replace(self, grey=nothing[..., 0].astype(np.float32), color=nothing)


def load_views(
    session: Session, take: Take, rig: Rig, *, megapixels: float, auto_mask: bool = True
) -> list[View]:
    """Load the photographs of a take that the rig knows.

    Raises
    ------
    InputError
        Fewer than two of them, an unreadable file, or an image of another shape than the rig
        was calibrated with.
    """
    views = list(each_view(session, take, rig, megapixels=megapixels, auto_mask=auto_mask))
    if len(views) < 2:
        raise InputError(
            f"{session.folder}: take {take.id} has {len(views)} photographs of calibrated "
            "cameras; stereo needs two"
        )
    return views


def each_view(
    session: Session, take: Take, rig: Rig, *, megapixels: float, auto_mask: bool = True
) -> Iterator[View]:
    """Yield the views that `load_views` returns, one in memory at a time."""
    for shot in take.shots:
        if shot.camera in rig.names:
            image = session.read(shot)
            mask = None
            if auto_mask or shot.mask is not None:
                mask = subject_mask(session, shot, image, most_megapixels=_MASK_MEGAPIXELS)
            yield make_view(
                rig[shot.camera],
                image,
                None if mask is None else mask.pixels,
                megapixels=megapixels,
                where=str(session.path(shot)),
            )


def make_view(
    camera: Camera, image: Image, mask: Bools | None, *, megapixels: float, where: str
) -> View:
    """Scale and undistort one photograph (H, W) or (H, W, 3) with the mask of the subject.

    Raises
    ------
    InputError
        The image has another shape than the camera was calibrated with, or the mask than it.
    """
    height, width = image.shape[:2]
    check_shape(camera, width=width, height=height, where=where)
    if mask is not None and abs(mask.shape[1] * height / (mask.shape[0] * width) - 1) > _SAME_SHAPE:
        raise InputError(
            f"{where}: {width}x{height}, but its mask is {mask.shape[1]}x{mask.shape[0]}; "
            "a mask needs the shape of its photograph"
        )
    camera = scaled_to(camera.scaled(width, height), megapixels)
    size = (camera.height, camera.width)
    grey, color = np.zeros(size, np.float32), np.zeros((*size, 3), np.uint8)
    for rows, pixels in undistorted_strips(image, camera):
        if pixels.ndim == 2:
            pixels = np.repeat(pixels[..., None], 3, axis=2)
        grey[rows], color[rows] = _grey(pixels), _bytes(pixels)
    inside = np.zeros(size, bool)
    # what lies outside of the photograph is not the subject either
    given = np.ones((2, 2), np.uint8) if mask is None else mask.view(np.uint8)
    for rows, share in undistorted_strips(given * np.uint8(255), camera):
        inside[rows] = share > 0.5
    return View(camera=camera.undistorted(), grey=grey, color=color, mask=inside)


def check_shape(camera: Camera, *, width: int, height: int, where: str) -> None:
    """Compare a photograph's shape with its camera's.

    Raises
    ------
    InputError
        Their sides have another ratio.
    """
    if abs(width * camera.height / (height * camera.width) - 1) > _SAME_SHAPE:
        raise InputError(
            f"{where}: {width}x{height}, but {camera.name} was calibrated at "
            f"{camera.width}x{camera.height}; calibrate with photographs of the same shape"
        )


def focus_point(cameras: list[Camera]) -> Floats:
    """Return the point (3,) where the subject is taken to be.

    It is the one nearest to all optical axes, least squares. Where the axes hardly converge,
    or it would lie behind a camera, it is a point before the cameras, a few baselines away.
    """
    A, b = np.zeros((3, 3)), np.zeros(3)
    for camera in cameras:
        d = camera.view_direction
        M = np.eye(3) - np.outer(d, d)
        A += M
        b += M @ camera.center
    if converging(cameras):
        point = np.linalg.solve(A, b)
        if all((point - c.center) @ c.view_direction > 0 for c in cameras):
            return np.asarray(point)
    centers = np.array([camera.center for camera in cameras])
    ahead = np.mean([camera.view_direction for camera in cameras], axis=0)
    reach = _BASELINES_AWAY * float(np.linalg.norm(np.ptp(centers, axis=0)))
    return np.asarray(centers.mean(axis=0) + reach * ahead / np.linalg.norm(ahead))


def converging(cameras: list[Camera]) -> bool:
    """Tell whether the optical axes differ enough in direction to meet somewhere."""
    axes = np.array([camera.view_direction for camera in cameras])
    return bool((axes @ axes.T).min() < np.cos(np.radians(_LEAST_CONVERGENCE_DEG)))


def neighbours(cameras: list[Camera], subject: Floats, *, most: int) -> list[Ints]:
    """Return for each view the others to match with, best baseline angles first.

    Angles of 10-30 degrees are best; below 3 depth is not determined, above 60 little is
    seen by both. Of cameras that stand close together one is taken before a second is: views
    from several sides see round a nose, and several from one side say the same.
    """
    rays = np.array([(c.center - subject) / np.linalg.norm(c.center - subject) for c in cameras])
    chosen = []
    for i in range(len(cameras)):
        angle = np.degrees(np.arccos(np.clip(rays @ rays[i], -1, 1)))
        others = np.array([j for j in range(len(cameras)) if j != i])
        order = others[
            np.argsort(np.abs(np.log(np.maximum(angle[others], 1.0) / 17.0)), kind="stable")
        ]
        usable = order[(angle[order] > 3) & (angle[order] < 60)]
        if len(usable) == 0:
            usable = order[:1]
        chosen.append(np.array(_spread(usable, rays)[:most], np.int32))
    return chosen


def _spread(order: Ints, rays: Floats) -> list[int]:
    """Return `order` with those behind that stand close to an earlier one."""
    first: list[int] = []
    last: list[int] = []
    for j in order:
        alone = all(rays[j] @ rays[k] < np.cos(np.radians(_CLOSE_DEG)) for k in first)
        (first if alone else last).append(int(j))
    return first + last


def depth_range(camera: Camera, subject: Floats, *, known: bool = True) -> tuple[float, float]:
    """Return nearest and farthest depth to search, in the rig's unit.

    The subject is taken to be about as deep as the picture is wide at its distance. With
    `known` false its distance is a mere guess, and the range is made wide.
    """
    distance = float((subject - camera.center) @ camera.view_direction)
    if not known:
        return 0.25 * distance, 6.0 * distance
    half = 0.6 * max(camera.width / camera.K[0, 0], camera.height / camera.K[1, 1]) * distance
    half = min(half, 0.6 * distance)
    return distance - half, distance + half


def _grey(color: Floats32) -> Floats32:
    # green is the sharpest channel of a Bayer sensor, blue the noisiest
    # written out: a matrix product may round differently with another number of threads
    r, g, b = (color[..., k] * _GREY[k] for k in range(3))
    return np.ascontiguousarray(r + g + b)


def _bytes(color: Floats32) -> Bytes:
    return np.rint(np.clip(color, 0, 1) * 255).astype(np.uint8)
