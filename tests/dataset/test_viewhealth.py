"""Views against each other: healthy ones are let alone, spoiled ones are named."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from facekit.core.files import write_json
from facekit.dataset.photoconsistency import photo_consistency
from facekit.dataset.stereo.views import View
from facekit.dataset.surfacepatches import normalised, surface_patches
from facekit.dataset.viewhealth import displacements, sentences_of, view_health

SPOILED = 2


@pytest.fixture(scope="module")
def views(ball) -> list[View]:
    return ball.views()


@pytest.fixture(scope="module")
def mesh(ball):
    return ball.mesh(n_times=5)


def judged(mesh, views):
    return view_health(surface_patches(mesh, views), views)


def spoiled(views: list[View], **changes: object) -> list[View]:
    return [replace(v, **changes) if k == SPOILED else v for k, v in enumerate(views)]


def displaced(view: View, x: float, y: float) -> np.ndarray:
    matrix = np.array([[1.0, 0, x], [0, 1.0, y]])
    return cv2.warpAffine(view.grey, matrix, view.grey.shape[::-1], flags=cv2.INTER_LINEAR)


def test_patches_of_a_true_surface_agree(ball, mesh, views):
    patches = surface_patches(mesh, views)
    assert (patches.seen.sum(axis=0) >= 3).all()
    unit = normalised(patches.values)
    both = patches.seen[1] & patches.seen[2]
    assert np.median((unit[1, both] * unit[2, both]).sum(axis=(1, 2))) > 0.9
    # one step is as long as a pixel of the view that sees the point finest
    lengths = np.linalg.norm(patches.px_per_step, axis=2).max(axis=2)[patches.seen]
    assert lengths.max() == pytest.approx(1.0, abs=0.1)


def test_healthy_views_get_no_remark(mesh, views):
    found = judged(mesh, views)
    assert sentences_of(found) == []
    # flat patches of so small a ball depart from it by 4² / (2 * 60) px at their edges
    assert all(np.hypot(*view.shift_px) < 0.13 for view in found)
    assert all(0.9 < view.sharpness < 1.1 for view in found[1:4])
    assert not any(view.left_out for view in found)


@pytest.mark.parametrize(("x", "y"), [(0.5, 0.0), (-0.6, 0.7), (3.0, -2.0)])
def test_displacement_is_measured_and_named(mesh, views, x, y):
    found = judged(mesh, spoiled(views, grey=displaced(views[SPOILED], x, y)))
    assert found[SPOILED].shift_px == pytest.approx((x, y), abs=0.1)
    (sentence,) = sentences_of(found)
    assert sentence.startswith("cam2 disagrees with the other photographs by")
    assert found[SPOILED].left_out


def test_a_quarter_of_a_pixel_is_named(mesh, views):
    found = judged(mesh, spoiled(views, grey=displaced(views[SPOILED], 0.25, 0.0)))
    (sentence,) = sentences_of(found)
    assert sentence.startswith("cam2 disagrees with the other photographs by")


def test_recorded_displacements_are_read_by_name(mesh, views, tmp_path):
    found = judged(mesh, spoiled(views, grey=displaced(views[SPOILED], 0.3, 0.4)))
    assert displacements(tmp_path, ["cam2"]) == pytest.approx([0.0])  # nothing recorded yet
    record = {"results": {"views": {view.name: view.record() for view in found}}}
    write_json(tmp_path / "stages" / "health" / "stage.json", record)
    px = displacements(tmp_path, ["elsewhere", "cam2"])
    assert px == pytest.approx([0.0, 0.5], abs=0.1)


def test_a_wrong_pose_is_named(mesh, views, ball):
    camera = views[SPOILED].camera
    pose = camera.cam_from_world.copy()
    pose[0, 3] += 0.8 * ball.footprint
    found = judged(mesh, spoiled(views, camera=replace(camera, cam_from_world=pose)))
    # the camera is taken to stand where its picture would lie 0.8 px farther right
    assert found[SPOILED].shift_px == pytest.approx((-0.8, 0.0), abs=0.2)
    assert [view.name for view in found if view.remarks] == ["cam2"]


def test_a_part_that_moved_is_named(mesh, views):
    view = views[SPOILED]
    grey = view.grey.copy()
    rows, cols = slice(70, 100), slice(60, 90)  # a tenth of the ball, moved by four pixels
    grey[rows, cols] = view.grey[rows, 64:94]
    found = judged(mesh, spoiled(views, grey=grey))
    (sentence,) = sentences_of(found)
    assert sentence.startswith("cam2 shows something else in")
    assert 0.02 < found[SPOILED].odd_share < 0.3
    assert max(v.odd_share for k, v in enumerate(found) if k != SPOILED) < 0.01
    assert not found[SPOILED].left_out


def test_blur_is_named(mesh, views):
    blurred = cv2.GaussianBlur(views[SPOILED].grey, (0, 0), 1.5)
    found = judged(mesh, spoiled(views, grey=blurred))
    (sentence,) = sentences_of(found)
    assert sentence.startswith("cam2 is blurred")
    assert found[SPOILED].sharpness < 0.85


def test_over_exposure_is_named(mesh, views):
    view = views[SPOILED]
    found = judged(
        mesh,
        spoiled(
            views,
            grey=np.clip(1.4 * view.grey, 0, 1),
            color=np.clip(1.4 * view.color, 0, 255).astype(np.uint8),
        ),
    )
    assert "cam2 is over-exposed" in sentences_of(found)[0]
    assert [view.name for view in found if view.remarks] == ["cam2"]


def test_of_two_views_neither_is_blamed(mesh, views):
    two = [views[1], replace(views[2], grey=displaced(views[2], 1.0, 0.0))]
    assert sentences_of(judged(mesh, two)) == []


def test_records_are_json_able_without_nan(mesh, views):
    record = judged(mesh, views[:2])[0].record()
    assert record["ncc"] is None
    assert record["patches"] == 0


def test_the_wrong_mesh_explains_the_photographs_worse(ball, mesh, views):
    names = [view.camera.name for view in views]

    def explained(radius: float):
        wrong = replace(mesh, vertices=radius / ball.radius * mesh.vertices)
        return photo_consistency(surface_patches(wrong, views), names)

    right = explained(ball.radius)
    off = [explained(ball.radius + px * ball.footprint) for px in (0.5, 1.0, 2.0)]
    assert right.ncc > 0.9
    assert right.psnr_db > 25
    nccs = [right.ncc, *(c.ncc for c in off)]
    assert nccs == sorted(nccs, reverse=True)
    psnrs = [right.psnr_db, *(c.psnr_db for c in off)]
    assert psnrs == sorted(psnrs, reverse=True)
    assert off[-1].ncc < right.ncc - 0.2
    assert set(right.record()["views"]) == set(names)
