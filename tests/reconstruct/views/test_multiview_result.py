"""A multi-view prediction is kept whole, its texture is what the views show, its page is alone."""

import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from facekit.calibration.rigfile import load_rig
from facekit.core.errors import InputError, SchemaError
from facekit.core.facemodel.model import FaceModel
from facekit.core.geometry.transform import Similarity
from facekit.dataset.bake.chart import chart
from facekit.reconstruct.multiview_result import figures_of, prediction_of_views
from facekit.reconstruct.views.loading import LoadConfig, LoadedViews, load_face_views
from facekit.reconstruct.views.mergedtexture import ViewPixels, merged_texture, shaded_albedo
from facekit.reconstruct.views.photosets import PhotoSet, photo_sets
from facekit.reconstruct.views.report import write_report
from facekit.reconstruct.views.result import MultiViewPrediction
from facekit.reconstruct.views.resultexports import (
    MAP_FILES,
    UNKNOWN_SIGMA,
    export_multiview,
    export_pictures,
)
from facekit.reconstruct.views.resultfile import ARRAYS_FILE, load_multiview, save_multiview
from facekit.reconstruct.views.viewpictures import (
    FacePreviews,
    face_previews,
    surface_pictures,
    view_pictures,
)

SIZE = 48  # texels of the maps
PICTURE_PX = 96


def made_up_fit(model: FaceModel, loaded: LoadedViews, **changes: Any) -> Any:
    """Return what a fit of views in the head frame might: the mean head, small waves."""
    texels = chart(model, SIZE)
    points = texels.interpolated(model.mean)
    waves = np.where(texels.inside, 0.1 * np.sin(points[..., 1] / 4), 0)
    n = len(loaded.views.views)
    light = np.zeros((n, 3, 9))
    fields: dict[str, Any] = {
        "model": model,
        "coarse": (model.mean - (0, 0, 0.5)).astype(np.float32),
        "mid": model.mean.astype(np.float32),
        "deformation": np.full((16, 16, 3), 0.25, np.float32),
        "displacement": waves.astype(np.float32),
        "valid": texels.inside.astype(np.float32),
        "sigma": np.where(texels.inside, 0.05, 0).astype(np.float32),
        "n_views": np.where(texels.inside, n, 0).astype(np.int32),
        "albedo": np.full((32, 32, 3), 0.6, np.float32),
        "cameras": tuple(view.camera for view in loaded.views.views),
        "light": light,
        "identity": np.zeros(model.n_identity),
        "expression": np.zeros(model.n_expression),
        "expressions": None,
        "weight": np.r_[np.ones(n - 1), 0.25],
        "remarks": {loaded.views.views[-1].name: "shows another person, perhaps"},
        "world_from_head": Similarity(scale=1.0, R=np.eye(3), t=np.array([1.0, 2, 3])),
        "figures": {"coarse_s": 0.5},
    }
    return SimpleNamespace(**(fields | changes))


@pytest.fixture(scope="module")
def photos(studio: Any, tmp_path_factory: pytest.TempPathFactory) -> PhotoSet:
    folder = tmp_path_factory.mktemp("views") / "s"
    studio.session(folder)
    return photo_sets([folder]).sets[0]


@pytest.fixture(scope="module")
def loaded(studio: Any, photos: PhotoSet) -> LoadedViews:
    found = load_face_views(photos, studio.table(), LoadConfig(megapixels=0.05))
    return replace(found, notes=("made up",))


def _made(studio: Any, loaded: LoadedViews, photos: PhotoSet, **changes: Any) -> Any:
    fit = made_up_fit(studio.model, loaded, **changes)
    return prediction_of_views(
        fit, loaded, photos, method="fit", texture_size=128, seconds=1.25
    )  # fmt: skip


@pytest.fixture(scope="module")
def prediction(studio: Any, loaded: LoadedViews, photos: PhotoSet) -> MultiViewPrediction:
    made: MultiViewPrediction = _made(studio, loaded, photos)
    return made


@pytest.fixture(scope="module")
def previews(prediction: MultiViewPrediction) -> FacePreviews:
    return face_previews(prediction)


def images_of(loaded: LoadedViews) -> dict[str, Any]:
    return {view.name: view.image for view in loaded.views.views}


def test_what_is_saved_is_what_is_loaded(prediction: MultiViewPrediction, tmp_path: Path) -> None:
    save_multiview(tmp_path, prediction, model="builtin")
    back = load_multiview(tmp_path)
    names = ("coarse", "mid", "displacement", "deformation", "texture", "sigma", "n_views")
    for name in names:
        np.testing.assert_array_equal(getattr(back, name), getattr(prediction, name))
    np.testing.assert_allclose(back.normal, prediction.normal, atol=1e-4)  # 16 bits
    np.testing.assert_allclose(back.valid, prediction.valid, atol=0.5 / 255)
    for one, other in zip(back.views, prediction.views, strict=True):
        np.testing.assert_array_equal(one.camera.K, other.camera.K)
        np.testing.assert_array_equal(one.camera.cam_from_world, other.camera.cam_from_world)
        np.testing.assert_array_equal(one.landmarks, other.landmarks)
        told = ("name", "file", "sha256", "focal", "weight", "remark", "residual_px")
        assert [getattr(one, k) for k in told] == [getattr(other, k) for k in told]
    assert back.world_from_head is not None
    np.testing.assert_array_equal(back.world_from_head.t, [1, 2, 3])
    assert (back.calibrated, back.metric, back.expressions) == (True, True, None)
    assert (back.notes, dict(back.figures)) == (("made up",), {"coarse_s": 0.5, "seconds": 1.25})
    rig = load_rig(tmp_path / "cameras.json")
    assert rig.names == ("cam_a", "cam_b", "cam_c")
    np.testing.assert_allclose(rig["cam_a"].K, prediction.views[0].camera.K)


def test_expressions_of_their_own_are_kept(
    studio: Any, loaded: LoadedViews, photos: PhotoSet, tmp_path: Path
) -> None:
    own = np.random.default_rng(1).normal(size=(3, studio.model.n_expression))
    save_multiview(tmp_path, _made(studio, loaded, photos, expressions=own, world_from_head=None))
    back = load_multiview(tmp_path, studio.model)
    np.testing.assert_array_equal(back.expressions, own)
    assert back.world_from_head is None


def test_what_is_damaged_or_of_another_model_is_told(
    prediction: MultiViewPrediction, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"fit\.json: no such file"):
        load_multiview(tmp_path)
    save_multiview(tmp_path, prediction, model="builtin")
    other = replace(prediction.model, uv=1 - prediction.model.uv)
    with pytest.raises(SchemaError, match="with another mesh"):
        load_multiview(tmp_path, other)
    content = (tmp_path / ARRAYS_FILE).read_bytes()
    (tmp_path / ARRAYS_FILE).write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"fit\.npz: damaged"):
        load_multiview(tmp_path, prediction.model)
    record = json.loads((tmp_path / "fit.json").read_text())
    (tmp_path / "fit.json").write_text(json.dumps(record | {"views": {"a": {}}}))
    (tmp_path / ARRAYS_FILE).write_bytes(content)
    with pytest.raises(SchemaError, match="cannot be used"):
        load_multiview(tmp_path, prediction.model)
    (tmp_path / "fit.json").write_text(json.dumps(record | {"version": 99}))
    with pytest.raises(SchemaError, match="version 99"):
        load_multiview(tmp_path, prediction.model)


def test_arrays_that_do_not_fit_are_refused(prediction: MultiViewPrediction) -> None:
    nan = np.full((SIZE, SIZE), np.nan, np.float32)
    changes: list[tuple[dict[str, Any], str]] = [
        ({"sigma": np.zeros((3, 3), np.float32)}, "sigma: shape"),
        ({"sigma": nan}, "sigma: holds NaN; unknown is infinite"),
        ({"n_views": np.zeros((3, 3), np.int32)}, "n_views: shape"),
        ({"expressions": np.zeros((1, 2))}, "expressions: shape"),
        ({"views": ()}, "it has no view"),
        ({"mid": np.full_like(prediction.mid, np.nan)}, "mid: holds NaN"),
    ]
    for change, says in changes:
        with pytest.raises(InputError, match=f"multi-view prediction of neutral: {says}"):
            replace(prediction, **change)


def test_figures_are_plain_numbers(prediction: MultiViewPrediction) -> None:
    told = json.loads(json.dumps(figures_of(prediction), allow_nan=False))
    assert list(told["views"]) == ["cam_a", "cam_b", "cam_c"]
    assert told["views"]["cam_c"]["weight"] == 0.25
    assert told["views"]["cam_c"]["remark"] == "shows another person, perhaps"
    assert told["sigma_mm"] == pytest.approx(0.05)


# --- the texture of all views -------------------------------------------------------------------


def _textured(studio: Any, loaded: LoadedViews, change: Any) -> Any:
    model = studio.model
    views = [
        ViewPixels(view.camera, change(i, view.image), 1.0, np.zeros((3, 9)))
        for i, view in enumerate(loaded.views.views)
    ]
    flat = np.zeros((SIZE, SIZE), np.float32)
    grey = np.full((32, 32, 3), 0.5, np.float32)
    return merged_texture(model, model.mean, flat, grey, views, size=128)


def test_views_of_other_exposure_make_one_texture(studio: Any, loaded: LoadedViews) -> None:
    """Halves of a face from two sides, one a third brighter: no step in between.

    Colour is constant on the skin, so that what is left of the factor shows as spread.
    """
    skin = np.array([150.0, 120, 100])

    def plain(i: int, image: Any) -> Any:
        return np.broadcast_to(skin * (1.0, 1.0, 1.3)[i], image.shape).astype(np.uint8)

    found = _textured(studio, loaded, plain)
    sure = (found.share > 0.99) & chart(studio.model, 128).inside
    assert sure.mean() > 0.03
    colors = found.color[sure].astype(np.float64)
    assert np.abs(colors / colors.mean(axis=0) - 1).max() < 0.02


def test_a_view_without_weight_leaves_no_trace(studio: Any, loaded: LoadedViews) -> None:
    model = studio.model
    green = np.array([0, 255, 0], np.uint8)
    flat, grey = np.zeros((SIZE, SIZE), np.float32), np.full((32, 32, 3), 0.5, np.float32)
    views = [
        ViewPixels(
            view.camera,
            np.broadcast_to(green if i == 2 else np.full(3, 128, np.uint8), view.image.shape)
            .copy(),
            0.0 if i == 2 else 1.0, np.zeros((3, 9)),
        )
        for i, view in enumerate(loaded.views.views)
    ]  # fmt: skip
    found = merged_texture(model, model.mean, flat, grey, views, size=128)
    sure = (found.share > 0.99) & chart(model, 128).inside
    assert np.abs(found.color[sure].astype(int) - 128).max() <= 1


def test_a_hand_before_one_camera_is_not_on_the_face(studio: Any, loaded: LoadedViews) -> None:
    """What one view shows, and neither albedo and light nor the others, hardly counts.

    In 0.8 of white 0.5 of grey is 0.3 off, three times what is usual: a tenth of the weight, and
    its sixth power of that for detail; two other views see most of it.
    """
    model = studio.model
    grey = round(255 * 0.5 * 0.709)  # albedo in the ambient light alone

    def plain(i: int, image: Any) -> Any:
        return np.full(image.shape, 210 if i == 1 else grey, np.uint8)

    found = _textured(studio, loaded, plain)
    inside = chart(model, 128).inside & (found.share > 0.99)
    middle = np.abs(chart(model, 128).interpolated(model.mean)[..., 0]) < 25
    off = np.abs(found.color[inside & middle].astype(int) - grey).mean(axis=1)
    assert np.median(off) < 0.25 * (210 - grey)


def test_the_light_of_a_view_turns_with_its_camera(studio: Any, loaded: LoadedViews) -> None:
    """Light from behind each camera is brightest on what faces that camera."""
    model, albedo = studio.model, np.full((64, 64, 3), 0.5, np.float32)
    light = np.zeros((3, 9))
    light[:, 2] = 0.3  # along z, towards the camera
    texels = chart(model, 64)
    side = texels.interpolated(model.mean)[..., 0]
    left, right = (texels.inside & (side > 35)), (texels.inside & (side < -35))
    a, _, c = (view.camera for view in loaded.views.views)  # from the subject's right, its left
    for camera, bright, dark in ((a, right, left), (c, left, right)):
        lit = shaded_albedo(model, model.mean, albedo, camera, light)[..., 0]
        assert lit[bright].mean() > 1.2 * lit[dark].mean()


# --- pictures and files -------------------------------------------------------------------------


def test_a_view_is_drawn_where_it_shows_the_face(
    prediction: MultiViewPrediction, previews: FacePreviews, loaded: LoadedViews
) -> None:
    pictures, measured = view_pictures(prediction, previews, images_of(loaded), size=PICTURE_PX)
    for one, view in zip(pictures, measured.views, strict=True):
        assert all(p.shape == (PICTURE_PX, PICTURE_PX, 3) for p in one.titled().values())
        # the landmarks are the mean head's own, to the precision of the table's undistortion
        assert view.residual_px == pytest.approx(0, abs=1e-3)
        assert view.color_residual is not None
        assert view.color_residual < 0.3
        assert np.ptp(one.drawn.astype(int) - one.photograph) > 0


def test_a_view_without_landmarks_is_cut_where_the_others_see_the_face(
    prediction: MultiViewPrediction, previews: FacePreviews, loaded: LoadedViews
) -> None:
    blind = replace(prediction.views[0], landmarks=np.full((68, 2), np.nan))
    one = replace(prediction, views=(blind,))
    pictures, measured = view_pictures(one, previews, images_of(loaded), size=PICTURE_PX)
    assert measured.views[0].residual_px is None
    whole, _ = view_pictures(
        replace(prediction, views=prediction.views[:1]), previews, images_of(loaded),
        size=PICTURE_PX,
    )  # fmt: skip
    assert np.abs(pictures[0].detail.astype(int) - whole[0].detail).mean() < 1


def test_views_of_expressions_of_their_own_are_drawn_with_them(
    studio: Any, loaded: LoadedViews, photos: PhotoSet
) -> None:
    """Landmarks that the mean expression misses are hit by each view's."""
    model = studio.model
    own = np.zeros((3, model.n_expression))
    own[:, model.expression_names.index("jawOpen")] = (0.0, 0.3, 0.6)
    made = _made(studio, loaded, photos, expressions=own)
    middle = made.in_expression_of(1)  # the mean of the three
    np.testing.assert_allclose(middle.mid, made.mid, atol=1e-4)
    shown = made.in_expression_of(2)
    marks = shown.mid[model.landmarks68].astype(np.float64)
    seen, _ = made.views[2].camera.project(marks)
    views = (*made.views[:2], replace(made.views[2], landmarks=seen))
    _, measured = view_pictures(
        replace(made, views=views), face_previews(made), images_of(loaded), size=32
    )
    assert measured.views[2].residual_px == pytest.approx(0, abs=1e-3)
    off = np.linalg.norm(
        seen - made.views[2].camera.project(made.mid[model.landmarks68])[0], axis=1
    )
    assert off.max() > 2  # px: a chin that is centimetres lower


def test_files_hold_what_they_are_said_to(
    prediction: MultiViewPrediction, loaded: LoadedViews, tmp_path: Path
) -> None:
    names = export_multiview(tmp_path, prediction, images_of(loaded))
    assert all((tmp_path / name).is_file() for name in names)
    assert {"detail.obj", "coarse.obj", "displacement.png", *MAP_FILES} <= set(names)
    counts = cv2.imread(str(tmp_path / "n_views.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(counts, prediction.n_views)
    sigma = cv2.imread(str(tmp_path / "sigma.png"), cv2.IMREAD_UNCHANGED)
    inside = np.isfinite(prediction.sigma)
    assert (sigma[inside] == 50).all()  # micrometres
    assert (sigma[~inside] == UNKNOWN_SIGMA).all()
    shown = cv2.imread(str(tmp_path / "views" / "cam_b.jpg"))[..., ::-1]
    assert np.abs(shown / 255 - loaded.views.views[1].image).mean() < 0.01


def test_the_page_stands_alone_and_names_what_is_wrong(
    prediction: MultiViewPrediction, previews: FacePreviews, loaded: LoadedViews, tmp_path: Path
) -> None:
    pictures, measured = view_pictures(prediction, previews, images_of(loaded), size=PICTURE_PX)
    measured = replace(measured, left_out={"cam_d": "no face found"})
    surfaces = surface_pictures(measured, previews, size=PICTURE_PX)
    names = export_pictures(tmp_path, pictures, surfaces)
    assert "views.jpg" in names
    assert (tmp_path / "residuals" / "cam_a.jpg").is_file()
    path = write_report(
        tmp_path / "report.html", measured, previews.detail.mesh, pictures, surfaces
    )
    page = path.read_text()
    assert len(page) < 8e6
    assert re.findall(r"""(?:src|href)\s*=\s*(?:["']|&#34;|&quot;)?https?:""", page) == []
    assert "shows another person, perhaps" in page
    assert "cam_d: left out: no face found" in page
    assert page.count("srcdoc") == 2
