"""Where a session's results come from: versions, settings and hashes of every finished stage."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.errors import FacekitError
from ..core.files import STAGE_RECORD, hash_of, read_json, sha256_file
from ..core.report import Block, Cell, Fold, Missing, Section, Status, Table, Text

_DEPTHS = ("", "*/", "*/*/", "*/*/*/")  # folders between a root and the records
_SHORT = 12  # characters of a hash that are shown


@dataclass(frozen=True, kw_only=True)
class StageFound:
    """A `stage.json`."""

    place: str
    """Its folder, from the folder above the root on."""
    stage: str
    facekit: str
    """Version that made it."""
    key: str
    """Hash of stage, settings and inputs."""
    config: Mapping[str, Any]
    inputs: Mapping[str, str]
    seconds: float
    sha256: str
    """Of the record itself."""


def find_stages(roots: Sequence[Path | None]) -> list[StageFound]:
    """Return the records of finished stages in some folders, in the order of their places."""
    return [one for root in roots if root is not None for one in _records(root)]


def _records(root: Path) -> Iterator[StageFound]:
    for path in sorted({p for depth in _DEPTHS for p in root.glob(f"{depth}{STAGE_RECORD}")}):
        try:
            record = read_json(path, format_name="facekit-stage", version=1)
            yield StageFound(
                place=path.parent.relative_to(root.parent).as_posix(),
                stage=str(record["stage"]),
                facekit=str(record.get("facekit", "unknown")),
                key=str(record["key"]),
                config=dict(record["config"]),
                inputs={str(k): str(v) for k, v in dict(record["inputs"]).items()},
                seconds=float(record["seconds"]),
                sha256=sha256_file(path),
            )
        except (FacekitError, OSError, KeyError, TypeError, ValueError):
            continue  # a stage of another version tells nothing here


def provenance_section(stages: Sequence[StageFound], *, version: str) -> Section:
    """Return the section: what ran with which version, settings and inputs.

    Parameters
    ----------
    version : str
        Of the facekit that writes the page; stages made by another are marked.
    """
    title = "Provenance"
    if not stages:
        return Section(title=title, blocks=[Missing(what="Records of finished stages")])
    blocks: list[Block] = []
    others = sorted({one.facekit for one in stages} - {version})
    if others:
        said = f"Some stages were made by facekit {', '.join(others)}; this page by {version}."
        blocks.append(Text(text=said, status=Status.NOTE))
    blocks.append(_table(stages))
    blocks.append(Fold(title="settings of every stage", blocks=_settings(stages)))
    return Section(
        title=title,
        blocks=blocks,
        lead="A stage whose settings and inputs have the same hashes gives the same result; the "
        "last column says which record this page has read.",
    )


def _table(stages: Sequence[StageFound]) -> Table:
    rows: list[list[Cell]] = [
        [
            one.place, one.stage, f"v{one.facekit}", one.key[:_SHORT],
            hash_of(one.config)[:_SHORT], len(one.inputs),
            hash_of(dict(one.inputs))[:_SHORT] if one.inputs else None, f"{one.seconds:.1f}",
            one.sha256[:_SHORT],
        ]
        for one in stages
    ]  # fmt: skip
    return Table(
        columns=["folder", "stage", "facekit", "key", "settings", "inputs", "their hash",
                 "seconds", "sha256 of stage.json"],
        rows=rows,
    )  # fmt: skip


def _settings(stages: Sequence[StageFound]) -> list[Block]:
    """Return each stage's settings once for all folders that share them."""
    groups: dict[tuple[str, str], list[StageFound]] = {}
    for one in stages:
        groups.setdefault((one.stage, hash_of(one.config)), []).append(one)
    blocks: list[Block] = []
    for (stage, _), members in groups.items():
        rows: list[list[Cell]] = [[k, _value(v)] for k, v in members[0].config.items()]
        if rows:
            places = ", ".join(one.place for one in members)
            blocks.append(Table(columns=["setting", "value"], rows=rows,
                                caption=f"{stage}: {places}"))  # fmt: skip
    return blocks or [Text(text="No stage has settings.")]


def changed_settings(
    ours: Sequence[StageFound], others: Sequence[StageFound]
) -> list[tuple[str, str, str, str]]:
    """Return (stage, setting, ours, the other's) where two builds were set differently.

    Stages are matched by their folder below the build's own.
    """
    by_place = {_below(one): one for one in others}
    found: dict[tuple[str, str, str, str], None] = {}
    for one in ours:
        other = by_place.get(_below(one))
        if other is None:
            continue
        if one.facekit != other.facekit:
            found[one.stage, "facekit", one.facekit, other.facekit] = None
        for name in sorted({*one.config, *other.config}):
            a, b = (c.get(name) for c in (one.config, other.config))
            if a != b:
                found[one.stage, name, _value(a), _value(b)] = None
    return list(found)


def _below(stage: StageFound) -> str:
    return stage.place.partition("/")[2]


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)
