"""FLAME, from files of the documented structure that the tests make."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from facekit.core.errors import ModelFileError
from facekit.core.facemodel.flame import convert_flame, load_flame

N_JOINTS = 5


@pytest.fixture(scope="module")
def fields(small_face: Any) -> dict[str, Any]:
    """Give every field of FLAME's pickle: metres; a face and two balls for its eyes."""
    ball = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1.0]]) * 10
    sides = np.array([[0, 2, 4], [2, 1, 4], [1, 3, 4], [3, 0, 4],
                      [2, 0, 5], [1, 2, 5], [3, 1, 5], [0, 3, 5]])  # fmt: skip
    eyes = [small_face.vertices[small_face.landmarks[a : a + 6]].mean(0) - [0, 0, 12]
            for a in (36, 42)]  # fmt: skip
    n = len(small_face.vertices)
    vertices = np.concatenate([small_face.vertices, ball + eyes[0], ball + eyes[1]]) / 1000
    v = len(vertices)
    rng = np.random.default_rng(3)
    shapedirs = np.zeros((v, 3, 400), np.float32)
    shapedirs[:, :, [0, 299, 300, 399]] = rng.normal(size=(v, 3, 4)) / 1000
    return {
        "v_template": vertices,
        "f": np.concatenate([small_face.faces, sides + n, sides + n + 6]).astype(np.uint32),
        "shapedirs": shapedirs,
        "posedirs": np.zeros((v, 3, 36), np.float32),
        "J_regressor": sparse.csc_matrix((np.ones(N_JOINTS), (range(N_JOINTS), range(N_JOINTS))),
                                         shape=(N_JOINTS, v)),
        "weights": np.full((v, N_JOINTS), 1 / N_JOINTS),
        "kintree_table": np.array([[2**32 - 1, 0, 1, 1, 1], [0, 1, 2, 3, 4]], np.uint32),
        "J": np.zeros((N_JOINTS, 3)),
        "bs_style": "lbs",
        "bs_type": "lrotmin",
    }  # fmt: skip


@pytest.fixture(scope="module")
def embedding(small_face: Any) -> dict[str, np.ndarray]:
    """Give triangles that the 68 landmarks lie in, and the weights of their corners."""
    at = [int(np.flatnonzero((small_face.faces == v).any(axis=1))[0]) for v in small_face.landmarks]
    weights = np.where(small_face.faces[at] == small_face.landmarks[:, None], 0.8, 0.1)
    return {"lmk_faces_idx": np.array(at), "lmk_bary_coords": weights}


def write_pickle(path: Path, fields: dict[str, Any]) -> Path:
    path.write_bytes(pickle.dumps(fields, protocol=2))
    return path


@pytest.fixture(scope="module")
def converted(
    fields: Any, embedding: Any, small_face: Any, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("flame")
    np.savez(folder / "landmarks.npz", **embedding)
    uv = np.concatenate([small_face.uv, np.tile([[0.01, 0.01]], (12, 1))])
    np.savez(folder / "FLAME_texture.npz", vt=uv, ft=fields["f"].astype(np.int64), mean=np.zeros(3))
    convert_flame(
        write_pickle(folder / "generic_model.pkl", fields), folder / "flame.npz",
        landmarks=folder / "landmarks.npz", uv=folder / "FLAME_texture.npz",
    )  # fmt: skip
    (folder / "generic_model.pkl").unlink()
    return folder / "flame.npz"


def test_the_archive_holds_the_model_in_millimetres(converted: Path, fields: Any) -> None:
    model = load_flame(converted)
    assert (model.n_identity, model.n_expression, model.n_albedo) == (300, 100, 0)
    assert model.unit_mm == 1000 and model.notes == ()
    np.testing.assert_allclose(model.mean, fields["v_template"] * 1000)
    np.testing.assert_array_equal(model.faces, fields["f"])
    for k, modes in ((0, model.identity[0]), (299, model.identity[299]),
                     (300, model.expression[0]), (399, model.expression[99])):  # fmt: skip
        np.testing.assert_allclose(modes, fields["shapedirs"][:, :, k] * 1000, rtol=1e-5)
    assert not model.identity[1:299].any()
    assert model.expression_range == (-np.inf, np.inf)


def test_eyeballs_are_the_pieces_apart(converted: Path, small_face: Any) -> None:
    model = load_flame(converted)
    n = len(small_face.vertices)
    assert model.regions["eyes"][n:].all() and not model.regions["eyes"][:n].any()
    assert not model.chart_faces[-16:].any()
    assert model.chart_faces.sum() > 0.9 * len(small_face.faces)


def test_landmarks_are_the_nearest_vertices(converted: Path, small_face: Any) -> None:
    model = load_flame(converted)
    np.testing.assert_array_equal(model.landmarks68, small_face.landmarks)
    assert model.landmark_sigma_mm < 2


def test_a_pickle_alone_gives_a_model_that_tells_what_it_lacks(
    tmp_path: Path, fields: Any, small_face: Any
) -> None:
    model = load_flame(write_pickle(tmp_path / "m.pkl", fields))
    assert "landmarks" in model.notes[0] and "UVs" in model.notes[1]
    assert model.landmark_sigma_mm > 2
    # the same head that they are carried over from
    away = np.linalg.norm(model.mean[model.landmarks68] - model.mean[small_face.landmarks], axis=1)
    assert np.median(away) < 2 and away.max() < 15
    assert model.chart_faces.any()


@pytest.mark.parametrize("form", ["npy", "pkl", "static"])
def test_landmark_embeddings_come_in_several_forms(
    tmp_path: Path, fields: Any, embedding: Any, small_face: Any, form: str
) -> None:
    at, weights = embedding["lmk_faces_idx"], embedding["lmk_bary_coords"]
    path = tmp_path / f"landmarks.{'npy' if form == 'npy' else 'pkl'}"
    if form == "npy":  # DECA's: a dict of both
        content: dict[str, Any] = {
            "static_lmk_faces_idx": at[17:], "static_lmk_bary_coords": weights[17:],
            "full_lmk_faces_idx": at[None], "full_lmk_bary_coords": weights[None],
        }  # fmt: skip
        np.save(path, np.array(content, dtype=object), allow_pickle=True)
    else:
        n = 17 if form == "static" else 0
        content = {"lmk_face_idx": at[n:].astype(np.float64), "lmk_b_coords": weights[n:]}
        path.write_bytes(pickle.dumps(content, protocol=2))
    model = convert_flame(
        write_pickle(tmp_path / "m.pkl", fields), tmp_path / "flame.npz", landmarks=path
    )
    np.testing.assert_array_equal(model.landmarks68[17:], small_face.landmarks[17:])
    same_jaw = (model.landmarks68[:17] == small_face.landmarks[:17]).all()
    assert same_jaw or form == "static"
    again = load_flame(tmp_path / "flame.npz")
    np.testing.assert_array_equal(again.landmarks68, model.landmarks68)
    assert again.notes == model.notes and len(model.notes) == (2 if form == "static" else 1)


def test_uvs_of_the_template_are_taken_and_of_others_not(
    tmp_path: Path, fields: Any, small_face: Any
) -> None:
    def obj(faces: np.ndarray) -> Path:
        lines = [f"v {x} {y} {z}" for x, y, z in fields["v_template"]]
        lines += [f"vt {u} {v}" for u, v in small_face.uv] + ["vt 0.01 0.01"]
        last = len(small_face.uv)
        lines += ["f " + " ".join(f"{i + 1}/{min(i, last) + 1}" for i in face) for face in faces]
        (tmp_path / "head_template.obj").write_text("\n".join(lines) + "\n")
        return tmp_path / "head_template.obj"

    source = write_pickle(tmp_path / "m.pkl", fields)
    model = convert_flame(source, tmp_path / "a.npz", uv=obj(fields["f"]))
    np.testing.assert_allclose(
        model.uv[model.faces_uv[:100]], small_face.uv[small_face.faces[:100]]
    )
    with pytest.raises(ModelFileError, match=r"head_template\.obj: faces: not those"):
        convert_flame(source, tmp_path / "b.npz", uv=obj(fields["f"][::-1]))
    assert not (tmp_path / "b.npz").exists()


@pytest.mark.parametrize(
    ("field", "damage", "complaint"),
    [
        ("v_template", lambda a: None, "v_template: absent"),
        ("weights", lambda a: None, "weights: absent"),
        ("shapedirs", lambda a: a[:, :, :300], "shapedirs: shape"),
        ("shapedirs", lambda a: "dirs", "shapedirs: not an array"),
        ("posedirs", lambda a: a[:-1], "posedirs: shape"),
        ("f", lambda a: a + 10**6, "f: numbers"),
        ("f", lambda a: a.astype(np.float64), "f: numbers of type float64"),
        ("v_template", lambda a: a * 1000, "v_template: .* units tall"),
        ("f", lambda a: a[:, ::-1], "f: triangles are wound clockwise"),
        ("v_template", lambda a: np.where(a > 0.09, np.nan, a), "v_template: holds NaN"),
        ("J_regressor", lambda a: a[:, :-1], "J_regressor: shape"),
        ("kintree_table", lambda a: a[:, :3], "kintree_table: shape"),
    ],
)
def test_the_field_at_fault_is_named(
    tmp_path: Path, fields: Any, field: str, damage: Any, complaint: str
) -> None:
    damaged = dict(fields)
    values = damage(damaged.pop(field))
    if values is not None:
        damaged[field] = values
    path = write_pickle(tmp_path / "m.pkl", damaged)
    with pytest.raises(ModelFileError, match=rf"m\.pkl: {complaint}"):
        convert_flame(path, tmp_path / "out.npz")
    assert not (tmp_path / "out.npz").exists()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda e: {"other": np.zeros(3)}, "absent"),
        (lambda e: e | {"lmk_faces_idx": e["lmk_faces_idx"][:60]}, "lmk_bary_coords: shape"),
        (lambda e: {k: v[:60] for k, v in e.items()}, "60 landmarks"),
        (lambda e: e | {"lmk_faces_idx": e["lmk_faces_idx"] + 10**6}, "lmk_faces_idx: numbers"),
        (lambda e: e | {"lmk_bary_coords": e["lmk_bary_coords"] * 2}, "sum to one"),
    ],
)
def test_a_wrong_embedding_is_named(
    tmp_path: Path, fields: Any, embedding: Any, change: Any, complaint: str
) -> None:
    np.savez(tmp_path / "landmarks.npz", **change(embedding))
    with pytest.raises(ModelFileError, match=rf"landmarks\.npz: .*{complaint}"):
        convert_flame(
            write_pickle(tmp_path / "m.pkl", fields), tmp_path / "out.npz",
            landmarks=tmp_path / "landmarks.npz",
        )  # fmt: skip


def test_a_truncated_archive_is_refused(tmp_path: Path, converted: Path) -> None:
    whole = converted.read_bytes()
    for share in (0.01, 0.5, 0.99):
        (tmp_path / "half.npz").write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(ModelFileError, match=r"half\.npz"):
            load_flame(tmp_path / "half.npz")
