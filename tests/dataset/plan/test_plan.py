"""Plans of whole rigs before the built-in head."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from click.testing import CliRunner

from facekit.core.errors import ConfigError
from facekit.core.facemodel.procedural import procedural_head
from facekit.core.imaging.imageio import read_image
from facekit.dataset.plan.commands import rig
from facekit.dataset.plan.plan import plan_rig
from facekit.dataset.plan.planned import REFLECTANCE, PlanConfig, RigPlan, Skin
from facekit.dataset.plan.regions import FACE, REGIONS, Region, exposed, region_of_vertices

_QUICK = PlanConfig(megapixels=1.5, people=0, aperture=0.0)


def _plan(path: Path, cameras: list[dict[str, float]], **changes: float) -> RigPlan:
    path.mkdir(parents=True, exist_ok=True)
    file = path / "rig.yaml"
    file.write_text(yaml.safe_dump({"cameras": cameras}))
    return plan_rig(replace(_QUICK, layout=str(file), **changes))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def nine() -> RigPlan:
    return plan_rig(replace(_QUICK, layout="nine"))


@pytest.fixture(scope="module")
def pair() -> RigPlan:
    return plan_rig(replace(_QUICK, layout="pair"))


def test_parts_of_the_face_are_where_their_landmarks_are() -> None:
    model = procedural_head()
    owner = region_of_vertices(model)
    at = owner[model.landmarks68]
    for landmarks, region in (
        ([30, 33], Region.NOSE), ([19, 24, 37, 44], Region.EYES), ([51, 57], Region.MOUTH),
    ):  # fmt: skip
        assert {REGIONS[i] for i in at[landmarks]} == {region}
    chin = model.mean[owner == REGIONS.index(Region.CHIN), 1]
    lip, jaw = model.mean[model.landmarks68[[57, 8]], 1]
    assert jaw - 5 < chin.min() and chin.max() < lip
    assert model.mirror is not None
    assert (owner[model.mirror] == owner).all()
    face = model.regions["face"] & model.regions["skin"]
    assert (owner[face] >= 0).all()
    assert (owner[model.regions["mouth_interior"]] == -1).all()
    assert set(owner[owner >= 0]) == set(range(len(REGIONS)))


def test_what_lies_inside_is_not_exposed() -> None:
    model = procedural_head()
    outside = exposed(model.mean, model.faces)
    mouth, forehead = model.regions["mouth_interior"], model.regions["forehead"]
    assert outside[forehead].all()
    assert outside[mouth].mean() < 0.3


def test_an_arc_from_ear_to_ear_sees_the_face_and_has_no_fault(nine: RigPlan) -> None:
    for region in FACE:
        plan = nine.regions[region]
        assert plan.seen_by_two > 0.8
        assert plan.seen_by_three <= plan.seen_by_two <= plan.seen_by_one <= 1
        assert 20 < plan.angle_deg < 28  # as the cameras stand
    assert nine.remarks == []


def test_a_pixel_is_as_large_as_lens_and_distance_say(nine: RigPlan) -> None:
    # 24 mm of sensor over 1000 px behind an 85 mm lens focused at 1 m; cheeks lie 55 mm nearer
    height = round(np.sqrt(1.5e6 * 1.5))
    width = round(height * 24 / 36)
    image_mm = 85 * (1 + 85 / 915)
    at_a_metre = 1000 * 24 / (image_mm * width)
    assert nine.regions[Region.CHEEKS].gsd_mm == pytest.approx(0.945 * at_a_metre, rel=0.02)


def test_two_cameras_see_less_and_less_exactly(nine: RigPlan, pair: RigPlan) -> None:
    for region in FACE:
        assert pair.regions[region].seen_by_three == 0
        assert pair.regions[region].sigma_mm > 1.3 * nine.regions[region].sigma_mm
    assert pair.regions[Region.EARS].seen_by_two < 0.2
    said = " ".join(pair.remarks)
    assert "nose:" in said and "by one camera only" in said
    assert "neck:" in said and "by no camera" in said


def test_dark_skin_is_known_less_exactly_and_light_makes_up_for_it(pair: RigPlan) -> None:
    dark = plan_rig(replace(_QUICK, layout="pair", skin=Skin.DARK))
    assert any("little light" in remark for remark in dark.remarks)
    ratio = REFLECTANCE[Skin.FAIR] / REFLECTANCE[Skin.DARK]
    lit = plan_rig(replace(_QUICK, layout="pair", skin=Skin.DARK, exposure=ratio))
    assert not any("little light" in remark for remark in lit.remarks)
    for region in FACE:
        fair = pair.regions[region].sigma_mm
        assert 1.2 * fair < dark.regions[region].sigma_mm < 2.5 * fair
        assert lit.regions[region].sigma_mm == pytest.approx(fair)
        assert dark.regions[region].seen_by_two == pair.regions[region].seen_by_two


def test_a_reflectance_is_taken_before_the_name_of_a_skin(pair: RigPlan) -> None:
    same = plan_rig(
        replace(_QUICK, layout="pair", skin=Skin.DARK, reflectance=REFLECTANCE[Skin.FAIR])
    )
    assert same.regions[Region.NOSE].sigma_mm == pair.regions[Region.NOSE].sigma_mm
    assert same.record()["reflectance"] == REFLECTANCE[Skin.FAIR]


def test_a_quieter_sensor_helps_dark_skin_most() -> None:
    def sigma(skin: Skin, noise: float) -> float:
        config = replace(_QUICK, layout="pair", skin=skin, shot_noise=noise, read_noise=noise / 3)
        return plan_rig(config).regions[Region.CHEEKS].sigma_mm

    gain = {skin: sigma(skin, 0.0045) / sigma(skin, 0.001) for skin in (Skin.FAIR, Skin.DARK)}
    assert gain[Skin.DARK] > gain[Skin.FAIR] > 1


def test_a_mirrored_rig_makes_a_mirrored_plan(tmp_path: Path) -> None:
    cameras = [{"yaw_deg": -10, "pitch_deg": 4}, {"yaw_deg": 14, "pitch_deg": 4}]
    turned = [{**c, "yaw_deg": -c["yaw_deg"]} for c in cameras]
    a, b = _plan(tmp_path / "a", cameras), _plan(tmp_path / "b", turned)
    model = procedural_head()
    assert model.mirror is not None
    # the built-in lens bends a little to one side, and rays graze: all but a few agree
    same = a.mean.n_views == b.mean.n_views[model.mirror]
    assert same.mean() > 0.995


def test_faults_are_told_in_words(tmp_path: Path) -> None:
    for name, cameras, changes, words in (
        ("narrow", [{"yaw_deg": -2}, {"yaw_deg": 2}], {}, "baseline too narrow"),
        ("wide", [{"yaw_deg": -24}, {"yaw_deg": 24}], {}, "baseline too wide"),
        ("near", [{"yaw_deg": -11, "distance_mm": 420}, {"yaw_deg": 11, "distance_mm": 420}], {},
         "does not fit in the frame of cam00, cam01"),
        ("far", [{"yaw_deg": -11, "distance_mm": 4000}, {"yaw_deg": 11, "distance_mm": 4000}], {},
         "fills little of the frame"),
        ("open", [{"yaw_deg": -11}, {"yaw_deg": 11}], {"aperture": 2.0, "megapixels": 12.0},
         "out of focus"),
    ):  # fmt: skip
        found = _plan(tmp_path / name, cameras, **changes)  # type: ignore[arg-type]
        assert any(words in remark for remark in found.remarks), (name, found.remarks)


def test_stopping_down_sharpens_until_diffraction(tmp_path: Path) -> None:
    cameras = [{"yaw_deg": -11.0}, {"yaw_deg": 11.0}]
    blur = [
        _plan(tmp_path, cameras, megapixels=12.0, aperture=f).regions[Region.NECK].blur_px
        for f in (2.0, 8.0, 90.0)
    ]
    assert blur[0] > 2 * blur[1] and blur[2] > blur[1]


def test_the_command_writes_plan_and_picture(tmp_path: Path) -> None:
    arguments = ["plan", "pair", "--megapixels", "1", "--people", "1"]
    done = CliRunner().invoke(rig, [*arguments, "--out", str(tmp_path / "out"), "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.output)
    saved = json.loads((tmp_path / "out/plan.json").read_text())
    assert saved["format"] == "facekit-rig-plan" and saved["regions"] == told["regions"]
    assert set(told["regions"]) == {str(region) for region in REGIONS}
    assert told["warnings"]
    image = read_image(tmp_path / "out" / told["picture"])
    assert image.shape[0] > 800 and image.std() > 10
    shown = CliRunner().invoke(rig, arguments)
    assert shown.exit_code == 0
    assert "forehead" in shown.output and "by one camera only" in shown.output


def test_settings_that_cannot_be_are_refused() -> None:
    for changes, words in (
        ({"layout": "ninety"}, "no rig layout"),
        ({"megapixels": 0.0}, "megapixels is 0"),
        ({"people": -1}, "people is -1"),
        ({"aperture": 0.1}, "aperture f/0.1"),
        ({"reflectance": 0.0}, "reflectance is 0"),
        ({"exposure": float("nan")}, "exposure is nan"),
    ):
        with pytest.raises(ConfigError, match=words):
            plan_rig(replace(_QUICK, **changes))  # type: ignore[arg-type]
