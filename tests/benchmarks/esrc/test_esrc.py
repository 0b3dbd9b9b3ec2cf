"""ESRC: official distances to rounding, its text file, its folders, and mistakes told."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from facekit.benchmarks.esrc.layout import read_landmarks
from facekit.benchmarks.esrc.score import score_esrc
from facekit.benchmarks.evaluation.protocol import Options
from facekit.benchmarks.evaluation.registry import get
from facekit.core.arrays import Floats, Ints
from facekit.core.errors import EstimationError, InputError
from facekit.core.geometry.mesh import Mesh
from facekit.core.geometry.meshio import save_mesh

ESRC = get("esrc")
FACE = np.array(
    [[-44, 35, -10], [-16, 34, 0], [16, 34, 0], [44, 35, -10], [0, -5, 22], [-25, -35, 2],
     [25, -35, 2.0]]
)  # fmt: skip


def _sheet() -> tuple[Floats, Ints]:
    x, y = np.meshgrid(np.linspace(-90, 90, 30), np.linspace(-90, 90, 30))
    z = 20 - (x / 15) ** 2 - (y / 18) ** 2
    index = np.arange(900, dtype=np.int32).reshape(30, 30)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    faces = np.concatenate([np.stack(t, -1).reshape(-1, 3) for t in ((a, b, c), (a, c, d))])
    return np.stack([x, y, z], -1).reshape(-1, 3), faces


def _lnd(points: Floats) -> str:
    return "".join(f"{k} {x!r} {y!r} {z!r}\n" for k, (x, y, z) in enumerate(points.tolist(), 1))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Make two scans with annotations, and predictions in another unit, one of them shifted."""
    vertices, faces = _sheet()
    for name, lift in (("F1001_N", 0.0), ("m1002_N", 2.0)):
        save_mesh(tmp_path / "scans" / f"{name}.obj", Mesh(vertices=vertices, faces=faces))
        annotation = tmp_path / "annotations" / f"{name[0].upper()}_3D_N" / f"{name}.lnd"
        annotation.parent.mkdir(parents=True)
        annotation.write_text(_lnd(FACE))
        moved = Mesh(vertices=(vertices + [0, 0, lift]) / 10, faces=faces)
        save_mesh(tmp_path / "mine" / f"{name}.obj", moved)
        np.savetxt(tmp_path / "mine" / f"{name}.txt", FACE / 10)
    return tmp_path


def test_official_cases(shared_fixtures: Path) -> None:
    """Crop, distances and figures of every case to float64 rounding."""
    for path in sorted((shared_fixtures / "esrc_fg2018").glob("case_??.json")):
        official = json.loads(path.read_text())
        with np.load(shared_fixtures / "now" / f"{path.stem}.npz") as stored:
            case = dict(stored)
        with np.load(path.with_name(f"{path.stem}_distances.npz")) as stored:
            theirs = dict(stored)
        annotated = read_landmarks(path.with_suffix(".lnd"))
        assert np.array_equal(annotated, case["scan_lmk"].astype(np.float64))
        score = score_esrc(
            case["scan_v"], annotated, case["pred_v"], case["pred_f"], case["pred_lmk"]
        )
        assert np.array_equal(score.vertex, theirs["vertex_index"])
        assert np.abs(score.distances - theirs["distance"]).max() < 1e-12
        for name, value in score.values.items():
            assert value == pytest.approx(official[name], abs=1e-12)
        assert score.remarks == ()


def test_a_case_for_each_scan_and_the_official_text(data: Path) -> None:
    """Without a list: one prediction a scan; the text holds all digits, lines end as csv's."""
    options = Options(fixed=True)
    cases = ESRC.cases(data, data / "mine", options)
    assert [case.id for case in cases] == ["F1001_N", "m1002_N"]
    scores = [ESRC.score(case, options) for case in cases]
    assert scores[0].values["rmse"] < 1e-6 < 1.5 < scores[1].values["rmse"] < 2.01
    mesh = scores[1].error_mesh
    assert mesh is not None and mesh.faces.max() < len(mesh.vertices) == len(mesh.error)
    assert scores[1].fixed == pytest.approx(scores[1].values)
    row = ESRC.rows(scores, options)[0]
    assert row.values["rmse"] == pytest.approx(np.mean([s.values["rmse"] for s in scores]))
    files = ESRC.write_official(cases, scores, data, options)
    assert [path.name for path in files] == ["F1001_N_distances.txt", "m1002_N_distances.txt"]
    lines = files[1].read_bytes().split(b"\r\n")
    assert lines[-1] == b"" and b"\n" not in b"".join(lines)
    rows = np.array([[float(word) for word in line.split()] for line in lines[:-1]])
    assert np.array_equal(rows[:, 0], scores[1].arrays["vertex"])
    assert np.array_equal(rows[:, 1], scores[1].distances)


def test_a_list_of_images_is_followed(data: Path) -> None:
    """Sets and several images of a scan; photographs where they are."""
    lines = ["HQ/F1001_N/a.jpg", "LQ/F1001_N/b.jpg", "LQ/m1002_N/c.jpg"]
    (data / "images.txt").write_text("\n".join(lines) + "\n")
    for line in lines:
        stem = data / "mine" / Path(line).with_suffix("")
        stem.parent.mkdir(parents=True, exist_ok=True)
        for suffix in (".obj", ".txt"):
            shutil.copy(data / "mine" / f"{Path(line).parts[1]}{suffix}", f"{stem}{suffix}")
    (data / "images" / "HQ" / "F1001_N").mkdir(parents=True)
    (data / "images" / "HQ" / "F1001_N" / "a.jpg").touch()
    cases = ESRC.cases(data, data / "mine", Options())
    assert [case.id for case in cases] == ["HQ__F1001_N__a", "LQ__F1001_N__b", "LQ__m1002_N__c"]
    scores = [ESRC.score(case, Options()) for case in cases]
    rows = ESRC.rows(scores, Options())
    assert [(row.label, row.n) for row in rows] == [("all", 3), ("HQ", 1), ("LQ", 2)]
    assert list(ESRC.photographs(data, Options())) == ["HQ__F1001_N__a"]
    (data / "images.txt").write_text("HQ/F9/a.jpg\n")
    with pytest.raises(InputError, match="line 1: there is no scan 'F9'"):
        ESRC.cases(data, data / "mine", Options())


def test_mistakes_are_told(data: Path) -> None:
    """Absent annotations, damaged ones, twice the same scan, exchanged corners of the eyes."""
    mine = data / "mine"
    case = ESRC.cases(data, mine, Options())[0]
    np.savetxt(mine / "F1001_N.txt", FACE[[1, 0, 3, 2, 4, 5, 6]])
    assert any("out of order" in remark for remark in ESRC.score(case, Options()).remarks)
    lnd = case.inputs["annotation"]
    lnd.write_text(_lnd(FACE[:6]))
    with pytest.raises(InputError, match="seven lines"):
        ESRC.score(case, Options())
    lnd.write_text("1 2 3 nose\n")
    with pytest.raises(InputError, match="not readable"):
        ESRC.score(case, Options())
    lnd.unlink()
    with pytest.raises(InputError, match="no F1001_N.lnd"):
        ESRC.cases(data, mine, Options())
    shutil.copy(data / "scans" / "m1002_N.obj", data / "scans" / "m1002_N.ply")
    with pytest.raises(InputError, match="same name"):
        ESRC.cases(data, mine, Options())
    with pytest.raises(InputError, match="no scans"):
        ESRC.cases(mine, mine, Options())


def test_scans_of_elsewhere_are_refused() -> None:
    """A scan whose landmarks are those of another has no face within the sphere."""
    vertices, faces = _sheet()
    with pytest.raises(EstimationError, match="different scans or units"):
        score_esrc(vertices + 1000, FACE, vertices, faces, FACE)
