"""Many small takes of a virtual person: real photographs that cost half a second each to build.

One photograph of each camera is rendered. Every take is these photographs with noise of its own,
as a camera would give it again, so that no two takes are the same to any stage or hash.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ...calibration.rigfile import RIG_FILE, save_rig
from ...capture.session import Session, Shot, Take, TakeKind, save_session
from ...capture.virtual.studio import StudioConfig, make_session, rng_of
from ...capture.virtual.truth import load_truth
from ...core.arrays import Bytes
from ...core.errors import ConfigError
from ...core.files import sha256_file, write_bytes
from ...core.geometry.camera import Rig
from ...core.imaging.imageio import read_image, write_image
from ...dataset.build import BuildConfig
from ...dataset.rigcheck import RigCheck

STUDIO, SESSION = "studio", "session"
_MOST = 100_000
_NOISE = 1  # grey levels, largest: less than what the studio's sensor adds


@dataclass(frozen=True, kw_only=True)
class SmallTakesConfig:
    """What the small takes show."""

    layout: str = "pair"  # the smallest rig that stereo accepts
    megapixels: float = 0.02  # the least that the studio renders: 0.5 CPU seconds a take
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class SmallTakes:
    """A session of small takes and the true rig."""

    session: Session
    rig: Rig
    rig_file: Path
    build: BuildConfig
    """Settings that suit their size."""


def small_takes(
    folder: Path, n_takes: int, config: SmallTakesConfig, *, blank: Sequence[str] = ()
) -> SmallTakes:
    """Make a session of `n_takes` takes in `folder`; takes that are there stay as they are.

    Asked again for more, the session grows.

    Parameters
    ----------
    blank : sequence of str
        Ids of takes whose photographs show nothing: no surface can be made of them.

    Raises
    ------
    ConfigError
        An unusable number.
    """
    if not 1 <= n_takes <= _MOST:
        raise ConfigError(f"takes: {n_takes}; give 1 to {_MOST}")
    studio = make_session(
        StudioConfig(
            seed=config.seed, layout=config.layout, megapixels=config.megapixels,
            n_board_poses=0, masks=True, truth_maps=False,
        ),
        folder / STUDIO,
    )  # fmt: skip
    place = folder / SESSION
    model = studio.takes[0]
    pictures = {shot.camera: read_image(studio.path(shot)) for shot in model.shots}
    for shot in model.shots:
        mask = studio.mask_path(shot)
        if mask is not None and not (place / _mask_name(shot)).is_file():
            write_bytes(place / _mask_name(shot), mask.read_bytes())
    takes = tuple(
        _take(name, model, pictures, place, seed=config.seed, blank=name in blank)
        for name in take_names(n_takes)
    )
    session = replace(studio, folder=place, name=f"small-takes-{config.seed}", takes=takes)
    save_session(session)
    rig = load_truth(studio.folder).rig
    save_rig(folder / RIG_FILE, rig)
    return SmallTakes(
        session=session, rig=rig, rig_file=folder / RIG_FILE, build=small_build(config)
    )


def take_names(n_takes: int) -> list[str]:
    """Return the ids of the first takes, in order."""
    return [f"take_{index:04d}" for index in range(n_takes)]


def small_build(config: SmallTakesConfig) -> BuildConfig:
    """Return the settings that make a mesh of a small take: one scale, the rig as it is."""
    return BuildConfig(
        megapixels=config.megapixels, start_megapixels=config.megapixels, check_rig=RigCheck.OFF
    )


def _take(
    name: str, model: Take, pictures: dict[str, Bytes], place: Path, *, seed: int, blank: bool
) -> Take:
    shots = []
    for shot in model.shots:
        path = place / "images" / name / f"{shot.camera}.png"
        if not path.is_file():
            rng = rng_of(seed, f"{name}/{shot.camera}")
            write_image(path, _again(pictures[shot.camera], rng, blank=blank))
        shots.append(
            replace(
                shot,
                file=path.relative_to(place).as_posix(),
                sha256=sha256_file(path),
                bytes=path.stat().st_size,
                mask=_mask_name(shot) if shot.mask else None,
            )
        )
    return Take(id=name, kind=TakeKind.SUBJECT, shots=tuple(shots))


def _again(picture: Bytes, rng: np.random.Generator, *, blank: bool) -> Bytes:
    """Return (H, W, 3) uint8: the photograph taken once more, or an even grey."""
    if blank:
        return np.full_like(picture, 128)
    noise = rng.integers(-_NOISE, _NOISE + 1, picture.shape)
    return np.clip(picture.astype(np.int16) + noise, 0, 255).astype(np.uint8)


def _mask_name(shot: Shot) -> str:
    return f"masks/{shot.camera}.png"
