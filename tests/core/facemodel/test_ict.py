"""The ICT face model: read from its archive, refused with a sentence where it is damaged."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facekit.core.errors import ModelFileError
from facekit.core.facemodel.ict import load_ict

FILE = "ict_face_model/ict_face_model.npz"


@pytest.fixture(scope="module")
def archive(shared_data: Path) -> dict[str, Any]:
    with np.load(shared_data / FILE) as arrays:
        return {name: arrays[name] for name in arrays.files}


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"nowhere\.npz: no such file"):
        load_ict(tmp_path / "nowhere.npz")


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text.npz"
    path.write_text("no archive")
    with pytest.raises(ModelFileError, match=r"text\.npz: damaged"):
        load_ict(path)
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(ModelFileError, match=r"one\.npy: damaged"):
        load_ict(tmp_path / "one.npy")


def test_a_missing_field_is_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", neutral=np.zeros((5, 3)))
    with pytest.raises(ModelFileError, match="absent"):
        load_ict(tmp_path / "other.npz")


def test_a_truncated_archive_is_refused(tmp_path: Path, shared_data: Path) -> None:
    whole = (shared_data / FILE).read_bytes()
    (tmp_path / "half.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelFileError, match=r"half\.npz"):
        load_ict(tmp_path / "half.npz")


@pytest.mark.parametrize(
    ("field", "damage", "complaint"),
    [
        ("neutral", lambda a: a * 10, "neutral"),  # millimetres in place of centimetres
        ("neutral", lambda a: a[:, [0, 2, 1]], "axes"),
        ("tri", lambda a: a + 10**6, "tri"),
        ("tri", lambda a: a[:, ::-1], "tri: triangles are wound clockwise"),
        ("neutral", lambda a: np.where(a > 5, np.nan, a), "NaN"),
    ],
)
def test_damaged_values_are_refused(
    tmp_path: Path, archive: dict[str, Any], field: str, damage: Any, complaint: str
) -> None:
    small = {**archive, field: damage(archive[field])}
    for modes in ("identity", "expression"):  # a tenth of the file is enough here
        small[modes] = small[modes][:2]
        small[f"{modes}_names"] = small[f"{modes}_names"][:2]
    np.savez(tmp_path / "damaged.npz", **small)
    with pytest.raises(ModelFileError, match=complaint):
        load_ict(tmp_path / "damaged.npz")


def test_the_model_fits_the_interface(shared_data: Path) -> None:
    model = load_ict(shared_data / FILE)
    marks = model.mean[model.landmarks68]
    assert 80 < np.linalg.norm(marks[45] - marks[36]) < 100  # mm
    assert (np.diff(marks[0:17, 0]) > 0).all()
    assert model.n_identity >= 50 and "jawOpen" in model.expression_names
    assert model.regions["frontal_face"].sum() > 5_000
    assert model.weights["lips"][model.landmarks68[60:68]].min() > 0.3
