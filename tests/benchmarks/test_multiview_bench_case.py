"""The multi-view benchmark's people: what is photographed is what is said to be true."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facekit.benchmarks import multiview_bench_case
from facekit.benchmarks.heads.people import landmarks_seen
from facekit.benchmarks.multiview_bench_case import (
    CaseKey,
    CaseTruth,
    CaseViews,
    load_truth,
    load_views,
    make_case,
)
from facekit.benchmarks.multiview_bench_config import Way
from facekit.benchmarks.multiview_bench_views import (
    Fault,
    FaultKind,
    face_views,
    fault_of,
    faulty,
)
from facekit.core.errors import InputError
from facekit.core.facemodel.procedural import procedural_head
from facekit.core.geometry.closest import SurfaceQuery

KEY = CaseKey(head="procedural", seed=5, megapixels=0.06)
FRONT, LEFT, RIGHT = "cam04", "cam06", "cam02"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_case(tmp_path_factory.mktemp("cases") / "case.npz", KEY)


@pytest.fixture(scope="module")
def known(path: Path) -> CaseViews:
    return load_views(path)


@pytest.fixture(scope="module")
def truth(path: Path) -> CaseTruth:
    return load_truth(path)


def test_landmarks_are_the_true_ones_with_the_noise_they_are_said_to_have(
    known: CaseViews, truth: CaseTruth
) -> None:
    world = truth.world_from_head(truth.face.landmarks)
    off = np.stack([
        (camera.project(world)[0] - found) / sigma
        for camera, found, sigma in zip(
            known.cameras, known.landmarks, known.sigma_px, strict=True
        )
    ])  # fmt: skip
    off = off[np.isfinite(off)]
    # a standard deviation from some 900 numbers is known to 2.4 per cent
    assert off.std() == pytest.approx(1.0, abs=0.1) and abs(off.mean()) < 0.12
    # 1.5 px of a crop of 224 px that shows some 220 mm
    assert np.allclose(known.sigma_px / [c.K[0, 0] for c in known.cameras], 1.5e-3, rtol=0.1)


def test_masks_show_the_surface_where_it_is_said_to_be(known: CaseViews, truth: CaseTruth) -> None:
    world = truth.world_from_head(truth.skin.vertices)
    query = SurfaceQuery(world, truth.skin.faces)
    for camera, mask in zip(known.cameras, known.masks, strict=True):
        seen = np.isfinite(query.depth(camera))
        # the skin about the face is part of the head; its rim may lie half a pixel outside
        assert (seen & ~mask).sum() < 0.02 * seen.sum()
    assert not any(camera.is_distorted for camera in known.cameras)


def test_a_head_stands_somewhere_in_the_cameras_world(truth: CaseTruth) -> None:
    assert truth.world_from_head.scale == 1.0
    assert np.linalg.norm(truth.world_from_head.t) > 5.0
    assert not np.allclose(truth.world_from_head.R, np.eye(3), atol=0.02)


def test_the_side_that_is_turned_away_has_no_landmarks() -> None:
    model = procedural_head()
    marks = model.mean[model.landmarks68]
    assert landmarks_seen(marks, 0.0).all()
    from_left = landmarks_seen(marks, 90.0)
    # the subject's left eye is 42-47; the profile's middle line stays, the right is gone
    assert from_left[42:48].all() and from_left[27:31].all() and not from_left[36:42].any()
    assert not landmarks_seen(marks, 45.0)[:4].any()  # the far jaw


def test_what_is_photographed_is_kept(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("rendered again")

    monkeypatch.setattr(multiview_bench_case, "build_scene", refuse)
    assert make_case(path, KEY) == path
    with pytest.raises(AssertionError, match="rendered again"):
        make_case(path, replace(KEY, seed=6))
    with pytest.raises(AssertionError, match="rendered again"):
        make_case(tmp_path / "none.npz", KEY)


def test_another_file_is_no_case(tmp_path: Path) -> None:
    file = tmp_path / "case.npz"
    file.write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"case\.npz: not a case of the multi-view benchmark"):
        load_views(file)
    np.savez(file, about=np.array(json.dumps({"version": 0})))
    with pytest.raises(InputError, match="another version"):
        load_truth(file)


def test_nine_views_are_calibrated_three_may_not_be(known: CaseViews) -> None:
    nine = face_views(known, Way.CALIBRATED9, focal_error=0.02, seed=0)
    assert len(nine.views) == 9 and nine.calibrated and nine.metric
    three = face_views(known, Way.CALIBRATED3, focal_error=0.02, seed=0)
    assert [view.name for view in three.views] == [RIGHT, FRONT, LEFT] and three.calibrated
    guessed = face_views(known, Way.UNCALIBRATED3, focal_error=0.02, seed=0)
    assert not guessed.calibrated and not guessed.metric
    for view, true in zip(guessed.views, three.views, strict=True):
        assert np.array_equal(view.image, true.image)
        assert np.array_equal(view.camera.cam_from_world, np.eye(4)[:3])  # nothing is known
        ratio = view.camera.K[0, 0] / true.camera.K[0, 0]
        assert ratio != 1 and abs(ratio - 1) <= 0.02
        assert np.allclose(view.camera.K[:2, 2], [view.camera.width / 2, view.camera.height / 2])
    (front,) = face_views(known, Way.SINGLE, focal_error=0.02, seed=0).views
    assert front.name == FRONT


def test_faults_are_where_they_are_said_to_be(known: CaseViews, path: Path) -> None:
    sound = face_views(known, Way.CALIBRATED9, focal_error=0.0, seed=0)
    assert faulty(sound, Fault()) is sound
    for kind in (FaultKind.OTHER, FaultKind.BLACK, FaultKind.SWAPPED):
        fault = fault_of(kind, known, path)
        spoilt = faulty(sound, fault)
        changed = {
            one.name for one, other in zip(spoilt.views, sound.views, strict=True)
            if not np.array_equal(one.image, other.image)
        }  # fmt: skip
        # here the other person is the same one, so that their picture is no other
        assert changed == (set() if kind is FaultKind.OTHER else set(fault.views))
        for one, other in zip(spoilt.views, sound.views, strict=True):
            assert one.camera is other.camera  # the rig does not know of it
    black = faulty(sound, fault_of(FaultKind.BLACK, known, None))
    assert [view.name for view in black.views if not view.has_face] == ["cam05"]
    swapped = {v.name: v for v in faulty(sound, fault_of(FaultKind.SWAPPED, known, None)).views}
    assert np.array_equal(swapped[LEFT].image, known.images[2].astype(np.float32) / 255)
