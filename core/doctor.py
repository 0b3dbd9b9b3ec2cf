"""`facekit doctor`: what this machine offers, and the command for what is missing."""

import ctypes
import importlib.metadata
import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec

from .assets import assets_folder, registered_assets

SYSTEM_LIBRARIES = {
    "libusb-1.0.so.0": "libusb-1.0-0",
    "libGL.so.1": "libgl1",
    "libgomp.so.1": "libgomp1",
    "libglib-2.0.so.0": "libglib2.0-0",
}
"""Shared library -> Debian package; Open3D wants the first three, OpenCV the last."""

PACKAGES = (
    "numpy",
    "scipy",
    "numba",
    "opencv-python",
    "open3d",
    "pycolmap",
    "torch",
    "h5py",
    "trimesh",
    "pillow",
    "safetensors",
)
OPTIONAL_PACKAGES = {
    "rawpy": "raw",
    "exifread": "raw",
    "OpenEXR": "exr",
    "mediapipe": "landmarks",
    "face-alignment": "landmarks",
    "tensorboard": "train",
    "distributed": "cluster",
    "cryptography": "cluster",
}
"""Package -> facekit's extra that brings it."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line of `facekit doctor`."""

    name: str
    ok: bool
    needed: bool
    """False: facekit works without it."""
    detail: str
    fix: str = ""
    """The command that brings what is missing."""


def examine() -> list[Finding]:
    """Look at everything that facekit can use on this machine."""
    findings = [_python(), *_libraries()]
    findings += [_package(name, needed=True, fix=f"pip install {name}") for name in PACKAGES]
    findings += [
        _package(name, needed=False, fix=f"pip install 'facekit[{extra}]'")
        for name, extra in OPTIONAL_PACKAGES.items()
    ]
    return [*findings, _gpu(), _nvdiffrast(), _memory(), _assets()]


def _python() -> Finding:
    return Finding(
        name="Python",
        ok=True,
        needed=True,
        detail=f"{platform.python_version()}, {os.cpu_count()} cores",
    )


def _libraries() -> list[Finding]:
    findings = []
    for library, package in SYSTEM_LIBRARIES.items():
        try:
            ctypes.CDLL(library)
            ok = True
        except OSError:
            ok = False
        fix = f"sudo apt-get install {package}"
        findings.append(
            Finding(name=library, ok=ok, needed=True, detail="found" if ok else "missing", fix=fix)
        )
    return findings


def _package(name: str, *, needed: bool, fix: str) -> Finding:
    try:
        version, ok = importlib.metadata.version(name), True
    except importlib.metadata.PackageNotFoundError:
        version, ok = "missing", False
    return Finding(name=name, ok=ok, needed=needed, detail=version, fix=fix)


def _gpu() -> Finding:
    tool = shutil.which("nvidia-smi")
    listing = ""
    if tool is not None:
        answer = subprocess.run([tool, "-L"], capture_output=True, text=True, check=False)
        listing = answer.stdout.strip().splitlines()[0] if answer.stdout.strip() else ""
    return Finding(
        name="GPU",
        ok=bool(listing),
        needed=False,
        detail=listing or "none: everything runs on the CPU",
        fix="an NVIDIA driver and a CUDA build of torch: pip install torch",
    )


def _nvdiffrast() -> Finding:
    found = find_spec("nvdiffrast") is not None
    return Finding(
        name="nvdiffrast",
        ok=found,
        needed=False,
        detail="found (non-commercial licence)" if found else "missing",
        fix="pip install setuptools wheel ninja && pip install --no-build-isolation "
        "git+https://github.com/NVlabs/nvdiffrast.git   (needs a GPU; non-commercial licence)",
    )


def _memory() -> Finding:
    gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return Finding(
        name="memory",
        ok=gib >= 6,
        needed=False,
        detail=f"{gib:.0f} GiB",
        fix="stereo at 9 x 1.5 MP wants about 4 GiB: lower --megapixels",
    )


def _assets() -> Finding:
    names = registered_assets()
    return Finding(
        name="assets",
        ok=True,
        needed=False,
        detail=", ".join(names) or f"none in {assets_folder()}; the built-in head needs none",
    )
