"""What a path shows: the kind is told, frames and colours are right, odd paths are one sentence."""

from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner

from facekit.benchmarks.view import server
from facekit.benchmarks.view.commands import view
from facekit.benchmarks.view.contents import contents_of
from facekit.benchmarks.view.scene import (
    Layer,
    Shown,
    light_layer,
    mesh_colorings,
    scalar_coloring,
)
from facekit.capture.session import Session, TakeKind
from facekit.core.commandline import SentenceOnError
from facekit.core.errors import InputError, MissingDependencyError
from facekit.core.facemodel.procedural import procedural_head
from facekit.core.files import write_json
from facekit.core.geometry.camera import Rig
from facekit.core.geometry.mesh import Mesh
from facekit.core.geometry.transform import Similarity
from facekit.core.imaging.imageio import read_image
from facekit.core.rendering.colormap import AMOUNT, SIGNED
from facekit.dataset.register.registered import Registered
from facekit.dataset.register.registeredfile import save_registered

CAMERAS = ("left", "middle", "right")


@pytest.fixture
def work(
    tmp_path: Path, make_session: Callable[..., Session], add_truth: Callable[[Session], None]
) -> Path:
    """Give a session of two takes with its truth, its calibration, and a build of one of them."""
    takes = [(name, TakeKind.SUBJECT, ()) for name in ("neutral", "smile")]
    add_truth(make_session(tmp_path / "session", CAMERAS, *takes))
    write_json(
        tmp_path / "build" / "build.json",
        {"session": "A & B", "takes": {"neutral": {}}, "failed": {}, "model": "builtin",
         "session_folder": "../session", "rig_file": "../calibration/rig.json"},
    )  # fmt: skip
    return tmp_path


def add_registration(folder: Path, world_from_head: Similarity) -> None:
    model = procedural_head()
    v = model.n_vertices
    offset = np.zeros((v, 3))
    offset[:, 2] = 2.0
    save_registered(
        folder,
        Registered(
            model=model, world_from_head=world_from_head, identity=np.zeros(model.n_identity),
            expression=np.zeros(model.n_expression), offset=offset,
            support=np.ones(v, np.float32), residual=np.full(v, 0.25, np.float32),
        ),
    )  # fmt: skip


def test_a_session_shows_its_takes_cameras_and_photographs(work: Path) -> None:
    contents = contents_of(work / "session")
    assert (contents.kind, contents.title) == ("session", "A & B")
    assert contents.choices == ("neutral", "smile")
    built, bare = contents.show("neutral"), contents.show("smile")
    assert [layer.name for layer in built.layers] == ["scan"] and not bare.layers
    assert set(bare.photographs) == set(CAMERAS) and not bare.loose
    assert bare.photographs["right"] == work / "session" / "images/smile/2.png"
    up = np.array([camera.cam_from_world[1, 1] for camera in bare.cameras])
    assert (up < -0.9).all()  # image y points down where the view's y points up


def test_cameras_without_a_place_hang_their_photographs_up(work: Path) -> None:
    (work / "calibration" / "rig.json").unlink()
    shown = contents_of(work / "session").show("smile")
    assert not shown.cameras and set(shown.loose) == set(CAMERAS)
    assert "places are not known" in " ".join(shown.remarks)


def test_a_build_finds_its_rig_and_session(work: Path) -> None:
    contents = contents_of(work / "build")
    shown = contents.show("neutral")
    assert contents.kind == "build" and contents.choices == ("neutral",)
    assert [camera.name for camera in shown.cameras] == list(CAMERAS)
    assert shown.coloring_names == ("photographs", "sigma_mm")
    assert contents_of(work / "build" / "neutral").kind == "take"
    assert contents_of(work / "build" / "neutral" / "mesh.ply").kind == "mesh"


def test_a_rig_shows_its_frusta(work: Path) -> None:
    for path in (work / "calibration", work / "calibration" / "rig.json"):
        contents = contents_of(path)
        assert contents.kind == "rig"
        assert len(contents.show(contents.choices[0]).cameras) == 3


def test_a_registered_take_stands_in_the_head_frame(
    work: Path, ball: Mesh, make_rig: Callable[..., Rig], world_from_head: Similarity
) -> None:
    add_registration(work / "build" / "neutral", world_from_head)
    shown = contents_of(work / "build").show("neutral")
    scan, m1, m0 = shown.layers
    assert [layer.visible for layer in shown.layers] == [True, False, False]
    assert scan.mesh.vertices == pytest.approx(1.001 * ball.vertices, abs=1e-4)
    assert (m1.mesh.vertices - m0.mesh.vertices) == pytest.approx(
        np.tile([0.0, 0, 2.0], (len(m0.mesh.vertices), 1))
    )
    centers = np.array([camera.center for camera in shown.cameras])
    assert centers == pytest.approx(make_rig(*CAMERAS).centers, abs=1e-6)


def test_without_its_face_model_the_registered_mesh_is_still_there(
    work: Path, world_from_head: Similarity
) -> None:
    add_registration(work / "build" / "neutral", world_from_head)
    (work / "build" / "build.json").unlink()
    shown = contents_of(work / "build" / "neutral").show("neutral")
    assert [layer.name for layer in shown.layers] == ["scan", "registered (M1)"]
    assert "face model" in " ".join(shown.remarks)
    assert shown.layers[1].mesh.vertices[:, 2] == pytest.approx(
        procedural_head().mean[:, 2] + 2.0, abs=1e-3
    )


def test_the_error_is_the_distance_to_the_truth(work: Path) -> None:
    plain = contents_of(work / "build").show("neutral").layers[0]
    measured = contents_of(work / "build", error=True).show("neutral").layers[0]
    assert "error" not in plain.colorings
    coloring = measured.colorings["error"]
    assert coloring.map is SIGNED
    assert float(coloring.high.split()[0]) == pytest.approx(0.09, abs=0.01)  # 0.1 % of 90 mm
    grey = (coloring.colors == SIGNED.undefined).all(axis=1)
    assert grey[measured.mesh.vertices[:, 2] < -20].all()  # the back was not to be measured


def test_scales_of_colours() -> None:
    values = np.array([np.nan, -1.0, 0.0, 0.5], np.float32)
    error, sigma = scalar_coloring("error", values), scalar_coloring("sigma_mm", np.abs(values))
    assert error.map is SIGNED and sigma.map is AMOUNT
    assert (error.colors[0] == SIGNED.undefined).all()
    assert (error.colors[2] == SIGNED.stops[3]).all()  # zero is the middle
    assert sigma.low == "0 mm" and sigma.high.endswith(" mm")
    flat = scalar_coloring("n_views", np.full(4, 3.0, np.float32))
    assert (flat.colors == AMOUNT.stops[0]).all()


def test_the_first_colouring_is_one_that_can_be_seen(ball: Mesh) -> None:
    colorings = {name: mesh_colorings(ball)[name] for name in ("photographs", "sigma_mm")}
    seen = Layer(name="M2", mesh=ball, colorings=colorings)
    other = {"deformation": colorings["sigma_mm"]}
    hidden = Layer(name="M1", mesh=ball, colorings=other, visible=False)
    shown = Shown(layers=(hidden, seen))
    assert shown.coloring_names == ("photographs", "sigma_mm", "deformation")


def test_a_lighter_surface_keeps_every_place_its_colour(ball: Mesh) -> None:
    mesh = ball
    height = mesh.vertices[:, 1].astype(np.float32)
    mesh = Mesh(vertices=mesh.vertices, faces=mesh.faces, attributes={"n_views": height})
    layer = light_layer(Layer(name="scan", mesh=mesh, colorings=mesh_colorings(mesh)), 1000)
    assert 500 < len(layer.mesh.faces) <= 1100
    colors = layer.colors("n_views").astype(int)
    expected = scalar_coloring("n_views", height)
    low, high = float(expected.low), float(expected.high)
    wanted = AMOUNT(layer.mesh.vertices[:, 1], low, high).astype(int)
    assert np.abs(colors - wanted).max() < 30  # a vertex moves by less than an edge, 6 mm of 180


def command(*arguments: str | Path) -> tuple[int, str]:
    group = click.Group("facekit", commands=[view])
    group.__class__ = SentenceOnError
    result = CliRunner().invoke(group, ["view", *map(str, arguments)])
    return result.exit_code, result.output


def test_a_snapshot_needs_no_viewer(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "require", None)
    out = work / "out.png"
    code, said = command(work / "build", "--snapshot", out, "--color", "sigma_mm")
    assert code == 0 and "snapshot:" in said
    image = read_image(out)
    assert image.shape == (640, 1560, 3)
    middle = image[300:340, 700:860].reshape(-1, 3)
    assert middle.std(axis=0).max() > 0  # not the plain background
    code, said = command(work / "build", "--snapshot", out, "--color", "beauty")
    assert code == 2 and "the surface has photographs, sigma_mm, clay" in said


def test_another_host_is_refused(work: Path) -> None:
    code, said = command(work / "build", "--host", "0.0.0.0", "--no-browser")
    assert code == 2 and "--i-know" in said and len(said.splitlines()) == 1


def test_without_viser_one_sentence_says_how_to_get_it(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "viser", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'facekit\[view\]'"):
        server.start_server(port=0)
    code, said = command(work / "build", "--no-browser")
    assert code == 4 and said.splitlines() == [
        "facekit: viser is not installed; run: pip install 'facekit[view]'"
    ]


@pytest.mark.parametrize("kind", ["empty", "text", "json", "damaged", "hostile"])
def test_odd_paths_are_one_sentence(kind: str, tmp_path: Path) -> None:
    path = tmp_path / {"text": "a.txt", "json": "rig.json", "damaged": "m.ply"}.get(kind, "folder")
    if path.suffix:
        path.write_text("{}" if kind == "json" else "nothing of use")
    else:
        path.mkdir()
    if kind == "hostile":  # a take that would lie outside of the build
        (tmp_path / "secret").mkdir()
        write_json(path / "build.json", {"takes": {"../secret": {}}, "failed": {}})
    with pytest.raises(InputError) as caught:
        contents = contents_of(path)
        contents.show(contents.choices[0])
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_an_unknown_take_is_named(work: Path) -> None:
    with pytest.raises(InputError, match="has no frown; it has neutral, smile"):
        contents_of(work / "session").beginning_with("frown")
    assert contents_of(work / "session").beginning_with("smile").choices[0] == "smile"
