"""Virtual sessions: ordinary, complete, resumable, repeatable."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facekit.capture.session import SESSION_FILE, Session, TakeKind, load_session
from facekit.capture.virtual import studio
from facekit.capture.virtual.studio import StudioConfig, make_session
from facekit.capture.virtual.truth import load_truth
from facekit.core.errors import ConfigError, InputError, SchemaError
from facekit.core.files import sha256_file
from facekit.core.geometry.mesh import vertex_normals
from facekit.core.imaging.imageio import read_image

SMALL = StudioConfig(
    layout="pair",
    megapixels=0.05,
    board_megapixels=0.2,
    n_board_poses=2,
    color_chart=True,
    empty_plate=True,
    masks=True,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("studio") / "session"


@pytest.fixture(scope="module")
def session(folder: Path) -> Session:
    return make_session(SMALL, folder)


def photographs(folder: Path) -> dict[str, str]:
    files = sorted([*folder.glob("images/*/*"), *folder.glob("masks/*/*")])
    return {str(path.relative_to(folder)): sha256_file(path) for path in files}


def test_it_is_an_ordinary_session(session: Session, folder: Path) -> None:
    assert load_session(folder) == session
    kinds = [take.kind for take in session.takes]
    assert kinds == [TakeKind.SUBJECT, TakeKind.TARGET, TakeKind.TARGET, TakeKind.COLOR_CHART,
                     TakeKind.EMPTY]  # fmt: skip
    assert session.board is not None
    for take in session.takes:
        assert take.complete
        assert [shot.camera for shot in take.shots] == ["cam00", "cam01"]
        for shot in take.shots:
            path = session.path(shot)
            image = read_image(path)
            assert image.shape[:2] == (shot.height, shot.width)
            assert (image.ndim == 2) == (shot.channels == 1)
            assert shot.sha256 == sha256_file(path) and shot.bytes == path.stat().st_size


def test_sizes_are_those_asked_for(session: Session) -> None:
    for kind, megapixels in ((TakeKind.SUBJECT, 0.05), (TakeKind.TARGET, 0.2)):
        shot = session.takes_of(kind)[0].shots[0]
        assert shot.width * shot.height == pytest.approx(1e6 * megapixels, rel=0.02)


def test_the_truth_fits_the_photographs(session: Session, folder: Path) -> None:
    truth = load_truth(folder)
    mesh = truth.mesh("neutral")
    assert len(truth.frontal_face("neutral")) == len(mesh.faces)
    assert set(truth.world_from_board) == {take.id for take in session.takes_of(TakeKind.TARGET)}
    for shot in session.take("neutral").shots:
        depth = truth.depth("neutral", shot.camera)
        assert depth.shape == (shot.height, shot.width)
        mask_path = session.mask_path(shot)
        assert mask_path is not None
        np.testing.assert_array_equal(read_image(mask_path) > 127, np.isfinite(depth))
        camera = truth.rig[shot.camera]
        xy, along = camera.project(mesh.vertices)
        row, col = np.floor(xy[:, 1]).astype(int), np.floor(xy[:, 0]).astype(int)
        nearest = along.argmin()
        assert depth[row[nearest], col[nearest]] == pytest.approx(along[nearest], abs=1.0)


def test_the_smooth_surface_lies_the_relief_below(session: Session, folder: Path) -> None:
    truth = load_truth(folder)
    smooth, mesh = truth.smooth_mesh("neutral"), truth.mesh("neutral")
    assert np.array_equal(smooth.faces, mesh.faces)
    with np.load(folder / "truth/neutral/mesh.npz") as arrays:
        relief = arrays["relief"]
    raised = smooth.vertices + relief[:, None] * vertex_normals(smooth.vertices, smooth.faces)
    assert np.abs(relief).max() > 0.1
    np.testing.assert_allclose(mesh.vertices, raised, atol=1e-4)  # float32 at 100 mm


def test_truth_is_named_where_it_is_missing(session: Session, folder: Path, tmp_path: Path) -> None:
    truth = load_truth(folder)
    with pytest.raises(InputError, match="no truth of take 'smile'"):
        truth.mesh("smile")
    with pytest.raises(InputError, match="no truth maps"):
        truth.depth("neutral", "cam77")
    with pytest.raises(InputError, match="only virtual sessions"):
        load_truth(tmp_path)


def test_a_finished_session_is_not_made_again(session: Session, folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    assert make_session(SMALL, folder) == session
    assert before == {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}


def test_a_killed_run_is_finished_by_running_again(
    session: Session, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = photographs(folder)
    (folder / "stage.json").unlink()
    (folder / SESSION_FILE).unlink()
    lost = [folder / "images/neutral/cam01.png", folder / "images/board_01/cam00.jpg"]
    for path in lost:
        path.unlink()
    written: list[Path] = []

    def noting(path: Path, *args: object, **options: object) -> None:
        written.append(path)
        write_image(path, *args, **options)

    write_image = studio.write_image
    monkeypatch.setattr(studio, "write_image", noting)
    assert make_session(SMALL, folder) == session
    assert {path for path in written if path.parts[-3] == "images"} == set(lost)
    assert photographs(folder) == before  # to the byte


def test_another_session_s_folder_is_refused(session: Session, folder: Path) -> None:
    with pytest.raises(SchemaError, match="another virtual session"):
        make_session(replace(SMALL, seed=1), folder)


def test_a_real_session_s_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / SESSION_FILE).write_text("{}")
    with pytest.raises(SchemaError, match="holds a session already"):
        make_session(SMALL, tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(SchemaError, match="a file is in the way"):
        make_session(SMALL, tmp_path / "file")


def test_photographs_depend_on_the_seed_alone(
    session: Session, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(studio, "N_THREADS", 1)
    make_session(SMALL, tmp_path / "again")
    assert photographs(tmp_path / "again") == photographs(folder)
    other = make_session(
        replace(SMALL, seed=5, n_board_poses=0, color_chart=False, masks=False), tmp_path / "other"
    )
    assert other.board is None
    changed = photographs(tmp_path / "other")
    assert not set(changed.values()) & set(photographs(folder).values())


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"megapixels": 0.001}, "megapixels is 0.001"),
        ({"board_megapixels": 500.0}, "board_megapixels is 500"),
        ({"megapixels": float("nan")}, "megapixels is nan"),
        ({"expressions": ()}, "no expressions"),
        ({"expressions": ("neutral", "neutral")}, "twice"),
        ({"expressions": ("grin",)}, "no expression 'grin'"),
        ({"n_board_poses": -1}, "n_board_poses is -1"),
        ({"aperture": 0.0}, "aperture f/0"),
        ({"identity_strength": -1.0}, "identity_strength"),
        ({"layout": "circle"}, "no rig layout 'circle'"),
    ],
)
def test_unusable_settings_are_refused_before_anything_is_written(
    tmp_path: Path, changes: dict[str, object], complaint: str
) -> None:
    with pytest.raises(ConfigError, match=complaint):
        make_session(replace(SMALL, **changes), tmp_path / "session")
    assert not (tmp_path / "session").exists()


def test_a_head_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nobody\.npz"):
        make_session(replace(SMALL, head=str(tmp_path / "nobody.npz")), tmp_path / "session")


def test_registered_heads_are_known_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACEKIT_ASSETS", str(tmp_path))
    with pytest.raises(InputError, match="facekit assets add ict"):
        studio.load_head("ict")
    assert studio.load_head("builtin").name == studio.load_head("procedural").name


def test_the_ict_head_plugs_in(tmp_path: Path, shared_data: Path) -> None:
    head = shared_data / "ict_face_model" / "ict_face_model.npz"
    config = StudioConfig(
        head=str(head), layout="pair", megapixels=0.05, n_board_poses=0, truth_maps=False,
        expressions=("jawOpen=0.5",),
    )  # fmt: skip
    made = make_session(config, tmp_path / "session")
    truth = load_truth(tmp_path / "session")
    assert truth.subject["head"] == "ict"
    assert truth.frontal_face("jawOpen=0.5").any()
    image = read_image(made.path(made.takes[0].shots[0]))
    assert image.max() > 100
