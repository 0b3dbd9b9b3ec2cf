"""Landmarks by OpenCV alone: YuNet finds faces, MediaPipe's mesh network their 468 points.

Both model files are the user's. A face is looked at several times, larger, smaller and
mirrored: the median is its points, and the spread says how well each is determined.

Source
------
Wu et al., YuNet: a tiny millisecond-level face detector, Machine Intelligence Research 20, 2023;
Kartynnik et al., Real-time facial surface geometry from monocular video on mobile GPUs,
arXiv 1907.06724: a square crop of 1.5 times the face's extent, its eyes level, 192 px, [0, 1].
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..arrays import Floats
from ..assets import find_asset
from ..errors import InputError, ModelFileError
from ..files import sha256_file
from .landmark_schemes import MIRROR, Scheme
from .landmarks import Detection, box_of

RGB8 = NDArray[np.uint8]

_CROP_PX = 192  # the mesh network's input
_MARGIN = 1.5  # crop over extent of the face, as the network was trained
_RIGHT_EYE, _LEFT_EYE, _BROW, _CHIN = 33, 263, 10, 152  # of the 468
_SURE = 0.4  # score and confidence of a face that stands upright; upside down they have 0.4 at most
_LEAST_SURE = 0.15
_FLAG_LAYER = "conv2d_30"  # whether the crop is a face; OpenCV does not list it as an output
_LEAST_SIDE_PX = 16  # of a face; smaller is noise
_SPREAD = 0.03  # of the face's size: a point that moves so much is worth half


@dataclass(frozen=True, kw_only=True)
class OpencvConfig:
    """How faces are looked for."""

    least_score: float = 0.6  # of YuNet; marble heads have 0.69 and more
    least_presence: float = 0.5  # of the mesh network: whether the crop is a face
    long_sides_px: tuple[int, ...] = (640, 320)  # images are shrunk to these, largest first
    margins: tuple[float, ...] = (1.4, 1.55, 1.7)  # crops over extent; each mirrored, too
    n_settle: int = 3  # times the crop is moved to where its points lie


class OpencvDetector:
    """YuNet and MediaPipe's mesh through `cv2`.

    Parameters
    ----------
    yunet, facemesh : Path, optional
        `face_detection_yunet_*.onnx` and `face_landmark.tflite`; the registered ones by default.

    Raises
    ------
    InputError
        None is given and none registered.
    ModelFileError
        A file is absent, cut short or no such network.
    """

    def __init__(
        self,
        yunet: Path | None = None,
        facemesh: Path | None = None,
        *,
        config: OpencvConfig | None = None,
    ) -> None:
        self.config = OpencvConfig() if config is None else config
        files = _found(yunet, "yunet"), _found(facemesh, "facemesh")
        self._yunet = _loaded_yunet(files[0], self.config)
        self._mesh, self._flag = _loaded_mesh(files[1])
        self._name = "yunet {:.8} facemesh {:.8}".format(*map(sha256_file, files))

    @property
    def name(self) -> str:
        """What found the points, for records: both models with the start of their sha256."""
        return self._name

    def detect(self, image: RGB8) -> list[Detection]:
        """Return the faces of an upright image (height, width, 3) RGB, the largest first.

        Where none is sure, the image is looked at turned by quarters, too, as photographs
        without EXIF orientation are.
        """
        _check(image)
        best = self._faces(image, 0)
        for n_quarters in (1, 3, 2):
            if _sureness(best) >= _SURE:
                break
            turned = self._faces(image, n_quarters)
            if _sureness(turned) >= max(_SURE, _sureness(best)):
                best = turned
        return sorted(best, key=lambda face: -face.size_px)

    def _faces(self, image: RGB8, n_quarters: int) -> list[Detection]:
        """Return the faces that are upright once the image is turned, in the image itself."""
        turned = np.ascontiguousarray(np.rot90(image, n_quarters))
        faces = [self._settled(turned, *start) for start in self._boxes(turned)]
        return [
            _turned_back(face, image.shape, n_quarters)
            for face in faces
            if face is not None and _sureness([face]) >= _LEAST_SURE
        ]

    def refine(self, image: RGB8, guess: Floats) -> Detection | None:
        """Return the face of which two eyes, a brow's and chin's middle are about known.

        For photographs in which no face was found, but a rig says where it is.

        Parameters
        ----------
        guess : (n, 2) px
            Points of the face: outer eye corners (right, left), any number of others.
        """
        _check(image)
        guess = guess[np.isfinite(guess).all(axis=1)]
        if len(guess) < 3:
            return None
        x, y, width, height = box_of(guess)
        along = guess[1] - guess[0]
        center = np.array([x + width / 2, y + height / 2])
        return self._settled(
            image, center, float(max(width, height)), float(np.arctan2(along[1], along[0])), 0.5
        )

    def _boxes(self, image: RGB8) -> list[tuple[Floats, float, float, float]]:
        """Return centre, side, turn (radians) and score of each face in an image."""
        height, width = image.shape[:2]
        for long_side in self.config.long_sides_px:
            scale = min(1.0, long_side / max(height, width))
            small = cv2.resize(
                image, (max(1, round(width * scale)), max(1, round(height * scale))),
                interpolation=cv2.INTER_AREA,
            )  # fmt: skip
            self._yunet.setInputSize((small.shape[1], small.shape[0]))
            _, rows = self._yunet.detect(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
            if rows is not None and len(rows):
                # OpenCV's pixel centres are whole numbers
                up = np.array([width / small.shape[1], height / small.shape[0]])
                return [_start(np.asarray(row, np.float64), up) for row in rows]
        return []

    def _settled(
        self, image: RGB8, center: Floats, side: float, turn: float, score: float
    ) -> Detection | None:
        """Return the points of a face, its crop moved until it fits them."""
        for _ in range(self.config.n_settle):
            points = self._points(image, center, _MARGIN * side, turn)
            center, side, turn = _frame_of(points)
            if side < _LEAST_SIDE_PX:
                return None
        presence = self._presence()
        if presence < self.config.least_presence:
            return None
        looks = [
            self._points(image, center, margin * side, turn, flipped=flipped)
            for margin in self.config.margins
            for flipped in (False, True)
        ]
        middle = np.median(looks, axis=0)
        spread = 1.4826 * np.median(np.linalg.norm(np.array(looks) - middle, axis=2), axis=0)
        box = box_of(middle)
        size = float(np.sqrt(box[2] * box[3]))
        return Detection(
            points=middle,
            scheme=Scheme.MEDIAPIPE468,
            score=score * presence,
            box=box,
            confidence=1 / (1 + (spread / (_SPREAD * size)) ** 2),
            sigma_px=spread,
        )

    def _points(
        self, image: RGB8, center: Floats, side: float, turn: float, *, flipped: bool = False
    ) -> Floats:
        """Return (468, 2) px of the image by one look."""
        x_axis = side / _CROP_PX * np.array([np.cos(turn), np.sin(turn)])
        y_axis = np.array([-x_axis[1], x_axis[0]])
        if flipped:
            x_axis = -x_axis
        axes = np.column_stack([x_axis, y_axis])
        origin = center - axes @ np.full(2, _CROP_PX / 2)
        crop = _cropped(image, axes, origin)
        self._mesh.setInput(cv2.dnn.blobFromImage(crop, 1 / 255.0))
        rows = np.asarray(self._mesh.forward())
        # the network counts pixel centres from 0
        points = (rows.reshape(468, 3)[:, :2].astype(np.float64) + 0.5) @ axes.T + origin
        if flipped:
            points = points[MIRROR[Scheme.MEDIAPIPE468]]
        return points

    def _presence(self) -> float:
        """Return the chance that the crop last looked at is a face; 1 where it cannot be had."""
        if self._flag is None:
            return 1.0
        logit = float(np.asarray(self._mesh.forward(self._flag)).ravel()[0])
        return float(1 / (1 + np.exp(-np.clip(logit, -50, 50))))


def check_network(kind: str, path: Path) -> None:
    """Run a network of kind `yunet` or `facemesh` once, on black.

    Raises
    ------
    ModelFileError
        It is damaged, or another network than the detector needs.
    """
    if kind == "yunet":
        _loaded_yunet(path, OpencvConfig())
    else:
        _loaded_mesh(path)


def _sureness(faces: list[Detection]) -> float:
    return max((face.score * float(face.confidence.mean()) for face in faces), default=0.0)


def _found(given: Path | None, kind: str) -> Path:
    path = find_asset(kind) if given is None else given
    if path is None:
        raise InputError(
            f"no {kind} model is registered; run: facekit assets add {kind} PATH, "
            "or give landmarks in a table"
        )
    if not path.is_file():
        raise ModelFileError(f"{path}: no such file; give the path of the {kind} model")
    return path


def _loaded_yunet(path: Path, config: OpencvConfig) -> Any:
    try:
        with _quiet():
            net = cv2.FaceDetectorYN.create(str(path), "", (64, 64), config.least_score)
            net.detect(np.zeros((64, 64, 3), np.uint8))
    except cv2.error as error:
        raise _damaged(path, "a YuNet face detector (.onnx)", error) from error
    return net


def _loaded_mesh(path: Path) -> tuple[Any, str | None]:
    """Return the network, and what its layer that tells a face is called, where it can be had."""
    try:
        with _quiet():
            net = cv2.dnn.readNetFromTFLite(str(path))
            net.setInput(np.zeros((1, 3, _CROP_PX, _CROP_PX), np.float32))
            outputs = net.getUnconnectedOutLayersNames()
            sizes = [net.forward(name).size for name in outputs]
    except cv2.error as error:
        raise _damaged(path, "MediaPipe's face_landmark.tflite", error) from error
    if 3 * 468 not in sizes:
        raise ModelFileError(
            f"{path}: gives {sizes} numbers, not 468 points in space; "
            "give MediaPipe's face_landmark.tflite"
        )
    for flag in (*outputs, _FLAG_LAYER):
        try:
            with _quiet():
                if net.forward(flag).size == 1:
                    return net, flag
        except cv2.error:
            continue
    return net, None


def _damaged(path: Path, what: str, error: cv2.error) -> ModelFileError:
    reason = str(error).strip().splitlines()[-1][:120]
    return ModelFileError(
        f"{path}: OpenCV cannot run it as {what}: cut short or another model; fetch it again "
        f"({reason})"
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep OpenCV's remarks on engines and damaged files from the terminal."""
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)


def _check(image: RGB8) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise InputError(f"an RGB image of 8 bits is needed, not {image.dtype} {image.shape}")


def _start(row: Floats, up: Floats) -> tuple[Floats, float, float, float]:
    """Return centre, side, turn and score of a row of YuNet's, in px of the whole image."""
    corner, extent = row[:2] * up, row[2:4] * up
    right_eye, left_eye, _, right_mouth, left_mouth = (row[4:14].reshape(5, 2) + 0.5) * up
    down = (right_mouth + left_mouth - right_eye - left_eye) / 2
    return (
        corner + extent / 2,
        float(extent.max()),
        _turn(left_eye - right_eye, down),
        float(row[14]),
    )


def _turn(across: Floats, down: Floats) -> float:
    """Return how far a face is turned in the image, radians; of a profile its length tells."""
    along = across + np.array([down[1], -down[0]])
    return float(np.arctan2(along[1], along[0]))


def _frame_of(points: Floats) -> tuple[Floats, float, float]:
    """Return centre, side and turn of the square about the 468 points (468, 2)."""
    turn = _turn(points[_LEFT_EYE] - points[_RIGHT_EYE], points[_CHIN] - points[_BROW])
    axes = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    upright = points @ axes
    low, high = upright.min(axis=0), upright.max(axis=0)
    return axes @ ((low + high) / 2), float((high - low).max()), turn


def _cropped(image: RGB8, axes: Floats, origin: Floats) -> RGB8:
    """Return the 192 px square whose pixel (x, y) lies at `axes @ (x, y) + origin`; else black."""
    corners = np.array([[0, 0], [1, 0], [0, 1], [1, 1]]) * _CROP_PX @ axes.T + origin
    shape = np.array(image.shape[1::-1])
    low = np.clip(np.floor(corners.min(axis=0)).astype(int) - 2, 0, shape - 1)
    high = np.clip(np.ceil(corners.max(axis=0)).astype(int) + 2, low + 1, shape)
    part = image[low[1] : high[1], low[0] : high[0]]
    shrink = max(1.0, float(np.linalg.norm(axes[:, 0])))
    width, height = (max(1, round(n / shrink)) for n in (part.shape[1], part.shape[0]))
    small = cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA)
    by = np.array([width / part.shape[1], height / part.shape[0]])
    matrix = by[:, None] * np.column_stack([axes, origin - low])
    matrix[:, 2] += matrix[:, :2] @ np.full(2, 0.5) - 0.5  # OpenCV counts pixel centres from 0
    return np.asarray(
        cv2.warpAffine(
            small, matrix, (_CROP_PX, _CROP_PX), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        ),
        dtype=np.uint8,
    )


def _turned_back(face: Detection, shape: tuple[int, ...], n_quarters: int) -> Detection:
    """Return a face of the image turned by `np.rot90` in the image itself."""
    if n_quarters == 0:
        return face
    height, width = shape[:2]
    x, y = face.points.T
    points = {1: (width - y, x), 2: (width - x, height - y), 3: (y, height - x)}[n_quarters]
    turned = np.column_stack(points)
    return replace(face, points=turned, box=box_of(turned))
