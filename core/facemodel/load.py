"""A face model by its name or its file: the one way in for every stage."""

from pathlib import Path

from ..assets import load_asset
from ..errors import InputError, ModelFileError
from ..npzfile import npz_names
from .bfm import UV_FILE, load_bfm
from .flame import load_flame
from .ict import load_ict
from .ictfolder import NEUTRAL, load_ict_folder
from .model import FaceModel
from .procedural import procedural_head

BUILT_IN = ("builtin", "procedural")
KINDS = ("ict", "bfm", "flame")
MODEL_NAMES = (*BUILT_IN, *KINDS)
"""What is a name, whatever files and folders are called."""
_MAT_BEGINS = b"MATLAB 5.0 MAT-file"
_MAT73_BEGINS = b"MATLAB 7.3 MAT-file"
_PICKLE_BEGINS = (b"\x80", b"(")


def load_face_model(name_or_path: str | Path) -> FaceModel:
    """Load a face model.

    Parameters
    ----------
    name_or_path : str or Path
        `builtin`; `ict`, `bfm` or `flame` as registered by `facekit assets add`; or the path
        of a model's file or folder, whose kind is told from what is in it.

    Raises
    ------
    InputError
        Nothing is registered by that name, and no file or folder has it.
    ModelFileError
        The file is not a face model, or a damaged one; the message names the field at fault.
    """
    name = str(name_or_path)
    if name in BUILT_IN:
        return procedural_head()
    if name in KINDS:
        return _registered(name)
    path = Path(name_or_path)
    if not path.exists():
        raise InputError(
            f"{name}: neither a face model's name (builtin, {', '.join(KINDS)}) nor a path that "
            "exists"
        )
    kind = face_model_kind(path)
    if kind == "bfm":
        return load_bfm(path)
    if kind == "flame":
        return load_flame(path)
    return load_ict_folder(path) if path.is_dir() else load_ict(path)


def face_model_kind(path: Path) -> str:
    """Tell `ict`, `bfm` or `flame` from the content of a file or folder.

    Raises
    ------
    ModelFileError
        It is none of them.
    """
    if path.is_dir():
        if (path / NEUTRAL).is_file():
            return "ict"
        raise ModelFileError(f"{path}: a folder without {NEUTRAL}; no face model's")
    fields = npz_names(path)
    for field, kind in (("neutral", "ict"), ("v_template", "flame")):
        if field in fields:
            return kind
    with path.open("rb") as stream:
        head = stream.read(len(_MAT_BEGINS))
    if head == _MAT73_BEGINS:
        raise ModelFileError(f"{path}: a MATLAB 7.3 file; save it with -v7, as BFM's is")
    if head == _MAT_BEGINS:
        return "bfm"
    if head.startswith(_PICKLE_BEGINS):
        return "flame"
    raise ModelFileError(
        f"{path}: no face model: neither BFM_model_front.mat, nor FLAME's .pkl or .npz, nor "
        "ict_face_model.npz"
    )


def _registered(kind: str) -> FaceModel:
    asset = load_asset(kind)
    if asset is None:
        raise InputError(f"no {kind} model is registered; run: facekit assets add {kind} PATH")
    if kind == "bfm":
        return load_bfm(asset.path, uv=asset.file(UV_FILE))
    return load_flame(asset.path) if kind == "flame" else load_ict(asset.path)
