"""Files that the user supplies (face models, checkpoints, benchmarks): kept, found, verified.

Registered assets live under `$FACEKIT_ASSETS` or `~/.local/share/facekit/assets`, a folder a
kind: `asset.json` beside a folder with the copied files, named by their content.

    bfm/asset.json
    bfm/3f0c2a91b5d6/BFM_model_front.mat

`asset.json` is written last and atomically, so that a kind is always either the old or the new
one. What a file of a kind must hold is checked by whoever reads it.

Data of benchmarks are gigabytes: their folder stays where it is, and `data.json` names it.
"""

import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import InputError, SchemaError
from .files import hash_of, read_json, sha256_file, write_json

RECORD = "asset.json"
DATA_RECORD = "data.json"
_FORMAT = "facekit-asset"
_DATA_FORMAT = "facekit-asset-data"
_VERSION = 1

LICENCES: Mapping[str, str] = {
    "bfm": "Basel Face Model: University of Basel; research only, commercial use by a licence "
    "of its own; may not be passed on",
    "flame": "FLAME: Max Planck Society; non-commercial research, but for the release of 2023 "
    "under CC-BY-4.0; see the file's own licence",
    "ict": "ICT-FaceKit: MIT, (c) 2020 USC Institute for Creative Technologies",
    "yunet": "YuNet (OpenCV zoo, libfacedetection): MIT or Apache-2.0, see its release",
    "facemesh": "MediaPipe face mesh: Apache-2.0, Google",
    "hrn": "HRN's released weights: their terms are not stated, their code is Apache-2.0 "
    "(Alibaba), and they need BFM; facekit's own weights: as their trainer says",
    "deretouch": "HRN's de-retouching weights: their terms are not stated; facekit's own: as "
    "their trainer says",
}
"""Kind -> whose it is and on what terms, as far as is known; not legal advice."""

DATA_LICENCES: Mapping[str, str] = {
    "realy": "REALY: of Headspace (University of York), by its agreement, academic use; scans "
    "may not be passed on",
    "now": "NoW: Max Planck Society, non-commercial research, by registration",
    "facescape": "FaceScape: Nanjing University, by its agreement, non-commercial research",
    "esrc": "ESRC 3D face database: University of Stirling, by its agreement",
    "micc": "MICC Florence: University of Florence, by its request form, research only",
}
"""Benchmark -> whose its data are and on what terms; not legal advice."""

_DATA_PARTS: Mapping[str, tuple[str, ...]] = {
    "realy": ("REALY_HIFI3D_keypoints", "REALY_scan_region"),
    "now": ("scans", "scans_lmks_onlypp"),
}
"""Benchmark -> folders that its data have at the least."""


@dataclass(frozen=True, kw_only=True)
class Asset:
    """A registered kind and where its files are."""

    kind: str
    folder: Path
    """Holds the files."""
    sha256: Mapping[str, str]
    """File name -> hex SHA-256 at registration; the main file comes first."""
    source: str
    """Name of the file or folder that it was made of."""
    licence: str

    @property
    def path(self) -> Path:
        """Return the main file."""
        return self.folder / next(iter(self.sha256))

    def file(self, name: str) -> Path | None:
        """Return a file that came with the main one; None where it did not."""
        return self.folder / name if name in self.sha256 else None


def assets_folder() -> Path:
    """Return the folder of the registered assets; it need not exist."""
    chosen = os.environ.get("FACEKIT_ASSETS")
    return Path(chosen) if chosen else Path.home() / ".local" / "share" / "facekit" / "assets"


def registered_assets() -> tuple[str, ...]:
    """Return the kinds that are registered, sorted."""
    folder = assets_folder()
    if not folder.is_dir():
        return ()
    return tuple(sorted(p.name for p in folder.iterdir() if (p / RECORD).is_file()))


def load_asset(kind: str) -> Asset | None:
    """Return what is registered as `kind`; None when nothing is.

    Raises
    ------
    InputError
        Its record cannot be read.
    """
    home = assets_folder() / kind
    if not (home / RECORD).is_file():
        return None
    record = read_json(home / RECORD, format_name=_FORMAT, version=_VERSION)
    return _asset(record, home)


def find_asset(kind: str) -> Path | None:
    """Return the main file registered as `kind`; None when nothing is.

    Raises
    ------
    InputError
        Its record cannot be read.
    """
    found = load_asset(kind)
    return None if found is None else found.path


def register_asset(kind: str, files: Mapping[str, Path], *, source: str) -> Asset:
    """Copy files into the assets folder as `kind`, in place of what was registered before.

    Parameters
    ----------
    files : {name: Path}
        Name among the assets -> the file to copy; the main file first.
    source : str
        Name of what the user gave, for the record.

    Raises
    ------
    InputError
        There is no file, or a file is absent.
    """
    for name, path in files.items():
        if not path.is_file():
            raise InputError(f"{path}: no such file; cannot be registered as {kind}")
        if Path(name).name != name:
            raise InputError(f"{name}: not a plain file name")
    if not files:
        raise InputError(f"{kind}: no file to register")
    home = assets_folder() / kind
    part = home / f".{secrets.token_hex(4)}.part"
    part.mkdir(parents=True)
    try:
        for name, path in files.items():
            shutil.copyfile(path, part / name)
        sha256 = {name: sha256_file(part / name) for name in files}
        final = home / hash_of(sha256)
        if final.exists():  # the same content again, perhaps damaged since
            shutil.rmtree(final)
        os.replace(part, final)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    record = {
        "format": _FORMAT,
        "version": _VERSION,
        "kind": kind,
        "folder": final.name,
        "source": source,
        "licence": LICENCES.get(kind, "not known to facekit"),
        "files": [
            {"name": name, "sha256": sha256[name], "bytes": (final / name).stat().st_size}
            for name in files
        ],
    }
    write_json(home / RECORD, record)
    for older in home.iterdir():
        if older.is_dir() and older != final:
            shutil.rmtree(older, ignore_errors=True)
    return _asset(record, home)


def verify_asset(asset: Asset) -> list[str]:
    """Return what is wrong with the files of an asset, a sentence each; empty when all is well."""
    wrong = []
    for name, expected in asset.sha256.items():
        path = asset.folder / name
        if not path.is_file():
            wrong.append(f"{path}: absent; register it again")
        elif sha256_file(path) != expected:
            wrong.append(f"{path}: changed since it was registered; register it again")
    return wrong


def register_data(kind: str, folder: Path) -> Path:
    """Remember a benchmark's data folder, which stays where it is; return its full path.

    Raises
    ------
    InputError
        It is no folder, is empty, or lacks what the benchmark's data have.
    """
    if kind not in DATA_LICENCES:
        raise InputError(f"{kind}: no benchmark with data; there are {', '.join(DATA_LICENCES)}")
    wrong = _wrong_with_data(kind, folder)
    if wrong:
        raise InputError(wrong)
    path = folder.resolve()
    record = {
        "format": _DATA_FORMAT,
        "version": _VERSION,
        "kind": kind,
        "folder": str(path),
        "licence": DATA_LICENCES[kind],
    }
    write_json(assets_folder() / kind / DATA_RECORD, record)
    return path


def find_data(kind: str) -> Path | None:
    """Return the registered data folder of a benchmark; None when there is none.

    Raises
    ------
    InputError
        It has gone since, or its record cannot be read.
    """
    record_path = assets_folder() / kind / DATA_RECORD
    if not record_path.is_file():
        return None
    record = read_json(record_path, format_name=_DATA_FORMAT, version=_VERSION)
    folder = record.get("folder")
    if not isinstance(folder, str):
        raise SchemaError(f"{record_path}: names no folder; register {kind} again")
    wrong = _wrong_with_data(kind, Path(folder))
    if wrong:
        raise InputError(f"{wrong}; moved since? facekit assets add {kind} FOLDER")
    return Path(folder)


def registered_data() -> tuple[str, ...]:
    """Return the benchmarks whose data are registered, sorted."""
    folder = assets_folder()
    if not folder.is_dir():
        return ()
    return tuple(sorted(p.name for p in folder.iterdir() if (p / DATA_RECORD).is_file()))


def _wrong_with_data(kind: str, folder: Path) -> str | None:
    """Return what is wrong with a data folder, a sentence; None when all is well."""
    if not folder.is_dir():
        return f"{folder}: no such folder of {kind} data"
    if not any(folder.iterdir()):
        return f"{folder}: empty; the {kind} data are not here"
    absent = [name for name in _DATA_PARTS.get(kind, ()) if not (folder / name).is_dir()]
    return f"{folder}: no folder {absent[0]} in it; not the {kind} data" if absent else None


def _is_plain_name(name: str) -> bool:
    return Path(name).name == name and name.isprintable() and len(name.encode()) < 256


def _asset(record: Any, home: Path) -> Asset:
    try:
        names = [str(entry["name"]) for entry in record["files"]]
        sha256 = {str(entry["name"]): str(entry["sha256"]) for entry in record["files"]}
        folder, source, licence = (str(record[k]) for k in ("folder", "source", "licence"))
        if not names or not all(map(_is_plain_name, [*names, folder])):
            raise ValueError("names")
    except (KeyError, TypeError, ValueError) as error:
        raise SchemaError(
            f"{home / RECORD}: its {error} cannot be used; register {home.name} again"
        ) from error
    return Asset(
        kind=home.name, folder=home / folder, sha256=sha256, source=source, licence=licence
    )
