"""NoW from its folders: the official figures, what is missing, and mistakes told."""

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

from facekit.benchmarks.evaluation.protocol import Options
from facekit.benchmarks.evaluation.registry import get
from facekit.benchmarks.now.layout import list_images, read_landmarks, read_picked_points
from facekit.core.errors import InputError
from facekit.core.geometry.mesh import Mesh
from facekit.core.geometry.meshio import save_mesh

NOW = get("now")
SUBJECT, CHALLENGE = "Ann", "selfie"
FACE = np.array(
    [[-44, 35, -10], [-16, 34, 0], [16, 34, 0], [44, 35, -10], [0, -5, 22], [-25, -35, 2],
     [25, -35, 2.0]]
)  # fmt: skip


def _picked(points: np.ndarray, *, header: int = 8) -> str:
    rows = [
        f' <point x="{x:.6g}" y="{y:.6g}" z="{z:.6g}" active="1" name="{k}"/>'
        for k, (x, y, z) in enumerate(points)
    ]
    return "\n".join(["<!-- -->"] * header + rows + ["</PickedPoints>"])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Make a dataset of one scan and three images of it."""
    x, y = np.meshgrid(np.linspace(-90, 90, 30), np.linspace(-90, 90, 30))
    z = 20 - (x / 15) ** 2 - (y / 18) ** 2 + 5 * np.sin(x / 20)
    index = np.arange(900, dtype=np.int32).reshape(30, 30)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    faces = np.concatenate([np.stack(t, -1).reshape(-1, 3) for t in ((a, b, c), (a, c, d))])
    scan = Mesh(vertices=np.stack([x, y, z], -1).reshape(-1, 3), faces=faces)
    save_mesh(tmp_path / "scans" / SUBJECT / "scan.obj", scan)
    points = tmp_path / "scans_lmks_onlypp" / SUBJECT / "scan.pp"
    points.parent.mkdir(parents=True)
    points.write_text(_picked(FACE))
    names = [("selfie", "a"), ("selfie", "b"), ("multiview_neutral", "c")]
    lines = [f"set/{SUBJECT}/{challenge}/{name}.jpg" for challenge, name in names]
    (tmp_path / "imagepathsvalidation.txt").write_text("\n".join(lines) + "\n\n")
    for challenge, name in names:
        stem = tmp_path / "mine" / SUBJECT / challenge / name
        save_mesh(stem.with_suffix(".obj"), Mesh(vertices=scan.vertices / 10, faces=faces))
        np.save(stem.with_suffix(".npy"), (FACE / 10).astype(np.float32)[None])
    return tmp_path


def test_official_layout(shared_fixtures: Path, tmp_path: Path) -> None:
    """The figures of the official run over its own folders, pooled and for each image."""
    with tarfile.open(shared_fixtures / "now" / "layout_end_to_end.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    expected = json.loads((tmp_path / "expected" / "expected.json").read_text())
    options = Options()
    cases = NOW.cases(tmp_path, tmp_path / "preds", options)
    scores = [NOW.score(case, options) for case in cases]
    assert [case.groups["image"] for case in cases] == [p["file"] for p in expected["per_image"]]
    for score, theirs in zip(scores, expected["per_image"], strict=True):
        assert score.values["median"] == pytest.approx(theirs["median"], abs=1e-6)
        assert score.values["mean"] == pytest.approx(theirs["mean"], abs=1e-6)
        assert score.remarks == ()
    pooled = NOW.rows(scores, options)[0]
    for name in ("median", "mean", "std"):
        assert pooled.values[name] == pytest.approx(expected[name], abs=1e-6)
    assert sum(score.counts["scan_vertices"] for score in scores) == expected["n"]
    npy, text = NOW.write_official(cases, scores, tmp_path, options)
    written = [float(word) for word in text.read_text().split()]
    assert written == pytest.approx([expected["median"], expected["mean"]], abs=1e-6)
    record = np.load(npy, allow_pickle=True).item()
    assert [len(row) for row in record["computed_distances"]] == [len(s.distances) for s in scores]
    assert record["num_missing_files"] == 0


def test_rows_pool_vertices_by_challenge(data: Path) -> None:
    """All first, then each challenge; a chosen challenge counts the others as missing."""
    options = Options(fixed=True)
    cases = NOW.cases(data, data / "mine", options)
    assert [case.id for case in cases] == [
        "Ann__selfie__a", "Ann__selfie__b", "Ann__multiview_neutral__c",
    ]  # fmt: skip
    scores = [NOW.score(case, options) for case in cases]
    assert [(row.label, row.n) for row in NOW.rows(scores, options)] == [
        ("all", 3), ("selfie", 2), ("multiview_neutral", 1),
    ]  # fmt: skip
    assert all(score.values["mean"] < 1e-3 and score.fixed["mean"] < 1e-3 for score in scores)
    mesh = scores[0].error_mesh
    assert mesh is not None and mesh.faces.max() < len(mesh.vertices) == len(mesh.error)
    chosen = Options(settings={"challenge": "multiview_neutral"})
    cases = NOW.cases(data, data / "mine", chosen)
    files = NOW.write_official(cases, scores[2:], data, chosen)
    assert files[0].name == "facekit_computed_distances_multiview_neutral.npy"
    assert np.load(files[0], allow_pickle=True).item()["num_missing_files"] == 2


def test_metrical_needs_a_unit_and_holds_it(data: Path) -> None:
    """Predictions in cm said to be in cm, in mm, and in nothing."""
    right = Options(settings={"metrical": "true", "unit": "cm"})
    wrong = Options(settings={"metrical": "true", "unit": "mm"})
    case = NOW.cases(data, data / "mine", right)[0]
    good, bad = NOW.score(case, right), NOW.score(case, wrong)
    assert good.values["mean"] < 1e-2 and good.remarks == ()
    assert any("10× too small for unit=mm: cm?" in remark for remark in bad.remarks)
    assert NOW.rows([good], right)[0].label == "metrical"
    for settings, words in (
        ({"metrical": "true"}, "needs --set unit="),
        ({"metrical": "perhaps"}, "true or false"),
        ({"metrical": "true", "unit": "inch"}, "one of m, cm, mm"),
        ({"unit": "mm"}, "metrical=true only"),
    ):
        with pytest.raises(InputError, match=words):
            NOW.cases(data, data / "mine", Options(settings=settings))


def test_vertex_colours_and_texts_are_read(data: Path) -> None:
    """OBJ with colours, which the official reader cannot read, and landmarks as text."""
    options = Options()
    case = NOW.cases(data, data / "mine", options)[0]
    plain = NOW.score(case, options)
    lines = case.prediction.read_text().splitlines()
    coloured = [f"{line} 0.5 0.25 1" if line.startswith("v ") else line for line in lines]
    case.prediction.write_text("\n".join(coloured))
    case.inputs["landmarks"].unlink()
    np.savetxt(case.inputs["landmarks"].with_suffix(".txt"), FACE / 10)
    case = NOW.cases(data, data / "mine", options)[0]
    again = NOW.score(case, options)
    assert case.inputs["landmarks"].suffix == ".txt"
    assert again.values["mean"] == pytest.approx(plain.values["mean"], abs=1e-4)


def test_bad_data_are_told(data: Path) -> None:
    """No list, no scan, two scans, no such challenge: a sentence with the place."""
    mine = data / "mine"
    with pytest.raises(InputError, match="is this the folder"):
        NOW.cases(mine, mine, Options())
    with pytest.raises(InputError, match="the list has multiview_neutral, selfie"):
        NOW.cases(data, mine, Options(settings={"challenge": "sefie"}))
    with pytest.raises(InputError, match="validation and test"):
        NOW.cases(data, mine, Options(settings={"set": "train"}))
    scan = data / "scans" / SUBJECT / "scan.obj"
    (scan.parent / "other.obj").write_bytes(scan.read_bytes())
    with pytest.raises(InputError, match="2 files"):
        NOW.cases(data, mine, Options())
    scan.unlink()
    (scan.parent / "other.obj").unlink()
    with pytest.raises(InputError, match="not public"):
        NOW.cases(data, mine, Options())
    (data / "imagepathsvalidation.txt").write_text("one.jpg\n")
    with pytest.raises(InputError, match="line 1"):
        list_images(data, None)
    (data / "imagepathsvalidation.txt").write_text("\n")
    with pytest.raises(InputError, match="no image"):
        list_images(data, None)


def test_bad_predictions_are_told(data: Path) -> None:
    """Absent landmarks, NaN vertices and an empty mesh fail with their file's name."""
    options = Options()
    cases = NOW.cases(data, data / "mine", options)
    cases[0].inputs["landmarks"].unlink()
    with pytest.raises(InputError, match=r"a\.npy: no such file"):
        NOW.score(cases[0], options)
    np.save(cases[1].inputs["landmarks"], np.zeros((68, 3)))
    with pytest.raises(InputError, match="7 landmarks"):
        NOW.score(cases[1], options)
    cases[2].prediction.write_text("v 0 0 0\nv nan 0 0\nv 0 1 0\nf 1 2 3\n")
    with pytest.raises(InputError, match="NaN"):
        NOW.score(cases[2], options)
    cases[2].prediction.write_text("")
    with pytest.raises(InputError, match="c\\.obj"):
        NOW.score(cases[2], options)


def test_picked_points_go_by_themselves_not_by_lines(tmp_path: Path) -> None:
    """A header of another length is read all the same; extra points are left out."""
    path = tmp_path / "scan.pp"
    for header in (8, 3, 20):
        path.write_text(_picked(np.concatenate([FACE, FACE[:2]]), header=header))
        points = read_picked_points(path)
        assert points.dtype == np.float32
        assert np.array_equal(points, FACE.astype(np.float32))
    path.write_text(_picked(FACE[:6]))
    with pytest.raises(InputError, match="6 picked points"):
        read_picked_points(path)
    path.write_text(_picked(FACE).replace('x="-16"', 'x="left"'))
    with pytest.raises(InputError, match="as numbers"):
        read_picked_points(path)
    with pytest.raises(InputError, match="not readable"):
        read_picked_points(tmp_path / "none.pp")


def test_landmarks_keep_their_type(tmp_path: Path) -> None:
    """float32 stays float32, for the alignment is done in it; longer numbers are kept."""
    np.save(tmp_path / "a.npy", FACE.astype(np.float32))
    np.save(tmp_path / "b.npy", FACE / 3)
    assert read_landmarks(tmp_path / "a.npy").dtype == np.float32
    assert np.array_equal(read_landmarks(tmp_path / "b.npy"), FACE / 3)
