"""Canaries beside the pixels of photographs: none goes out, whatever is exported and how.

Photographs of a made-up lab tell of owner, serial number, place and more; everything is exported in
every way, and what was written is searched: as it lies there, HDF5's data as they are read, GLB's
and pages' pictures as they are unpacked.
"""

import base64
import binascii
import dataclasses
import importlib.util
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py

from ...capture.session import load_session, save_session
from ...capture.store import save_sums
from ...core.facemodel.procedural import procedural_head
from ...core.geometry.mesh import Mesh
from ...core.geometry.meshio import save_mesh
from ...dataset.bake.deformation import deformed
from ...dataset.bake.mapfile import load_maps
from ...dataset.export.files import FileFormat, FilesConfig, export_facescape, export_files
from ...dataset.export.hdf5 import ExportConfig, export_hdf5
from ...dataset.register.registeredfile import load_registered
from ..session_report import write_report
from ..view.contents import contents_of
from ..view.snapshot import save_snapshot
from .gate import Gate
from .lab import PEOPLE, make_lab
from .told import CANARIES, beside_pixels, tell

LEAST_FILES = 50
"""That a full run has to export."""
_THUMBNAIL = "thumbnail"
_ON_PAGES = "serial"  # a page on a session tells which body is which: as `session.json`, no export
_PICTURE = re.compile(rb"\x89PNG\r\n|\xff\xd8\xff")
_PACKED = re.compile(rb"[A-Za-z0-9+/]{80,}={0,2}")  # base64, as pages have pictures


@dataclass(frozen=True, kw_only=True)
class MetadataFaults(Gate):
    """What came of exports."""

    files: int = 0
    canaries: tuple[str, ...] = ()
    """Kinds, all of which the photographs hold."""
    found: int = 0
    """Canaries, and blocks of pictures that hold no pixels, in exported files."""

    def figures(self) -> dict[str, Any]:
        """Return the counts."""
        return {"files": self.files, "canaries": list(self.canaries), "found": self.found}


def metadata_faults(folder: Path, *, full: bool, seed: int) -> MetadataFaults:
    """Export all people of a lab in every way; of the sample one person."""
    builds = make_lab(folder / "lab", people=PEOPLE if full else PEOPLE[:1], seed=seed)
    canaries: dict[str, bytes] = dict(CANARIES)
    for build in builds:
        canaries[_THUMBNAIL] = _tell(build)
        _add_scans(build)
    out = folder / "out"
    export_all(builds, out)
    originals = b"".join(
        path.read_bytes()
        for build in builds
        for path in sorted((build.parent / "session/images").rglob("*.*"))
    )
    lacking = [f"no photograph holds its {n}" for n, c in canaries.items() if c not in originals]
    # of a picture its beginning is like that of many others
    canaries[_THUMBNAIL] = canaries[_THUMBNAIL][-64:]
    files = [path for path in sorted(out.rglob("*")) if path.is_file()]
    found = list(searched(files, out, canaries))
    if full and len(files) < LEAST_FILES:
        lacking.append(f"{len(files)} files were exported, not {LEAST_FILES}")
    return MetadataFaults(
        cases=len(files), failures=(*lacking, *found), files=len(files), canaries=tuple(canaries),
        found=len(found),
    )  # fmt: skip


def export_all(builds: Sequence[Path], out: Path) -> None:
    """Export in every way that is installed; a page and a picture of each build as well."""
    has_exr = importlib.util.find_spec("OpenEXR") is not None
    formats = [one for one in FileFormat if has_exr or one is not FileFormat.EXR]
    export_hdf5(builds, out / "data", ExportConfig())
    export_files(builds, out / "files", formats, FilesConfig())
    export_facescape(builds, out / "facescape")
    for number, build in enumerate(builds):
        write_report(
            build.parent / "session", calibration_folder=build.parent / "calibration",
            build_folder=build, out=out / f"report{number}.html",
        )  # fmt: skip
        contents = contents_of(build)
        shown = contents.show(contents.choices[0])
        save_snapshot(out / f"view{number}.png", shown, coloring=None, max_faces=20_000)


def searched(files: Sequence[Path], out: Path, canaries: dict[str, bytes]) -> Iterator[str]:
    """Tell of each canary in files, and of pictures in exports that hold more than pixels."""
    for path in files:
        name = path.relative_to(out).as_posix()
        contents = list(_contents(path))
        is_page = path.suffix == ".html"
        yield from (
            f"{name} holds the {kind} of a photograph"
            for kind, canary in canaries.items()
            if not (is_page and kind == _ON_PAGES) and any(canary in c for c in contents)
        )
        if not is_page:  # whose pictures are drawn here
            yield from (f"{name}: {odd}" for content in contents for odd in beside_pixels(content))


def _contents(path: Path) -> Iterator[bytes]:
    """Yield a file, and what is packed in it."""
    content = path.read_bytes()
    yield content
    if path.suffix == ".h5":
        with h5py.File(path) as file:
            named: list[str] = ["/"]
            file.visit(named.append)
            for name in named:
                thing = file[name]
                yield "\n".join(f"{k}={v}" for k, v in thing.attrs.items()).encode()
                if isinstance(thing, h5py.Dataset):
                    yield thing[()].tobytes()
    elif path.suffix == ".glb":
        yield from (content[found.start() :] for found in _PICTURE.finditer(content))
    elif path.suffix == ".html":
        for packed in _PACKED.findall(content):
            with suppress(binascii.Error):
                plain = base64.b64decode(packed)
                yield plain
                with suppress(zlib.error):
                    yield zlib.decompress(plain, wbits=47)  # zlib's or gzip's


def _tell(build: Path) -> bytes:
    """Give a build's photographs metadata, and its cameras the serial numbers that those tell."""
    folder = build.parent / "session"
    thumbnail = tell(load_session(folder))
    session = load_session(folder)
    serial = CANARIES["serial"].decode()
    cameras = tuple(dataclasses.replace(camera, serial=serial) for camera in session.cameras)
    save_session(dataclasses.replace(session, cameras=cameras))
    save_sums(folder, {shot.file: shot.sha256 for take in session.takes for shot in take.shots})
    return thumbnail


def _add_scans(build: Path) -> None:
    """Let the scan of each take be what was registered to it."""
    for path in sorted(build.glob("*/registered.npz")):
        registered = load_registered(path.parent, procedural_head())
        vertices = registered.world_from_head(deformed(registered, load_maps(path.parent)))
        save_mesh(path.parent / "mesh.ply", Mesh(vertices=vertices, faces=registered.model.faces))
