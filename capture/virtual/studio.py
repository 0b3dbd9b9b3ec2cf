"""The studio: draw a subject and a rig, take every photograph, leave a session with truth."""

import dataclasses
import hashlib
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...core.arrays import Bytes, Floats
from ...core.chunks import N_THREADS
from ...core.config import to_mapping
from ...core.console import track
from ...core.errors import ConfigError, SchemaError
from ...core.facemodel.load import load_face_model
from ...core.facemodel.model import FaceModel
from ...core.files import StageKey, finished, read_json, sha256_file, stage_run, write_json
from ...core.geometry.camera import Camera, Rig
from ...core.geometry.transform import compose
from ...core.imaging.imageio import write_image
from ..session import (
    SESSION_FILE,
    BoardSpec,
    CameraInfo,
    Session,
    Shot,
    Take,
    TakeKind,
    load_session,
    save_session,
)
from ..targets import faces
from .board import (
    BOARD,
    TWO_SIDED_BOARD,
    board_poses,
    board_sheet,
    chart_sheet,
    mounted_back,
    seen_face,
    sheet_from_board,
    sheet_pose,
)
from .layouts import Layout, draw_rig, load_layout
from .lights import Lights, led_ring
from .plane import Sheet, photograph_sheet
from .render import photograph
from .scene import Scene, build_scene
from .sensor import BACKDROP, Optics, develop
from .subject import NEUTRAL, Subject, draw_subject, parse_expression
from .truth import TRUTH_FILE, map_file, save_maps, save_surface, save_truth, surface_file

log = logging.getLogger(__name__)

NOTE_FILE = "studio.json"
"""Says which virtual session a folder holds, from its first photograph on."""
_PROCEDURAL = "procedural"
_FACE_OPTICS = Optics()
_SHEET_OPTICS = Optics(supersampling=3, blur_px=0.7, exposure=0.85)
_BOARD_QUALITY = 95  # of the JPEG
_MEGAPIXELS = (0.02, 60.0)


@dataclass(frozen=True, kw_only=True)
class StudioConfig:
    """What to photograph."""

    seed: int = 0  # another person, skin, rig, noise
    head: str = _PROCEDURAL  # or a registered face model's name, or its file
    layout: str = "nine"  # a packaged layout, or a YAML file
    megapixels: float = 1.5  # of the subject's photographs
    board_megapixels: float = 6.0  # of the board's photographs; the same cameras, other setting
    expressions: tuple[str, ...] = (NEUTRAL,)  # takes: `neutral`, or modes: `jawOpen=0.6`
    n_board_poses: int = 20  # 0: no calibration takes
    two_sided_board: bool = False  # a second face on the back, glued on a little off
    color_chart: bool = False  # one take of the colour chart
    empty_plate: bool = False  # one take of the empty studio
    masks: bool = False  # white where the subject is
    aperture: float | None = None  # f-number: depth-of-field blur of the subject
    truth_maps: bool = True  # per-view depth, normals, albedo: 16 bytes a pixel
    identity_strength: float = 0.7  # sd of the identity coefficients: 1 is the population


def make_session(config: StudioConfig, out: Path) -> Session:
    """Photograph a virtual subject; what an earlier run finished is kept.

    Returns
    -------
    Session
        An ordinary session in `out`, with `out/truth/` beside its images.

    Raises
    ------
    ConfigError
        Unusable settings.
    ModelFileError
        `head` names a file that is no face model.
    SchemaError
        `out` holds another session.
    """
    _check(config)
    key = _key(config)
    if finished(out, key, outputs=[SESSION_FILE, f"truth/{TRUTH_FILE}"]) is not None:
        log.info("studio: %s is finished already", out)
        return load_session(out)
    studio = _Studio(config, out)
    _claim(out, key)
    with stage_run(out, key):
        takes = [*studio.subject_takes(), *studio.sheet_takes()]
        save_truth(
            out / "truth", studio.rig, studio.world_from_board, studio.description(),
            board_from_back=studio.board_from_back,
        )  # fmt: skip
        session = Session(
            folder=out,
            name=f"virtual-{config.seed}",
            cameras=tuple(studio.info(camera) for camera in studio.rig),
            takes=tuple(takes),
            board=studio.board if config.n_board_poses else None,
        )
        save_session(session)
    return session


def rng_of(seed: int, item: str) -> np.random.Generator:
    """Return the generator of one item: order and number of workers change nothing."""
    digest = hashlib.sha256(f"{seed}:{item}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "little"))


def load_head(head: str) -> FaceModel:
    """Return a face model: `procedural` (or `builtin`), a registered one's name, or its file."""
    return load_face_model(head)


class _Studio:
    """The rig, lights and subject of one session, and where the boards were held."""

    def __init__(self, config: StudioConfig, out: Path) -> None:
        self.config, self.out = config, out
        self.layout: Layout = load_layout(config.layout)
        self.rig: Rig = draw_rig(
            self.layout, megapixels=config.megapixels, rng=rng_of(config.seed, "rig")
        )
        self.lights: Lights = led_ring(rng_of(config.seed, "lights"))
        self.subject: Subject = draw_subject(
            load_head(config.head),
            identity_rng=rng_of(config.seed, "identity"),
            skin_rng=rng_of(config.seed, "skin"),
            strength=config.identity_strength,
        )
        for expression in config.expressions:
            parse_expression(self.subject.model, expression)
        self.board: BoardSpec = TWO_SIDED_BOARD if config.two_sided_board else BOARD
        self.board_from_back = mounted_back(self.board) if config.two_sided_board else None
        self.world_from_board: dict[str, Floats] = {}
        self.target = np.array(self.layout.target_mm)

    def description(self) -> dict[str, Any]:
        """Return how the subject was drawn, JSON-able."""
        return {
            "head": self.subject.model.name,
            "identity": self.subject.identity.tolist(),
            "skin": dataclasses.asdict(self.subject.skin),
        }

    def info(self, camera: Camera) -> CameraInfo:
        """Describe a camera as the session's photographs do."""
        focal = self._focal_mm(camera)
        return CameraInfo(
            id=camera.name,
            width=camera.width,
            height=camera.height,
            make="facekit",
            model="virtual",
            serial=_serial(camera),
            lens=f"virtual {focal:g} mm",
            focal_mm=focal,
        )

    def subject_takes(self) -> list[Take]:
        """Photograph the subject with every expression."""
        return [self._subject_take(name) for name in self.config.expressions]

    def sheet_takes(self) -> list[Take]:
        """Photograph the board in all its poses, the colour chart and the empty studio."""
        config, takes = self.config, []
        if config.n_board_poses:
            takes += self._board_takes()
        if config.color_chart:
            sheet = chart_sheet()
            pose = sheet_pose(sheet.size_mm, yaw_deg=0.0, center=self.target)

            def expose(camera: Camera) -> Bytes:
                return self._photograph_sheet("chart", sheet, pose, camera)

            takes.append(self._take("chart", TakeKind.COLOR_CHART, self.rig, expose))
        if config.empty_plate:
            takes.append(self._take("empty", TakeKind.EMPTY, self.rig, self._photograph_nothing))
        return takes

    def _subject_take(self, expression: str) -> Take:
        scene: list[Scene] = []  # built only when a photograph is missing

        def expose(camera: Camera) -> Bytes:
            if not scene:
                scene.append(self._scene(expression))
            return self._photograph_subject(scene[0], expression, camera)

        return self._take(expression, TakeKind.SUBJECT, self.rig, expose)

    def _scene(self, expression: str) -> Scene:
        places = zip(self.rig, self.layout.cameras, strict=True)
        scene = build_scene(
            self.subject.showing(expression),
            self.lights,
            footprint_mm=min(place.distance_mm / camera.K[0, 0] for camera, place in places),
            rng=rng_of(self.config.seed, "light visibility"),
        )
        save_surface(self.out / "truth", expression, scene)
        log.info("studio: %s has %d triangles", expression, len(scene.surface.faces))
        return scene

    def _photograph_subject(self, scene: Scene, expression: str, camera: Camera) -> Bytes:
        optics = _FACE_OPTICS
        if self.config.aperture is not None:
            radius = self._focal_mm(camera) / self.config.aperture / 2
            optics = dataclasses.replace(optics, lens_radius_mm=radius)
        rng = rng_of(self.config.seed, f"{expression}/{camera.name}")
        picture = photograph(scene, camera, self.lights, optics, rng=rng)
        if self.config.truth_maps:
            save_maps(self.out / "truth", expression, camera.name, picture)
        if self.config.masks:
            mask = np.isfinite(picture.depth).astype(np.uint8) * 255
            write_image(self.out / _mask_name(expression, camera), mask)
        return picture.image

    def _board_takes(self) -> list[Take]:
        config = self.config
        rig = _at_megapixels(self.rig, config.board_megapixels)
        sheets = [board_sheet(self.board, face=face) for face in range(len(faces(self.board)))]
        poses = board_poses(
            self.board, self.rig, config.n_board_poses, target=self.target,
            rng=rng_of(config.seed, "board"),
        )  # fmt: skip
        self.world_from_board = {f"board_{i:02d}": pose for i, pose in enumerate(poses)}

        def take(name: str) -> Take:
            front = self.world_from_board[name]

            def expose(camera: Camera) -> Bytes:
                sheet, pose = sheets[0], front
                if self.board_from_back is not None and seen_face(front, camera):
                    sheet, pose = sheets[1], compose(front, self.board_from_back)
                return self._photograph_sheet(name, sheet, sheet_from_board(pose), camera)

            return self._take(name, TakeKind.TARGET, rig, expose)

        with ThreadPoolExecutor(N_THREADS) as pool:
            names = list(self.world_from_board)
            taken: Iterable[Take] = pool.map(take, names)
            return list(track(taken, "photographing the board", total=len(names)))

    def _photograph_sheet(self, name: str, sheet: Sheet, pose: Floats, camera: Camera) -> Bytes:
        rng = rng_of(self.config.seed, f"{name}/{camera.name}")
        return photograph_sheet(sheet, pose, camera, self.lights, _SHEET_OPTICS, rng=rng)

    def _photograph_nothing(self, camera: Camera) -> Bytes:
        rng = rng_of(self.config.seed, f"empty/{camera.name}")
        flat = np.full((camera.height, camera.width, 3), BACKDROP, np.float32)
        return develop(flat, _FACE_OPTICS, rng=rng)

    def _take(self, name: str, kind: TakeKind, rig: Rig, expose: Callable[[Camera], Bytes]) -> Take:
        """Take the photographs of one trigger that are not there yet."""
        shots = []
        suffix = ".jpg" if kind is TakeKind.TARGET else ".png"
        for camera in rig:
            path = self.out / "images" / name / f"{camera.name}{suffix}"
            beside = self._beside(name, camera) if kind is TakeKind.SUBJECT else []
            if not all(p.is_file() for p in (path, *beside)):
                write_image(path, expose(camera), quality=_BOARD_QUALITY)
            shots.append(self._shot(path, name, kind, camera))
        return Take(id=name, kind=kind, shots=tuple(shots))

    def _beside(self, name: str, camera: Camera) -> list[Path]:
        """Return what belongs to a photograph of the subject."""
        truth, wanted = self.out / "truth", [surface_file(self.out / "truth", name)]
        if self.config.truth_maps:
            wanted.append(map_file(truth, name, camera.name))
        if self.config.masks:
            wanted.append(self.out / _mask_name(name, camera))
        return wanted

    def _shot(self, path: Path, take: str, kind: TakeKind, camera: Camera) -> Shot:
        masked = self.config.masks and kind is TakeKind.SUBJECT
        info = self.info(camera)
        return Shot(
            camera=camera.name,
            file=path.relative_to(self.out).as_posix(),
            sha256=sha256_file(path),
            bytes=path.stat().st_size,
            width=camera.width,
            height=camera.height,
            channels=1 if kind is TakeKind.TARGET else 3,
            serial=info.serial,
            lens=info.lens,
            focal_mm=info.focal_mm,
            mask=_mask_name(take, camera) if masked else None,
        )

    def _focal_mm(self, camera: Camera) -> float:
        return self.layout.cameras[self.rig.names.index(camera.name)].focal_mm


def _check(config: StudioConfig) -> None:
    low, high = _MEGAPIXELS
    for name, value in (
        ("megapixels", config.megapixels),
        ("board_megapixels", config.board_megapixels),
    ):
        if not low <= value <= high:
            raise ConfigError(f"studio: {name} is {value:g}; {low:g} to {high:g} can be rendered")
    if not config.expressions:
        raise ConfigError("studio: no expressions to photograph; give at least `neutral`")
    if len(set(config.expressions)) < len(config.expressions):
        raise ConfigError("studio: an expression is asked for twice; takes need names of their own")
    if config.n_board_poses < 0:
        raise ConfigError(f"studio: n_board_poses is {config.n_board_poses}; give 0 or more")
    if config.aperture is not None and not 0.5 <= config.aperture <= 128:
        raise ConfigError(f"studio: aperture f/{config.aperture:g}; lenses have f/0.5 to f/128")
    if not 0 <= config.identity_strength <= 3:
        raise ConfigError(f"studio: identity_strength is {config.identity_strength:g}; give 0 to 3")


def _key(config: StudioConfig) -> StageKey:
    inputs = {}
    for name, value in (("head", config.head), ("layout", config.layout)):
        path = Path(value)
        if path.suffix and path.is_file():
            inputs[name] = sha256_file(path)
    settings = to_mapping(config)
    if not config.two_sided_board:  # what sessions of facekit 0.1 were made with
        del settings["two_sided_board"]
    return StageKey(stage="studio", config=settings, inputs=inputs)


def _claim(out: Path, key: StageKey) -> None:
    """Note what is being made, so that photographs of another subject are never mixed in."""
    note, mine = out / NOTE_FILE, {"key": key.hash()}
    if out.exists() and not out.is_dir():
        raise SchemaError(f"{out}: a file is in the way; give another folder")
    if note.is_file():
        if read_json(note) != mine:
            raise SchemaError(
                f"{out}: holds another virtual session (other settings); give another folder"
            )
    elif (out / SESSION_FILE).is_file():
        raise SchemaError(f"{out}: holds a session already; give another folder")
    write_json(note, mine)


def _at_megapixels(rig: Rig, megapixels: float) -> Rig:
    """Return the same cameras set to another image size."""
    cameras = []
    for camera in rig:
        factor = np.sqrt(megapixels * 1e6 / (camera.width * camera.height))
        width, height = round(camera.width * factor), round(camera.height * factor)
        cameras.append(camera.scaled(width, height))
    return Rig(cameras=tuple(cameras))


def _serial(camera: Camera) -> str:
    return f"V{camera.name.removeprefix('cam')}"


def _mask_name(take: str, camera: Camera) -> str:
    return f"masks/{take}/{camera.name}.png"
