"""Draw the pictures of `docs/capture-guide.md` from the virtual studio.

    python docs/images/make_capture_guide.py

writes `docs/images/capture-guide/*.jpg`; about a minute on two cores.
"""

import tempfile
from pathlib import Path

import cv2
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont

from facekit.capture.session import BoardSpec, Session, TakeKind
from facekit.capture.targets import faces
from facekit.capture.virtual.board import board_sheet, sheet_pose
from facekit.capture.virtual.layouts import draw_rig, load_layout
from facekit.capture.virtual.lights import led_ring
from facekit.capture.virtual.plane import Sheet, photograph_sheet
from facekit.capture.virtual.sensor import Optics
from facekit.capture.virtual.studio import StudioConfig, make_session
from facekit.core.arrays import Bytes, Floats
from facekit.core.geometry.camera import Camera, Rig
from facekit.core.imaging.imageio import read_image

OUT = Path(__file__).resolve().parent / "capture-guide"
MAX_BYTES = 120_000
BOARD = BoardSpec(
    squares_x=17, squares_y=12, square_mm=12.0, marker_mm=9.0, dictionary="DICT_5X5_250",
    back_first_id=102, thickness_mm=6.0,
)  # fmt: skip
SHARP = Optics(supersampling=3, blur_px=0.6, exposure=0.85)
TARGET = np.array([0.0, -5.0, 25.0])  # mm; where the head will be
FACE_Z_MM = 65.0  # focused on: between nose and ears
CIRCLE_MM = 0.015  # blur on the sensor that counts as sharp


def main() -> None:
    """Make all pictures anew."""
    OUT.mkdir(parents=True, exist_ok=True)
    rig = draw_rig(load_layout("nine"), megapixels=1.2, rng=np.random.default_rng(0))
    save(rig_from_above(rig), "rig-from-above")
    save(bad_poses(rig), "board-bad")
    save(two_sided(rig), "board-two-sided")
    with tempfile.TemporaryDirectory() as folder:
        config = StudioConfig(
            megapixels=0.35, board_megapixels=1.2, n_board_poses=20, color_chart=True,
            empty_plate=True, masks=True, truth_maps=False,
        )  # fmt: skip
        session = make_session(config, Path(folder) / "session")
        save(one_trigger(session), "trigger")
        save(good_poses(session), "board-good")
        save(other_takes(session, rig), "other-takes")


def save(image: Bytes, name: str) -> None:
    """Write a JPEG, in the best quality that stays within the limit."""
    for quality in (88, 82, 76, 70, 62, 54):
        path = OUT / f"{name}.jpg"
        PillowImage.fromarray(image).save(path, quality=quality, optimize=True)
        if path.stat().st_size <= MAX_BYTES:
            return


def rig_from_above(rig: Rig) -> Bytes:
    """Draw cameras, what they see and what is sharp, from above and to scale."""
    figure = Figure(figsize=(9.6, 6.2), layout="constrained")
    axes = figure.subplots()
    for camera in rig:
        edges = camera.center + 1120 * camera.unproject(
            np.array([[0.0, camera.height / 2], [camera.width, camera.height / 2]])
        )
        corners = np.vstack([camera.center, edges])[:, [0, 2]]
        axes.fill(*corners.T, color="#1f4f82", alpha=0.07, lw=0)
        axes.plot(*corners[[1, 0, 2]].T, color="#1f4f82", lw=0.5, alpha=0.5)
        axes.scatter(*camera.center[[0, 2]], marker="s", s=46, color="#1f4f82", zorder=3)
        behind = camera.center - 75 * camera.view_direction
        axes.annotate(camera.name, behind[[0, 2]], ha="center", va="center", fontsize=9)
    angle = np.linspace(0, 2 * np.pi, 90)
    axes.fill(78 * np.cos(angle), 98 * np.sin(angle) - 10, color="#d9b79c", zorder=2)
    axes.fill([-14, 14, 0], [84, 84, 112], color="#d9b79c", zorder=2)
    axes.annotate("head", (0, -10), ha="center", va="center", fontsize=9)
    half = depth_of_field_mm(focal_mm=85.0, distance_mm=1000.0, f_number=16.0) / 2
    for z in (FACE_Z_MM - half, FACE_Z_MM + half):
        axes.plot([-150, 150], [z, z], color="#b3261e", lw=1, ls="--")
    axes.annotate(
        f"sharp for cam04 at f/16:\n{2 * half:.0f} mm, to {1000 * CIRCLE_MM:.0f} µm on the sensor",
        (150, FACE_Z_MM - half), (380, -130), fontsize=9, color="#b3261e", va="center",
        arrowprops={"arrowstyle": "-", "color": "#b3261e", "lw": 0.8},
    )  # fmt: skip
    axes.annotate(
        "", (0, 190), (0, 930), arrowprops={"arrowstyle": "<->", "color": "#5a616b", "lw": 0.9}
    )
    axes.annotate("1 m", (14, 560), fontsize=9, color="#5a616b")
    axes.set_aspect("equal")
    axes.set_xlim(-1200, 1200)
    axes.set_ylim(1130, -260)  # the subject looks down the page
    axes.set_xlabel("mm; the subject's left is at the right")
    axes.set_title("layout nine: 85 mm lenses on 36 x 24 mm bodies turned upright, ear to ear",
                   fontsize=10)  # fmt: skip
    canvas = FigureCanvasAgg(figure)
    figure.set_dpi(120)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def depth_of_field_mm(*, focal_mm: float, distance_mm: float, f_number: float) -> float:
    """Return how deep the scene is sharp to `CIRCLE_MM`, by the thin lens."""
    magnification = focal_mm / (distance_mm - focal_mm)
    return 2 * f_number * CIRCLE_MM * (1 + magnification) / magnification**2


def one_trigger(session: Session) -> Bytes:
    """Return the nine photographs of the subject as a contact sheet."""
    take = session.takes_of(TakeKind.SUBJECT)[0]
    pictures = [(shot.camera, read_image(session.path(shot))) for shot in take.shots]
    return sheet(pictures, columns=9, width=124)


def good_poses(session: Session) -> Bytes:
    """Return five of the twenty takes of the board, ear to ear, in all cameras."""
    takes = session.takes_of(TakeKind.TARGET)
    pictures = []
    for take in takes[::5] + takes[-1:]:
        for shot in take.shots:
            label = f"{take.id}" if shot.camera == "cam00" else shot.camera
            pictures.append((label, read_image(session.path(shot))))
    return sheet(pictures, columns=9, width=124)


def bad_poses(rig: Rig) -> Bytes:
    """Return poses that a calibration cannot use, and one that it can, in the middle camera."""
    camera = rig.cameras[4]
    dull = Optics(supersampling=3, blur_px=6.0, exposure=0.85)
    bright = Optics(supersampling=3, blur_px=0.6, exposure=2.6)
    poses = (
        ("good", 12.0, TARGET, SHARP),
        ("too oblique: 76 degrees", 76.0, TARGET, SHARP),
        ("too far: small", 12.0, TARGET - np.array([0.0, 0, 1600]), SHARP),
        ("out of the picture", 12.0, TARGET + np.array([165.0, 120, 0]), SHARP),
        ("moved or out of focus", 12.0, TARGET, dull),
        ("overexposed", 12.0, TARGET, bright),
    )
    pictures = [
        (label, photograph(faces(BOARD)[0], camera, yaw, center, optics))
        for label, yaw, center, optics in poses
    ]
    return sheet(pictures, columns=6, width=186)


def two_sided(rig: Rig) -> Bytes:
    """Return both faces of a board held sideways, as cameras on either side see them."""
    front, back = faces(BOARD)
    pictures = []
    for index in (0, 1, 2, 4, 6, 7, 8):
        face, yaw = (front, -80.0) if index < 4 else (back, 100.0)
        if index == 4:
            face, yaw = front, -80.0
        name = "front" if face == front else "back"
        camera = rig.cameras[index]
        pictures.append((f"{camera.name}: {name}", photograph(face, camera, yaw, TARGET, SHARP)))
    return sheet(pictures, columns=7, width=160)


def other_takes(session: Session, rig: Rig) -> Bytes:
    """Return colour chart, empty studio, mask and scale bar, as the middle camera sees them."""
    camera = "cam04"
    chart = session.takes_of(TakeKind.COLOR_CHART)[0].shot(camera)
    empty = session.takes_of(TakeKind.EMPTY)[0].shot(camera)
    face = session.takes_of(TakeKind.SUBJECT)[0].shot(camera)
    assert chart and empty and face and face.mask
    pictures = [
        ("colour chart", read_image(session.path(chart))),
        ("empty studio", read_image(session.path(empty))),
        ("subject", read_image(session.path(face))),
        ("its mask", read_image(session.folder / face.mask)),
        ("scale bar", scale_bar(rig[camera])),
    ]
    return sheet(pictures, columns=5, width=186)


def scale_bar(camera: Camera) -> Bytes:
    """Photograph a strip with the markers 240 and 241 of DICT_5X5_250, 180 mm apart."""
    ink = np.full((480, 2320), 255, np.uint8)  # 10 px a mm
    known = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_5X5_250)
    for marker, left in ((240, 120), (241, 1920)):
        ink[100:380, left : left + 280] = known.generateImageMarker(marker, 280, borderBits=1)
    strip = Sheet(art=(0.04 + 0.86 * ink.astype(np.float32) / 255)[..., None], px_per_mm=10.0)
    pose = sheet_pose(strip.size_mm, yaw_deg=8.0, roll_deg=14.0, center=TARGET)
    return photograph_sheet(
        strip, pose, camera, led_ring(np.random.default_rng(0)), SHARP,
        rng=np.random.default_rng(0),
    )  # fmt: skip


def photograph(
    face: BoardSpec, camera: Camera, yaw_deg: float, center: Floats, optics: Optics
) -> Bytes:
    """Photograph one face of a board."""
    print_ = board_sheet(face)
    pose = sheet_pose(print_.size_mm, yaw_deg=yaw_deg, pitch_deg=6.0, roll_deg=4.0, center=center)
    lights = led_ring(np.random.default_rng(0))
    return photograph_sheet(print_, pose, camera, lights, optics, rng=np.random.default_rng(0))


def sheet(pictures: list[tuple[str, Bytes]], *, columns: int, width: int) -> Bytes:
    """Lay labelled pictures out in rows; each `width` px wide."""
    gap, label = 6, 18
    height = max(round(width * image.shape[0] / image.shape[1]) for _, image in pictures)
    rows = -(-len(pictures) // columns)
    canvas = PillowImage.new(
        "RGB", (columns * (width + gap) - gap, rows * (height + label + gap) - gap), "white"
    )
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(12)
    for number, (text, image) in enumerate(pictures):
        x, y = (number % columns) * (width + gap), (number // columns) * (height + label + gap)
        small = cv2.resize(
            image, (width, round(width * image.shape[0] / image.shape[1])),
            interpolation=cv2.INTER_AREA,
        )  # fmt: skip
        canvas.paste(PillowImage.fromarray(small).convert("RGB"), (x, y))
        draw.text((x, y + height + 1), text, fill="#1d232b", font=font)
    return np.asarray(canvas)


if __name__ == "__main__":
    main()
