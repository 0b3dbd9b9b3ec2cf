"""The scenes of the stereo benchmark: photographs, true cameras and true surface.

Either drawn in our own studio from a seed, or read from a folder that another renderer left:
`cams_1024.json`, `cams_2048.json` (pixel centres at integers), `img_1024/`, `img_2048/`, and
`geom_L4.npz` with the surface, the surface without relief and a label per triangle.
"""

import json
import shutil
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..calibration.rigfile import save_rig
from ..capture.session import CameraInfo, Session, Shot, Take, TakeKind, save_session
from ..capture.virtual.studio import StudioConfig, load_head, make_session
from ..capture.virtual.subject import NEUTRAL
from ..capture.virtual.truth import Truth, load_truth
from ..core.arrays import AnyFloats, Bools, Floats
from ..core.errors import InputError
from ..core.files import atomic_path, sha256_file
from ..core.geometry.camera import Camera, Rig
from ..core.geometry.mesh import Mesh
from ..core.imaging.imageio import read_image
from .mesh_accuracy import TrueSurface
from .stereo_bench_config import StereoBenchConfig, head_of, is_seed
from .stereo_bench_relief import Hollow, TrueRelief, Window

SCORED = 2
"""Label of the scored triangles of a folder's surface: the narrow face."""
_GEOMETRY = "geom_L4.npz"
_WIDTHS = (1024, 2048)  # of a folder's photographs
_TAKE = "head"
_NEAR = 0.9  # a wish this near to a size that is there is that size
_WINDOW = Window(x=(-62.0, 62.0), y=(-75.0, 105.0))
_HOLLOWS = (  # of the ICT head, which all these folders show
    Hollow(center=(31.0, 38.0), half=(24.0, 17.0), round=True),
    Hollow(center=(-31.0, 38.0), half=(24.0, 17.0), round=True),
    Hollow(center=(0.0, -11.0), half=(22.0, 13.0)),
    Hollow(center=(0.0, -35.0), half=(34.0, 13.0)),
)


@dataclass(frozen=True, kw_only=True)
class SceneTruth:
    """The surface to be found."""

    surface: TrueSurface
    relief: TrueRelief


@dataclass(frozen=True, kw_only=True)
class BenchScene:
    """Photographs of one head and what is true of it."""

    session: Session
    take: str
    rig: Rig
    """The true cameras."""
    rig_file: Path
    """Holds them."""
    megapixels: float
    """What the build is told; the photographs may be larger."""
    load_truth: Callable[[], SceneTruth]
    """Reads the surface, which takes a gigabyte or two."""


def open_scene(config: StereoBenchConfig, megapixels: float, folder: Path) -> BenchScene:
    """Return the photographs of one size, made in `folder` where absent, and their truth.

    Raises
    ------
    InputError
        The scene is no seed and no folder of a stereo scene, or the face model is not there.
    """
    if not is_seed(config.scene):
        source = Path(config.scene)
        if not source.is_dir():
            raise InputError(
                f"scene {config.scene!r} is neither a folder nor a seed: give the folder of a "
                "rendered stereo scene, or a number from 0"
            )
        return folder_scene(source, megapixels, folder / "session")
    return studio_scene(
        StudioConfig(
            seed=int(config.scene),
            head=head_of(config.subject),
            layout=config.layout,
            megapixels=megapixels,
            n_board_poses=0,
            truth_maps=False,
        ),
        folder / "session",
    )


def studio_scene(config: StudioConfig, folder: Path) -> BenchScene:
    """Photograph a head in the studio, unless `folder` holds the same photographs already."""
    session = make_session(config, folder)
    truth = load_truth(folder)
    return BenchScene(
        session=session,
        take=NEUTRAL,
        rig=truth.rig,
        rig_file=_saved_rig(truth.rig, folder),
        megapixels=config.megapixels,
        load_truth=lambda: _studio_truth(truth, config),
    )


def folder_scene(source: Path, megapixels: float, folder: Path) -> BenchScene:
    """Make a session in `folder` of the photographs that suit `megapixels`.

    Raises
    ------
    InputError
        `source` lacks a file, or its photographs are smaller.
    """
    rigs = {width: folder_rig(source, width) for width in _WIDTHS}
    size = {width: rig.cameras[0].width * rig.cameras[0].height for width, rig in rigs.items()}
    fits = [width for width in _WIDTHS if size[width] / 1e6 >= _NEAR * megapixels]
    if not fits:
        largest = size[_WIDTHS[-1]] / 1e6
        raise InputError(f"{source}: has photographs of {largest:.3g} megapixels, no larger")
    width = fits[0]
    if not (source / _GEOMETRY).is_file():
        raise InputError(f"{source}: holds no {_GEOMETRY}, the true surface of a stereo scene")
    own = size[width] / 1e6
    return BenchScene(
        session=_session_of(source, rigs[width], folder),
        take=_TAKE,
        rig=rigs[width],
        rig_file=_saved_rig(rigs[width], folder),
        # a nominal 1.5 megapixels are 1.57 here: no photograph is made smaller for that
        megapixels=own if megapixels > _NEAR * own else megapixels,
        load_truth=lambda: _folder_truth(source, rigs[_WIDTHS[0]]),
    )


def folder_rig(source: Path, width: int) -> Rig:
    """Read the cameras of a folder's photographs of one width, px.

    Raises
    ------
    InputError
        The file is absent or holds something else.
    """
    path = source / f"cams_{width}.json"
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        cameras = tuple(_camera(entry) for entry in entries)
    except FileNotFoundError:
        raise InputError(
            f"{source}: holds no {path.name}; give the folder of a stereo scene, or a seed"
        ) from None
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: not the cameras of a stereo scene ({error})") from error
    if len(cameras) < 2:
        raise InputError(f"{path}: has {len(cameras)} cameras, but stereo needs two")
    return Rig(cameras=cameras)


def _saved_rig(rig: Rig, folder: Path) -> Path:
    path = folder / "true_rig.json"
    save_rig(path, rig)
    return path


def _camera(entry: dict[str, Any]) -> Camera:
    K = np.array(entry["K"], dtype=np.float64)
    K[:2, 2] += 0.5  # these folders put pixel centres at integers
    return Camera(
        name=entry["name"],
        width=entry["W"],
        height=entry["H"],
        K=K,
        cam_from_world=np.column_stack([np.array(entry["R"]), np.array(entry["t"])]),
    )


def _session_of(source: Path, rig: Rig, folder: Path) -> Session:
    images = source / f"img_{rig.cameras[0].width}"
    shots, infos = [], []
    for camera in rig:
        original = images / f"{camera.name}.png"
        if not original.is_file():
            raise InputError(f"{original}: no such photograph of the stereo scene")
        file = f"images/{_TAKE}/{camera.name}.png"
        with atomic_path(folder / file) as part:
            shutil.copyfile(original, part)
        height, width = read_image(folder / file).shape[:2]
        shots.append(
            Shot(
                camera=camera.name,
                file=file,
                sha256=sha256_file(folder / file),
                bytes=original.stat().st_size,
                width=width,
                height=height,
            )
        )
        infos.append(CameraInfo(id=camera.name, width=width, height=height))
    take = Take(id=_TAKE, kind=TakeKind.SUBJECT, shots=tuple(shots))
    session = Session(folder=folder, name=source.name, cameras=tuple(infos), takes=(take,))
    save_session(session)
    return session


def _folder_truth(source: Path, rig: Rig) -> SceneTruth:
    path = source / _GEOMETRY
    try:
        with path.open("rb") as stream, np.load(stream) as arrays:
            mesh = Mesh(vertices=arrays["V"], faces=arrays["F"])
            smooth, region = arrays["Vbase"], arrays["lab"] == SCORED
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: not the surface of a stereo scene ({error})") from error
    return _truth(mesh, smooth, region=region, rig=rig, window=_WINDOW, hollows=_HOLLOWS)


def _studio_truth(truth: Truth, config: StudioConfig) -> SceneTruth:
    mesh, smooth = truth.mesh(NEUTRAL), truth.smooth_mesh(NEUTRAL)
    region = truth.frontal_face(NEUTRAL)
    model = load_head(config.head)
    identity = np.array(truth.subject["identity"], dtype=np.float64)
    face = smooth.vertices[np.unique(mesh.faces[region])]
    low, high = face.min(axis=0), face.max(axis=0)
    return _truth(
        mesh,
        smooth.vertices,
        region=region,
        rig=truth.rig,
        window=Window(x=(float(low[0]), float(high[0])), y=(float(low[1]), float(high[1]))),
        hollows=hollows_of(model.shape(identity, None)[model.landmarks68]),
    )


def _truth(
    mesh: Mesh, smooth: AnyFloats, *, region: Bools, rig: Rig, window: Window,
    hollows: Sequence[Hollow],
) -> SceneTruth:  # fmt: skip
    return SceneTruth(
        surface=TrueSurface(mesh, region=region, rig=rig),
        relief=TrueRelief(mesh, smooth, region=region, window=window, hollows=hollows),
    )


def hollows_of(landmarks: Floats) -> tuple[Hollow, ...]:
    """Return eyes, nostrils and mouth of a face by its 68 landmarks (68, 3), mm.

    With the margins that the ICT head's `_HOLLOWS` have about its landmarks.
    """

    def around(first: int, last: int, *, up: float, margin: tuple[float, float]) -> Hollow:
        xy = landmarks[first:last, :2]
        low, high = xy.min(axis=0), xy.max(axis=0)
        middle, half = (low + high) / 2, (high - low) / 2
        return Hollow(
            center=(float(middle[0]), float(middle[1]) + up),
            half=(float(half[0]) + margin[0], float(half[1]) + margin[1]),
            round=up > 1.5,
        )

    return (
        around(36, 42, up=3.0, margin=(11.0, 12.5)),
        around(42, 48, up=3.0, margin=(11.0, 12.5)),
        around(31, 36, up=1.0, margin=(9.5, 12.5)),
        around(48, 60, up=-1.0, margin=(9.0, 3.5)),
    )
