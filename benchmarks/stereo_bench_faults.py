"""Wrong input on purpose: the view should be named, and sigma should follow the harm.

One view of the scene, that of the middle camera, is spoilt at a time: its calibration, its
photograph, or the subject while it was taken. A rigid move of the subject in one view *is* a
move of that camera against the subject, and is made so, exactly; one that is not rigid warps the
photograph. The take is built, and the mesh held against the truth as any other is.
"""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..calibration.rigfile import save_rig
from ..capture.session import Session, save_session
from ..core.arrays import Bools, Bytes, Floats
from ..core.errors import EstimationError
from ..core.files import sha256_file
from ..core.geometry.camera import Camera, Rig
from ..core.geometry.mesh import Mesh, vertex_normals
from ..core.geometry.meshio import load_mesh
from ..core.geometry.transform import compose, invert
from ..core.imaging.color import linear_from_srgb, srgb_from_linear
from ..core.imaging.imageio import read_image, write_image
from ..dataset.rigcheck import RigCheck
from ..dataset.stereo.views import focus_point
from .mesh_accuracy import mesh_error
from .stereo_bench_cost import build_cost
from .stereo_bench_scene import BenchScene, SceneTruth
from .stereo_bench_sigma import SIGMA, sigma_figures
from .virtual import mesh_figures

POSE_MM, MOVED_MM, TURNED_DEG = 0.1, 1.0, 0.5
_WAVE_MM = 60.0  # over which a warp swings to and fro
_MOUTH_SHARE = 0.15  # radius over the image's width
_SMUDGE_SHARE = 0.08  # radius over the image's width
_SQUARE_COSINE = 0.6  # of what a view sees well
_SEED = 1  # of the points drawn on the surfaces


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What is wrong with one view."""

    image: Callable[[Bytes, float], Bytes] | None = None
    """Photograph and pixels per mm at the subject -> the spoilt photograph."""
    subject_moved: Floats | None = None
    """(3, 4) rigid move about the subject's middle, along the camera's axes, mm: of the subject
    as that view took it, or, which is the same, of the camera the other way."""
    swapped: bool = False
    """Its photograph and that of the next camera are exchanged."""
    check_rig: RigCheck = RigCheck.OFF
    """Off: what is measured is stereo's own judgement."""


def faults() -> dict[str, Fault]:
    """Return the faults by name, the healthy take first."""
    pose, moved = _shifted(POSE_MM), _shifted(MOVED_MM)
    turned = _turned(TURNED_DEG)
    return {
        "healthy": Fault(),
        "pose_0.1mm": Fault(subject_moved=pose),
        "pose_0.1mm_repair": Fault(subject_moved=pose, check_rig=RigCheck.REPAIR),
        "blur_2px": Fault(image=lambda image, _: _blurred(image, 2.0)),
        "blur_4px": Fault(image=lambda image, _: _blurred(image, 4.0)),
        "exposed_1.4x": Fault(image=lambda image, _: exposed(image, 1.4)),
        "exposed_2x": Fault(image=lambda image, _: exposed(image, 2.0)),
        "moved_1mm": Fault(subject_moved=moved),
        "moved_1mm_repair": Fault(subject_moved=moved, check_rig=RigCheck.REPAIR),
        "turned_0.5deg": Fault(subject_moved=turned),
        "turned_0.5deg_repair": Fault(subject_moved=turned, check_rig=RigCheck.REPAIR),
        "warped_0.5mm": Fault(image=lambda image, px: _warped(image, 0.5 * px, _WAVE_MM * px)),
        "mouth_1mm": Fault(image=lambda image, px: _mouth_moved(image, 1.0 * px)),
        "smudge": Fault(image=lambda image, _: _smudged(image)),
        "swapped": Fault(swapped=True),
        "swapped_repair": Fault(swapped=True, check_rig=RigCheck.REPAIR),
    }


def fault_figures(scene: BenchScene, out: Path) -> dict[str, Any]:
    """Build the scene once with each fault in `out`; JSON-able.

    Returns
    -------
    dict
        `view`, the spoilt one, and `of` fault -> `named` (whether a remark of the build begins
        with its name), `blamed` (others that a remark names), `left_out`, `remarks`,
        `median_mm`, `p90_mm`, `within_0_2mm`, `sigma_corr`, `sigma_coverage`,
        `sigma_median_mm`, and `there`: the last figures where the spoilt view looks squarely. A
        take that could not be built has `failed`, the reason, alone.
    """
    truth, victim = scene.load_truth(), middle_view(scene.rig)
    found: dict[str, Any] = {}
    for name, fault in faults().items():
        folder = out / name
        try:
            cost = build_cost(
                spoilt(scene, fault, victim, folder / "session"),
                folder / "build",
                check_rig=fault.check_rig,
            )
        except EstimationError as error:
            found[name] = {"failed": str(error)}
            continue
        mesh = load_mesh(Path(cost.figures["mesh"]))
        found[name] = {
            **blame(cost.figures, victim, scene.rig),
            **_accuracy(mesh, truth, scene.rig[victim]),
            "cpu_s": cost.cpu_s,
        }
    return {"view": victim, "of": found}


def middle_view(rig: Rig) -> str:
    """Return the camera nearest to the mean of all: what it has wrong harms most."""
    cameras = list(rig.cameras)
    away = np.array([camera.center for camera in cameras]) - focus_point(cameras)
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    return cameras[int(np.argmax(away @ away.mean(axis=0)))].name


def spoilt(scene: BenchScene, fault: Fault, victim: str, folder: Path) -> BenchScene:
    """Write the scene's session with a fault to `folder`."""
    k = scene.rig.names.index(victim)
    next_one = scene.rig.names[k + 1 if k + 1 < len(scene.rig.names) else k - 1]
    middle = focus_point(list(scene.rig.cameras))
    camera = scene.rig[victim]
    pixels_per_mm = float(camera.K[0, 0] / (camera.cam_from_world[2] @ [*middle, 1.0]))
    taken_by = {victim: next_one, next_one: victim} if fault.swapped else {}
    take = scene.session.take(scene.take)
    shots = []
    for shot in take.shots:
        source = take.shot(taken_by.get(shot.camera, shot.camera))
        assert source is not None
        path = folder / shot.file
        path.parent.mkdir(parents=True, exist_ok=True)
        if shot.camera == victim and fault.image is not None:
            write_image(path, fault.image(read_image(scene.session.path(source)), pixels_per_mm))
        else:
            shutil.copyfile(scene.session.path(source), path)
        shots.append(replace(shot, sha256=sha256_file(path), bytes=path.stat().st_size, mask=None))
    session = Session(
        folder=folder, name=scene.session.name, cameras=scene.session.cameras,
        takes=(replace(take, shots=tuple(shots)),),
    )  # fmt: skip
    save_session(session)
    rig_file = folder / "stated_rig.json"
    save_rig(rig_file, _stated(scene.rig, fault, victim, middle))
    return replace(scene, session=session, rig_file=rig_file)


def blame(figures: Mapping[str, Any], victim: str, rig: Rig) -> dict[str, Any]:
    """Return whom the remarks of a build name, JSON-able."""
    remarks = list(figures["remarks"])
    named = {name for name in rig.names for text in remarks if _names(text, name)}
    return {
        "named": victim in named,
        "blamed": sorted(named - {victim}),
        "left_out": list(figures["left_out"]),
        "remarks": remarks,
    }


def exposed(image: Bytes, factor: float) -> Bytes:
    """Return a photograph of so many times the exposure, clipped as a sensor does."""
    return np.rint(255 * srgb_from_linear(np.clip(factor * linear_from_srgb(image), 0, 1))).astype(
        np.uint8
    )


def _names(text: str, name: str) -> bool:
    words = text.replace(",", " ").replace(";", " ").replace(":", " ").split()
    return name in words


def _accuracy(mesh: Mesh, truth: SceneTruth, camera: Camera) -> dict[str, Any]:
    accuracy = mesh_error(mesh, truth.surface, rng=np.random.default_rng(_SEED))
    figures = mesh_figures(accuracy)
    sigma = np.asarray(mesh.attributes[SIGMA], dtype=np.float64)
    error = np.abs(np.asarray(accuracy.signed_mm, dtype=np.float64))
    known = accuracy.measured & np.isfinite(error)
    there = known & _seen_squarely(mesh, camera)
    return {
        **{name: figures[name] for name in ("median_mm", "p90_mm", "within_0_2mm")},
        **sigma_figures(mesh, accuracy),
        "sigma_median_mm": float(np.median(sigma[known])),
        "there": {
            "median_mm": float(np.median(error[there])),
            "p90_mm": float(np.percentile(error[there], 90)),
            "sigma_median_mm": float(np.median(sigma[there])),
            "sigma_coverage": float((error[there] <= sigma[there]).mean()),
        }
        if there.any()
        else None,
    }


def _seen_squarely(mesh: Mesh, camera: Camera) -> Bools:
    """Return (V,) which vertices face a camera, whatever may stand between."""
    away = camera.center - mesh.vertices
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    return np.asarray(
        (away * vertex_normals(mesh.vertices, mesh.faces)).sum(axis=1) > _SQUARE_COSINE
    )


def _stated(rig: Rig, fault: Fault, victim: str, middle: Floats) -> Rig:
    """Return the rig as the build is told it: true, but for a camera that sees another subject."""
    if fault.subject_moved is None:
        return rig
    camera = rig[victim]
    R = camera.cam_from_world[:, :3]
    rotation = R.T @ fault.subject_moved[:, :3] @ R
    shift = R.T @ fault.subject_moved[:, 3]
    # the photograph is that of a camera Q before a subject moved by M: Q M = P, the true pose of
    # the photograph as it is; the build is told Q
    moved = np.column_stack([rotation, middle + shift - rotation @ middle])
    wrong = replace(camera, cam_from_world=compose(camera.cam_from_world, invert(moved)))
    return rig.with_camera(wrong)


def _shifted(mm: float) -> Floats:
    """Return a shift to the right and a little down, as seen by the camera."""
    return np.column_stack([np.eye(3), mm * np.array([0.8, 0.6, 0.0])])


def _turned(degrees: float) -> Floats:
    """Return a turn about the vertical."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, 0, s, 0], [0, 1, 0, 0], [-s, 0, c, 0]])


def _blurred(image: Bytes, sigma_px: float) -> Bytes:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma_px), dtype=np.uint8)


def _warped(image: Bytes, amplitude_px: float, wave_px: float) -> Bytes:
    """Displace the parts of a photograph against each other, smoothly: a grimace."""
    rows, cols = np.mgrid[: image.shape[0], : image.shape[1]].astype(np.float32)
    turn = np.float32(2 * np.pi / wave_px)
    x = cols + np.float32(amplitude_px) * np.sin(turn * rows)
    y = rows + np.float32(amplitude_px) * np.sin(turn * cols)
    warped = cv2.remap(image, x, y, cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(warped, dtype=np.uint8)


def _mouth_moved(image: Bytes, px: float) -> Bytes:
    """Lower what is about the mouth, softly; the rest stays: somebody began to speak."""
    height, width = image.shape[:2]
    rows, cols = np.mgrid[:height, :width].astype(np.float32)
    far = ((cols - 0.5 * width) ** 2 + (rows - 0.58 * height) ** 2) / (_MOUTH_SHARE * width) ** 2
    y = rows - np.float32(px) * np.exp(-far * far)
    warped = cv2.remap(image, cols, y, cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(warped, dtype=np.uint8)


def _smudged(image: Bytes) -> Bytes:
    """Lay a grey, soft finger mark on the lens, off the middle."""
    height, width = image.shape[:2]
    rows, cols = np.mgrid[:height, :width].astype(np.float32)
    radius = _SMUDGE_SHARE * width
    far = np.hypot(cols - 0.55 * width, rows - 0.45 * height) / radius
    share = (0.85 / (1 + np.exp(6 * (far - 1))))[..., None]
    soft = cv2.GaussianBlur(image, (0, 0), 0.25 * radius).astype(np.float32)
    mixed = (1 - share) * image + share * (0.5 * soft + 70)
    return np.rint(np.clip(mixed, 0, 255)).astype(np.uint8)
