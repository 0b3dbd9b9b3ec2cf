"""One page over a session: what is there is shown, what is absent is named."""

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from facekit.benchmarks.session_images import (
    amount_picture,
    depth_picture,
    normal_picture,
    thumbnail,
)
from facekit.benchmarks.session_report import write_report
from facekit.benchmarks.virtual import evaluate_session, find_meshes
from facekit.capture.session import Session, TakeKind, load_session
from facekit.core.errors import InputError
from facekit.core.facemodel.procedural import procedural_head
from facekit.core.files import StageKey, stage_run, write_json
from facekit.core.geometry.camera import Rig
from facekit.core.geometry.transform import Similarity
from facekit.core.imaging.orientation import turned_upright
from facekit.dataset.bake.mapfile import save_maps
from facekit.dataset.bake.maps import Maps
from facekit.dataset.mapstage import map_figures
from facekit.dataset.register.registered import Registered
from facekit.dataset.register.registeredfile import save_registered
from facekit.dataset.registerstage import fit_figures

CAMERAS = ("left", "<b>middle</b>", "right")


@pytest.fixture
def session_folder(tmp_path: Path, make_session: Callable[..., Session]) -> Path:
    """Give a session of three cameras, a good take of the subject and a flawed one of a board."""
    flawed = ("board_0", TakeKind.TARGET, ("right is missing & <late>",))
    neutral = ("neutral", TakeKind.SUBJECT, ())
    return make_session(tmp_path / "session", CAMERAS, neutral, flawed).folder


@pytest.fixture
def virtual_folder(session_folder: Path, add_truth: Callable[[Session], None]) -> Path:
    """Give the session with its truth, a calibration and a build beside it."""
    add_truth(load_session(session_folder))
    return session_folder


class Text(HTMLParser):
    """The text that a reader sees, in one line."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.parts: list[str] = []
        self.sources: list[str] = []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.sources += [v or "" for k, v in attrs if k in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.parts.append(data)

    def __str__(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.parts))


def test_missing_parts_are_named(session_folder: Path, tmp_path: Path) -> None:
    text = str(Text(write_report(session_folder, out=tmp_path / "page.html")))
    assert "The surface : not made yet. Make it with facekit build-dataset" in text
    assert "The rig : not made yet. Make it with facekit calibrate" in text
    assert "Depth maps : not made yet" in text


def test_problems_of_takes_are_told(session_folder: Path, tmp_path: Path) -> None:
    text = str(Text(write_report(session_folder, out=tmp_path / "page.html")))
    assert "right is missing & <late>" in text
    assert "1 with problems" in text
    assert "1 of 2 takes have problems" in text


def test_names_are_escaped(session_folder: Path, tmp_path: Path) -> None:
    page = write_report(session_folder, out=tmp_path / "page.html")
    assert "<b>middle</b>" not in page.read_text(encoding="utf-8")
    assert "<b>middle</b>" in str(Text(page))


def write_registration(build: Path, registered_on: Callable[..., Registered]) -> None:
    """Write what `build-dataset` leaves of a registered take, with maps of 16 texels."""
    registered, m = registered_on(procedural_head()), 16
    flat, up = np.zeros((m, m), np.float32), np.zeros((m, m, 3), np.float32)
    up[..., 2] = 1
    maps = Maps(
        deformation=0 * up, deformation_valid=flat == 0, deformation_sigma=flat,
        displacement=flat, sigma=flat, normal=up, tangent_normal=up, valid=flat == 0,
        albedo=up, albedo_valid=flat == 0,
    )  # fmt: skip
    save_registered(build / "neutral", registered)
    save_maps(build / "neutral", maps)
    entry = {"registration": fit_figures(registered), "maps": map_figures(maps)}
    write_json(build / "build.json", {"takes": {"neutral": entry}, "failed": {}})


def test_everything_made_is_shown(
    virtual_folder: Path, tmp_path: Path, registered_on: Callable[..., Registered]
) -> None:
    rng = np.random.default_rng(0)
    root = virtual_folder.parent
    residuals = {
        name: {"xy": (80 * rng.random((30, 2))).tolist(),
               "error": rng.normal(0, 0.1, (30, 2)).tolist()}
        for name in CAMERAS
    }  # fmt: skip
    (root / "calibration" / "residuals.json").write_text(json.dumps({"cameras": residuals}))
    (root / "build" / "neutral" / "views").mkdir()
    depth = np.full((120, 80), np.nan)
    depth[40:80, 20:60] = 900.0
    np.savez(root / "build" / "neutral" / "views" / "left.npz", depth=depth)
    steady = {"verdict": "steady", "cameras": {"left": {"verdict": "steady", "motion_px": 0.1}}}
    (root / "build" / "stability.json").write_text(json.dumps({"takes": {"neutral": steady}}))
    with stage_run(root / "build", StageKey(stage="build", config={}, inputs={})):
        pass
    write_registration(root / "build", registered_on)
    page = write_report(
        virtual_folder,
        calibration_folder=root / "calibration",
        build_folder=root / "build",
        out=tmp_path / "page.html",
    )
    found = Text(page)
    assert "not made yet" not in str(found)
    assert "Maps of take neutral" in str(found)
    assert "left, 900–900 mm" in str(found)
    assert all(source.startswith(("data:", "#")) for source in found.sources)
    assert page.stat().st_size < 5e6


def test_damaged_results_are_told_and_the_page_is_written(
    virtual_folder: Path, tmp_path: Path
) -> None:
    root = virtual_folder.parent
    (root / "calibration" / "rig.json").write_text("{")
    (root / "build" / "neutral" / "mesh.ply").write_text("ply\nnothing")
    page = write_report(
        virtual_folder,
        calibration_folder=root / "calibration",
        build_folder=root / "build",
        out=tmp_path / "page.html",
    )
    text = str(Text(page))
    assert "rig.json: not readable as JSON" in text
    assert "mesh.ply: not a readable mesh" in text


def test_virtual_figures_are_what_was_put_in(
    virtual_folder: Path, make_rig: Callable[..., Rig], world_from_head: Similarity
) -> None:
    root = virtual_folder.parent
    rig = make_rig(*CAMERAS).moved(world_from_head)
    figures = evaluate_session(virtual_folder, rig, root / "build")
    json.dumps(figures, allow_nan=False)
    assert figures["calibration"]["center_mm_max"] < 1e-6
    assert figures["calibration"]["head_px_max"] < 1e-6
    mesh = figures["meshes"]["neutral"]
    # the mesh is a thousandth too large: 0.09 mm along the normal
    assert 0.08 < mesh["median_mm"] < 0.10
    assert mesh["bias_mm"] == pytest.approx(mesh["median_mm"])
    assert mesh["within_0_2mm"] == 100


def test_a_real_session_has_no_figures(session_folder: Path, make_rig: Callable[..., Rig]) -> None:
    with pytest.raises(InputError, match="only virtual sessions"):
        evaluate_session(session_folder, make_rig(*CAMERAS), None)


def test_meshes_are_found_by_take(virtual_folder: Path) -> None:
    assert list(find_meshes(virtual_folder.parent / "build")) == ["neutral"]
    assert find_meshes(None) == find_meshes(virtual_folder / "nowhere") == {}


@pytest.mark.parametrize("orientation", range(1, 9))
def test_thumbnails_are_turned_as_pillow_turns_them(orientation: int, tmp_path: Path) -> None:
    from PIL import Image, ImageOps

    stored = np.arange(6 * 4 * 3, dtype=np.uint8).reshape(6, 4, 3)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored).save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as opened:
        wanted = np.asarray(ImageOps.exif_transpose(opened))
    assert np.array_equal(turned_upright(stored, orientation), wanted)


def test_unreadable_photographs_have_no_thumbnail(tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    assert thumbnail(tmp_path / "broken.jpg", orientation=1, max_size=50) is None


def test_near_depth_is_bright_and_absent_depth_grey() -> None:
    depth = np.linspace(900, 1000, 100).reshape(10, 10)
    depth[0, 0] = np.nan
    image, low, high = depth_picture(depth)
    assert (low, high) == pytest.approx((903, 998), abs=2)
    assert image[0, 1].astype(int).sum() > image[9, 9].astype(int).sum()
    assert len(set(image[0, 0].tolist())) == 1


def test_empty_depth_is_a_grey_picture() -> None:
    image, low, _ = depth_picture(np.full((4, 5), np.nan))
    assert image.shape == (4, 5, 3)
    assert np.isnan(low)


def test_a_surface_that_faces_the_camera_is_blue() -> None:
    normal = np.zeros((2, 2, 3))
    normal[0, 0] = (0, 0, -1)  # against the optical axis: towards the camera
    image = normal_picture(normal)
    assert image[0, 0].tolist() == [128, 128, 255]
    assert len(set(image[1, 1].tolist())) == 1


def test_confidence_of_nothing_is_grey() -> None:
    image = amount_picture(np.array([[0.0, 1.0]]))
    assert image[0, 0].tolist() == [238, 238, 238]
    assert image[0, 1].tolist() == [253, 231, 37]


def test_a_page_that_stays_too_large_is_told(
    session_folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("facekit.benchmarks.session_report.MOST_BYTES", 5_000)
    page = write_report(session_folder, out=session_folder / "report.html")
    assert f"{page}: 0.0" in caplog.text
