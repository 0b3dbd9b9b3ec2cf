"""Registered files: copied, found, verified, replaced as a whole."""

import json
import os
from pathlib import Path

import pytest

from facekit.core import assets
from facekit.core.assets import (
    find_asset,
    load_asset,
    register_asset,
    registered_assets,
    verify_asset,
)
from facekit.core.errors import InputError, SchemaError


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FACEKIT_ASSETS", str(tmp_path / "assets"))
    return tmp_path / "assets"


def given(tmp_path: Path, content: str = "one") -> Path:
    path = tmp_path / "given.bin"
    path.write_text(content)
    return path


def test_nothing_is_registered_at_first() -> None:
    assert registered_assets() == ()
    assert find_asset("bfm") is None and load_asset("bfm") is None


def test_what_is_registered_is_a_copy(tmp_path: Path) -> None:
    path = given(tmp_path)
    asset = register_asset("bfm", {"a.mat": path, "uv.npy": path}, source="given.bin")
    path.unlink()
    assert registered_assets() == ("bfm",)
    assert load_asset("bfm") == asset
    assert find_asset("bfm") == asset.path
    assert asset.path.name == "a.mat" and asset.path.read_text() == "one"
    uv = asset.file("uv.npy")
    assert uv is not None and uv.read_text() == "one"
    assert asset.file("other") is None
    assert "Basel" in asset.licence
    assert verify_asset(asset) == []


def test_registering_again_replaces_the_whole(tmp_path: Path, home: Path) -> None:
    register_asset("ict", {"a": given(tmp_path), "b": given(tmp_path)}, source="one")
    register_asset("ict", {"a": given(tmp_path, "two")}, source="two")
    asset = load_asset("ict")
    assert asset is not None and asset.file("b") is None
    assert asset.path.read_text() == "two"
    assert sum(p.is_dir() for p in (home / "ict").iterdir()) == 1


def test_damage_is_found_and_mended_by_registering_again(tmp_path: Path) -> None:
    asset = register_asset("ict", {"a": given(tmp_path), "b": given(tmp_path)}, source="x")
    asset.path.write_text("changed")
    (asset.folder / "b").unlink()
    wrong = verify_asset(asset)
    assert "a: changed since" in wrong[0] and "b: absent" in wrong[1]
    assert verify_asset(
        register_asset("ict", {"a": given(tmp_path), "b": given(tmp_path)}, source="x")
    ) == []  # fmt: skip


def test_a_copy_that_fails_leaves_the_old(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = register_asset("ict", {"a": given(tmp_path)}, source="x")

    def no_space(source: Path, target: Path) -> None:
        target.write_text("half")
        raise OSError(28, "No space left on device", str(target))

    monkeypatch.setattr(assets.shutil, "copyfile", no_space)
    with pytest.raises(OSError, match="No space"):
        register_asset("ict", {"a": given(tmp_path, "two")}, source="y")
    assert load_asset("ict") == old and verify_asset(old) == []
    assert sum(p.is_dir() for p in (home / "ict").iterdir()) == 1


def test_absent_files_and_paths_as_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        register_asset("ict", {"a": tmp_path / "nowhere"}, source="x")
    with pytest.raises(InputError, match="not a plain file name"):
        register_asset("ict", {"../a": given(tmp_path)}, source="x")


def test_a_record_that_leads_elsewhere_is_refused(tmp_path: Path, home: Path) -> None:
    register_asset("ict", {"a": given(tmp_path)}, source="x")
    path = home / "ict" / "asset.json"
    record = json.loads(path.read_text())
    for changes in ({"folder": "../.."}, {"folder": os.sep}, {"files": []}, {"files": [{}]}):
        path.write_text(json.dumps(record | changes))
        with pytest.raises(SchemaError, match=r"asset\.json"):
            load_asset("ict")
    path.write_text("{")
    with pytest.raises(InputError, match=r"asset\.json"):
        load_asset("ict")
