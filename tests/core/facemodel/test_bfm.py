"""BFM's front model, from files of the documented structure that the tests make."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io

from facekit.core.errors import ModelFileError
from facekit.core.facemodel.bfm import load_bfm

RNG = np.random.default_rng(7)


@pytest.fixture(scope="module")
def fields(small_face: Any) -> dict[str, np.ndarray]:
    """Give every field of `BFM_model_front.mat`: decimetres, interleaved, 1-based."""
    v, f = len(small_face.vertices), len(small_face.faces)
    shape = (small_face.vertices + [3.0, -2.0, 5.0]) / 100
    return {
        "meanshape": shape.reshape(1, -1),
        "idBase": RNG.normal(size=(3 * v, 80)).astype(np.float32) / 100,
        "exBase": RNG.normal(size=(3 * v, 64)).astype(np.float32) / 100,
        "meantex": RNG.uniform(60, 200, size=(1, 3 * v)).astype(np.float32),
        "texBase": RNG.normal(size=(3 * v, 80)).astype(np.float32),
        "tri": small_face.faces.astype(np.float64) + 1,
        "point_buf": np.full((v, 8), f + 1.0),
        "keypoints": small_face.landmarks[None].astype(np.float64) + 1,
        "frontmask2_idx": np.arange(1.0, 1001)[:, None],
        "tri_mask2": small_face.faces[:500].astype(np.float64) + 1,
        "skinmask": np.ones((1, v)),
    }


@pytest.fixture(scope="module")
def written(fields: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bfm") / "BFM_model_front.mat"
    scipy.io.savemat(path, fields)
    return path


def test_the_model_is_in_millimetres_about_its_own_mean(written: Path, fields: Any) -> None:
    model = load_bfm(written)
    assert (model.n_identity, model.n_expression, model.n_albedo) == (80, 64, 80)
    shape = fields["meanshape"].reshape(-1, 3) * 100
    np.testing.assert_allclose(model.mean, shape - shape.mean(0), atol=1e-9)
    np.testing.assert_allclose(model.mean.mean(0), 0, atol=1e-9)
    coefficients = RNG.normal(size=80)
    moved = model.shape(coefficients) - model.mean
    expected = (fields["idBase"].astype(np.float64) @ coefficients).reshape(-1, 3) * 100
    np.testing.assert_allclose(moved, expected, atol=1e-3)
    np.testing.assert_allclose(
        model.expression[5], fields["exBase"][:, 5].reshape(-1, 3) * 100, rtol=1e-6
    )
    assert model.unit_mm == 100
    assert (model.expression_sigma == 1).all()
    assert model.expression_range == (-np.inf, np.inf)


def test_indices_start_at_nought_here(written: Path, small_face: Any) -> None:
    model = load_bfm(written)
    np.testing.assert_array_equal(model.faces, small_face.faces)
    np.testing.assert_array_equal(model.landmarks68, small_face.landmarks)
    assert model.regions["bfm_inner_face"].sum() == 1000
    assert model.regions["bfm_inner_face"][0]
    assert model.regions["frontal_face"].sum() > 1000
    assert model.weights["lips"][model.landmarks68[60:68]].mean() > 0.9


def test_colours_are_decoded_to_light(written: Path, fields: Any) -> None:
    model = load_bfm(written)
    assert model.albedo_encoding == "srgb" and model.albedo_mean is not None
    np.testing.assert_allclose(model.albedo_mean, fields["meantex"].reshape(-1, 3) / 255, rtol=1e-6)
    colors = model.colors()
    assert colors is not None
    i = 100
    encoded = float(model.albedo_mean[i, 1])
    assert colors[i, 1] == pytest.approx(((encoded + 0.055) / 1.055) ** 2.4, rel=1e-4)
    brighter = model.colors({"albedo000": 1.0})
    assert brighter is not None
    rises = fields["texBase"][:, 0].reshape(-1, 3) > 0
    assert ((brighter > colors) == rises).mean() > 0.999


def test_uvs_beside_the_model_are_taken(
    tmp_path: Path, fields: Any, small_face: Any, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "BFM_model_front.mat"
    scipy.io.savemat(path, fields)
    with caplog.at_level(logging.WARNING):
        assert "cylindrical" in load_bfm(path).notes[0]
    assert "cylindrical" in caplog.text
    np.save(tmp_path / "bfm_uvs2.npy", small_face.uv.astype(np.float32))
    model = load_bfm(path)
    assert model.notes == ()
    np.testing.assert_allclose(model.uv, small_face.uv, atol=1e-6)
    np.save(tmp_path / "turned.npy", small_face.uv * [-1, 1] + [1, 0])
    assert "u does not grow" in load_bfm(path, uv=tmp_path / "turned.npy").notes[0]


def test_our_own_chart_unfolds_the_face(written: Path) -> None:
    model = load_bfm(written)
    assert model.uv.min() >= 0 and model.uv.max() <= 1
    face = model.regions["frontal_face"][model.faces].all(axis=1)
    assert model.chart_faces[face].mean() > 0.9  # nostrils and the underside fold


@pytest.mark.parametrize(
    ("name", "values", "complaint"),
    [
        ("uv.npy", np.zeros((5, 2)), r"uv: shape \(5, 2\)"),
        ("uv.npy", np.full((5, 2), 3), "uv: numbers of type int64"),
    ],
)
def test_uvs_of_another_model_are_refused(
    tmp_path: Path, written: Path, name: str, values: np.ndarray, complaint: str
) -> None:
    np.save(tmp_path / name, values)
    with pytest.raises(ModelFileError, match=complaint):
        load_bfm(written, uv=tmp_path / name)


def test_pickled_uvs_are_not_opened(tmp_path: Path, written: Path) -> None:
    np.save(tmp_path / "uv.npy", np.array({"a": 1}, dtype=object), allow_pickle=True)
    with pytest.raises(ModelFileError, match="give the path of bfm_uvs2.npy"):
        load_bfm(written, uv=tmp_path / "uv.npy")


@pytest.mark.parametrize(
    ("field", "damage", "complaint"),
    [
        ("meanshape", lambda a: None, "meanshape: absent"),
        ("skinmask", lambda a: None, "skinmask: absent"),
        ("idBase", lambda a: a[:, :79], r"idBase: shape .* \(numbers of the shape, 80\) belongs"),
        ("exBase", lambda a: a[:-3], "exBase: shape"),
        ("texBase", lambda a: np.where(a > 3, np.nan, a), "texBase: holds NaN"),
        ("meanshape", lambda a: a[:, :-1], "shape"),
        ("meanshape", lambda a: a * 100, "meanshape: outer eye corners 9"),
        ("meanshape", lambda a: a.reshape(-1, 3)[:, [0, 2, 1]].reshape(1, -1), "axes"),
        ("tri", lambda a: a - 1, "tri: indices 0 to"),
        ("tri", lambda a: a + 0.5, "tri: indices are not whole"),
        ("tri", lambda a: a.T, r"tri: shape \(3, .* \(triangles, 3\) belongs"),
        ("tri", lambda a: a[:, [0, 0, 1]], "tri: .* name a vertex twice"),
        ("tri", lambda a: a[:, ::-1], "tri: triangles are wound clockwise"),
        ("meanshape", lambda a: a.T, r"meanshape: shape .* \(1, numbers of the shape\) belongs"),
        ("point_buf", lambda a: a + 1, "point_buf: indices"),
        ("keypoints", lambda a: a[:, :5], "keypoints: shape"),
        ("frontmask2_idx", lambda a: a + 10**6, "frontmask2_idx: indices"),
        ("skinmask", lambda a: a * 3, "skinmask: numbers"),
        ("idBase", lambda a: np.array([["x"]], dtype=object), "idBase: a cell"),
    ],
)
def test_the_field_at_fault_is_named(
    tmp_path: Path, fields: Any, field: str, damage: Any, complaint: str
) -> None:
    damaged = dict(fields)
    values = damage(damaged.pop(field))
    if values is not None:
        damaged[field] = values
    path = tmp_path / "BFM_model_front.mat"
    scipy.io.savemat(path, damaged)
    with pytest.raises(ModelFileError, match=rf"BFM_model_front\.mat: .*{complaint}"):
        load_bfm(path)


@pytest.mark.parametrize("compressed", [False, True])
def test_a_truncated_file_says_which_field_it_ends_in(
    tmp_path: Path, fields: Any, compressed: bool
) -> None:
    path = tmp_path / "half.mat"
    scipy.io.savemat(path, fields, do_compression=compressed)
    whole = path.read_bytes()
    n = len(whole)
    for end, field in ((0.3, "idBase"), (0.5, "exBase"), (0.8, "texBase"), (1 - 4 / n, "skinmask")):
        path.write_bytes(whole[: int(end * n)])
        with pytest.raises(ModelFileError, match=rf"half\.mat: {field}: cut short"):
            load_bfm(path)
    for end in (0, 15, 50, 130, 140):
        path.write_bytes(whole[:end])
        with pytest.raises(ModelFileError, match=r"half\.mat: (not readable|cut short)"):
            load_bfm(path)


def test_counting_from_nought_is_seen_by_what_vertices_say_of_their_triangles(
    tmp_path: Path, fields: Any, small_face: Any
) -> None:
    """Both files hold 1 to n only: no index alone is out of range."""
    faces = small_face.faces
    around = np.full((len(small_face.vertices), 8), len(faces))
    for vertex in range(len(around)):
        own = np.flatnonzero((faces == vertex).any(axis=1))[:8]
        around[vertex, : len(own)] = own
    path = tmp_path / "BFM_model_front.mat"
    whole = dict(fields) | {"point_buf": around + 1.0}
    scipy.io.savemat(path, whole)
    load_bfm(path)
    low = np.where(faces == 0, 1, faces).astype(float)  # from 0, and vertex 0 is in none
    scipy.io.savemat(path, whole | {"tri": low})
    with pytest.raises(ModelFileError, match="tri: counts from 0"):
        load_bfm(path)
    scipy.io.savemat(path, whole | {"point_buf": np.maximum(around, 1.0)})
    with pytest.raises(ModelFileError, match="point_buf: counts from 0"):
        load_bfm(path)


def test_absent_and_foreign_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="no such file"):
        load_bfm(tmp_path / "nowhere.mat")
    with pytest.raises(ModelFileError, match="a folder"):
        load_bfm(tmp_path)
    (tmp_path / "text.mat").write_text("no such thing\n" * 100)
    with pytest.raises(ModelFileError, match=r"text\.mat: not readable"):
        load_bfm(tmp_path / "text.mat")


def test_a_file_of_the_true_size_loads(tmp_path: Path, small_face: Any) -> None:
    v, f = 35709, 70789
    shape = np.zeros((v, 3))
    shape[: len(small_face.vertices)] = small_face.vertices / 100
    faces = np.tile(small_face.faces, (10, 1))[:f]
    path = tmp_path / "BFM_model_front.mat"
    scipy.io.savemat(
        path,
        {
            "meanshape": shape.reshape(1, -1),
            "idBase": np.zeros((3 * v, 80), np.float32),
            "exBase": np.zeros((3 * v, 64), np.float32),
            "meantex": np.zeros((1, 3 * v), np.float32),
            "texBase": np.zeros((3 * v, 80), np.float32),
            "tri": np.concatenate([faces, np.zeros((f - len(faces), 3), np.int32)]) + 1,
            "point_buf": np.full((v, 8), f + 1),
            "keypoints": small_face.landmarks[None] + 1,
            "frontmask2_idx": np.arange(1, 27661)[:, None],
            "tri_mask2": np.ones((54681, 3), np.int32),
            "skinmask": np.zeros((1, v), np.uint8),
        },
        do_compression=True,
    )
    model = load_bfm(path)
    assert (model.n_vertices, len(model.faces)) == (v, f)
