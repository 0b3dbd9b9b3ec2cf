"""What the stereo benchmark reconstructs, and how large."""

from dataclasses import dataclass
from pathlib import Path

from ..capture.virtual.studio import StudioConfig
from ..core.devices import Device
from ..core.errors import ConfigError, InputError
from ..dataset.stereo.colmap import Stereo

BUILT_IN, ICT = "builtin", "ict"
_ICT_FILE = Path(__file__).resolve().parents[2] / "shared/data/ict_face_model/ict_face_model.npz"
"""The model is not ours to ship: where a checkout has its data folder beside it."""


@dataclass(frozen=True, kw_only=True)
class StereoBenchConfig:
    """What to reconstruct, and how large."""

    scene: str = "0"  # a seed of the studio, or the folder of a rendered stereo scene
    layout: str = "nine"  # rig of a seed: a packaged layout, or a YAML file
    subject: str = BUILT_IN  # head of a seed: `builtin`, `ict`, or the file of an ICT face model
    megapixels: tuple[str, ...] = ("1.5", "6")  # results stand under `1.5mp`, `6mp`
    device: Device = Device.CPU  # of the builds; with `cuda`, `cpu_s` is not all that they cost
    stereo: Stereo = Stereo.SWEEP  # `colmap`: its dense stereo instead of ours; needs CUDA
    warm_up: bool = True  # compile all kernels first, so that no build has to
    check: bool = True  # also what the check for moved cameras costs
    pictures: bool = True  # draw the errors
    faults: bool = False  # also with one view spoilt, in many ways: as many builds
    scaling: bool = False  # cost over resolution and number of views: many minutes


def head_of(subject: str) -> str:
    """Return what the studio calls a subject.

    Raises
    ------
    InputError
        The file of the face model is not there.
    """
    if subject == BUILT_IN:
        return StudioConfig.head
    path = _ICT_FILE if subject == ICT else Path(subject)
    if not path.is_file():
        raise InputError(
            f"{path}: no ICT face model here; put the file there or give its path as the subject"
        )
    return str(path)


def heads_of(models: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return (kind, head) of the models whose files are there.

    Raises
    ------
    InputError
        None is, or one is not that was named by its file.
    """
    found, absent = [], []
    for kind in models:
        try:
            found.append((kind, head_of(kind)))
        except InputError as error:
            if kind != ICT:
                raise
            absent.append(error)
    if not found:
        raise absent[0]
    return found


def is_seed(scene: str) -> bool:
    """Tell whether a scene is a seed of the studio; otherwise it is a folder."""
    return scene.isascii() and scene.isdigit()


def sizes_of(config: StereoBenchConfig) -> dict[str, float]:
    """Return the name of each size wanted and its megapixels."""
    sizes = {}
    for text in config.megapixels:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not 0.05 <= value <= 60:
            raise ConfigError(f"megapixels: {text!r} is no size; give numbers from 0.05 to 60")
        sizes[f"{text}mp"] = value
    if not sizes:
        raise ConfigError("megapixels: none given; give at least one size, such as 1.5")
    return sizes
