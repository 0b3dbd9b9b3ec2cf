"""A view's depth, normals and confidence on disk: one `.npz` a camera."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..core.files import atomic_path
from ..core.geometry.camera import Camera
from ..core.npzfile import Fields, check_arrays, read_npz
from .stereo.consistency import CheckedDepth

_FIELDS: Fields = {
    "depth": ("f", ("height", "width")),
    "normal": ("f", ("height", "width", 3)),
    "confidence": ("f", ("height", "width")),
    "n_confirming": ("iu", ("height", "width")),
}


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
        arrays = read_npz(path, names=_FIELDS, again="build the take again")
        check_arrays(path, arrays, _FIELDS, again="build the take again")
        found.append(
            CheckedDepth(
                depth=arrays["depth"],
                normal=arrays["normal"].astype(np.float32),
                confidence=arrays["confidence"].astype(np.float32),
                n_confirming=arrays["n_confirming"].astype(np.int32),
            )
        )
    return found
