"""The repository root is the package: what keeps that layout sound."""

import ast
import subprocess
import sys
import tomllib
import zipfile
from importlib import resources
from pathlib import Path

import pytest

import facekit

ROOT = Path(__file__).resolve().parents[2]
STAGES = ("benchmarks", "calibration", "capture", "core", "dataset", "reconstruct")

pytestmark = pytest.mark.skipif(
    not (ROOT / "pyproject.toml").is_file(), reason="not run from a checkout"
)


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def folders_with_code() -> list[str]:
    found = ["facekit"]
    for stage in STAGES:
        for init in (ROOT / stage).rglob("__init__.py"):
            found.append("facekit." + ".".join(init.parent.relative_to(ROOT).parts))
    return sorted(found)


def test_package_list_equals_the_folders_on_disk() -> None:
    assert project()["tool"]["setuptools"]["packages"] == folders_with_code()


def test_every_folder_with_modules_is_a_package() -> None:
    for stage in STAGES:
        for module in (ROOT / stage).rglob("*.py"):
            assert (module.parent / "__init__.py").is_file(), f"{module.parent} has no __init__.py"


def test_root_holds_only_the_three_modules() -> None:
    assert sorted(p.name for p in ROOT.glob("*.py")) == ["__init__.py", "__main__.py", "cli.py"]


def test_tests_are_no_package() -> None:
    assert not list((ROOT / "tests").rglob("__init__.py"))


def test_inside_the_package_imports_are_relative() -> None:
    # no lint rule: ruff names relative imports after the checkout's folder, often `facekit`
    absolute = []
    for stage in STAGES:
        for module in (ROOT / stage).rglob("*.py"):
            for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
                names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                names += (
                    [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                )
                level = getattr(node, "level", 0)
                if level == 0 and any(name.split(".")[0] == "facekit" for name in names):
                    absolute.append(f"{module.relative_to(ROOT)}:{node.lineno}")
    assert not absolute


def test_modules_stay_within_four_hundred_lines() -> None:
    lengths = {
        str(module.relative_to(ROOT)): len(module.read_text().splitlines())
        for stage in STAGES
        for module in (ROOT / stage).rglob("*.py")
    }
    assert not {name: n for name, n in lengths.items() if n > 400}


def test_one_copy_is_imported() -> None:
    twins = [
        name
        for name, module in sys.modules.items()
        if getattr(module, "__file__", None) == facekit.__file__
    ]
    assert twins == ["facekit"]


def test_packaged_data_is_readable() -> None:
    files = resources.files("facekit")
    assert files.joinpath("core/templates/report.html.j2").read_text(encoding="utf-8")
    assert files.joinpath("capture/virtual/layouts/nine.yaml").read_text(encoding="utf-8")


def test_command_line_starts_without_heavy_imports() -> None:
    code = (
        "import sys, facekit.cli; "
        "print([m for m in ('torch', 'cv2', 'scipy', 'h5py', 'numpy', 'open3d', 'pycolmap', "
        "'matplotlib') if m in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/"
    )
    assert answer.stdout.strip() == "[]"


@pytest.mark.slow
def test_wheel_of_a_checkout_with_any_name_holds_exactly_the_package(tmp_path: Path) -> None:
    checkout = tmp_path / "any-name"
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    for name in tracked:
        target = checkout / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((ROOT / name).read_bytes())
    subprocess.run(
        [sys.executable, "-m", "build", "--outdir", str(tmp_path / "dist"), str(checkout)],
        check=True,
        capture_output=True,
    )
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    outside = [n for n in names if not n.startswith(("facekit/", "facekit-"))]
    assert not outside
    assert "facekit/cli.py" in names
    assert "facekit/core/templates/report.html.j2" in names
    assert not [n for n in names if "/tests/" in n or n.startswith("tests/")]
