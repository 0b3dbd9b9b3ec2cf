"""Checks the photographs of a session; `quality.json` keeps figures and verdicts.

Figures are kept by content: a second check measures only what is new.
"""

import base64
import dataclasses
import logging
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..core.arrays import Bools, Floats32, Image
from ..core.config import from_mapping, known_fields
from ..core.console import track
from ..core.errors import InputError
from ..core.files import read_json, sha256_file, write_json
from .masks import read_mask
from .measure import MEASURE_VERSION, Measure, measure, thumbnail
from .plates import mask_by_backdrop, mask_by_plate
from .session import Session, Shot, Take, TakeKind
from .verdicts import Findings, Judged, Key, Verdict, judge

log = logging.getLogger(__name__)

QUALITY_FILE = "quality.json"
QUALITY_FORMAT = "facekit-quality"
QUALITY_VERSION = 1

REGION_SIDE_PX = 1400  # longest side at which the subject is looked for
SAME_PICTURE = 0.001
"""rms between thumbnails, encoded, of a picture that was saved again: JPEG of quality 60 leaves
0.0008 of a megapixel, while 1 % of light or a pixel of movement makes 0.002 there."""
SAME_PICTURE_SIDE_PX = 1200  # smaller pictures average less: more is left, and more moves


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Measured:
    """What the cache holds of one photograph."""

    measure: Measure
    region: str
    thumbnail: Floats32


def check_quality(session: Session, out: Path | None = None) -> dict[str, Any]:
    """Measure and judge all photographs of a session.

    Parameters
    ----------
    out
        Where `quality.json` goes; the session's folder by default.

    Returns
    -------
    dict
        What `quality.json` says, JSON-able.

    Raises
    ------
    InputError
        A photograph of the session does not decode any more.
    """
    path = (out or session.folder) / QUALITY_FILE
    known = _load_measured(path)
    measured: dict[Key, _Measured] = {}
    keys: dict[Key, str] = {}
    shots = [(take, shot) for take in session.takes for shot in take.shots]
    n_new = 0
    for take, shot in track(shots, "Measuring photographs", total=len(shots)):
        content = _content_key(session, take, shot)
        found = known.get(content)
        if found is None:
            found = _measure(session, take, shot)
            n_new += 1
        measured[take.id, shot.camera] = found
        keys[take.id, shot.camera] = content
    judged = judge(session, {key: one.measure for key, one in measured.items()})
    _find_duplicates(session, measured, judged)
    result = _plain(session, measured, keys, judged)
    write_json(path, result)
    log.info(
        "%s: %s (%d photographs measured, %d known)",
        session.folder, result["counts"], n_new, len(shots) - n_new,
    )  # fmt: skip
    return result


def _measure(session: Session, take: Take, shot: Shot) -> _Measured:
    image = session.read(shot)
    mask, how = _region(session, take, shot, image)
    return _Measured(measure=measure(image, mask), region=how, thumbnail=thumbnail(image))


def _region(session: Session, take: Take, shot: Shot, image: Image) -> tuple[Bools | None, str]:
    """Return where to measure: the subject, as far as mask, plate or backdrop tell."""
    if take.kind is TakeKind.EMPTY:
        return np.ones(image.shape[:2], dtype=bool), "all"
    given = session.mask_path(shot)
    if given is not None:
        pixels = read_mask(given, width=image.shape[1], height=image.shape[0]) > 127
        if pixels.any():
            return pixels, "given"
    if take.kind is not TakeKind.SUBJECT:
        return None, "middle"
    small = _small(image)
    found, how = None, "backdrop"
    plate = _plate(session, shot)
    if plate is not None:
        found, how = mask_by_plate(small, _small(session.read(plate))), "plate"
    if found is None:
        found, how = mask_by_backdrop(small), "backdrop"
    if found is None or not found.any():
        return None, "middle"
    size = (image.shape[1], image.shape[0])
    full = cv2.resize(found.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    return np.asarray(full > 0), how


def _plate(session: Session, shot: Shot) -> Shot | None:
    for take in session.takes_of(TakeKind.EMPTY):
        empty = take.shot(shot.camera)
        if empty is not None and (empty.width, empty.height) == (shot.width, shot.height):
            return empty
    return None


def _small(image: Image) -> Image:
    factor = REGION_SIDE_PX / max(image.shape[:2])
    if factor >= 1:
        return image
    size = (round(image.shape[1] * factor), round(image.shape[0] * factor))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))


def _content_key(session: Session, take: Take, shot: Shot) -> str:
    """Return what determines a photograph's figures: its content and that of its mask or plate."""
    given = session.mask_path(shot)
    plate = _plate(session, shot) if take.kind is TakeKind.SUBJECT else None
    beside = sha256_file(given) if given else (plate.sha256 if plate else "")
    return f"{MEASURE_VERSION}:{take.kind}:{shot.sha256}:{beside}"


def _find_duplicates(session: Session, measured: Mapping[Key, _Measured], judged: Judged) -> None:
    """Name photographs that show the very same picture, saved again or copied."""
    candidates = [
        (take, shot)
        for take in session.takes
        for shot in take.shots
        if take.kind in (TakeKind.SUBJECT, TakeKind.TARGET)
    ]
    shapes: dict[tuple[int, ...], list[int]] = {}
    for i, (take, shot) in enumerate(candidates):
        shapes.setdefault(measured[take.id, shot.camera].thumbnail.shape, []).append(i)
    for members in shapes.values():
        thumbs = np.stack(
            [
                measured[candidates[i][0].id, candidates[i][1].camera].thumbnail.ravel()
                for i in members
            ]
        ).astype(np.float64)
        for a in range(len(members) - 1):
            rms = np.sqrt(np.mean((thumbs[a + 1 :] - thumbs[a]) ** 2, axis=1))
            shot = candidates[members[a]][1]
            few = max(1.0, SAME_PICTURE_SIDE_PX / max(shot.width, shot.height))
            for b in np.flatnonzero(rms < few * SAME_PICTURE) + a + 1:
                first, second = candidates[members[a]], candidates[members[int(b)]]
                if not _different_times(first[1], second[1]):
                    judged_take = judged.takes[second[0].id]
                    judged_take.add(
                        f"camera {second[1].camera} shows the same picture as camera "
                        f"{first[1].camera} in take {first[0].id}: a copy?"
                    )
                    judged.shots[second[0].id, second[1].camera].add(
                        f"the same picture as {first[1].file}"
                    )


def _different_times(a: Shot, b: Shot) -> bool:
    return a.camera == b.camera and a.time is not None and b.time is not None and a.time != b.time


def _plain(
    session: Session, measured: Mapping[Key, _Measured], keys: Mapping[Key, str], judged: Judged
) -> dict[str, Any]:
    takes = []
    for take in session.takes:
        shots = []
        for shot in take.shots:
            key = (take.id, shot.camera)
            one = measured[key]
            shots.append(
                {
                    "camera": shot.camera,
                    **_said(judged.shots[key]),
                    "region": one.region,
                    "measure": dataclasses.asdict(one.measure),
                    "content": keys[key],
                    "thumbnail": _packed(one.thumbnail),
                }
            )
        takes.append({"id": take.id, "kind": str(take.kind), **_said(judged.takes[take.id]),
                      "shots": shots})  # fmt: skip
    verdicts = [take["verdict"] for take in takes]
    return {
        "format": QUALITY_FORMAT,
        "version": QUALITY_VERSION,
        "session": session.name,
        "counts": {str(verdict): verdicts.count(str(verdict)) for verdict in Verdict},
        "cameras": [
            {"id": camera.id, **_said(judged.cameras[camera.id])} for camera in session.cameras
        ],
        "takes": takes,
    }


def _said(findings: Findings) -> dict[str, Any]:
    return {"verdict": str(findings.verdict), "remarks": findings.remarks}


def _packed(thumb: Floats32) -> dict[str, Any]:
    levels = np.round(thumb * 65535).astype("<u2")
    text = base64.b64encode(zlib.compress(levels.tobytes(), 1)).decode()
    return {"width": thumb.shape[1], "height": thumb.shape[0], "levels": text}


def _unpacked(values: Mapping[str, Any]) -> Floats32:
    content = zlib.decompressobj().decompress(base64.b64decode(values["levels"]), 1 << 16)
    levels = np.frombuffer(content, "<u2").reshape(values["height"], values["width"])
    return levels.astype(np.float32) / np.float32(65535)


def _load_measured(path: Path) -> dict[str, _Measured]:
    """Return the figures of an earlier check by content; none where they cannot be read."""
    try:
        values = read_json(path, format_name=QUALITY_FORMAT, version=QUALITY_VERSION)
        return {
            shot["content"]: _Measured(
                measure=from_mapping(
                    Measure, known_fields(Measure, shot["measure"]), where=str(path)
                ),
                region=str(shot["region"]),
                thumbnail=_unpacked(shot["thumbnail"]),
            )
            for take in values["takes"]
            for shot in take["shots"]
        }
    except InputError:
        return {}
    except (KeyError, TypeError, ValueError, zlib.error) as error:
        log.debug("%s: measured anew (%r)", path, error)
        return {}
