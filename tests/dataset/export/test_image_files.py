"""Images of maps: lossless where they say so, units where they are written down."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from facekit.core.errors import MissingDependencyError
from facekit.core.imaging.color import linear_from_srgb
from facekit.dataset.bake.maps import Maps
from facekit.dataset.displacementcode import (
    FACESCAPE_STEP_MM,
    coded_displacement,
    decoded_displacement,
)
from facekit.dataset.export.encoding import (
    coded_color,
    coded_normals,
    normals_of,
    png,
    smaller,
)
from facekit.dataset.export.images import write_albedo, write_exr, write_png16


@pytest.fixture
def maps(make_maps: Callable[..., Maps], rng: np.random.Generator) -> Maps:
    return make_maps(rng)


@pytest.mark.parametrize("step", [1e-4, FACESCAPE_STEP_MM])
def test_a_displacement_keeps_half_a_step(rng: np.random.Generator, step: float) -> None:
    reach = 32767 * step
    displacement = rng.uniform(-reach, reach, (40, 40))
    coded = coded_displacement(displacement, step_mm=step)
    assert coded.n_clipped == 0
    error = decoded_displacement(coded.values, step_mm=step) - displacement
    assert np.abs(error).max() <= step / 2 + 3e-7  # float32 near 3 mm
    beyond = coded_displacement(np.array([[2 * reach, -2 * reach, 0]]), step_mm=step)
    assert beyond.n_clipped == 2


def test_facescape_reaches_0_914_mm() -> None:
    values = coded_displacement(np.array([[0.0, -0.914, 0.457]]), step_mm=FACESCAPE_STEP_MM).values
    assert values.tolist() == [[32768, 0, 49152]]


@pytest.mark.parametrize("shape", [(33, 17), (33, 17, 3)])
def test_png_of_16_bits_is_lossless(rng: np.random.Generator, shape: tuple[int, ...]) -> None:
    image = rng.integers(0, 65536, shape).astype(np.uint16)
    found = cv2.imdecode(np.frombuffer(png(image), np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(found if found.ndim == 2 else found[..., ::-1], image)


def test_normals_keep_a_ten_thousandth_of_a_degree(rng: np.random.Generator) -> None:
    normals = rng.normal(size=(20, 20, 3))
    normals /= np.linalg.norm(normals, axis=2, keepdims=True)
    found = normals_of(coded_normals(normals)).astype(float)
    angle = np.degrees(np.linalg.norm(np.cross(found, normals), axis=2))
    assert angle.max() < 2e-3  # half a step of 3e-5 in each of three numbers


def test_colour_is_srgb_of_the_same_light(rng: np.random.Generator) -> None:
    linear = rng.random((10, 10, 3))
    back = linear_from_srgb(coded_color(linear))
    assert np.abs(back - linear).max() < 0.005  # half a code value where the curve is steepest


def test_a_smaller_photograph_is_its_area_mean(rng: np.random.Generator) -> None:
    image = rng.integers(0, 65536, (64, 48)).astype(np.uint16)
    small = smaller(image, 32)
    assert small.shape == (32, 24, 3)
    mean = image.reshape(32, 2, 24, 2).mean(axis=(1, 3)) * 255 / 65535
    assert np.abs(small[..., 0] - mean).max() <= 0.51
    assert smaller(image, 1000).shape == (64, 48, 3)  # never enlarged


def test_png16_files_give_the_maps_back(maps: Maps, tmp_path: Path) -> None:
    write_png16(tmp_path, maps)
    about = json.loads((tmp_path / "displacement.json").read_text())
    values = cv2.imread(str(tmp_path / "displacement.png"), cv2.IMREAD_UNCHANGED)
    assert values.dtype == np.uint16
    found = (values.astype(float) - about["offset"]) * about["scale_mm"]
    assert np.abs(found - maps.displacement).max() <= about["scale_mm"] / 2 + 1e-7
    valid = cv2.imread(str(tmp_path / "valid.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(valid == 255, maps.valid)


def test_albedo_as_png_and_jpeg(maps: Maps, tmp_path: Path) -> None:
    path, valid = write_albedo(tmp_path / "albedo.png", maps)
    assert valid.name == "albedo_valid.png"
    np.testing.assert_array_equal(
        cv2.imread(str(valid), cv2.IMREAD_UNCHANGED) == 255, maps.albedo_valid
    )
    np.testing.assert_array_equal(cv2.imread(str(path))[..., ::-1], coded_color(maps.albedo))
    path = write_albedo(tmp_path / "albedo.jpg", maps)[0]
    assert path.read_bytes()[:2] == b"\xff\xd8"


def test_exr_without_its_package_names_the_extra(
    maps: Maps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "OpenEXR", None)
    with pytest.raises(MissingDependencyError, match=r"facekit\[exr\]"):
        write_exr(tmp_path, maps)
    assert list(tmp_path.iterdir()) == []


def test_exr_is_exact(maps: Maps, tmp_path: Path) -> None:
    exr: Any = pytest.importorskip("OpenEXR")
    write_exr(tmp_path, maps)
    for name, channel in (("displacement", "Y"), ("deformation", "RGB"), ("normal", "RGB")):
        with exr.File(str(tmp_path / f"{name}.exr")) as file:
            np.testing.assert_array_equal(file.channels()[channel].pixels, getattr(maps, name))
