"""Sessions and folders become faces; a fault in one is a sentence, and the others go on."""

import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from facekit.core.commandline import SentenceOnError
from facekit.core.errors import ConfigError, EstimationError
from facekit.core.facemodel.model import FaceModel
from facekit.dataset.bake.chart import chart
from facekit.reconstruct.commands import reconstruct
from facekit.reconstruct.multiview_config import MultiViewRunConfig
from facekit.reconstruct.multiview_run import reconstruct_view_sets
from facekit.reconstruct.predictionfile import load_prediction
from facekit.reconstruct.views.faceview import FaceViews
from facekit.reconstruct.views.resultfile import load_multiview

FAST = MultiViewRunConfig(
    turntable="none", texture_size=64, megapixels=0.01, picture_px=32, fit=True
)
SIZE = 32


class Fit:
    """The mean head where the rig's world has it; counts how often it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[FaceViews, bool]] = []
        self.fails = False

    def __call__(
        self, views: FaceViews, model: FaceModel, config: Any, *, share_expression: bool
    ) -> Any:
        self.asked.append((views, share_expression))
        if self.fails:
            raise EstimationError("no view fits another")
        inside, n = chart(model, SIZE).inside, len(views.views)
        return SimpleNamespace(
            model=model, coarse=model.mean.astype(np.float32), mid=model.mean.astype(np.float32),
            deformation=np.zeros((8, 8, 3), np.float32),
            displacement=np.zeros((SIZE, SIZE), np.float32), valid=inside.astype(np.float32),
            sigma=np.zeros((SIZE, SIZE), np.float32), n_views=inside.astype(np.int32) * n,
            albedo=np.full((16, 16, 3), 0.5, np.float32), light=np.zeros((n, 3, 9)),
            cameras=tuple(view.camera for view in views.views), weight=np.ones(n),
            identity=np.zeros(model.n_identity), expression=np.zeros(model.n_expression),
            expressions=None, remarks={views.views[0].name: "is doubted"}, world_from_head=None,
            figures={"coarse_s": 0.5},
        )  # fmt: skip


@pytest.fixture
def fit(monkeypatch: pytest.MonkeyPatch) -> Fit:
    made = Fit()
    monkeypatch.setattr("facekit.reconstruct.multiview_face.fitted", made)
    return made


def test_a_session_is_done_once_and_again_where_something_changed(
    studio: Any, fit: Fit, tmp_path: Path
) -> None:
    studio.session(tmp_path / "s")
    out, table = tmp_path / "out", studio.table()
    result = reconstruct_view_sets([tmp_path / "s"], out, FAST, finder=table)
    assert result["failed"] == {}
    told = result["faces"]["neutral"]
    assert list(told["views"]) == ["cam_a", "cam_b", "cam_c"]
    assert told["views"]["cam_a"]["remark"] == "is doubted"
    assert told["residual_px"] == 0
    assert (told["calibrated"], told["metric"]) == (True, True)
    assert all((out / "neutral" / name).is_file() for name in told["files"])
    assert {"fit.json", "cameras.json", "report.html", "views.jpg"} <= set(told["files"])
    assert json.loads((out / "multiview.json").read_text()) == result
    assert (out / "contact.jpg").is_file()
    assert load_multiview(out / "neutral").name == "neutral"
    assert fit.asked[0][1]  # one moment, one expression

    assert reconstruct_view_sets([tmp_path / "s"], out, FAST, finder=table) == result
    assert len(fit.asked) == 1
    moved = json.loads((tmp_path / "s" / "rig.json").read_text())
    moved["cameras"][0]["K"][0][0] += 1  # calibrated anew
    (tmp_path / "s" / "rig.json").write_text(json.dumps(moved))
    reconstruct_view_sets([tmp_path / "s"], out, FAST, finder=table)
    assert len(fit.asked) == 2

    moved["cameras"][0]["K"][0][0] += 1
    (tmp_path / "s" / "rig.json").write_text(json.dumps(moved))
    fit.fails = True  # nothing older is left to be taken for a result
    result = reconstruct_view_sets([tmp_path / "s"], out, FAST, finder=table)
    assert result["failed"] == {"neutral": "no view fits another"}
    assert not (out / "neutral").exists()
    assert not (out / "contact.jpg").exists()


def test_folders_are_a_face_each_and_one_that_fails_is_told(
    studio: Any, fit: Fit, tmp_path: Path
) -> None:
    one, two = studio.folder(tmp_path / "one"), tmp_path / "two"
    two.mkdir()
    (two / "a.jpg").write_bytes(b"nothing")
    result = reconstruct_view_sets([one, two], tmp_path / "out", FAST, finder=studio.table())
    assert list(result["faces"]) == ["one"]
    assert "none of 1 photographs can be used" in result["failed"]["two"]
    assert not result["faces"]["one"]["calibrated"]
    assert not fit.asked[0][1]  # of several occasions, perhaps


def test_one_view_alone_is_shown_beside_the_result(
    studio: Any, fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio.session(tmp_path / "s")
    config = replace(FAST, compare=True)
    result = reconstruct_view_sets([tmp_path / "s"], tmp_path / "a", config, finder=studio.table())
    assert result["failed"] == {}
    assert "one view alone" in (tmp_path / "a" / "neutral" / "report.html").read_text()
    asked = [[view.name for view in views.views] for views, _ in fit.asked]
    assert len(asked[1]) == 1
    assert asked == [["cam_a", "cam_b", "cam_c"], ["cam_b"]]  # the middle one is frontal


def test_results_never_go_among_the_photographs(studio: Any, fit: Fit, tmp_path: Path) -> None:
    folder = studio.folder(tmp_path / "photos")
    before = sorted(path.name for path in folder.iterdir())
    result = reconstruct_view_sets([folder], tmp_path, FAST, finder=studio.table())
    assert "holds the photographs themselves" in result["failed"]["photos"]
    assert sorted(path.name for path in folder.iterdir()) == before


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"expressions": "each"}, "one of auto, shared, per-view"),
        ({"megapixels": 0.0}, "give 0.01 to 150"),
        ({"fit": True, "checkpoint": "a.pth"}, "a fit has no weights"),
        ({"checkpoint": "a.pth"}, "several views need no weights, but for compat"),
        ({"turntable": "avi"}, "one of gif, mp4, none"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        MultiViewRunConfig(**settings)


# --- the command --------------------------------------------------------------------------------


def _run(*words: str | Path) -> Any:
    group = SentenceOnError(commands={"reconstruct": reconstruct}, params=[
        click.Option(["--debug"], is_flag=True)])  # fmt: skip
    return CliRunner().invoke(group, ["reconstruct", *map(str, words)])


def _written_table(studio: Any, path: Path) -> Path:
    rows = [
        f"{name},{i},{x},{y}"
        for name in studio.rig.names
        for i, (x, y) in enumerate(studio.marks(name))
    ]
    path.write_text("\n".join(["camera,landmark,x,y", *rows]))
    return path


def test_the_command_prints_figures_and_remarks(studio: Any, fit: Fit, tmp_path: Path) -> None:
    folder = studio.folder(tmp_path / "photos")
    table = _written_table(studio, tmp_path / "points.csv")
    words = (
        "--multi-view", folder, "--rig", tmp_path / "rig.json", "--out", tmp_path / "out", "--fit",
        "--landmarks", table, "--megapixels", "0.01", "--turntable", "none",
        "--expressions", "per-view", "--set", "texture_size=64", "--set", "picture_px=32",
    )  # fmt: skip
    ran = _run(*words, "--json")
    assert ran.exit_code == 0, ran.output
    told = json.loads(ran.stdout)["faces"]["photos"]
    assert told["calibrated"]
    assert {"weight", "remark", "residual_px"} <= set(told["views"]["cam_b"])
    assert {"residual_px", "seconds", "files"} <= set(told)
    assert ran.stderr.splitlines() == ["facekit: photos: cam_a: is doubted"]
    assert fit.asked[0][1] is False
    plain = _run(*words)
    assert plain.exit_code == 0
    assert "cam_b" in plain.stdout
    assert len(fit.asked) == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--multi-view", "nowhere"), "nowhere: no such file or folder"),
        (("--multi-view", "EMPTY"), "no JPEG, PNG or TIFF in this folder"),
        (("--multi-view", "PHOTOS", "--take", "smile"), "no session, which alone has takes"),
        (("--multi-view", "SESSION", "--take", "smile"), "no take 'smile'; it has neutral"),
        (("--multi-view", "PHOTOS", "--rig", "OTHER"), "names none of the photographs"),
        (("--multi-view", "SESSION", "--rig", "OTHER"), "the rig of another session"),
        (("--multi-view", "PHOTOS", "--rig", "EMPTY"), "rig.json: no such file"),
        (("--multi-view", "PHOTOS", "--set", "megapixel=2"), "did you mean 'megapixels'"),
        (("--multi-view", "PHOTOS", "--out", "FILE"), "is a file; give a folder"),
        (("--multi-view",), "Missing argument"),
        (("PHOTOS", "--rig", "OTHER"), "--rig is for several views of one face"),
        (("PHOTOS", "--take", "smile"), "--take is for several views of one face"),
        (("PHOTOS", "--expressions", "shared"), "--expressions is for several views"),
        (("PHOTOS", "--megapixels", "2"), "--megapixels is for several views of one face"),
    ],
)
def test_bad_input_is_one_sentence(
    studio: Any, fit: Fit, tmp_path: Path, words: tuple[str, ...], says: str
) -> None:
    paths = {
        "PHOTOS": studio.folder(tmp_path / "photos"),
        "EMPTY": tmp_path / "empty",
        "SESSION": studio.session(tmp_path / "s").folder,
        "OTHER": tmp_path / "other.json",
        "FILE": _written_table(studio, tmp_path / "points.csv"),
    }
    paths["EMPTY"].mkdir()
    text = (tmp_path / "rig.json").read_text()
    paths["OTHER"].write_text(re.sub('"cam_([abc])"', r'"pod_\1"', text))
    ran = _run(*(paths.get(word, word) for word in words), "--fit", "--landmarks", paths["FILE"])
    assert ran.exit_code == 2, ran.output
    assert says in ran.output
    assert ran.output.strip().count("\n") == 0
    assert not fit.asked


# --- as released --------------------------------------------------------------------------------


def _released(views: FaceViews, model: FaceModel, **_how: Any) -> Any:
    """Stand in for the released schedule: the mean head in the first two views."""
    inside, starts, faces = chart(model, SIZE).inside, [], []
    for view in views.views[:2]:
        coefficients = SimpleNamespace(
            expression=torch.zeros(1, model.n_expression), gamma=torch.zeros(1, 3, 9)
        )
        faces.append(
            SimpleNamespace(
                name=view.name, coefficients=coefficients, camera=view.camera,
                coarse=model.mean.astype(np.float32), mid=model.mean.astype(np.float32),
                displacement=np.zeros((SIZE, SIZE), np.float32),
            )
        )  # fmt: skip
        valid = torch.from_numpy(inside.astype(np.float32))[None, None]
        albedo = torch.full((1, 3, SIZE, SIZE), 0.5)
        starts.append(SimpleNamespace(name=view.name, albedo=albedo, valid=valid))
    return SimpleNamespace(
        model=model, views=tuple(faces), starts=tuple(starts),
        identity=np.zeros(model.n_identity), deformation=np.zeros((8, 8, 3), np.float32),
        deformation_at_corners=False, remarks={views.views[2].name: "left out: a profile"},
        figures={"loss_end": 0.5},
    )  # fmt: skip


def test_the_released_schedule_leaves_a_face_a_view(
    studio: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facekit.reconstruct.views.compatviews.compat_reconstruction", _released)
    studio.session(tmp_path / "s")
    config = replace(FAST, compat=True)
    result = reconstruct_view_sets(
        [tmp_path / "s"], tmp_path / "out", config, finder=studio.table()
    )
    told = result["faces"]["neutral"]
    assert told["method"] == "fit compat"
    assert list(told["views"]) == ["cam_a", "cam_b"]
    assert told["left_out"] == {"cam_c": "left out: a profile"}
    assert told["residual_px"] == 0
    assert (tmp_path / "out" / "neutral" / "views.jpg").is_file()
    kept = load_prediction(tmp_path / "out" / "neutral" / "views" / "cam_a")
    assert kept.method == "fit compat"
    assert kept.photograph == "cam_a.png"
    # and once more as one face: nothing of the other kind stays
    monkeypatch.setattr("facekit.reconstruct.multiview_face.fitted", Fit())
    reconstruct_view_sets([tmp_path / "s"], tmp_path / "out", FAST, finder=studio.table())
    assert not (tmp_path / "out" / "neutral" / "views" / "cam_a").exists()
