"""COLMAP's dense stereo on calibrated views, to compare ours with: needs pycolmap with CUDA.

The views come undistorted, so that its own undistorter has nothing to do: both methods see the
same pixels. Both count the centre of the top-left pixel as (0.5, 0.5).

Source: Schönberger et al., Pixelwise view selection for unstructured multi-view stereo, ECCV
2016; the workspace's layout is that of COLMAP's `image_undistorter`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...calibration.structure.features import quiet_colmap
from ...core.arrays import Bytes, Floats, Ints
from ...core.errors import EstimationError, InputError, MissingDependencyError
from ...core.files import write_text
from ...core.geometry.camera import Camera
from ...core.imaging.imageio import write_image
from ..plysample import vertex_rows
from .views import View, converging, depth_range, focus_point, neighbours

_MOST_SOURCES = 8  # of a view: more cost time, and the best are chosen pixel by pixel
_LEAST_PIXELS = 3  # that a point is fused from; COLMAP's 5 suits photographs by the hundred
_POINTS_FILE = "fused.ply"


class Stereo(StrEnum):
    """Which method finds the surface."""

    SWEEP = "sweep"
    """Ours: PatchMatch, then the surface sweep."""
    COLMAP = "colmap"
    """COLMAP's PatchMatch and fusion, then Poisson."""


@dataclass(frozen=True, kw_only=True)
class DensePoints:
    """Oriented points, in the rig's unit."""

    points: Floats
    """(N, 3)."""
    normals: Floats
    """(N, 3) unit, outward."""
    colors: Bytes
    """(N, 3) sRGB."""


def require_cuda() -> None:
    """Check that COLMAP's dense stereo can run.

    Raises
    ------
    MissingDependencyError
        pycolmap was built without CUDA, as the wheels on the package index are.
    """
    import pycolmap

    if not pycolmap.has_cuda:
        raise MissingDependencyError(
            f"stereo colmap: the installed pycolmap {pycolmap.__version__} was built without "
            "CUDA, which COLMAP's dense stereo needs; choose stereo sweep, or install a pycolmap "
            "built with CUDA (https://colmap.github.io)"
        )


def dense_points(views: Sequence[View], folder: Path, *, seed: int = 0) -> DensePoints:
    """Run COLMAP's PatchMatch and fusion in `folder`, which takes some 60 bytes a pixel.

    Raises
    ------
    MissingDependencyError
        pycolmap was built without CUDA.
    EstimationError
        No point was confirmed.
    """
    import pycolmap

    require_cuda()
    write_workspace(folder, views)
    cameras = [view.camera for view in views]
    subject, known = focus_point(cameras), converging(cameras)
    limits = [depth_range(camera, subject, known=known) for camera in cameras]
    options = pycolmap.PatchMatchOptions()
    # without sparse points there is nothing else to take the range from
    options.depth_min = min(near for near, _ in limits)
    options.depth_max = max(far for _, far in limits)
    options.geom_consistency = True
    pycolmap.set_random_seed(seed)
    with quiet_colmap():
        pycolmap.patch_match_stereo(folder, options=options)
    return fused(folder)


def write_workspace(folder: Path, views: Sequence[View]) -> None:
    """Write images, masks, cameras and the list of sources, as COLMAP's dense stereo wants them.

    Raises
    ------
    InputError
        A camera has skew, which COLMAP's models lack.
    """
    for index, view in enumerate(views):
        if view.camera.K[0, 1] != 0:
            raise InputError(f"{view.camera.name}: COLMAP's camera models have no skew")
        name = image_name(index)
        write_image(folder / "images" / name, view.color)
        mask = np.where(view.mask, np.uint8(255), np.uint8(0))
        write_image(folder / "masks" / f"{name}.png", mask)
    cameras = [view.camera for view in views]
    subject = focus_point(cameras)
    # named one by one: COLMAP's `__auto__` counts shared sparse points
    sources = neighbours(cameras, subject, most=_MOST_SOURCES)
    _write_model(folder / "sparse", cameras, subject, sources)
    for maps in ("depth_maps", "normal_maps", "consistency_graphs"):
        (folder / "stereo" / maps).mkdir(parents=True, exist_ok=True)
    names = [image_name(index) for index in range(len(views))]
    lines = [
        f"{name}\n{', '.join(names[k] for k in found)}\n"
        for name, found in zip(names, sources, strict=True)
    ]
    write_text(folder / "stereo" / "patch-match.cfg", "".join(lines))
    write_text(folder / "stereo" / "fusion.cfg", "".join(f"{name}\n" for name in names))


def _write_model(folder: Path, cameras: list[Camera], subject: Floats, sources: list[Ints]) -> None:
    """Write the cameras, and for each a point that it shares with its sources.

    Fusion holds against each other only images that share sparse points; where these lie does
    not matter.
    """
    import pycolmap

    seen_by = [(index, *map(int, found)) for index, found in enumerate(sources)]
    model = pycolmap.Reconstruction()
    tracks = [pycolmap.Track() for _ in cameras]
    for index, camera in enumerate(cameras):
        K = camera.K
        lens = pycolmap.Camera(
            camera_id=index + 1, model="PINHOLE", width=camera.width, height=camera.height,
            params=[K[0, 0], K[1, 1], K[0, 2], K[1, 2]],
        )  # fmt: skip
        model.add_camera_with_trivial_rig(lens)
        shared = [k for k, views in enumerate(seen_by) if index in views]
        xy, _ = camera.project(subject[None])
        image = pycolmap.Image(
            image_id=index + 1, camera_id=index + 1, name=image_name(index),
            keypoints=np.repeat(xy, len(shared), axis=0),
        )  # fmt: skip
        model.add_image_with_trivial_frame(image, pycolmap.Rigid3d(camera.cam_from_world))
        for place, k in enumerate(shared):
            tracks[k].add_element(index + 1, place)
    for track in tracks:
        model.add_point3D(subject, track)
    folder.mkdir(parents=True, exist_ok=True)
    model.write(folder)


def image_name(index: int) -> str:
    """Return the file name of a view in the workspace; cameras may be called anything."""
    return f"view{index:03d}.png"


def fused(folder: Path) -> DensePoints:
    """Fuse the geometric depth and normal maps of a workspace; needs no CUDA.

    Raises
    ------
    EstimationError
        No point was confirmed.
    """
    import pycolmap

    options = pycolmap.StereoFusionOptions()
    options.mask_path = folder / "masks"
    options.min_num_pixels = _LEAST_PIXELS
    path = folder / _POINTS_FILE
    with quiet_colmap():
        pycolmap.stereo_fusion(
            path, folder, input_type="geometric", options=options, output_type="PLY"
        )
    rows: NDArray[Any] = vertex_rows(path) if path.is_file() else np.zeros(0)
    if len(rows) == 0:
        raise EstimationError(
            "COLMAP's stereo confirmed no point: check that the rig belongs to these photographs, "
            "that they overlap and are sharp, and the masks"
        )
    return DensePoints(
        points=np.stack([rows[name].astype(np.float64) for name in ("x", "y", "z")], axis=1),
        normals=np.stack([rows[name].astype(np.float64) for name in ("nx", "ny", "nz")], axis=1),
        colors=np.stack([rows[name] for name in ("red", "green", "blue")], axis=1),
    )
