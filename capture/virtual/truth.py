"""What a virtual session knows exactly: written by the studio, read by evaluation alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...core.arrays import Bools, Floats, Floats32
from ...core.errors import InputError, SchemaError
from ...core.files import atomic_path, read_json, write_json
from ...core.geometry.camera import Camera, Rig
from ...core.geometry.mesh import Mesh, subdivide_loop
from ...core.npzfile import Arrays, Fields, check_arrays, read_npz
from .render import Photograph
from .scene import Scene

TRUTH_FILE = "truth.json"
_FORMAT, _VERSION = "facekit-truth", 1
_AGAIN = "make the session again in another folder"
_SURFACE: Fields = {
    "vertices": ("f", ("vertices", 3)),
    "faces": ("iu", ("faces", 3)),
    "frontal_face": ("b", ("faces",)),
    "coarse_vertices": ("f", ("coarse vertices", 3)),
    "coarse_faces": ("iu", ("coarse faces", 3)),
}
_ALWAYS = ("vertices", "faces", "frontal_face")


@dataclass(frozen=True, kw_only=True)
class Truth:
    """The exact rig and surfaces of a virtual session."""

    folder: Path
    rig: Rig
    """Cameras at the size of the face photographs, head frame."""
    world_from_board: dict[str, Floats]
    """Take -> (3, 4) pose of the calibration board, for takes that show it."""
    subject: dict[str, object]
    """How the subject was drawn."""
    board_from_back: Floats | None = None
    """(3, 4) mm, where the second face of a two-sided board really is; None for one face."""

    def mesh(self, take: str) -> Mesh:
        """Return the fine surface of a subject take, mm, head frame."""
        arrays = self._arrays(take, "vertices", "faces")
        return Mesh(vertices=arrays["vertices"], faces=arrays["faces"])

    def smooth_mesh(self, take: str) -> Mesh:
        """Return the surface of a take without its relief: the same faces, other vertices.

        Raises
        ------
        InputError
            The session was made before this was kept.
        """
        arrays = self._arrays(take, "faces", "coarse_vertices", "coarse_faces")
        if not {"coarse_vertices", "coarse_faces"} <= arrays.keys():
            raise InputError(
                f"{surface_file(self.folder, take)}: says nothing of the surface without "
                "relief; make the session again in another folder"
            )
        coarse = Mesh(vertices=arrays["coarse_vertices"], faces=arrays["coarse_faces"])
        n_times = round(np.log(len(arrays["faces"]) / len(coarse.faces)) / np.log(4))
        return subdivide_loop(coarse, n_times=n_times)

    def frontal_face(self, take: str) -> Bools:
        """Return (F,) which faces of `mesh` belong to the frontal face."""
        return np.asarray(self._arrays(take, "frontal_face")["frontal_face"])

    def depth(self, take: str, camera: str) -> Floats32:
        """Return (height, width) depth, mm; NaN off the head."""
        path = map_file(self.folder, take, camera)
        if not path.is_file():
            raise InputError(f"{path}: no truth maps; the session was made without them")
        arrays = read_npz(path, names=("depth",), again=_AGAIN)
        check_arrays(path, arrays, {"depth": ("f", ("height", "width"))}, again=_AGAIN)
        return np.asarray(arrays["depth"])

    def _arrays(self, take: str, *names: str) -> Arrays:
        """Return arrays of a take's surface; those of a surface without relief may be absent."""
        path = surface_file(self.folder, take)
        if not path.is_file():
            raise InputError(f"{path}: no truth of take {take!r}")
        arrays = read_npz(path, names=names, again=_AGAIN)
        wanted = {name: _SURFACE[name] for name in names if name in arrays or name in _ALWAYS}
        check_arrays(path, arrays, wanted, again=_AGAIN)
        return arrays


def load_truth(session_folder: Path) -> Truth:
    """Read the truth of a virtual session.

    Raises
    ------
    InputError
        The session is a real one, or its truth is damaged.
    """
    folder = session_folder / "truth"
    if not (folder / TRUTH_FILE).is_file():
        raise InputError(f"{session_folder}: no truth here; only virtual sessions have one")
    path = folder / TRUTH_FILE
    values = read_json(path, format_name=_FORMAT, version=_VERSION)
    back = values.get("board_from_back")
    try:
        return Truth(
            folder=folder,
            rig=Rig(cameras=tuple(_camera(entry) for entry in values["cameras"])),
            world_from_board={k: _numbers(v, 3, 4) for k, v in values["world_from_board"].items()},
            subject=dict(values["subject"]),
            board_from_back=None if back is None else _numbers(back, 3, 4),
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise SchemaError(f"{path}: damaged ({error}); {_AGAIN}") from error


def _camera(entry: Mapping[str, Any]) -> Camera:
    return Camera(
        name=str(entry["name"]),
        width=int(entry["width"]),
        height=int(entry["height"]),
        K=_numbers(entry["K"], 3, 3),
        distortion=_numbers(entry["distortion"], 5),
        cam_from_world=_numbers(entry["cam_from_world"], 3, 4),
    )


def _numbers(value: Any, *shape: int) -> Floats:
    numbers = np.array(value, np.float64)
    if numbers.shape != shape or not np.isfinite(numbers).all():
        raise ValueError(f"{'x'.join(map(str, shape))} finite numbers expected")
    return numbers


def save_truth(
    folder: Path,
    rig: Rig,
    world_from_board: dict[str, Floats],
    subject: dict[str, object],
    *,
    board_from_back: Floats | None = None,
) -> None:
    """Write `truth.json` into the session's `truth/` folder."""
    write_json(
        folder / TRUTH_FILE,
        {
            "format": _FORMAT,
            "version": _VERSION,
            "subject": subject,
            "cameras": [camera.record() for camera in rig],
            "world_from_board": {k: v.tolist() for k, v in world_from_board.items()},
            **({} if board_from_back is None else {"board_from_back": board_from_back.tolist()}),
        },
    )


def surface_file(folder: Path, take: str) -> Path:
    """Return where the truth of `folder` keeps a take's surface."""
    return folder / take / "mesh.npz"


def map_file(folder: Path, take: str, camera: str) -> Path:
    """Return where the truth of `folder` keeps a view's maps."""
    return folder / take / f"{camera}.npz"


def save_surface(folder: Path, take: str, scene: Scene) -> None:
    """Write a take's fine surface."""
    with atomic_path(surface_file(folder, take)) as part:
        np.savez(
            part,
            vertices=scene.surface.vertices,
            faces=scene.surface.faces,
            frontal_face=scene.frontal,
            relief=scene.relief,
            coarse_vertices=scene.coarse.vertices,
            coarse_faces=scene.coarse.faces,
        )


def save_maps(folder: Path, take: str, camera: str, picture: Photograph) -> None:
    """Write a view's depth, normals and albedo."""
    with atomic_path(map_file(folder, take, camera)) as part:
        np.savez(
            part,
            depth=picture.depth,
            normal=picture.normal,
            albedo=picture.albedo,
        )
