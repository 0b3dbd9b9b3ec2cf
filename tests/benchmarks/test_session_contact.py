"""Photograph and mesh through one camera lie on one another, turned as a person sees them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh

from facekit.benchmarks.session_contact import contact_section, photograph_beside_mesh
from facekit.benchmarks.session_surface import Surface
from facekit.calibration.check import REPAIRED_FILE
from facekit.calibration.rigfile import save_rig
from facekit.capture.session import CameraInfo, Session, Shot, Take, TakeKind
from facekit.core.files import sha256_file
from facekit.core.geometry.camera import Camera, Rig
from facekit.core.geometry.mesh import Mesh
from facekit.core.geometry.transform import Similarity, look_at
from facekit.core.imaging.imageio import write_image
from facekit.core.rendering.preview import BACKGROUND, MeshPreview
from facekit.core.report import Gallery, Missing

TILE = 120
HERE = Similarity(scale=1.0, R=np.eye(3), t=np.zeros(3))


def camera(name: str = "cam0", *, shift_mm: float = 0.0) -> Camera:
    K = np.array([[900.0, 0, 160], [0, 900, 120], [0, 0, 1]])
    pose = look_at(np.array([shift_mm, 0.0, 1000.0]), np.array([shift_mm, 0.0, 0.0]))
    return Camera(
        name=name, width=320, height=240, K=K, cam_from_world=pose,
        distortion=np.array([-0.4, 0.0, 0, 0, 0]),
    )  # fmt: skip


@pytest.fixture(scope="module")
def surface() -> Surface:
    """Give an off-centre ball with waves on its right half."""
    ball = trimesh.creation.icosphere(subdivisions=5, radius=60.0)
    vertices = np.asarray(ball.vertices)
    waves = np.where(vertices[:, 0] > 10, 1 + 0.03 * np.sin(vertices[:, 1]), 1.0)
    vertices = vertices * waves[:, None] + (50.0, 20.0, 0.0)
    mesh = Mesh(vertices=vertices, faces=ball.faces.astype(np.int32))
    return Surface(
        take="t", mesh=mesh, preview=MeshPreview(mesh, ambient_occlusion=False), accuracy=None
    )


def silhouette(surface: Surface, seen: Camera) -> np.ndarray:
    """Return a photograph in which the surface is black before white."""
    drawn = surface.preview.draw(seen)
    hit = (drawn != np.array(BACKGROUND, np.uint8)).any(axis=2)
    return np.where(hit, 0, 255).astype(np.uint8)[..., None].repeat(3, axis=2)


def tiles(sheet: np.ndarray) -> tuple[np.ndarray, ...]:
    a, b = sheet[:, :TILE], sheet[:, -TILE:]
    return a[:TILE], b[:TILE], a[-TILE:], b[-TILE:]


@pytest.mark.parametrize("orientation", [1, 6, 8])
def test_outlines_coincide_through_a_lens_with_distortion(surface, orientation):
    seen = camera()
    sheet = photograph_beside_mesh(
        silhouette(surface, seen), seen, surface, orientation=orientation, tile_px=TILE
    )
    photo, clay, _, _ = tiles(sheet)
    in_photo = photo.mean(axis=2) < 128
    in_clay = (clay != np.array(BACKGROUND, np.uint8)).any(axis=2)
    # the outline is 4 * 100 of 14,400 pixels: half a pixel all along it is 1.4 %
    assert (in_photo != in_clay).mean() < 0.014
    assert 0.4 < in_clay.mean() < 0.8  # the surface fills the tile, with a margin


def test_the_part_shown_close_up_is_the_one_with_relief(surface):
    seen = camera()
    marked = silhouette(surface, seen)
    xy, _ = seen.project(surface.mesh.vertices)
    middle = round(float((xy[:, 0].min() + xy[:, 0].max()) / 2))
    marked[:, middle:] = np.where(marked[:, middle:] == 0, 100, 255)
    _, _, part, _ = tiles(photograph_beside_mesh(marked, seen, surface, tile_px=40 * 3))
    assert np.median(part) == 100  # the right half has the waves


def test_a_surface_outside_of_the_picture_has_none(surface):
    seen = camera(shift_mm=2000.0)
    assert photograph_beside_mesh(np.zeros((240, 320, 3), np.uint8), seen, surface) is None


@pytest.fixture
def session(tmp_path: Path, surface: Surface) -> Session:
    """Give a session of twenty cameras that all stand in one place."""
    names = [f"cam{i:02d}" for i in range(20)]
    path = tmp_path / "images" / "t" / "a.png"
    write_image(path, silhouette(surface, camera()))
    shot = Shot(
        camera="", file="images/t/a.png", sha256=sha256_file(path), bytes=path.stat().st_size,
        width=320, height=240,
    )  # fmt: skip
    shots = tuple(replace(shot, camera=name) for name in names)
    return Session(
        folder=tmp_path, name="s",
        cameras=tuple(CameraInfo(id=n, width=320, height=240) for n in names),
        takes=(Take(id="t", kind=TakeKind.SUBJECT, shots=shots),),
    )  # fmt: skip


def test_many_cameras_are_shown_in_part_and_small(session, surface):
    rig = Rig(cameras=tuple(camera(info.id) for info in session.cameras))
    section = contact_section(session, [surface], rig, build_folder=None, upright=HERE)
    (gallery,) = section.blocks
    assert isinstance(gallery, Gallery)
    assert "12 of 20 cameras" in gallery.caption
    assert [p.caption for p in gallery.pictures][::11] == ["cam00", "cam19"]
    assert sum(len(p.uri) for p in gallery.pictures) < 2.5e6


def test_the_rig_repaired_for_the_take_is_used(session, surface, tmp_path):
    far = Rig(cameras=tuple(camera(i.id, shift_mm=3000.0) for i in session.cameras))
    nothing = contact_section(session, [surface], far, build_folder=tmp_path, upright=HERE)
    assert isinstance(nothing.blocks[0], Missing)
    save_rig(tmp_path / "t" / REPAIRED_FILE, replace(far, cameras=(camera("cam03"),)))
    found = contact_section(session, [surface], far, build_folder=tmp_path, upright=HERE)
    assert [p.caption for p in found.blocks[0].pictures] == ["cam03"]


def test_without_a_rig_the_section_says_what_is_missing(session, surface):
    section = contact_section(session, [surface], None, build_folder=None, upright=HERE)
    assert isinstance(section.blocks[0], Missing)
