"""BFM's albedo maps: read as HRN lays them out, refused when they are anything else."""

from pathlib import Path

import numpy as np
import pytest

from facekit.core.errors import InputError, ModelFileError
from facekit.core.facemodel.bfmalbedo import (
    BASE_FILE,
    MEAN_FILE,
    AlbedoMaps,
    albedo_maps_beside,
    load_albedo_maps,
)

TEXELS, N_MODES = 16, 3
RNG = np.random.default_rng(2)
MEAN = RNG.uniform(20, 230, (TEXELS, TEXELS, 3)).astype(np.float32)
BASE = RNG.normal(scale=5, size=(TEXELS * TEXELS * 3, N_MODES)).astype(np.float32)


def _write(folder: Path, mean: np.ndarray = MEAN, base: np.ndarray = BASE) -> None:
    np.save(folder / MEAN_FILE, mean)
    np.save(folder / BASE_FILE, base)


def _load(folder: Path, *, size: int = 8) -> AlbedoMaps:
    return load_albedo_maps(
        folder / MEAN_FILE, folder / BASE_FILE, size=size, texels=TEXELS, n_modes=N_MODES
    )


@pytest.mark.parametrize("flat", [False, True])
def test_reducing_the_basis_is_reducing_its_sum(tmp_path: Path, flat: bool) -> None:
    """HRN halves the evaluated map bilinearly: the mean of two by two texels."""
    _write(tmp_path, MEAN.ravel() if flat else MEAN, BASE.ravel() if flat else BASE)
    maps = _load(tmp_path)
    assert maps.mean.shape == (8, 8, 3) and maps.modes.shape == (N_MODES, 8, 8, 3)
    c = np.array([0.5, -2.0, 1.0])
    full = (MEAN.ravel() + BASE @ c).reshape(TEXELS, TEXELS, 3) / 255
    halved = (full[::2, ::2] + full[1::2, ::2] + full[::2, 1::2] + full[1::2, 1::2]) / 4
    np.testing.assert_allclose(maps.mean + np.tensordot(c, maps.modes, 1), halved, atol=1e-6)
    np.testing.assert_allclose(_load(tmp_path, size=TEXELS).mean, MEAN / 255, atol=1e-6)


@pytest.mark.parametrize(
    ("mean", "base", "complaint"),
    [
        (MEAN[:-1], BASE, r"bfm_tex_mean2\.npy: 720 numbers, expected 768"),
        (MEAN, BASE[:, :2], r"bfm_texmap_base2\.npy: 1536 numbers, expected 2304"),
        (MEAN / 255, BASE, "no colours from 0 to 255"),
        (MEAN * 3, BASE, "no colours from 0 to 255"),
        (MEAN - 100, BASE, "no colours from 0 to 255"),
        (MEAN.astype(np.uint8), BASE, "uint8 in place of float32"),
        (MEAN, np.asfortranarray(BASE), "in C order"),
        (MEAN, np.where(BASE > 12, np.nan, BASE), r"base2\.npy: holds NaN"),
    ],
)
def test_the_file_at_fault_is_named(
    tmp_path: Path, mean: np.ndarray, base: np.ndarray, complaint: str
) -> None:
    _write(tmp_path, mean, base)
    with pytest.raises(ModelFileError, match=complaint):
        _load(tmp_path)


def test_absent_truncated_and_pickled_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="no such file"):
        _load(tmp_path)
    assert albedo_maps_beside(tmp_path / "BFM_model_front.mat") is None
    _write(tmp_path)
    with pytest.raises(InputError, match="give a divisor of 16"):
        _load(tmp_path, size=7)
    (tmp_path / BASE_FILE).write_bytes((tmp_path / BASE_FILE).read_bytes()[:-100])
    with pytest.raises(ModelFileError, match=r"bfm_texmap_base2\.npy: not readable as"):
        _load(tmp_path)
    np.save(tmp_path / BASE_FILE, np.array({"a": 1}, dtype=object), allow_pickle=True)
    with pytest.raises(ModelFileError, match="not readable as"):
        _load(tmp_path)
    (tmp_path / BASE_FILE).unlink()
    with pytest.raises(ModelFileError, match="absent, though the other"):
        albedo_maps_beside(tmp_path / "BFM_model_front.mat")
