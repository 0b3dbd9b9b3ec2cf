"""From photographs to takes: cameras by `layout`, instants by `triggers`."""

from collections.abc import Sequence

from ..core.errors import InputError
from .consistency import Draft, DraftTake
from .layout import Arrangement, Layout, Placed, arrange
from .naming import natural_key, safe_names
from .photo import Photo
from .triggers import match_triggers

MATCHED_BY = {
    "told": "the names",
    "stem": "equal names",
    "number": "the number in the file name",
    "order": "the order of the files",
    "time": "the time of exposure",
}


def draft_session(photos: Sequence[Photo], layout: Layout, order: Sequence[str]) -> Draft:
    """Sort all photographs, refused ones too, into takes; nothing is checked yet.

    Parameters
    ----------
    order
        File names in the order round the object, for a moved camera.

    Raises
    ------
    InputError
        The photographs cannot be told apart or brought together; says why.
    """
    arrangement = arrange(photos, Layout.MOVING if order else layout)
    if arrangement.moving:
        return _moved(arrangement, order)
    draft = Draft(takes=[], cameras=[], notes=[arrangement.how])
    names = safe_names(
        sorted({one.camera for one in arrangement.placed}, key=natural_key), fallback="camera"
    )
    draft.cameras = list(names.values())
    groups: dict[tuple[str, ...], list[Placed]] = {}
    for one in arrangement.placed:
        groups.setdefault(one.group, []).append(one)
    for group in sorted(groups, key=lambda parts: [natural_key(part) for part in parts]):
        draft.takes += _takes_of_group(draft, group, groups[group], names)
    ids = safe_names((take.id for take in draft.takes), fallback="take")
    for take in draft.takes:
        take.id = ids[take.id]
    return draft


def _takes_of_group(
    draft: Draft, group: tuple[str, ...], placed: Sequence[Placed], names: dict[str, str]
) -> list[DraftTake]:
    takes: dict[str, dict[str, Photo]] = {}
    late: dict[tuple[str, str], float] = {}
    cameras: dict[str, list[Photo]] = {}
    for one in placed:
        cameras.setdefault(one.camera, []).append(one.photo)
    if group and all(len(photos) == 1 for photos in cameras.values()):
        takes[""] = {camera: photos[0] for camera, photos in cameras.items()}
    else:
        told = {one.photo.name: one.take for one in placed if one.take is not None}
        match = match_triggers(cameras, told if len(told) == len(placed) else None)
        takes = match.takes
        late = {(take, camera): seconds for take, camera, seconds in match.late}
        note = f"takes were matched by {MATCHED_BY[match.how]}"
        if len(cameras) > 1 and note not in draft.notes:
            draft.notes.append(note)
    made = []
    for label in sorted(takes, key=natural_key):
        shots = {names[camera]: photo for camera, photo in sorted(takes[label].items())}
        folders = [
            folder
            for photo in shots.values()
            for folder in reversed(photo.folders)
            if folder not in names  # a camera's name says nothing about the take
        ]
        parts = [part for part in (*group, _padded(label, takes)) if part]
        take = DraftTake(
            id="_".join(parts) or "take01",
            names=tuple(dict.fromkeys([label, *group[::-1], *folders])),
            shots=shots,
        )
        for camera in takes[label]:
            if (label, camera) in late:
                take.problems.append(
                    f"camera {names[camera]}: {takes[label][camera].name} was taken "
                    f"{late[label, camera]:+.1f} s off the others; it may belong to another take"
                )
        made.append(take)
    return made


def _padded(label: str, takes: dict[str, dict[str, Photo]]) -> str:
    """Return a bare number as `t007`, as wide as the widest of its kind."""
    if not label.isdecimal():
        return label
    width = max(2, *(len(str(int(one))) for one in takes if one.isdecimal()))
    return f"t{int(label):0{width}d}"


def _moved(arrangement: Arrangement, order: Sequence[str]) -> Draft:
    """Make one take whose cameras are the positions of one body."""
    photos = [one.photo for one in arrangement.placed]
    notes = [arrangement.how]
    problems: list[str] = []
    if order:
        named = {photo.name.rsplit("/", 1)[-1]: photo for photo in photos}
        if not any(name in named for name in order):
            raise InputError(f"the order names {order[0]}, which is not among the photographs")
        aside = [photo.name for photo in photos if photo.name.rsplit("/", 1)[-1] not in order]
        if aside:
            notes.append(f"{len(aside)} photographs are not in the order and were left aside")
        cameras = {f"p{i + 1:02d}": named.get(name) for i, name in enumerate(order)}
        problems = [
            f"camera {camera}: {name} is missing"
            for (camera, photo), name in zip(cameras.items(), order, strict=True)
            if photo is None
        ]
        shots = {camera: photo for camera, photo in cameras.items() if photo is not None}
    else:
        known = all(photo.seconds is not None for photo in photos if photo.usable)
        # one camera's own clock is in order; names are where it is silent
        photos.sort(key=lambda p: (p.seconds or 0.0 if known else 0.0, p.roll, natural_key(p.name)))
        width = max(2, len(str(len(photos))))
        shots = {f"p{i + 1:0{width}d}": photo for i, photo in enumerate(photos)}
        notes.append(f"positions are in the order of {'exposure' if known else 'file names'}")
    folders = tuple(dict.fromkeys(f for photo in photos for f in reversed(photo.folders)))
    take = DraftTake(id="take01", names=folders, shots=shots, problems=problems)
    return Draft(takes=[take], cameras=list(shots), notes=notes, moved=True)
