"""Which photographs show one face at one moment: takes of a session, or a folder of files.

A folder of photographs becomes a session in memory, its names as the cameras', so that all else
need not tell the two apart.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from ...calibration.rigfile import RIG_FILE, load_rig
from ...capture.masks import read_mask
from ...capture.naming import listed, split_name
from ...capture.session import (
    SESSION_FILE,
    CameraInfo,
    Session,
    Shot,
    Take,
    TakeKind,
    load_session,
)
from ...core.errors import InputError
from ...core.files import sha256_file
from ...core.geometry.camera import Rig
from ...core.imaging.verify import decoder_messages, verify_image
from ...dataset.build import wanted_takes
from ..facemasks import mask_file, mask_source
from ..photograph import photographs_in

OWN_RIGS = (RIG_FILE, f"calibration/{RIG_FILE}")
"""Where a session's own rig may lie, relative to it."""

_LEAST_PX = 32  # a side of a photograph that can show a face


@dataclass(frozen=True, kw_only=True)
class PhotoSet:
    """Photographs of one face, and the cameras that are known of them."""

    name: str
    """The take's, or the folder's."""
    session: Session
    take: Take
    """The photographs that can be used."""
    rig: Rig | None
    """Its cameras that have a photograph; None: nothing is known of the cameras' places."""
    at_once: bool
    """Whether all of them are of one moment: a take, or what a rig photographed."""
    remarks: Mapping[str, str] = field(default_factory=dict)
    """Photograph -> why it was left out."""
    notes: tuple[str, ...] = ()
    """What is odd about all of them, a sentence each."""


@dataclass(frozen=True, kw_only=True)
class PhotoSets:
    """Sets of several faces."""

    sets: tuple[PhotoSet, ...]
    """At least one."""
    failed: Mapping[str, str] = field(default_factory=dict)
    """Take or folder -> why there is no set of it."""


def photo_sets(
    paths: Sequence[Path],
    *,
    rig_file: Path | None = None,
    takes: Sequence[str] = (),
    masks: Path | None = None,
) -> PhotoSets:
    """Return one set for each take of a session, for each folder, and for all single files.

    Parameters
    ----------
    paths : sequence of Path
        Session folders, folders of photographs, and photographs; the latter are one set.
    rig_file : Path, optional
        `rig.json` or its folder; a session's own by default, where it has one (`OWN_RIGS`).
    takes : sequence of str
        Ids of a session's takes; all that show a subject by default.
    masks : Path, optional
        A folder of masks of files that are in no session; each is named as its photograph.

    Raises
    ------
    InputError
        No such path or take; or there is one set alone, and it has no photograph, or its rig
        none of them.
    SchemaError
        A session or rig of another form.
    """
    absent = next((path for path in paths if not path.exists()), None)
    if absent is not None:
        raise InputError(f"{absent}: no such file or folder")
    rig = None if rig_file is None else load_rig(rig_file)
    where = "" if rig_file is None else str(rig_file)
    work: list[tuple[str, Callable[[], PhotoSet]]] = []
    files = [path for path in paths if not path.is_dir()]
    for path in paths:
        if path.is_dir() and (path / SESSION_FILE).is_file():
            if masks is not None:
                raise InputError(f"{path}: a session has its own masks; leave out --mask")
            work += _work_on_session(load_session(path), rig, where, takes)
        elif path.is_dir():
            work.append(_work_on_files(path.resolve().name, [path], rig, where, masks))
    if files:
        name = files[0].resolve().parent.name or "face"
        work.append(_work_on_files(name, files, rig, where, masks))
    outside = next((p for p in paths if not (p / SESSION_FILE).is_file()), None)
    if takes and outside is not None:
        raise InputError(f"{outside}: no session, which alone has takes; leave out --take")
    if not work:
        raise InputError("no photograph is given")
    return _done(work)


def _done(work: Sequence[tuple[str, Callable[[], PhotoSet]]]) -> PhotoSets:
    """Make the sets; one that fails ends nothing, unless it is the only one."""
    sets: list[PhotoSet] = []
    failed: dict[str, str] = {}
    for name, make in work:
        try:
            sets.append(make())
        except InputError as error:
            if len(work) == 1:
                raise
            failed[name] = str(error)
    if not sets:
        raise InputError(f"none of {len(work)} faces can be begun. {'; '.join(failed.values())}")
    return PhotoSets(sets=tuple(sets), failed=failed)


def _work_on_files(
    name: str, paths: Sequence[Path], rig: Rig | None, where: str, masks: Path | None
) -> tuple[str, Callable[[], PhotoSet]]:
    return name, lambda: set_of_files(name, photographs_in(paths), rig, where=where, masks=masks)


def _work_on_session(
    session: Session, rig: Rig | None, where: str, takes: Sequence[str]
) -> list[tuple[str, Callable[[], PhotoSet]]]:
    if rig is None:
        own = next((p for p in (session.folder / n for n in OWN_RIGS) if p.is_file()), None)
        if own is not None:
            rig, where = load_rig(own), str(own)
    return [
        (take.id, partial(_set_of_take, session, take, rig, where))
        for take in wanted_takes(session, takes or None)
    ]


def set_of_files(
    name: str,
    files: Sequence[Path],
    rig: Rig | None = None,
    *,
    where: str = "",
    masks: Path | None = None,
) -> PhotoSet:
    """Return the set of some files; of those that a rig knows, where one is given.

    A file's camera is its stem, or the word in it that names a camera (`cam03`); upper and
    lower case are alike.

    Raises
    ------
    InputError
        No file can be read, the rig (of the file `where`) knows none, or two of one camera.
    """
    if masks is not None:
        mask_source(masks, files)
    cameras = _own_names(files) if rig is None else _cameras_of(files, rig, where)
    remarks = {path.name: f"no camera of {where} has its name" for path in files
               if path not in cameras}  # fmt: skip
    shots, infos = [], []
    for path, camera in cameras.items():
        try:
            shot = _shot(path, camera, masks)
        except (InputError, OSError) as error:
            remarks[path.name if rig is None else camera] = str(error)
            continue
        shots.append(shot)
        infos.append(CameraInfo(id=camera, width=shot.width, height=shot.height))
    if not shots:
        raise InputError(
            f"{name}: none of {len(files)} photographs can be used: {next(iter(remarks.values()))}"
        )
    take = Take(id=name, kind=TakeKind.SUBJECT, shots=tuple(shots))
    session = Session(folder=Path(), name=name, cameras=tuple(infos), takes=(take,))
    return PhotoSet(
        name=name,
        session=session,
        take=take,
        rig=_seen_by(rig, take),
        at_once=rig is not None,
        remarks=remarks,
    )


def _set_of_take(session: Session, take: Take, rig: Rig | None, where: str) -> PhotoSet:
    remarks: dict[str, str] = {}
    shots, notes = [], list(take.problems)
    for shot in take.shots:
        if rig is not None and shot.camera not in rig.names:
            remarks[shot.camera] = f"not in {where}"
            continue
        try:
            session.checked_path(shot)
        except InputError as error:
            remarks[shot.camera] = str(error)
            continue
        mask = session.mask_path(shot)
        if mask is not None and not mask.is_file():
            notes.append(f"{shot.camera}: its mask {mask} is missing; none is used")
            shot = replace(shot, mask=None)
        shots.append(shot)
    if not shots:
        ids = listed([shot.camera for shot in take.shots]) or "none"
        if rig is not None and not set(rig.names) & {shot.camera for shot in take.shots}:
            raise InputError(
                f"{where}: names none of the cameras of take {take.id} ({ids}); its own are "
                f"{listed(rig.names)}: is this the rig of another session?"
            )
        reason = next(iter(remarks.values()), "it has none")
        raise InputError(f"{session.folder}: no photograph of take {take.id} can be used: {reason}")
    kept = replace(take, shots=tuple(shots))
    if rig is None:
        notes.append("no rig is known: the cameras' places are estimated")
    return PhotoSet(
        name=take.id, session=session, take=kept, rig=_seen_by(rig, kept),
        at_once=True, remarks=remarks, notes=tuple(notes),
    )  # fmt: skip


def _seen_by(rig: Rig | None, take: Take) -> Rig | None:
    """Return the rig's cameras that have a photograph in the take."""
    if rig is None:
        return None
    seen = {shot.camera for shot in take.shots}
    return replace(rig, cameras=tuple(camera for camera in rig if camera.name in seen))


def _own_names(files: Sequence[Path]) -> dict[Path, str]:
    """Return file -> its stem; the whole name where two have the stem in common."""
    stems = [path.stem.lower() for path in files]
    names = {p: p.stem if stems.count(p.stem.lower()) == 1 else p.name for p in files}
    taken = list(names.values())
    # files of several folders may share all of it
    return {
        path: name if taken.count(name) == 1 else f"{path.resolve().parent.name}-{name}"
        for path, name in names.items()
    }


def _cameras_of(files: Sequence[Path], rig: Rig, where: str) -> dict[Path, str]:
    """Return file -> camera of the rig, of the files that have one."""
    by_name = {name.lower(): name for name in rig.names}
    cameras: dict[Path, str] = {}
    for path in files:
        split = split_name(path.stem, "camera word")
        words = (path.stem, "" if split is None else split[0])
        camera = next((by_name[w.lower()] for w in words if w.lower() in by_name), None)
        if camera is None:
            continue
        other = next((p for p, name in cameras.items() if name == camera), None)
        if other is not None:
            raise InputError(
                f"{path.name} and {other.name} are both of camera {camera}; give one photograph "
                "of each, or a session and --take"
            )
        cameras[path] = camera
    if not cameras:
        raise InputError(
            f"{where}: names none of the photographs ({listed([p.name for p in files], 4)}); its "
            f"cameras are {listed(rig.names, 4)}: name the files after them"
        )
    return cameras


def _shot(path: Path, camera: str, masks: Path | None) -> Shot:
    """Return what is to be known of a file, decoded to its end.

    Raises
    ------
    InputError
        It is no photograph, damaged, or too small for a face; or it has no mask, or one of
        another size.
    """
    mask = None if masks is None else mask_file(masks, path)
    with warnings.catch_warnings(), decoder_messages():  # what matters is in the error
        warnings.simplefilter("ignore")
        header, _ = verify_image(path)
    if min(header.width, header.height) < _LEAST_PX:
        raise InputError(f"{path}: {header.width} x {header.height} px, too small to show a face")
    if mask is not None:
        read_mask(mask, width=header.width, height=header.height)
    return Shot(
        camera=camera,
        file=str(path),
        sha256=sha256_file(path),
        bytes=path.stat().st_size,
        width=header.width,
        height=header.height,
        channels=header.channels,
        bit_depth=header.bit_depth,
        orientation=header.orientation,
        mask=None if mask is None else str(mask),
    )
