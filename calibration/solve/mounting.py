"""How the two faces of a board stand to one another, and first poses of two-sided boards.

PnP takes one flat face at a time, and a face in a take is a thing of its own in the first pose
graph. How the back is mounted then follows from the takes in which some cameras saw the front
and others the back: whatever was glued there, even upside down, is found. Only where the faces
by themselves do not join the cameras, the nominal mounting has to.
"""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...capture.session import BoardSpec
from ...capture.targets import board_from_face, faces, n_face_corners, object_points
from ...core.arrays import Bools, Floats
from ...core.geometry.camera import Camera
from ...core.geometry.transform import align_similarity, apply, compose, invert, rotation_angle_deg
from ..target.detect import BoardView
from .adjust import MIN_SIGHTINGS, adjust_free, freedom
from .graph import PosedView, Poses, average, check_connected, groups, initialise
from .normal import Freedom
from .rigstate import Observations, RigState

log = logging.getLogger(__name__)

N_MOUNTING_ROUNDS = 2  # of a held board: its back set free, then made rigid again


@dataclass(frozen=True, kw_only=True)
class Mounting:
    """Where the back of a two-sided board was found, against the nominal place."""

    board_from_back: Floats
    """(3, 4) mm."""
    offset_mm: float
    """Of the middle of the back."""
    angle_deg: float


@dataclass(frozen=True, kw_only=True)
class Board:
    """A board as the solver takes it."""

    corners: Floats
    """(n_corners, 3) mm, nominal, in the board's frame."""
    on_face: Floats
    """(n_corners, 3) mm, nominal, each in the frame of its face: z = 0."""
    board_from_face: tuple[Floats, ...]
    """(3, 4) each, nominal."""

    @property
    def n_face(self) -> int:
        """Corners of one face."""
        return len(self.corners) // len(self.board_from_face)

    @property
    def two_sided(self) -> bool:
        """Whether there is a back."""
        return len(self.board_from_face) > 1

    def rows(self, face: int) -> slice:
        """Return the rows of a face's corners."""
        return slice(face * self.n_face, (face + 1) * self.n_face)

    def mounted(self, board_from_back: Floats) -> "Board":
        """Return the board with its back elsewhere."""
        places = (self.board_from_face[0], board_from_back)
        placed = [apply(p, self.on_face[self.rows(face)]) for face, p in enumerate(places)]
        return replace(self, corners=np.concatenate(placed), board_from_face=places)


def board_of(spec: BoardSpec) -> Board:
    """Return the nominal board of a spec."""
    n_faces, n_face = len(faces(spec)), n_face_corners(spec)
    corners = object_points(spec)
    places = tuple(board_from_face(spec, face) for face in range(n_faces))
    own = [
        apply(invert(place), corners[face * n_face : (face + 1) * n_face])
        for face, place in enumerate(places)
    ]
    return Board(corners=corners, on_face=np.concatenate(own), board_from_face=places)


def one_face(views: Sequence[BoardView], board: Board) -> list[BoardView]:
    """Return the views with the corners of the face that each shows most of.

    No photograph shows both faces: the rest are wrong finds.
    """
    if not board.two_sided:
        return list(views)
    kept = []
    for view in views:
        face = view.ids // board.n_face
        usual = face == np.bincount(face).argmax() if len(face) else np.zeros(0, bool)
        kept.append(replace(view, ids=view.ids[usual], xy=view.xy[usual]))
    return kept


def first_state(
    posed: Sequence[PosedView], start: Mapping[str, Camera], board: Board
) -> tuple[RigState, Observations, list[str], Board]:
    """Return the state to adjust from, what was seen, the takes, and the board as mounted.

    Raises
    ------
    CalibrationError
        The views do not join all cameras.
    """
    names = list(start)
    check_connected([entry.view for entry in posed], names)
    poses, board = _placed(posed, names, board)
    back_from_front = invert(board.board_from_face[-1])
    takes = sorted({take for take, _ in poses.rig_from_face})
    n_views = Counter((entry.view.take, entry.face) for entry in posed)
    boards = []
    for take in takes:
        # the face that more cameras saw: where the two disagree, a mean would fit neither
        face = max((f for f in (0, 1) if (take, f) in poses.rig_from_face),
                   key=lambda f: (n_views[take, f], -f))  # fmt: skip
        pose = poses.rig_from_face[take, face]
        boards.append(compose(pose, back_from_front) if face else pose)
    views = [entry.view for entry in posed]
    sizes = [len(view.ids) for view in views]
    seen = Observations(
        camera=np.repeat([names.index(v.camera) for v in views], sizes).astype(np.int32),
        take=np.repeat([takes.index(v.take) for v in views], sizes).astype(np.int32),
        corner=np.concatenate([view.ids for view in views]).astype(np.int32),
        xy=np.concatenate([view.xy for view in views]),
    )
    state = RigState(
        cameras=tuple(replace(start[n], cam_from_world=poses.cam_from_rig[n]) for n in names),
        rig_from_board=np.array(boards),
        points=board.corners,
    )
    amid = apply(state.rig_from_board, state.points.mean(axis=0)[None]).reshape(-1, 3)
    return state.shifted(np.median(amid, axis=0)), seen, takes, board


def _placed(posed: Sequence[PosedView], names: Sequence[str], board: Board) -> tuple[Poses, Board]:
    """Return poses of all cameras and faces, and the board with its back where it is."""
    if not board.two_sided:
        return initialise(posed, names), board
    parts = groups([(e.view.camera, (e.view.take, e.face)) for e in posed], names)
    largest = [entry for entry in posed if entry.view.camera in parts[0]]
    poses = initialise(largest, parts[0])
    found = _mounting(poses)
    if found is not None:
        board = board.mounted(found)
    if len(parts) == 1:
        return poses, board
    log.info("single faces do not join all cameras: the board's mounting has to")
    front_from = [np.eye(3, 4), board.board_from_face[-1]]
    fronts = [
        replace(e, face=0, cam_from_face=compose(e.cam_from_face, invert(front_from[e.face])))
        for e in posed
    ]
    return initialise(fronts, names), board


def _mounting(poses: Poses) -> Floats | None:
    """Return board_from_back, None where no take shows both faces."""
    found = [
        compose(invert(pose), poses.rig_from_face[take, 1])
        for (take, face), pose in sorted(poses.rig_from_face.items(), key=lambda item: item[0])
        if face == 0 and (take, 1) in poses.rig_from_face
    ]
    return average(found) if found else None


def settled(
    state: RigState, seen: Observations, board: Board, *, loss_px: float
) -> tuple[RigState, Board]:
    """Find the mounting of a two-sided board whose faces are held flat and exact.

    The corners of the back are set free while the front holds frame and size; then the flat
    back is laid through them.
    """
    firm = np.bincount(seen.corner, minlength=len(state.points)) >= MIN_SIGHTINGS
    firm[board.rows(0)] = False
    if not board.two_sided or firm.sum() < 4:
        return state, board
    held = freedom(state, seen, free_points=False)
    free = Freedom(camera_side=held.camera_side, points=firm)
    for _ in range(N_MOUNTING_ROUNDS):
        found = adjust_free(state, seen, free=free, loss_px=loss_px, tolerance=1e-4)
        fit = align_similarity(board.on_face[firm], found.points[firm], with_scale=False)
        board = board.mounted(np.column_stack([fit.R, fit.t]))
        state = replace(found, points=board.corners)
    return state, board


def mounting_of(corners: Floats, sighted: Bools, board: Board) -> Mounting | None:
    """Return the mounting that recovered corners show; None where too few were seen.

    Parameters
    ----------
    corners : (n_corners, 3), mm
        In the board's frame.
    sighted : (n_corners,) bool
        Which of them were recovered.
    board : Board
        The nominal one.
    """
    back: Bools = np.zeros(len(corners), dtype=bool)
    back[board.rows(1)] = True
    back &= sighted
    if back.sum() < 4:
        return None
    fit = align_similarity(board.on_face[back], corners[back], with_scale=False)
    found = np.column_stack([fit.R, fit.t])
    middle = board.on_face[board.rows(1)].mean(axis=0)
    nominal = board.board_from_face[1]
    offset = apply(found, middle[None]) - apply(nominal, middle[None])
    angle = rotation_angle_deg(found[:, :3] @ nominal[:, :3].T)
    return Mounting(
        board_from_back=found, offset_mm=float(np.linalg.norm(offset)), angle_deg=float(angle)
    )
