"""Photographs with landmarks are samples; those that cannot be used are told, not fatal."""

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest

from facekit.core.arrays import Floats
from facekit.core.errors import InputError
from facekit.core.facemodel.landmark_table import load_landmark_table
from facekit.core.facemodel.procedural import procedural_head
from facekit.reconstruct.samples.photos import PhotoSource
from facekit.reconstruct.samples.sample import FIELD

HEIGHT, WIDTH = 300, 360
NAMES = ("a.png", "b.png", "damaged.png", "unlisted.png")


def _points(shift: float) -> Floats:
    """Return where the mean face's landmarks are in a photograph, px."""
    model = procedural_head()
    flat = model.mean[model.landmarks68][:, :2] - model.mean[model.landmarks68].mean(0)[:2]
    return flat * (1.2, -1.2) + (WIDTH / 2 + shift, HEIGHT / 2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give photographs that are black but for a white tip of the nose, and their table."""
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    rows = ["camera,landmark,x,y"]
    for i, name in enumerate(NAMES):
        points = _points(10.0 * i)
        image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        x, y = points[30]
        at = np.mgrid[0:HEIGHT, 0:WIDTH] + 0.5
        image[...] = (255 * np.exp(-((at[1] - x) ** 2 + (at[0] - y) ** 2) / 18))[..., None]
        cv2.imwrite(str(photographs / name), image)
        if name != "unlisted.png":
            rows += [f"{name},{k},{p[0]},{p[1]}" for k, p in enumerate(points)]
    content = (photographs / "damaged.png").read_bytes()
    (photographs / "damaged.png").write_bytes(content[: len(content) // 2])
    (photographs / "notes.txt").write_text("not a photograph")
    (tmp_path / "landmarks.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


def _source(folder: Path, **how: object) -> PhotoSource:
    table = load_landmark_table(folder / "landmarks.csv")
    return PhotoSource([folder / "photographs"], table, procedural_head(), size=192, **how)  # type: ignore[arg-type]


def test_the_crop_shows_the_face_where_its_landmarks_are(folder: Path) -> None:
    source = _source(folder)
    assert len(source) == len(set(source.people)) == 2
    for sample in pickle.loads(pickle.dumps(source)):
        assert sample.truth is None and sample.image.shape == (192, 192, 3)
        light = sample.image.mean(axis=2)
        y, x = np.mgrid[0:192, 0:192] + 0.5
        found = np.array([(x * light).sum(), (y * light).sum()]) / light.sum()
        assert np.abs(found - sample.landmarks[30]).max() < 0.1
        # eyes are 63 px apart in HRN's crop of 224 px, whose field is narrower
        eyes = [sample.landmarks[rows].mean(axis=0) for rows in ([36, 39], [42, 45])]
        apart = float(np.linalg.norm(eyes[1] - eyes[0])) * 224 * FIELD / 192
        assert 50 < apart < 75


def test_photographs_that_cannot_be_used_are_told(folder: Path) -> None:
    left_out = {Path(name).name: why for name, why in _source(folder).left_out.items()}
    assert set(left_out) == {"damaged.png", "unlisted.png"}
    assert "has no rows of camera 'unlisted'" in left_out["unlisted.png"]
    for name in ("a.png", "b.png"):
        (folder / "photographs" / name).unlink()
    with pytest.raises(InputError, match="none of 2 photographs can be used"):
        _source(folder)


def test_masks_are_cut_as_their_photographs_are(folder: Path) -> None:
    masks = folder / "masks"
    masks.mkdir()
    for name in NAMES:
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        mask[:, WIDTH // 2 :] = 255
        cv2.imwrite(str(masks / name), mask)
    sample = _source(folder, masks=masks)[0]
    nose = int(sample.landmarks[30, 0])
    assert (sample.mask[96, : nose - 4] == 0).all() and (sample.mask[96, nose + 4 : 150] > 0).all()
    assert _source(folder)[0].mask[96, 20:170].all(), "without one all of a photograph counts"


def test_photographs_in_a_folder_of_a_folder_are_of_one_person(folder: Path) -> None:
    photographs = folder / "photographs"
    person = photographs / "somebody"
    person.mkdir()
    for name in ("a.png", "b.png"):
        (photographs / name).rename(person / name)
    (photographs / "damaged.png").unlink()
    (photographs / "unlisted.png").unlink()
    source = _source(folder)
    assert len(source) == 2 and len(set(source.people)) == 1
    assert "somebody" not in source.people[0]
