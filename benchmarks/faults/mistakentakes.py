"""Mistakes that pictures alone tell, on a virtual head with nine cameras.

Another take's photograph among the others (another expression), a subject that moved between two
exposures, photographs that hang on each other's cameras: all three look like sound files. A head
that moved by so many mm before one camera is one camera that stands so many mm elsewhere.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...calibration.check import check_photos
from ...calibration.stability.stability import stability_from_ties
from ...calibration.stability.ties import TakePhotos, Ties, TieSettings, load_photos
from ...capture.session import Session, Take
from ...capture.virtual.studio import StudioConfig, make_session, rng_of
from ...capture.virtual.truth import load_truth
from ...core.geometry.camera import Rig
from ...dataset.build import BuildConfig, build_take
from .named import Found

_EXPRESSIONS = ("neutral", "jawOpen=0.5", "mouthSmile_L+mouthSmile_R")
_MEGAPIXELS = 1.0
_DELAYED_MM = (2.0, 5.0, 10.0, 20.0, 40.0)
_EXCHANGED = 2  # pairs of cameras
_GOOD_TAKES = 100
_SHARE = 0.6  # of a take's points, of which another sound take is made


def try_takes(folder: Path, *, seed: int, found: Found) -> None:
    """Photograph a head with three expressions, make the mistakes, add what came of them."""
    session = make_session(
        StudioConfig(
            seed=seed, megapixels=_MEGAPIXELS, n_board_poses=0, truth_maps=False,
            expressions=_EXPRESSIONS,
        ),
        folder / "session",
    )  # fmt: skip
    rig = load_truth(session.folder).rig
    rng = rng_of(seed, "mistaken takes")
    found.kinds += 3
    photos = [_photos(session, take, rig, folder / "features") for take in session.takes]
    _leave_in_peace(photos, session.takes, rig, rng, found)
    for distance in _DELAYED_MM:
        _delay(photos[0], rig, distance, rng, found)
    for _ in range(_EXCHANGED):
        _exchange(session, rig, folder / "features", rng, found)
    _mix(session, rig, folder, rng, found)


def _photos(session: Session, take: Take, rig: Rig, cache: Path) -> TakePhotos:
    return load_photos(session, take, rig, TieSettings(), cache=cache, n_workers=1)


def _leave_in_peace(
    photos: Sequence[TakePhotos], takes: Sequence[Take], rig: Rig, rng: np.random.Generator,
    found: Found,
) -> None:  # fmt: skip
    """Check the sound takes, and many others made of parts of their ties."""
    ties = []
    for one, take in zip(photos, takes, strict=True):
        report = check_photos(one, rig).report
        found.sound += 1
        if not report.steady:
            found.accused.append(f"the sound take {take.id}: {', '.join(report.moved)} moved")
        if report.ties is not None:
            ties.append(report.ties)
    for number in range(_GOOD_TAKES):
        report = stability_from_ties(_part(ties[number % len(ties)], rng), rig)
        found.sound += 1
        if not report.steady:
            found.accused.append(f"sound take {number}: {', '.join(report.moved)} moved")
    found.cases += len(takes) + _GOOD_TAKES


def _part(ties: Ties, rng: np.random.Generator) -> Ties:
    """Return the sightings of some points, drawn."""
    return ties.selected((rng.random(ties.n_points) < _SHARE)[ties.point_of])


def _delay(
    photos: TakePhotos, rig: Rig, distance_mm: float, rng: np.random.Generator, found: Found
) -> None:
    """Let the head stand elsewhere when one camera opens."""
    late = rig.cameras[int(rng.integers(len(rig)))]
    step = rng.normal(size=3)
    step *= distance_mm / np.linalg.norm(step)
    pose = late.cam_from_world.copy()
    pose[:, 3] += pose[:, :3] @ step
    wrong = rig.with_camera(replace(late, cam_from_world=pose))
    moved = check_photos(photos, wrong).report.moved
    what = f"{distance_mm:g} mm between {late.name} and the others"
    found.cases += 1
    if late.name not in moved:
        found.unnamed.append(f"{what}: not noticed")
    found.accused += [f"{what}: {name} is said to have moved" for name in {*moved} - {late.name}]


def _exchange(
    session: Session, rig: Rig, cache: Path, rng: np.random.Generator, found: Found
) -> None:
    """Let two cameras have each other's photograph, which no serial number tells."""
    take = session.takes[0]
    first, second = (str(one) for one in rng.choice(rig.names, 2, replace=False))
    names = {first: second, second: first}
    shots = tuple(replace(shot, camera=names.get(shot.camera, shot.camera)) for shot in take.shots)
    report = check_photos(_photos(session, replace(take, shots=shots), rig, cache), rig).report
    named = {camera for camera, _ in report.exchanged}
    found.cases += 1
    if named != {first, second}:
        told = ", ".join(sorted(named)) or "nothing"
        found.unnamed.append(f"{first} and {second} exchanged: {told} was named")
    found.accused += [f"{first} and {second} exchanged: {name} moved" for name in report.moved]


def _mix(session: Session, rig: Rig, folder: Path, rng: np.random.Generator, found: Found) -> None:
    """Build takes of which one photograph shows another expression, and a sound one."""
    for name, take, odd in _mixed(session, rng):
        remarks = build_take(
            session, take, rig, folder / name, BuildConfig(megapixels=_MEGAPIXELS)
        )["remarks"]  # fmt: skip
        found.cases += 1
        found.sound += not odd
        if odd and not any(sentence.startswith(f"{odd} ") for sentence in remarks):
            found.unnamed.append(f"{name}: nothing is said of {odd}")
        found.accused += [
            f"{name}: {sentence}" for sentence in remarks if not odd or odd not in sentence
        ]


def _mixed(session: Session, rng: np.random.Generator) -> Iterator[tuple[str, Take, str]]:
    """Yield a name, a take, and the camera whose photograph is of another one; none at first."""
    base, *others = session.takes
    yield "sound", base, ""
    for number, other in enumerate(others):
        odd = base.shots[int(rng.integers(len(base.shots)))].camera
        shots = tuple(
            next(one for one in other.shots if one.camera == odd) if shot.camera == odd else shot
            for shot in base.shots
        )
        yield f"mixed-{number}", replace(base, shots=shots), odd
