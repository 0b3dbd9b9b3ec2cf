"""Build folders to a dataset of shards, one a subject; what is there already is kept.

    <out>/dataset.json, SHA256SUMS    see `manifest`
    <out>/LICENSE, DATASHEET.md       under which terms; what this is, for people
    <out>/export.json                 what every shard was made from, as hashes, and its figures
    <out>/topology/<model>.h5         triangles and chart, once for all
    <out>/subjects/<pseudonym>.h5     see `store`

Who is who stays in the sessions' `restricted/` folders.
"""

import datetime
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ...capture.sidecar import Purpose
from ...core.console import track
from ...core.errors import InputError
from ...core.facemodel.model import FaceModel
from ...core.files import (
    clear_unfinished,
    hash_of,
    read_json,
    sha256_file,
    write_json,
    write_text,
)
from ...core.folderlock import in_use, only_writer
from ..build import EXPECTED, reason_of
from ..manifest import MANIFEST, files_of, read_manifest, write_manifest
from ..schema import NAME, VERSION
from ..shardcheck import verify_topology
from ..store import CaptureRecord, write_shard
from ..topologyfile import topology_of, write_topology
from .datasheet import datasheet
from .figures import capture_figures
from .gathering import Gathered, SourceTake, gather
from .provenance import config_of, sha256_of
from .records import MOST_SIDE_PX, TakeResults, capture_record
from .subjects import Subject, splits_of

log = logging.getLogger(__name__)

EXPORT_FILE = "export.json"
EXPORT_FORMAT = "facekit-export"
EXPORT_VERSION = 1
NO_LICENCE = "not stated: internal use"
_MADE = 2  # what is made of a take: a change makes older shards stale


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """How a dataset is made."""

    purpose: Purpose = Purpose.RESEARCH  # a consent that does not cover it keeps a subject back
    no_person: bool = False  # whoever has no consent form is none: a bust, a mannequin
    licence: str = NO_LICENCE  # stands in LICENSE and in every shard
    name: str = ""  # of the dataset; its folder's by default
    normals: bool = True  # two thirds of a shard's bytes; they follow from the other maps
    image_px: int = MOST_SIDE_PX  # longer side of the photographs inside; larger ones stay outside


@dataclass
class _Shard:
    """A subject's shard while it is made."""

    subject: Subject
    takes: tuple[SourceTake, ...]
    config: ExportConfig
    figures: dict[str, Any] = field(default_factory=dict)
    """Capture -> figures of those written."""
    failed: dict[str, str] = field(default_factory=dict)
    """Capture -> why it was not written."""

    @property
    def inputs(self) -> str:
        """A hash of all that the shard depends upon."""
        takes = {one.name: one.source.hashes_of(one.take) for one in self.takes}
        how = [_MADE, VERSION, self.config.licence, self.config.image_px, self.config.normals]
        return hash_of([how, asdict(self.subject), takes])

    def records(self, model: FaceModel) -> Iterator[CaptureRecord]:
        """Yield the captures; one that cannot be made does not stop the others.

        Raises
        ------
        InputError
            None can be made.
        """
        for one in self.takes:
            try:
                record, figures = _record(one, model, self.config)
            except EXPECTED as error:
                self.failed[one.name] = reason_of(error)
                continue
            yield record
            self.figures[one.name] = figures
        if not self.figures:
            raise InputError("; ".join(self.failed.values()))


def export_hdf5(builds: Sequence[Path], out: Path, config: ExportConfig) -> dict[str, Any]:
    """Write a dataset, or add to one; shards whose inputs have not changed are kept.

    Returns
    -------
    dict
        `dataset` (path), `subjects` (pseudonym -> captures, megabytes, whether it was kept),
        `refused` (build folder -> reason), `failed` (take or subject -> reason), counts.

    Raises
    ------
    InputError
        Nothing can be exported, the folder holds another dataset, or it cannot be written.
    """
    if config.image_px < 16:
        raise InputError(f"image_px: {config.image_px}, but photographs need 16 px and more")
    gathered = gather(builds, config.purpose, no_person=config.no_person, shards=out / "subjects")
    out.mkdir(parents=True, exist_ok=True)
    with in_use(out), only_writer(out):
        return _export(gathered, out, config)


def _export(gathered: Gathered, out: Path, config: ExportConfig) -> dict[str, Any]:
    record = _known_export(out, config, [s.pseudonym for s in gathered.subjects])
    for folder in (out, out / "subjects", out / "topology"):
        clear_unfinished(folder)
    write_json(out / EXPORT_FILE, record)  # first: what is killed can be gone on with
    failed = dict(gathered.left_out)
    done: dict[str, Any] = {}
    for subject, takes in track(sorted(gathered.subjects.items(), key=_by_name), "subjects"):
        shard = _Shard(subject=subject, takes=takes, config=config)
        try:
            done[subject.pseudonym] = _export_subject(out, shard, record)
        except EXPECTED as error:
            failed[subject.pseudonym] = reason_of(error)
        failed |= {f"{subject.pseudonym}/{name}": why for name, why in shard.failed.items()}
    if not done:
        raise InputError("no subject could be exported. " + "; ".join(failed.values()))
    manifest = _finish(out, config, record)
    return {
        "dataset": str(out),
        "subjects": done,
        "splits": {entry.id: entry.split for entry in manifest.subjects},
        "captures": manifest.n_captures,
        "images": manifest.n_images,
        "refused": dict(gathered.refused),
        "failed": failed,
    }


def _by_name(entry: tuple[Subject, Any]) -> str:
    return entry[0].pseudonym


def _export_subject(out: Path, shard: _Shard, record: dict[str, Any]) -> dict[str, Any]:
    """Write one shard unless it is there; keep `record` and `export.json` up to date."""
    name = shard.subject.pseudonym
    path, inputs = out / "subjects" / f"{name}.h5", shard.inputs
    known = record["subjects"].get(name, {})
    if known.get("inputs") == inputs and _is_whole(path, known):
        log.info("%s: finished already", name)
        return {"captures": len(known["captures"]), "mb": _mb(path), "kept": True}
    model = _common_model(shard)
    topology = _put_topology(out, model)
    written = write_shard(
        path,
        attributes={
            "created_utc": _newest(shard.takes),
            "config_sha256": sha256_of(
                [config_of(one.source.stage_folders(one.take)) for one in shard.takes]
            ),
            "subject": name,
            "consent_id": shard.subject.consent_id,
            "licence": shard.config.licence,
        },
        topology=topology,
        captures=shard.records(model),
    )
    record["subjects"][name] = {
        # a take that failed may be mended without a hash that tells of it
        "inputs": inputs if not shard.failed else "",
        "sha256": sha256_file(path),
        "model": model.name,
        "consent": shard.subject.consent_id != "none",
        "captures": shard.figures,
        "failed": sorted(shard.failed),
    }
    write_json(out / EXPORT_FILE, record)
    log.info("%s: %d captures, %.1f MB", name, len(shard.figures), written.file_bytes / 1e6)
    return {"captures": len(shard.figures), "mb": _mb(path), "kept": False}


def _record(
    one: SourceTake, model: FaceModel, config: ExportConfig
) -> tuple[CaptureRecord, dict[str, Any]]:
    source, take = one.source, one.take
    registered, maps = source.results(take, model)
    results = TakeResults(
        registered=registered, maps=maps, rig=source.rig_of(take), rms_px=source.rms_of(take),
        unused=source.unused_views(take), folder=source.take_folder(take),
        stage_folders=source.stage_folders(take),
    )  # fmt: skip
    made = capture_record(
        source.session,
        take,
        results,
        name=one.name,
        most_side=config.image_px,
        normals=config.normals,
    )
    figures = {
        "expression": made.attributes["expression"],
        "images": sum(path.startswith("images/") for path in made.data),
        "metric": results.rig.metric,
        **capture_figures(registered, maps),
    }
    return made, figures


def _common_model(shard: _Shard) -> FaceModel:
    models = [one.source.model(one.take) for one in shard.takes]
    names = sorted({model.name for model in models})
    if len(names) > 1:
        raise InputError(
            f"{shard.subject.pseudonym}: its takes are registered with {' and '.join(names)}, but "
            "a shard has one topology; export them to folders of their own"
        )
    return models[0]


def _put_topology(out: Path, model: FaceModel) -> dict[str, Any]:
    """Write the topology unless it is there; return the attributes that shards repeat."""
    if not NAME.fullmatch(model.name):
        raise InputError(f"face model {model.name!r}: not a name that a file may have")
    topology = topology_of(model)
    attributes = topology.attributes()
    path = out / "topology" / f"{model.name}.h5"
    if not path.is_file():
        write_topology(path, topology)
        return attributes
    known = verify_topology(path)
    if any(known.get(key) != value for key, value in attributes.items()):
        raise InputError(
            f"{path}: is of another release of the model {model.name}; export to another folder"
        )
    return attributes


def _known_export(out: Path, config: ExportConfig, subjects: Sequence[str]) -> dict[str, Any]:
    """Return what `export.json` says, or a new one."""
    path = out / EXPORT_FILE
    if not path.is_file():
        if files_of(out / "subjects", ".h5"):
            raise InputError(f"{out}: has shards but no {EXPORT_FILE}; give another folder")
        found: dict[str, Any] = {"subjects": {}}
    else:
        found = read_json(path, format_name=EXPORT_FORMAT, version=EXPORT_VERSION)
        if found.get("purpose") != config.purpose:
            raise InputError(
                f"{out}: was exported for {found.get('purpose')}, not for {config.purpose}; give "
                "another folder"
            )
        others = sorted(set(found["subjects"]) - set(subjects))
        if others and found.get("licence") != config.licence:
            raise InputError(
                f"{out}: its licence is {found.get('licence')!r}, which {others[0]} was exported "
                "under; give the same with --licence, or all build folders again"
            )
    return {
        "format": EXPORT_FORMAT,
        "version": EXPORT_VERSION,
        "purpose": config.purpose,
        "licence": config.licence,
        "subjects": found["subjects"],
    }


def _finish(out: Path, config: ExportConfig, record: dict[str, Any]) -> Any:
    """Write what people read, and then the manifest with the hashes of all files."""
    before = {}
    if (out / MANIFEST).is_file():
        before = {entry.id: entry.split for entry in read_manifest(out).subjects}
    present = {path.stem for path in files_of(out / "subjects", ".h5")}
    record["subjects"] = {
        name: entry for name, entry in sorted(record["subjects"].items()) if name in present
    }
    splits = splits_of(present, before)
    name = config.name or out.resolve().name
    write_json(out / EXPORT_FILE, record)
    write_text(out / "LICENSE", config.licence.strip() + "\n")
    write_text(out / "DATASHEET.md", datasheet(name, record, splits))
    return write_manifest(out, name=name, licence=config.licence, splits=splits)


def _is_whole(path: Path, known: Mapping[str, Any]) -> bool:
    return path.is_file() and sha256_file(path) == known.get("sha256")


def _folder(one: SourceTake) -> Path:
    return one.source.take_folder(one.take)


def _newest(takes: Sequence[SourceTake]) -> str:
    newest = max((_folder(one) / "maps.npz").stat().st_mtime for one in takes)
    moment = datetime.datetime.fromtimestamp(int(newest), datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _mb(path: Path) -> float:
    return round(path.stat().st_size / 1e6, 2)
