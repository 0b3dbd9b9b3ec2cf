"""Points found again in other views, and what they tell of poses and shape."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pytest

from facekit.capture.virtual.lights import led_ring
from facekit.capture.virtual.render import photograph
from facekit.capture.virtual.scene import build_scene
from facekit.capture.virtual.sensor import Optics
from facekit.capture.virtual.studio import rng_of
from facekit.capture.virtual.subject import draw_subject
from facekit.core.facemodel.procedural import procedural_head
from facekit.core.geometry.camera import Camera
from facekit.core.geometry.closest import SurfaceQuery
from facekit.core.geometry.transform import Similarity, look_at, rotation_angle_deg
from facekit.reconstruct.facetensors import model_centre
from facekit.reconstruct.fit_model import fit_model
from facekit.reconstruct.views.bundle import Bundle, bundle
from facekit.reconstruct.views.charted import charted_views
from facekit.reconstruct.views.coarse import CoarseConfig, CoarseHead, fit_coarse
from facekit.reconstruct.views.coarse_state import CoarseState, head_vertices
from facekit.reconstruct.views.coarse_tracks import RefineConfig
from facekit.reconstruct.views.faceview import FaceView, FaceViews
from facekit.reconstruct.views.tracks import TrackConfig, Tracks, find_tracks

FACE = procedural_head()
MODEL = fit_model(FACE, model_centre(FACE))
YAWS = (-35.0, 0.0, 35.0)
SIZE = 300
NOISE_PX = 1.5  # 1.2 px a millimetre
REFINED = CoarseConfig(refine=RefineConfig(sizes=(256, 256)))
LANDMARKS = CoarseConfig(refine=None)


@dataclass(frozen=True, kw_only=True)
class Person:
    """Three photographs of one person, and the true surface."""

    vertices: np.ndarray
    surface: SurfaceQuery
    images: tuple[np.ndarray, ...]


def _camera(yaw_deg: float) -> Camera:
    yaw = np.radians(yaw_deg)
    target = np.array([0.0, -5.0, 40.0])
    K = np.array([[1050.0, 0, SIZE / 2], [0, 1050.0, SIZE / 2], [0, 0, 1]])
    center = target + 900 * np.array([np.sin(yaw), 0.05, np.cos(yaw)])
    return Camera(
        name=f"yaw{yaw_deg:+.0f}", width=SIZE, height=SIZE, K=K,
        cam_from_world=look_at(center, target),
    )  # fmt: skip


CAMERAS = tuple(_camera(yaw) for yaw in YAWS)


def _person(seed: int) -> Person:
    subject = draw_subject(FACE, identity_rng=rng_of(seed, "id"), skin_rng=rng_of(seed, "skin"))
    lights = led_ring(rng_of(0, "lights"))
    scene = build_scene(subject, lights, footprint_mm=1.2, rng=rng_of(0, "light visibility"))
    images = tuple(
        photograph(scene, camera, lights, Optics(), rng=rng_of(seed, camera.name)).image / 255.0
        for camera in CAMERAS
    )
    return Person(
        vertices=np.asarray(subject.vertices()),
        surface=scene.query,
        images=tuple(np.asarray(image, np.float32) for image in images),
    )


@pytest.fixture(scope="module")
def people() -> Mapping[str, Person]:
    return {"one": _person(11), "other": _person(12)}


def _views(person: Person, *, calibrated: bool, focal: float = 1.0) -> FaceViews:
    rng = np.random.default_rng(1)
    views = []
    for camera, image in zip(CAMERAS, person.images, strict=True):
        seen = camera.project(person.vertices[FACE.landmarks68])[0]
        K = camera.K.copy()
        K[:2, :2] *= focal
        views.append(
            FaceView(
                name=camera.name, image=image, camera=replace(camera, K=K),
                landmarks=seen + rng.normal(0, NOISE_PX, (68, 2)), sigma_px=NOISE_PX,
            )
        )  # fmt: skip
    return FaceViews(views=tuple(views), calibrated=calibrated, metric=calibrated)


def _with(views: FaceViews, at: int, other: FaceViews) -> FaceViews:
    changed = list(views.views)
    changed[at] = replace(other.views[at], camera=views.views[at].camera)
    return replace(views, views=tuple(changed))


def _turns_deg(head: CoarseHead) -> float:
    """Return the largest error of the turns between neighbouring cameras."""
    errors = []
    for i in (0, 1):
        found, true = (
            pair[i].cam_from_world[:, :3] @ pair[i + 1].cam_from_world[:, :3].T
            for pair in (head.cameras, CAMERAS)
        )
        errors.append(float(rotation_angle_deg(found @ true.T)))
    return max(errors)


def test_points_are_found_again_where_both_cameras_see_them(people: Mapping[str, Person]):
    person = people["one"]
    shape = FACE.mean  # another head's: a few millimetres off
    charted = charted_views(FACE, MODEL.region, [shape] * 3, CAMERAS, person.images, size=256)
    tracks, agreements = find_tracks(charted, CAMERAS, [shape] * 3, TrackConfig(step_texels=3))
    assert {pair.views for pair in agreements} == {(0, 1), (1, 2), (0, 2)}
    assert min(pair.share for pair in agreements if pair.views != (0, 2)) > 0.5
    assert {tuple(sorted(pair)) for pair in tracks.views.tolist()} == {(0, 1), (1, 2)}
    first, second = tracks.views.T
    off = []
    for a, b in ((0, 1), (1, 0), (1, 2), (2, 1)):
        at = (first == a) & (second == b)
        rays = CAMERAS[a].unproject(tracks.xy[at, 0])
        hits = person.surface.cast(CAMERAS[a].center, rays)
        points = CAMERAS[a].center + hits.distance[:, None] * rays
        seen, _ = CAMERAS[b].project(points)
        off.append(np.linalg.norm(seen - tracks.xy[at, 1], axis=1)[hits.hit])
    # texels of 1.4 mm are 1.7 px here: a fifth of one, and few of them wild
    assert np.median(np.concatenate(off)) < 0.4
    assert np.percentile(np.concatenate(off), 90) < 1.5


def test_tracks_find_the_poses_and_the_focal_length_of_photographs(people: Mapping[str, Person]):
    views = _views(people["one"], calibrated=False, focal=1.15)
    coarse = fit_coarse(views, MODEL, FACE, LANDMARKS)
    refined = fit_coarse(views, MODEL, FACE, REFINED)
    # small pictures of a narrow lens: turn, depth and focal length trade off at a few percent
    assert _turns_deg(refined) < min(1.5, 0.6 * _turns_deg(coarse))
    assert refined.figures["focal_factor"] == pytest.approx(1 / 1.15, rel=0.06)
    assert refined.weight.tolist() == [1.0, 1.0, 1.0] and not refined.remarks


def test_tracks_find_the_shape_in_calibrated_views(people: Mapping[str, Person]):
    person = people["one"]
    views = _views(person, calibrated=True)
    errors = []
    for config in (LANDMARKS, REFINED):
        found = head_vertices(MODEL, fit_coarse(views, MODEL, FACE, config).coefficients)
        front = FACE.regions["frontal_face"]
        errors.append(float(np.median(person.surface.closest(found[front]).distance)))
    assert errors[1] < min(0.4, 0.6 * errors[0])


@pytest.mark.parametrize(("calibrated", "at"), [(True, 1), (False, 0)])
def test_a_view_of_another_person_is_left_out(
    people: Mapping[str, Person], calibrated: bool, at: int
):
    clean = _views(people["one"], calibrated=calibrated)
    views = _with(clean, at, _views(people["other"], calibrated=calibrated))
    head = fit_coarse(views, MODEL, FACE, REFINED)
    assert head.weight.tolist() == [float(i != at) for i in range(3)]
    assert set(head.remarks) == {views.views[at].name}
    rest = replace(clean, views=tuple(v for i, v in enumerate(clean.views) if i != at))
    without = fit_coarse(rest, MODEL, FACE, REFINED)
    np.testing.assert_allclose(head.coefficients, without.coefficients, atol=0.1)


def test_a_calibrated_view_counts_by_its_skin_where_no_face_was_found(
    people: Mapping[str, Person],
):
    views = _views(people["one"], calibrated=True)
    unknown = np.full((68, 2), np.nan)
    blind = replace(views.views[2], landmarks=unknown)
    head = fit_coarse(replace(views, views=(*views.views[:2], blind)), MODEL, FACE, REFINED)
    assert head.weight.tolist() == [1.0, 1.0, 1.0]
    assert "used" in head.remarks[blind.name]
    black = replace(blind, image=np.zeros_like(blind.image))
    head = fit_coarse(replace(views, views=(*views.views[:2], black)), MODEL, FACE, REFINED)
    assert head.weight.tolist() == [1.0, 1.0, 0.0]
    assert set(head.remarks) == {black.name}


def _small_bundle() -> tuple[Bundle, CoarseState]:
    """Return a few points, each seen twice with some error, and a state near to them."""
    rng = np.random.default_rng(4)
    front = np.flatnonzero(MODEL.region[MODEL.faces].all(axis=1))
    faces = rng.choice(front, 12, replace=False)
    weights = rng.dirichlet(np.ones(3), 12)
    points = np.einsum("nk,nkd->nd", weights, FACE.mean[MODEL.faces[faces]])
    views = np.array([[0, 1], [1, 2]] * 6)
    cameras = tuple(replace(camera, cam_from_world=np.eye(3, 4)) for camera in CAMERAS)
    xy = np.array(
        [[CAMERAS[v].project(p)[0] for v in pair] for p, pair in zip(points, views, strict=True)]
    )
    tracks = Tracks(
        texels=np.zeros((12, 2), np.intp), faces=faces, weights=weights, views=views,
        xy=xy + rng.normal(0, 0.5, xy.shape),
        sigma=np.full((12, 2), 0.7), normals=np.tile([0.0, 0.0, 1.0], (12, 1)),
    )  # fmt: skip
    state = CoarseState(
        identity=0.1 * rng.normal(size=MODEL.n_identity),
        expressions=np.zeros((1, len(MODEL.modes) - MODEL.n_identity)),
        poses=tuple(
            Similarity(scale=1.0, R=c.cam_from_world[:, :3], t=c.cam_from_world[:, 3])
            for c in CAMERAS
        ),
        log_focal=0.01,
    )
    return bundle(MODEL, tracks, cameras, off_model_mm=1.0), state


def test_what_is_left_after_elimination_is_the_slope_of_the_least_cost():
    told, state = _small_bundle()

    def cost(at: CoarseState) -> float:
        """Cauchy's loss whose weights are 1 / (s^2 + r^2 / 9), the offsets at their best."""
        r2 = (told.residuals(at) * told.tracks.sigma) ** 2
        offsets = told.offsets(at)
        prior = np.einsum("ni,nij,nj->", offsets, told.prior, offsets) / 2
        return float(4.5 * np.log(told.tracks.sigma**2 + r2 / 9).sum() + prior)

    H, g = np.zeros((state.n, state.n)), np.zeros(state.n)
    told.term(state, H, g)
    np.testing.assert_allclose(H, H.T, atol=1e-6 * np.abs(H).max())
    rng = np.random.default_rng(0)
    for _ in range(4):
        step = 1e-4 * rng.normal(size=state.n)
        change = (cost(state.stepped(step)) - cost(state.stepped(-step))) / 2
        assert change == pytest.approx(-float(g @ step), rel=0.02, abs=1e-4)


def test_points_that_disagree_are_doubted_and_others_are_not():
    told, state = _small_bundle()
    assert told.doubted(state) is told or told.disagreement(state) > 1
    shifted = told.tracks.xy.copy()
    shifted[::2, 1, 1] += 6.0  # across the epipolar lines of views from aside
    shifted[1::2, 1, 1] -= 6.0
    moved = replace(told, tracks=replace(told.tracks, xy=shifted))
    assert (moved.doubted(state).tracks.sigma > 1.5 * told.tracks.sigma).all()
