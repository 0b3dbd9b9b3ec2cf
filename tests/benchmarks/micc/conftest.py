"""A small set of MICC data, made of the built-in head."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from facekit.benchmarks.micc.ganfit import similarity_of_sizes
from facekit.core.facemodel.procedural import procedural_head
from facekit.core.geometry.mesh import Mesh
from facekit.core.geometry.meshio import save_mesh

SETTINGS = ("Indoor-Cooperative", "PTZ-Indoor", "PTZ-Outdoor")
SUBJECTS = (1, 28)


@pytest.fixture(scope="session")
def made_micc(tmp_path_factory) -> Path:
    """Give a folder with data and `rec/`; nobody may write to it."""
    return write_micc(tmp_path_factory.mktemp("micc"))


@pytest.fixture
def own_micc(tmp_path) -> Path:
    """Give the same to be spoilt."""
    return write_micc(tmp_path / "micc")


def write_micc(folder: Path) -> Path:
    model, rng = procedural_head(), np.random.default_rng(9)
    marks = model.landmarks68

    def person(noise_mm: float = 0.0, identity=None):
        shape = model.shape(np.zeros(model.n_identity) if identity is None else identity)
        return np.asarray(shape, np.float64) + noise_mm * rng.standard_normal(shape.shape)

    def write(path: str, vertices_mm, unit: float) -> None:
        save_mesh(folder / path, Mesh(vertices=vertices_mm * unit, faces=model.faces))

    write("template.obj", person(), 0.01)
    (folder / "landmark_ids.pkl").write_bytes(pickle.dumps([int(i) for i in marks], protocol=2))
    for subject in SUBJECTS:
        identity = 0.7 * rng.standard_normal(model.n_identity)
        name = f"subject_{subject:02d}"
        for k in (1, 2):
            scan = person(0.1, identity)
            place = f"{name}/Model/frontal{k}/obj/scan"
            placed = similarity_of_sizes(scan[marks], 0.01 * person()[marks])
            write(f"reg/{place}.obj", placed(scan), 1.0)
            write(f"scans/{place}.obj", scan, 1.0)
            ljson = folder / f"lms/{place}.ljson"
            ljson.parent.mkdir(parents=True)
            points = {"points": scan[marks].tolist(), "connectivity": []}
            ljson.write_text(json.dumps({
                "version": 3, "groups": {"LJSON": {"labels": [], "landmarks": points}},
            }))  # fmt: skip
        for i, setting in enumerate(SETTINGS):
            write(f"rec/{name}/{setting}.obj", person(0.2 * (i + 1), 0.9 * identity), 0.01)
    return folder
