"""A prediction is kept whole, its surfaces nest, its maps and pictures are where they belong."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import trimesh
from PIL import Image as PillowImage

from facekit.core.errors import InputError, SchemaError
from facekit.core.facemodel.model import FaceModel
from facekit.core.facemodel.procedural import procedural_head
from facekit.core.geometry.camera import Camera
from facekit.core.geometry.closest import SurfaceQuery
from facekit.core.geometry.mesh import Mesh, vertex_normals
from facekit.core.geometry.transform import look_at
from facekit.core.rendering.preview import Look, MeshPreview
from facekit.dataset.bake.chart import chart
from facekit.dataset.displacementcode import decoded_displacement
from facekit.reconstruct.contactsheet import contact_sheet
from facekit.reconstruct.detailedsurface import detailed_surface, on_chart
from facekit.reconstruct.exports import export_prediction
from facekit.reconstruct.photograph import CloseUp
from facekit.reconstruct.phototexture import photo_texture
from facekit.reconstruct.pictures import panels, scene_of
from facekit.reconstruct.prediction import Prediction, off_chart, surface_normals_of
from facekit.reconstruct.predictionfile import load_prediction, save_prediction
from facekit.reconstruct.turntable import TurntableConfig, turntable_frames, write_turntable

SIZE = 192  # texels of the maps
PHOTO_PX = 300
STRIPE_MM = 12.0


@pytest.fixture(scope="module")
def model() -> FaceModel:
    return procedural_head()


def _camera(target: np.ndarray[Any, Any], yaw_deg: float) -> Camera:
    yaw = np.radians(yaw_deg)
    center = target + 1000 * np.array([np.sin(yaw), 0.0, np.cos(yaw)])
    K = np.array([[1000.0, 0, PHOTO_PX / 2], [0, 1000.0, PHOTO_PX / 2], [0, 0, 1]])
    return Camera(
        name="photograph", width=PHOTO_PX, height=PHOTO_PX, K=K,
        cam_from_world=look_at(center, target),
    )  # fmt: skip


def _stripes(points: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return colours that tell the height on the head."""
    bright = np.floor(points[..., 1] / STRIPE_MM) % 2 == 0
    return np.where(bright[..., None], (220, 180, 160), (120, 80, 60)).astype(np.uint8)


@pytest.fixture(scope="module")
def photo(model: FaceModel) -> np.ndarray[Any, Any]:
    """Give a photograph without light of the mean head, its skin in stripes of 12 mm."""
    mesh = Mesh(vertices=model.mean, faces=model.faces)
    camera = _camera(model.mean[model.landmarks68].mean(axis=0), 15)
    fine = MeshPreview(mesh, ambient_occlusion=False)
    return fine.draw(camera, colors=_stripes(model.mean), look=Look(lit=False))


@pytest.fixture(scope="module")
def prediction(model: FaceModel, photo: np.ndarray[Any, Any]) -> Prediction:
    texels = chart(model, SIZE)
    mid = model.mean.copy()
    points = texels.interpolated(mid)
    waves = 0.2 * np.sin(points[..., 1] / 3) * np.sin(points[..., 0] / 3)
    displacement = np.where(texels.inside, waves, 0).astype(np.float32)
    normal, tangent = surface_normals_of(model, mid, displacement)
    camera = _camera(mid[model.landmarks68].mean(axis=0), 15)
    grey = np.full((64, 64, 3), 0.5, np.float32)
    texture = photo_texture(model, mid, camera, photo, grey, size=512)
    return Prediction(
        model=model,
        photograph="striped.png",
        photograph_sha256="ab" * 32,
        method="fit",
        camera=camera,
        landmarks=camera.project(mid[model.landmarks68])[0],
        identity=np.zeros(model.n_identity),
        expression=np.zeros(model.n_expression),
        light=np.zeros((3, 9)),
        coarse=(mid - (0, 0, 0.5)).astype(np.float32),
        mid=mid.astype(np.float32),
        deformation=np.zeros((64, 64, 3), np.float32),
        displacement=displacement,
        valid=texels.inside.astype(np.float32),
        normal=normal,
        tangent_normal=tangent,
        albedo=grey,
        texture=texture.color,
        texture_valid=texture.share,
        remarks=("made up",),
        figures={"seconds": 1.5},
    )


def test_what_is_saved_is_what_is_loaded(prediction: Prediction, tmp_path: Path) -> None:
    save_prediction(tmp_path, prediction, model="builtin")
    back = load_prediction(tmp_path)
    for name in ("coarse", "mid", "displacement", "deformation", "texture", "landmarks"):
        np.testing.assert_array_equal(getattr(back, name), getattr(prediction, name))
    # octahedral, 16 bits: 0.004 degrees
    np.testing.assert_allclose(back.normal, prediction.normal, atol=1e-4)
    np.testing.assert_allclose(back.valid, prediction.valid, atol=0.5 / 255)
    np.testing.assert_array_equal(back.camera.K, prediction.camera.K)
    np.testing.assert_array_equal(back.camera.cam_from_world, prediction.camera.cam_from_world)
    assert (back.remarks, dict(back.figures)) == (("made up",), {"seconds": 1.5})
    record = json.loads((tmp_path / "prediction.json").read_text())
    assert record["photograph"] == {
        "file": "striped.png", "sha256": "ab" * 32, "width": PHOTO_PX, "height": PHOTO_PX,
    }  # fmt: skip


def test_a_half_written_prediction_is_none(
    prediction: Prediction, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_prediction(tmp_path, prediction, model="builtin")

    def fail(*args: Any, **kwargs: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("facekit.reconstruct.predictionfile.write_json", fail)
    with pytest.raises(OSError, match="disk full"):
        save_prediction(tmp_path, prediction, model="builtin")
    with pytest.raises(InputError, match=r"prediction\.json: no such file"):
        load_prediction(tmp_path)
    assert not list(tmp_path.glob("*.part*"))


def test_a_face_model_named_by_a_path_is_found_from_elsewhere(
    prediction: Prediction, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    save_prediction(tmp_path, prediction, model="heads/mine.npz")
    monkeypatch.chdir(tmp_path / "elsewhere")
    source = json.loads((tmp_path / "prediction.json").read_text())["model"]["source"]
    assert Path(source) == (tmp_path / "heads" / "mine.npz").resolve()
    with pytest.raises(InputError, match=r"prediction\.json: its face model cannot be loaded"):
        load_prediction(tmp_path)


def test_damaged_and_foreign_files_are_told(prediction: Prediction, tmp_path: Path) -> None:
    save_prediction(tmp_path, prediction, model="builtin")
    record = tmp_path / "prediction.json"
    text = record.read_text()
    archive = tmp_path / "prediction.npz"
    content = archive.read_bytes()
    archive.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"prediction\.npz: damaged"):
        load_prediction(tmp_path)
    archive.unlink()
    with pytest.raises(InputError, match=r"prediction\.npz: no such file"):
        load_prediction(tmp_path)
    archive.write_bytes(content)
    record.write_text(text.replace('"version": 1', '"version": 9', 1))
    with pytest.raises(SchemaError, match="version 9"):
        load_prediction(tmp_path)
    record.write_text(text.replace('"method"', '"nothing"'))
    with pytest.raises(SchemaError, match="'method' cannot be used"):
        load_prediction(tmp_path)
    record.write_text(text)
    other = replace(prediction.model, uv=prediction.model.uv * 0.5)
    with pytest.raises(SchemaError, match="another mesh"):
        load_prediction(tmp_path, other)


def test_arrays_that_do_not_fit_are_refused(prediction: Prediction) -> None:
    with pytest.raises(InputError, match=r"mid: shape \(5, 3\)"):
        replace(prediction, mid=prediction.mid[:5])
    broken = prediction.displacement.copy()
    broken[3, 3] = np.nan
    with pytest.raises(InputError, match="displacement: holds NaN"):
        replace(prediction, displacement=broken)


def test_the_detailed_surface_nests_the_model_and_is_as_closed_as_it(
    prediction: Prediction, model: FaceModel
) -> None:
    fine = prediction.detailed_mesh(n_levels=1)
    assert len(fine.faces) == 4 * len(model.faces)
    # the model's own vertices come first, moved by at most the relief
    moved = np.linalg.norm(fine.vertices[: model.n_vertices] - prediction.mid, axis=1)
    assert moved.max() <= 0.2 + 1e-4
    assert moved.max() > 0.15

    def n_open(faces: np.ndarray[Any, Any]) -> int:
        halves = np.sort(faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
        return int((np.unique(halves, axis=0, return_counts=True)[1] == 1).sum())

    # seams of the chart open no cracks: every open edge is one of the model's, in two
    assert n_open(fine.faces) == 2 * n_open(model.faces)


def test_without_displacement_the_fine_surface_is_curved_as_a_sphere_is() -> None:
    """On an icosphere, Phong's middles err by far less than the chords they replace."""
    ball = trimesh.creation.icosphere(subdivisions=3, radius=80.0)
    head = procedural_head()
    n = len(ball.vertices)
    faces = ball.faces.astype(np.int32)
    uv = np.stack([ball.vertices[:, 0], ball.vertices[:, 1]], axis=1) / 200 + 0.5
    sphere = replace(
        head, mean=np.asarray(ball.vertices), faces=faces, uv=uv, faces_uv=faces,
        identity=np.zeros((0, n, 3)), identity_names=(), identity_sigma=np.zeros(0),
        expression=np.zeros((0, n, 3)), expression_names=(), expression_sigma=np.zeros(0),
        landmarks68=np.arange(68, dtype=np.int32), regions={}, weights={}, quads=None, mirror=None,
        chart_faces=np.zeros(0, bool),
    )  # fmt: skip
    fine = detailed_surface(sphere, sphere.mean, np.zeros((32, 32), np.float32), n_levels=1)
    new = np.linalg.norm(fine.vertices[n:], axis=1) - 80
    edge = float(np.median(ball.edges_unique_length))
    chord = edge**2 / (8 * 80)  # how far the middle of an edge lies within the sphere
    # an icosphere's triangles are not alike, and its vertex normals off by that
    assert np.median(np.abs(new)) < 0.1 * chord
    assert np.abs(new).max() < 0.2 * chord


def test_detail_is_where_the_maps_say(prediction: Prediction, model: FaceModel) -> None:
    """A bump of the map stands out of the mesh at the place that its texels have on the head."""
    texels = chart(model, SIZE)
    tip = model.mean[model.landmarks68[8]]  # the chin
    near = np.linalg.norm(texels.interpolated(model.mean) - tip, axis=2) < 8
    bump = np.where(near & texels.inside, 1.0, 0.0).astype(np.float32)
    flat = detailed_surface(model, model.mean, np.zeros_like(bump), n_levels=1)
    raised = detailed_surface(model, model.mean, bump, n_levels=1)
    along = ((raised.vertices - flat.vertices) * vertex_normals(flat.vertices, flat.faces)).sum(1)
    distance = np.linalg.norm(flat.vertices - tip, axis=1)
    assert along[distance < 4].min() > 0.9  # outward, whole height
    assert np.abs(along[distance > 14]).max() < 1e-6


def test_levels_out_of_range_are_refused(prediction: Prediction) -> None:
    with pytest.raises(InputError, match="give 0 to 3"):
        prediction.detailed_mesh(n_levels=4)


def test_normals_are_those_of_the_displaced_surface(
    prediction: Prediction, model: FaceModel
) -> None:
    texels = chart(model, SIZE)
    length = np.linalg.norm(prediction.normal, axis=2)
    np.testing.assert_allclose(length[texels.inside], 1, atol=1e-3)
    assert (length[~texels.inside] == 0).all()
    # tangent space looks outward nearly everywhere: relief is shallow
    assert np.mean(prediction.tangent_normal[texels.inside][:, 2] > 0.8) > 0.97


def test_the_texture_shows_the_photograph_where_it_was_taken_from(
    prediction: Prediction, model: FaceModel
) -> None:
    """Stripes are at the height on the head where the photograph has them."""
    texels = chart(model, 512)
    points = texels.interpolated(model.mean)
    sure = prediction.texture_valid > 0.99
    assert sure.sum() > 0.1 * texels.inside.sum()
    height = points[..., 1] / STRIPE_MM
    clear = np.abs(height - np.round(height)) > 0.2  # a px of the photograph is 1 mm
    bright = prediction.texture[..., 0] > 170
    truth = np.floor(height) % 2 == 0
    chosen = sure & clear
    assert np.mean(bright[chosen] == truth[chosen]) > 0.99


def test_what_the_camera_does_not_see_is_not_photograph(
    prediction: Prediction, model: FaceModel
) -> None:
    texels = chart(model, 512)
    normals = texels.interpolated(vertex_normals(model.mean, model.faces))
    toward = prediction.camera.center - texels.interpolated(model.mean)
    away = texels.inside & ((normals * toward).sum(axis=2) < 0)
    assert away.sum() > 1000
    assert prediction.texture_valid[away].max() < 0.05


def test_a_fit_that_is_a_little_too_wide_takes_no_background_for_skin(
    model: FaceModel, photo: np.ndarray[Any, Any]
) -> None:
    """The head is 75 mm to either side of its middle: 3 % too wide is 2 mm over its outline."""
    camera = _camera(model.mean[model.landmarks68].mean(axis=0), 15)
    grey = np.full((64, 64, 3), 0.5, np.float32)
    texture = photo_texture(model, model.mean * (1.03, 1, 1), camera, photo, grey, size=256)
    background = np.abs(texture.color.astype(int) - Look().background).max(axis=2) < 12
    assert not (background & (texture.share > 0.2)).any()
    assert (texture.share > 0.9).mean() > 0.1


def test_exports_hold_what_they_name(
    prediction: Prediction, model: FaceModel, tmp_path: Path
) -> None:
    names = export_prediction(tmp_path, prediction)
    assert names == sorted(p.name for p in tmp_path.iterdir())
    lines = (tmp_path / "mid.obj").read_text().splitlines()
    vertices = [line.split()[1:4] for line in lines if line.startswith("v ")]
    np.testing.assert_allclose(np.array(vertices, float), prediction.mid, atol=1e-5)
    detail = trimesh.load(tmp_path / "detail.glb")
    size = detail.extents[1] * 1000  # GLB shows metres
    assert size == pytest.approx(np.ptp(prediction.mid[:, 1]), abs=1.0)
    assert {m.visual.kind for m in detail.geometry.values()} >= {"texture"}
    text = (tmp_path / "detail.obj").read_text()
    fine = prediction.detailed_mesh()
    assert text.count("\nv ") == len(fine.vertices)
    assert text.count("\nvt ") == len(fine.uv)
    assert text.count("usemtl skin") >= 1
    assert text.count("usemtl plain") >= 1  # the eyes have no texture
    coded = cv2.imread(str(tmp_path / "displacement.png"), cv2.IMREAD_UNCHANGED)
    assert coded.dtype == np.uint16
    np.testing.assert_allclose(decoded_displacement(coded), prediction.displacement, atol=6e-5)
    normal = cv2.imread(str(tmp_path / "normal.png"), cv2.IMREAD_UNCHANGED)[..., ::-1]
    inside = chart(model, SIZE).inside
    np.testing.assert_allclose(
        (normal / 65535 * 2 - 1)[inside], prediction.normal[inside], atol=2e-5
    )


def test_faces_off_the_chart_stay_apart(prediction: Prediction, model: FaceModel) -> None:
    fine = prediction.detailed_mesh(n_levels=1)
    assert (~on_chart(model, fine)).sum() == 4 * off_chart(model).sum()
    assert off_chart(model).any()


def test_overlays_show_the_surface_at_its_place(
    prediction: Prediction, photo: np.ndarray[Any, Any]
) -> None:
    view = CloseUp(photo, 1.0, np.zeros(2))
    scene = scene_of(prediction, view, size=128)
    pictures = panels(prediction, scene)
    assert list(pictures) == [
        "photograph", "coarse", "mid", "detail", "normals", "side", "texture",
    ]  # fmt: skip
    assert {p.shape for p in pictures.values()} == {(128, 128, 3)}
    # the scene's camera sees each landmark where the photograph's crop has it
    seen, _ = scene.camera.project(prediction.mid[prediction.model.landmarks68].astype(float))
    np.testing.assert_allclose(seen, scene.landmarks, atol=1e-3)
    # the surface covers the face and not the background
    changed = (pictures["detail"] != scene.pixels).any(axis=2)
    x, y = np.floor(seen[30]).astype(int)
    assert changed[y, x]
    assert not changed[:3, :3].any()


def test_the_scene_shows_the_photographs_pixels(
    prediction: Prediction, photo: np.ndarray[Any, Any]
) -> None:
    """At its own scale a scene is the photograph, cut: the half pixel is right."""
    view = CloseUp(photo, 1.0, np.zeros(2))
    size = scene_of(prediction, view, size=128)
    side = 128 * size.camera.K[0, 0] / prediction.camera.K[0, 0]  # px of a scene px
    scene = scene_of(prediction, view, size=round(128 * 128 / side))
    hit = SurfaceQuery(prediction.mid, prediction.model.faces).cast(
        scene.camera.center, scene.camera.unproject(scene.camera.pixel_centers().reshape(-1, 2))
    )
    head = hit.hit.reshape(scene.camera.height, scene.camera.width)
    background = np.abs(scene.pixels.astype(int) - (247, 247, 245)).max(axis=2) < 3
    # the outline of the head where the photograph has it: only rim pixels may differ
    assert np.mean(head == ~background) > 0.985


def test_the_turntable_turns_and_both_formats_are_written(
    prediction: Prediction, tmp_path: Path
) -> None:
    config = TurntableConfig(n_frames=4, size_px=48, supersampling=1)
    frames = turntable_frames(prediction, config)
    assert {f.shape for f in frames} == {(48, 96, 3)}
    # the outline of a head turned to one side is the mirror of that turned to the other
    shown = [(f[:, :48] != Look().background).any(axis=2) for f in frames]
    assert np.mean(shown[0] != shown[-1][:, ::-1]) < 0.02
    assert np.mean(shown[0] != shown[-1]) > 0.05
    gif = write_turntable(tmp_path / "t.gif", frames)
    with PillowImage.open(gif) as film:
        assert (film.n_frames, film.size) == (6, (96, 48))  # forth and back
    mp4 = write_turntable(tmp_path / "t.mp4", frames)
    film = cv2.VideoCapture(str(mp4))
    assert film.get(cv2.CAP_PROP_FRAME_COUNT) == 6
    film.release()
    with pytest.raises(InputError, match=r"a \.gif or an \.mp4"):
        write_turntable(tmp_path / "t.avi", frames)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["t.gif", "t.mp4"]


def test_a_contact_sheet_has_its_pictures_in_rows() -> None:
    red = np.full((20, 30, 3), (250, 0, 0), np.uint8)
    blue = np.full((20, 30, 3), (0, 0, 250), np.uint8)
    sheet = contact_sheet([("one", {"a": red, "b": blue}), ("two", {"a": blue})])
    assert (sheet == (250, 0, 0)).all(axis=2).sum() == 600
    assert (sheet == (0, 0, 250)).all(axis=2).sum() == 1200
