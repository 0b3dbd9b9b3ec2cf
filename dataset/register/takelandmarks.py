"""Landmarks of a take: found in its photographs, put together in space, kept as a file."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ...capture.masks import read_mask
from ...capture.session import Session, Shot, Take
from ...core.arrays import Bools, Bytes, Floats, Image
from ...core.errors import EstimationError, SchemaError
from ...core.facemodel.landmark_opencv import OpencvDetector
from ...core.facemodel.landmark_schemes import Scheme
from ...core.facemodel.landmark_table import LandmarkTable
from ...core.facemodel.landmarks import Detection, Detector, box_of
from ...core.files import atomic_path
from ...core.geometry.camera import Camera, Rig
from ...core.imaging.orientation import to_sensor, to_upright, turned_upright
from ...core.npzfile import Fields, check_arrays, read_npz
from .landmarks import (
    LandmarkConfig,
    Landmarks3d,
    triangulate_landmarks,
    unknown_sentence,
)

log = logging.getLogger(__name__)

_LONG_SIDE_PX = 2000  # of photographs as detectors get them: theirs are far smaller yet
_NEAR = 0.25  # of a face's size: it is the same one that other views show
_FOREHEAD = 0.9  # above the brows, in heights of the nose


@dataclass(frozen=True, kw_only=True)
class TakeLandmarks:
    """The 68 landmarks of a take, in its photographs and in space."""

    cameras: tuple[str, ...]
    """All cameras of the rig that photographed the take, in the rig's order."""
    pixels: Floats
    """(n_cameras, 68, 2) px of the photographs as stored (sensor's frame); NaN: no face found."""
    confidence: Floats
    """(n_cameras, 68) in [0, 1]."""
    score: Floats
    """(n_cameras,) of the face; NaN: none found."""
    points: Floats
    """(68, 3) world, mm (the rig's unit); NaN where unknown."""
    sigma: Floats
    """(68,) one standard deviation along each axis; NaN where unknown."""
    residual_px: Floats
    """(n_cameras, 68) seen to projected, px of the rig's images; NaN where either lacks."""
    used: Bools
    """(n_cameras, 68): which photographs each point rests on."""
    remarks: tuple[str, ...]
    """What is odd, one sentence each: no face, several faces, a wrong view."""
    detector: str
    """What found them."""


def take_landmarks(
    session: Session,
    take: Take,
    rig: Rig,
    detector: Detector | LandmarkTable,
    config: LandmarkConfig | None = None,
) -> TakeLandmarks:
    """Find the landmarks of a take.

    Faces are sought in the photographs turned upright; where a mask says what the subject is,
    faces off it do not count; of several the largest does, or the one that agrees with the
    other photographs. Where none was found these say where to look again.

    Raises
    ------
    InputError
        A photograph or mask is missing or changed.
    EstimationError
        A face was found in fewer than two photographs, or they meet nowhere.
    """
    cameras = tuple(c for c in rig if take.shot(c.name) is not None)
    rig = replace(rig, cameras=cameras)
    faces = faces_of_take(session, take, rig, detector)
    remarks = [f"{name}: {len(every)} faces" for name, every in faces.items() if len(every) > 1]
    found = {name: every[0] for name, every in faces.items() if every}
    try:
        together = triangulate_landmarks(found, rig, config)
        better = _better_faces(rig, faces, together)
        if isinstance(detector, OpencvDetector):
            better = {**_looked_again(session, take, rig, detector, found, together), **better}
        if better:
            found.update(better)
            together = triangulate_landmarks(found, rig, config)
    except EstimationError as error:
        raise EstimationError(f"take {take.id}: {error}; give landmarks in a table") from error
    absent = [c.name for c in cameras if c.name not in found]
    if absent:
        remarks.append(f"no face found in the photographs of {', '.join(absent)}")
    remarks += [f"{n}: its landmarks disagree with the other views'" for n in together.wrong]
    unknown = unknown_sentence(together)
    remarks += [unknown] if unknown else []
    return _assembled(session, take, rig, found, together, remarks, detector.name)


def faces_of_take(
    session: Session, take: Take, rig: Rig, detector: Detector | LandmarkTable
) -> dict[str, list[Detection]]:
    """Return camera -> the faces in its photograph, the largest first, px of the rig's images.

    Of the cameras that both the rig and the take have. Where a mask says what the subject is,
    faces off it do not count.

    Raises
    ------
    InputError
        A photograph or mask is missing or changed.
    """
    faces = {}
    for camera in rig:
        if take.shot(camera.name) is not None:
            photograph = _photograph(session, take, camera)
            faces[camera.name] = [photograph.in_camera(f) for f in photograph.faces(detector)]
    return faces


@dataclass(frozen=True, kw_only=True)
class _Photograph:
    """A photograph as a detector gets it: upright, 8 bits, not too large."""

    take: str
    camera: Camera
    shot: Shot
    pixels: NDArray[np.uint8]
    """(height, width, 3) RGB."""
    mask: Bytes | None
    """(height, width) of the photograph as stored."""

    def faces(self, detector: Detector | LandmarkTable) -> list[Detection]:
        """Return the faces on the subject, the largest first, px of the upright photograph."""
        if isinstance(detector, LandmarkTable):
            face = detector.of(self.take, self.camera.name)
            return [] if face is None else [face]
        up = 1 / self._shrunk
        faces = [_scaled(face, up) for face in detector.detect(self.pixels)]
        return [face for face in faces if self._on_subject(face)]

    def at(self, detector: OpencvDetector, guess: Floats) -> Detection | None:
        """Look for a face about `guess` (n, 2) px of the camera; see `OpencvDetector.refine`."""
        face = detector.refine(self.pixels, self._shrunk * self._to_upright(guess))
        return None if face is None else _scaled(face, 1 / self._shrunk)

    def in_camera(self, face: Detection) -> Detection:
        """Return a face of the upright photograph in px of the rig's camera."""
        stored = to_sensor(
            face.points, self.shot.orientation, width=self.shot.width, height=self.shot.height
        )
        by = np.array([self.camera.width / self.shot.width, self.camera.height / self.shot.height])
        points = by * stored
        return replace(
            face, points=points, box=box_of(points), sigma_px=float(by.mean()) * face.sigma_px
        )

    @property
    def _shrunk(self) -> float:
        return max(self.pixels.shape[:2]) / max(self.shot.width, self.shot.height)

    def _to_upright(self, points: Floats) -> Floats:
        by = np.array([self.shot.width / self.camera.width, self.shot.height / self.camera.height])
        return to_upright(
            by * points, self.shot.orientation, width=self.shot.width, height=self.shot.height
        )

    def _on_subject(self, face: Detection) -> bool:
        if self.mask is None:
            return True
        stored = to_sensor(
            face.points, self.shot.orientation, width=self.shot.width, height=self.shot.height
        )
        at = np.floor(stored[np.isfinite(stored).all(axis=1)]).astype(int)
        height, width = self.mask.shape
        inside = ((at >= 0) & (at < (width, height))).all(axis=1)
        on = np.zeros(len(at), dtype=bool)
        on[inside] = self.mask[at[inside, 1], at[inside, 0]] > 127
        return bool(on.mean() > 0.5)


def _photograph(session: Session, take: Take, camera: Camera) -> _Photograph:
    shot = take.shot(camera.name)
    assert shot is not None
    image = session.read(shot)
    mask_path = session.mask_path(shot)
    mask = None
    if mask_path is not None:
        mask = read_mask(mask_path, width=shot.width, height=shot.height)
    return _Photograph(
        take=take.id,
        camera=camera,
        shot=shot,
        pixels=_rgb8(turned_upright(image, shot.orientation)),
        mask=mask,
    )


def _rgb8(image: Image) -> NDArray[np.uint8]:
    """Return an image as 8-bit RGB, its longer side at most `_LONG_SIDE_PX`."""
    shrink = min(1.0, _LONG_SIDE_PX / max(image.shape[:2]))
    width, height = (max(1, round(shrink * n)) for n in (image.shape[1], image.shape[0]))
    if shrink < 1:
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    if image.dtype == np.uint16:
        image = (image >> 8).astype(np.uint8)
    deep = image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)
    return np.ascontiguousarray(deep[..., :3], dtype=np.uint8)


def _scaled(face: Detection, factor: float) -> Detection:
    return replace(
        face,
        points=factor * face.points,
        box=factor * face.box,
        sigma_px=factor * face.sigma_px,
    )


def _better_faces(
    rig: Rig, faces: Mapping[str, list[Detection]], together: Landmarks3d
) -> dict[str, Detection]:
    """Return, for views whose largest face is wrong, the one that lies where the others say."""
    better = {}
    for name in together.wrong:
        projected = rig[name].project(together.points)[0]
        off = [
            float(np.nanmedian(np.linalg.norm(face.to(Scheme.IBUG68).points - projected, axis=1)))
            for face in faces[name]
        ]
        nearest = int(np.argmin(off))
        if nearest > 0 and off[nearest] < _NEAR * faces[name][nearest].size_px:
            better[name] = faces[name][nearest]
    return better


def _looked_again(
    session: Session,
    take: Take,
    rig: Rig,
    detector: OpencvDetector,
    found: Mapping[str, Detection],
    together: Landmarks3d,
) -> dict[str, Detection]:
    """Return faces of the photographs without a right one, sought where the others say."""
    again = {}
    guessed = _guess(together.points)
    if guessed is None:
        return {}
    for camera in rig:
        if camera.name in found and camera.name not in together.wrong:
            continue
        photograph = _photograph(session, take, camera)
        face = photograph.at(detector, camera.project(guessed)[0])
        if face is not None:
            again[camera.name] = photograph.in_camera(face)
    return again


def _guess(points: Floats) -> Floats | None:
    """Return points (n, 3) about the face: outer eye corners first; None where they lack."""
    eyes, brows, base = points[[36, 45]], np.nanmean(points[17:27], axis=0), points[33]
    if not np.isfinite(np.vstack([eyes, brows[None], base[None]])).all():
        return None
    forehead = brows + _FOREHEAD * (brows - base)
    return np.vstack([eyes, forehead[None], points[np.isfinite(points).all(axis=1)]])


def _assembled(
    session: Session,
    take: Take,
    rig: Rig,
    found: Mapping[str, Detection],
    together: Landmarks3d,
    remarks: list[str],
    name: str,
) -> TakeLandmarks:
    n = len(rig)
    pixels, confidence = np.full((n, 68, 2), np.nan), np.zeros((n, 68))
    score, residual = np.full(n, np.nan), np.full((n, 68), np.nan)
    used = np.zeros((n, 68), dtype=bool)
    for row, camera in enumerate(rig):
        if camera.name not in found:
            continue
        face = found[camera.name].to(Scheme.IBUG68)
        shot = take.shot(camera.name)
        assert shot is not None
        pixels[row] = face.points * (shot.width / camera.width, shot.height / camera.height)
        confidence[row], score[row] = face.confidence, face.score
        residual[row] = together.residual_px[together.views.index(camera.name)]
        used[row] = together.used[together.views.index(camera.name)]
    return TakeLandmarks(
        cameras=rig.names,
        pixels=pixels,
        confidence=confidence,
        score=score,
        points=together.points,
        sigma=together.sigma,
        residual_px=residual,
        used=used,
        remarks=tuple(remarks),
        detector=name,
    )


_ARRAYS = ("pixels", "confidence", "score", "points", "sigma", "residual_px", "used")
_FILE_VERSION = 1
_FIELDS: Fields = {
    "version": ("iu", ()),
    "cameras": ("U", ("cameras",)),
    "remarks": ("U", ("remarks",)),
    "detector": ("U", ()),
    "pixels": ("f", ("cameras", 68, 2)),
    "confidence": ("f", ("cameras", 68)),
    "score": ("f", ("cameras",)),
    "points": ("f", (68, 3)),
    "sigma": ("f", (68,)),
    "residual_px": ("f", ("cameras", 68)),
    "used": ("b", ("cameras", 68)),
}


def save_landmarks(path: Path, landmarks: TakeLandmarks) -> None:
    """Write the landmarks of a take as `.npz`, atomically."""
    with atomic_path(path) as part:
        np.savez(
            part,
            version=np.array(_FILE_VERSION),
            cameras=np.array(landmarks.cameras, dtype=np.str_),
            remarks=np.array(landmarks.remarks, dtype=np.str_),
            detector=np.array(landmarks.detector, dtype=np.str_),
            **{name: getattr(landmarks, name) for name in _ARRAYS},
        )


def load_landmarks(path: Path) -> TakeLandmarks:
    """Read what `save_landmarks` wrote.

    Raises
    ------
    InputError
        Absent, or cut short.
    SchemaError
        Of another version.
    """
    again = "build the take again"
    archive = read_npz(path, again=again)
    check_arrays(path, archive, _FIELDS, again=again)
    if int(archive["version"]) != _FILE_VERSION:
        raise SchemaError(
            f"{path}: landmarks of version {int(archive['version'])}, but this facekit reads "
            f"version {_FILE_VERSION}; {again}"
        )
    arrays: dict[str, Any] = {name: archive[name] for name in _ARRAYS}
    return TakeLandmarks(
        cameras=tuple(str(name) for name in archive["cameras"]),
        remarks=tuple(str(remark) for remark in archive["remarks"]),
        detector=str(archive["detector"]),
        **arrays,
    )
