"""Settings come from files and the command line; unknown ones are refused with the nearest."""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import pytest

from facekit.core.config import (
    from_mapping,
    known_fields,
    load_yaml,
    to_mapping,
    with_overrides,
)
from facekit.core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Lens:
    focal_mm: float = 85.0


@dataclass(frozen=True, kw_only=True)
class Settings:
    resolution: int = 1024
    strength: float = 0.5
    takes: tuple[str, ...] = ("neutral",)
    lens: Lens = field(default_factory=Lens)


def test_config_survives_the_round_trip() -> None:
    settings = Settings(resolution=7, takes=("a", "b"), lens=Lens(focal_mm=50.0))
    assert from_mapping(Settings, to_mapping(settings), where="here") == settings


def test_unknown_key_names_the_nearest_known_one() -> None:
    with pytest.raises(ConfigError, match=r"scan.yaml: unknown setting 'resolutoin'.*'resolution'"):
        from_mapping(Settings, {"resolutoin": 2}, where="scan.yaml")


def test_wrong_type_is_named() -> None:
    with pytest.raises(ConfigError, match="resolution: expected int"):
        from_mapping(Settings, {"resolution": "many"}, where="scan.yaml")


def test_command_line_overrides_are_read_as_yaml() -> None:
    changed = with_overrides(Settings(), ["resolution=2048", "strength=1", "takes=[smile]"])
    assert changed == Settings(resolution=2048, strength=1.0, takes=("smile",))
    with pytest.raises(ConfigError, match="expected key=value"):
        with_overrides(Settings(), ["resolution"])


def test_of_a_record_of_a_later_version_what_is_known_is_kept() -> None:
    told = {"strength": 2.0, "later": 1, "lens": {"focal_mm": 50.0, "later": {}}}
    assert known_fields(Settings, told) == {"strength": 2.0, "lens": {"focal_mm": 50.0}}
    assert known_fields(Settings, [1]) == [1]  # for `from_mapping` to refuse


def test_a_setting_of_a_setting_has_a_dot() -> None:
    settings = Settings()
    assert with_overrides(settings, ["lens.focal_mm=50"]).lens == Lens(focal_mm=50.0)
    assert settings.lens == Lens()
    with pytest.raises(ConfigError, match=r"strength\.x=1: 'strength' has no settings of its own"):
        with_overrides(settings, ["strength.x=1"])
    with pytest.raises(ConfigError, match="'focal_mm'"):
        with_overrides(settings, ["lens.focal=50"])


class Check(StrEnum):
    REPAIR = "repair"
    OFF = "off"


@dataclass(frozen=True, kw_only=True)
class WithChoice:
    check: Check = Check.REPAIR


def test_off_is_a_choice_though_yaml_takes_it_for_false(tmp_path: Path) -> None:
    assert with_overrides(WithChoice(), ["check=off"]).check is Check.OFF
    path = tmp_path / "x.yaml"
    path.write_text("check: off\n")
    assert from_mapping(WithChoice, load_yaml(path), where="x.yaml").check is Check.OFF
    with pytest.raises(ConfigError, match="expected one of repair, off"):
        with_overrides(WithChoice(), ["check=on"])


def test_yaml_that_is_no_mapping_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("- 1\n- 2\n")
    with pytest.raises(ConfigError, match="x.yaml"):
        load_yaml(path)


def test_an_entry_of_a_list_is_named_by_its_place() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Lists:
        sizes: tuple[int, ...] = ()
        names: tuple[str, ...] = ()

    with pytest.raises(ConfigError, match=r"^here: sizes\[1\]: expected int, got 'x'$"):
        from_mapping(Lists, {"sizes": [3, "x"]}, where="here")
    with pytest.raises(ConfigError, match=r"^here: names\[0\]: expected a text, got None$"):
        from_mapping(Lists, {"names": [None]}, where="here")
    assert from_mapping(Lists, {"names": [7, "a"]}, where="here").names == ("7", "a")
