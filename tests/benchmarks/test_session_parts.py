"""Parts of the session report: fields of residuals, the board's map, verdicts, photographs."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facekit.benchmarks import session_quality
from facekit.benchmarks.session_board import (
    _all_faces,
    board_blocks,
    board_views,
    connectivity_table,
    length_blocks,
    scale_bar_blocks,
)
from facekit.benchmarks.session_calibration import _sigmas
from facekit.benchmarks.session_fields import LARGE_RATIO, field_gallery, residual_field
from facekit.benchmarks.session_photos import photographs_section
from facekit.benchmarks.session_plots import CameraResiduals
from facekit.benchmarks.session_quality import Quality, find_quality, quality_blocks
from facekit.benchmarks.session_stability import find_stability, stability_section, unsteady
from facekit.benchmarks.session_verdict import calibration_result, verdict_blocks, verdict_word
from facekit.capture.quality import check_quality
from facekit.capture.session import (
    BoardSpec,
    CameraInfo,
    Session,
    Shot,
    Take,
    TakeKind,
    save_session,
)
from facekit.capture.targets import n_face_corners, object_points
from facekit.core.files import sha256_file
from facekit.core.geometry.camera import Camera, Rig
from facekit.core.geometry.transform import apply, look_at
from facekit.core.imaging.imageio import write_image
from facekit.core.report import Missing, Section, Status, render_page

BOARD = BoardSpec(
    squares_x=9, squares_y=7, square_mm=20.0, marker_mm=15.0, dictionary="DICT_5X5_250",
    back_first_id=40, thickness_mm=6.0,
)  # fmt: skip


def camera(name: str = "C1") -> Camera:
    K = np.array([[2000.0, 0, 300], [0, 2000, 450], [0, 0, 1]])
    pose = look_at(np.array([0.0, 0, 1000]), np.zeros(3))
    return Camera(name=name, width=600, height=900, K=K, cam_from_world=pose)


def residuals(error: np.ndarray, xy: np.ndarray) -> CameraResiduals:
    return CameraResiduals(xy=xy, error=error, kept=np.ones(len(xy), dtype=bool))


def page(*blocks) -> str:
    return render_page(title="t", sections=[Section(title="s", blocks=list(blocks))])


def test_noise_leaves_no_more_than_chance(rng: np.random.Generator) -> None:
    xy = rng.random((6000, 2)) * (600, 900)
    field = residual_field(residuals(rng.normal(0, 0.05, (6000, 2)), xy), camera())
    assert field.mean.shape == (10, 7, 2)
    assert field.ratio == pytest.approx(1, abs=0.2)  # 140 means: their rms is known to 6 %


def test_a_lens_that_does_not_fit_shows(rng: np.random.Generator) -> None:
    xy = rng.random((6000, 2)) * (600, 900)
    out = (xy - (300, 450)) / 450
    radial = 0.1 * out * ((out**2).sum(axis=1, keepdims=True) - 0.4)
    noise = rng.normal(0, 0.05, (6000, 2))
    rig = Rig(cameras=(camera("C1"), camera("C2")))
    bad = residuals(noise + radial, xy)
    assert residual_field(bad, camera()).ratio > LARGE_RATIO
    shown = field_gallery({"C1": residuals(noise, xy), "C2": bad}, rig)
    assert shown.caption.split("leave. ")[1].startswith("C2: more than 2 times")
    fine = field_gallery({"C1": residuals(noise, xy)}, rig)
    assert "the lens model fits" in fine.caption


def test_cells_of_few_points_say_nothing(rng: np.random.Generator) -> None:
    xy = rng.random((500, 2)) * (80, 80)  # one corner of the image
    field = residual_field(residuals(np.full((500, 2), 0.3), xy), camera())
    assert np.isfinite(field.mean[..., 0]).sum() == 1
    assert field.mean[0, 0] == pytest.approx([0.3, 0.3])
    few = residual_field(residuals(np.zeros((3, 2)), xy[:3]), camera())
    assert (few.ratio, few.rms_px) == (0.0, 0.0)


def test_the_map_shows_a_bow_and_not_how_the_back_is_mounted() -> None:
    n = n_face_corners(BOARD)
    corners = object_points(BOARD)
    middle = corners[:n].mean(axis=0)
    bow = 0.3 * ((corners[:n, 0] - middle[0]) / 70) ** 2
    corners[:n, 2] -= bow  # towards who looks at the front
    turn = np.array([[np.cos(0.002), -np.sin(0.002), 0], [np.sin(0.002), np.cos(0.002), 0],
                     [0, 0, 1]])  # fmt: skip
    corners[n:] = apply(np.column_stack([turn, [0.4, -0.2, 0.1]]), corners[n:])
    (place, front), (_, back) = _all_faces(BOARD, corners, square_mm=0.0)
    assert np.ptp(front[:, 2]) == pytest.approx(np.ptp(bow), abs=1e-4)
    sides = np.abs(place[:, 0] - middle[0]) > 60
    assert front[sides, 2].min() > front[~sides, 2].max()  # its sides come nearer
    assert np.abs(back).max() < 1e-9


def test_a_print_of_another_size_has_no_deviation_once_measured() -> None:
    larger = object_points(replace(BOARD, back_first_id=None)) * 1.002
    one_sided = replace(BOARD, back_first_id=None)
    ((_, off),) = _all_faces(one_sided, larger, square_mm=20.04)
    assert np.abs(off).max() < 1e-9
    ((_, nominal),) = _all_faces(one_sided, larger, square_mm=20.0)
    assert np.linalg.norm(nominal, axis=1).max() == pytest.approx(
        0.002 * np.hypot(70, 50), rel=0.01
    )


def test_the_board_is_drawn_face_by_face_and_without_a_spec(tmp_path: Path) -> None:
    session = Session(folder=tmp_path, name="s", cameras=(), takes=(), board=BOARD)
    corners = object_points(BOARD)
    corners[5] = np.nan  # never seen
    shape = {"free": True, "square_mm": 20.0, "corners_mm": corners.tolist()}
    (block,) = board_blocks(session, shape)
    assert len(block.pictures) == 2
    front = object_points(replace(BOARD, back_first_id=None))
    without = replace(session, board=None)
    (block,) = board_blocks(without, {"corners_mm": front.tolist()})
    assert len(block.pictures) == 1
    assert board_blocks(session, {**shape, "free": False}) == []
    assert board_blocks(session, {"corners_mm": "?"}) == board_blocks(session, {}) == []


def test_shared_takes_and_groups_are_told(tmp_path: Path) -> None:
    seen = {"a": {"1", "2", "3", "4", "5"}, "b": {"2", "3", "4", "5"}, "c": {"6"}, "d": {"6"}}
    table = connectivity_table(seen)
    assert [row[1:5] for row in table.rows] == [
        ["", 4, 0, 0], [4, "", 0, 0], [0, 0, "", 1], [0, 0, 1, ""],
    ]  # fmt: skip
    assert [row[5] for row in table.rows] == [5, 4, 1, 1]
    assert [getattr(row[6], "text", "") for row in table.rows] == [
        "", "", "weakly joined", "weakly joined",
    ]  # fmt: skip
    assert "Not joined by any take: a, b; c, d." in table.caption


def test_views_come_from_the_corners_that_are_kept(tmp_path: Path) -> None:
    shots = [
        Shot(camera=name, file="x", sha256=name * 64, bytes=1, width=8, height=8) for name in "ab"
    ]
    take = Take(id="t", kind=TakeKind.TARGET, shots=tuple(shots))
    infos = tuple(CameraInfo(id=name, width=8, height=8) for name in "ab")
    session = Session(folder=tmp_path, name="s", cameras=infos, takes=(take,))
    assert board_views(session, tmp_path) == {}
    (tmp_path / "corners").mkdir()
    (tmp_path / "corners" / f"{'a' * 16}-1.json").write_text(json.dumps({"ids": [*range(9)]}))
    (tmp_path / "corners" / f"{'b' * 16}-1.json").write_text(json.dumps({"ids": [1, 2]}))
    (tmp_path / "corners" / "damaged.json").write_text("{")
    assert board_views(session, tmp_path) == {"a": {"t"}, "b": set()}


def test_scale_bars_are_told_take_by_take() -> None:
    found = {
        "bar": "DICT_5X5_250:240-241", "mm": 180.0, "n_takes": 1,
        "takes": [{"take": "t1", "measured_mm": 180.02, "error_mm": 0.02, "error_ppm": 111.1,
                   "sigma_mm": 0.004, "n_views": [5, 4], "rms_px": 0.05}],
    }  # fmt: skip
    lost = {"bar": "DICT_5X5_250:7-8", "mm": 100.0, "n_takes": 0}
    text = page(*scale_bar_blocks([found, lost]))
    for part in ("180.020", "+0.020", "+111", "5 / 4", "Not found: DICT_5X5_250:7-8."):
        assert part in text
    assert scale_bar_blocks([]) == []


GATE = {"name": "sigma_center_mm", "value": 0.07, "unit": "mm", "warn": 0.05, "fail": 0.1,
        "verdict": "weak", "sentence": "C3 is the least surely placed camera"}  # fmt: skip


def test_the_verdict_is_told_with_its_gates(tmp_path: Path) -> None:
    (tmp_path / "stage.json").write_text(json.dumps({"results": {
        "verdict": "weak", "gates": [GATE, {**GATE, "name": "warp", "value": None}],
        "held_out_rms_px": 0.12, "rms_px": 0.1, "scale": "board", "sigma_head_um": 3.2,
        "warnings": [f"remark {i}" for i in range(9)],
        "rejected": [{"view": "t1/C1", "median_px": 40.0}],
        "views": {"used": 90, "with_board": 95, "photographs": 100},
    }}))  # fmt: skip
    (tmp_path / "rig.json").write_text(json.dumps({"provenance": {"board_shape": {"free": True}}}))
    result = calibration_result(tmp_path)
    assert (verdict_word(result), result["board_shape"]) == ("weak", {"free": True})
    text = page(*verdict_blocks(result))
    for part in ("The calibration is weak", "C3 is the least surely", "not told", "0.120 px",
                 "3.2 µm", "remark 8", "3 more remarks", "t1/C1",
                 "its nominal square"):  # fmt: skip
        assert part in text


def test_calibrations_without_a_verdict_are_shown_without(tmp_path: Path) -> None:
    assert calibration_result(tmp_path) == {}
    assert verdict_blocks({}) == []
    (tmp_path / "rig.json").write_text("[]")
    (tmp_path / "stage.json").write_text('{"results": 3}')
    assert calibration_result(tmp_path) == {}
    odd = {"verdict": {}, "gates": {"a": 1}, "warnings": "x", "rejected": [1], "views": 2}
    assert verdict_blocks(odd) == []


def test_sigmas_are_drawn_where_all_cameras_have_them() -> None:
    rig = Rig(cameras=(camera("C1"), camera("C2")))
    known = {"C1": {"sigma_center_mm": 0.02}, "C2": {"sigma_center_mm": 0.2}}
    (block,) = _sigmas(rig, known, {"gates": [GATE]})
    assert len(block.pictures) == 1
    assert _sigmas(rig, {"C1": known["C1"]}, {}) == []


@pytest.fixture
def session(tmp_path: Path, rng: np.random.Generator) -> Session:
    """Give two cameras and five takes; in the last, one photograph is much too bright."""
    takes = []
    for number in range(5):
        shots = []
        for name in ("C1", "C2"):
            level = 250 if (number, name) == (4, "C2") else 110
            noise = rng.normal(0, 12, (90, 60, 3)) + level
            path = tmp_path / "session" / "images" / f"t{number}" / f"{name}.png"
            write_image(path, np.clip(noise, 0, 255).astype(np.uint8))
            shots.append(
                Shot(camera=name, file=f"images/t{number}/{name}.png", sha256=sha256_file(path),
                     bytes=1, width=60, height=90)
            )  # fmt: skip
        takes.append(Take(id=f"t{number}", kind=TakeKind.SUBJECT, shots=tuple(shots)))
    infos = tuple(CameraInfo(id=name, width=60, height=90) for name in ("C1", "C2"))
    made = Session(folder=tmp_path / "session", name="s", cameras=infos, takes=tuple(takes))
    save_session(made)
    return made


def test_flagged_photographs_are_outlined_and_explained(session: Session) -> None:
    quality = find_quality(session)
    assert quality.status("t0", "C1") is Status.NONE
    assert quality.status("t4", "C2") in (Status.NOTE, Status.BAD)
    assert quality.count("good") == 4
    section = photographs_section(session, quality)
    text = render_page(title="t", sections=[section])
    assert f'<td class="{quality.status("t4", "C2")}"><img' in text
    assert "brighter than" in text


def test_verdicts_that_the_session_keeps_are_used(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_quality(session)
    monkeypatch.setattr(session_quality, "check_quality", None)  # would fail when called
    assert len(find_quality(session).takes) == 5


def test_large_sessions_are_left_to_the_command(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_quality, "MEGAPIXELS", 0.01)
    (block,) = quality_blocks(session, find_quality(session))
    assert isinstance(block, Missing)
    assert block.how == "facekit check"


def test_photographs_that_cannot_be_judged_are_a_remark(session: Session) -> None:
    (session.folder / "images" / "t0" / "C1.png").unlink()
    quality = find_quality(session)
    assert "could not be judged" in quality.problem
    assert "could not be judged" in page(*quality_blocks(session, quality))
    assert quality_blocks(replace(session, takes=()), Quality()) == []


def test_takes_in_which_a_camera_moved_are_told(tmp_path: Path) -> None:
    steady = {"verdict": "steady", "motion_px": 0.04}
    turned = {"verdict": "turned", "motion_px": 5.2}
    moved = {"verdict": "moved", "cameras": {"C1": steady, "C2": turned}, "repaired": "rig.json",
             "sentences": ["C2 was turned by 0.020 degrees"]}  # fmt: skip
    fine = {"verdict": "steady", "cameras": {"C1": steady, "C2": {"verdict": "too few ties"}},
            "sentences": ["all cameras stand as calibrated"]}  # fmt: skip
    (tmp_path / "smile").mkdir()
    (tmp_path / "stability.json").write_text(json.dumps({"takes": {"neutral": fine, "odd": 3}}))
    (tmp_path / "smile" / "stability.json").write_text(json.dumps(moved))
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "stability.json").write_text("{")
    records = find_stability(None, tmp_path, tmp_path / "nowhere")
    assert set(records) == {"neutral", "smile"}
    assert unsteady(records) == 1
    text = page(*stability_section(records, has_rig=True).blocks)
    for part in (
        "turned, 5.2 px",
        "smile: C2 was turned by 0.020 degrees.",
        "too few ties",
        "0.04",
    ):
        assert part in text
    assert "all cameras stand" not in text  # good takes need no words


def test_rigs_that_were_not_checked_say_so() -> None:
    assert "facekit build-dataset" in page(*stability_section({}, has_rig=True).blocks)
    assert "no rig" in page(*stability_section({}, has_rig=False).blocks)


def test_measured_lengths_are_told() -> None:
    one = {"first": 0, "second": 15, "mm": 180.05, "residual_mm": -0.01, "sigma_mm": 0.02}
    text = page(*length_blocks({"lengths": [one], "scale_ppm": 278.0, "scale_sigma_ppm": 80.0}))
    for part in ("0 – 15", "180.050", "180.040", "+278 ± 80 ppm"):
        assert part in text
    assert length_blocks({}) == []
