"""`facekit assets`: the models that the user supplies, registered once and found by name."""

import tempfile
from pathlib import Path
from typing import Any

import click

from ..commandline import IN_PATH, json_option, show

_KINDS = ("bfm", "flame", "ict", "yunet", "facemesh", "hrn", "deretouch")
_CHECKPOINTS = ("hrn", "deretouch")
_DATA = ("realy", "now", "facescape", "esrc", "micc")


@click.group()
def assets() -> None:
    """Register models, detectors and weights that facekit may not ship, and verify them."""


@assets.command()
@click.argument("kind", type=click.Choice((*_KINDS, *_DATA)))
@click.argument("path", type=IN_PATH)
@click.option("--uv", type=IN_PATH, help="bfm: bfm_uvs2.npy; flame: FLAME_texture.npz or the OBJ.")
@click.option(
    "--landmarks", type=IN_PATH, help="flame: landmark_embedding.npy, or an .npz of the same."
)
@json_option
def add(kind: str, path: Path, uv: Path | None, landmarks: Path | None, as_json: bool) -> None:
    """Check the model PATH, copy it to the assets and register it as KIND.

    Face models are loaded once to see that they are whole. FLAME's pickle is never kept: its
    numbers are, read without running anything in it. Weights of networks (hrn, deretouch) are
    checked tensor by tensor.

    The data folder of a benchmark (realy, now, facescape, esrc, micc) is not copied: it stays
    where it is, and `facekit eval` finds it there.
    """
    with tempfile.TemporaryDirectory(prefix="facekit-assets-") as scratch:
        added = add_asset(kind, path, uv=uv, landmarks=landmarks, scratch=Path(scratch))
    show(as_json, f"registered as {kind}", added)


@assets.command("list")
@json_option
def list_assets(as_json: bool) -> None:
    """List what is registered, with its licence."""
    from ..assets import (
        DATA_LICENCES,
        assets_folder,
        load_asset,
        registered_assets,
        registered_data,
    )

    found = {kind: load_asset(kind) for kind in registered_assets()}
    entries = {
        kind: {"file": str(a.path), "source": a.source, "licence": a.licence}
        for kind, a in found.items()
        if a is not None
    }
    entries |= {
        kind: {"file": _data_folder(kind), "source": "data", "licence": DATA_LICENCES[kind]}
        for kind in registered_data()
        if kind in DATA_LICENCES
    }
    show(as_json, "assets", {"folder": str(assets_folder()), "assets": entries})


@assets.command()
@json_option
def verify(as_json: bool) -> None:
    """Compare every registered file with its checksum; exit code 2 where one differs.

    Weights of networks are also checked as when they were added; data of benchmarks must still
    be where they were.
    """
    from ..assets import (
        find_data,
        load_asset,
        registered_assets,
        registered_data,
        verify_asset,
    )
    from ..errors import InputError

    wrong: dict[str, list[str]] = {}
    for kind in registered_assets():
        try:
            found = load_asset(kind)
            wrong[kind] = [] if found is None else verify_asset(found)
            if found is not None and kind in _CHECKPOINTS and not wrong[kind]:
                _checkpoint(kind, found.path)
        except InputError as error:
            wrong[kind] = [str(error)]
    for kind in registered_data():
        try:
            find_data(kind)
            wrong[kind] = []
        except InputError as error:
            wrong[kind] = [str(error)]
    sentences = [sentence for found in wrong.values() for sentence in found]
    verdicts = {kind: {"ok": not found, "wrong": "; ".join(found)} for kind, found in wrong.items()}
    show(as_json, "assets verified", {"ok": not sentences, "assets": verdicts})
    if sentences:
        raise SystemExit(2)


def add_asset(
    kind: str, path: Path, *, uv: Path | None, landmarks: Path | None, scratch: Path
) -> dict[str, Any]:
    """Check a model and register it; return what a user wants to know of it.

    Parameters
    ----------
    uv, landmarks : Path or None
        As the options of `facekit assets add`.
    scratch : Path
        A folder for files that are converted first.

    Raises
    ------
    InputError
        A file is not the kind it should be, or an option does not go with the kind.
    """
    from ..assets import DATA_LICENCES, register_asset, register_data
    from ..errors import InputError

    if uv is not None and kind not in ("bfm", "flame"):
        raise InputError(f"--uv {uv}: goes with bfm and flame, not with {kind}")
    if landmarks is not None and kind != "flame":
        raise InputError(f"--landmarks {landmarks}: goes with flame, not with {kind}")
    if kind in _DATA:
        folder = register_data(kind, path)
        return {"kind": kind, "folder": str(folder), "licence": DATA_LICENCES[kind]}
    if kind in ("yunet", "facemesh"):
        files, told = _detector(kind, path)
    elif kind in _CHECKPOINTS:
        files, told = _checkpoint(kind, path)
    else:
        files, told = _face_model(kind, path, uv, landmarks, scratch)
    asset = register_asset(kind, files, source=path.name)
    return {"kind": kind, "file": str(asset.path), "licence": asset.licence, **told}


def _data_folder(kind: str) -> str:
    """Return where the data of a benchmark are, or what is wrong with them."""
    from ..assets import find_data
    from ..errors import InputError

    try:
        return str(find_data(kind))
    except InputError as error:
        return str(error)


def _face_model(
    kind: str, path: Path, uv: Path | None, landmarks: Path | None, scratch: Path
) -> tuple[dict[str, Path], dict[str, Any]]:
    """Return the files to register, main one first, and what the model is."""
    from .bfm import UV_FILE, load_bfm
    from .bfmalbedo import BASE_FILE, MEAN_FILE, albedo_maps_beside
    from .flame import convert_flame
    from .ict import load_ict
    from .ictfolder import convert_ict

    if kind == "bfm":
        model = load_bfm(path, uv=uv)
        beside = path.with_name(UV_FILE)
        chart = beside if uv is None and beside.is_file() else uv
        files = {"BFM_model_front.mat": path} | ({} if chart is None else {UV_FILE: chart})
        if albedo_maps_beside(path) is not None:
            files |= {name: path.with_name(name) for name in (MEAN_FILE, BASE_FILE)}
    elif kind == "flame":
        files = {"flame.npz": scratch / "flame.npz"}
        model = convert_flame(path, files["flame.npz"], landmarks=landmarks, uv=uv)
    elif path.is_dir():
        files = {"ict_face_model.npz": scratch / "ict_face_model.npz"}
        model = convert_ict(path, files["ict_face_model.npz"])
    else:
        files = {"ict_face_model.npz": path}
        model = load_ict(path)
    told: dict[str, Any] = {
        "vertices": model.n_vertices,
        "triangles": len(model.faces),
        "identity modes": model.n_identity,
        "expression modes": model.n_expression,
        "albedo modes": model.n_albedo,
        "notes": list(model.notes),
    }
    return files, told


def _detector(kind: str, path: Path) -> tuple[dict[str, Path], dict[str, Any]]:
    """Return the file to register; raise unless it is a network that the detector can use."""
    from ..errors import ModelFileError
    from .landmark_opencv import check_network

    if not path.is_file():
        raise ModelFileError(f"{path}: a folder; give the file of the {kind} model")
    with path.open("rb") as stream:
        head = stream.read(8)
    if kind == "facemesh" and head[4:] != b"TFL3":
        raise ModelFileError(f"{path}: no TensorFlow Lite file; give face_landmark.tflite")
    if kind == "yunet" and head[:1] != b"\x08":
        raise ModelFileError(f"{path}: no ONNX file; give face_detection_yunet_*.onnx")
    check_network(kind, path)
    name = {"yunet": "face_detection_yunet.onnx", "facemesh": "face_landmark.tflite"}[kind]
    return {name: path}, {}


def _checkpoint(kind: str, path: Path) -> tuple[dict[str, Path], dict[str, Any]]:
    """Return the file to register, and what it is; raise unless every tensor is as it should."""
    from .checkpoint_check import check_deretouch, check_hrn

    info = check_hrn(path) if kind == "hrn" else check_deretouch(path)
    suffix = {"official": ".pth", "facekit": ".safetensors"}[info.kind]
    told: dict[str, Any] = {"weights": info.kind}
    if kind == "hrn":
        told["face model"] = "bfm" if info.face is None else info.face.name
        told["modes"] = " + ".join(str(n) for n in info.layout.counts)
        told["backbone"] = info.layout.backbone
    return {kind + suffix: path}, told
