"""The stage: what it writes, says and skips; detection is replaced by projected corners."""

import json
from dataclasses import replace

import numpy as np
import pytest

from facekit.calibration import calibrate as stage
from facekit.calibration.calibrate import CalibrateConfig, calibrate
from facekit.calibration.record import Residuals, joint_rms, rms
from facekit.calibration.rigfile import load_rig, load_rig_record
from facekit.capture.session import (
    BoardSpec,
    CameraInfo,
    MeasuredLength,
    Session,
    Shot,
    Take,
    TakeKind,
)
from facekit.core.errors import CalibrationError, ConfigError
from facekit.core.files import sha256_file
from facekit.core.imaging.imageio import write_image


@pytest.fixture
def made(capture, tmp_path, monkeypatch):
    """Give a session whose photographs show, as it were, a capture of three cameras."""
    seen = capture(3, 8, spread_deg=60.0)
    takes = []
    for name in sorted({view.take for view in seen.views}):
        shots = tuple(
            Shot(camera=c.id, file=f"images/{name}/{c.id}.jpg", sha256=f"{name}{c.id}", bytes=1,
                 width=c.width, height=c.height)
            for c in seen.cameras
        )  # fmt: skip
        takes.append(Take(id=name, kind=TakeKind.TARGET, shots=shots))
    # the subject is photographed smaller: sizes come from the targets
    cameras = tuple(replace(c, width=c.width // 2, height=c.height // 2) for c in seen.cameras)
    session = Session(
        folder=tmp_path, name="made", cameras=cameras, takes=tuple(takes), board=seen.spec
    )
    calls = []

    def views_of(session, spec, *, cache, n_workers):
        calls.append(spec)
        return seen.views

    monkeypatch.setattr(stage, "detect_session", views_of)
    return session, seen, calls


def test_writes_what_it_returns(made, tmp_path):
    session, seen, _ = made
    result = calibrate(session, tmp_path / "out", CalibrateConfig())
    json.dumps(result, allow_nan=False)
    assert result["registered"] == 3
    assert result["scale"] == "board"
    assert result["rms_px"] == pytest.approx(0.03 * np.sqrt(2), rel=0.1)  # of distances
    assert result["rms_all_px"] >= result["rms_px"]
    assert result["rejected"] == []
    record = load_rig_record(tmp_path / "out")
    for entry in record["cameras"]:
        own = result["cameras"][entry["name"]]
        assert (entry["width"], entry["height"]) == (2000, 3000)
        for key in ("n_views", "rms_px", "p95_px", "sigma_focal_px", "sigma_center_mm"):
            assert entry[key] == own[key]
    rig = load_rig(tmp_path / "out")
    np.testing.assert_allclose(rig["C01"].center, result["cameras"]["C01"]["center_mm"])
    # lengths are the board's: distances between cameras are true
    for a, b in (("C00", "C01"), ("C01", "C02"), ("C00", "C02")):
        true = np.linalg.norm(seen.rig[a].center - seen.rig[b].center)
        assert np.linalg.norm(rig[a].center - rig[b].center) == pytest.approx(true, abs=0.3)


def test_says_how_far_to_trust_it(made, tmp_path):
    session, _, _ = made
    result = calibrate(session, tmp_path / "out", CalibrateConfig())
    gates = {gate["name"]: gate for gate in result["gates"]}
    assert result["verdict"] in ("good", "weak", "unfit")
    assert gates["held_out_rms_px"]["value"] == result["held_out_rms_px"]
    assert gates["sigma_head_um"]["value"] == result["sigma_head_um"]
    assert gates["views"]["value"] == min(own["n_views"] for own in result["cameras"].values())
    assert result["held_out_takes"] == 2
    assert result["rms_px"] < result["held_out_rms_px"] < 2 * result["rms_px"]
    provenance = load_rig_record(tmp_path / "out")["provenance"]
    for key in ("verdict", "gates", "held_out_rms_px", "sigma_pair_um"):
        assert provenance[key] == result[key]


def test_measured_lengths_win_over_the_nominal_size(made, tmp_path):
    session, _, _ = made
    lengths = (MeasuredLength(first=0, second=7, mm=7 * 22 * 1.001),)
    measured = replace(session, board=replace(session.board, lengths=lengths))
    nominal = calibrate(session, tmp_path / "a", CalibrateConfig())
    result = calibrate(measured, tmp_path / "b", CalibrateConfig())
    assert result["scale"].startswith("1 measured length of the board: +")
    # the corners themselves are known to some microns in 154 mm
    assert result["board"]["scale_ppm"] == pytest.approx(1000, abs=100)
    assert result["board"]["lengths"][0]["residual_mm"] == pytest.approx(0, abs=1e-9)
    a, b = (np.array(r["cameras"]["C00"]["center_mm"]) for r in (nominal, result))
    factor = 1 + 1e-6 * result["board"]["scale_ppm"]
    np.testing.assert_allclose(b, a * factor, atol=1e-6)


def test_residuals_are_those_of_the_rig(made, tmp_path):
    session, seen, _ = made
    result = calibrate(session, tmp_path / "out", CalibrateConfig())
    cameras = json.loads((tmp_path / "out" / "residuals.json").read_text())["cameras"]
    assert sum(len(entry["xy"]) for entry in cameras.values()) == sum(
        len(view.ids) for view in seen.views
    )
    for name, entry in cameras.items():
        kept = np.array(entry["kept"])
        error = np.array(entry["error"])[kept]
        assert rms(error) == pytest.approx(result["cameras"][name]["rms_px"], rel=1e-2)


def test_is_done_once(made, tmp_path):
    session, _, calls = made
    first = calibrate(session, tmp_path / "out", CalibrateConfig())
    assert calibrate(session, tmp_path / "out", CalibrateConfig(n_workers=1)) == first
    assert len(calls) == 1
    calibrate(session, tmp_path / "out", CalibrateConfig(free_board=False))
    assert len(calls) == 2
    changed = replace(session.takes[0].shots[0], sha256="other")
    take = replace(session.takes[0], shots=(changed, *session.takes[0].shots[1:]))
    calibrate(
        replace(session, takes=(take, *session.takes[1:])),
        tmp_path / "out",
        CalibrateConfig(free_board=False),
    )
    assert len(calls) == 3


def test_a_measured_square_scales_the_rig(made, tmp_path):
    session, _, calls = made
    printed = calibrate(session, tmp_path / "a", CalibrateConfig())
    measured = calibrate(session, tmp_path / "b", CalibrateConfig(square_mm=22.22))
    assert calls[1].marker_mm / calls[1].square_mm == pytest.approx(16 / 22)
    a, b = (np.array(r["cameras"]["C00"]["center_mm"]) for r in (printed, measured))
    np.testing.assert_allclose(b, a * 1.01, atol=0.05)


def test_says_what_is_weak(made, tmp_path, monkeypatch):
    session, seen, _ = made
    own = [view for view in seen.views if view.camera == "C02"]
    few = [view for view in seen.views if view.camera != "C02"] + own[:3]
    moved = few.index(own[1])
    few[moved] = replace(own[1], xy=own[1].xy + 6.0)
    monkeypatch.setattr(stage, "detect_session", lambda *a, **k: tuple(few))
    result = calibrate(session, tmp_path / "out", CalibrateConfig())
    said = " | ".join(result["warnings"])
    assert [entry["view"] for entry in result["rejected"]] == [own[1].name]
    assert f"{own[1].name} was rejected" in said
    assert "C02 (2): few views" in said


def test_an_interrupted_run_leaves_no_stage_record(made, tmp_path, monkeypatch):
    session, _, _ = made

    def fail(*args, **kwargs):
        raise CalibrationError("no")

    monkeypatch.setattr(stage, "estimate_rig", fail)
    with pytest.raises(CalibrationError):
        calibrate(session, tmp_path / "out", CalibrateConfig())
    assert not (tmp_path / "out" / "stage.json").exists()


def test_a_session_without_a_board_says_what_to_do(made, tmp_path):
    session, _, _ = made
    with pytest.raises(ConfigError, match="--board"):
        calibrate(replace(session, board=None), tmp_path / "out", CalibrateConfig())


def test_no_targets_say_what_to_do(made, tmp_path, monkeypatch):
    session, _, _ = made
    monkeypatch.setattr(stage, "detect_session", lambda *a, **k: ())
    with pytest.raises(CalibrationError, match="no takes of kind `target`"):
        calibrate(replace(session, takes=()), tmp_path / "out", CalibrateConfig())


def test_rms_is_that_of_distances():
    error = np.array([[3.0, 4.0], [0.0, 0.0]])
    assert rms(error) == pytest.approx(np.sqrt(12.5))
    one = Residuals(xy=error, error=error, kept=np.array([True, False]))
    assert joint_rms({"a": one}) == 5
    assert joint_rms({"a": one}, rejected=True) == rms(error)


def real_session(source, folder, *, every):
    """Make a session of the four-camera board photographs, every n-th instant."""
    takes = {}
    for camera in ("back", "mid", "side", "top"):
        for path in sorted((source / camera).rglob("*.jpg"))[::every]:
            instant = path.stem.rsplit("-", 1)[1]
            shot = Shot(camera=camera, file=str(path), sha256=sha256_file(path), bytes=1,
                        width=1280, height=1024)  # fmt: skip
            takes.setdefault(instant, []).append(shot)
    board = BoardSpec(
        squares_x=8, squares_y=11, square_mm=24.0, marker_mm=18.75, dictionary="DICT_4X4_1000"
    )
    cameras = [CameraInfo(id=c, width=1280, height=1024) for c in ("back", "mid", "side", "top")]
    return Session(
        folder=folder, name="real", cameras=tuple(cameras), board=board,
        takes=tuple(Take(id=k, kind=TakeKind.TARGET, shots=tuple(v)) for k, v in takes.items()),
    )  # fmt: skip


@pytest.mark.slow
def test_real_rig(shared_data, tmp_path):
    session = real_session(shared_data / "sleap_anipose_4cam", tmp_path, every=1)
    result = calibrate(session, tmp_path / "out", CalibrateConfig())
    assert result["registered"] == 4
    assert result["rms_px"] < 0.15
    assert result["rms_all_px"] < 0.25
    # the print is bent by 1.2 mm: taken as flat it leaves more than twice as much (0.27 px;
    # with OpenCV's own corners 0.344 px, as other solvers find too)
    flat = calibrate(session, tmp_path / "out", CalibrateConfig(free_board=False))
    assert 2 * result["rms_px"] < flat["rms_px"] < 0.36


def test_real_rig_from_five_instants(shared_data, tmp_path):
    session = real_session(shared_data / "sleap_anipose_4cam", tmp_path, every=5)
    result = calibrate(session, tmp_path / "out", CalibrateConfig())
    assert result["registered"] == 4
    assert result["rms_px"] < 0.2


def test_photographs_end_to_end(tmp_path):
    """Flat, grey photographs: detection itself runs, and says that nothing is seen."""
    shots = []
    for camera in ("A", "B"):
        path = tmp_path / f"{camera}.png"
        write_image(path, np.full((60, 80), 128, np.uint8))
        shots.append(Shot(camera=camera, file=path.name, sha256=sha256_file(path), bytes=1,
                          width=80, height=60))  # fmt: skip
    session = Session(
        folder=tmp_path, name="grey", cameras=tuple(
            CameraInfo(id=c, width=80, height=60) for c in ("A", "B")
        ), takes=(Take(id="t", kind=TakeKind.TARGET, shots=tuple(shots)),),
        board=BoardSpec(squares_x=5, squares_y=4, square_mm=10, marker_mm=7,
                        dictionary="DICT_4X4_50"),
    )  # fmt: skip
    with pytest.raises(CalibrationError, match="no usable board in 2 photographs"):
        calibrate(session, tmp_path / "out", CalibrateConfig())


def test_an_undetermined_camera_is_not_in_the_rig(made, tmp_path, monkeypatch):
    session, seen, _ = made
    bare = replace(session, cameras=tuple(replace(c, focal_35mm=None) for c in session.cameras))
    once = next(view for view in seen.views if view.camera == "C02")
    few = [view for view in seen.views if view.camera != "C02"] + [once]
    monkeypatch.setattr(stage, "detect_session", lambda *a, **k: tuple(few))
    result = calibrate(bare, tmp_path / "out", CalibrateConfig())
    assert (result["registered"], result["unregistered"]) == (2, ["C02"])
    assert any("C02 is left out of the rig: it has 1 usable view" in w for w in result["warnings"])
    assert load_rig(tmp_path / "out").names == ("C00", "C01")


def test_an_absurd_result_is_not_written(made, tmp_path, monkeypatch):
    session, seen, _ = made
    own = [view for view in seen.views if view.camera == "C01"]
    takes = [view.take for view in own]
    late = {v.name: replace(v, take=t) for v, t in zip(own, takes[1:] + takes[:1], strict=True)}
    mixed = tuple(late.get(view.name, view) for view in seen.views)
    monkeypatch.setattr(stage, "detect_session", lambda *a, **k: mixed)
    # which photographs stand under which take follows from the other cameras
    words = (
        r"C01 \([\d.]+ px rms; worst t\d\d/C01 .*photographs of C01 fit the other cameras when "
        r"filed under other takes \(t\d\d is t\d\d, "
    )
    with pytest.raises(CalibrationError, match=words):
        calibrate(session, tmp_path / "out", CalibrateConfig(free_board=False))
    assert not (tmp_path / "out" / "rig.json").exists()
    assert not (tmp_path / "out" / "stage.json").exists()
