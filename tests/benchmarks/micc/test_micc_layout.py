"""MICC's folders and files, and what is said when they are not as they should be."""

import json
import os
import pickle
import shutil

import numpy as np
import pytest

from facekit.benchmarks.micc.layout import read_landmark_ids, read_ljson, subjects_of
from facekit.core.errors import InputError


def test_subjects_and_scans_are_found_in_order(made_micc):
    subjects = subjects_of(made_micc, "reg")
    assert list(subjects) == [1, 28]
    assert [scan.name for scan in subjects[28]] == ["frontal1", "frontal2"]
    assert subjects[1][1].mesh.name == "scan.obj"


def test_a_subject_may_have_one_scan(own_micc):
    for part in ("reg", "lms"):
        shutil.rmtree(own_micc / part / "subject_01/Model/frontal1")
    assert [scan.name for scan in subjects_of(own_micc, "reg")[1]] == ["frontal2"]


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        ("lms", "no such folder; landmarks"),
        ("reg", "no such folder; registered scans"),
        ("reg/subject_28", "no mesh of the scan"),
        ("lms/subject_28", "no landmarks of subject_28"),
    ],
)
def test_what_is_missing_is_named(own_micc, gone, said):
    shutil.rmtree(own_micc / gone)
    with pytest.raises(InputError, match=said):
        subjects_of(own_micc, "reg")


def test_two_folders_of_a_subject_are_told(own_micc):
    for part in ("reg", "lms"):
        shutil.copytree(own_micc / part / "subject_01", own_micc / part / "subject_1")
    with pytest.raises(InputError, match="another folder of subject 1"):
        subjects_of(own_micc, "reg")


def test_landmark_numbers_are_read_from_lists_arrays_and_text(tmp_path):
    ids = np.arange(68) * 3
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(ids.tolist(), protocol=2))
    (tmp_path / "b.pkl").write_bytes(pickle.dumps(ids))
    (tmp_path / "c.pkl").write_bytes(pickle.dumps(list(ids.astype(np.int32)), protocol=2))
    (tmp_path / "d.txt").write_text("\n".join(map(str, ids)))
    (tmp_path / "e.json").write_text(json.dumps(ids.tolist()))
    for name in ("a.pkl", "b.pkl", "c.pkl", "d.txt", "e.json"):
        assert np.array_equal(read_landmark_ids(tmp_path / name), ids)


class Harmful:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_pickle_that_would_run_something_is_refused(tmp_path):
    (tmp_path / "ids.pkl").write_bytes(pickle.dumps(Harmful(tmp_path / "made")))
    with pytest.raises(InputError, match=r"asks for (posix|nt)\.mkdir"):
        read_landmark_ids(tmp_path / "ids.pkl")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("content", [b"", b"\x80\x02]q\x00(K\x01", pickle.dumps([1, 2, 3])])
def test_damaged_landmark_numbers_are_told(tmp_path, content):
    (tmp_path / "ids.pkl").write_bytes(content)
    with pytest.raises(InputError, match=r"ids\.pkl: "):
        read_landmark_ids(tmp_path / "ids.pkl")


def test_ljson_of_versions_1_to_3(tmp_path):
    points = np.arange(204.0).reshape(68, 3).tolist()
    versions = (
        {"version": 3, "groups": {"other": {"landmarks": {"points": points}}}},
        {"version": 2, "landmarks": {"points": points, "connectivity": []}, "labels": []},
        {"version": 1, "landmarks": points},
    )
    for value in versions:
        (tmp_path / "a.ljson").write_text(json.dumps(value))
        assert np.array_equal(read_ljson(tmp_path / "a.ljson"), points)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda points: points[:-1], r"shape \(67, 3\)"),
        (lambda points: [[None] * 3, *points[1:]], "landmark 0 has no position"),
        (lambda points: [row[:2] for row in points], r"shape \(68, 2\)"),
        (lambda points: "none", "no landmarks"),
    ],
)
def test_wrong_landmarks_are_told(tmp_path, change, said):
    points = change(np.arange(204.0).reshape(68, 3).tolist())
    value = {"version": 2, "landmarks": {"points": points}}
    (tmp_path / "a.ljson").write_text(json.dumps(value))
    with pytest.raises(InputError, match=said):
        read_ljson(tmp_path / "a.ljson")
