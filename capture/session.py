"""`Session`: cameras x takes -> files, as `session.json` keeps them.

A session folder holds `session.json`, `images/<take>/<camera>.<ext>`, perhaps
`masks/<take>/<camera>.png`, and, from the virtual studio only, `truth/`. A *take* is one
trigger: at most one photograph of each camera. Photographs are kept as they came from the
camera, in the sensor's own frame; `orientation` says how to turn them upright for a person.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from ..core.arrays import Image
from ..core.config import from_mapping, known_fields
from ..core.errors import InputError, SchemaError
from ..core.files import read_json, sha256_file, stays_inside, write_json
from ..core.imaging.imageio import read_image

SESSION_FILE = "session.json"
SESSION_FORMAT = "facekit-session"
SESSION_VERSION = 1

_Entry = TypeVar("_Entry")


class TakeKind(StrEnum):
    """What a take shows."""

    SUBJECT = "subject"
    TARGET = "target"
    COLOR_CHART = "color_chart"
    EMPTY = "empty"


class BoardPattern(StrEnum):
    """What is printed on a calibration target."""

    CHARUCO = "charuco"
    APRILGRID = "aprilgrid"
    CHECKERBOARD = "checkerboard"


@dataclass(frozen=True, kw_only=True)
class MeasuredLength:
    """The distance of two corners of a board, as measured on the print."""

    first: int
    """Id of a corner: row of `capture.targets.object_points`."""
    second: int
    mm: float
    sigma_mm: float = 0.02
    """Standard deviation of the measurement: a good steel rule read with a loupe."""


@dataclass(frozen=True, kw_only=True)
class BoardSpec:
    """A calibration board, as printed; what its corners are, see `capture.targets`."""

    squares_x: int
    """Squares, or tags of an AprilGrid, in a row."""
    squares_y: int
    square_mm: float
    """Side of a square; of an AprilGrid from tag to tag (a tag and a gap)."""
    marker_mm: float
    """Side of a marker or tag; 0 for a checkerboard."""
    dictionary: str
    """OpenCV's name, such as `DICT_5X5_250`; empty for a checkerboard."""
    legacy_pattern: bool = False
    """True for boards made for OpenCV before 4.6 (even number of rows)."""
    inverted: bool = False
    """White on black."""
    first_id: int = 0
    """Id of the first marker."""
    pattern: BoardPattern = BoardPattern.CHARUCO
    back_first_id: int | None = None
    """Id of the first marker of a second face, printed on the back of the plate."""
    thickness_mm: float = 0.0
    """Of the plate, from face to face; nominal."""
    lengths: tuple[MeasuredLength, ...] = ()
    """What was measured on the print; tells its true size."""

    def record(self) -> dict[str, Any]:
        """Return the fields, JSON-able; those of `_RARE` only where they say something."""
        return {
            name: value
            for name, value in dataclasses.asdict(self).items()
            if name not in _RARE or getattr(self, name) != getattr(BoardSpec, name)
        }


_RARE = ("pattern", "back_first_id", "thickness_mm", "lengths")
"""Fields that boards of facekit 0.1 do not have."""


@dataclass(frozen=True, kw_only=True)
class CameraInfo:
    """A camera of the session, as its files describe it."""

    id: str
    width: int
    """px of the stored file (sensor frame)."""
    height: int
    make: str | None = None
    model: str | None = None
    serial: str | None = None
    """Body serial; equal serials mean one physical camera that was moved."""
    lens: str | None = None
    lens_serial: str | None = None
    focal_mm: float | None = None
    focal_35mm: float | None = None
    """35 mm equivalent focal length, mm."""


@dataclass(frozen=True, kw_only=True)
class Shot:
    """One photograph."""

    camera: str
    file: str
    """Relative to the session folder."""
    sha256: str
    bytes: int
    width: int
    height: int
    channels: int = 3
    bit_depth: int = 8
    orientation: int = 1
    """EXIF orientation, 1-8."""
    source: str | None = None
    """Name of the file it was copied from."""
    time: str | None = None
    """EXIF time of exposure, ISO 8601, with sub-seconds where the camera gives them."""
    serial: str | None = None
    lens: str | None = None
    focal_mm: float | None = None
    mask: str | None = None
    """Relative to the session folder; white is subject."""
    companion: str | None = None
    """The same exposure as RAW beside a JPEG, or the reverse; kept, but not used."""
    companion_sha256: str | None = None


@dataclass(frozen=True, kw_only=True)
class Take:
    """One trigger of the rig."""

    id: str
    kind: TakeKind
    shots: tuple[Shot, ...]
    problems: tuple[str, ...] = ()
    """What is wrong with it, one sentence each."""

    @property
    def complete(self) -> bool:
        """Whether nothing is wrong with it."""
        return not self.problems

    def shot(self, camera: str) -> Shot | None:
        """Return the photograph of `camera`, None where it is missing."""
        return next((shot for shot in self.shots if shot.camera == camera), None)


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A file of the source that was not taken in."""

    file: str
    """Its path in the source folder; absolute for a mask from elsewhere."""
    reason: str


@dataclass(frozen=True, kw_only=True)
class Session:
    """Cameras x takes -> files."""

    folder: Path
    name: str
    cameras: tuple[CameraInfo, ...]
    takes: tuple[Take, ...]
    board: BoardSpec | None = None
    """The calibration target of the takes of kind `target`, where known."""
    moved_camera: bool = False
    """True: one body walked round a still object; each "camera" is one of its positions."""
    refused: tuple[Refusal, ...] = ()
    """Files that were not taken in, and why."""
    notes: tuple[str, ...] = ()
    """What ingestion decided or left aside, one sentence each."""

    def path(self, shot: Shot) -> Path:
        """Return the photograph's file."""
        return self.folder / shot.file

    def checked_path(self, shot: Shot) -> Path:
        """Return the photograph's file, as it was ingested.

        Raises
        ------
        InputError
            The file is missing, or another than the one that was ingested.
        """
        path = self.path(shot)
        if not path.is_file():
            raise InputError(f"{path}: named in {SESSION_FILE} but missing; ingest again")
        if sha256_file(path) != shot.sha256:
            raise InputError(
                f"{path}: not the photograph that was ingested (its sha256 differs); ingest again"
            )
        return path

    def read(self, shot: Shot) -> Image:
        """Read a photograph as `core.imaging.imageio.read_image` does, as it was ingested.

        Raises
        ------
        InputError
            See `checked_path` and `read_image`.
        """
        return read_image(self.checked_path(shot))

    def mask_path(self, shot: Shot) -> Path | None:
        """Return the photograph's mask, None where none was given."""
        return None if shot.mask is None else self.folder / shot.mask

    def takes_of(self, kind: TakeKind) -> tuple[Take, ...]:
        """Return the takes of a kind, in order."""
        return tuple(take for take in self.takes if take.kind is kind)

    def take(self, take_id: str) -> Take:
        """Return a take by its id; InputError with the known ids otherwise."""
        for take in self.takes:
            if take.id == take_id:
                return take
        known = ", ".join(take.id for take in self.takes)
        raise InputError(f"{self.folder}: no take {take_id!r}; it has {known}")

    def camera(self, camera_id: str) -> CameraInfo:
        """Return a camera by its id."""
        return next(camera for camera in self.cameras if camera.id == camera_id)

    @property
    def truth_folder(self) -> Path:
        """Where a virtual session keeps its truth; only evaluation may read it."""
        return self.folder / "truth"


def save_session(session: Session) -> Path:
    """Write `session.json`, atomically; return its path."""
    path = session.folder / SESSION_FILE
    write_json(
        path,
        {
            "format": SESSION_FORMAT,
            "version": SESSION_VERSION,
            "name": session.name,
            "moved_camera": session.moved_camera,
            "board": None if session.board is None else session.board.record(),
            "cameras": [dataclasses.asdict(camera) for camera in session.cameras],
            "takes": [
                {**dataclasses.asdict(take), "complete": take.complete} for take in session.takes
            ],
            "refused": [dataclasses.asdict(refusal) for refusal in session.refused],
            "notes": list(session.notes),
        },
    )
    return path


def load_session(folder: Path) -> Session:
    """Read `folder/session.json`; its photographs are checked when they are read.

    Raises
    ------
    InputError
        No session there.
    SchemaError
        A file of another version or shape.
    """
    path = folder / SESSION_FILE
    if not path.is_file():
        raise InputError(f"{folder}: no {SESSION_FILE} here; make a session with `facekit ingest`")
    values = read_json(path, format_name=SESSION_FORMAT, version=SESSION_VERSION)
    try:
        session = _session_from(folder, values, where=str(path))
    except (KeyError, TypeError, ValueError) as error:
        raise SchemaError(f"{path}: {error!r} is missing or of the wrong type") from error
    _check_inside(folder, [camera.id for camera in session.cameras])
    for take in session.takes:
        # results of a take lie in a folder called after it
        _check_inside(folder, [take.id])
        for shot in take.shots:
            _check_inside(folder, [n for n in (shot.file, shot.mask, shot.companion) if n])
    return session


def _session_from(folder: Path, values: dict[str, Any], *, where: str) -> Session:
    def all_of(kind: type[_Entry], entries: Any) -> tuple[_Entry, ...]:
        return tuple(_read(kind, entry, where=where) for entry in entries)

    takes = [{**entry, "shots": all_of(Shot, entry["shots"])} for entry in values["takes"]]
    board = values.get("board")
    parts = {
        "folder": folder,
        "cameras": all_of(CameraInfo, values["cameras"]),
        "takes": all_of(Take, takes),
        "board": None if board is None else _read(BoardSpec, board, where=where),
        "refused": all_of(Refusal, values.get("refused", ())),
    }
    return _read(Session, {**values, **parts}, where=where)


def _read(kind: type[_Entry], values: Any, *, where: str) -> _Entry:
    return from_mapping(kind, known_fields(kind, values), where=where)


def _check_inside(folder: Path, names: Sequence[str]) -> None:
    for name in names:
        if not stays_inside(name):
            shown = ascii(name[:80])
            raise SchemaError(f"{folder / SESSION_FILE}: names {shown}, which lies outside of it")
