"""Sections over provenance, coverage, cameras, and two builds beside each other."""

import json
from pathlib import Path

import numpy as np
import pytest
import trimesh

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
from facekit.capture.session import CameraInfo, Session, Shot, Take, TakeKind
from facekit.core.files import STAGE_RECORD, StageKey, sha256_file, stage_run, write_json
from facekit.core.geometry.mesh import Mesh
from facekit.core.geometry.meshio import save_mesh
from facekit.core.geometry.transform import Similarity
from facekit.core.rendering.preview import MeshPreview
from facekit.core.report import Block, Gallery, Section, Table, render_page

IDENTITY = Similarity(scale=1.0, R=np.eye(3), t=np.zeros(3))


def ball(radius: float, **attributes: np.ndarray) -> Mesh:
    made = trimesh.creation.icosphere(subdivisions=4, radius=radius)
    return Mesh(vertices=np.asarray(made.vertices), faces=made.faces.astype(np.int32),
                attributes=attributes)  # fmt: skip


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


def build(folder: Path, radius: float, seconds: float, step: int) -> Path:
    save_mesh(folder / "neutral" / "mesh.ply", ball(radius))
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


def test_two_builds_are_told_apart_by_what_was_set(tmp_path: Path) -> None:
    one = find_stages([build(tmp_path / "one", 90, 10, step=3)])
    other = find_stages([build(tmp_path / "other", 90, 10, step=5)])
    assert changed_settings(one, other) == [("depth", "step", "3", "5")]
    assert changed_settings(one, one) == []


def test_a_build_is_compared_with_another(tmp_path: Path) -> None:
    ours = build(tmp_path / "one", 90.0, 10.0, step=3)
    other = build(tmp_path / "other", 89.7, 12.5, step=5)
    section = compare_section([surface(ball(90.0))], ours, other, upright=IDENTITY)
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


def test_nothing_in_common_is_told(tmp_path: Path) -> None:
    ours = build(tmp_path / "one", 90.0, 10.0, step=3)
    (tmp_path / "empty").mkdir()
    section = compare_section([], ours, tmp_path / "empty", upright=IDENTITY)
    assert "no take in it that this build has" in text_of(*section.blocks)


def test_a_damaged_other_mesh_is_told(tmp_path: Path) -> None:
    ours = build(tmp_path / "one", 90.0, 10.0, step=3)
    other = build(tmp_path / "other", 90.0, 10.0, step=3)
    (other / "neutral" / "mesh.ply").write_text("ply\nnothing")
    section = compare_section([surface(ball(90.0))], ours, other, upright=IDENTITY)
    assert "not a readable mesh" in text_of(*section.blocks)


def test_coverage_is_a_share_of_the_area() -> None:
    mesh = ball(90.0)
    n_views = np.where(mesh.vertices[:, 2] > 0, 4, 1).astype(np.float32)
    shares = covered_percent(mesh, n_views)
    assert shares[1] == pytest.approx(100.0)
    assert shares[4] == pytest.approx(50.0, abs=4.0)  # a triangle that is cut has a corner behind
    assert shares[2] == shares[4] and shares[6] == 0.0
    shown = coverage_section([surface(ball(90.0, n_views=n_views, sigma_mm=n_views / 50))])
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
