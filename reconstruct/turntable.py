"""A prediction turned from side to side: frames, and a GIF or MP4 of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image as PillowImage

from ..core.arrays import Bytes
from ..core.chunks import over_chunks
from ..core.errors import InputError
from ..core.files import atomic_path
from ..core.rendering.preview import Look, MeshPreview, Texture, orbit_cameras, sky_openness
from .detailedsurface import carried, on_chart
from .pictures import inner_colors
from .surfaces import FaceSurfaces

_GIF_COLORS = 192
_FRAMES_AT_ONCE = 3
_SKY_POINTS = 4_000


@dataclass(frozen=True, kw_only=True)
class TurntableConfig:
    """How the head turns."""

    n_frames: int = 20
    most_yaw_deg: float = 30.0  # from -this to this
    pitch_deg: float = 5.0  # the camera stands this much above
    size_px: int = 288  # of each of the two pictures of a frame
    frames_per_second: float = 50 / 3  # a GIF counts hundredths of a second
    supersampling: int = 2


def turntable_frames(
    prediction: FaceSurfaces, config: TurntableConfig | None = None
) -> list[Bytes]:
    """Draw the detailed surface from the right of the subject to its left.

    Returns
    -------
    list of (size, 2 * size, 3) uint8
        Left as clay, right with the photograph's texture.
    """
    config = TurntableConfig() if config is None else config
    mesh, model = prediction.detailed_mesh(), prediction.model
    # the sky's shadows are broad: those of the mid surface serve, at a fraction of the work
    of_mid = sky_openness(prediction.mesh("mid"), most_points=_SKY_POINTS)
    openness = carried(model, of_mid[:, None], mesh)[:, 0]
    preview = MeshPreview(mesh, openness=openness)
    texture = Texture(image=prediction.texture, faces=on_chart(model, mesh))
    inner = carried(model, inner_colors(model), mesh).round().astype(np.uint8)
    yaws = np.linspace(-config.most_yaw_deg, config.most_yaw_deg, config.n_frames)
    cameras = orbit_cameras(
        mesh, yaws.tolist(), pitch_deg=config.pitch_deg,
        width=config.size_px, height=config.size_px,
    )  # fmt: skip
    clay = Look(supersampling=config.supersampling)
    photo = Look(supersampling=config.supersampling, lit=False)
    frames: list[Bytes] = [np.empty(0, np.uint8)] * len(cameras)

    def draw(start: int, end: int) -> None:
        for i in range(start, end):
            pair = preview.draw_all(cameras[i], [(None, None, clay), (inner, texture, photo)])
            frames[i] = np.concatenate(pair, axis=1)

    over_chunks(draw, len(cameras), chunk=_FRAMES_AT_ONCE)
    return frames


def write_turntable(
    path: Path, frames: Sequence[Bytes], *, frames_per_second: float = 25.0
) -> Path:
    """Write frames that swing forth and back without end, as `.gif` or `.mp4` by the suffix.

    Raises
    ------
    InputError
        Another suffix, or OpenCV cannot write MP4 here.
    """
    swing = [*frames, *frames[-2:0:-1]]
    if path.suffix.lower() == ".gif":
        with atomic_path(path) as part:
            _write_gif(part, swing, 1000 / frames_per_second)
    elif path.suffix.lower() == ".mp4":
        with atomic_path(path) as part:
            if not _write_mp4(part, swing, frames_per_second):
                raise InputError(f"{path}: OpenCV cannot write all of it here; ask for .gif")
    else:
        raise InputError(f"{path}: a turntable is a .gif or an .mp4")
    return path


def _write_gif(path: Path, frames: Sequence[Bytes], duration_ms: float) -> None:
    """Write with one palette for all frames, which keeps still parts still."""
    pictures = [PillowImage.fromarray(frame) for frame in frames]
    middle = pictures[len(pictures) // 4]
    palette = middle.quantize(_GIF_COLORS, method=PillowImage.Quantize.MEDIANCUT)
    coded = [p.quantize(palette=palette, dither=PillowImage.Dither.NONE) for p in pictures]
    coded[0].save(
        path, save_all=True, append_images=coded[1:], duration=round(duration_ms, -1) or 20,
        loop=0, optimize=False,
    )  # fmt: skip


def _write_mp4(path: Path, frames: Sequence[Bytes], frames_per_second: float) -> bool:
    height, width = (n // 2 * 2 for n in frames[0].shape[:2])  # the codec has even sizes
    code = cv2.VideoWriter.fourcc(*"mp4v")
    writer = cv2.VideoWriter(str(path), code, frames_per_second, (width, height))
    if not writer.isOpened():
        return False
    for frame in frames:
        writer.write(np.ascontiguousarray(frame[:height, :width, ::-1]))
    writer.release()
    # the writer tells nobody of a full disk; what lists the frames comes last in the file
    return path.is_file() and cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FRAME_COUNT) == len(
        frames
    )
