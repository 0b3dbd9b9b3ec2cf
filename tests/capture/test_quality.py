"""Faults put into a virtual capture are named, and nothing else is."""

import json
import re
from dataclasses import replace

import cv2
import numpy as np
import pytest

from facekit.capture.measure import measure
from facekit.capture.quality import QUALITY_FILE, check_quality
from facekit.capture.session import Session, Take, TakeKind
from facekit.core.files import sha256_file
from facekit.core.imaging.color import linear_from_srgb, srgb_from_linear
from facekit.core.imaging.imageio import read_image, write_image

TAKES = ("t1", "t2", "t3", "t4")


def _relight(image, gains):
    linear = linear_from_srgb(image) * np.asarray(gains, dtype=np.float32)
    return np.round(srgb_from_linear(linear) * 255).astype(np.uint8)


def _again(image, rng):
    """Photograph the same face once more: it moved a little, flashes repeat to a per cent."""
    moved = np.roll(image, rng.integers(-3, 4, 2), axis=(0, 1))
    noise = rng.normal(0, 0.7, image.shape)
    return np.clip(_relight(moved, rng.normal(1, 0.01)) + noise, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def photos(studio_session):
    """Give take -> camera -> pixels of four takes without faults."""
    neutral = {
        shot.camera: cv2.resize(
            read_image(studio_session.path(shot)),
            None,
            fx=0.8,
            fy=0.8,
            interpolation=cv2.INTER_AREA,
        )
        for shot in studio_session.takes[0].shots
    }
    return {
        take: {
            camera: _again(image, np.random.default_rng([t, c]))
            for c, (camera, image) in enumerate(neutral.items())
        }
        for t, take in enumerate(TAKES)
    }


def _session(studio_session, photos, folder, suffix=".png") -> Session:
    takes = []
    pattern = studio_session.takes[0]
    for take, images in photos.items():
        shots = []
        for camera, image in images.items():
            name = f"images/{take}/{camera}{suffix}"
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            write_image(folder / name, image, quality=92)
            shot = pattern.shot(camera)
            sha256 = sha256_file(folder / name)
            height, width = image.shape[:2]
            shots.append(replace(shot, file=name, sha256=sha256, width=width, height=height))
        takes.append(Take(id=take, kind=TakeKind.SUBJECT, shots=tuple(shots)))
    return replace(studio_session, folder=folder, takes=tuple(takes))


def _said(result):
    return {take["id"]: (take["verdict"], " | ".join(take["remarks"])) for take in result["takes"]}


def _shot(result, take, camera):
    takes = {entry["id"]: entry for entry in result["takes"]}
    return next(shot for shot in takes[take]["shots"] if shot["camera"] == camera)


def test_a_good_session_gets_no_remarks(studio_session, photos, tmp_path):
    result = check_quality(_session(studio_session, photos, tmp_path))
    assert _said(result) == dict.fromkeys(TAKES, ("good", ""))
    assert result["counts"] == {"good": 4, "usable": 0, "bad": 0}
    assert all(camera["remarks"] == [] for camera in result["cameras"])
    assert json.loads((tmp_path / QUALITY_FILE).read_text()) == result
    assert _shot(result, "t1", "cam01")["region"] == "backdrop"


def test_the_studio_itself_is_good_with_its_chart_and_plate(studio_session, tmp_path):
    result = check_quality(studio_session, tmp_path)
    assert result["counts"]["good"] == 3
    assert _shot(result, "neutral", "cam02")["region"] == "plate"
    assert not (studio_session.folder / QUALITY_FILE).exists()


def test_each_fault_is_named_where_it_is(studio_session, photos, tmp_path):
    faulty = {take: dict(images) for take, images in photos.items()}
    faulty["t1"]["cam01"] = cv2.GaussianBlur(photos["t1"]["cam01"], (0, 0), 2.0)
    faulty["t2"]["cam02"] = _relight(photos["t2"]["cam02"], 0.7)
    faulty["t3"] = {camera: _relight(image, 0.35) for camera, image in photos["t3"].items()}
    faulty["t4"]["cam03"] = _relight(photos["t4"]["cam03"], (1.15, 1.0, 0.9))
    faulty["t4"]["cam04"] = _relight(photos["t4"]["cam04"], 3.0)
    del faulty["t2"]["cam00"]
    session = _session(studio_session, faulty, tmp_path)
    said = _said(check_quality(session))

    assert re.fullmatch(
        r"camera cam01 has [23]\d% of its usual sharpness: out of focus or moved", said["t1"][1]
    )
    # a loss of 30 %, beside flashes that repeat to 1 %
    assert re.search(r"camera cam02 is (2[6-9]|3[0-4])% darker than usual", said["t2"][1])
    assert "camera cam00 is missing" in said["t2"][1]
    assert re.fullmatch(r"all cameras are 6[3-7]% darker than usual: did a flash.*", said["t3"][1])
    assert "camera cam03 has other colours than usual" in said["t4"][1]
    assert "of the subject is overexposed" in said["t4"][1]
    assert [said[take][0] for take in TAKES] == ["usable", "usable", "bad", "usable"]


@pytest.mark.parametrize("n", [1, 2])
def test_few_cameras_of_a_take_are_held_against_what_is_usual_of_them(
    studio_session, photos, tmp_path, n
):
    """Two cannot say whether it was the take; but as long as they are as always, all is well."""
    lacking = {take: dict(images) for take, images in photos.items()}
    for camera in list(photos["t3"])[n:]:
        del lacking["t3"][camera]
    said = _said(check_quality(_session(studio_session, lacking, tmp_path)))
    assert "missing" in said["t3"][1]
    assert not re.search("darker|brighter|sharpness", " ".join(words for _, words in said.values()))


def test_the_same_picture_saved_again_is_found(studio_session, photos, tmp_path):
    doubled = {take: dict(images) for take, images in photos.items()}
    doubled["t3"]["cam01"] = photos["t2"]["cam01"]
    session = _session(studio_session, doubled, tmp_path, suffix=".jpg")
    copy = session.take("t3").shot("cam01")
    write_image(session.path(copy), photos["t2"]["cam01"], quality=75)
    session = _with_shot(session, replace(copy, sha256=sha256_file(session.path(copy))), "t3")
    said = _said(check_quality(session))
    assert "camera cam01 shows the same picture as camera cam01 in take t2" in said["t3"][1]
    assert [said[take][0] for take in ("t1", "t2", "t4")] == ["good"] * 3


def _with_shot(session, shot, take_id):
    takes = tuple(
        replace(take, shots=tuple(shot if s.camera == shot.camera else s for s in take.shots))
        if take.id == take_id
        else take
        for take in session.takes
    )
    return replace(session, takes=takes)


def test_another_lens_or_orientation_is_named(studio_session, photos, tmp_path):
    session = _session(studio_session, photos, tmp_path)
    shot = session.take("t2").shot("cam01")
    session = _with_shot(session, replace(shot, orientation=6), "t2")
    other = session.take("t4").shot("cam02")
    session = _with_shot(session, replace(other, lens="50 mm", focal_mm=50.0), "t4")
    result = check_quality(session)
    said = _said(result)
    assert said["t2"] == (
        "usable",
        "camera cam01 has EXIF orientation 6, otherwise 1: was the body turned? "
        "Orientation is not used",
    )
    assert "was taken with lens 50 mm" in said["t4"][1]
    assert _shot(result, "t4", "cam02")["verdict"] == "bad"
    assert said["t4"][0] == "usable"


def test_a_second_check_measures_only_what_is_new(studio_session, photos, tmp_path, monkeypatch):
    session = _session(studio_session, photos, tmp_path)
    first = check_quality(session)
    opened = []
    monkeypatch.setattr(
        "facekit.capture.session.read_image", lambda path: opened.append(path) or read_image(path)
    )
    assert check_quality(session) == first
    assert opened == []
    shot = session.take("t2").shot("cam03")
    write_image(session.path(shot), photos["t1"]["cam03"][:, ::-1])
    session = _with_shot(session, replace(shot, sha256=sha256_file(session.path(shot))), "t2")
    check_quality(session)
    assert opened == [session.path(shot)]


def test_a_damaged_cache_is_made_anew(studio_session, photos, tmp_path):
    session = _session(studio_session, {"t1": photos["t1"]}, tmp_path)
    first = check_quality(session)
    other = json.dumps({**first, "version": 99})
    for content in ("{", "[]", '{"format": "facekit-quality", "version": 1}', other):
        (tmp_path / QUALITY_FILE).write_text(content)
        assert check_quality(session) == first


@pytest.mark.parametrize("blur", [0.7, 1.0, 2.0, 4.0])
def test_sharpness_falls_with_blur_but_not_with_light(photos, blur):
    image = photos["t1"]["cam02"]
    sharp = measure(image, None).sharpness
    assert measure(_relight(image, 0.6), None).sharpness == pytest.approx(sharp, rel=0.15)
    blurred = measure(cv2.GaussianBlur(image, (0, 0), blur), None).sharpness
    assert blurred < sharp * {0.7: 0.8, 1.0: 0.65, 2.0: 0.4, 4.0: 0.3}[blur]
