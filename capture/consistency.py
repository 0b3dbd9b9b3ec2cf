"""What does not fit within a rig: swapped bodies, other sizes or lenses, missing cameras.

A photograph that contradicts its camera is not used: it is refused with the reason, and its
take says so. Nothing is guessed into place.
"""

import fnmatch
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

from ..core.errors import InputError
from ..core.imaging.raw import RAW_SUFFIXES
from .naming import listed
from .photo import Photo, most_common

MAX_EXTRA_SHARE = 0.25  # of the takes; a camera in so few does not belong to the rig
FEW_SHARE = 0.5  # of the takes; a camera in fewer is worth a word


@dataclass
class DraftTake:
    """A take in the making."""

    id: str
    names: tuple[str, ...]
    """Names that may tell the kind, the most telling first."""
    shots: dict[str, Photo]
    problems: list[str] = field(default_factory=list)


@dataclass
class Draft:
    """A session in the making."""

    takes: list[DraftTake]
    cameras: list[str]
    refused: dict[str, str] = field(default_factory=dict)
    """Name of a file in the source -> why it is not used."""
    notes: list[str] = field(default_factory=list)
    moved: bool = False
    """True: the cameras are positions of one body."""


def check_rig(draft: Draft, expected: Sequence[str]) -> None:
    """Take out of the draft what contradicts it, and say so in its takes and notes.

    Parameters
    ----------
    expected
        Names or patterns (`cam*`) of the cameras of the rig; empty: judge by the photographs.

    Raises
    ------
    InputError
        No camera has an expected name, or none of those has a usable photograph.
    """
    _check_expected(draft, expected, "no camera of that name")
    _take_out_undecoded(draft)
    _drop_empty(draft)
    _check_expected(draft, expected, "no usable photograph of that camera")
    _take_out_unknown(draft, expected)
    _check_serials(draft)
    _check_same(draft, "is a {} file", _raw_or_not)
    _check_same(draft, "is {} px", lambda photo: _size(photo))
    _check_same(draft, "was taken with lens {}", lambda photo: photo.found.exif.lens)
    _check_same(draft, "was taken at {} mm", lambda photo: photo.found.exif.focal_mm)
    _drop_empty(draft)
    _name_missing(draft, expected)


def check_moved(draft: Draft) -> None:
    """Take out what did not decode; name other bodies, sizes, lenses and focal lengths.

    Every position is a camera of its own, so that a zoomed lens is no contradiction; but who
    uses the take must know of it.
    """
    _take_out_undecoded(draft)
    _drop_empty(draft)
    for take in draft.takes:
        for says, value in (
            ("is a {} file", _raw_or_not),
            ("was taken by body {}", lambda photo: photo.serial),
            ("is {} px", _size),
            ("was taken with lens {}", lambda photo: photo.found.exif.lens),
            ("was taken at {} mm focal length", lambda photo: photo.found.exif.focal_mm),
        ):
            usual = most_common(value(photo) for photo in take.shots.values())
            for camera, photo in take.shots.items():
                own = value(photo)
                if own is not None and own != usual:
                    take.problems.append(
                        f"camera {camera}: {photo.name} {says.format(_plain(own))}, "
                        f"most others {_plain(usual)}"
                    )


def refuse(draft: Draft, take: DraftTake, camera: str, reason: str) -> None:
    """Take a photograph out of its take."""
    photo = take.shots.pop(camera)
    draft.refused[photo.name] = reason
    take.problems.append(f"camera {camera}: {photo.name} is not used, {reason}")


def _check_expected(draft: Draft, expected: Sequence[str], lacks: str) -> None:
    """Refuse expectations that would take every camera out of the rig."""
    if expected and draft.cameras and not any(_matches(c, expected) for c in draft.cameras):
        raise InputError(
            f"--camera {', '.join(expected)}: {lacks}; there are {listed(draft.cameras)}"
        )


def _take_out_undecoded(draft: Draft) -> None:
    for take in draft.takes:
        for camera, photo in list(take.shots.items()):
            if not photo.usable:
                refuse(draft, take, camera, photo.found.reason)


def _take_out_unknown(draft: Draft, expected: Sequence[str]) -> None:
    """Take out cameras that do not belong to the rig."""
    n_takes = len(draft.takes)
    present = Counter(camera for take in draft.takes for camera in take.shots)
    for camera in list(draft.cameras):
        n = present[camera]
        if expected:
            extra = not _matches(camera, expected)
            reason = f"camera {camera} is not among the expected {', '.join(expected)}"
        else:
            extra = n <= MAX_EXTRA_SHARE * n_takes and len(draft.cameras) > 2
            reason = (
                f"camera {camera} is only in {n} of {n_takes} takes and seems no part of the rig; "
                "name it with --camera to keep it"
            )
            if not extra and n < FEW_SHARE * n_takes:
                draft.notes.append(f"camera {camera} is only in {n} of {n_takes} takes")
        if extra:
            draft.cameras.remove(camera)
            for take in draft.takes:
                if camera in take.shots:
                    refuse(draft, take, camera, reason)


def _check_serials(draft: Draft) -> None:
    """Find photographs that another body took than their camera's, and bodies in two cameras."""
    owners = {camera: most_common(p.serial for p in _of(draft, camera)) for camera in draft.cameras}
    cameras_of: dict[object, list[str]] = {}
    for camera, serial in owners.items():
        if serial is not None:
            cameras_of.setdefault(serial, []).append(camera)
    for serial, cameras in cameras_of.items():
        if len(cameras) > 1:
            draft.notes.append(
                f"cameras {', '.join(cameras)} have the same body serial {serial}: one body "
                "cannot be in two places at once; check the folders, or use layout moving"
            )
    for take in draft.takes:
        for camera, photo in list(take.shots.items()):
            if photo.serial is None or photo.serial == owners[camera]:
                continue
            others = cameras_of.get(photo.serial, [])
            whose = f", which is camera {others[0]}" if others else ", which is no camera here"
            refuse(
                draft, take, camera,
                f"body {photo.serial} took it{whose}, but camera {camera} is body "
                f"{owners[camera]}; folders or cards were swapped, move the file to its camera",
            )  # fmt: skip


def _check_same(draft: Draft, says: str, value: Callable[[Photo], Hashable | None]) -> None:
    """Refuse photographs whose property is not that of most of their camera's."""
    for camera in draft.cameras:
        usual = most_common(value(photo) for photo in _of(draft, camera))
        for take in draft.takes:
            photo = take.shots.get(camera)
            own = None if photo is None else value(photo)
            if own is not None and own != usual:
                refuse(
                    draft, take, camera,
                    f"it {says.format(_plain(own))}, camera {camera} otherwise {_plain(usual)}",
                )  # fmt: skip


def _name_missing(draft: Draft, expected: Sequence[str]) -> None:
    for take in draft.takes:
        mentioned = " ".join(take.problems)
        for camera in draft.cameras:
            if camera not in take.shots and f"camera {camera}:" not in mentioned:
                take.problems.append(f"camera {camera} is missing")
        for pattern in expected:
            if not any(_matches(camera, [pattern]) for camera in draft.cameras):
                take.problems.append(f"camera {pattern} is missing")


def _drop_empty(draft: Draft) -> None:
    """Drop takes and cameras without a usable photograph; their files are refused already."""
    draft.takes[:] = [take for take in draft.takes if take.shots]
    used = {camera for take in draft.takes for camera in take.shots}
    draft.cameras[:] = [camera for camera in draft.cameras if camera in used]


def _matches(camera: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(camera.lower(), pattern.lower()) for pattern in patterns)


def _of(draft: Draft, camera: str) -> list[Photo]:
    return [take.shots[camera] for take in draft.takes if camera in take.shots]


def _size(photo: Photo) -> str | None:
    header = photo.found.header
    return None if header is None else f"{header.width}x{header.height}"


def _raw_or_not(photo: Photo) -> str | None:
    """Return the kind of file: RAW and developed pictures differ in size and colour."""
    header = photo.found.header
    return None if header is None else ("RAW" if header.suffix in RAW_SUFFIXES else "developed")


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
