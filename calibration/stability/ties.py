"""Tie points: places of the subject that several photographs of one take show.

Features are found and matched with the rig as a guide; each becomes a small piece of surface
whose image in every other photograph is then placed by least squares. The rig only tells
where to look: a camera that was moved is measured like any other.
"""

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from scipy.spatial import cKDTree

from ...capture.session import Session, Shot, Take
from ...core.arrays import Bools, Floats, Floats32, Image, Ints
from ...core.errors import InputError
from ...core.geometry.camera import Camera, Rig
from ..structure.features import Features, FeatureSettings, find_features
from ..structure.pool import shot_digests
from .patches import place_patches

log = logging.getLogger(__name__)

SAME_SHAPE = 0.01  # relative difference of the sides' ratios of photograph and calibration
N_NEIGHBOURS = 12  # ties that give the surface about one
STEEPEST = 0.35  # cosine of normal and ray, below which a patch is too foreshortened
HALF_PATCH_PX = 8
LEAST_NCC = 0.85
MAX_SIGMA_PX = 0.25  # of a patch's place: edges and plain skin are worse
MAX_MOVE_PX = 6.0  # of a patch from where it was expected


@dataclass(frozen=True, kw_only=True)
class TieSettings:
    """How tie points are found."""

    max_image_size: int = 3000
    """px of the longer side at which they are looked for."""
    gate: float = 0.012
    """Distance from the epipolar line at which a match is looked for, in parts of the longer
    side: 18 px of 1500, 0.3 degrees of an 85 mm lens."""
    peak_threshold: float = 0.001
    """Least contrast of a feature, of 1."""
    max_features: int = 6000
    """Of a photograph."""
    max_ratio: float = 0.9
    """Lowe's test, among the candidates near the line."""


@dataclass(frozen=True, kw_only=True)
class Ties:
    """Which points the cameras of a take see, and where."""

    names: tuple[str, ...]
    """Of the cameras."""
    sizes: tuple[tuple[int, int], ...]
    """(width, height) of each camera's photograph, px."""
    camera_of: Ints
    """(N,) row of `names`, of each sighting."""
    point_of: Ints
    """(N,) number of the point, 0..n_points-1."""
    xy: Floats
    """(N, 2) px of the photograph."""
    feature_of: Ints | None = None
    """(N,) row among the camera's features, where the sightings are features."""

    @property
    def n_points(self) -> int:
        """Number of points."""
        return int(self.point_of.max(initial=-1)) + 1

    def selected(self, keep: Bools) -> "Ties":
        """Return the sightings (N,) that are true, of points that two cameras still see."""
        count = np.bincount(self.point_of[keep], minlength=self.n_points)
        rows = keep & (count[self.point_of] >= 2)
        _, point_of = np.unique(self.point_of[rows], return_inverse=True)
        return replace(
            self,
            camera_of=self.camera_of[rows],
            point_of=point_of.ravel().astype(np.int32),
            xy=self.xy[rows],
            feature_of=None if self.feature_of is None else self.feature_of[rows],
        )


@dataclass(frozen=True, kw_only=True)
class TakePhotos:
    """The photographs of a take at working size, and their features."""

    cameras: tuple[Camera, ...]
    """At working size, in the order of the rig."""
    sizes: tuple[tuple[int, int], ...]
    """(width, height) of the photographs themselves."""
    grey: tuple[Floats32, ...]
    features: tuple[Features, ...]
    """Their `xy` at working size."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of the cameras."""
        return tuple(camera.name for camera in self.cameras)

    def reordered(self, order: Sequence[int]) -> "TakePhotos":
        """Return the photographs with camera i holding the one of camera `order[i]`."""
        return replace(
            self,
            sizes=tuple(self.sizes[k] for k in order),
            grey=tuple(self.grey[k] for k in order),
            features=tuple(self.features[k] for k in order),
            cameras=tuple(
                camera.scaled(self.cameras[k].width, self.cameras[k].height)
                for camera, k in zip(self.cameras, order, strict=True)
            ),
        )

    def seen_by(self, rig: Rig) -> "TakePhotos":
        """Return the same photographs with the poses and lenses of another rig."""
        cameras = tuple(rig[c.name].scaled(c.width, c.height) for c in self.cameras)
        return replace(self, cameras=cameras)


def load_photos(
    session: Session,
    take: Take,
    rig: Rig,
    settings: TieSettings,
    *,
    cache: Path,
    n_workers: int = 1,
) -> TakePhotos:
    """Read the photographs of the rig's cameras and find their features, kept in `cache`.

    Raises
    ------
    InputError
        Fewer than two photographs, one cannot be read, or one has another shape than its
        camera was calibrated with.
    """
    shots = [shot for name in rig.names if (shot := take.shot(name)) is not None]
    if len(shots) < 2:
        raise InputError(
            f"{session.folder}: take {take.id} has {len(shots)} photographs of calibrated "
            "cameras; a comparison needs two"
        )
    digests = shot_digests(session, [take])
    search = FeatureSettings(
        max_image_size=settings.max_image_size,
        peak_threshold=settings.peak_threshold,
        max_features=settings.max_features,
        max_ratio=settings.max_ratio,
        first_octave=0,
    )

    def load(shot: Shot) -> tuple[Camera, Floats32, Features]:
        path = session.checked_path(shot)
        found = find_features(
            path,
            mask=session.mask_path(shot),
            digest=digests[take.id, shot.camera],
            settings=search,
            cache=cache,
        )
        grey = _grey(session.read(shot), settings.max_image_size)
        camera = _scaled(rig[shot.camera], shot, where=str(path))
        camera = camera.scaled(grey.shape[1], grey.shape[0])
        scale = np.array([grey.shape[1] / shot.width, grey.shape[0] / shot.height], np.float32)
        return camera, grey, replace(found, xy=found.xy * scale)

    with ThreadPoolExecutor(max(1, n_workers)) as pool:
        loaded = list(pool.map(load, shots))
    return TakePhotos(
        cameras=tuple(camera for camera, _, _ in loaded),
        sizes=tuple((shot.width, shot.height) for shot in shots),
        grey=tuple(grey for _, grey, _ in loaded),
        features=tuple(features for _, _, features in loaded),
    )


def refine_ties(photos: TakePhotos, tracks: Ties, points: Floats) -> Ties:
    """Place each point's patch, taken from the photograph that faces it best, in all others.

    Parameters
    ----------
    photos : TakePhotos
        With the poses that tell best where to look: those of a camera that was moved may be
        some pixels off.
    tracks : Ties
        From `find_tracks`, without what is wrong.
    points : (n_points, 3)
        Their places by those poses.
    """
    if not len(points):
        return tracks
    normals = surface_normals(points, np.array([c.center for c in photos.cameras]))
    to_camera = np.array([c.center for c in photos.cameras])[None] - points[:, None]
    facing = np.einsum("pi,pci->pc", normals, to_camera) / np.linalg.norm(to_camera, axis=2)
    at_work = _at_work(photos, tracks)
    seen = np.full((len(points), len(photos.cameras)), -1)
    seen[tracks.point_of, tracks.camera_of] = np.arange(len(tracks.xy))
    reference = np.where(seen >= 0, facing, -2.0).argmax(axis=1)
    cameras, numbers, places = [], [], []
    for r in range(len(photos.cameras)):
        own = np.flatnonzero((reference == r) & (facing[:, r] > STEEPEST))
        centers = at_work[seen[own, r]]
        placed_any: Bools = np.zeros(len(own), dtype=bool)
        for other in range(len(photos.cameras)):
            ok = facing[own, other] > STEEPEST
            if other == r or not ok.any():
                continue
            rows = own[ok]
            xy, good = _place(photos, (r, other), centers[ok], points[rows], normals[rows])
            hits = np.flatnonzero(ok)[good]
            placed_any[hits] = True
            cameras.append(np.full(len(hits), other))
            numbers.append(own[hits])
            places.append(xy[good])
        cameras.append(np.full(int(placed_any.sum()), r))
        numbers.append(own[placed_any])
        places.append(centers[placed_any])
    camera_of = np.concatenate(cameras).astype(np.int32)
    _, point_of = np.unique(np.concatenate(numbers), return_inverse=True)
    return in_photographs(
        photos, camera_of, point_of.ravel().astype(np.int32), np.concatenate(places).reshape(-1, 2)
    )


def surface_normals(points: Floats, centers: Floats) -> Floats:
    """Return unit normals (P, 3) from each point's neighbours, on the cameras' side."""
    towards = centers.mean(axis=0) - points
    if len(points) < 4:
        return np.asarray(towards / np.linalg.norm(towards, axis=1, keepdims=True))
    _, near = cKDTree(points).query(points, k=min(N_NEIGHBOURS, len(points)))
    cloud = points[near]
    weight = np.ones(cloud.shape[:2])
    for _ in range(3):  # wrong points lie off the plane and lose their say
        middle = (weight[..., None] * cloud).sum(1) / weight.sum(1)[:, None]
        spread = cloud - middle[:, None]
        moments = np.einsum("pk,pki,pkj->pij", weight, spread, spread)
        normal = np.linalg.eigh(moments)[1][:, :, 0]
        off = np.abs(np.einsum("pki,pi->pk", spread, normal))
        weight = 1 / (1 + (off / (np.median(off, axis=1, keepdims=True) + 1e-12)) ** 2)
    to_all = centers[None] - points[:, None]
    nearest = to_all[np.arange(len(points)), np.linalg.norm(to_all, axis=2).argmin(axis=1)]
    faces = (normal * nearest).sum(axis=1)
    return np.asarray(normal * np.where(faces < 0, -1.0, 1.0)[:, None])


def _place(
    photos: TakePhotos, pair: tuple[int, int], centers: Floats, points: Floats, normals: Floats
) -> tuple[Floats, Bools]:
    """Return places (N, 2) in the second photograph of a pair, and which of them are good."""
    a, b = (photos.cameras[i] for i in pair)
    on_plane = [_on_plane(a, centers + step, points, normals) for step in ((0, 0), (1, 0), (0, 1))]
    start, right, below = (b.project(p)[0] for p in on_plane)
    warps = np.stack([right - start, below - start], axis=-1)
    found = place_patches(
        photos.grey[pair[0]], photos.grey[pair[1]], centers, start, warps=warps, half=HALF_PATCH_PX
    )
    with np.errstate(invalid="ignore"):
        moved = np.linalg.norm(found.xy - start, axis=1)
        area = np.abs(np.linalg.det(warps))
        good = (found.ncc > LEAST_NCC) & (found.sigma < MAX_SIGMA_PX) & (moved < MAX_MOVE_PX)
        good &= (area > 0.25) & (area < 4.0)
    return found.xy, good


def _on_plane(camera: Camera, xy: Floats, points: Floats, normals: Floats) -> Floats:
    """Return where the rays through pixels (N, 2) meet the planes through points (N, 3)."""
    rays = camera.unproject(xy)
    with np.errstate(divide="ignore", invalid="ignore"):
        depth = ((points - camera.center) * normals).sum(1) / (rays * normals).sum(1)
    return np.asarray(camera.center + np.where(depth > 0, depth, np.nan)[:, None] * rays)


def _at_work(photos: TakePhotos, ties: Ties) -> Floats:
    scale = np.array(
        [
            (c.width / w, c.height / h)
            for c, (w, h) in zip(photos.cameras, photos.sizes, strict=True)
        ]
    )
    return ties.xy * scale[ties.camera_of]


def in_photographs(photos: TakePhotos, camera_of: Ints, point_of: Ints, xy: Floats) -> Ties:
    """Return sightings (N, 2) px at working size as ties of the photographs."""
    scale = np.array(
        [
            (w / c.width, h / c.height)
            for c, (w, h) in zip(photos.cameras, photos.sizes, strict=True)
        ]
    )
    return Ties(
        names=photos.names,
        sizes=photos.sizes,
        camera_of=camera_of,
        point_of=point_of,
        xy=xy * scale[camera_of] if len(xy) else np.zeros((0, 2)),
    )


def _scaled(camera: Camera, shot: Shot, *, where: str) -> Camera:
    if abs(shot.width * camera.height / (shot.height * camera.width) - 1) > SAME_SHAPE:
        raise InputError(
            f"{where}: {shot.width}x{shot.height}, but {camera.name} was calibrated at "
            f"{camera.width}x{camera.height}; calibrate with photographs of the same shape"
        )
    return camera.scaled(shot.width, shot.height)


def _grey(image: Image, longest: int) -> Floats32:
    """Return a photograph reduced to `longest` px, (H, W) float32, 0..255."""
    if image.ndim == 3:
        image = cv2.cvtColor(image[..., :3], cv2.COLOR_RGB2GRAY)
    height, width = image.shape
    factor = min(1.0, longest / max(width, height))
    if factor < 1:
        size = (max(1, round(width * factor)), max(1, round(height * factor)))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    full = np.iinfo(image.dtype).max if np.issubdtype(image.dtype, np.integer) else 1.0
    return np.asarray(image.astype(np.float32) * (255.0 / full), np.float32)
