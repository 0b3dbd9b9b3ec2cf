"""The fit against the truth: photographs of virtual people whose surface is known.

Each subject is drawn from the ICT face model (built-in where there is none), painted with skin,
lit by the studio's ring of lights and photographed once from the front, from 0.8 to 1.3 m, up to
five degrees aside. The fit knows the photograph, its 68 landmarks with 1.5 px of noise (at 224 px
a crop) and the silhouette of the head; neither focal length nor distance (and, once more, with the
focal length, as a calibrated camera has it). Its surface is aligned rigidly, without scale, and
the distance from points of the true face to it is taken.
"""

import logging
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..capture.virtual.lights import Lights, led_ring
from ..capture.virtual.render import photograph
from ..capture.virtual.scene import Scene, build_scene
from ..capture.virtual.sensor import Optics
from ..capture.virtual.skin import Skin
from ..capture.virtual.studio import rng_of
from ..core.arrays import Bytes, Floats, Floats32
from ..core.assets import find_asset
from ..core.console import track
from ..core.errors import InputError
from ..core.facemodel.ict import load_ict
from ..core.facemodel.load import load_face_model
from ..core.facemodel.model import FaceModel
from ..core.files import write_json
from ..core.geometry.camera import Camera
from ..core.geometry.mesh import Mesh
from ..core.imaging.imageio import write_image
from .face_distance import TrueFace, surface_error
from .heads.people import NOISE_PX, drawn_person, portrait_camera
from .stereo_bench_config import BUILT_IN, ICT, head_of

log = logging.getLogger(__name__)

RESULT_FILE = "hrn_bench_fit.json"
_CROP_PX = 448
_MEDIANS = (
    "fit_median_mm", "coarse_median_mm", "fit_scaled_median_mm", "coarse_scaled_median_mm",
    "fit_known_focal_median_mm", "coarse_known_focal_median_mm",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class SingleView:
    """One photograph of a virtual person and what is true of it."""

    image: Bytes
    """(H, W, 3) sRGB."""
    mask: Floats32
    """(H, W) 1 on the head."""
    camera: Camera
    landmarks: Floats
    """(68, 2) px, without noise."""
    face: TrueFace
    skin: Mesh = field(repr=False)
    """The fine surface of the whole head, relief included."""


def fit_accuracy(
    n_subjects: int, seed: int, out: Path, *, beyond_model_mm: float = 0.0
) -> dict[str, Any]:
    """Fit `n_subjects` virtual people and measure the fits.

    Parameters
    ----------
    beyond_model_mm : float
        Smooth shape that each person has beyond the model, sd per axis: the fit's model never
        spans a real face.

    Returns
    -------
    dict
        `fit_median_mm`, `coarse_median_mm`: medians over subjects of the median distance, mm;
        `fit_scaled_median_mm`, `coarse_scaled_median_mm`: likewise where the alignment may scale,
        since one photograph does not tell how large a face is;
        `fit_known_focal_median_mm`, `coarse_known_focal_median_mm`: as the first two, of a fit
        that is told the camera's focal length;
        `fit_worst_mm`; `fit_better`, `fit_scaled_better`: on how many subjects the deformation
        map made it smaller;
        `fit_cpu_s` per subject; `fit_subjects`: the figures of each; `fit_model`.
    """
    # torch takes seconds
    from ..reconstruct.facetensors import face_tensors
    from ..reconstruct.fit import fit_model_of

    model = bench_model()
    face = face_tensors(model)
    laid_out = fit_model_of(face)
    rows = []
    for number in track(range(n_subjects), "fits"):
        view = single_view(model, seed=seed * 1000 + number, beyond_model_mm=beyond_model_mm)
        rows.append(_measured(view, face, laid_out, number))
        write_image(out / f"fit_{number:02d}.png", view.image)
    medians = {name: [row[name] for row in rows] for name in _MEDIANS}
    result = {
        **{name: float(np.median(values)) for name, values in medians.items()},
        "fit_worst_mm": max(medians["fit_median_mm"]),
        "fit_better": sum(row["fit_median_mm"] < row["coarse_median_mm"] for row in rows),
        "fit_scaled_better": sum(
            row["fit_scaled_median_mm"] < row["coarse_scaled_median_mm"] for row in rows
        ),
        "fit_cpu_s": float(np.median([row["cpu_s"] for row in rows])),
        "fit_model": model.name,
        "fit_subjects": rows,
    }
    write_json(out / RESULT_FILE, result)
    return result


def bench_model() -> FaceModel:
    """Return the ICT face model, registered or beside the checkout, else the built-in head."""
    path = find_asset(ICT)
    if path is not None:
        return load_ict(path)
    try:
        return load_face_model(head_of(ICT))
    except InputError:
        log.warning(
            "no ICT face model is registered; people are drawn from the built-in head, "
            "whose figures are others"
        )
        return load_face_model(head_of(BUILT_IN))


def _measured(view: SingleView, face: Any, laid_out: Any, number: int) -> dict[str, Any]:
    from ..reconstruct.align import align
    from ..reconstruct.fit import fit
    from ..reconstruct.fitconfig import FitConfig

    reference = face.five_points()
    scale = align(view.image, view.landmarks, reference5=reference).scale
    noise = rng_of(number, "landmarks").normal(0.0, NOISE_PX / scale, (68, 2))
    crop = align(view.image, view.landmarks + noise, size=_CROP_PX, reference5=reference)
    mask = crop.cut(view.mask)[..., 0]
    started = time.process_time()
    found = fit(crop, face, mask=mask, model=laid_out)
    row: dict[str, Any] = {"subject": number, "cpu_s": time.process_time() - started}
    for name, shape in (("fit", found.mid), ("coarse", found.coarse)):
        row |= {f"{name}_{what}": mm for what, mm in _errors(view, face, shape).items()}
    calibrated = fit(
        crop, face, FitConfig(detail=None), mask=mask, model=laid_out,
        focal_px=float(view.camera.K[0, 0]),
    )  # fmt: skip
    for name, shape in (("fit", calibrated.mid), ("coarse", calibrated.coarse)):
        errors = _errors(view, face, shape)
        row[f"{name}_known_focal_median_mm"] = errors["median_mm"]
    return row


def _errors(view: SingleView, face: Any, shape: Any) -> dict[str, float]:
    """Return the figures of a shape (1, V, 3) in the model frame."""
    mm = face.head_mm(shape)[0].numpy().astype(np.float64)
    mesh = Mesh(vertices=mm, faces=face.model.faces)
    rigid = surface_error(view.face, mesh, face.model)
    scaled = surface_error(view.face, mesh, face.model, with_scale=True)
    return {
        "median_mm": rigid.median_mm,
        "p90_mm": rigid.p90_mm,
        "scaled_median_mm": scaled.median_mm,
    }


def single_view(
    model: FaceModel,
    *,
    seed: int,
    beyond_model_mm: float = 0.0,
    turned_deg: float = 0.0,
    lights: Lights | None = None,
    skin: Skin | None = None,
) -> SingleView:
    """Draw a person of `model`, or near to it, and photograph them.

    Parameters
    ----------
    turned_deg : float
        By which the camera stands aside, beyond the few degrees of every photograph.
    lights : Lights, optional
        The studio's ring by default.
    skin : Skin, optional
        In place of the person's own; all else stays.
    """
    subject = drawn_person(model, seed=seed, beyond_model_mm=beyond_model_mm, skin=skin)
    camera = portrait_camera(model, rng_of(seed, "single view"), turned_deg=turned_deg)
    lights = led_ring(rng_of(seed, "lights")) if lights is None else lights
    scene = build_scene(subject, lights, footprint_mm=1.0, rng=rng_of(seed, "light visibility"))
    picture = photograph(scene, camera, lights, Optics(), rng=rng_of(seed, "noise"))
    marks = subject.vertices()[model.landmarks68]
    return SingleView(
        image=picture.image,
        mask=np.isfinite(picture.depth).astype(np.float32),
        camera=camera,
        landmarks=camera.project(marks)[0],
        face=TrueFace(mesh=_face_of(scene), landmarks=marks),
        skin=_skin_of(scene),
    )


def _skin_of(scene: Scene) -> Mesh:
    return Mesh(vertices=np.asarray(scene.surface.vertices, np.float64), faces=scene.surface.faces)


def _face_of(scene: Scene) -> Mesh:
    return _skin_of(scene).selected(scene.frontal)
