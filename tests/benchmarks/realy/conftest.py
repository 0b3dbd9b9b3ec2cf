"""REALY's parity cases, and a small invented subject on disk."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facekit.benchmarks.realy.regions import NONRIGID, REGIONS, RIGID


@pytest.fixture(scope="session")
def realy_case(shared_fixtures: Path) -> Callable[[str], tuple[dict[str, Any], dict[str, Any]]]:
    """Give a reader of a case: its arrays, and what the official code made of them."""

    def read(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
        path = shared_fixtures / "realy" / f"{name}.npz"
        if not path.is_file():
            pytest.skip(f"{path.name} is not here")
        with np.load(path) as stored:
            arrays = dict(stored)
        official = json.loads(path.with_suffix(".json").read_text())
        return arrays, official

    return read


@pytest.fixture(scope="session")
def face() -> dict[str, Any]:
    """Give a bent grid with bumps: vertices (cm), faces, and 85 keypoints on its triangles."""
    side = 33
    x, y = np.meshgrid(np.linspace(-7, 7, side), np.linspace(-9, 9, side))
    z = 12 - 0.06 * x**2 - 0.03 * y**2 + 2 * np.exp(-(x**2 + y**2) / 2) + 0.2 * np.sin(x + 2 * y)
    corner = np.arange(side * side).reshape(side, side)[:-1, :-1].reshape(-1)
    faces = np.concatenate(
        [
            np.stack([corner, corner + 1, corner + side], axis=1),
            np.stack([corner + 1, corner + side + 1, corner + side], axis=1),
        ]
    ).astype(np.int32)
    vertices = np.stack([x, y, z], axis=2).reshape(-1, 3)
    heights = {"forehead": (3.0, 8.6), "nose": (-2.2, 3.3), "mouth": (-6.2, -1.8)}
    middle = vertices[faces].mean(axis=1)
    parts = {name: (middle[:, 1] > lo) & (middle[:, 1] < hi) for name, (lo, hi) in heights.items()}
    parts["cheek"] = np.abs(middle[:, 0]) > 2.5
    rng = np.random.default_rng(3)
    rows = np.zeros((85, 3))
    rows[:, 1] = 1.0  # keypoints are first corners of faces, which are in no two places
    half = len(faces) // 2
    free = rng.permutation(half)
    for name in ("forehead", "mouth", "nose", "cheek"):
        wanted = sorted({*RIGID[name], *NONRIGID[name]} - set(np.flatnonzero(rows[:, 0])))
        inside = [f for f in free if parts[name][f] and f not in rows[:, 0] and f > 0]
        rows[wanted, 0] = inside[: len(wanted)]
    rest = np.flatnonzero(rows[:, 0] == 0)
    rows[rest, 0] = [f for f in free if f not in rows[:, 0]][: len(rest)]
    keypoints = vertices[faces[rows[:, 0].astype(int), 0]]
    regions = {}
    for name in REGIONS:
        used, local = np.unique(faces[parts[name]], return_inverse=True)
        regions[name] = (vertices[used].astype(np.float32), local.reshape(-1, 3).astype(np.int32))
    return {
        "vertices": vertices, "faces": faces, "rows": rows, "regions": regions,
        "keypoints": keypoints.astype(np.float32),
    }  # fmt: skip


def obj_text(vertices: Any, faces: Any = (), *, tail: str = "") -> str:
    """Return an OBJ; `tail` goes behind each vertex."""
    lines = [f"v {x:.6f} {y:.6f} {z:.6f}{tail}" for x, y, z in np.asarray(vertices)]
    lines += [f"f {a + 1} {b + 1} {c + 1}" for a, b, c in np.asarray(faces).reshape(-1, 3)]
    return "\n".join(lines) + "\n"


@pytest.fixture
def realy_layout(face: dict[str, Any], tmp_path: Path) -> tuple[Path, Path]:
    """Give the benchmark's folder with two subjects, and predictions of subject 1 alone."""
    data, predictions = tmp_path / "realy", tmp_path / "mine"
    predictions.mkdir()
    (data / "data").mkdir(parents=True)
    (data / "REALY_HIFI3D_keypoints").mkdir()
    for subject in (1, 2):
        (data / "REALY_scan_region" / str(subject)).mkdir(parents=True)
        keypoints = data / "REALY_HIFI3D_keypoints" / f"{subject}.obj"
        keypoints.write_text(obj_text(face["keypoints"]))
        for name, (vertices, faces) in face["regions"].items():
            path = data / "REALY_scan_region" / str(subject) / f"{name}.obj"
            path.write_text(obj_text(vertices, faces))
    (data / "data" / "metrical_scale.txt").write_text("9.0\n8.5\n")
    (data / "data" / "GRID.obj").write_text(obj_text(face["vertices"], face["faces"]))
    (data / "data" / "GRID.txt").write_text(json.dumps(face["rows"].tolist()))
    noise = np.random.default_rng(5).normal(scale=0.02, size=face["vertices"].shape)
    (predictions / "1.obj").write_text(obj_text(face["vertices"] + noise, face["faces"]))
    return data, predictions
