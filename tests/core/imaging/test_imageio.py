"""Images are read as stored, in whole, or refused with a sentence."""

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from facekit.core.errors import InputError, MissingDependencyError
from facekit.core.imaging import raw
from facekit.core.imaging.imageio import read_image, write_image
from facekit.core.imaging.verify import verify_image

SHAPES = [(20, 30), (20, 30, 3)]


def _noise(rng, shape, dtype=np.uint8):
    return rng.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def _smooth(shape=(240, 320, 3)) -> np.ndarray:
    y, x, c = np.meshgrid(*map(np.arange, shape), indexing="ij")
    return np.uint8(127 + 100 * np.sin(0.05 * x + c) * np.cos(0.07 * y))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_lossless_files_come_back_bit_by_bit(tmp_path, rng, suffix, shape, dtype):
    path, image = tmp_path / f"a{suffix}", _noise(rng, shape, dtype)
    write_image(path, image)
    np.testing.assert_array_equal(read_image(path), image)
    header, pixels = verify_image(path)
    np.testing.assert_array_equal(pixels, image)
    assert (header.width, header.height, header.bit_depth, header.suffix) == (
        30, 20, 8 * image.dtype.itemsize, suffix,
    )  # fmt: skip
    assert header.channels == (1 if len(shape) == 2 else 3)


def test_jpeg_comes_back_within_its_quantisation(tmp_path):
    write_image(tmp_path / "a.jpg", _smooth(), quality=97)
    difference = read_image(tmp_path / "a.jpg").astype(int) - _smooth()
    assert np.sqrt(np.mean(difference**2.0)) < 2


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_recorded_and_never_applied(tmp_path, rng, orientation):
    image, exif = _noise(rng, (20, 30, 3)), Image.Exif()
    exif[0x0112] = orientation
    for pixels in (image, image[..., 0], np.uint16(image[..., 0]) * 256):
        for name in ("a.png", "a.tif"):
            Image.fromarray(pixels).save(tmp_path / name, exif=exif)
            np.testing.assert_array_equal(read_image(tmp_path / name), pixels)
            header, verified = verify_image(tmp_path / name)
            np.testing.assert_array_equal(verified, pixels)
            assert header.orientation == orientation


def test_alpha_is_dropped(tmp_path, rng):
    colour, alpha = _noise(rng, (20, 30, 3)), _noise(rng, (20, 30, 1))
    Image.fromarray(np.concatenate([colour, alpha], 2)).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), colour)
    grey = Image.fromarray(np.concatenate([colour[..., :1], alpha], 2))
    grey.save(tmp_path / "b.png")
    for pixels in (read_image(tmp_path / "b.png"), verify_image(tmp_path / "b.png")[1]):
        np.testing.assert_array_equal(pixels, colour[..., 0])
    deep = _noise(rng, (20, 30, 4), np.uint16)
    cv2.imwrite(str(tmp_path / "c.png"), deep)
    np.testing.assert_array_equal(read_image(tmp_path / "c.png"), deep[..., 2::-1])


@pytest.mark.parametrize(
    ("mode", "suffix", "word"),
    [
        ("1", ".png", "black and white"),
        ("P", ".png", "a palette"),
        ("CMYK", ".jpg", "CMYK"),
        ("CMYK", ".tif", "CMYK"),
        ("F", ".tif", "floats"),
    ],
)
def test_what_is_no_photograph_is_named(tmp_path, rng, mode, suffix, word):
    path = tmp_path / f"a{suffix}"
    Image.fromarray(_noise(rng, (20, 30))).convert(mode).save(path)
    for read in (read_image, verify_image):
        with pytest.raises(InputError, match=word):
            read(path)


def test_films_and_bombs_are_refused_before_they_decode(tmp_path, rng):
    pages = [Image.fromarray(_noise(rng, (20, 30))) for _ in range(3)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(InputError, match="3 pictures"):
        read_image(tmp_path / "a.tif")
    pages[0].save(tmp_path / "b.png")
    content = bytearray((tmp_path / "b.png").read_bytes())
    content[16:24] = (13000).to_bytes(4, "big") * 2
    import zlib

    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    (tmp_path / "b.png").write_bytes(content)
    with pytest.raises(InputError, match="claims more than 150 megapixels"):
        read_image(tmp_path / "b.png")


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
@pytest.mark.parametrize("share", [0.2, 0.6, 0.95])
def test_a_truncated_file_is_refused(tmp_path, suffix, share):
    path = tmp_path / f"a{suffix}"
    write_image(path, _smooth())
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    for read in (read_image, verify_image):
        with pytest.raises(InputError, match=r"a\.(jpg|png|tif): .*copy it again"):
            read(path)


_WRITES_TOO_MUCH = """
import resource, sys
from pathlib import Path
import numpy as np
from facekit.core.imaging.imageio import write_image

resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    write_image(Path(sys.argv[1]), np.load(sys.argv[3]))
except OSError as error:
    sys.exit(f"told: {error.strerror}")
"""


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_an_image_whose_last_bytes_find_no_room_is_told_and_not_left(tmp_path, suffix):
    path, pixels = tmp_path / f"a{suffix}", tmp_path / "pixels.npy"
    np.save(pixels, _smooth())
    write_image(path, _smooth())
    room = path.stat().st_size - 1
    path.unlink()
    command = [sys.executable, "-c", _WRITES_TOO_MUCH, str(path), str(room), str(pixels)]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.stderr == "told: File too large\n"
    assert {file.name for file in tmp_path.iterdir()} == {"pixels.npy"}


@pytest.mark.parametrize("progressive", [0, 1])
def test_damage_that_decoders_repair_silently_is_refused(tmp_path, progressive):
    path = tmp_path / "a.jpg"
    cv2.imwrite(str(path), _smooth(), [cv2.IMWRITE_JPEG_PROGRESSIVE, progressive])
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 200] = bytes(200)
    path.write_bytes(content)
    assert cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) is not None
    with pytest.raises(InputError, match="damaged|not a complete"):
        verify_image(path)


def test_a_jpeg_without_its_end_marker_is_refused(tmp_path):
    write_image(tmp_path / "a.jpg", _smooth())
    content = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(content[:-2])
    with pytest.raises(InputError):
        verify_image(tmp_path / "a.jpg")
    (tmp_path / "a.jpg").write_bytes(content + b"\0" * 100)  # padding behind it does no harm
    verify_image(tmp_path / "a.jpg")


def test_the_content_counts_not_the_suffix(tmp_path, rng):
    write_image(tmp_path / "a.png", _noise(rng, (20, 30, 3), np.uint16))
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    header, _ = verify_image(tmp_path / "a.jpg")
    assert (header.suffix, header.bit_depth) == (".png", 16)
    assert read_image(tmp_path / "a.jpg").dtype == np.uint16


def test_names_outside_utf8_are_read(tmp_path, rng):
    image = _noise(rng, (20, 30), np.uint16)
    write_image(tmp_path / "a.png", image)
    strange = tmp_path / os.fsdecode(b"\xff\xfe.png")
    (tmp_path / "a.png").rename(strange)
    np.testing.assert_array_equal(read_image(strange), image)


@pytest.mark.parametrize("content", [b"", b"\xff", b"\xff\xd8\xff", b"GIF89a", b"hello" * 99])
def test_what_is_no_image_is_a_sentence(tmp_path: Path, content):
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    for read in (read_image, verify_image):
        with pytest.raises(InputError, match=r"a\.jpg: "):
            read(path)
    with pytest.raises(InputError, match="no such file"):
        read_image(tmp_path / "absent.jpg")


def test_raw_without_its_extra_names_the_extra(tmp_path, monkeypatch):
    def absent(module, *, extra):
        raise MissingDependencyError(f"{module} is not installed; facekit[{extra}]")

    monkeypatch.setattr(raw, "require", absent)
    (tmp_path / "a.CR3").write_bytes(b"x" * 100)
    with pytest.raises(MissingDependencyError, match="raw"):
        read_image(tmp_path / "a.CR3")


def test_a_raw_file_that_is_none_is_a_sentence(tmp_path):
    pytest.importorskip("rawpy")
    (tmp_path / "a.nef").write_bytes(bytes(5000))
    with pytest.raises(InputError, match=r"a\.nef: .*RAW"):
        read_image(tmp_path / "a.nef")
