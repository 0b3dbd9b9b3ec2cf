"""What a path holds: session, rig, build, take, mesh or predictions, and how each is shown.

The view's frame is upright: the head frame where a face is registered, else the rig's frame
turned as its photographs are, else the file's own.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...calibration.frame import orientations, upright
from ...calibration.rigfile import RIG_FILE, load_rig
from ...capture.session import SESSION_FILE, Session, TakeKind, load_session
from ...capture.virtual.truth import load_truth
from ...core.errors import FacekitError, InputError
from ...core.files import read_json, stays_inside
from ...core.geometry.camera import Rig
from ...core.geometry.meshio import load_mesh
from ...core.geometry.transform import Similarity
from ...dataset.build import SUMMARY
from ...dataset.register.pose import inverse
from ...dataset.register.registeredfile import MESH_FILE, REGISTERED_FILE, load_fit
from ..virtual import MESH_NAMES, calibration_error, measure_take
from .faces import MULTIVIEW_RECORD, PREDICTION_RECORD, prediction_shown, registered_layers
from .scene import Layer, Shown, mesh_colorings, moved_mesh, scalar_coloring

_MESH_SUFFIXES = (".ply", ".obj", ".stl", ".glb")
_MOST_DEEP = 3  # folders between a folder of predictions and a prediction


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What can be shown of a path, one thing at a time."""

    title: str
    kind: str
    """`session`, `rig`, `build`, `take`, `mesh` or `predictions`."""
    choices: tuple[str, ...]
    """Takes or predictions; one where there is nothing to choose."""
    show: Callable[[str], Shown]
    """Reads and returns one of them; raises `FacekitError` where it cannot be read."""

    def beginning_with(self, choice: str | None) -> "Contents":
        """Return the contents with that choice first; None: as they are.

        Raises
        ------
        InputError
            There is no such choice.
        """
        if choice is None:
            return self
        if choice not in self.choices:
            raise InputError(f"{self.title}: has no {choice}; it has {', '.join(self.choices)}")
        others = tuple(one for one in self.choices if one != choice)
        return replace(self, choices=(choice, *others))


def contents_of(
    path: Path,
    *,
    calibration: Path | None = None,
    build: Path | None = None,
    error: bool = False,
) -> Contents:
    """Tell what a path holds.

    Parameters
    ----------
    calibration : Path, optional
        Folder with `rig.json`; by default `calibration` beside a session, or the one that a
        build names.
    build : Path, optional
        Folder of `build-dataset` for a session; `build` beside it by default.
    error : bool
        Hold the scans of a virtual session against their truth, for a colouring `error`.

    Raises
    ------
    InputError
        Nothing that can be shown.
    """
    path = path.resolve()
    if path.is_file():
        return _file(path)
    if (path / SESSION_FILE).is_file():
        return _session(path, calibration, build, error=error)
    if (path / SUMMARY).is_file():
        return _build(path, calibration, error=error)
    if any((path / name).is_file() for name in (*MESH_NAMES, REGISTERED_FILE)):
        return _take(path, calibration, error=error)
    if (path / RIG_FILE).is_file():
        return _rig(path / RIG_FILE)
    predictions = _predictions(path)
    if predictions:
        return Contents(
            title=path.name, kind="predictions", choices=tuple(predictions),
            show=lambda name: prediction_shown(predictions[name]),
        )  # fmt: skip
    raise InputError(
        f"{path}: nothing to show; give a session, a build or one of its takes, a rig.json, a "
        "mesh (PLY, OBJ, STL, GLB), or a folder of predictions"
    )


@dataclass(frozen=True, kw_only=True)
class _Around:
    """What surrounds the takes: session, rig and build, each where it is."""

    session: Session | None
    rig: Rig | None
    build: Path | None
    model: str | None = None
    remarks: tuple[str, ...] = ()
    error: bool = False
    """Measure scans whose truth is known."""

    def shown(self, take: str) -> Shown:
        """Return a take's surfaces, the cameras, and its photographs."""
        layers, remarks = list[Layer](), list(self.remarks)
        folder = None if self.build is None else self.build / take
        pose, registered = _upright(self.session, self.rig), list[Layer]()
        if folder is not None and folder.is_dir():
            head = _head_frame(folder, said=remarks)
            pose = pose if head is None else head
            if head is not None:
                registered, said = registered_layers(folder, self.model)
                remarks += said
            scan = _scan_layers(folder, pose, said=remarks)
            layers += [self._with_error(layer, folder, said=remarks) for layer in scan]
        if layers:  # the scan in view, what was registered to it a click away
            registered = [replace(layer, visible=False) for layer in registered]
        return Shown(
            layers=(*layers, *registered),
            cameras=() if self.rig is None else _cameras(self.rig, pose),
            photographs=self._photographs(take),
            loose=self._photographs_without_rig(take),
            remarks=tuple(remarks),
        )

    def _with_error(self, scan: Layer, folder: Path, *, said: list[str]) -> Layer:
        """Return the scan with a colouring by its signed distance to the truth, where wanted."""
        if not self.error:
            return scan
        if self.session is None or self.rig is None:
            said.append("No error: it takes a session with its truth and a rig.")
            return scan
        try:
            truth = load_truth(self.session.folder)
            found = measure_take(
                truth, folder.name, _mesh_file(folder), calibration_error(self.rig, truth.rig)
            )
        except FacekitError as error:
            said.append(f"No error: {error}")
            return scan
        signed = np.where(found.measured, found.signed_mm, np.nan).astype(np.float32)
        return replace(
            scan, colorings={**scan.colorings, "error": scalar_coloring("error", signed)}
        )

    def _photographs(self, take: str) -> Mapping[str, Path]:
        if self.session is None or self.rig is None:
            return {}
        return {
            shot.camera: self.session.path(shot)
            for shot in _shots(self.session, take)
            if shot.camera in self.rig.names
        }

    def _photographs_without_rig(self, take: str) -> Mapping[str, tuple[Path, int]]:
        if self.session is None:
            return {}
        known = () if self.rig is None else self.rig.names
        return {
            shot.camera: (self.session.path(shot), shot.orientation)
            for shot in _shots(self.session, take)
            if shot.camera not in known
        }


def _session(path: Path, calibration: Path | None, build: Path | None, *, error: bool) -> Contents:
    session = load_session(path)
    calibration = calibration or path.parent / "calibration"
    build = build or path.parent / "build"
    rig, remarks = _rig_in(calibration)
    if rig is None and not remarks:
        remarks = (f"No {RIG_FILE} in {calibration}: the cameras' places are not known.",)
    around = _Around(
        session=session, rig=rig, build=build if build.is_dir() else None,
        model=_named(build).get("model"), remarks=remarks, error=error,
    )  # fmt: skip
    takes = [*session.takes_of(TakeKind.SUBJECT)]
    takes += [take for take in session.takes if take.kind is not TakeKind.SUBJECT]
    if not takes:
        raise InputError(f"{path}: the session has no take to show")
    return Contents(title=session.name, kind="session",
                    choices=tuple(take.id for take in takes), show=around.shown)  # fmt: skip


def _build(path: Path, calibration: Path | None, *, error: bool) -> Contents:
    around, takes = _around_build(path, calibration, error=error)
    here = tuple(n for n in takes if stays_inside(n) and (path / n).is_dir())
    if not here:
        raise InputError(f"{path}: no take has been built here; run facekit build-dataset")
    return Contents(title=path.name, kind="build", choices=here, show=around.shown)


def _take(path: Path, calibration: Path | None, *, error: bool) -> Contents:
    if (path.parent / SUMMARY).is_file():
        around, _ = _around_build(path.parent, calibration, error=error)
    else:
        rig, remarks = (None, ()) if calibration is None else _rig_in(calibration)
        around = _Around(session=None, rig=rig, build=path.parent, remarks=remarks)
    return Contents(title=path.name, kind="take", choices=(path.name,), show=around.shown)


def _around_build(
    path: Path, calibration: Path | None, *, error: bool
) -> tuple[_Around, list[str]]:
    """Return what `build.json` names around it, and its takes."""
    named = _named(path)
    rig, remarks = None, tuple[str, ...]()
    if calibration is not None:
        rig, remarks = _rig_in(calibration)
    elif isinstance(named.get("rig_file"), str):
        rig, remarks = _rig_in((path / named["rig_file"]).parent)
    session = None
    if isinstance(named.get("session_folder"), str):
        try:
            session = load_session(path / named["session_folder"])
        except FacekitError as failure:
            remarks += (str(failure),)
    takes = named.get("takes")
    around = _Around(session=session, rig=rig, build=path, model=named.get("model"),
                     remarks=remarks, error=error)  # fmt: skip
    return around, list(takes) if isinstance(takes, dict) else []


def _rig(path: Path) -> Contents:
    rig = load_rig(path)
    cameras = _cameras(rig, _upright(None, rig))
    return Contents(title=path.parent.name, kind="rig", choices=(path.name,),
                    show=lambda _: Shown(cameras=cameras))  # fmt: skip


def _file(path: Path) -> Contents:
    if path.name == SESSION_FILE or path.name == SUMMARY:
        return contents_of(path.parent)
    if path.suffix.lower() == ".json":
        return _rig(path)
    if path.suffix.lower() not in _MESH_SUFFIXES:
        raise InputError(f"{path}: neither a rig.json nor a mesh (PLY, OBJ, STL, GLB)")

    def show(_: str) -> Shown:
        mesh = load_mesh(path)
        return Shown(layers=(Layer(name="scan", mesh=mesh, colorings=mesh_colorings(mesh)),))

    return Contents(title=path.name, kind="mesh", choices=(path.name,), show=show)


def _predictions(path: Path) -> dict[str, Path]:
    """Return name -> folder of the predictions in a folder and those below it."""
    found: dict[str, Path] = {}
    for depth in range(_MOST_DEEP + 1):
        for record in (PREDICTION_RECORD, MULTIVIEW_RECORD):
            for file in sorted(path.glob("/".join(["*"] * depth + [record]))):
                name = file.parent.relative_to(path).as_posix()
                found[path.name if name == "." else name] = file.parent
    return found


def _named(build: Path) -> dict[str, Any]:
    """Return what `build.json` says; nothing where it cannot be read."""
    try:
        values = read_json(build / SUMMARY)
    except FacekitError:
        return {}
    return values if isinstance(values, dict) else {}


def _rig_in(folder: Path) -> tuple[Rig | None, tuple[str, ...]]:
    """Return the rig of a folder, None where there is none, and what is wrong with it."""
    if not (folder / RIG_FILE).is_file():
        return None, ()
    try:
        return load_rig(folder / RIG_FILE), ()
    except FacekitError as error:
        return None, (str(error),)


def _cameras(rig: Rig, view_from_rig: Similarity) -> tuple[Any, ...]:
    return rig.moved(view_from_rig).cameras


def _upright(session: Session | None, rig: Rig | None) -> Similarity:
    if rig is None or len(rig) < 2:
        return Similarity(scale=1.0, R=np.eye(3), t=np.zeros(3))
    turned = None if session is None else orientations(session)
    return upright(rig.cameras, orientation=turned)


def _head_frame(folder: Path, *, said: list[str]) -> Similarity | None:
    """Return head_from_world of a registered take; None where there is none to be read."""
    if not (folder / REGISTERED_FILE).is_file():
        return None
    try:
        n_vertices = len(load_mesh(folder / MESH_FILE).vertices)
        pose, _ = load_fit(folder, n_vertices)
    except FacekitError as error:
        said.append(str(error))
        return None
    return inverse(pose)


def _scan_layers(folder: Path, pose: Similarity, *, said: list[str]) -> list[Layer]:
    path = _mesh_file(folder)
    if not path.is_file():
        return []
    try:
        mesh = load_mesh(path)
    except FacekitError as error:
        said.append(str(error))
        return []
    return [Layer(name="scan", mesh=moved_mesh(mesh, pose), colorings=mesh_colorings(mesh))]


def _mesh_file(folder: Path) -> Path:
    """Return the scan of a take; it may be missing."""
    files = [folder / name for name in MESH_NAMES]
    return next((file for file in files if file.is_file()), files[0])


def _shots(session: Session, take: str) -> tuple[Any, ...]:
    return next((one.shots for one in session.takes if one.id == take), ())
