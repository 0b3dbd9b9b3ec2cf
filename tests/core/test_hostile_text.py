"""JSON and YAML from anywhere: a sentence, whatever they hold."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from facekit.core.config import from_mapping, load_yaml, with_overrides
from facekit.core.errors import ConfigError, InputError
from facekit.core.files import read_json, stays_inside


@pytest.mark.parametrize(
    "text",
    [
        '{"a": ' * 100_000,
        "[" * 100_000 + "]" * 100_000,
        '{"a": 1' + "0" * 5000 + "}",
        "",
        "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"),
    ],
)
def test_json_that_means_harm_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"a\.json: not readable as JSON"):
        read_json(path)


def test_what_is_no_number_is_refused_in_our_own_files_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"format": "x", "version": 1, "a": NaN}', encoding="utf-8")
    assert read_json(path)["a"] != read_json(path)["a"]
    with pytest.raises(InputError, match="NaN is no number"):
        read_json(path, format_name="x", version=1)


@pytest.mark.parametrize(
    "number", ["1" + "0" * 400, "36893488147419103232", "1e400", "-1" + "0" * 400 + ".0"]
)
def test_numbers_beyond_a_computers_are_refused_in_our_own_files(
    tmp_path: Path, number: str
) -> None:
    path = tmp_path / "a.json"
    path.write_text(f'{{"format": "x", "version": 1, "a": {number}}}', encoding="utf-8")
    assert read_json(path)["format"] == "x"  # other programs may write them
    with pytest.raises(InputError, match="is too large"):
        read_json(path, format_name="x", version=1)


def test_large_and_long_numbers_that_can_be_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    values = [18446744073709551615, -9223372036854775808, 1e300, 0.12345678901234567890, 1e-320]
    text = f'{{"format": "x", "version": 1, "a": {values}}}'
    path.write_text(text, encoding="utf-8")
    assert read_json(path, format_name="x", version=1)["a"] == values


@pytest.mark.parametrize(
    "value",
    [
        "2001-99-99", "2001-01-01T99:99:99Z", "!!int x", "!!float nan5",
        "1" + "0" * 5000, "[" * 5000, "!!python/name:os.system", "!!timestamp x", "&a [*a]",
        "? [1, 2]\n: 3", "\x00", "{" * 3000,
        "!!python/object/apply:os.system ['true']",
    ],
)  # fmt: skip
def test_yaml_that_means_harm_is_refused(tmp_path: Path, value: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(f"a: {value}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"a\.yaml: "):
        load_yaml(path)


def test_aliases_of_aliases_are_refused_before_they_are_walked(tmp_path: Path) -> None:
    lines = ["b0: &b0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"b{i}: &b{i} [{', '.join([f'*b{i - 1}'] * 9)}]" for i in range(1, 12)]
    path = tmp_path / "a.yaml"
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(ConfigError, match="aliases"):
        load_yaml(path)
    path.write_text("a: &a {x: 1}\nb: *a\nc: *a\n", encoding="utf-8")
    assert load_yaml(path)["c"] == {"x": 1}  # one alias is an honest thing


@dataclass(frozen=True)
class Settings:
    size: float = 1.0
    count: int = 1
    name: str = ""


@pytest.mark.parametrize(
    "values", [{"size": 10**400}, {"count": float("inf")}, {"count": float("nan")}, [1], "text", 5]
)
def test_values_that_are_no_settings_are_refused(values: object) -> None:
    with pytest.raises(ConfigError, match=r"here"):
        from_mapping(Settings, values, where="here")  # type: ignore[arg-type]


def test_overrides_that_are_no_yaml_are_refused() -> None:
    for text in ("size=[", "count=2001-99-99"):
        with pytest.raises(ConfigError, match="--set"):
            with_overrides(Settings(), [text])


def test_names_that_lead_out_or_are_none_do_not_stay_inside() -> None:
    out = ("", "/a", "../a", "a/../b", "a\0b", "a\nb", "a/..", "x" * 256, "ü" * 128, "a/" * 500)
    for name in out:
        assert not stays_inside(name)
    assert stays_inside("images/neutral/cam 1 ü.jpg") and stays_inside("..a")
