"""Landmarks of several calibrated photographs, put together to points in space.

Every pair of views proposes a place for every landmark; the one that all views together like
best, each within its own tolerance, is refined by weighted least squares with Huber's loss.
Detectors err by a share of the face's size, not by pixels, so tolerances are shares of it. What
a view cannot see it guesses: such points are left to the others. A view that is wrong as a
whole is found by most of its points lying off, and left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from ...core.arrays import Bools, Floats
from ...core.errors import EstimationError, InputError
from ...core.facemodel.landmark_schemes import GROUPS68, NAMES68, Scheme
from ...core.facemodel.landmarks import Detection
from ...core.geometry.camera import Camera, Rig, undistort
from ...core.wording import listed

_JAW = list(GROUPS68["jaw"])
_SKIMMED = 0.25  # cosine of skin and view below which tolerances do not grow further
_FARTHEST_ASIDE = 8.0  # nor beyond this, of views from aside
_LEAST_CHI2 = 0.3  # few residuals may be small by chance
_VAGUE = [*_JAW, *GROUPS68["right_brow"], *GROUPS68["left_brow"]]
_LEAST_FRONT = 10  # points that tell where a head looks
_EARS_BEHIND = 1.4  # the eyes, nose and mouth, in root mean square radii of these
_FRONT = list(range(17, 68))


@dataclass(frozen=True, kw_only=True)
class LandmarkConfig:
    """How landmarks of several views are put together."""

    noise: float = 0.007  # of a face's size in px: what a good detector errs by, each axis
    bias: float = 0.010  # of the face's size: errors that all views have alike: what
    # detectors and morphable models call by one name lies 2-3 mm apart
    vague_factor: float = (
        2.0  # on `bias` for jaw and brows, whose points every scheme has elsewhere
    )
    jaw_factor: float = 1.4  # the jaw has no corners: its points are less well defined
    slide_factor: float = 2.0  # once more where they lie on the visible outline
    slide_yaw_deg: float = 30.0  # a view from further aside: its outline is not the jaw
    frontal_yaw_deg: float = 25.0  # detectors know faces from the front best; from there on
    yaw_doubles_deg: float = 15.0  # they err twice as much for every so many degrees
    huber: float = 1.5  # tolerances from which on a residual pulls no harder
    agree: float = 4.0  # tolerances within which a view agrees
    least_facing: float = 0.1  # cosine of skin and view: below, a point is guessed, not seen
    wrong_share: float = 0.4  # a view with fewer of its seen points agreeing is wrong
    wrong_off: float = 0.10  # or with half its points farther off, of the face's size
    least_angle_deg: float = 3.0  # between two rays, for a depth to be told
    n_steps: int = 12  # of refinement


@dataclass(frozen=True, kw_only=True)
class Landmarks3d:
    """The 68 landmarks in space, and how the photographs agree on them."""

    points: Floats
    """(68, 3) world, mm (the rig's unit); NaN where fewer than two views agree."""
    sigma: Floats
    """(68,) one standard deviation along each axis; NaN where unknown."""
    residual_px: Floats
    """(n_views, 68) distance of the seen from the projected point; NaN where either lacks."""
    used: Bools
    """(n_views, 68): which views each point rests on."""
    views: tuple[str, ...]
    """Cameras of the rows, in the rig's order."""
    wrong: tuple[str, ...]
    """Cameras whose detection disagrees with the others as a whole."""

    @property
    def n_points(self) -> int:
        """How many of the 68 are known."""
        return int(np.isfinite(self.points).all(axis=1).sum())


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """What n views show of the 68."""

    cameras: tuple[Camera, ...]
    normalised: Floats
    """(n, 68, 2) undistorted; NaN where not seen."""
    sigma: Floats
    """(n, 68) px, undistorted."""
    slides: Bools
    """(n,)."""
    size: Floats
    """(n,) px, of the face."""


def triangulate_landmarks(
    detections: Mapping[str, Detection], rig: Rig, config: LandmarkConfig | None = None
) -> Landmarks3d:
    """Put the landmarks of several views together.

    Parameters
    ----------
    detections : Mapping[str, Detection]
        Camera -> face, px of that camera's image in the sensor's frame, distorted as it is; of
        the 68 or a scheme that they follow from.

    Returns
    -------
    Landmarks3d
        One row per camera of the rig that has a detection.

    Raises
    ------
    InputError
        A camera is not in the rig, or a scheme does not lead to the 68.
    EstimationError
        Fewer than two views, or no point on which two of them agree.
    """
    config = LandmarkConfig() if config is None else config
    seen = _seen(detections, rig, config)
    names = tuple(camera.name for camera in seen.cameras)
    if len(names) < 2:
        raise EstimationError(f"a face was found in {len(names)} photographs; depth needs two")
    good = np.ones(len(names), dtype=bool)
    while True:
        sigma = np.where(good[:, None], seen.sigma, np.nan)
        points = _placed(seen, sigma, config)
        sigma = _seen_from(seen, sigma, points, config)
        points = _refined(seen, sigma, _placed(seen, sigma, config), config)
        residual = _residual(seen, points)
        agrees = residual <= config.agree * sigma
        worst = _wrong_view(agrees, np.isfinite(sigma), good, residual / seen.size[:, None], config)
        if worst is None:
            break
        good[worst] = False
    points, spread = _certain(seen, points, sigma, agrees, config)
    if not np.isfinite(points).any():
        raise EstimationError(
            f"the landmarks of {', '.join(names)} meet nowhere: the rig does not belong to these "
            "photographs, or the faces found are wrong"
        )
    return Landmarks3d(
        points=points,
        sigma=spread,
        residual_px=_residual(seen, points),
        used=agrees & np.isfinite(points).all(axis=1),
        views=names,
        wrong=tuple(name for name, ok in zip(names, good, strict=True) if not ok),
    )


def _seen(detections: Mapping[str, Detection], rig: Rig, config: LandmarkConfig) -> _Seen:
    unknown = sorted(set(detections) - set(rig.names))
    if unknown:
        raise InputError(f"landmarks of camera {unknown[0]!r}, which the rig does not have")
    cameras = tuple(camera for camera in rig if camera.name in detections)
    normalised, sigma = [], []
    faces = [detections[camera.name].to(Scheme.IBUG68) for camera in cameras]
    for camera, face in zip(cameras, faces, strict=True):
        normalised.append(undistort(camera.normalise(face.points), camera.distortion))
        own = np.hypot(config.noise * face.size_px, face.sigma_px)
        own[_JAW] *= config.jaw_factor * (config.slide_factor if face.slides else 1.0)
        sigma.append(
            np.where(
                face.confidence > 0.05, own / np.sqrt(np.maximum(face.confidence, 0.05)), np.nan
            )
        )
    return _Seen(
        cameras=cameras,
        normalised=np.array(normalised).reshape(-1, 68, 2),
        sigma=np.array(sigma).reshape(-1, 68),
        slides=np.array([face.slides for face in faces], dtype=bool),
        size=np.array([face.size_px for face in faces]),
    )


def _placed(seen: _Seen, sigma: Floats, config: LandmarkConfig) -> Floats:
    """Return (68, 3): of the places that pairs of views propose, the best liked by all."""
    best = np.full((68, 3), np.nan)
    best_cost = np.full(68, np.inf)
    usable = np.isfinite(sigma) & np.isfinite(seen.normalised).all(axis=2)
    for a, b in combinations(range(len(seen.cameras)), 2):
        both = usable[a] & usable[b]
        proposed = _meeting(seen, a, b, config)
        proposed[~both] = np.nan
        off = (_residual(seen, proposed) / np.where(usable, sigma, np.nan)) ** 2
        limit = config.agree**2
        cost = np.where(usable, np.fmin(off, limit), 0.0).sum(axis=0)
        agree = (np.nan_to_num(off, nan=np.inf) <= limit).sum(axis=0)
        cost[(agree < 2) | ~np.isfinite(proposed).all(axis=1)] = np.inf
        better = cost < best_cost
        best[better], best_cost[better] = proposed[better], cost[better]
    return best


def _meeting(seen: _Seen, a: int, b: int, config: LandmarkConfig) -> Floats:
    """Return (68, 3) where the rays of two views come closest; NaN behind or (near) parallel."""
    origins, along = [], []
    for view in (a, b):
        camera = seen.cameras[view]
        rays = np.concatenate([seen.normalised[view], np.ones((68, 1))], axis=1)
        rays = rays @ camera.cam_from_world[:, :3]
        along.append(rays / np.linalg.norm(rays, axis=1, keepdims=True))
        origins.append(camera.center)
    cosine = (along[0] * along[1]).sum(axis=1)
    between = origins[1] - origins[0]
    p, q = along[0] @ between, along[1] @ between
    with np.errstate(divide="ignore", invalid="ignore"):
        s = (p - cosine * q) / (1 - cosine**2)
        t = (cosine * p - q) / (1 - cosine**2)
    middle = (origins[0] + s[:, None] * along[0] + origins[1] + t[:, None] * along[1]) / 2
    parallel = np.abs(cosine) > np.cos(np.radians(config.least_angle_deg))
    middle[parallel | ~(s > 0) | ~(t > 0)] = np.nan
    return np.asarray(middle)


def _offsets(seen: _Seen, points: Floats) -> tuple[Floats, Floats]:
    """Return projected minus seen (n, 68, 2) px, and its derivative by the point (n, 68, 2, 3)."""
    off, slope = [], []
    for camera, normalised in zip(seen.cameras, seen.normalised, strict=True):
        R, t = camera.cam_from_world[:, :3], camera.cam_from_world[:, 3]
        inside = points @ R.T + t
        z = np.where(inside[:, 2] > 0, inside[:, 2], np.nan)
        xy = inside[:, :2] / z[:, None]
        f = np.sqrt(camera.K[0, 0] * camera.K[1, 1])
        off.append(f * (xy - normalised))
        slope.append(f * (R[None, :2] - xy[:, :, None] * R[None, 2:3]) / z[:, None, None])
    return np.array(off), np.array(slope)


def _residual(seen: _Seen, points: Floats) -> Floats:
    """Return (n, 68) distances in the images, px; NaN where anything lacks."""
    return np.asarray(np.linalg.norm(_offsets(seen, points)[0], axis=2))


def _seen_from(seen: _Seen, sigma: Floats, points: Floats, config: LandmarkConfig) -> Floats:
    """Return tolerances (n, 68) that heed how each view looks at the skin; NaN: not at all.

    The skin at a landmark faces away from the middle between the ears. Of a jaw that slides
    along the visible outline, views from aside tell nothing.
    """
    head = _head(seen, points)
    if head is None:
        return sigma
    middle, forward = head
    result, last_resort = sigma.copy(), 2 * sigma
    for view, camera in enumerate(seen.cameras):
        facing = _cosine(points - middle, camera.center - points)
        result[view] /= np.sqrt(np.clip(facing, _SKIMMED, 1.0))
        cosine = _cosine(forward, camera.center - middle)
        yaw_deg = float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))
        aside = max(0.0, yaw_deg - config.frontal_yaw_deg) / config.yaw_doubles_deg
        for tolerances in (result, last_resort):
            tolerances[view] *= min(2.0**aside, _FARTHEST_ASIDE)
            if seen.slides[view] and yaw_deg > config.slide_yaw_deg:
                tolerances[view][_JAW] = np.nan
        result[view][facing < config.least_facing] = np.nan
    few = np.isfinite(result).sum(axis=0) < 2  # better guessed by two than unknown
    result[:, few] = last_resort[:, few]
    return result


def _head(seen: _Seen, points: Floats) -> tuple[Floats, Floats] | None:
    """Return the middle between the ears and the unit direction of the face; None: not known.

    From eyes, brows, nose and mouth, which lie about a plane: jaws are what is in doubt.
    """
    front = points[_FRONT][np.isfinite(points[_FRONT]).all(axis=1)]
    if len(front) < _LEAST_FRONT:
        return None
    center = front.mean(axis=0)
    _, extent, axes = np.linalg.svd(front - center, full_matrices=False)
    cameras = np.mean([camera.center for camera in seen.cameras], axis=0)
    forward = axes[2] * np.sign(axes[2] @ (cameras - center))
    radius = float(np.hypot(extent[0], extent[1]) / np.sqrt(len(front)))
    return center - _EARS_BEHIND * radius * forward, forward


def _cosine(a: Floats, b: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(
            (a * b).sum(axis=-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)
        )


def _refined(seen: _Seen, sigma: Floats, points: Floats, config: LandmarkConfig) -> Floats:
    """Return the points moved to the least sum of Huber's losses, all at once."""
    points = points.copy()
    for _ in range(config.n_steps):
        off, slope = _offsets(seen, points)
        weight = _weights(off, sigma, config)
        normal = np.einsum("nlij,nlik,nl->ljk", slope, slope, weight)
        pull = np.einsum("nlij,nli,nl->lj", slope, off, weight)
        ready = np.isfinite(points).all(axis=1) & ((weight > 0).sum(axis=0) >= 2)
        if not ready.any():
            break
        normal[~ready], pull[~ready] = np.eye(3), 0.0
        step = np.linalg.solve(normal, pull[..., None])[..., 0]
        points = points - step
        if np.abs(step).max() < 1e-6 * np.nanmax(np.ptp(points[ready], axis=0), initial=1.0):
            break
    return points


def _weights(off: Floats, sigma: Floats, config: LandmarkConfig) -> Floats:
    """Return Huber's weights (n, 68) of offsets (n, 68, 2), replacing NaN offsets by 0 in place.

    Beyond `agree` tolerances a view counts for nothing: it shows something else.
    """
    distance = np.linalg.norm(off, axis=2) / sigma
    known = np.isfinite(distance)
    off[~known] = 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        weight = np.minimum(1.0, config.huber / np.maximum(distance, 1e-12)) / sigma**2
    return np.where(known & (distance <= config.agree), weight, 0.0)


def _wrong_view(
    agrees: Bools, asked: Bools, good: Bools, off: Floats, config: LandmarkConfig
) -> int | None:
    """Return the row of the view that is farthest off, if that is too far.

    Parameters
    ----------
    asked : (n, 68)
        What a view sees; elsewhere it may guess badly and still be right.
    off : (n, 68)
        Residuals over the face's size; NaN where anything lacks.
    """
    if good.sum() <= 2:
        return None  # of two views it cannot be told which is wrong
    front = np.isfinite(off)
    front[:, _JAW] = False
    median = np.array(
        [np.median(o[f]) if f.any() else 0.0 for o, f in zip(off, front, strict=True)]
    )
    asked = asked & front
    count = asked.sum(axis=1)
    share = np.where(count >= 5, (agrees & asked).sum(axis=1) / np.maximum(count, 1), 1.0)
    wrong = good & ((share < config.wrong_share) | (median > config.wrong_off))
    return int(np.where(wrong, median, -1.0).argmax()) if wrong.any() else None


def _certain(
    seen: _Seen, points: Floats, sigma: Floats, agrees: Bools, config: LandmarkConfig
) -> tuple[Floats, Floats]:
    """Return the points on which two views agree, and their standard deviations (68,)."""
    off, slope = _offsets(seen, points)
    weight = np.where(agrees, _weights(off, sigma, config), 0.0)
    n_views = (weight > 0).sum(axis=0)
    chi2 = (weight * (off**2).sum(axis=2)).sum(axis=0) / np.maximum(2 * n_views - 3, 1)
    normal = np.einsum("nlij,nlik,nl->ljk", np.nan_to_num(slope), np.nan_to_num(slope), weight)
    ready = (n_views >= 2) & np.isfinite(points).all(axis=1)
    normal[~ready] = np.eye(3)
    variance = np.trace(np.linalg.inv(normal), axis1=1, axis2=2) / 3 * np.maximum(chi2, _LEAST_CHI2)
    if not ready.any():
        return np.full((68, 3), np.nan), np.full(68, np.nan)
    bias = np.full(68, config.bias * _face_size(seen, points))
    bias[_VAGUE] *= config.vague_factor
    spread = np.sqrt(variance + bias**2)
    points = np.where(ready[:, None], points, np.nan)
    return points, np.where(ready, spread, np.nan)


def _face_size(seen: _Seen, points: Floats) -> float:
    """Return the face's size in the unit of the rig: median over the views."""
    middle = np.nanmedian(points, axis=0)
    sizes = []
    for camera, size in zip(seen.cameras, seen.size, strict=True):
        depth = float(camera.cam_from_world[2, :3] @ middle + camera.cam_from_world[2, 3])
        sizes.append(size * depth / float(np.sqrt(camera.K[0, 0] * camera.K[1, 1])))
    return float(np.median(sizes))


def unknown_sentence(landmarks: Landmarks3d) -> str | None:
    """Return which landmarks no two views agree on, None where all are known."""
    unknown = [n for n, p in zip(NAMES68, landmarks.points, strict=True) if np.isnan(p).any()]
    if not unknown:
        return None
    return f"{len(unknown)} of 68 landmarks unknown: {listed(unknown, most=8)}"
