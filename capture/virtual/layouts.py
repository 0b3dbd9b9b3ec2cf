"""Rig layouts: where the cameras stand, from YAML; drawn into a `Rig` with small imperfections."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import yaml

from ...core.arrays import Floats
from ...core.config import from_mapping, load_yaml
from ...core.errors import ConfigError
from ...core.geometry.camera import Camera, Rig
from ...core.geometry.transform import look_at

_NEAREST_MM = 250.0
"""Nearer cameras would stand in the head."""


@dataclass(frozen=True, kw_only=True)
class CameraPlace:
    """Where one camera stands, as seen from the head."""

    yaw_deg: float
    """0 in front, +90 at the subject's left."""
    pitch_deg: float = 0.0
    """Positive above."""
    distance_mm: float = 1000.0
    focal_mm: float = 85.0
    roll_deg: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A rig as one would order it."""

    cameras: tuple[CameraPlace, ...]
    sensor_width_mm: float = 24.0  # a 35 mm-format body turned upright
    sensor_height_mm: float = 36.0
    target_mm: tuple[float, float, float] = (
        0.0,
        -5.0,
        25.0,
    )  # aimed at: the middle of head and face
    position_spread_mm: float = 10.0  # sd of the mounting
    aim_spread_mm: float = 3.0
    focal_spread: float = 0.004  # relative sd between lenses
    principal_point_spread: float = 0.004  # sd, parts of the image width
    distortion: tuple[float, float, float, float] = (0.08, -0.6, 2e-4, -2e-4)
    """k1, k2, p1, p2 of the lens type; each lens deviates by a tenth."""


def load_layout(name: str) -> Layout:
    """Load a packaged layout (`nine`) or a YAML file.

    Raises
    ------
    ConfigError
        No such layout, an unknown key, fewer than two cameras, or a camera that cannot be.
    """
    path = Path(name)
    packaged = resources.files(__package__).joinpath("layouts")
    if path.suffix in (".yaml", ".yml"):
        values, where = load_yaml(path), name
    else:
        resource = packaged.joinpath(f"{name}.yaml")
        if not resource.is_file():
            known = ", ".join(sorted(p.name[:-5] for p in packaged.iterdir()))
            raise ConfigError(f"no rig layout {name!r}: give a YAML file or one of {known}")
        values, where = yaml.safe_load(resource.read_text(encoding="utf-8")), f"{name}.yaml"
    layout = from_mapping(Layout, values, where=where)
    if not isinstance(layout.cameras, tuple):
        raise ConfigError(f"{where}: cameras: expected a list of places")
    if len(layout.cameras) < 2:
        raise ConfigError(f"{where}: cameras: {len(layout.cameras)} given, but stereo needs two")
    for i, place in enumerate(layout.cameras):
        _check_place(place, where=f"{where}: cameras[{i}]")
    if layout.sensor_width_mm <= 0 or layout.sensor_height_mm <= 0:
        raise ConfigError(f"{where}: the sensor's width and height must be above zero")
    return layout


def _check_place(place: CameraPlace, *, where: str) -> None:
    if not all(np.isfinite(value) for value in dataclasses.astuple(place)):
        raise ConfigError(f"{where}: all values must be finite numbers")
    if place.focal_mm <= 0:
        raise ConfigError(f"{where}: focal_mm is {place.focal_mm:g}; give more than 0")
    if place.distance_mm <= max(_NEAREST_MM, 2 * place.focal_mm):
        raise ConfigError(
            f"{where}: distance_mm is {place.distance_mm:g}; a {place.focal_mm:g} mm lens needs "
            f"more than {max(_NEAREST_MM, 2 * place.focal_mm):g} from the middle of the head"
        )


def draw_rig(layout: Layout, *, megapixels: float, rng: np.random.Generator) -> Rig:
    """Place the cameras, each a little off as real mountings and lenses are."""
    return _placed(layout, megapixels, lambda sd, n: rng.normal(0, sd, n))


def nominal_rig(layout: Layout, *, megapixels: float) -> Rig:
    """Place the cameras exactly as the layout says."""
    return _placed(layout, megapixels, lambda sd, n: np.zeros(n))


def _placed(layout: Layout, megapixels: float, off: Callable[[float, int], Floats]) -> Rig:
    """Place the cameras; `off` tells by how much n numbers of a standard deviation are off."""
    aspect = layout.sensor_width_mm / layout.sensor_height_mm
    height = round(np.sqrt(megapixels * 1e6 / aspect))
    width = round(height * aspect)
    target = np.array(layout.target_mm)
    cameras = []
    for i, place in enumerate(layout.cameras):
        yaw, pitch = np.radians([place.yaw_deg, place.pitch_deg])
        away = np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
        center = target + place.distance_mm * away + off(layout.position_spread_mm, 3)
        pose = look_at(center, target + off(layout.aim_spread_mm, 3))
        pose = _rolled(pose, np.radians(place.roll_deg + float(off(0.5, 1)[0])))
        # a lens focused at d images with f (1 + f / (d - f))
        image_mm = place.focal_mm * (1 + place.focal_mm / (place.distance_mm - place.focal_mm))
        f = width * image_mm / layout.sensor_width_mm * (1 + float(off(layout.focal_spread, 1)[0]))
        shift = off(layout.principal_point_spread * width, 2)
        K = np.array([[f, 0, width / 2 + shift[0]], [0, f, height / 2 + shift[1]], [0, 0, 1]])
        lens = np.array(layout.distortion) * (1 + off(0.1, 4))
        cameras.append(
            Camera(
                name=f"cam{i:02d}",
                width=width,
                height=height,
                K=K,
                distortion=np.append(lens, 0.0),
                cam_from_world=pose,
            )
        )
    return Rig(cameras=tuple(cameras))


def _rolled(cam_from_world: Floats, angle: float) -> Floats:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ cam_from_world
