"""Strict checks of HRN's checkpoints: every tensor by name, shape and kind of number.

The official loader takes what fits and leaves the rest random; here a file that is not exactly
what it should be is refused, and the sentence says which tensor told so. No number is read.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from ..errors import ModelFileError, SchemaError
from .checkpoint_files import TensorInfo, is_torch_file, read_safetensors_file, read_torch_file
from .checkpoint_tables import (
    BACKBONE_NAMES,
    COUNTER,
    HrnLayout,
    Shape,
    Table,
    deretouch_table,
    hrn_table,
)
from .model import FaceModel

HEADER = "facekit"
"""Name of the text in a safetensors file that holds the header, JSON."""
FORMATS: Mapping[str, str] = {"hrn": "facekit-hrn", "deretouch": "facekit-deretouch"}
VERSION = 1

_HRN = "HRN's checkpoint (epoch_10.pth, or one of facekit's own)"
_DERETOUCH = "HRN's de-retouching network (de-retouching.pth, or one of facekit's own)"
_NETWORKS = ("net_recon", "mid_net", "high_net")
_GAINS = ("alpha", "beta")
_TRAINER = re.compile(r"(opt|sched)_\d\d")
_FLOATS = ("float16", "bfloat16", "float32", "float64")
_CHART_TOLERANCE = 1e-3  # of a tile; other charts are off by hundredths
_LARGEST = {"counts": 10_000, "width": 1024, "blocks": 100, "size": 8192}

Kind = Literal["official", "facekit"]


@dataclass(frozen=True, kw_only=True)
class FaceRecord:
    """The face model that a checkpoint goes with, as far as its header tells."""

    name: str
    n_vertices: int
    chart: tuple[float, float, float, float]
    """Mean u, mean v, standard deviation of u and of v over the texture coordinates."""


@dataclass(frozen=True, kw_only=True)
class CheckpointInfo:
    """A checkpoint that passed, without its numbers."""

    path: Path
    kind: Kind
    """`official`: as HRN's authors published; `facekit`: written by facekit."""
    layout: HrnLayout = field(default_factory=HrnLayout)
    """Of HRN's networks."""
    width: int = 64
    """Of the de-retouching network."""
    size: int = 512
    """Side of the textures it is made for, texels."""
    face: FaceRecord | None = None
    """None: not told, as in the official files."""
    facekit: str | None = None
    """Version that wrote the file."""
    training: Mapping[str, Any] = field(default_factory=dict)
    """What the trainer left to say."""


def face_record(model: FaceModel) -> FaceRecord:
    """Return what a checkpoint's header says of a face model."""
    mean, sigma = model.uv.mean(axis=0), model.uv.std(axis=0)
    return FaceRecord(
        name=model.name,
        n_vertices=model.n_vertices,
        chart=(float(mean[0]), float(mean[1]), float(sigma[0]), float(sigma[1])),
    )


def check_hrn(path: Path) -> CheckpointInfo:
    """Check a checkpoint of HRN's three networks and their gains.

    Raises
    ------
    ModelFileError
        The file is absent, damaged, or not exactly what it should be; the message names the
        tensor at fault.
    SchemaError
        It is facekit's own, but another kind or version.
    """
    if not is_torch_file(path):
        tensors, header = _own(path, "hrn", _HRN)
        layout = _layout(header, path)
        _check_tensors(tensors, hrn_table(layout), path)
        return CheckpointInfo(
            path=path, kind="facekit", layout=layout, face=_face(header, path), **_written(header)
        )
    found = read_torch_file(path, what=_HRN)
    absent = [name for name in (*_NETWORKS, *_GAINS) if name not in found]
    if absent:
        raise ModelFileError(
            f"{path}: {absent[0]}: absent; its top level holds {_listed(found)}, but {_HRN} "
            f"holds {', '.join((*_NETWORKS, *_GAINS))}"
        )
    tensors = {name: _tensor(found[name], name, path) for name in _GAINS}
    for net in _NETWORKS:
        tensors |= _state(found[net], net, path)
    for name in found:
        if name not in (*_NETWORKS, *_GAINS) and not _TRAINER.fullmatch(name):
            raise ModelFileError(f"{path}: {_short(name)}: not of {_HRN}")
    _check_tensors(tensors, hrn_table(HrnLayout()), path)
    return CheckpointInfo(path=path, kind="official")


def check_deretouch(path: Path) -> CheckpointInfo:
    """Check a checkpoint of the de-retouching network.

    Raises
    ------
    ModelFileError
        The file is absent, damaged, or not exactly what it should be; the message names the
        tensor at fault.
    SchemaError
        It is facekit's own, but another kind or version.
    """
    if not is_torch_file(path):
        tensors, header = _own(path, "deretouch", _DERETOUCH)
        width = _whole(header, "width", path, most=_LARGEST["width"])
        table = {f"generator.{name}": s for name, s in deretouch_table(width=width).items()}
        _check_tensors(tensors, table, path)
        told = {"size": CheckpointInfo.size} | header
        size = _whole(told, "size", path, most=_LARGEST["size"], least=16)
        return CheckpointInfo(path=path, kind="facekit", width=width, size=size, **_written(header))
    found = read_torch_file(path, what=_DERETOUCH)
    if "generator" not in found:
        raise ModelFileError(
            f"{path}: generator: absent; its top level holds {_listed(found)}; give {_DERETOUCH}"
        )
    table = {f"generator.{name}": shape for name, shape in deretouch_table().items()}
    _check_tensors(_state(found["generator"], "generator", path), table, path)
    return CheckpointInfo(path=path, kind="official")


def check_face(
    info: CheckpointInfo, model: FaceModel, *, n_albedo: int | None = None
) -> tuple[str, ...]:
    """Check that a checkpoint of HRN goes with a face model; return what a user should know.

    Parameters
    ----------
    n_albedo : int, optional
        Modes of the albedo in use, where they are not the model's own.

    Raises
    ------
    ModelFileError
        It goes with another one.
    """
    counts = (
        model.n_identity,
        model.n_expression,
        model.n_albedo if n_albedo is None else n_albedo,
    )
    name = "bfm" if info.face is None else info.face.name
    needed = " + ".join(str(n) for n in info.layout.counts)
    if name != model.name or counts != info.layout.counts:
        raise ModelFileError(
            f"{info.path}: made for the face model {_short(name)} with {needed} modes of identity, "
            f"expression and albedo, not for {model.name} with {' + '.join(map(str, counts))}"
        )
    if info.face is None:
        return tuple(note for note in model.notes if "HRN's released weights" in note)
    ours = face_record(model)
    if ours.n_vertices != info.face.n_vertices:
        raise ModelFileError(
            f"{info.path}: made for {name} with {info.face.n_vertices} vertices, but this one has "
            f"{ours.n_vertices}"
        )
    pairs = zip(ours.chart, info.face.chart, strict=True)
    if not max(abs(a - b) for a, b in pairs) < _CHART_TOLERANCE:
        raise ModelFileError(
            f"{info.path}: made for {name} with other texture coordinates; its maps would be "
            "misplaced"
        )
    return ()


def own_header(info: CheckpointInfo, kind: str, version: str) -> dict[str, str]:
    """Return the texts of a safetensors file for what `info` says."""
    header: dict[str, Any] = {"format": FORMATS[kind], "version": VERSION, "facekit": version}
    if kind == "hrn":
        assert info.face is not None
        header |= {"face_model": asdict(info.face), "layout": asdict(info.layout)}
    else:
        header |= {"width": info.width, "size": info.size}
    header["training"] = dict(info.training)
    return {HEADER: json.dumps(header, sort_keys=True, allow_nan=False)}


def _own(path: Path, kind: str, what: str) -> tuple[dict[str, TensorInfo], dict[str, Any]]:
    """Return tensors and header of one of facekit's own files."""
    tensors, texts = read_safetensors_file(path, what=what)
    try:
        header = json.loads(texts[HEADER])
        name, version = header["format"], header["version"]
    except (KeyError, ValueError, TypeError, RecursionError):
        raise SchemaError(
            f"{path}: a safetensors file, but without facekit's header; give {what}"
        ) from None
    if name != FORMATS[kind]:
        raise SchemaError(f"{path}: not a {FORMATS[kind]} file (its format is {_short(name)})")
    if version != VERSION:
        raise SchemaError(
            f"{path}: {name} version {_short(version)}, but this facekit reads version {VERSION}"
        )
    return tensors, header


def _layout(header: dict[str, Any], path: Path) -> HrnLayout:
    told: Any = header.get("layout")
    if not isinstance(told, dict):
        raise SchemaError(f"{path}: layout: absent from its header")
    told = {"landmark_width": 0} | told  # older files have no such network
    values: dict[str, Any] = {}
    for entry in fields(HrnLayout):
        if entry.name == "backbone":
            if told.get("backbone") not in BACKBONE_NAMES:
                raise SchemaError(f"{path}: backbone: none of {', '.join(BACKBONE_NAMES)}")
            values["backbone"] = told["backbone"]
        elif entry.name == "counts":
            counts = told.get("counts")
            if not isinstance(counts, list) or len(counts) != 3:
                raise SchemaError(f"{path}: counts: not three numbers of modes")
            most = _LARGEST["counts"]
            values["counts"] = tuple(
                _whole({"counts": n}, "counts", path, most=most, least=0) for n in counts
            )
        else:
            most = _LARGEST[entry.name.rpartition("_")[2]]
            least = 0 if entry.name.endswith(("blocks", "landmark_width")) else 1
            values[entry.name] = _whole(told, entry.name, path, most=most, least=least)
    for name in ("deformation_size", "displacement_size"):
        if values[name] % 4 or values[name] < 16:
            raise SchemaError(f"{path}: {name}: {values[name]} is no multiple of 4 from 16")
    return HrnLayout(**values)


def _whole(told: Mapping[str, Any], name: str, path: Path, *, most: int, least: int = 1) -> int:
    value = told.get(name)
    if type(value) is not int or not least <= value <= most:
        raise SchemaError(f"{path}: {name}: not a whole number from {least} to {most}")
    return value


def _face(header: dict[str, Any], path: Path) -> FaceRecord:
    try:
        told = header["face_model"]
        u, v, sigma_u, sigma_v = (float(x) for x in told["chart"])
        return FaceRecord(
            name=str(told["name"]),
            n_vertices=int(told["n_vertices"]),
            chart=(u, v, sigma_u, sigma_v),
        )
    except (KeyError, TypeError, ValueError, OverflowError):
        raise SchemaError(f"{path}: face_model: absent from its header, or damaged") from None


def _written(header: dict[str, Any]) -> dict[str, Any]:
    training = header.get("training")
    return {
        "facekit": str(header.get("facekit")),
        "training": training if isinstance(training, dict) else {},
    }


def _state(found: Any, net: str, path: Path) -> dict[str, TensorInfo]:
    if not isinstance(found, dict):
        raise ModelFileError(f"{path}: {net}: holds a {type(found).__name__}, not tensors")
    names = [str(name) for name in found]
    for prefix, told in (
        ("model.model.", "a U-Net in place of the ResNet generator with 9 blocks"),
        ("module.", "saved from a DataParallel wrapper: save its .module"),
    ):
        if names and all(name.startswith(prefix) for name in names):
            raise ModelFileError(f"{path}: {net}: its names begin with {prefix}: {told}")
    return {f"{net}.{k}": _tensor(v, f"{net}.{k}", path) for k, v in found.items()}


def _tensor(found: Any, name: str, path: Path) -> TensorInfo:
    if not isinstance(found, TensorInfo):
        raise ModelFileError(f"{path}: {_short(name)}: a {type(found).__name__}, not a tensor")
    return found


def _check_tensors(tensors: Mapping[str, TensorInfo], table: Table, path: Path) -> None:
    """Raise on the first tensor that is absent, wrong or too many, in the table's order."""
    for name, shape in table.items():
        is_counter = name.endswith(COUNTER)
        info = tensors.get(name)
        if info is None and is_counter:
            continue
        if info is None:
            raise ModelFileError(f"{path}: {name}: absent{_hint(name, tensors, table)}")
        if info.shape != shape:
            raise ModelFileError(
                f"{path}: {name}: its shape is {_sizes(info.shape)}, not {_sizes(shape)}"
            )
        if info.dtype not in (("int64",) if is_counter else _FLOATS):
            raise ModelFileError(f"{path}: {name}: holds {info.dtype}, not what weights are")
    for name in tensors:
        if name not in table:
            raise ModelFileError(f"{path}: {_short(name)}: of no layer of this network")


def _hint(name: str, tensors: Mapping[str, TensorInfo], table: Table) -> str:
    n = sum(key not in tensors and not key.endswith(COUNTER) for key in table)
    others = f", as are {n - 1} others" if n > 1 else ""
    if ".conv_block.6." in name and name.replace(".6.", ".5.") in tensors:
        return f"{others}; its blocks have conv_block.5 instead, those of a network without dropout"
    return others


def _sizes(shape: Shape) -> str:
    return "(" + ", ".join(map(str, shape[:6])) + (", ...)" if len(shape) > 6 else ")")


def _listed(found: Mapping[str, Any]) -> str:
    names = [_short(name) for name in list(found)[:6]]
    return (", ".join(names) or "nothing") + (", ..." if len(found) > 6 else "")


def _short(name: Any) -> str:
    """Return a name that a message can hold, whatever the file makes of it."""
    text = name if isinstance(name, str) else type(name).__name__ if name is None else str(name)
    return "".join(c if c.isprintable() else "?" for c in text[:80])
