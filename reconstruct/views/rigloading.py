"""Photographs of a rig as views: landmarks looked for together, distortion taken out."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from ...capture.plates import subject_mask
from ...capture.session import Shot
from ...core.arrays import Floats, Floats32, Image
from ...core.errors import EstimationError, InputError
from ...core.facemodel.landmark_schemes import Scheme
from ...core.facemodel.landmark_table import LandmarkTable
from ...core.facemodel.landmarks import Detector
from ...core.geometry.camera import Camera, Rig, undistort
from ...core.imaging.orientation import quarter_turns
from ...dataset.build import EXPECTED, reason_of
from ...dataset.register.takelandmarks import faces_of_take, take_landmarks
from ...dataset.stereo.views import check_shape, make_view
from .faceview import FaceView, FaceViews
from .headcrop import head_part, turned, turned_points
from .loaded import LoadConfig, LoadedViews, believed, first, joined, sigma_px
from .photosets import PhotoSet

_MASK_MEGAPIXELS = 2.0  # masks need not be finer than views


@dataclass(frozen=True, kw_only=True)
class _Marks:
    """Landmarks of the photographs as stored."""

    pixels: Mapping[str, Floats]
    """Camera -> (68, 2); absent where no face was found."""
    points: Floats
    """(68, 3) world: where all views together see them; NaN where unknown."""
    remarks: Mapping[str, str]
    notes: tuple[str, ...]


def calibrated_views(
    photos: PhotoSet, rig: Rig, finder: Detector | LandmarkTable, config: LoadConfig
) -> LoadedViews:
    """Load photographs of a rig's cameras; see `loading.load_face_views`.

    Raises
    ------
    InputError
        No photograph can be used.
    EstimationError
        None shows a face.
    """
    left_out = dict(photos.remarks)
    photos, others = _of_rigs_shape(photos, rig)
    left_out |= others
    rig = replace(rig, cameras=tuple(c for c in rig if photos.take.shot(c.name) is not None))
    marks = _marks_of(photos, rig, finder)
    views, remarks = [], dict(marks.remarks)
    for camera in rig:
        shot = photos.take.shot(camera.name)
        assert shot is not None
        try:
            view, remark = _calibrated_view(photos, shot, camera, marks, config)
        except EXPECTED as error:
            left_out[camera.name] = reason_of(error)
            continue
        views.append(view)
        if remark:
            remarks[camera.name] = joined(remarks.get(camera.name), remark)
    if not views:
        raise InputError(f"{photos.name}: no photograph can be used: {first(left_out)}")
    if not any(view.has_face for view in views):
        raise EstimationError(
            f"{photos.name}: no face was found in {len(views)} photographs; give landmarks in a "
            "table: --landmarks"
        )
    return LoadedViews(
        views=FaceViews(views=tuple(views), calibrated=True, metric=rig.metric, remarks=left_out),
        focal={view.name: "rig" for view in views},
        remarks=remarks,
        notes=(*photos.notes, *marks.notes),
    )


def _of_rigs_shape(photos: PhotoSet, rig: Rig) -> tuple[PhotoSet, dict[str, str]]:
    """Return the photographs that have their cameras' shape, and why others are left out.

    Raises
    ------
    InputError
        None has.
    """
    shots, others = [], {}
    for shot in photos.take.shots:
        where = str(photos.session.path(shot))
        try:
            check_shape(rig[shot.camera], width=shot.width, height=shot.height, where=where)
        except InputError as error:
            others[shot.camera] = str(error)
        else:
            shots.append(shot)
    if not shots:
        raise InputError(first(others))
    return replace(photos, take=replace(photos.take, shots=tuple(shots))), others


def _marks_of(photos: PhotoSet, rig: Rig, finder: Detector | LandmarkTable) -> _Marks:
    """Find landmarks in all photographs together; each for itself where they do not meet."""
    session, take = photos.session, photos.take
    shots = {camera.name: take.shot(camera.name) for camera in rig}
    points = np.full((68, 3), np.nan)
    try:
        together = take_landmarks(session, take, rig, finder)
    except EstimationError as error:
        pixels = {}
        for name, faces in faces_of_take(session, take, rig, finder).items():
            shot, camera = shots[name], rig[name]
            if faces and shot is not None:
                by = (shot.width / camera.width, shot.height / camera.height)
                pixels[name] = faces[0].to(Scheme.IBUG68).points * by
        sentences: tuple[str, ...] = () if len(pixels) < 2 else (str(error),)
    else:
        rows = zip(together.cameras, together.pixels, strict=True)
        pixels = {name: points for name, points in rows if np.isfinite(points).any()}
        sentences, points = together.remarks, together.points
    remarks = {name: "no face was found in it" for name in shots if name not in pixels}
    notes = []
    for sentence in sentences:
        name, _, rest = sentence.partition(": ")
        if name in shots:
            remarks[name] = joined(remarks.get(name), rest)
        elif not sentence.startswith("no face found"):  # each view says so itself
            notes.append(sentence)
    return _Marks(pixels=pixels, points=points, remarks=remarks, notes=tuple(notes))


def _calibrated_view(
    photos: PhotoSet, shot: Shot, camera: Camera, marks: _Marks, config: LoadConfig
) -> tuple[FaceView, str]:
    """Return a view, and what is odd about it."""
    image = photos.session.read(shot)
    found = None
    if config.auto_mask or shot.mask is not None:
        found = subject_mask(photos.session, shot, image, most_megapixels=_MASK_MEGAPIXELS)
    points = marks.pixels.get(camera.name, np.full((68, 2), np.nan))
    size = (shot.width, shot.height)
    ideal = _without_distortion(points, camera.scaled(*size))
    about = ideal
    if not np.isfinite(ideal).any():  # where the others see the face
        about, _ = camera.undistorted().scaled(*size).project(marks.points)
    part = head_part(about if config.cut else ideal[:0], width=size[0], height=size[1])
    megapixels = part.shrink(config.megapixels) ** 2 * size[0] * size[1] / 1e6
    seen = make_view(
        camera, image, None if found is None else found.pixels, megapixels=megapixels,
        where=str(photos.session.path(shot)),
    )  # fmt: skip
    width, height = seen.camera.width, seen.camera.height
    place = part.scaled(width=width, height=height, of=size)
    mask, remark = believed(seen.mask, ideal * (width / size[0], height / size[1]), found is None)
    cut = (place.rows, place.columns)
    n = quarter_turns(shot.orientation)
    shifted = ideal * (width / size[0], height / size[1]) - (place.x, place.y)
    view = FaceView(
        name=camera.name,
        image=_upright(seen.color[cut].astype(np.float32) / np.float32(255), n),
        camera=turned(
            seen.camera.cropped(place.x, place.y, width=place.width, height=place.height), n
        ),
        landmarks=turned_points(shifted, n, width=place.width, height=place.height),
        sigma_px=sigma_px(shifted),
        mask=None if mask is None else _upright(mask[cut], n),
    )
    return view, remark


def _without_distortion(points: Floats, camera: Camera) -> Floats:
    """Take points (n, 2) px of a camera's photograph to those of its undistorted image."""
    ideal = undistort(camera.normalise(points), camera.distortion)
    return np.asarray(ideal @ camera.K[:2, :2].T + camera.K[:2, 2])


def _upright(image: Image, n_quarters: int) -> Floats32:
    return np.ascontiguousarray(np.rot90(image, n_quarters), dtype=np.float32)
