"""A view's depth, normals and confidence on disk: one `.npz` a camera."""

from collections.abc import Sequence
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from ..core.errors import InputError
from ..core.files import atomic_path
from ..core.geometry.camera import Camera
from .stereo.consistency import CheckedDepth


def save_depth(path: Path, camera: Camera, found: CheckedDepth) -> None:
    """Write one view's maps, atomically; `camera` is the undistorted one, of any size.

    The file's K is that of the maps' size.
    """
    camera = camera.scaled(found.depth.shape[1], found.depth.shape[0])
    with atomic_path(path) as part, part.open("wb") as stream:
        np.savez_compressed(
            stream,
            depth=found.depth,
            normal=found.normal.astype(np.float16),
            confidence=found.confidence.astype(np.float16),
            n_confirming=found.n_confirming.astype(np.uint8),
            K=camera.K,
            cam_from_world=camera.cam_from_world,
        )


def load_depths(folder: Path, names: Sequence[str]) -> list[CheckedDepth]:
    """Read the maps of cameras that `save_depth` wrote.

    Raises
    ------
    InputError
        A file is absent or damaged.
    """
    found = []
    for name in names:
        path = folder / f"{name}.npz"
        try:
            with np.load(path) as arrays:
                found.append(
                    CheckedDepth(
                        depth=arrays["depth"],
                        normal=arrays["normal"].astype(np.float32),
                        confidence=arrays["confidence"].astype(np.float32),
                        n_confirming=arrays["n_confirming"].astype(np.int32),
                    )
                )
        except (OSError, ValueError, KeyError, BadZipFile) as error:
            raise InputError(f"{path}: not a readable depth map ({error})") from error
    return found
