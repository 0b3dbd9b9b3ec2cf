"""Photographs become folders; a fault in one is a sentence, and the others go on."""

import json
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image as PillowImage

from facekit.core.commandline import SentenceOnError
from facekit.core.errors import ConfigError, EstimationError, InputError
from facekit.core.facemodel.landmark_schemes import Scheme
from facekit.core.facemodel.landmarks import Detection, box_of
from facekit.core.facemodel.model import FaceModel
from facekit.core.facemodel.procedural import procedural_head
from facekit.dataset.bake.chart import chart
from facekit.reconstruct import shippedweights
from facekit.reconstruct.align import MODEL_UNIT_MM, Crop, align
from facekit.reconstruct.commands import reconstruct
from facekit.reconstruct.facetensors import model_centre
from facekit.reconstruct.method import (
    Shape,
    photograph_camera,
    prediction_of,
    remarks_on_turn,
    turn_of,
)
from facekit.reconstruct.photograph import Face, Photograph
from facekit.reconstruct.pose import HrnCamera, posed, rotation
from facekit.reconstruct.predict import ReconstructConfig, named, reconstruct_photographs
from facekit.reconstruct.prediction import Prediction
from facekit.reconstruct.predictionfile import load_prediction

SIDE = 240
FAST = ReconstructConfig(turntable="none", texture_size=64)


@pytest.fixture(scope="module")
def model() -> FaceModel:
    return procedural_head()


def _marks(model: FaceModel, *, yaw_deg: float = 0.0, side: float = SIDE) -> np.ndarray[Any, Any]:
    """Return the landmarks (68, 2) px of the mean face turned to its left."""
    yaw = np.radians(yaw_deg)
    R = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    points = (model.mean[model.landmarks68] - model.mean[model.landmarks68].mean(axis=0)) @ R.T
    return side / 2 + points[:, :2] * (1, -1) * side / 300


def _photograph(pixels: np.ndarray[Any, Any] | None = None) -> Photograph:
    grey = np.full((SIDE, SIDE, 3), 128, np.uint8) if pixels is None else pixels
    return Photograph(path=Path("a.png"), sha256="0" * 64, pixels=grey, focal_px=None)


def _face(model: FaceModel, **how: Any) -> Face:
    return Face(landmarks=_marks(model, **how), confidence=np.ones(68), score=1.0, finder="told")


class Finder:
    """Finds one face, in the middle; none in black photographs."""

    name = "told"

    def __init__(self, model: FaceModel) -> None:
        self.model = model

    def detect(self, image: np.ndarray[Any, Any]) -> list[Detection]:
        if image.max() == 0:
            return []
        points = _marks(self.model, side=image.shape[0])
        return [
            Detection(
                points=points, scheme=Scheme.IBUG68, score=0.9, box=box_of(points),
                confidence=np.ones(68), sigma_px=np.zeros(68),
            )
        ]  # fmt: skip


@dataclass
class MeanFace:
    """The mean head, posed by its landmarks."""

    model: FaceModel
    record: Mapping[str, Any] = field(default_factory=lambda: {"method": "mean"})
    calls: list[str] = field(default_factory=list)

    def __call__(self, photograph: Photograph, face: Face) -> Prediction:
        self.calls.append(photograph.name)
        texels = chart(self.model, 64)
        crop = align(photograph.pixels, face.landmarks)
        camera = photograph_camera(
            photograph, crop, R=np.eye(3), t=np.zeros(3), centre_mm=model_centre(self.model),
            focal=1015.0, centre_px=(112.0, 112.0), distance=10.0,
        )  # fmt: skip
        grey = np.full((32, 32, 3), 0.5)
        shape = Shape(
            coarse=self.model.mean, mid=self.model.mean, deformation=np.zeros((16, 16, 3)),
            displacement=np.zeros((64, 64)), valid=texels.inside.astype(float), albedo=grey,
            shaded=grey, identity=np.zeros(self.model.n_identity),
            expression=np.zeros(self.model.n_expression), light=np.zeros((3, 9)),
        )  # fmt: skip
        return prediction_of(
            shape, self.model, photograph, face, camera, method="mean", texture_size=64,
            figures={"loss": 0.25},
        )  # fmt: skip


def _saved(path: Path, value: int = 128) -> Path:
    PillowImage.new("RGB", (SIDE, SIDE), (value, value, value)).save(path)
    return path


def test_the_camera_of_the_photograph_is_the_crops(model: FaceModel) -> None:
    """A head point lands on the same pixel by HRN's camera and crop as by the camera kept."""
    photograph = _photograph(np.zeros((500, 700, 3), np.uint8))
    crop = Crop(
        image=np.zeros((224, 224, 3), np.float32), landmarks=np.zeros((68, 2)), scale=0.37,
        offset=np.array([-41.3, -12.9]), width=700, height=500,
    )  # fmt: skip
    camera = HrnCamera()
    angles, t = (
        torch.tensor([[0.2, -0.3, 0.1]], dtype=torch.float64),
        torch.tensor([[0.3, -0.2, 0.5]], dtype=torch.float64),
    )
    centre = model_centre(model)
    kept = photograph_camera(
        photograph, crop, R=rotation(angles)[0].numpy(), t=t[0].numpy(), centre_mm=centre,
        focal=camera.focal, centre_px=(112.0, 112.0), distance=camera.distance,
    )  # fmt: skip
    shape = torch.from_numpy((model.mean[::50] - centre) / MODEL_UNIT_MM)[None]
    in_crop = camera.pixels(posed(shape, angles, t))[0].numpy()
    seen, depth = kept.project(model.mean[::50])
    np.testing.assert_allclose(seen, crop.to_image(in_crop), atol=1e-8)
    assert np.linalg.det(kept.cam_from_world[:, :3]) == pytest.approx(1)
    # metres away, as HRN's camera is
    assert np.abs(depth - 1000).max() < 300


@pytest.mark.parametrize("yaw", [0.0, 25.0, -50.0])
def test_landmarks_tell_how_far_a_face_is_turned(model: FaceModel, yaw: float) -> None:
    # parallel projection of the very model: the closed form is exact but for its rounding
    assert turn_of(_face(model, yaw_deg=yaw), model) == pytest.approx(abs(yaw), abs=0.5)


def test_a_turned_face_is_told_and_a_profile_refused(model: FaceModel) -> None:
    assert remarks_on_turn(_photograph(), _face(model), model) == ()
    (remark,) = remarks_on_turn(_photograph(), _face(model, yaw_deg=60), model)
    assert "turned by 60 degrees" in remark
    with pytest.raises(EstimationError, match="a profile, turned by 85 degrees"):
        remarks_on_turn(_photograph(), _face(model, yaw_deg=85), model)
    marks = _marks(model)
    for mirrored in (marks * (-1, 1) + (SIDE, 0), marks * (1, -1) + (0, SIDE)):
        face = replace(_face(model), landmarks=mirrored)
        with pytest.raises(EstimationError, match="landmarks are mirrored"):
            remarks_on_turn(_photograph(), face, model)


def test_a_folder_of_photographs_is_done_once_and_faults_are_told(
    model: FaceModel, tmp_path: Path
) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    _saved(photos / "good.png")
    _saved(photos / "nobody.png", 0)
    (photos / "cut.jpg").write_bytes(b"\xff\xd8\xff")
    method = MeanFace(model)
    result = reconstruct_photographs([photos], out, FAST, method=method, finder=Finder(model))
    assert list(result["photographs"]) == ["good"]
    assert set(result["failed"]) == {"cut", "nobody"}
    assert "no face found" in result["failed"]["nobody"]
    assert all("\n" not in reason for reason in result["failed"].values())
    assert json.loads((out / "reconstruct.json").read_text()) == result
    assert result["photographs"]["good"]["loss"] == 0.25
    # landmarks of the mean face, seen by a camera a metre away, not by parallel rays
    assert result["photographs"]["good"]["landmarks_px"] < 0.03 * SIDE
    assert load_prediction(out / "good").photograph == "good.png"
    assert (out / "contact.jpg").is_file()
    assert not (out / "nobody" / "prediction.json").exists()

    again = reconstruct_photographs([photos], out, FAST, method=method, finder=Finder(model))
    assert method.calls == ["good.png"]
    assert again == result
    _saved(photos / "good.png", 90)  # another photograph under the old name
    for name in ("mid.1f09ab3c.part.obj", "turntable.gif"):  # of a killed run, of an older one
        (out / "good" / name).touch()
    reconstruct_photographs([photos], out, FAST, method=method, finder=Finder(model))
    assert method.calls == ["good.png"] * 2
    assert not [*(out / "good").glob("*.part.*"), *(out / "good").glob("turntable.*")]
    _saved(photos / "good.png", 0)  # and one without a face: the older result is not left to it
    result = reconstruct_photographs([photos], out, FAST, method=method, finder=Finder(model))
    assert "good" in result["failed"]
    assert not (out / "good").exists()
    assert not (out / "contact.jpg").exists()


@dataclass
class Failing(MeanFace):
    """A mean head that cannot be made of photographs darker than this."""

    least: int = 100

    def __call__(self, photograph: Photograph, face: Face) -> Prediction:
        if photograph.pixels.max() < self.least:
            raise EstimationError(f"{photograph.path}: too dark")
        return super().__call__(photograph, face)


@pytest.mark.parametrize("turntable", ["gif", "none"])
def test_a_failing_photograph_leaves_nothing_of_an_older_one_but_what_is_not_ours(
    model: FaceModel, tmp_path: Path, turntable: str
) -> None:
    photograph, out = _saved(tmp_path / "a.png"), tmp_path / "out"
    method, config = Failing(model), replace(FAST, turntable=turntable)
    finder = Finder(model)
    reconstruct_photographs([photograph], out, config, method=method, finder=finder)
    assert (out / "a" / "detail.glb").is_file()
    (out / "a" / "notes.txt").write_text("mine")
    _saved(photograph, 50)
    result = reconstruct_photographs([photograph], out, config, method=method, finder=finder)
    assert "too dark" in result["failed"]["a"]
    assert [path.name for path in (out / "a").iterdir()] == ["notes.txt"]


@dataclass
class Masked(MeanFace):
    """A mean head that keeps the masks it is given."""

    masks: list[Any] = field(default_factory=list)

    def __call__(self, photograph: Photograph, face: Face) -> Prediction:
        self.masks.append(photograph.mask)
        return super().__call__(photograph, face)


def test_masks_of_a_folder_go_with_their_photographs(model: FaceModel, tmp_path: Path) -> None:
    """What a mask hides is not in the texture, and a new mask is a new result."""
    photos, masks = tmp_path / "photos", tmp_path / "masks"
    photos.mkdir()
    masks.mkdir()
    for name in ("a", "b"):
        _saved(photos / f"{name}.png")
    left = np.zeros((SIDE, SIDE), np.uint8)
    left[:, : SIDE // 2] = 255
    PillowImage.fromarray(left).save(masks / "a_mask.png")
    method, finder = Masked(model), Finder(model)
    config = replace(FAST, mask=str(masks))
    result = reconstruct_photographs([photos], tmp_path / "out", config, method=method,
                                     finder=finder)  # fmt: skip
    assert list(result["photographs"]) == ["a"]
    assert "b.png" in result["failed"]["b"] and "has no mask" in result["failed"]["b"]
    np.testing.assert_array_equal(method.masks[0], left)
    half = load_prediction(tmp_path / "out" / "a", model).texture_valid

    PillowImage.fromarray(np.full_like(left, 255)).save(masks / "a_mask.png")
    PillowImage.fromarray(255 - left).save(masks / "b.png")
    reconstruct_photographs([photos], tmp_path / "out", config, method=method, finder=finder)
    assert method.calls == ["a.png", "a.png", "b.png"]
    whole = load_prediction(tmp_path / "out" / "a", model).texture_valid
    other = load_prediction(tmp_path / "out" / "b", model).texture_valid
    for part in (half, other):
        assert 0.3 < part.sum() / whole.sum() < 0.5  # less than half: borders are soft
    assert (np.minimum(half, other) > 0.5).mean() < 0.01


def test_masks_that_cannot_be_are_told(model: FaceModel, tmp_path: Path) -> None:
    photograph, mask = _saved(tmp_path / "a.png"), tmp_path / "m.png"
    config, method = replace(FAST, mask=str(mask)), MeanFace(model)

    def reason() -> str:
        result = reconstruct_photographs(
            [photograph], tmp_path / "out", config, method=method, finder=Finder(model)
        )
        return str(result["failed"]["a"])

    with pytest.raises(InputError, match=r"m\.png: no such file or folder"):
        reason()
    PillowImage.new("L", (SIDE, SIDE - 1), 255).save(mask)
    assert f"{SIDE}x{SIDE - 1} px, its photograph {SIDE}x{SIDE}" in reason()
    PillowImage.new("L", (SIDE, SIDE), 0).save(mask)
    assert "is black on the face" in reason()
    mask.write_bytes(b"no image")
    assert "no complete image" in reason()
    assert not method.calls
    with pytest.raises(InputError, match="one mask for 2 photographs"):
        reconstruct_photographs(
            [photograph, _saved(tmp_path / "b.png")], tmp_path / "out", config, method=method,
            finder=Finder(model),
        )  # fmt: skip


def test_photographs_of_one_name_keep_apart() -> None:
    paths = [Path("a.png"), Path("a.jpg"), Path("b/a.png"), Path("b/a-2.png")]
    names = [name for _, name in named(paths)]
    assert names[0] == "a"
    assert len(set(names)) == 4
    assert named([Path("contact.jpg.png")])[0][1] != "contact.jpg"  # the sheet of all


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"fit": True, "checkpoint": "a.pth"}, "a fit has no weights"),
        ({"turntable": "avi"}, "one of gif, mp4, none"),
        ({"focal_px": -1.0}, "positive length"),
        ({"texture_size": 4}, "16 to 8192"),
        ({"face": "0"}, "give `largest` or a number from 1"),
        ({"face": "2", "landmarks": "points.csv"}, "leave out face"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        ReconstructConfig(**settings)


def _run(*words: str | Path) -> Any:
    import click

    group = SentenceOnError(commands={"reconstruct": reconstruct}, params=[
        click.Option(["--debug"], is_flag=True)])  # fmt: skip
    return CliRunner().invoke(group, ["reconstruct", *map(str, words)])


def test_remarks_and_reasons_are_told_beside_the_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {"photographs": {"a": {"remarks": ["2 faces"]}}, "failed": {"b": "no face found"}}
    monkeypatch.setattr(
        "facekit.reconstruct.predict.reconstruct_photographs", lambda *_args, **_how: told
    )
    ran = _run(tmp_path / "a.png", "--json")
    assert ran.exit_code == 3
    assert json.loads(ran.stdout) == told
    assert ran.stderr.splitlines() == ["facekit: a: 2 faces", "facekit: b: no face found"]


def _table(model: FaceModel, path: Path) -> Path:
    rows = [f"a,{i},{x},{y}" for i, (x, y) in enumerate(_marks(model))]
    path.write_text("\n".join(["camera,landmark,x,y", *rows]))
    return path


class _Bomb:
    def __reduce__(self) -> Any:
        return print, ("a pickle ran",)


def _pickle_bomb(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"net_recon": _Bomb()}))
        archive.writestr("archive/version", "3")
    return path


def _truncated(path: Path) -> Path:
    torch.save({"net_recon": {"a": torch.zeros(1000)}}, path)
    path.write_bytes(path.read_bytes()[:700])
    return path


def _text(path: Path) -> Path:
    path.write_text("weights")
    return path


@pytest.mark.parametrize("make", [_pickle_bomb, _truncated, _text])
def test_checkpoints_that_are_none_get_a_sentence(
    model: FaceModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Any
) -> None:
    monkeypatch.setenv("FACEKIT_ASSETS", str(tmp_path / "assets"))
    checkpoint = make(tmp_path / "weights.pth")
    table = _table(model, tmp_path / "points.csv")
    ran = _run(
        _saved(tmp_path / "a.png"), "--checkpoint", checkpoint, "--landmarks", table,
        "--out", tmp_path / "out",
    )  # fmt: skip
    assert ran.exit_code == 2, ran.output
    assert str(checkpoint) in ran.output
    assert ran.output.strip().count("\n") == 0
    assert "a pickle ran" not in ran.output


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "fit without any weights: --fit"),
        (("--checkpoint", "absent.pth", "--landmarks", "TABLE"), "absent.pth"),
        (("--fit",), "facekit assets add yunet PATH"),
        (("--fit", "--landmarks", "absent.csv"), "absent.csv: no such file"),
        (("--fit", "--landmarks", "TABLE", "--model", "flame"), "facekit assets add flame PATH"),
        (("--fit", "--landmarks", "TABLE", "--model", "nobody"), "neither a face model's name"),
        (("--fit", "--set", "fase=2"), "did you mean 'face'"),
    ],
)
def test_what_is_missing_is_named_with_the_command_that_brings_it(
    model: FaceModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    says: str,
) -> None:
    monkeypatch.setenv("FACEKIT_ASSETS", str(tmp_path / "assets"))
    monkeypatch.setattr(shippedweights, "shipped_file", lambda name: None)
    table = _table(model, tmp_path / "points.csv")
    given = [table if word == "TABLE" else word for word in words]
    ran = _run(_saved(tmp_path / "a.png"), "--out", tmp_path / "out", *given)
    assert ran.exit_code == 2, ran.output
    assert says in ran.output
    assert ran.output.strip().count("\n") == 0


def test_a_folder_that_cannot_be_is_told_before_anything_is_loaded(
    model: FaceModel, tmp_path: Path
) -> None:
    photograph, taken = _saved(tmp_path / "a.png"), tmp_path / "taken"
    taken.write_text("mine")
    for out, says in ((taken, "is a file"), (taken / "in", "cannot be made")):
        method = MeanFace(model)
        with pytest.raises(InputError, match=says):
            reconstruct_photographs([photograph], out, FAST, method=method, finder=Finder(model))
        assert not method.calls
    assert taken.read_text() == "mine"


def test_a_path_that_is_not_there_is_told_before_anything_is_loaded(tmp_path: Path) -> None:
    ran = _run(tmp_path / "absent.png", "--out", tmp_path / "out", "--fit")
    assert ran.exit_code == 2
    assert "absent.png: no such file or folder" in ran.output


def test_a_face_model_file_that_is_none_is_told(model: FaceModel, tmp_path: Path) -> None:
    broken = tmp_path / "model.npz"
    broken.write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(InputError, match=r"model\.npz"):
        reconstruct_photographs(
            [_saved(tmp_path / "a.png")], tmp_path / "out",
            ReconstructConfig(fit=True, model=str(broken)), finder=Finder(model),
        )  # fmt: skip


def test_a_photograph_of_16_bits_in_grey_goes_all_the_way(model: FaceModel, tmp_path: Path) -> None:
    deep = np.full((SIDE, SIDE), 30000, np.uint16)
    cv2.imwrite(str(tmp_path / "deep.png"), deep)
    result = reconstruct_photographs(
        [tmp_path / "deep.png"], tmp_path / "out", FAST, method=MeanFace(model),
        finder=Finder(model),
    )  # fmt: skip
    assert result["failed"] == {}
    seen = load_prediction(tmp_path / "out" / "deep", model)
    sure = seen.texture_valid > 0.99
    assert sure.any()
    assert np.abs(seen.texture[sure].astype(int) - (30000 >> 8)).max() <= 1
