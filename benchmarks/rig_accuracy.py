"""How far a calibrated rig is from the true one."""

from dataclasses import dataclass, replace

import numpy as np

from ..calibration.frame import nearest_to_axes
from ..core.arrays import Bools, Floats
from ..core.errors import InputError
from ..core.geometry.camera import Camera, Rig
from ..core.geometry.transform import Similarity, align_similarity, rotation_angle_deg

HEAD_BOX_MM = (160.0, 230.0, 190.0)
"""Width, height, depth of the space where the model error is measured."""
_BOX_STEPS = (9, 11, 9)
NEIGHBOURS_DEG = 40.0
"""Cameras whose directions from the head differ by less are a pair for stereo."""


@dataclass(frozen=True, kw_only=True)
class CameraAccuracy:
    """One camera against its truth, at the truth's image size, after the rigs were aligned."""

    name: str
    center_mm: float
    """Distance of the centres."""
    rotation_deg: float
    focal_percent: float
    """Signed, mean of fx and fy."""
    principal_point_px: float
    """Distance."""
    head_px: float
    """Root mean square difference of where the two cameras image the points of a head: what
    reconstruction notices, since errors of the numbers above partly cancel."""


@dataclass(frozen=True, kw_only=True)
class PairAccuracy:
    """What two neighbouring cameras triangulate."""

    names: tuple[str, str]
    um: float
    """Root mean square distance, micrometres, of the points of a head that they triangulate from
    their true images, after the points of all pairs together were moved onto the truth."""


@dataclass(frozen=True, kw_only=True)
class CalibrationAccuracy:
    """A rig against its truth."""

    cameras: tuple[CameraAccuracy, ...]
    true_from_rig: Similarity
    """Takes the estimated rig's frame to the true one so that the space of the head fits
    best; scale 1 for a metric rig."""
    head_mm: float
    """Root mean square distance between points of that space and where the estimated rig
    would triangulate them: the error that the calibration alone leaves in a mesh."""
    scale_ppm: float | None
    """How much too large (+) the rig is; None for a rig without a unit, which was scaled."""
    missing: tuple[str, ...] = ()
    """Cameras of the true rig that were not calibrated."""
    pairs: tuple[PairAccuracy, ...] = ()
    """Of all cameras that stand within `NEIGHBOURS_DEG` of each other."""

    @property
    def pair_um(self) -> float:
        """Mean over the pairs; NaN where there are none."""
        return float(np.mean([pair.um for pair in self.pairs])) if self.pairs else float("nan")

    @property
    def pair_um_max(self) -> float:
        """The worst pair's; NaN where there are none."""
        return max((pair.um for pair in self.pairs), default=float("nan"))

    def worst(self, figure: str) -> float:
        """Return the largest absolute value of a `CameraAccuracy` field."""
        return max(abs(float(getattr(camera, figure))) for camera in self.cameras)

    def mean(self, figure: str) -> float:
        """Return the mean absolute value of a `CameraAccuracy` field."""
        return float(np.mean([abs(float(getattr(camera, figure))) for camera in self.cameras]))


def calibration_error(rig: Rig, true_rig: Rig) -> CalibrationAccuracy:
    """Compare a rig with the true one; cameras are matched by name.

    The rig is moved rigidly onto the true one, never scaled unless it has no unit: for the
    figures of the cameras by centres and orientations together, so that two cameras are
    enough; for `head_px`, `head_mm` and `true_from_rig` so that points in a box of a head's
    size, triangulated by the rig from their true images, come to lie on themselves.

    Raises
    ------
    InputError
        Fewer than two cameras in common.
    """
    names = [name for name in true_rig.names if name in rig.names]
    if len(names) < 2:
        raise InputError(
            f"the rig has {len(names)} cameras in common with the true one, but two are needed: "
            f"{', '.join(rig.names) or 'none'} against {', '.join(true_rig.names)}"
        )
    true = [true_rig[name] for name in names]
    found = [rig[name].scaled(t.width, t.height) for name, t in zip(names, true, strict=True)]
    middle = nearest_to_axes(true)
    reach = float(np.mean([np.linalg.norm(c.center - middle) for c in true]))
    by_cameras, ratio = _align(found, true, reach=reach, metric=rig.metric)
    box = _box_points(middle)
    by_head, head_mm = _align_box(found, true, box, start=by_cameras)
    pairs = _pair_accuracies(found, true, box, middle=middle, scale=by_cameras.scale)
    cameras = tuple(
        _camera_accuracy(f, t, box, by_cameras=by_cameras, by_head=by_head)
        for f, t in zip(found, true, strict=True)
    )
    return CalibrationAccuracy(
        cameras=cameras,
        true_from_rig=by_head,
        head_mm=head_mm,
        scale_ppm=1e6 * (ratio - 1) if rig.metric else None,
        missing=tuple(name for name in true_rig.names if name not in rig.names),
        pairs=pairs,
    )


def _align(
    found: list[Camera], true: list[Camera], *, reach: float, metric: bool
) -> tuple[Similarity, float]:
    """Return (true_from_found, size of the found rig in parts of the true one)."""
    centers = np.array([c.center for c in found]) - np.mean([c.center for c in found], axis=0)
    wanted = np.array([c.center for c in true]) - np.mean([c.center for c in true], axis=0)
    size = float(np.sqrt((centers**2).sum() / (wanted**2).sum()))
    scale = 1.0 if metric else 1 / size
    # each camera gives its centre and the ends of its three axes, as long as the working
    # distance: an angle then weighs as much as the shift that it causes at the subject
    src = np.concatenate([_tripod(c, reach / scale) for c in found])
    dst = np.concatenate([_tripod(c, reach) for c in true])
    rigid = align_similarity(scale * src, dst, with_scale=False)
    aligned = replace(rigid, scale=scale)
    along = float((wanted * (centers @ rigid.R.T)).sum() / (wanted**2).sum())
    return aligned, along


def _tripod(camera: Camera, length: float) -> Floats:
    return np.vstack([camera.center, camera.center + length * camera.cam_from_world[:, :3]])


def _align_box(
    found: list[Camera], true: list[Camera], box: Floats, *, start: Similarity
) -> tuple[Similarity, float]:
    """Return (true_from_found, rms mm) by triangulating the box's true images."""
    normal, offset = np.zeros((len(box), 3, 3)), np.zeros((len(box), 3))
    n_views = np.zeros(len(box), np.int32)
    for f, t in zip(found, true, strict=True):
        xy, _ = t.project(box)
        rays = f.unproject(xy)
        good = inside_image(xy, t) & np.isfinite(rays).all(axis=1)
        unit = rays[good] / np.linalg.norm(rays[good], axis=1, keepdims=True)
        across = np.eye(3) - unit[:, :, None] * unit[:, None, :]
        normal[good] += across
        offset[good] += across @ f.center
        n_views += good
    both = n_views >= 2
    if both.sum() < 10:  # the cameras hardly look at one place
        return start, float("nan")
    points = np.linalg.solve(normal[both], offset[both][..., None])[..., 0]
    scaled = np.asarray(start.scale * points, dtype=np.float64)
    rigid = align_similarity(scaled, box[both], with_scale=False)
    return replace(rigid, scale=start.scale), rigid.rms_mm


def _pair_accuracies(
    found: list[Camera], true: list[Camera], box: Floats, *, middle: Floats, scale: float
) -> tuple[PairAccuracy, ...]:
    """Triangulate the box's true images by two cameras at a time."""
    towards = np.array([c.center - middle for c in true])
    towards /= np.linalg.norm(towards, axis=1, keepdims=True)
    near = towards @ towards.T > np.cos(np.radians(NEIGHBOURS_DEG))
    seen = [camera.project(box)[0] for camera in true]
    rays = [camera.unproject(xy) for camera, xy in zip(found, seen, strict=True)]
    inside = [
        inside_image(xy, camera) & np.isfinite(ray).all(axis=1)
        for xy, camera, ray in zip(seen, true, rays, strict=True)
    ]
    names, points, targets = [], [], []
    for i, j in np.argwhere(np.triu(near, k=1)):
        both = inside[i] & inside[j]
        if both.sum() < 10:  # the two hardly look at one place
            continue
        names.append((true[i].name, true[j].name))
        points.append(scale * _between(found[i], found[j], rays[i][both], rays[j][both]))
        targets.append(box[both])
    if not names:
        return ()
    rigid = align_similarity(np.concatenate(points), np.concatenate(targets), with_scale=False)
    return tuple(
        PairAccuracy(
            names=pair, um=1e3 * float(np.sqrt(((rigid(p) - target) ** 2).sum(axis=1).mean()))
        )
        for pair, p, target in zip(names, points, targets, strict=True)
    )


def _between(a: Camera, b: Camera, rays_a: Floats, rays_b: Floats) -> Floats:
    """Return the points (N, 3) closest to two rays each."""
    normal, offset = np.zeros((len(rays_a), 3, 3)), np.zeros((len(rays_a), 3))
    for camera, rays in ((a, rays_a), (b, rays_b)):
        unit = rays / np.linalg.norm(rays, axis=1, keepdims=True)
        across = np.eye(3) - unit[:, :, None] * unit[:, None, :]
        normal += across
        offset += across @ camera.center
    return np.asarray(np.linalg.solve(normal, offset[..., None])[..., 0])


def inside_image(xy: Floats, camera: Camera) -> Bools:
    """Tell (N,) whether image points (N, 2) lie in the camera's image; NaN does not."""
    return np.asarray(((xy > 0) & (xy < (camera.width, camera.height))).all(axis=-1))


def _camera_accuracy(
    found: Camera, true: Camera, box: Floats, *, by_cameras: Similarity, by_head: Similarity
) -> CameraAccuracy:
    moved = found.moved(by_cameras)
    turned = moved.cam_from_world[:, :3] @ true.cam_from_world[:, :3].T
    focal = np.diag(found.K)[:2] / np.diag(true.K)[:2] - 1
    seen, _ = true.project(box)
    inside = inside_image(seen, true)
    miss = found.moved(by_head).project(box[inside])[0] - seen[inside]
    head_px = float(np.sqrt((miss**2).sum(1).mean())) if inside.any() else float("nan")
    return CameraAccuracy(
        name=true.name,
        center_mm=float(np.linalg.norm(moved.center - true.center)),
        rotation_deg=float(rotation_angle_deg(turned)),
        focal_percent=float(100 * focal.mean()),
        principal_point_px=float(np.linalg.norm(found.K[:2, 2] - true.K[:2, 2])),
        head_px=head_px,
    )


def _box_points(middle: Floats) -> Floats:
    axes = [
        np.linspace(-size / 2, size / 2, n) for size, n in zip(HEAD_BOX_MM, _BOX_STEPS, strict=True)
    ]
    return middle + np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
