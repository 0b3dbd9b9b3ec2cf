"""Maps on disk are those in memory, to the rounding that the format states."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facekit.core.errors import InputError, SchemaError
from facekit.dataset.bake.mapfile import MAPS_FILE, load_maps, save_maps
from facekit.dataset.bake.maps import Base, Maps


@pytest.fixture
def maps(rng: np.random.Generator) -> Maps:
    n, d, a = 96, 16, 32
    normal = rng.normal(size=(2, n, n, 3)).astype(np.float32)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    normal[:, :10] = 0
    return Maps(
        deformation=rng.normal(size=(d, d, 3)).astype(np.float32),
        deformation_valid=rng.random((d, d)) > 0.5,
        deformation_sigma=rng.random((d, d)).astype(np.float32),
        displacement=rng.uniform(-3, 3, (n, n)).astype(np.float32),
        sigma=rng.uniform(0, 0.5, (n, n)).astype(np.float32),
        normal=normal[0],
        tangent_normal=normal[1],
        valid=rng.random((n, n)) > 0.5,
        albedo=rng.random((a, a, 3)).astype(np.float32),
        albedo_valid=rng.random((a, a)) > 0.5,
    )


def test_round_trip(tmp_path: Path, maps: Maps) -> None:
    save_maps(tmp_path, maps)
    back = load_maps(tmp_path)
    for name in ("deformation", "deformation_valid", "deformation_sigma", "valid", "albedo_valid"):
        np.testing.assert_array_equal(getattr(back, name), getattr(maps, name))
    half_step = 0.00005 + 1e-6
    assert np.abs(back.displacement - maps.displacement).max() < half_step
    assert np.abs(back.sigma - maps.sigma).max() < half_step
    np.testing.assert_allclose(back.albedo, maps.albedo, rtol=2**-11, atol=1e-7)
    for name in ("normal", "tangent_normal"):
        apart = np.linalg.norm(getattr(back, name) - getattr(maps, name), axis=2)
        assert np.degrees(apart.max()) < 0.004
        assert (getattr(back, name)[:10] == 0).all()
    assert [p.name for p in tmp_path.iterdir()] == [MAPS_FILE]


@pytest.mark.parametrize("base", Base)
def test_the_file_says_what_displacement_stands_on(tmp_path: Path, maps: Maps, base: Base) -> None:
    save_maps(tmp_path, replace(maps, base=base))
    assert load_maps(tmp_path).base is base


def test_the_first_version_stood_on_flat_triangles(tmp_path: Path, maps: Maps) -> None:
    save_maps(tmp_path, replace(maps, base=Base.CURVED))
    path = tmp_path / MAPS_FILE
    with np.load(path) as archive:
        first = {name: archive[name] for name in archive.files if name != "base"}
    np.savez(path, **(first | {"version": np.array(1)}))
    assert load_maps(tmp_path).base is Base.FLAT


def test_zero_stays_zero_and_far_is_clipped(tmp_path: Path, maps: Maps) -> None:
    maps.displacement[0] = 0
    maps.displacement[1] = 4.0
    save_maps(tmp_path, maps)
    back = load_maps(tmp_path)
    assert (back.displacement[0] == 0).all()
    np.testing.assert_allclose(back.displacement[1], 3.2767)


def test_damage_is_told(tmp_path: Path, maps: Maps) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_maps(tmp_path)
    save_maps(tmp_path, maps)
    path = tmp_path / MAPS_FILE
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="damaged"):
        load_maps(tmp_path)
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(flipped))
    with pytest.raises(InputError, match="damaged"):
        load_maps(tmp_path)
    np.savez(path, format="something else")
    with pytest.raises(SchemaError, match="not a facekit-maps file"):
        load_maps(tmp_path)
    np.savez(path, format="facekit-maps", version=99)
    with pytest.raises(SchemaError, match="version 99"):
        load_maps(tmp_path)
