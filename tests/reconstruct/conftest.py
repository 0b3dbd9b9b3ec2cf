"""Face models in tensors, and a BFM file of the documented structure to make one of."""

from pathlib import Path

import numpy as np
import pytest
import scipy.io

from facekit.core.facemodel.bfm import load_bfm
from facekit.core.facemodel.model import FaceModel
from facekit.core.facemodel.procedural import procedural_head
from facekit.reconstruct.facetensors import FaceTensors, face_tensors

N_IDENTITY, N_EXPRESSION, N_ALBEDO = 80, 64, 80


def _smooth_modes(points: np.ndarray, n: int, scale: float, seed: int) -> np.ndarray:
    """Return (3 V, n): waves over the face, 40 mm long or more."""
    rng = np.random.default_rng(seed)
    waves = np.sin(points @ rng.normal(scale=2 * np.pi / 80, size=(3, n)) + rng.uniform(0, 6, n))
    directions = rng.normal(size=(3, n)) * scale / np.sqrt(n)
    return (waves[:, None] * directions).reshape(-1, n).astype(np.float32)


@pytest.fixture(scope="session")
def bfm_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder as HRN's assets are: BFM's front model and its UVs, of the built-in face."""
    head = procedural_head()
    ahead = (head.mean[:, 2] > 10) & (head.mean[:, 1] > -100) & head.regions["skin"]
    kept = head.faces[ahead[head.faces].all(axis=1)]
    used = np.unique(kept)
    new = np.full(head.n_vertices, -1)
    new[used] = np.arange(len(used))
    vertices, faces = head.mean[used], new[kept]
    assert (new[head.landmarks68] >= 0).all()
    v, f = len(vertices), len(faces)
    azimuth = np.arctan2(vertices[:, 0], vertices[:, 2] + 40)
    uv = np.column_stack([azimuth, vertices[:, 1]])
    uv = 0.05 + 0.9 * (uv - uv.min(0)) / np.ptp(uv, axis=0)
    folder = tmp_path_factory.mktemp("hrn-assets")
    fields = {
        "meanshape": ((vertices + [3.0, -2.0, 5.0]) / 100).reshape(1, -1),
        "idBase": _smooth_modes(vertices, N_IDENTITY, 0.05, 1),
        "exBase": _smooth_modes(vertices, N_EXPRESSION, 0.03, 2),
        "meantex": np.tile([190.0, 140.0, 120.0], v)[None],
        "texBase": _smooth_modes(vertices, N_ALBEDO, 20.0, 3),
        "tri": faces + 1.0,
        "point_buf": np.full((v, 8), f + 1.0),
        "keypoints": new[head.landmarks68][None] + 1.0,
        "frontmask2_idx": np.arange(1.0, 1001)[:, None],
        "tri_mask2": faces[:500] + 1.0,
        "skinmask": np.ones((1, v)),
    }
    scipy.io.savemat(folder / "BFM_model_front.mat", fields)
    np.save(folder / "bfm_uvs2.npy", uv.astype(np.float32))
    return folder


@pytest.fixture(scope="session")
def bfm_model(bfm_folder: Path) -> FaceModel:
    """Give a model of BFM's structure, all of it in the chart."""
    return load_bfm(bfm_folder / "BFM_model_front.mat")


@pytest.fixture(scope="session")
def bfm_face(bfm_model: FaceModel) -> FaceTensors:
    """Give it in tensors."""
    return face_tensors(bfm_model, map_size=128)


@pytest.fixture(scope="session")
def head_face() -> FaceTensors:
    """Give the built-in head in tensors: seams, ears, neck and eyes off the chart."""
    return face_tensors(procedural_head(), map_size=128)
