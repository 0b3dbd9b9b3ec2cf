"""Virtual people as a `facekit-hdf5` dataset: rendered once, read as any other capture.

    <out>/render.json           what it was rendered with: other settings need another folder
    <out>/subjects/<person>.h5  a shard a person: a capture a take, a camera a view
    <out>/...                   as `dataset/export/hdf5.py` describes

The world is the head frame. `mesh/vertices` is the true smooth surface; of what it departs from
the morphable fit `maps/deformation` has as much as a map of that size can.
"""

import datetime
import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.console import track
from ...core.errors import InputError
from ...core.facemodel.load import load_face_model
from ...core.facemodel.model import FaceModel
from ...core.files import clear_unfinished, hash_of, read_json, write_json, write_text
from ...core.folderlock import only_writer
from ...core.jobs import each_apart
from ...dataset.bake.chart import chart
from ...dataset.bake.deformation import OURS, map_of_offsets
from ...dataset.bake.maps import Base
from ...dataset.export.encoding import as_array, jpeg, png
from ...dataset.export.hdf5 import NO_LICENCE
from ...dataset.export.provenance import sha256_of
from ...dataset.export.subjects import splits_of
from ...dataset.manifest import MANIFEST, files_of, read_manifest, write_manifest
from ...dataset.seal import check_seal
from ...dataset.store import CaptureRecord, encode_displacement, write_shard
from ...dataset.topologyfile import topology_of, write_topology
from .sample import Sample, Truth
from .virtual import VirtualConfig, VirtualSource

log = logging.getLogger(__name__)

RENDER_FILE = "render.json"
_FORMAT, _VERSION = "facekit-render", 1
_QUALITY = 98  # of the photographs inside: they are small
_N_DISTORTION = 8
_SHOWN = 0.05  # an activation that an expression's name tells


@dataclass(frozen=True, kw_only=True)
class RenderConfig:
    """What is rendered into a dataset."""

    model: str = "builtin"  # face model whose topology and chart the truth has
    virtual: VirtualConfig = field(
        default_factory=lambda: VirtualConfig(takes=2, views=5, size=512)
    )
    deformation_px: int = 64  # texels a side of the deformation map
    licence: str = NO_LICENCE  # stands in LICENSE and in every shard
    name: str = ""  # of the dataset; its folder's by default
    people_a_process: int = 8  # rendered one after the other by a process

    def __post_init__(self) -> None:
        if self.deformation_px < 4 or self.people_a_process < 1:
            raise InputError(
                f"deformation_px = {self.deformation_px}, people_a_process = "
                f"{self.people_a_process}: at least 4 and 1"
            )


def render_dataset(out: Path, config: RenderConfig, *, jobs: int = 1) -> dict[str, Any]:
    """Render virtual people into a dataset, or go on with one; people who are there are kept.

    More people may be added later: all else about the settings has to be the same.

    Returns
    -------
    dict
        `dataset` (path), `subjects`, `captures`, `images`, `rendered` and `kept` (people),
        `splits` (subject -> split).

    Raises
    ------
    InputError
        The folder holds a dataset of other settings, or it cannot be written.
    """
    with only_writer(out):
        return _render(out, config, jobs)


def _render(out: Path, config: RenderConfig, jobs: int) -> dict[str, Any]:
    settings = claim(out, config)
    for folder in (out, out / "subjects", out / "topology"):
        clear_unfinished(folder)
    model = load_face_model(config.model)
    _put_topology(out, model)
    numbers = [n for n in range(config.virtual.n_people) if not _is_there(out, config, n)]
    step = config.people_a_process
    chunks = [numbers[i : i + step] for i in range(0, len(numbers), step)]
    work = partial(_render_people, out, config, sha256_of(settings))
    if jobs > 1:
        for _, future in track(each_apart(work, chunks, jobs=jobs), "people", total=len(chunks)):
            future.result()
    else:
        for chunk in track(chunks, "people"):
            work(chunk)
    manifest = _finish(out, config)
    return {
        "dataset": str(out),
        "subjects": len(manifest.subjects),
        "captures": manifest.n_captures,
        "images": manifest.n_images,
        "rendered": len(numbers),
        "kept": config.virtual.n_people - len(numbers),
        "splits": {entry.id: entry.split for entry in manifest.subjects},
    }


def _settings(config: RenderConfig) -> dict[str, Any]:
    """Return what a person's shard depends upon."""
    virtual = asdict(config.virtual)
    del virtual["n_people"]
    settings = {
        "model": config.model, "virtual": virtual, "deformation_px": config.deformation_px,
        "licence": config.licence,
    }  # fmt: skip
    return dict(json.loads(json.dumps(settings)))


def claim(out: Path, config: RenderConfig) -> dict[str, Any]:
    """Note in the folder what is rendered into it, and return it.

    Raises
    ------
    InputError
        The folder holds a dataset of other settings, or shards of something else.
    SchemaError
        What it holds is of another version.
    """
    settings = _settings(config)
    path = out / RENDER_FILE
    if path.is_file():
        known = read_json(path, format_name=_FORMAT, version=_VERSION)
        if known.get("settings") != settings:
            raise InputError(f"{out}: was rendered with other settings; give another folder")
        return settings
    if files_of(out / "subjects", ".h5"):
        raise InputError(f"{out}: has shards but no {RENDER_FILE}; give another folder")
    out.mkdir(parents=True, exist_ok=True)
    write_json(path, {"format": _FORMAT, "version": _VERSION, "settings": settings})
    return settings


def _put_topology(out: Path, model: FaceModel) -> None:
    path = out / "topology" / f"{model.name}.h5"
    if not path.is_file():
        write_topology(path, topology_of(model))


def _shard(out: Path, config: RenderConfig, number: int) -> Path:
    return out / "subjects" / f"virtual-{config.virtual.seed}-{number}.h5"


def _is_there(out: Path, config: RenderConfig, number: int) -> bool:
    """Tell whether a person's shard is there and whole."""
    path = _shard(out, config, number)
    if not path.is_file():
        return False
    try:
        check_seal(path)
    except InputError as error:
        log.warning("%s; it is rendered again", error)
        return False
    return True


def _render_people(
    out: Path, config: RenderConfig, config_sha256: str, numbers: Sequence[int]
) -> None:
    """Write the shards of some people."""
    model = load_face_model(config.model)
    source = VirtualSource(model, config.virtual)
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    for number in numbers:
        path = _shard(out, config, number)
        write_shard(
            path,
            attributes={
                "created_utc": now,
                "config_sha256": config_sha256,
                "subject": path.stem,
                "consent_id": "none",
                "licence": config.licence,
            },
            topology=topology_of(model).attributes(),
            captures=_captures(source, model, config, number),
        )


def _captures(
    source: VirtualSource, model: FaceModel, config: RenderConfig, number: int
) -> Iterator[CaptureRecord]:
    """Yield a person's takes."""
    c = config.virtual
    first = number * c.takes * c.views
    for take in range(c.takes):
        start = first + take * c.views
        samples = [source[i] for i in range(start, start + c.views)]
        yield virtual_record(
            samples, model, name=f"take{take:02d}", deformation_px=config.deformation_px,
            told={"virtual": {"seed": c.seed, "person": number, "take": take}},
        )  # fmt: skip


def virtual_record(
    samples: Sequence[Sample], model: FaceModel, *, name: str, deformation_px: int,
    told: dict[str, Any],
) -> CaptureRecord:  # fmt: skip
    """Return the record of a take: photographs of one moment, and the truth that they share.

    Parameters
    ----------
    samples : sequence of Sample
        The take's views, all with a truth.
    told : dict
        JSON-able: how it came about.

    Raises
    ------
    InputError
        A sample has no truth.
    """
    truths = [sample.truth for sample in samples if sample.truth is not None]
    if len(truths) != len(samples) or not samples:
        raise InputError(f"{name}: a sample without truth is none of a dataset")
    data = _cameras(samples, truths) | _surface(truths[0], model, deformation_px)
    attributes: dict[str, dict[str, Any]] = {
        "maps/deformation": {
            "frame": "head, unposed", "base": "M0", "interp": "bilinear between texel centres",
        },
        "maps/displacement": {
            "direction": "smooth vertex normal of M1, + outward", "base": str(Base.CURVED),
        },
    }  # fmt: skip
    hashes = []
    for view, sample in zip(_names(samples), samples, strict=True):
        height, width = sample.image.shape[:2]
        size = {"width": width, "height": height}
        hashes.append(hashlib.sha256(sample.image.tobytes()).hexdigest())
        data[f"images/{view}"] = as_array(jpeg(sample.image, quality=_QUALITY))
        data[f"masks/{view}"] = as_array(png(sample.mask))
        attributes[f"masks/{view}"] = size
        attributes[f"images/{view}"] = {
            **size, "sha256_original": hashes[-1], "scale": 1.0, "colourspace": "sRGB",
        }  # fmt: skip
    return CaptureRecord(
        name=name,
        attributes={
            "take": name,
            "expression": expression_name(truths[0], model),
            "session": hash_of([samples[0].person, "virtual"]),
            "capture_sha256": sha256_of(sorted(hashes)),
            "status": "complete",
            "stages_json": json.dumps({**told, "metric": True, "stages": {}}),
        },
        data=data,
        data_attributes=attributes,
    )


def expression_name(truth: Truth, model: FaceModel) -> str:
    """Return what a face does, in the words of its model's modes."""
    shown = [
        f"{name} {value:.2f}"
        for name, value in zip(model.expression_names, truth.expression, strict=True)
        if abs(value) > _SHOWN
    ]
    return ", ".join(shown) or "neutral"


def _names(samples: Sequence[Sample]) -> list[str]:
    return [f"view{i:02d}" for i in range(len(samples))]


def _cameras(samples: Sequence[Sample], truths: Sequence[Truth]) -> dict[str, NDArray[Any]]:
    n = len(samples)
    marks = np.stack([sample.landmarks for sample in samples])
    return {
        "cameras/K": np.stack([truth.K for truth in truths]),
        "cameras/RT": np.stack([truth.cam_from_head for truth in truths]),
        "cameras/dist": np.zeros((n, _N_DISTORTION)),
        "cameras/size": np.array([sample.image.shape[1::-1] for sample in samples]),
        "cameras/id": np.array([name.encode() for name in _names(samples)], "S64"),
        "cameras/valid": np.ones(n, np.uint8),
        "cameras/reproj_rms_px": np.zeros(n),
        "landmarks/pixels": marks.astype(np.float64),
    }


def _surface(truth: Truth, model: FaceModel, size: int) -> dict[str, NDArray[Any]]:
    """Return meshes and maps of a truth; the world is the head frame."""
    coarse = model.shape(truth.identity, truth.expression)
    texels = chart(model, size)
    known = texels.inside & (texels.interpolated(truth.support) > 0.5)
    displacement, fits = encode_displacement(truth.displacement)
    valid = truth.displacement_valid & fits
    return {
        "mesh/vertices": truth.vertices,
        "mesh/coarse_vertices": coarse,
        "mesh/support": np.clip(truth.support, 0, 1),
        "mesh/identity": truth.identity.astype(np.float64),
        "mesh/expression": truth.expression.astype(np.float64),
        "mesh/pose": np.eye(3, 4),
        "maps/deformation": map_of_offsets(texels, truth.vertices - coarse, place=OURS),
        "maps/deformation_valid": known.astype(np.uint8),
        "maps/deformation_sigma": np.zeros((size, size), np.float32),
        "maps/displacement": displacement,
        "maps/valid": valid.astype(np.uint8),
        "maps/sigma": np.zeros(valid.shape, np.float32),
        "landmarks/points": truth.vertices[model.landmarks68].astype(np.float64),
        "landmarks/sigma": np.zeros(len(model.landmarks68)),
    }


def _finish(out: Path, config: RenderConfig) -> Any:
    """Write what people read, and the manifest with the hashes of all files."""
    before = {}
    if (out / MANIFEST).is_file():
        before = {entry.id: entry.split for entry in read_manifest(out).subjects}
    people = [path.stem for path in files_of(out / "subjects", ".h5")]
    splits = splits_of(people, before)
    name = config.name or out.resolve().name
    write_text(out / "LICENSE", config.licence.strip() + "\n")
    write_text(out / "DATASHEET.md", _datasheet(name, config, len(people)))
    return write_manifest(out, name=name, licence=config.licence, splits=splits)


def _datasheet(name: str, config: RenderConfig, n_people: int) -> str:
    c = replace(config.virtual, n_people=max(n_people, 1))
    rows = "\n".join(f"- {key}: {value}" for key, value in asdict(c).items())
    return (
        f"# Datasheet of {name}\n\n"
        "Virtual people, rendered by facekit: nobody in it exists. Identities, expressions, "
        "skin, light and cameras are drawn from a seed; every shape, map and camera is exact, "
        "so that the maps of uncertainty are zero. Landmarks in pixels are as noisy as a "
        "detector's. What it cannot tell: how real skin, hair, teeth and glasses look.\n\n"
        f"Topology: {config.model}. Licence: {config.licence}.\n\n## Settings\n\n{rows}\n"
    )
