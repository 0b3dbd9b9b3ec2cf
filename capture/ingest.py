"""Folders of photographs into a session: verified, sorted into takes, copied, described.

    scan -> inspection -> layout, triggers -> consistency -> store -> session.json

Nothing in the source is changed. Every file is either taken in whole or refused with a
reason; a take that lacks something says so. Run again, ingestion copies only what is not
there yet.
"""

import fnmatch
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any, ClassVar

from ..core.config import to_mapping
from ..core.errors import InputError
from ..core.files import StageKey, stage_run
from .attachments import sums_of, with_companions, with_masks
from .boards import parse_board
from .consistency import Draft, DraftTake, check_moved, check_rig
from .drafting import draft_session
from .inspection import Inspected, inspect_files
from .layout import Layout, varying_levels
from .markers import shows_board
from .naming import count_of, kind_of_names, listed, printable
from .photo import Photo, most_common, photo_of
from .plates import add_masks
from .pseudonym import keep_pseudonym
from .scan import Pairs, Scan, read_order, scan_source
from .session import (
    BoardSpec,
    CameraInfo,
    Refusal,
    Session,
    Shot,
    Take,
    TakeKind,
    save_session,
)
from .sidecar import read_consent, save_consent
from .store import (
    IMAGES,
    check_room,
    save_sums,
    store_originals,
)
from .tombstones import refuse_erased

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class IngestConfig:
    """How to read a source."""

    SHORT_FORMS: ClassVar[dict[str, Callable[[str], Any]]] = {"board": parse_board}

    layout: Layout = Layout.AUTO
    name: str | None = None
    """Name of the session; None: that of the source."""
    board: BoardSpec | None = None
    """The calibration target of the takes of kind `target`; a file may give its short form."""
    kind: TakeKind | None = None
    """What all takes show; None: told by names, with a board by its markers, else the subject."""
    kinds: tuple[str, ...] = ()
    """`PATTERN=KIND`, such as `t0*=target`: what takes of these ids show; the first that fits."""
    cameras: tuple[str, ...] = ()
    """Names or patterns of the cameras that belong to the rig; empty: judged by the photographs."""
    masks: Path | None = None
    """Folder of masks; None: folders called `masks`, files called `NAME_mask.png`."""
    order: Path | None = None
    """List of file names in order round the object, for a moved camera; None: looked for."""
    pairs: Pairs = Pairs.AUTO
    """Which file of an exposure to use where cameras wrote RAW and JPEG; the other is kept."""
    subject: Path | None = None
    """The subject's consent, a filled-in form of `sidecar`; kept in `restricted/`."""
    make_masks: bool = False
    """Make masks of the subject from the empty studio or a plain backdrop where none came."""


@dataclass(frozen=True, kw_only=True)
class IngestResult:
    """A session, and what did not become part of it."""

    session: Session
    refused: tuple[Refusal, ...]
    """Files that were not taken in, and why."""
    duplicates: tuple[tuple[str, str], ...]
    """(file, the file with the same content that was taken)."""
    ignored: tuple[str, ...]
    """Files that are no photographs."""
    copied: int
    kept: int
    """Originals that were in the session already."""

    @property
    def ok(self) -> bool:
        """Whether no file was refused."""
        return not self.refused


def ingest(source: Path, out: Path, config: IngestConfig | None = None) -> IngestResult:
    """Make a session of a folder of photographs, or of a single one.

    Parameters
    ----------
    source : Path
        A folder per camera or per take, one flat folder, or a file; see `Layout`.
    out : Path
        The session's folder; made where absent, completed where a run was ended.

    Raises
    ------
    InputError
        The source holds nothing usable (the first reason is named), cameras and takes cannot
        be told apart, an option names none of them, `out` holds another session, or the subject
        was erased from there.
    """
    config = config or IngestConfig()
    _check_paths(source, out)
    rules = [_kind_rule(text) for text in config.kinds]
    consent = None if config.subject is None else read_consent(config.subject)
    refuse_erased(out, pseudonym=consent.pseudonym if consent is not None else None)
    scan = scan_source(source, masks=config.masks, leave=out.resolve(), pairs=config.pairs)
    draft, photos, duplicates, scan = _draft(source, scan, config)
    _check_rules(rules, draft)
    draft.notes += _notes(scan, duplicates)
    session = _session(draft, source, out, config, rules)
    planned = {
        _place(take, camera): photo for take in draft.takes for camera, photo in take.shots.items()
    }
    refuse_erased(out, photographs=[photo.found.sha256 for photo in planned.values()])
    check_room(out, planned)
    with stage_run(out, _key(config, planned)) as run:
        stored = store_originals(out, planned)
        if consent is not None:
            save_consent(out, consent)
        else:
            keep_pseudonym(out)  # before session.json: one that is there without is an older one
        session = with_companions(session, scan)
        session = with_masks(session, draft, scan, photos)
        save_sums(out, sums_of(session))
        save_session(session)
        if config.make_masks:
            session = add_masks(session)
        run.results.update(cameras=len(session.cameras), takes=len(session.takes))
    log.info(
        "%s: %s, %s, %s (%d copied, %d there already), %d refused",
        out, count_of(len(session.cameras), "camera"), count_of(len(session.takes), "take"),
        count_of(len(planned), "photograph"), stored.copied, stored.kept, len(session.refused),
    )  # fmt: skip
    return IngestResult(
        session=session,
        refused=session.refused,
        duplicates=duplicates,
        ignored=scan.ignored,
        copied=stored.copied,
        kept=stored.kept,
    )


def _draft(
    source: Path, scan: Scan, config: IngestConfig
) -> tuple[Draft, list[Photo], tuple[tuple[str, str], ...], Scan]:
    """Inspect the photographs, sort them into takes and take out what contradicts the rig."""
    told = config.kind is not None or all(kind_of_names(name.parts[::-1]) for name in scan.photos)
    found = inspect_files(
        [scan.root / name for name in scan.photos], board=None if told else config.board
    )
    photos, duplicates = _without_duplicates(
        [photo_of(PurePath(name), one) for name, one in zip(scan.photos, found, strict=True)]
    )
    if not any(photo.usable for photo in photos):
        worst = photos[0]
        raise InputError(
            f"{printable(worst.found.path)}: {worst.found.reason}{_count_more(photos)}"
        )
    order = _order(scan, photos, config)
    if order and config.order is None:
        scan = _order_used(scan)
    draft = draft_session(photos, config.layout, order)
    if draft.moved:
        check_moved(draft)
    else:
        check_rig(draft, config.cameras)
    for photo in photos:
        if not photo.usable:
            draft.refused.setdefault(photo.name, photo.found.reason)
    _refuse_unpaired(draft, scan)
    if not draft.takes:
        name, reason = next(iter(draft.refused.items()))
        raise InputError(f"{source / name}: {reason}; nothing usable remains")
    return draft, photos, duplicates, scan


def _check_paths(source: Path, out: Path) -> None:
    if not source.exists():
        raise InputError(f"{source}: no such file or folder")
    if source.resolve().is_relative_to(out.resolve()):
        raise InputError(
            f"{out}: the source {source} lies in it; give another folder for the session"
        )


def _order(scan: Scan, photos: Sequence[Photo], config: IngestConfig) -> tuple[str, ...]:
    """Return the file names in order round the object, empty where the source is no such walk."""
    if config.order is not None:
        if config.layout not in (Layout.AUTO, Layout.MOVING):
            raise InputError(
                f"{config.order}: an order goes with layout moving, not {config.layout}"
            )
        return read_order(config.order)
    one_folder = not varying_levels(photos)
    if config.layout is Layout.MOVING or (config.layout is Layout.AUTO and one_folder):
        return scan.order
    return ()


def _refuse_unpaired(draft: Draft, scan: Scan) -> None:
    """Refuse what is only there as the kind that is not used: kinds are never mixed."""
    other = "JPEG" if scan.used == "RAW" else "RAW"
    for name in scan.unpaired:
        draft.refused[printable(name)] = (
            f"only its {other} is here, but the others are used as {scan.used}, and the two are "
            f"never mixed; copy its {scan.used} too"
        )


def _order_used(scan: Scan) -> Scan:
    return replace(scan, ignored=tuple(name for name in scan.ignored if name != scan.order_file))


def _without_duplicates(
    photos: Sequence[Photo],
) -> tuple[list[Photo], tuple[tuple[str, str], ...]]:
    """Leave out copies within a folder; refuse copies in another, where they are misplaced."""
    first: dict[str, Photo] = {}
    kept: list[Photo] = []
    duplicates: list[tuple[str, str]] = []
    for photo in sorted(photos, key=lambda p: (len(p.folders), len(p.name), p.name)):
        if photo.usable:  # `IMG_1.jpg` comes before `IMG_1 (1).jpg`
            first.setdefault(photo.found.sha256, photo)
    for photo in photos:
        known = first[photo.found.sha256] if photo.usable else photo
        if known is photo:
            kept.append(photo)
        elif known.folders == photo.folders:
            duplicates.append((photo.name, known.name))
        else:
            reason = f"it is the same picture as {known.name}; copy the right one"
            kept.append(replace(photo, found=Inspected(path=photo.found.path, reason=reason)))
    return kept, tuple(duplicates)


def _count_more(photos: Sequence[Photo]) -> str:
    more = len(photos) - 1
    if not more:
        return ""
    return f" (and {count_of(more, 'more file')} {'is' if more == 1 else 'are'} not usable)"


def _notes(scan: Scan, duplicates: Sequence[tuple[str, str]]) -> list[str]:
    notes = [f"{name} is a copy of {first} and was left out" for name, first in duplicates]
    if scan.order_file is not None and scan.order_file not in scan.ignored:
        notes.append(f"{scan.order_file} gives the order of the photographs")
    if scan.used:
        other = "JPEG" if scan.used == "RAW" else "RAW"
        n = len(scan.companions)
        notes.append(
            f"{count_of(n, 'exposure')} {'is' if n == 1 else 'are'} there as RAW and JPEG: "
            f"{scan.used} is used, "
            f"{other} kept in companions/"
        )
    if scan.ignored:
        notes.append(f"left aside: {listed(scan.ignored, 5)}")
    notes += [f"left aside: {name}, which is a facekit session itself" for name in scan.sessions]
    return notes


def _kind_rule(text: str) -> tuple[str, TakeKind]:
    pattern, equals, kind = text.partition("=")
    if not equals or kind not in list(TakeKind) or not pattern:
        kinds = ", ".join(TakeKind)
        raise InputError(f"{text!r}: expected PATTERN=KIND with one of the kinds {kinds}")
    return pattern, TakeKind(kind)


def _check_rules(rules: Sequence[tuple[str, TakeKind]], draft: Draft) -> None:
    """Refuse a rule that fits no take: a misspelt name would leave its take of a wrong kind."""
    ids = [take.id for take in draft.takes]
    for pattern, kind in rules:
        if not any(fnmatch.fnmatchcase(name, pattern) for name in ids):
            raise InputError(
                f"--kinds {pattern}={kind}: no take of that name; there are {listed(ids)}"
            )


def _kind(
    take: DraftTake, source: Path, config: IngestConfig, rules: Sequence[tuple[str, TakeKind]]
) -> TakeKind:
    for pattern, kind in rules:
        if fnmatch.fnmatchcase(take.id, pattern):
            return kind
    told = config.kind or kind_of_names((take.id, *take.names))
    if told is not None:
        return told
    seen = max(photo.found.n_markers for photo in take.shots.values())
    if config.board is not None and shows_board(seen, config.board):
        return TakeKind.TARGET
    return kind_of_names([source.resolve().name if source.is_dir() else ""]) or TakeKind.SUBJECT


def _place(take: DraftTake, camera: str) -> str:
    header = take.shots[camera].found.header
    assert header is not None
    return f"{IMAGES}/{take.id}/{camera}{header.suffix}"


def _session(
    draft: Draft,
    source: Path,
    out: Path,
    config: IngestConfig,
    rules: Sequence[tuple[str, TakeKind]],
) -> Session:
    takes = tuple(
        Take(
            id=take.id,
            kind=_kind(take, source, config, rules),
            shots=tuple(_shot(take, camera) for camera in draft.cameras if camera in take.shots),
            problems=tuple(take.problems),
        )
        for take in draft.takes
    )
    return Session(
        folder=out,
        name=config.name or printable(source.resolve().name if source.is_dir() else source.stem),
        cameras=tuple(_camera(draft, camera) for camera in draft.cameras),
        takes=takes,
        board=config.board,
        moved_camera=draft.moved,
        refused=tuple(Refusal(file=n, reason=r) for n, r in sorted(draft.refused.items())),
        notes=tuple(draft.notes),
    )


def _shot(take: DraftTake, camera: str) -> Shot:
    photo = take.shots[camera]
    header, exif = photo.found.header, photo.found.exif
    assert header is not None
    return Shot(
        camera=camera,
        file=_place(take, camera),
        sha256=photo.found.sha256,
        bytes=photo.found.bytes,
        width=header.width,
        height=header.height,
        channels=header.channels,
        bit_depth=header.bit_depth,
        orientation=header.orientation,
        source=photo.name,
        time=exif.time,
        serial=exif.serial,
        lens=exif.lens,
        focal_mm=exif.focal_mm,
    )


def _camera(draft: Draft, camera: str) -> CameraInfo:
    photos = [take.shots[camera] for take in draft.takes if camera in take.shots]
    header = photos[0].found.header
    assert header is not None

    def usual(field: str) -> object:
        return most_common(getattr(photo.found.exif, field) for photo in photos)

    fields = ("make", "model", "serial", "lens", "lens_serial", "focal_mm", "focal_35mm")
    return CameraInfo(
        id=camera, width=header.width, height=header.height,
        **{field: usual(field) for field in fields},  # type: ignore[arg-type]
    )  # fmt: skip


def _key(config: IngestConfig, planned: dict[str, Photo]) -> StageKey:
    plain = {
        key: str(value) if isinstance(value, Path) else value
        for key, value in to_mapping(config).items()
        if key != "subject"  # its path may hold a name
    }
    inputs = {name: photo.found.sha256 for name, photo in planned.items()}
    return StageKey(stage="ingest", config=plain, inputs=inputs)
