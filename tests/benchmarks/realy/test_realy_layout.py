"""REALY's files on disk: what is found, and what is told."""

from pathlib import Path
from typing import Any

import pytest

from facekit.benchmarks.evaluation.protocol import Options
from facekit.benchmarks.realy.benchmark import BENCHMARK
from facekit.core.errors import InputError
from facekit.core.geometry.meshio import load_mesh

Layout = tuple[Path, Path]


def options(**settings: str) -> Options:
    return Options(settings=settings)


def rewritten(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text().replace(old, new))


def test_cases_are_in_official_order_and_missing_ones_are_there(realy_layout: Layout) -> None:
    data, predictions = realy_layout
    for name in ("2_10", "2_3", "1_2"):
        (predictions / f"{name}.obj").write_text((predictions / "1.obj").read_text())
    (predictions / "notes.md").write_text("no prediction")
    cases = BENCHMARK.cases(data, predictions, Options())
    assert [case.id for case in cases] == ["1", "1_2", "2_3", "2_10"]  # 1, 12, 23, 210
    assert [case.groups["set"] for case in cases] == ["frontal", "side", "side", "side"]
    frontal = BENCHMARK.cases(data, predictions, options(set="frontal"))
    assert [case.id for case in frontal] == ["1", "2"]
    assert not frontal[1].prediction.exists()
    silent = Options(official_missing=True, settings={"set": "frontal"})
    assert [case.id for case in BENCHMARK.cases(data, predictions, silent)] == ["1"]


def test_data_may_lie_as_in_the_official_repository(realy_layout: Layout) -> None:
    data, predictions = realy_layout
    for name in ("REALY_HIFI3D_keypoints", "REALY_scan_region"):
        (data / name).rename(data / "data" / name)
    for root in (data, data / "data"):
        assert len(BENCHMARK.cases(root, predictions, Options())) == 2


def test_score_from_files_and_its_official_text(realy_layout: Layout, tmp_path: Path) -> None:
    data, predictions = realy_layout
    wanted = Options(fixed=True, settings={"meshes": "true"})
    case = BENCHMARK.cases(data, predictions, wanted)[0]
    score = BENCHMARK.score(case, wanted)
    assert set(score.values) == {"nose", "mouth", "forehead", "cheek", "all"}
    assert 0 < score.values["all"] < 1
    assert score.fixed["all"] == pytest.approx(score.values["all"], rel=0.3)
    assert score.counts["cheek_nicp"] >= 2
    assert score.distances is not None and score.error_mesh is not None
    assert len(score.distances) == len(score.error_mesh.vertices)
    rows = BENCHMARK.rows([score], wanted)
    assert [row.label for row in rows] == ["frontal", "frontal, median", "frontal, std"]
    assert rows[0].values["nose"] == score.values["nose"]
    out = tmp_path / "out"
    paths = BENCHMARK.write_official([case], [score], out, wanted)
    assert all(path.is_file() for path in paths)
    assert (out / "REALY_error.txt").read_text().split("\t")[2] == str(score.values["nose"])[:9]
    coloured = load_mesh(out / "region_align_save" / "1" / "error_nose.obj")
    assert coloured.colors is not None and coloured.colors[:, 2].max() > 127  # blue: small errors


def test_vertex_colours_and_quads_do_not_matter(realy_layout: Layout, face: dict[str, Any]) -> None:
    data, predictions = realy_layout
    case = BENCHMARK.cases(data, predictions, Options())[0]
    plain = BENCHMARK.score(case, Options())
    lines = (predictions / "1.obj").read_text().splitlines()
    coloured = [line + " 0.5 0.25 1" if line[0] == "v" else line for line in lines]
    (predictions / "1.obj").write_text("\n".join(coloured) + "\n")
    assert BENCHMARK.score(case, Options()).values == plain.values


def test_mask_leaves_faces_out_of_the_nonrigid_step(
    realy_layout: Layout, face: dict[str, Any], tmp_path: Path
) -> None:
    data, predictions = realy_layout
    mask = tmp_path / "mask.txt"
    low = face["vertices"][:, 1] < 3.0
    mask.write_text("\n".join(str(int(keep)) for keep in low))
    plain, masked = (
        BENCHMARK.score(BENCHMARK.cases(data, predictions, o)[0], o)
        for o in (Options(), options(template_mask=str(mask)))
    )
    assert masked.counts["forehead_ricp"] == plain.counts["forehead_ricp"]  # it does not see it
    assert masked.values["forehead"] > 5 * plain.values["forehead"]
    assert masked.values["mouth"] == pytest.approx(plain.values["mouth"], rel=1e-6)


def test_template_is_chosen_by_its_vertices_or_by_name(
    realy_layout: Layout, face: dict[str, Any]
) -> None:
    data, predictions = realy_layout
    other = data / "data" / "OTHER.obj"
    other.write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    (data / "data" / "OTHER.txt").write_text("[]")
    case = BENCHMARK.cases(data, predictions, Options())[0]
    assert case.inputs["template"].name == "GRID.obj"
    whole = (predictions / "1.obj").read_text()
    for broken in ("v 0 x 0\n", "v 0 0 0\n"):  # the first of two: unreadable, of no template
        (predictions / "1.obj").write_text(broken)
        (predictions / "2.obj").write_text(whole)
        case = BENCHMARK.cases(data, predictions, Options())[0]
        assert case.inputs["template"].name == "GRID.obj"
    (predictions / "2.obj").write_text("v 0 0 0\n")
    with pytest.raises(InputError, match="templates with as many: none"):
        BENCHMARK.cases(data, predictions, Options())
    (predictions / "1.obj").write_text(whole)
    named = BENCHMARK.cases(data, predictions, options(template="OTHER"))[0]
    with pytest.raises(InputError, match=r"85 rows|85"):
        BENCHMARK.score(named, Options())
    with pytest.raises(InputError, match="no template 'HIFI3D"):
        BENCHMARK.cases(data, predictions, options(template="HIFI3D++"))


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ("REALY_HIFI3D_keypoints", "REALY_HIFI3D_keypoints is missing"),
        ("REALY_scan_region", "REALY_scan_region is missing"),
        ("data/metrical_scale.txt", "metrical_scale.txt is missing"),
        ("data/GRID.txt", "no template"),
        ("REALY_scan_region/1/nose.obj", "nose.obj: missing"),
        ("REALY_HIFI3D_keypoints/2.obj", "2.obj: missing"),
    ],
)
def test_missing_data_are_told(realy_layout: Layout, part: str, message: str) -> None:
    data, predictions = realy_layout
    (data / part).rename(data.parent / "aside")
    with pytest.raises(InputError, match=message):
        BENCHMARK.cases(data, predictions, Options())


def test_odd_names_subjects_and_settings_are_told(realy_layout: Layout) -> None:
    data, predictions = realy_layout
    text = (predictions / "1.obj").read_text()
    for setting, message in (
        ({"set": "left"}, "frontal or side"),
        ({"threads": "9"}, "1, 2, 3 or 4"),
        ({"meshes": "perhaps"}, "true or false"),
        ({"template_mask": "nowhere.txt"}, "no such file"),
    ):
        with pytest.raises(InputError, match=message):
            BENCHMARK.cases(data, predictions, options(**setting))
    (predictions / "101.obj").write_text(text)
    with pytest.raises(InputError, match="subject 101"):
        BENCHMARK.cases(data, predictions, Options())
    (predictions / "101.obj").rename(predictions / "face.obj")
    with pytest.raises(InputError, match="named as the photographs"):
        BENCHMARK.cases(data, predictions, Options())
    with pytest.raises(InputError, match="no such folder"):
        BENCHMARK.cases(data, predictions / "absent", Options())


def test_wrong_topology_is_told(realy_layout: Layout, face: dict[str, Any]) -> None:
    data, predictions = realy_layout
    path = predictions / "1.obj"
    case = BENCHMARK.cases(data, predictions, options(template="GRID"))[0]
    lines = path.read_text().splitlines()
    vertices = [line for line in lines if line[0] == "v"]
    faces = [line for line in lines if line[0] == "f"]
    path.write_text("\n".join([*vertices, "v 0 0 0", *faces]) + "\n")
    with pytest.raises(InputError, match=r"1090 vertices, but the template has 1089"):
        BENCHMARK.score(case, Options())
    path.write_text("\n".join([*vertices[::-1][3:], *vertices[::-1][:3], *faces]) + "\n")
    with pytest.raises(InputError, match="not in the template's order"):
        BENCHMARK.score(case, Options())
    path.write_text("\n".join(vertices) + "\n")
    with pytest.raises(InputError, match="0 triangles"):
        BENCHMARK.score(case, Options())
    path.write_text("\n".join(["v nan 0 0", *vertices[1:], *faces]) + "\n")
    with pytest.raises(InputError, match="NaN"):
        BENCHMARK.score(case, Options())


def test_photographs_are_named_as_predictions(realy_layout: Layout) -> None:
    data, _ = realy_layout
    assert BENCHMARK.photographs(data, Options()) == {}
    (data / "images").mkdir()
    for name in ("1.jpg", "2_1.png", "cover.png"):
        (data / "images" / name).write_bytes(b"")
    assert set(BENCHMARK.photographs(data, Options())) == {"1", "2_1"}
    with pytest.raises(InputError, match="no such folder"):
        BENCHMARK.photographs(data, options(images="absent"))
