"""Mistakes of people who photograph and copy files, made in a folder of small photographs."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

N_CAMERAS = 9
_N_TAKES = 5
_SIZE = (240, 160)
_PAUSE_S = 20.0  # between takes
_LATE_S = 3.0


@dataclass(frozen=True, kw_only=True)
class Source:
    """Photographs of a rig, a folder for each camera."""

    folder: Path

    @property
    def cameras(self) -> tuple[str, ...]:
        """The folders' names."""
        return tuple(f"cam{k:02d}" for k in range(N_CAMERAS))

    def file(self, camera: str, take: str) -> Path:
        """Return the photograph of a camera in a take."""
        return self.folder / camera / f"{take}.jpg"


@dataclass(frozen=True, kw_only=True)
class Faulty:
    """What is wrong."""

    take: str
    names: tuple[str, ...]
    """Cameras, each of which a sentence has to name."""
    beside: tuple[str, ...] = ()
    """Cameras of which a sentence may speak as well."""


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """A mistake."""

    name: str
    make: Callable[[Source, np.random.Generator], Faulty]


def make_source(folder: Path, rng: np.random.Generator) -> Source:
    """Write sound photographs of five takes."""
    source = Source(folder=folder)
    for number, take in enumerate(take_names()):
        for k, camera in enumerate(source.cameras):
            _shoot(source.file(camera, take), rng, body=k, at_s=_PAUSE_S * number)
    return source


def take_names() -> list[str]:
    """Return the names of the takes' files."""
    return [f"take{number}" for number in range(1, _N_TAKES + 1)]


def _shoot(
    path: Path, rng: np.random.Generator, *, body: int, at_s: float, size: tuple[int, int] = _SIZE,
    lens: str = "85 mm", focal_mm: float = 85.0, orientation: int = 1,
) -> None:  # fmt: skip
    """Write a photograph of blocks of noise, which no other one equals."""
    noise = rng.integers(60, 200, (size[1] // 8, size[0] // 8, 3), dtype=np.uint8)
    picture = PillowImage.fromarray(noise.repeat(8, 0).repeat(8, 1))
    exif = PillowImage.Exif()
    exif[0x0112] = orientation
    details = exif.get_ifd(0x8769)
    details[0xA431] = f"BODY-{body:04d}"
    details[0xA434], details[0x920A] = lens, focal_mm
    whole = int(at_s)
    details[0x9003] = f"2026:03:04 10:{whole // 60:02d}:{whole % 60:02d}"
    details[0x9291] = f"{round(100 * (at_s - whole)):02d}"
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, exif=exif, quality=95)


def _one(source: Source, rng: np.random.Generator) -> tuple[str, str, int]:
    """Return a camera, one of the inner takes, and the take's number."""
    number = int(rng.integers(1, _N_TAKES - 1))
    return str(rng.choice(source.cameras)), take_names()[number], number


def _lacking(n: int) -> Callable[[Source, np.random.Generator], Faulty]:
    def make(source: Source, rng: np.random.Generator) -> Faulty:
        _, take, _ = _one(source, rng)
        names = tuple(str(one) for one in rng.choice(source.cameras, n, replace=False))
        for name in names:
            source.file(name, take).unlink()
        return Faulty(take=take, names=names)

    return make


def _truncated(source: Source, rng: np.random.Generator) -> Faulty:
    camera, take, _ = _one(source, rng)
    content = source.file(camera, take).read_bytes()
    source.file(camera, take).write_bytes(content[: int(rng.uniform(0.2, 0.9) * len(content))])
    return Faulty(take=take, names=(camera,))


def _empty(source: Source, rng: np.random.Generator) -> Faulty:
    camera, take, _ = _one(source, rng)
    source.file(camera, take).write_bytes(b"")
    return Faulty(take=take, names=(camera,))


def _no_picture(source: Source, rng: np.random.Generator) -> Faulty:
    camera, take, _ = _one(source, rng)
    source.file(camera, take).write_text("<html>404</html>", encoding="utf-8")
    return Faulty(take=take, names=(camera,))


def _exchanged(source: Source, rng: np.random.Generator) -> Faulty:
    _, take, _ = _one(source, rng)
    names = tuple(str(one) for one in rng.choice(source.cameras, 2, replace=False))
    first, second = (source.file(name, take) for name in names)
    first.rename(source.folder / "aside")
    second.rename(first)
    (source.folder / "aside").rename(second)
    return Faulty(take=take, names=names)


def _copied_camera(source: Source, rng: np.random.Generator) -> Faulty:
    _, take, _ = _one(source, rng)
    first, second = sorted(str(one) for one in rng.choice(source.cameras, 2, replace=False))
    shutil.copyfile(source.file(first, take), source.file(second, take))
    return Faulty(take=take, names=(second,), beside=(first,))


def _copied_take(source: Source, rng: np.random.Generator) -> Faulty:
    camera, take, number = _one(source, rng)
    shutil.copyfile(source.file(camera, take_names()[number - 1]), source.file(camera, take))
    return Faulty(take=take, names=(camera,))


def _saved_again(source: Source, rng: np.random.Generator) -> Faulty:
    """Put a photograph of an earlier take in place of another, saved anew by some program."""
    camera, take, number = _one(source, rng)
    with PillowImage.open(source.file(camera, take_names()[number - 1])) as picture:
        picture.load()
        picture.save(source.file(camera, take), quality=88)  # programs drop what EXIF told
    return Faulty(take=take, names=(camera,))


def _other(**settings: object) -> Callable[[Source, np.random.Generator], Faulty]:
    def make(source: Source, rng: np.random.Generator) -> Faulty:
        camera, take, number = _one(source, rng)
        _shoot(
            source.file(camera, take), rng, body=source.cameras.index(camera),
            at_s=_PAUSE_S * number, **settings,  # type: ignore[arg-type]
        )  # fmt: skip
        return Faulty(take=take, names=(camera,))

    return make


def _late(source: Source, rng: np.random.Generator) -> Faulty:
    """Let one photograph be of seconds later: the person may look otherwise by then."""
    camera, take, number = _one(source, rng)
    body = source.cameras.index(camera)
    _shoot(source.file(camera, take), rng, body=body, at_s=_PAUSE_S * number + _LATE_S)
    return Faulty(take=take, names=(camera,))


def _other_body(source: Source, rng: np.random.Generator) -> Faulty:
    camera, take, number = _one(source, rng)
    _shoot(source.file(camera, take), rng, body=N_CAMERAS + 5, at_s=_PAUSE_S * number)
    return Faulty(take=take, names=(camera,))


def _no_part_of_the_rig(source: Source, rng: np.random.Generator) -> Faulty:
    _, take, number = _one(source, rng)
    _shoot(source.file("phone", take), rng, body=N_CAMERAS + 6, at_s=_PAUSE_S * number)
    return Faulty(take=take, names=("phone",))


MISTAKES: tuple[Mistake, ...] = (
    *(Mistake(name=f"lacks-{n}", make=_lacking(n)) for n in range(1, N_CAMERAS)),
    Mistake(name="truncated", make=_truncated),
    Mistake(name="empty", make=_empty),
    Mistake(name="no-picture", make=_no_picture),
    Mistake(name="exchanged", make=_exchanged),
    Mistake(name="copied-camera", make=_copied_camera),
    Mistake(name="copied-take", make=_copied_take),
    Mistake(name="saved-again", make=_saved_again),
    Mistake(name="turned", make=_other(orientation=6)),
    Mistake(name="smaller", make=_other(size=(160, 112))),
    Mistake(name="other-lens", make=_other(lens="50 mm")),
    Mistake(name="zoomed", make=_other(focal_mm=70.0)),
    Mistake(name="late", make=_late),
    Mistake(name="other-body", make=_other_body),
    Mistake(name="no-part-of-the-rig", make=_no_part_of_the_rig),
)
"""By name, in the order that they are tried."""
SAMPLED = ("lacks-8", "truncated", "exchanged", "saved-again", "turned", "late", "other-body")
"""Names of those that a sample tries."""
