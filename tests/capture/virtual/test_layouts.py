"""Rig layouts: the packaged ones, files of one's own, and errors in them."""

from pathlib import Path

import numpy as np
import pytest

from facekit.capture.virtual.layouts import draw_rig, load_layout, nominal_rig
from facekit.core.errors import ConfigError


def test_nine_bodies_stand_ear_to_ear() -> None:
    layout = load_layout("nine")
    yaw = np.array([place.yaw_deg for place in layout.cameras])
    pitch = np.array([place.pitch_deg for place in layout.cameras])
    assert len(yaw) == 9 and yaw[0] == -90 and yaw[-1] == 90
    away = np.stack([np.sin(np.radians(yaw)) * np.cos(np.radians(pitch)), np.sin(np.radians(pitch)),
                     np.cos(np.radians(yaw)) * np.cos(np.radians(pitch))], 1)  # fmt: skip
    between = np.degrees(np.arccos((away[1:] * away[:-1]).sum(1)))
    assert between.min() > 20 and between.max() < 25.5
    assert pitch.min() < 0 < pitch.max()


@pytest.mark.parametrize(
    ("name", "n_cameras", "yaw", "nearest"),
    [("seven", 7, 75, (25, 28)), ("sixteen", 16, 90, (23, 31))],
)
def test_neighbours_stand_where_stereo_works(
    name: str, n_cameras: int, yaw: float, nearest: tuple[float, float]
) -> None:
    places = load_layout(name).cameras
    assert len(places) == n_cameras
    yaws, pitches = np.radians([(place.yaw_deg, place.pitch_deg) for place in places]).T
    assert np.degrees(yaws.max()) == -np.degrees(yaws.min()) == pytest.approx(yaw)
    away = np.stack(
        [np.sin(yaws) * np.cos(pitches), np.sin(pitches), np.cos(yaws) * np.cos(pitches)], 1
    )
    between = np.degrees(np.arccos(np.clip(away @ away.T - 2 * np.eye(n_cameras), -1, 1)))
    assert nearest[0] < between.min(axis=1).min() and between.min(axis=1).max() < nearest[1]


def test_the_level_arc_has_its_front_thrice() -> None:
    layout = load_layout("arc30")
    places = sorted((place.yaw_deg, place.pitch_deg) for place in layout.cameras)
    level = [(float(yaw), 0.0) for yaw in range(-90, 91, 30)]
    assert places == sorted([*level, (0.0, 28.0), (0.0, -28.0)])
    assert max(abs(place.roll_deg) for place in layout.cameras) == 1.5
    rig = draw_rig(layout, megapixels=44.8, rng=np.random.default_rng(0))
    assert abs(rig.cameras[0].width - 8192) < 10 and abs(rig.cameras[0].height - 5464) < 10


def test_a_nominal_rig_stands_exactly_as_ordered() -> None:
    layout = load_layout("pair")
    rig = nominal_rig(layout, megapixels=1.5)
    for camera, place in zip(rig, layout.cameras, strict=True):
        away = camera.center - layout.target_mm
        assert np.linalg.norm(away) == pytest.approx(place.distance_mm)
        assert np.degrees(np.arctan2(away[0], away[2])) == pytest.approx(place.yaw_deg)
        assert camera.view_direction == pytest.approx(-away / place.distance_mm)
        assert camera.K[:2, 2] == pytest.approx([camera.width / 2, camera.height / 2])


def test_a_drawn_rig_sees_the_head_at_the_asked_size() -> None:
    rig = draw_rig(load_layout("nine"), megapixels=1.5, rng=np.random.default_rng(0))
    for camera in rig:
        assert camera.width * camera.height == pytest.approx(1.5e6, rel=0.002)
        assert 900 < np.linalg.norm(camera.center) < 1100
        assert camera.is_distorted
        xy, depth = camera.project(np.array([[0.0, 0.0, 60.0], [0, 120, 20], [0, -80, 50]]))
        assert (depth > 0).all()
        assert (xy > 0).all() and (xy < [camera.width, camera.height]).all()


def test_cameras_are_drawn_by_the_seed_alone() -> None:
    a, b, c = (
        draw_rig(load_layout("pair"), megapixels=0.5, rng=np.random.default_rng(k))
        for k in (1, 1, 2)
    )
    np.testing.assert_array_equal(a.centers, b.centers)
    assert np.abs(a.centers - c.centers).max() > 1


def test_a_layout_of_one_s_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("cameras:\n- {yaw_deg: -20}\n- {yaw_deg: 20, focal_mm: 50}\n- {yaw_deg: 0}\n")
    layout = load_layout(str(path))
    assert len(layout.cameras) == 3 and layout.cameras[1].focal_mm == 50


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("cameras:\n- {yaw_deg: 0}\n", "stereo needs two"),
        ("cameras: []\n", "stereo needs two"),
        ("{}\n", "cameras"),
        ("cameras:\n- {yaw: 0}\n- {yaw_deg: 1}\n", "did you mean 'yaw_deg'"),
        ("cameras:\n- {yaw_deg: left}\n- {yaw_deg: 1}\n", "expected float, got 'left'"),
        ("cameras:\n- {yaw_deg: .nan}\n- {yaw_deg: 1}\n", "finite"),
        ("cameras:\n- {yaw_deg: 0, distance_mm: 50}\n- {yaw_deg: 1}\n", "distance_mm is 50"),
        ("cameras:\n- {yaw_deg: 0, focal_mm: 0}\n- {yaw_deg: 1}\n", "focal_mm is 0"),
        ("cameras: 7\n", "cameras"),
        ("cameras:\n- 7\n- 8\n", "expected a mapping"),
        ("- 1\n", "expected `key: value` lines"),
        ("cameras: [\n", "not readable as YAML"),
        ("cameras:\n- {yaw_deg: 0}\n- {yaw_deg: 9}\nsensor_width_mm: 0\n", "sensor"),
    ],
)
def test_errors_in_a_layout_are_sentences(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "rig.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=complaint) as error:
        load_layout(str(path))
    assert "rig.yaml" in str(error.value)


def test_unknown_names_are_answered_with_the_known(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no rig layout 'eleven'.*arc30, five.*seven, sixteen"):
        load_layout("eleven")
    with pytest.raises(ConfigError, match="absent"):
        load_layout(str(tmp_path / "absent.yaml"))
