"""From a session to meshes: the whole way on a tiny scene."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from facekit.calibration.check import TakeCheck
from facekit.calibration.rigfile import load_rig, save_rig
from facekit.calibration.stability.stabilityreport import CameraStability, StabilityReport, Verdict
from facekit.calibration.stability.tiefit import changed
from facekit.capture.session import TakeKind
from facekit.core.errors import ConfigError, EstimationError, InputError
from facekit.core.geometry.camera import Rig
from facekit.core.geometry.meshio import load_mesh
from facekit.core.imaging.imageio import write_image
from facekit.dataset.build import BuildConfig, build_dataset
from facekit.dataset.rigcheck import RigCheck

TINY = BuildConfig(megapixels=1.0, start_megapixels=0.005)  # 72 x 80 px, then 144 x 160

BUILD = """
import sys, json
from pathlib import Path
from facekit.capture.session import load_session
from facekit.calibration.rigfile import load_rig
from facekit.dataset.build import BuildConfig, build_dataset
folder = Path(sys.argv[1])
build_dataset(load_session(folder / "session"), load_rig(folder / "rig.json"), folder / sys.argv[2],
              BuildConfig(megapixels=1.0, start_megapixels=0.005))
"""


@pytest.fixture(scope="module")
def built(ball, tmp_path_factory):
    """Give the folder of a finished build, its session and its summary."""
    folder = tmp_path_factory.mktemp("ball")
    session = ball.session(folder / "session")
    summary = build_dataset(session, ball.rig, folder / "build", TINY)
    save_rig(folder / "rig.json", ball.rig)
    return folder, session, summary


def test_mesh_lies_on_the_surface(ball, built):
    mesh = load_mesh(built[0] / "build/smile/mesh.ply")
    error = np.linalg.norm(mesh.vertices, axis=1) - ball.radius
    facing = mesh.vertices[:, 2] > 0.6 * ball.radius
    assert np.median(np.abs(error[facing])) < 0.2 * ball.footprint
    assert np.percentile(np.abs(error[facing]), 95) < 1.0 * ball.footprint
    assert np.abs(error).max() < 10 * ball.footprint  # no floaters


def test_mesh_covers_what_two_views_see(ball, built):
    mesh = load_mesh(built[0] / "build/smile/mesh.ply")
    front = ball.mesh(n_times=3).vertices
    front = front[front[:, 2] > 0.6 * ball.radius]
    nearest = np.linalg.norm(front[:, None] - mesh.vertices[None, ::5], axis=2).min(axis=1)
    assert np.percentile(nearest, 98) < 4 * ball.footprint


def test_vertices_say_how_well_they_are_known(built):
    mesh = load_mesh(built[0] / "build/smile/mesh.ply")
    assert {"confidence", "score", "n_views"} <= mesh.attributes.keys()
    confidence = mesh.attributes["confidence"]
    assert confidence.min() >= 0
    assert confidence.max() <= 1
    assert (confidence[mesh.attributes["n_views"] < 2] == 0).all()
    assert mesh.colors is not None


def test_maps_of_every_view(ball, built):
    for camera in ball.rig:
        with np.load(built[0] / f"build/smile/views/{camera.name}.npz") as maps:
            assert maps["depth"].dtype == np.float32
            known = np.isfinite(maps["depth"])
            assert known.mean() > 0.1
            assert (maps["confidence"][~known] == 0).all()
            pose = maps["cam_from_world"]
            towards = (maps["normal"][known] @ pose[2, :3]) < 0
            assert towards.mean() > 0.99  # seen from the front, so turned to the camera


def test_summary_is_json_and_on_disk(built):
    folder, _, summary = built
    assert summary["failed"] == {}
    assert summary["takes"]["smile"]["unit"] == "arbitrary"
    assert summary["takes"]["smile"]["measured_percent"] > 60
    assert json.loads((folder / "build/build.json").read_text()) == summary


def test_the_cost_is_told_before(built, caplog):
    expected = built[2]["takes"]["smile"]["expected"]
    # a ball before a plain backdrop: its masks tell its size
    assert expected["vertices"] == pytest.approx(built[2]["takes"]["smile"]["vertices"], rel=0.5)
    assert 0.3 < expected["gb"] < 1
    assert expected["cpu_s"] > 0
    assert built[2]["takes"]["smile"]["expected_finest"]["cpu_s"] > 0


def test_large_photographs_are_let_go_and_read_again(ball, built, tmp_path, monkeypatch):
    monkeypatch.setattr("facekit.dataset.take.MOST_KEPT_PIXELS", 0)
    session = ball.session(tmp_path / "session")
    build_dataset(session, ball.rig, tmp_path / "build", TINY)
    for name in ("mesh.ply", "mesh.obj"):
        kept = (built[0] / "build/smile" / name).read_bytes()
        assert (tmp_path / "build/smile" / name).read_bytes() == kept


def test_every_view_is_appraised(ball, built):
    figures = built[2]["takes"]["smile"]
    assert figures["left_out"] == []
    assert set(figures["view_health"]) == set(ball.rig.names)
    assert all(view["remarks"] == [] for view in figures["view_health"].values())
    assert figures["photo_consistency"]["ncc"] > 0.9
    assert set(figures["photo_consistency"]["views"]) == set(ball.rig.names)


def test_a_displaced_photograph_is_named_and_left_out(ball, tmp_path, caplog):
    """One of five photographs lies two pixels too far right, and nobody repairs the rig."""
    images = {**ball.images, "cam2": np.roll(ball.images["cam2"], 2, axis=1)}
    session = replace(ball, images=images).session(tmp_path / "session")
    off = replace(TINY, check_rig=RigCheck.OFF)
    figures = build_dataset(session, ball.rig, tmp_path / "build", off)["takes"]["smile"]
    assert figures["left_out"] == ["cam2"]
    assert "cam2" not in figures["views"]
    (remark,) = figures["remarks"]
    assert remark.startswith("cam2 disagrees with the other photographs by")
    assert remark in caplog.text
    health = figures["view_health"]["cam2"]
    assert (health["shift_x_px"], health["shift_y_px"]) == pytest.approx((2, 0), abs=0.4)
    mesh = load_mesh(tmp_path / "build/smile/mesh.ply")
    error = np.linalg.norm(mesh.vertices, axis=1) - ball.radius
    facing = mesh.vertices[:, 2] > 0.6 * ball.radius
    assert np.median(np.abs(error[facing])) < 0.3 * ball.footprint


def test_second_run_does_nothing(ball, built, caplog):
    folder, session, summary = built
    before = (folder / "build/smile/mesh.ply").stat().st_mtime_ns
    with caplog.at_level("INFO", logger="facekit"):
        again = build_dataset(session, ball.rig, folder / "build", TINY)
    assert (folder / "build/smile/mesh.ply").stat().st_mtime_ns == before
    assert caplog.text.count("finished already") == 7  # five of the mesh, two looks
    figures = {**summary["takes"]["smile"], "seconds": 0, "peak_gb": 0}
    assert {**again["takes"]["smile"], "seconds": 0, "peak_gb": 0} == figures


def test_goes_on_after_a_kill(built, tmp_path):
    """SIGKILL as soon as the depth maps stand; the next run does not make them again."""
    folder, _, _ = built
    record = folder / "killed/smile/stages/depth/stage.json"
    command = [sys.executable, "-c", BUILD, str(folder), "killed"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        while not record.exists() and process.poll() is None:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
    made = record.stat().st_mtime_ns
    subprocess.run(command, check=True, capture_output=True)
    assert record.stat().st_mtime_ns == made
    one, other = (folder / name / "smile/mesh.ply" for name in ("build", "killed"))
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.slow
def test_number_of_threads_does_not_matter(built):
    folder, _, _ = built
    names = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    for n in ("1", "2"):
        environment = {**os.environ, **dict.fromkeys(names, n)}
        command = [sys.executable, "-c", BUILD, str(folder), f"threads{n}"]
        subprocess.run(command, check=True, capture_output=True, env=environment)
    for name in ("mesh.ply", "points.ply"):
        one, two = ((folder / f"threads{n}/smile" / name).read_bytes() for n in ("1", "2"))
        assert one == two


def test_missing_photographs_and_unknown_cameras_are_named(ball, tmp_path):
    session = ball.session(tmp_path / "session")
    take = session.takes[0]
    shots = tuple(shot for shot in take.shots if shot.camera != "cam0")
    session = replace(session, takes=(replace(take, shots=shots, problems=("cam0 is missing",)),))
    rig = Rig(cameras=ball.rig.cameras[:4], metric=False)
    figures = build_dataset(session, rig, tmp_path / "build", TINY)["takes"]["smile"]
    assert figures["views"] == ["cam1", "cam2", "cam3"]
    assert figures["remarks"] == [
        "cam0 is missing",
        "left out, not in the rig: cam4",
        "no photograph of cam0",
    ]


def test_two_cameras_are_enough(ball, tmp_path):
    session = ball.session(tmp_path / "session")
    rig = Rig(cameras=ball.rig.cameras[1:3], metric=False)
    build_dataset(session, rig, tmp_path / "build", TINY)
    mesh = load_mesh(tmp_path / "build/smile/mesh.ply")
    error = np.linalg.norm(mesh.vertices, axis=1) - ball.radius
    # the same parallax as with five cameras, but no second opinion
    assert np.median(np.abs(error)) < 0.5 * ball.footprint
    assert len(mesh.vertices) > 1000


def test_given_masks_are_used(ball, tmp_path):
    """A mask of the right half leaves the left half out; another mask builds anew."""
    session = ball.session(tmp_path / "session")
    shots = []
    for shot in session.takes[0].shots:
        camera = ball.rig[shot.camera]
        points = camera.center + ball.depth(camera)[..., None] * camera.unproject(
            camera.pixel_centers()
        )
        mask = np.where(np.nan_to_num(points[..., 0], nan=-1.0) > 0, 255, 0).astype(np.uint8)
        name = f"masks/{shot.camera}.png"
        write_image(tmp_path / "session" / name, mask)
        shots.append(replace(shot, mask=name))
    masked = replace(session, takes=(replace(session.takes[0], shots=tuple(shots)),))
    build_dataset(masked, ball.rig, tmp_path / "build", TINY)
    mesh = load_mesh(tmp_path / "build/smile/mesh.ply")
    assert mesh.vertices[:, 0].min() > -6 * ball.footprint
    build_dataset(session, ball.rig, tmp_path / "build", TINY)
    mesh = load_mesh(tmp_path / "build/smile/mesh.ply")
    assert mesh.vertices[:, 0].min() < -0.5 * ball.radius


def test_one_bad_take_does_not_stop_the_others(ball, tmp_path):
    session = ball.session(tmp_path / "session", takes=("bad", "good"))
    (tmp_path / "session/images/bad/cam2.png").write_bytes(b"not an image")
    summary = build_dataset(session, ball.rig, tmp_path / "build", TINY)
    assert list(summary["takes"]) == ["good"]
    assert "cam2.png: not the photograph that was ingested" in summary["failed"]["bad"]
    assert not (tmp_path / "build/bad/mesh.ply").exists()


def test_all_takes_bad_is_an_error(ball, tmp_path):
    session = ball.session(tmp_path / "session")
    (tmp_path / "session/images/smile/cam2.png").write_bytes(b"not an image")
    with pytest.raises(InputError, match=r"no take could be built.*cam2\.png: not the photograph"):
        build_dataset(session, ball.rig, tmp_path / "build", TINY)
    assert "smile" in json.loads((tmp_path / "build/build.json").read_text())["failed"]


def test_photographs_that_do_not_belong_to_the_rig(ball, tmp_path):
    """The same cameras, but turned round the subject in another order."""
    session = ball.session(tmp_path / "session")
    poses = [camera.cam_from_world for camera in ball.rig.cameras]
    order = [3, 0, 4, 1, 2]
    cameras = [
        replace(camera, cam_from_world=poses[k]) for camera, k in zip(ball.rig, order, strict=True)
    ]
    rig = Rig(cameras=tuple(cameras), metric=False)
    with pytest.raises(EstimationError, match="check that the rig belongs to"):
        build_dataset(session, rig, tmp_path / "build", TINY)


def test_rig_of_another_session_is_refused(ball, tmp_path):
    session = ball.session(tmp_path / "session")
    cameras = tuple(replace(camera, name=f"other{k}") for k, camera in enumerate(ball.rig))
    with pytest.raises(InputError, match="is this the rig of another session"):
        build_dataset(session, Rig(cameras=cameras), tmp_path / "build", TINY)


def test_images_of_another_shape_are_refused(ball, tmp_path):
    session = ball.session(tmp_path / "session")
    cameras = tuple(replace(camera, width=300, height=160) for camera in ball.rig)
    with pytest.raises(InputError, match="calibrated at 300x160"):
        build_dataset(session, Rig(cameras=cameras), tmp_path / "build", TINY)


def test_wanted_takes(ball, tmp_path):
    session = ball.session(tmp_path / "session")
    with pytest.raises(InputError, match="no take 'frown'"):
        build_dataset(session, ball.rig, tmp_path / "build", TINY, takes=["frown"])
    board = replace(session, takes=(replace(session.takes[0], kind=TakeKind.TARGET),))
    with pytest.raises(InputError, match="shows a target"):
        build_dataset(board, ball.rig, tmp_path / "build", TINY, takes=["smile"])
    with pytest.raises(InputError, match="no take of a subject"):
        build_dataset(board, ball.rig, tmp_path / "build", TINY)


def test_megapixels_need_to_be_positive(ball, tmp_path):
    session = ball.session(tmp_path / "session")
    with pytest.raises(ConfigError, match="above 0"):
        build_dataset(session, ball.rig, tmp_path / "build", BuildConfig(megapixels=0.0))


def test_steady_rig_changes_nothing(ball, built, tmp_path):
    folder, session, summary = built
    assert summary["takes"]["smile"]["rig_check"] in ("steady", "too few ties")
    record = json.loads((folder / "build/smile/stability.json").read_text())
    assert record["moved"] == []
    assert not (folder / "build/smile/rig.repaired.json").exists()
    off = build_dataset(session, ball.rig, tmp_path / "off", replace(TINY, check_rig=RigCheck.OFF))
    assert off["takes"]["smile"]["rig_check"] is None
    assert not (tmp_path / "off/smile/stability.json").exists()
    one, other = (path / "smile/mesh.ply" for path in (folder / "build", tmp_path / "off"))
    assert one.read_bytes() == other.read_bytes()


def test_repaired_rig_is_used_and_said(ball, tmp_path, monkeypatch):
    """A check that finds a camera moved: its rig is the one of the meshes, kept beside them."""
    session = ball.session(tmp_path / "session")
    wrong = list(ball.rig.cameras)
    wrong[2] = changed(wrong[2], np.array([0, 0.02, 0, 0, 0, 0, 0]))
    moved = CameraStability(name="cam2", verdict=Verdict.TURNED, n_ties=99, motion_px=6.0)
    report = StabilityReport(cameras=(moved,), moved=("cam2",))
    monkeypatch.setattr(
        "facekit.dataset.rigcheck.check_take",
        lambda *_, **__: TakeCheck(report=report, repaired=ball.rig),
    )
    rig = replace(ball.rig, cameras=tuple(wrong))
    figures = build_dataset(session, rig, tmp_path / "build", TINY)["takes"]["smile"]
    assert figures["rig_check"] == "moved"
    assert "cam2 was turned" in figures["remarks"][0]
    used = load_rig(tmp_path / "build/smile/rig.repaired.json")
    np.testing.assert_array_equal(used["cam2"].cam_from_world, ball.rig["cam2"].cam_from_world)
    with np.load(tmp_path / "build/smile/views/cam2.npz") as maps:
        np.testing.assert_allclose(maps["cam_from_world"], ball.rig["cam2"].cam_from_world)
