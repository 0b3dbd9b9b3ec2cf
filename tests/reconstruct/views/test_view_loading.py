"""Views are upright, undistorted, cut to the head, and their cameras still see what they show."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image as PillowImage

from facekit.core.errors import ConfigError, EstimationError, InputError
from facekit.core.imaging.orientation import turned_upright
from facekit.reconstruct.views.loading import LoadConfig, LoadedViews, load_face_views
from facekit.reconstruct.views.photosets import PhotoSet, photo_sets, set_of_files

SMALL = LoadConfig(megapixels=0.02)
Pixels = np.ndarray[Any, Any]


def red_spot(image: Pixels) -> Pixels:
    """Return (2,) px: the middle of the red spot in an image (H, W, 3) in [0, 1]."""
    red = np.clip(image[..., 0] - image[..., 1] - 0.45, 0, None)
    assert red.sum() > 0
    rows, columns = np.mgrid[: red.shape[0], : red.shape[1]]
    return np.array([(red * columns).sum(), (red * rows).sum()]) / red.sum() + 0.5


def the_set(*paths: Path, **how: Any) -> PhotoSet:
    (photos,) = photo_sets(paths, **how).sets
    return photos


def check_calibrated(studio: Any, loaded: LoadedViews, *, spot_px: float = 0.5) -> None:
    """Landmarks and pixels of each view lie where its camera sees them.

    Landmarks to the bound of the table's inversion; the spot is 8 px wide in these pictures and
    drawn without antialiasing, so that its middle is off by some tenths.
    """
    marks = studio.model.mean[studio.model.landmarks68]
    spot = studio.model.mean[
        np.linalg.norm(studio.model.mean - marks[30], axis=1) < 6
    ].mean(axis=0)  # fmt: skip
    assert loaded.views.calibrated
    assert loaded.views.metric
    for view in loaded.views.views:
        np.testing.assert_allclose(view.camera.project(marks)[0], view.landmarks, atol=1e-4)
        off = np.linalg.norm(view.camera.project(spot)[0] - red_spot(view.image))
        assert off < spot_px + 2.0 * abs(np.sin(np.radians(35)))  # the spot is not flat
        assert view.image.shape[0] * view.image.shape[1] <= 1.15e6 * SMALL.megapixels
        assert 0.5 < view.sigma_px < 0.03 * np.ptp(view.landmarks[:, 1])


def test_a_session_becomes_views_of_its_own_rig(studio: Any, tmp_path: Path) -> None:
    studio.session(tmp_path / "s")
    photos = the_set(tmp_path / "s")
    assert (photos.name, photos.at_once) == ("neutral", True)
    loaded = load_face_views(photos, studio.table(), SMALL)
    assert [view.name for view in loaded.views.views] == ["cam_a", "cam_b", "cam_c"]
    assert set(loaded.focal.values()) == {"rig"}
    assert not loaded.views.remarks
    check_calibrated(studio, loaded)


def test_whole_photographs_are_kept_where_nothing_is_to_be_cut(studio: Any, tmp_path: Path) -> None:
    studio.session(tmp_path / "s")
    config = LoadConfig(megapixels=1, cut=False)
    loaded = load_face_views(the_set(tmp_path / "s"), studio.table(), config)
    for view in loaded.views.views:
        assert view.image.shape == (300, 360, 3)
        np.testing.assert_allclose(view.camera.K, studio.rig[view.name].K)


def test_a_rolled_camera_is_turned_upright_with_its_image(studio: Any, tmp_path: Path) -> None:
    turned = {"cam_a": 6, "cam_b": 3, "cam_c": 7}  # the last says mirrored, which no camera is
    studio.session(tmp_path / "s", orientations=turned)
    photos = the_set(tmp_path / "s")
    loaded = load_face_views(photos, studio.table(turned), SMALL)
    check_calibrated(studio, loaded)
    for view in loaded.views.views:  # a head upright in the sensor now lies as EXIF has it
        eyes, chin = view.landmarks[36:48].mean(axis=0), view.landmarks[8]
        down = (chin - eyes) / np.linalg.norm(chin - eyes)
        expected = {"cam_a": (-1, 0), "cam_b": (0, -1), "cam_c": (1, 0)}[view.name]
        assert down @ expected > 0.95


def test_a_folder_named_after_the_cameras_is_as_good_as_a_session(
    studio: Any, tmp_path: Path
) -> None:
    folder = studio.folder(tmp_path / "photos")
    (folder / "cam_b.png").rename(folder / "session7_CAM_B_0001.png")
    PillowImage.new("RGB", (50, 50)).save(folder / "board.png")
    photos = the_set(folder, rig_file=tmp_path / "rig.json")
    loaded = load_face_views(photos, studio.table(), SMALL)
    check_calibrated(studio, loaded)
    assert "no camera of" in loaded.views.remarks["board.png"]


@pytest.mark.parametrize("fault", ["damaged", "empty", "text"])
def test_what_is_damaged_is_named_and_the_others_go_on(
    studio: Any, tmp_path: Path, fault: str
) -> None:
    content = {"damaged": b"\x89PNG\r\n\x1a\n1234", "empty": b"", "text": b"no picture"}[fault]
    folder = studio.folder(tmp_path / "photos")
    (folder / "cam_c.png").write_bytes(content)
    studio.session(tmp_path / "s")
    (tmp_path / "s" / "images" / "neutral" / "cam_c.png").write_bytes(content)
    for photos in (the_set(folder, rig_file=tmp_path), the_set(folder), the_set(tmp_path / "s")):
        loaded = load_face_views(photos, studio.table(), SMALL)
        assert [view.name for view in loaded.views.views] == ["cam_a", "cam_b"]
        (reason,) = loaded.views.remarks.values()
        assert "cam_c.png" in reason
        assert "\n" not in reason


def test_a_calibrated_view_without_a_face_stays_and_says_so(studio: Any, tmp_path: Path) -> None:
    table = studio.table()
    faces = {key: face for key, face in table.faces.items() if key[1] != "cam_c"}
    studio.session(tmp_path / "s")
    loaded = load_face_views(the_set(tmp_path / "s"), type(table)(faces=faces), SMALL)
    a, b, c = loaded.views.views
    assert a.has_face and b.has_face and not c.has_face
    assert loaded.remarks["cam_c"] == "no face was found in it"
    # it is cut where the others see the face, as it would be with its own landmarks
    whole = load_face_views(the_set(tmp_path / "s"), table, SMALL).views.views[2]
    np.testing.assert_allclose(c.camera.K, whole.camera.K, atol=1.0)
    assert abs(c.camera.width - whole.camera.width) <= 2


def test_one_calibrated_view_is_enough(studio: Any, tmp_path: Path) -> None:
    studio.without("cam_a", "cam_c").session(tmp_path / "s")
    loaded = load_face_views(the_set(tmp_path / "s"), studio.table(), SMALL)
    check_calibrated(studio, loaded)
    assert len(loaded.views.views) == 1


def test_no_face_at_all_is_an_error(studio: Any, tmp_path: Path) -> None:
    table = type(studio.table())(faces={})
    studio.session(tmp_path / "s")
    with pytest.raises(EstimationError, match="no face was found in 3 photographs"):
        load_face_views(the_set(tmp_path / "s"), table, SMALL)
    folder = studio.folder(tmp_path / "photos")
    with pytest.raises(EstimationError, match="no photograph can be used: cam_a"):
        load_face_views(the_set(folder), table, SMALL)


def test_masks_come_along_unless_they_miss_the_face(studio: Any, tmp_path: Path) -> None:
    folder, masks = studio.folder(tmp_path / "photos"), tmp_path / "masks"
    masks.mkdir()
    for name in studio.photographs:
        mask = np.zeros((300, 360), np.uint8)
        at = slice(0, 300) if name != "cam_c" else slice(0, 40)
        mask[at, 60:300] = 255
        PillowImage.fromarray(mask).save(masks / f"{name}.png")
    for how in ({}, {"rig_file": tmp_path}):
        loaded = load_face_views(the_set(folder, masks=masks, **how), studio.table(), SMALL)
        a, _, c = loaded.views.views
        assert a.mask is not None
        assert a.mask.shape == a.image.shape[:2]
        assert 0.2 < a.mask.mean() <= 1
        assert c.mask is None
        assert "its mask does not show the face" in loaded.remarks["cam_c"]
    with pytest.raises(InputError, match="no such file or folder"):
        the_set(folder, masks=tmp_path / "nowhere")


# --- without a rig ------------------------------------------------------------------------------


def test_photographs_of_one_camera_share_a_guessed_focal_length(
    studio: Any, tmp_path: Path
) -> None:
    folder = studio.folder(tmp_path / "photos")
    photos = the_set(folder)
    assert not photos.at_once
    loaded = load_face_views(photos, studio.table(), SMALL)
    assert not loaded.views.calibrated
    assert set(loaded.focal.values()) == {"portrait"}
    whole = []
    for view in loaded.views.views:
        by = np.ptp(view.landmarks, axis=0) / np.ptp(studio.marks(view.name), axis=0)
        whole.append(view.camera.K[0, 0] / by[0])
        # the middle of the photograph, in the cut
        middle = view.landmarks[30] + by * ((180, 150) - studio.marks(view.name)[30])
        np.testing.assert_allclose(view.camera.K[:2, 2], middle, atol=1e-6)
        # eyes and pixels belong together; 8 px of a spot, seen askew
        assert np.linalg.norm(view.landmarks[30] - red_spot(view.image)) < 3
    np.testing.assert_allclose(whole, whole[0], rtol=0.01)  # views have whole pixels
    # the head fills the picture as at a metre: the true 700 px at 900 mm, but for the face's size
    assert 0.75 < whole[0] / (700 / 0.9) < 1.25
    given = load_face_views(photos, studio.table(), LoadConfig(megapixels=1, focal_px=700.0))
    assert set(given.focal.values()) == {"given"}
    assert all(view.camera.K[0, 0] == pytest.approx(700) for view in given.views.views)


def test_grey_deep_and_turned_photographs_are_photographs(studio: Any, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    a, b, c = (studio.photographs[name] for name in ("cam_a", "cam_b", "cam_c"))
    grey = (a.astype(np.float64).mean(axis=2) * 257).astype(np.uint16)
    cv2.imwrite(str(folder / "cam_a.png"), grey)
    exif = PillowImage.Exif()
    exif[0x0112] = 6  # stored a quarter turn to the left of upright
    PillowImage.fromarray(turned_upright(b, 8)).save(folder / "cam_b.jpg", exif=exif, quality=98)
    PillowImage.fromarray(c).save(folder / "cam_c.png")
    loaded = load_face_views(the_set(folder), studio.table(), LoadConfig(cut=False))
    deep, rotated, plain = loaded.views.views
    assert np.abs(deep.image - deep.image[..., :1]).max() == 0
    np.testing.assert_allclose(deep.image[..., 0], a.mean(axis=2) / 255, atol=1 / 255)
    assert rotated.image.shape == (300, 360, 3)
    assert np.abs(rotated.image - b / 255).mean() < 0.02  # JPEG
    np.testing.assert_array_equal(plain.image, (c / 255).astype(np.float32))


def test_single_files_are_one_face_and_folders_one_each(studio: Any, tmp_path: Path) -> None:
    one, two = studio.folder(tmp_path / "one"), studio.folder(tmp_path / "two")
    found = photo_sets([one, two / "cam_a.png", two / "cam_b.png"])
    assert [(s.name, len(s.take.shots)) for s in found.sets] == [("one", 3), ("two", 2)]
    (two / "cam_a.png").rename(two / "cam_b.jpg")  # of one stem
    names = [shot.camera for shot in the_set(two).take.shots]
    assert len(set(names)) == 3
    both = the_set(one / "cam_c.png", two / "cam_c.png")
    assert len({shot.camera for shot in both.take.shots}) == 2


# --- what is refused ----------------------------------------------------------------------------


def test_a_set_that_fails_does_not_end_the_others(studio: Any, tmp_path: Path) -> None:
    good, bad = studio.folder(tmp_path / "good"), tmp_path / "bad"
    bad.mkdir()
    (bad / "a.png").write_bytes(b"nothing")
    found = photo_sets([good, bad])
    assert [photos.name for photos in found.sets] == ["good"]
    assert "none of 1 photographs can be used" in found.failed["bad"]


def _other_shape(record: dict[str, Any]) -> None:
    for camera in record["cameras"]:
        camera["height"] = 3 * camera["height"]


def _other_names(record: dict[str, Any]) -> None:
    for number, camera in enumerate(record["cameras"]):
        camera["name"] = f"pod{number}"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_other_names, "names none of the photographs"),
        (_other_shape, "360x300, but cam_a was calibrated at 360x900"),
    ],
)
def test_a_rig_of_other_photographs_is_refused(
    studio: Any, tmp_path: Path, change: Any, says: str
) -> None:
    folder, rig = studio.folder(tmp_path / "photos"), tmp_path / "rig.json"
    record = json.loads(rig.read_text())
    change(record)
    rig.write_text(json.dumps(record))
    with pytest.raises(InputError, match=says):
        load_face_views(the_set(folder, rig_file=rig), studio.table(), SMALL)


def test_a_rig_of_another_session_is_refused(studio: Any, tmp_path: Path) -> None:
    studio.session(tmp_path / "s", own_rig=False)
    studio.folder(tmp_path / "photos")
    rig = tmp_path / "rig.json"
    record = json.loads(rig.read_text())
    _other_names(record)
    rig.write_text(json.dumps(record))
    with pytest.raises(InputError, match="is this the rig of another session"):
        the_set(tmp_path / "s", rig_file=rig)


def test_a_session_without_a_rig_is_uncalibrated_and_says_so(studio: Any, tmp_path: Path) -> None:
    studio.session(tmp_path / "s", own_rig=False)
    photos = the_set(tmp_path / "s")
    assert photos.rig is None
    assert photos.at_once
    loaded = load_face_views(photos, studio.table(), SMALL)
    assert not loaded.views.calibrated
    assert "no rig is known" in loaded.notes[0]


def test_what_is_not_there_is_told(studio: Any, tmp_path: Path) -> None:
    folder = studio.folder(tmp_path / "photos")
    studio.session(tmp_path / "s")
    empty = tmp_path / "empty"
    empty.mkdir()
    cases: list[tuple[list[Path], dict[str, Any], str]] = [
        ([tmp_path / "nowhere"], {}, "nowhere: no such file or folder"),
        ([empty], {}, "no JPEG, PNG or TIFF in this folder"),
        ([], {}, "no photograph is given"),
        ([tmp_path / "s"], {"takes": ["smile"]}, "no take 'smile'; it has neutral"),
        ([folder], {"takes": ["neutral"]}, "no session, which alone has takes"),
        ([tmp_path / "s"], {"masks": folder}, "a session has its own masks"),
        ([folder], {"rig_file": tmp_path / "none.json"}, "none.json: no such file"),
    ]
    for paths, how, says in cases:
        with pytest.raises(InputError, match=says):
            photo_sets(paths, **how)
    both = [folder / "cam_a.png", folder / "photo_cam_a.png"]
    both[1].write_bytes(both[0].read_bytes())
    with pytest.raises(InputError, match="are both of camera cam_a"):
        set_of_files("x", both, studio.rig, where="rig.json")


def test_settings_that_cannot_be_are_refused(studio: Any, tmp_path: Path) -> None:
    for bad in ({"megapixels": 0.0}, {"focal_px": -1.0}, {"face": "second"}):
        with pytest.raises(ConfigError):
            LoadConfig(**bad)
    studio.session(tmp_path / "s")
    with pytest.raises(ConfigError, match="without a rig"):
        load_face_views(the_set(tmp_path / "s"), studio.table(), LoadConfig(focal_px=700.0))
