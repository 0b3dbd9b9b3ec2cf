"""Sections over provenance, coverage, cameras, and two builds beside each other."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from facekit.benchmarks.session_cameras import cameras_section
from facekit.benchmarks.session_compare import compare_section
from facekit.benchmarks.session_coverage import coverage_section, covered_percent
from facekit.benchmarks.session_provenance import (
    changed_settings,
    find_stages,
    provenance_section,
)
from facekit.benchmarks.session_quality import Quality
from facekit.benchmarks.session_surface import Surface
from facekit.calibration.rigfile import save_rig
from facekit.capture.session import CameraInfo, Session, Shot, Take, TakeKind
from facekit.core.files import STAGE_RECORD, StageKey, sha256_file, stage_run, write_json
from facekit.core.geometry.camera import Rig
from facekit.core.geometry.mesh import Mesh
from facekit.core.geometry.meshio import save_mesh
from facekit.core.geometry.transform import Similarity
from facekit.core.rendering.preview import MeshPreview
from facekit.core.report import Block, Gallery, Section, Table, render_page
from facekit.dataset.build import calibration_hashes

IDENTITY = Similarity(scale=1.0, R=np.eye(3), t=np.zeros(3))


def surface(mesh: Mesh) -> Surface:
    return Surface(take="neutral", mesh=mesh, accuracy=None,
                   preview=MeshPreview(mesh, ambient_occlusion=False))  # fmt: skip


def run_stage(folder: Path, config: dict[str, object], stage: str = "depth") -> None:
    with stage_run(folder, StageKey(stage=stage, config=config, inputs={"rig": "ab12"})):
        pass


def tables(section: Section) -> list[Table]:
    return [block for block in section.blocks if isinstance(block, Table)]


def text_of(*blocks: Block) -> str:
    return render_page(title="A", sections=[Section(title="B", blocks=blocks)])


def build(folder: Path, mesh: Mesh, seconds: float, step: int) -> Path:
    save_mesh(folder / "neutral" / "mesh.ply", mesh)
    run_stage(folder / "neutral" / "stages" / "depth", {"step": step, "same": 1})
    entry = {"triangles": 5120, "seconds": seconds, "maps": {"valid_percent": 30.0}}
    write_json(folder / "build.json", {"takes": {"neutral": entry}, "failed": {}})
    return folder


def test_provenance_tells_version_settings_and_the_record_itself(tmp_path: Path) -> None:
    run_stage(tmp_path / "build" / "neutral" / "stages" / "depth", {"step": 3})
    run_stage(tmp_path / "build" / "smile" / "stages" / "depth", {"step": 3})
    (tmp_path / "build" / "odd").mkdir()
    (tmp_path / "build" / "odd" / STAGE_RECORD).write_text("{}")  # tells nothing
    found = find_stages([tmp_path / "build", None])
    assert [one.place for one in found] == [
        "build/neutral/stages/depth", "build/smile/stages/depth",
    ]  # fmt: skip
    record = tmp_path / "build" / "neutral" / "stages" / "depth" / STAGE_RECORD
    assert found[0].sha256 == sha256_file(record)
    section = provenance_section(found, version=found[0].facekit)
    row = tables(section)[0].rows[0]
    assert row[0] == "build/neutral/stages/depth" and row[-1] == found[0].sha256[:12]
    assert "settings of every stage" in text_of(*section.blocks)
    assert "were made by" not in text_of(*section.blocks)
    older = provenance_section(found, version="9.9")
    assert f"made by facekit {found[0].facekit}; this page by 9.9" in text_of(*older.blocks)


def test_two_builds_are_told_apart_by_what_was_set(
    tmp_path: Path, make_ball: Callable[..., Mesh]
) -> None:
    one = find_stages([build(tmp_path / "one", make_ball(90), 10, step=3)])
    other = find_stages([build(tmp_path / "other", make_ball(90), 10, step=5)])
    assert changed_settings(one, other) == [("depth", "step", "3", "5")]
    assert changed_settings(one, one) == []


def test_a_build_is_compared_with_another(tmp_path: Path, make_ball: Callable[..., Mesh]) -> None:
    ours = build(tmp_path / "one", make_ball(90.0), 10.0, step=3)
    other = build(tmp_path / "other", make_ball(89.7), 12.5, step=5)
    section = compare_section([surface(make_ball(90.0))], ours, other, upright=IDENTITY)
    settings, figures, distance = tables(section)
    assert settings.rows == [["depth", "step", "3", "5"]]
    by_name = {row[0]: row[1:] for row in figures.rows}
    assert by_name["seconds"] == ["10.0", "12.5", "−2.5"]
    assert by_name["triangles"] == ["5,120", "5,120", "0"]
    assert by_name["valid texels, %"] == ["30.00", "30.00", "0.00"]
    median, p90, bias, within = (float(str(cell)) for cell in distance.rows[0][1:])
    assert median == pytest.approx(0.3, abs=0.003) and p90 == pytest.approx(0.3, abs=0.003)
    assert bias == pytest.approx(0.3, abs=0.003)  # ours is the larger ball
    assert within == 0.0
    assert any(isinstance(block, Gallery) for block in section.blocks)


def with_rig(folder: Path, rig: Rig) -> Path:
    """Put into a build what says which calibration it was made with, and that beside it."""
    values = json.loads((folder / "build.json").read_text())
    name = f"rig_{folder.name}.json"
    write_json(folder / "build.json", values | {"rig_file": f"../{name}"})
    save_rig(folder.parent / name, rig)
    key = StageKey(stage="sweep", config={}, inputs=calibration_hashes(rig))
    with stage_run(folder / "neutral" / "stages" / "sweep", key):
        pass
    return folder


def moved_ball(mesh: Mesh, frame: Similarity) -> Mesh:
    return Mesh(vertices=frame(mesh.vertices), faces=mesh.faces)


def distances(section: Section) -> list[float]:
    return [float(str(cell)) for cell in tables(section)[-1].rows[0][1:]]


def test_builds_of_two_calibrations_are_joined_by_their_cameras(
    tmp_path: Path, make_ball: Callable[..., Mesh], make_rig: Callable[..., Rig],
    world_from_head: Similarity,
) -> None:  # fmt: skip
    ours, rig = make_ball(90.0), make_rig("a", "b", "c")
    theirs = moved_ball(make_ball(89.7), world_from_head)
    one = with_rig(build(tmp_path / "one", ours, 10.0, step=3), rig)
    other = with_rig(build(tmp_path / "other", theirs, 10.0, step=3), rig.moved(world_from_head))
    section = compare_section([surface(ours)], one, other, upright=IDENTITY)
    assert "different calibrations" in section.lead and "moved by its cameras" in section.lead
    assert "120° and 37.4 mm" in section.lead  # as `world_from_head` turns and shifts
    median, p90, bias, _ = distances(section)
    assert (median, p90, bias) == pytest.approx((0.3, 0.3, 0.3), abs=0.003)


def test_builds_of_one_calibration_are_not_moved(
    tmp_path: Path, make_ball: Callable[..., Mesh], make_rig: Callable[..., Rig]
) -> None:
    ours, rig = make_ball(90.0), make_rig("a", "b", "c")
    shifted = moved_ball(ours, Similarity(scale=1.0, R=np.eye(3), t=np.array([0.2, 0.0, 0.0])))
    one = with_rig(build(tmp_path / "one", ours, 10.0, step=3), rig)
    other = with_rig(build(tmp_path / "other", shifted, 10.0, step=3), rig)
    section = compare_section([surface(ours)], one, other, upright=IDENTITY)
    assert "with the same calibration" in section.lead
    assert distances(section)[1] > 0.1  # a shift is a difference, and stays one


def test_frames_that_cannot_be_joined_are_not_compared(
    tmp_path: Path, make_ball: Callable[..., Mesh], make_rig: Callable[..., Rig],
    world_from_head: Similarity,
) -> None:  # fmt: skip
    ours, rig = make_ball(90.0), make_rig("a", "b", "c")
    one = with_rig(build(tmp_path / "one", ours, 10.0, step=3), rig)
    other = with_rig(build(tmp_path / "other", ours, 10.0, step=3), rig.moved(world_from_head))
    save_rig(tmp_path / "rig_other.json", rig)  # calibrated again since
    section = compare_section([surface(ours)], one, other, upright=IDENTITY)
    assert "is not the rig any more" in section.lead and "are not compared" in section.lead
    assert not any(isinstance(block, Gallery) for block in section.blocks)
    (tmp_path / "rig_other.json").unlink()
    section = compare_section([surface(ours)], one, other, upright=IDENTITY)
    assert "cannot be joined" in section.lead


def test_nothing_in_common_is_told(tmp_path: Path, make_ball: Callable[..., Mesh]) -> None:
    ours = build(tmp_path / "one", make_ball(90.0), 10.0, step=3)
    (tmp_path / "empty").mkdir()
    section = compare_section([], ours, tmp_path / "empty", upright=IDENTITY)
    assert "no take in it that this build has" in text_of(*section.blocks)


def test_a_damaged_other_mesh_is_told(tmp_path: Path, make_ball: Callable[..., Mesh]) -> None:
    ours = build(tmp_path / "one", make_ball(90.0), 10.0, step=3)
    other = build(tmp_path / "other", make_ball(90.0), 10.0, step=3)
    (other / "neutral" / "mesh.ply").write_text("ply\nnothing")
    section = compare_section([surface(make_ball(90.0))], ours, other, upright=IDENTITY)
    assert "not a readable mesh" in text_of(*section.blocks)


def test_coverage_is_a_share_of_the_area(make_ball: Callable[..., Mesh]) -> None:
    mesh = make_ball(90.0)
    n_views = np.where(mesh.vertices[:, 2] > 0, 4, 1).astype(np.float32)
    shares = covered_percent(mesh, n_views)
    assert shares[1] == pytest.approx(100.0)
    assert shares[4] == pytest.approx(50.0, abs=4.0)  # a triangle that is cut has a corner behind
    assert shares[2] == shares[4] and shares[6] == 0.0
    shown = coverage_section([surface(make_ball(90.0, n_views=n_views, sigma_mm=n_views / 50))])
    assert sum(isinstance(block, Gallery) for block in shown.blocks) == 2
    assert tables(shown)[0].columns[-1] == "4 views"
    assert "not made yet" in text_of(*coverage_section([]).blocks)


def test_a_camera_that_is_off_stands_out(tmp_path: Path) -> None:
    infos = tuple(CameraInfo(id=name, width=80, height=120) for name in ("a", "b"))
    shots = tuple(Shot(camera=c, file=f"{c}.png", sha256="0", bytes=1, width=80, height=120)
                  for c in ("a", "b"))  # fmt: skip
    take = Take(id="neutral", kind=TakeKind.SUBJECT, shots=shots)
    session = Session(folder=tmp_path, name="s", cameras=infos, takes=(take,))
    quality = Quality(
        cameras={"a": ("good", ()), "b": ("bad", ("late",))},
        measures={("neutral", "a"): {"sharpness": 3.0}, ("neutral", "b"): {"sharpness": 2.0}},
    )
    rig = {"cameras": [{"name": "a", "rms_px": 0.1}, {"name": "b", "rms_px": float("inf")}]}
    (tmp_path / "rig.json").write_text(json.dumps(rig))
    health = {"a": {"shift_x_px": 0.0, "shift_y_px": 0.1}, "b": {"shift_x_px": 3, "shift_y_px": 4}}
    takes = {"neutral": {"view_health": health}, "broken": {"view_health": None}}
    (table,) = tables(cameras_section(session, quality, tmp_path, takes))
    assert table.columns == [
        "camera", "residual, rms px", "sharpness", "off the others, px", "photographs",
    ]  # fmt: skip
    assert list(table.rows[0][:4]) == ["a", "0.100", "3.00", "0.10"]
    assert list(table.rows[1][:4]) == ["b", None, "2.00", "5.00"]
    assert "not made yet" in text_of(*cameras_section(session, Quality(), None, {}).blocks)
