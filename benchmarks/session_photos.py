"""The photographs of a session as contact sheets, and the cameras that took them."""

from collections.abc import Sequence

from ..capture.session import Session, Shot, Take, TakeKind
from ..core.console import track
from ..core.report import (
    Badge,
    Block,
    Fold,
    Gallery,
    Grid,
    Missing,
    Picture,
    Section,
    Status,
    Table,
    picture,
)
from .session_images import thumbnail
from .session_quality import Quality, quality_blocks

_SUBJECT_PX, _TARGET_PX, _STRIP_PX = 150, 62, 300
_MAX_SHEET = 700  # photographs on one contact sheet: about 2 kB each
_FIRST_TARGETS = 4  # takes of the target that are shown unfolded

_KIND_NAMES = {
    TakeKind.SUBJECT: "Subject",
    TakeKind.TARGET: "Calibration target",
    TakeKind.COLOR_CHART: "Colour chart",
    TakeKind.EMPTY: "Empty studio",
}


def subject_strip(session: Session) -> Gallery | None:
    """Return the photographs of the first take of the subject, one strip; None: no such take."""
    takes = session.takes_of(TakeKind.SUBJECT)
    if not takes:
        return None
    pictures = []
    for camera in session.cameras:
        shot = takes[0].shot(camera.id)
        if shot is not None:
            pictures.append(_thumbnail(session, shot, _STRIP_PX, caption=camera.id))
    n_shown = max(len(pictures), 1)
    return Gallery(
        pictures=pictures,
        min_width=max(84, min(220, 1140 // n_shown - 12)),
        caption=f"What went in: the photographs of take {takes[0].id}.",
    )


def photographs_section(session: Session, quality: Quality) -> Section:
    """Return the cameras' table, the photographs' verdicts and a contact sheet for every kind."""
    blocks: list[Block] = [_camera_table(session), *quality_blocks(session, quality)]
    for kind, name in _KIND_NAMES.items():
        takes = session.takes_of(kind)
        if takes:
            blocks += _sheet(session, takes, name, quality, small=kind is TakeKind.TARGET)
    if not session.takes:
        blocks.append(Missing(what="Photographs", how="facekit ingest"))
    flawed = sum(not take.complete for take in session.takes)
    lead = f"{flawed} of {len(session.takes)} takes have problems, in red." if flawed else ""
    return Section(title="Photographs", blocks=blocks, lead=lead)


def _sheet(
    session: Session, takes: Sequence[Take], name: str, quality: Quality, *, small: bool
) -> list[Block]:
    size = _TARGET_PX if small else _SUBJECT_PX
    step = -(-len(takes) * len(session.cameras) // _MAX_SHEET)
    odd = {take.id for take in takes if not take.complete or _marked(session, take, quality)}
    shown = [take for i, take in enumerate(takes) if i % step == 0 or take.id in odd]
    columns = [camera.id for camera in session.cameras]
    rows = [
        _row(session, take, size, quality) for take in track(shown, f"photographs: {name.lower()}")
    ]
    left_out = f"; every {step}. take and those with problems" if step > 1 else ""
    number = "1 take" if len(takes) == 1 else f"{len(takes)} takes"
    caption = f"{name}: {number}{left_out}."
    if odd:
        caption += " Red: something is wrong with it; yellow: usable, with a remark."
    if not small or len(rows) <= _FIRST_TARGETS + 2:
        return [Grid(columns=columns, rows=rows, caption=caption)]
    first = [row for i, row in enumerate(rows) if i < _FIRST_TARGETS or row[0] in odd]
    rest = [row for row in rows if row not in first]
    blocks: list[Block] = [Grid(columns=columns, rows=first, caption=caption)]
    if rest:
        blocks.append(
            Fold(title=f"the other {len(rest)}", blocks=[Grid(columns=columns, rows=rest)])
        )
    return blocks


def _marked(session: Session, take: Take, quality: Quality) -> bool:
    return any(quality.status(take.id, camera.id) is not Status.NONE for camera in session.cameras)


def _row(
    session: Session, take: Take, size: int, quality: Quality
) -> tuple[str, Status, list[Picture | None], tuple[str, ...]]:
    pictures: list[Picture | None] = []
    remarks = list(take.problems)
    for camera in session.cameras:
        shot = take.shot(camera.id)
        status = quality.status(take.id, camera.id)
        pictures.append(None if shot is None else _thumbnail(session, shot, size, status=status))
        _, said = quality.shots.get((take.id, camera.id), ("good", ()))
        remarks += [f"{camera.id}: {remark}" for remark in said if status is not Status.NONE]
    return take.id, Status.NONE if take.complete else Status.BAD, pictures, tuple(remarks)


def _thumbnail(
    session: Session, shot: Shot, size: int, *, caption: str = "", status: Status = Status.NONE
) -> Picture:
    image = thumbnail(session.path(shot), orientation=shot.orientation, max_size=size)
    if image is None:
        return Picture(uri="data:,", caption=f"{shot.file} cannot be read", status=Status.BAD)
    return picture(image, caption, quality=82, status=status)


def _camera_table(session: Session) -> Table:
    rows = []
    for camera in session.cameras:
        shots = [shot for take in session.takes if (shot := take.shot(camera.id)) is not None]
        missing = len(session.takes) - len(shots)
        rows.append([
            camera.id,
            " ".join(part for part in (camera.make, camera.model) if part) or None,
            camera.serial,
            camera.lens,
            None if camera.focal_mm is None else f"{camera.focal_mm:g} mm",
            f"{camera.width} × {camera.height}",
            len(shots),
            Badge(text=f"{missing} missing", status=Status.BAD)
            if missing
            else Badge(text="complete", status=Status.GOOD),
        ])  # fmt: skip
    return Table(
        columns=["camera", "body", "serial", "lens", "focal length", "size, px", "photographs", ""],
        rows=rows,
    )
