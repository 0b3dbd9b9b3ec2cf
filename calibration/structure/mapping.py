"""From matches to cameras and points with COLMAP: incremental mapping, adjustment, filtering.

Each camera of the rig is one COLMAP image that holds its features of *all* takes: the takes
of a fixed rig share its poses exactly, whatever the subject does between them.

Everything runs on one thread with fixed seeds: sums in another order would move cameras in
the last digits, and RANSAC by more.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pycolmap

from ...core.arrays import Floats, Ints
from ...core.geometry.camera import Camera
from .features import quiet_colmap

log = logging.getLogger(__name__)

SEED = 0
MIN_INLIERS = 15  # of a pair of cameras, COLMAP's own limit
MIN_ANGLE_DEG = 1.5  # between the rays of a point that counts
START_LIMITS = (4.0, 2.0)  # rounds of adjusting: errors beyond are left out, in `noise_px` ...
FINAL_LIMITS = (2.0, 1.0, 0.7, 0.7)
ERROR_MEDIANS = 4.0  # ... but only if they exceed the median so many times too
WIDE = 0.35  # tan of the half field diagonal, from which k2 shows
MIN_IMAGES_PRINCIPAL_POINT = 5  # of one lens; fewer keep it in the middle


@dataclass(frozen=True, kw_only=True)
class Lens:
    """Intrinsics that several cameras of the problem may share."""

    width: int
    height: int
    focal_px: float
    """First guess."""


@dataclass(frozen=True, kw_only=True)
class MappingProblem:
    """Cameras, what they saw, and verified matches between them."""

    names: tuple[str, ...]
    lenses: tuple[Lens, ...]
    lens_of: tuple[int, ...]
    """Of each camera: the row of `lenses`."""
    kind_of: tuple[int, ...]
    """Likewise, lenses of one make being one: what mapping starts with. A lens of its own for
    each camera of a rig leaves focal lengths open while few cameras are placed."""
    xy: tuple[Floats, ...]
    """Of each camera: (N, 2) px."""
    pairs: Mapping[tuple[int, int], Any]
    """Rows of two cameras -> `pycolmap.TwoViewGeometry`."""
    noise_px: float
    """How well features are placed: about a pixel of the reduced photographs."""


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One way to run the mapper."""

    focal_factor: float = 1.0
    """Times the first guess."""
    refine: bool = True
    """Let focal length and distortion follow while cameras are added."""


@dataclass(frozen=True, kw_only=True)
class Mapped:
    """Cameras and points in COLMAP's own frame, of arbitrary size."""

    cameras: dict[str, Camera]
    points: Floats
    """(P, 3)."""
    camera_of: Ints
    """(N,) row of `MappingProblem.names`, of each observation."""
    feature_of: Ints
    """(N,) row of that camera's `xy`."""
    point_of: Ints
    """(N,) row of `points`."""
    error: Floats
    """(N, 2) px, projected minus seen."""

    @property
    def rms_px(self) -> float:
        """Root mean square length of `error`."""
        return float(np.sqrt((self.error**2).sum(axis=1).mean()))


def verify(
    xy: Sequence[Floats],
    matches: Mapping[tuple[int, int], Ints],
    sizes: Sequence[tuple[int, int]],
    *,
    noise_px: float,
) -> dict[tuple[int, int], Any]:
    """Keep the matches that one epipolar geometry explains, whatever the focal lengths are.

    Parameters
    ----------
    xy : Sequence of (N, 2) px
        Of each camera.
    matches : Mapping
        Rows of two cameras -> (M, 2) rows of their `xy`.
    sizes : Sequence of (width, height)
    """
    options = pycolmap.TwoViewGeometryOptions()
    options.ransac.random_seed = SEED
    options.ransac.max_error = 2 * noise_px
    options.min_num_inliers = MIN_INLIERS
    options.detect_watermark = False
    kept = {}
    blind = [
        pycolmap.Camera.create_from_model_name(1, "SIMPLE_PINHOLE", max(size), *size)
        for size in sizes
    ]
    with quiet_colmap():
        for (a, b), rows in matches.items():
            if len(rows) < MIN_INLIERS:
                continue
            geometry = pycolmap.estimate_two_view_geometry(
                blind[a], xy[a], blind[b], xy[b], rows.astype(np.uint32), options
            )
            if len(geometry.inlier_matches) >= MIN_INLIERS:
                kept[a, b] = geometry
    return kept


def map_cameras(problem: MappingProblem, attempt: Attempt, *, folder: Path) -> Mapped | None:
    """Run the mapper; None where it registers no two cameras.

    Parameters
    ----------
    folder : Path
        For the mapper's files, overwritten.
    """
    with quiet_colmap():
        model = _start(problem, attempt, folder)
        if model is None:
            return None
        _adjust(model, problem, START_LIMITS, final=False)
        if model.num_reg_images() < 2:
            return None
        # again from these cameras: finds what rougher ones refused; then each with its own lens
        for lens_of, limits in ((problem.kind_of, START_LIMITS), (problem.lens_of, FINAL_LIMITS)):
            final = lens_of is problem.lens_of
            lenses, placed = _placed(model, problem, lens_of, final=final)
            database = _write_database(problem, lens_of, lenses, folder)
            model = pycolmap.triangulate_points(
                placed, database, folder, folder / "models", clear_points=True,
                options=_mapper_options(problem, attempt),
            )  # fmt: skip
            _adjust(model, problem, limits, final=final)
            if model.num_reg_images() < 2 or model.num_points3D() < MIN_INLIERS:
                return None
    return _mapped(model, problem)


def _start(problem: MappingProblem, attempt: Attempt, folder: Path) -> Any | None:
    """Return the largest model that the mapper finds, None where there is none."""
    lenses = {}
    for index in sorted(set(problem.kind_of)):
        lens = problem.lenses[index]
        params = [lens.focal_px * attempt.focal_factor, lens.width / 2, lens.height / 2, 0]
        lenses[index] = _colmap_lens(index, lens, "SIMPLE_RADIAL", params)
    database = _write_database(problem, problem.kind_of, lenses, folder)
    found = pycolmap.incremental_mapping(
        database, folder, folder / "models", options=_mapper_options(problem, attempt)
    )
    if not found:
        return None
    model = max(found.values(), key=lambda m: (m.num_reg_images(), m.compute_num_observations()))
    return model if model.num_reg_images() >= 2 else None


def _placed(
    model: Any, problem: MappingProblem, lens_of: Sequence[int], *, final: bool
) -> tuple[dict[int, Any], Any]:
    """Return the lenses as `model` knows them, and a model of its cameras only.

    Tangential distortion and unequal focal lengths are left to lenses of several photographs,
    k2 to those and to wide ones: the others do not determine them.
    """
    placed_ids = sorted(model.reg_image_ids())
    rows = [lens_of[image_id - 1] for image_id in placed_ids]
    lenses: dict[int, Any] = {}
    for index in sorted(set(lens_of)):
        lens = problem.lenses[index]
        focal, cx, cy, k1, k2 = lens.focal_px, lens.width / 2, lens.height / 2, 0.0, 0.0
        if index in rows:
            camera = camera_of(model, placed_ids[rows.index(index)])
            focal, (cx, cy) = float(camera.K[[0, 1], [0, 1]].mean()), camera.K[:2, 2]
            k1, k2 = camera.distortion[:2]
        name, params = "SIMPLE_RADIAL", [focal, cx, cy, k1]
        if final and rows.count(index) >= MIN_IMAGES_PRINCIPAL_POINT:
            name, params = "OPENCV", [focal, focal, cx, cy, k1, k2, 0, 0]
        elif np.hypot(lens.width, lens.height) / (2 * focal) > WIDE:
            name, params = "RADIAL", [*params, k2]
        lenses[index] = _colmap_lens(index, lens, name, params)
    placed = pycolmap.Reconstruction()
    for index in sorted(set(rows)):
        placed.add_camera_with_trivial_rig(lenses[index])
    for image_id in placed_ids:
        image = model.images[image_id]
        copy = pycolmap.Image(
            name=image.name, camera_id=lens_of[image_id - 1] + 1, image_id=image_id,
            keypoints=problem.xy[image_id - 1],
        )  # fmt: skip
        placed.add_image_with_trivial_frame(copy, image.cam_from_world())
    return lenses, placed


def _colmap_lens(index: int, lens: Lens, model: str, params: Sequence[float]) -> Any:
    return pycolmap.Camera(
        model=model, width=lens.width, height=lens.height, params=params,
        camera_id=index + 1, has_prior_focal_length=True,
    )  # fmt: skip


def _write_database(
    problem: MappingProblem, lens_of: Sequence[int], lenses: Mapping[int, Any], folder: Path
) -> Path:
    path = folder / "database.db"
    path.unlink(missing_ok=True)
    database = pycolmap.Database.open(path)
    for index, camera in lenses.items():
        database.write_camera(camera, use_camera_id=True)
        rig = pycolmap.Rig(rig_id=index + 1)
        rig.add_ref_sensor(camera.sensor_id)
        database.write_rig(rig, use_rig_id=True)
    for index, name in enumerate(problem.names):
        lens_id = lens_of[index] + 1
        image = pycolmap.Image(name=name, camera_id=lens_id, image_id=index + 1)
        frame = pycolmap.Frame(frame_id=index + 1, rig_id=lens_id)
        frame.add_data_id(image.data_id)
        image.frame_id = index + 1
        database.write_frame(frame, use_frame_id=True)
        database.write_image(image, use_image_id=True)
        database.write_keypoints(index + 1, problem.xy[index].astype(np.float32))
    for (a, b), geometry in problem.pairs.items():
        database.write_two_view_geometry(a + 1, b + 1, geometry)
    database.close()
    return path


def _mapper_options(problem: MappingProblem, attempt: Attempt) -> Any:
    options = pycolmap.IncrementalPipelineOptions()
    options.num_threads, options.random_seed = 1, SEED
    options.extract_colors = False
    options.multiple_models = False
    options.min_model_size = 2
    refine = attempt.refine and not _is_pair(problem)
    options.ba_refine_focal_length = options.ba_refine_extra_params = refine
    mapper = options.mapper
    mapper.num_threads, mapper.random_seed = 1, SEED
    mapper.abs_pose_refine_focal_length = mapper.abs_pose_refine_extra_params = refine
    mapper.init_min_num_inliers = 50
    mapper.init_max_error = 2 * problem.noise_px
    mapper.filter_max_reproj_error = 2 * problem.noise_px
    mapper.abs_pose_max_error = 6 * problem.noise_px
    mapper.abs_pose_min_num_inliers = MIN_INLIERS
    triangulation = options.triangulation
    triangulation.random_seed = SEED
    triangulation.ignore_two_view_tracks = not _is_pair(problem)  # it has no others
    triangulation.merge_max_reproj_error = 2 * problem.noise_px
    triangulation.complete_max_reproj_error = 2 * problem.noise_px
    return options


def _adjust(model: Any, problem: MappingProblem, limits: Sequence[float], *, final: bool) -> None:
    """Adjust all of `model` robustly, leaving out in rounds what contradicts the rest.

    Parameters
    ----------
    limits : Sequence[float]
        Of each round: error in `noise_px` that a good observation does not exceed; a larger
        one is forgiven where the median is large.
    final : bool
        Each camera has its own lens by now. Principal points then move where photographs are
        enough; the distortion of narrow lenses stays what all of their make gave together,
        since it follows focal length and distance in a single one.
    """
    options = pycolmap.BundleAdjustmentOptions()
    options.print_summary = False
    solver = options.ceres.solver_options
    solver.num_threads, solver.max_num_iterations = 1, 200
    solver.gradient_tolerance, solver.function_tolerance = 1e-12, 1e-12
    options.ceres.loss_function_type = pycolmap.LossFunctionType.CAUCHY
    for limit in limits:
        _drop_weak(model)
        if model.num_reg_images() < 2 or model.num_points3D() < MIN_INLIERS:
            return
        shared = np.bincount([model.images[i].camera_id for i in model.reg_image_ids()])
        enough = bool(shared.max() >= MIN_IMAGES_PRINCIPAL_POINT)
        options.refine_principal_point = final and enough
        options.refine_focal_length = not _is_pair(problem)
        options.refine_extra_params = options.refine_focal_length and not (
            final and _of_a_make(model, problem)
        )
        options.ceres.loss_function_scale = limit * problem.noise_px / 2
        config = pycolmap.BundleAdjustmentConfig()
        for image_id in model.reg_image_ids():
            config.add_image(image_id)
        config.fix_gauge(pycolmap.BundleAdjustmentGauge.TWO_CAMS_FROM_WORLD)
        pycolmap.create_default_ceres_bundle_adjuster(options, config, model).solve()
        errors = np.linalg.norm(_observations(model)[3], axis=1)
        largest = max(ERROR_MEDIANS * float(np.median(errors)), limit * problem.noise_px)
        pycolmap.ObservationManager(model).filter_all_points3D(largest, MIN_ANGLE_DEG)
    _drop_weak(model)


def _is_pair(problem: MappingProblem) -> bool:
    """Tell whether there are two cameras only: these place points, but tell no focal length."""
    return len(problem.names) == 2


def _of_a_make(model: Any, problem: MappingProblem) -> bool:
    """Tell whether cameras have narrow lenses of their own, but of one make with others."""
    rows = [image_id - 1 for image_id in model.reg_image_ids()]
    if len({problem.lens_of[row] for row in rows}) == len({problem.kind_of[row] for row in rows}):
        return False
    cameras = [camera_of(model, image_id) for image_id in model.reg_image_ids()]
    return all(np.hypot(c.width, c.height) / (2 * c.K[0, 0]) <= WIDE for c in cameras)


def _drop_weak(model: Any) -> None:
    """Take out cameras that hardly any point holds: their place is an accident."""
    for image_id in sorted(model.reg_image_ids()):
        if model.images[image_id].num_points3D < MIN_INLIERS:
            pycolmap.ObservationManager(model).deregister_frame(model.images[image_id].frame_id)


def _observations(model: Any) -> tuple[Ints, Ints, Ints, Floats]:
    """Return image id, feature row, point id and error (N, 2) of each observation."""
    images, features, points, errors = [], [], [], []
    for image_id in sorted(model.reg_image_ids()):
        image = model.images[image_id]
        rows = np.array([i for i, p in enumerate(image.points2D) if p.has_point3D()], np.int32)
        if not len(rows):
            continue
        ids = np.array([image.points2D[i].point3D_id for i in rows], np.int64)
        world = np.array([model.points3D[int(i)].xyz for i in ids])
        camera = camera_of(model, image_id)
        seen = np.array([image.points2D[i].xy for i in rows])
        errors.append(camera.project(world)[0] - seen)
        images.append(np.full(len(rows), image_id, np.int32))
        features.append(rows)
        points.append(ids)
    if not images:
        return np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros((0, 2))
    all_errors = np.nan_to_num(np.concatenate(errors), nan=1e6)
    return np.concatenate(images), np.concatenate(features), np.concatenate(points), all_errors


def camera_of(model: Any, image_id: int) -> Camera:
    """Return an image of a COLMAP model as a camera."""
    image = model.images[image_id]
    lens = model.cameras[image.camera_id]
    if lens.model.name == "OPENCV":
        fx, fy, cx, cy, k1, k2, p1, p2 = lens.params
    else:
        fx, cx, cy, k1, k2 = [*lens.params, 0.0][:5]
        fy, p1, p2 = fx, 0.0, 0.0
    return Camera(
        name=image.name,
        width=lens.width,
        height=lens.height,
        K=np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]]),
        distortion=np.array([k1, k2, p1, p2, 0]),
        cam_from_world=np.asarray(image.cam_from_world().matrix()),
    )


def _mapped(model: Any, problem: MappingProblem) -> Mapped:
    images, features, ids, error = _observations(model)
    unique, point_of = np.unique(ids, return_inverse=True)
    cameras = [camera_of(model, i) for i in sorted(model.reg_image_ids())]
    return Mapped(
        cameras={camera.name: camera for camera in cameras},
        points=np.array([model.points3D[int(i)].xyz for i in unique]),
        camera_of=images - 1,
        feature_of=features,
        point_of=point_of.ravel().astype(np.int32),
        error=error,
    )
