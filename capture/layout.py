"""Which camera took which photograph: told by folders, body serials or file names.

A source may hold a folder per camera, a folder per take, both nested, or one flat folder;
or one body walked round a still object. Here each photograph gets its camera and, where the
names tell, its take; `triggers` then finds which photographs belong to one instant.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from ..core.errors import InputError
from .naming import CAMERA_NAME, NAME_RULES, TAKE_NAME, kind_of_names, natural_key, split_name
from .photo import Photo, most_common, share_with_serial

MIN_SHARE = 0.8  # of the names that must fit a pattern: a stray file may not
MIN_FILL = 0.5  # of cameras x takes that must be there for names to count as both


class Layout(StrEnum):
    """How a source is laid out."""

    AUTO = "auto"
    FOLDERS = "folders"
    """A folder per camera."""
    TAKES = "takes"
    """A folder per take; file names or body serials tell the cameras."""
    FLAT = "flat"
    """Body serials or file names tell the cameras."""
    MOVING = "moving"
    """One body walked round a still object: each photograph is a camera of its own."""


@dataclass(frozen=True, kw_only=True)
class Placed:
    """A photograph with its camera."""

    photo: Photo
    camera: str
    group: tuple[str, ...] = ()
    """Folders that tell takes apart."""
    take: str | None = None
    """The take, where the names tell; None: `triggers` finds it."""


@dataclass(frozen=True, kw_only=True)
class Arrangement:
    """All photographs with their cameras."""

    placed: tuple[Placed, ...]
    moving: bool = False
    how: str = ""
    """What told the cameras, one sentence."""


def arrange(photos: Sequence[Photo], layout: Layout) -> Arrangement:
    """Find the camera of each photograph; stray files that are damaged have no say and no place.

    Raises
    ------
    InputError
        Neither folders nor serials nor names tell the cameras apart in the wanted layout.
    """
    if layout is Layout.MOVING:
        return _moving(photos, "each photograph is one position of a moved camera")
    photos = _without_strays(photos)
    arrangement = _arrange(photos, layout)
    usable = [photo for photo in photos if photo.usable]
    if arrangement.moving and 1 < len(usable) < len(photos):
        of_usable = _arrange(usable, layout)  # a damaged file makes no rig a moved camera
        return arrangement if of_usable.moving else of_usable
    return arrangement


def _without_strays(photos: Sequence[Photo]) -> list[Photo]:
    """Leave out damaged files above or below the one folder that holds all the photographs."""
    usable = [photo for photo in photos if photo.usable]
    depths = {len(photo.folders) for photo in usable}
    if len(depths) != 1 or varying_levels(usable):
        return list(photos)
    return [photo for photo in photos if len(photo.folders) in depths]


def _arrange(photos: Sequence[Photo], layout: Layout) -> Arrangement:
    levels = varying_levels(photos)
    if layout is Layout.FLAT:
        levels = []
    elif layout is Layout.TAKES and not levels:
        depth = max(len(photo.folders) for photo in photos)
        levels = [depth - 1] if depth else []  # one folder is one take
    if not levels:
        alone = _lone_camera(photos)
        if alone is not None and layout is not Layout.FLAT:
            mine = tuple(Placed(photo=photo, camera=alone) for photo in photos)
            return Arrangement(placed=mine, how=f"one folder of one camera, {alone}")
        if layout is Layout.FOLDERS:
            raise InputError("the source has no folders that differ; use layout flat or moving")
        return _flat(photos, levels, auto=layout is Layout.AUTO)
    camera_level = _camera_level(photos, levels, layout)
    if camera_level is None:
        return _flat(photos, levels, auto=False)
    placed = [
        Placed(
            photo=photo,
            camera=_part(photo, camera_level) or "source",
            group=tuple(_part(photo, i) for i in levels if i != camera_level and _part(photo, i)),
        )
        for photo in photos
    ]
    return Arrangement(placed=_cards_of_bodies(placed), how="folders tell the cameras")


def varying_levels(photos: Sequence[Photo]) -> list[int]:
    """Return the depths at which folders differ; `images/` above everything tells nothing."""
    depth = max((len(photo.folders) for photo in photos), default=0)
    return [i for i in range(depth) if len({_part(photo, i) for photo in photos}) > 1]


def _cards_of_bodies(placed: Sequence[Placed]) -> tuple[Placed, ...]:
    """Bring the memory cards that one body filled together under the first card's name."""
    bodies: dict[str, set[str | None]] = {}
    for one in placed:
        bodies.setdefault(one.camera, set()).add(one.photo.serial if one.photo.roll else None)
    first: dict[str, str] = {}
    camera_of: dict[str, str] = {}
    for camera in sorted(bodies, key=natural_key):
        (serial,) = bodies[camera] if len(bodies[camera]) == 1 else (None,)
        named = CAMERA_NAME.search(camera) is not None  # a swapped card is no second card
        camera_of[camera] = camera if serial is None or named else first.setdefault(serial, camera)
    return tuple(replace(one, camera=camera_of[one.camera]) for one in placed)


def _lone_camera(photos: Sequence[Photo]) -> str | None:
    """Return the name of the one folder that holds everything, where it is that of a camera."""
    depth = min(len(photo.folders) for photo in photos)
    names = [photos[0].folders[i] for i in range(depth)]
    return next((name for name in reversed(names) if CAMERA_NAME.search(name)), None)


def _part(photo: Photo, level: int) -> str:
    return photo.folders[level] if level < len(photo.folders) else ""


def _camera_level(photos: Sequence[Photo], levels: list[int], layout: Layout) -> int | None:
    """Return the depth whose folders are cameras, None where folders are takes."""
    if layout is Layout.TAKES:
        return None
    by_name = [i for i in levels if _share(_names(photos, i), CAMERA_NAME.search) >= MIN_SHARE]
    if by_name:
        return by_name[-1]
    if layout is Layout.FOLDERS and len(levels) == 1:
        return levels[0]
    for i in reversed(levels):
        if _one_body_a_folder(photos, i):
            return i
    if layout is Layout.FOLDERS:
        return levels[-1]
    if len(levels) > 1:
        return levels[-1]
    names = _names(photos, levels[0])
    takes = _share(names, lambda name: TAKE_NAME.search(name) or kind_of_names([name]))
    stems = {photo.stem for photo in photos}
    if takes >= MIN_SHARE or _share(stems, CAMERA_NAME.search) >= MIN_SHARE:
        return None
    return None if _many_bodies_a_folder(photos, levels[0]) else levels[0]


def _names(photos: Sequence[Photo], level: int) -> set[str]:
    return {_part(photo, level) for photo in photos}


def _share(names: set[str], fits: Callable[[str], object]) -> float:
    return sum(bool(fits(name)) for name in names) / max(1, len(names))


def _serials_by_folder(photos: Sequence[Photo], level: int) -> list[list[str]]:
    folders: dict[str, list[str]] = {}
    for photo in photos:
        if photo.serial is not None:
            folders.setdefault(_part(photo, level), []).append(photo.serial)
    return list(folders.values())


def _one_body_a_folder(photos: Sequence[Photo], level: int) -> bool:
    if share_with_serial(photos) < MIN_SHARE:
        return False
    folders = _serials_by_folder(photos, level)
    owners = [most_common(serials) for serials in folders]
    pure = sum(serials.count(str(o)) for serials, o in zip(folders, owners, strict=True))
    n = sum(len(serials) for serials in folders)
    return len(set(owners)) == len(owners) and pure >= MIN_SHARE * n


def _many_bodies_a_folder(photos: Sequence[Photo], level: int) -> bool:
    folders = _serials_by_folder(photos, level)
    several = sum(len(set(serials)) == len(serials) > 1 for serials in folders)
    return share_with_serial(photos) >= MIN_SHARE and several >= MIN_SHARE * len(folders)


def _flat(photos: Sequence[Photo], levels: list[int], *, auto: bool) -> Arrangement:
    """Place by names or serials; `levels` are the depths of folders that tell takes."""
    groups = [tuple(_part(photo, i) for i in levels if _part(photo, i)) for photo in photos]
    placed = _placed_by_names(photos, groups, NAME_RULES[:1])
    if placed is not None:
        return Arrangement(placed=placed, how="file names tell the cameras")
    serials = {photo.serial for photo in photos if photo.serial is not None}
    by_name = _placed_by_names(photos, groups, NAME_RULES[1:])
    if len(serials) > 1 and share_with_serial(photos) >= MIN_SHARE:
        if by_name is not None and _fits_serials(by_name):
            return Arrangement(placed=by_name, how="file names tell the cameras")
        return Arrangement(
            placed=tuple(
                Placed(photo=photo, camera=photo.found.exif.serial or "unknown", group=group)
                for photo, group in zip(photos, groups, strict=True)
            ),
            how="body serials tell the cameras",
        )
    if by_name is not None:
        return Arrangement(placed=by_name, how="file names tell the cameras")
    by_stem = _placed_by_stem(photos, groups)
    distinct = len({re.sub(r"[0-9]", "", photo.stem.lower()) for photo in photos}) == len(photos)
    if by_stem is not None and (levels or (distinct and not serials)):
        return Arrangement(placed=by_stem, how="file names tell the cameras")
    if auto and len(photos) > 1:
        reason = "one body serial" if len(serials) == 1 else "no usable serials and numbered names"
        return _moving(
            photos, f"taken as one camera moved round a still object: one folder, {reason}"
        )
    if len(photos) == 1:
        one = Placed(photo=photos[0], camera=photos[0].stem, take="take01")
        return Arrangement(placed=(one,), how="a single photograph")
    raise InputError(
        "neither body serials nor file names tell the cameras apart; name the files like "
        "cam01_take02.jpg, give each camera its folder, or use layout moving"
    )


def _moving(photos: Sequence[Photo], how: str) -> Arrangement:
    return Arrangement(
        placed=tuple(Placed(photo=photo, camera="", take="take01") for photo in photos),
        moving=True,
        how=how,
    )


def _placed_by_names(
    photos: Sequence[Photo], groups: Sequence[tuple[str, ...]], rules: Sequence[str]
) -> tuple[Placed, ...] | None:
    """Place by the first rule that fits the names and fills a grid of cameras and takes."""
    for rule in rules:
        split = [split_name(photo.stem, rule) for photo in photos]
        if sum(parts is not None for parts in split) < MIN_SHARE * len(photos):
            continue
        cells = [
            (parts[0].lower(), group, parts[1])
            for parts, group in zip(split, groups, strict=True)
            if parts is not None
        ]
        cameras, takes = {c for c, _, _ in cells}, {(g, t) for _, g, t in cells}
        one_each = len(set(cells)) == len(cells)
        if one_each and len(cameras) > 1 and len(cells) >= MIN_FILL * len(cameras) * len(takes):
            return tuple(
                Placed(
                    photo=photo,
                    camera=parts[0] if parts else photo.stem,
                    group=group,
                    take=parts[1] if parts else photo.stem,
                )
                for photo, parts, group in zip(photos, split, groups, strict=True)
            )
    return None


def _placed_by_stem(
    photos: Sequence[Photo], groups: Sequence[tuple[str, ...]]
) -> tuple[Placed, ...] | None:
    """Place by whole stems that repeat from folder to folder, such as `left.jpg`."""
    stems, folders = {photo.stem for photo in photos}, set(groups)
    if len(stems) < 2 or len(photos) < MIN_FILL * len(stems) * len(folders):
        return None
    return tuple(
        Placed(photo=photo, camera=photo.stem, group=group, take="")
        for photo, group in zip(photos, groups, strict=True)
    )


def _fits_serials(placed: Sequence[Placed]) -> bool:
    """Whether each named camera is one body, and each body one camera."""
    bodies: dict[str, set[str]] = {}
    for one in placed:
        if one.photo.serial is not None:
            bodies.setdefault(one.camera.lower(), set()).add(one.photo.serial)
    flat = [serial for serials in bodies.values() for serial in serials]
    return all(len(serials) == 1 for serials in bodies.values()) and len(set(flat)) == len(flat)
