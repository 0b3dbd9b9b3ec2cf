"""Whom the benchmark of trained weights photographs, how, and what is true of them.

People are drawn as `hrn_bench_fit` draws them, from the built-in head and the ICT face model in
turn, each in one photograph: most nearly from the front in the studio's ring of lights, some from
farther aside, some in light from anywhere. What was rendered is kept, an image and an `.npz` each.
"""

import json
import logging
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ..capture.virtual.studio import load_head, rng_of
from ..core.arrays import Bools, Floats
from ..core.errors import InputError
from ..core.facemodel.model import FaceModel
from ..core.facemodel.procedural import procedural_head
from ..core.files import atomic_path, write_text
from ..core.geometry.mesh import Mesh
from ..core.imaging.imageio import write_image
from ..reconstruct.align import placement
from ..reconstruct.facetensors import reference_points
from .face_distance import TrueFace
from .heads.people import NOISE_PX, WIDTH, Group, group_of, heads_here, turn_and_light
from .hrn_bench_fit import SingleView, single_view
from .stereo_bench_config import BUILT_IN, ICT

log = logging.getLogger(__name__)

_VERSION = 2
_CROP_PX = 224
_SEEN = 0.5
ONLY_BUILT_IN = (
    "no ICT face model is registered: all people are drawn from the built-in head, in whose span "
    "the weights were trained"
)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One virtual person in one photograph."""

    name: str
    kind: str
    """`builtin`, `ict`, or `model`."""
    head: str
    """As the studio calls the model."""
    seed: int
    group: Group
    beyond_model_mm: float = 0.0


@dataclass(frozen=True, kw_only=True)
class CaseTruth:
    """What is true of a photograph, head frame, mm."""

    face: TrueFace
    """What is scored, relief included."""
    skin: Mesh
    """The surface about it."""
    landmarks: Floats
    """(68, 2) px of the photograph, with noise: what a reconstruction is given."""
    mask: Bools
    """(H, W) where the photograph shows the head."""


def cases_of(
    subjects: int, seed: int, *, models: tuple[str, ...], beyond_model_mm: float = 0.0
) -> tuple[list[Case], tuple[str, ...]]:
    """Return the people, models in turn, and what a user should know of them.

    Raises
    ------
    InputError
        None of the models' files is there.
    """
    heads = heads_here(models)
    notes = () if len(heads) > 1 or ICT not in models else (ONLY_BUILT_IN,)
    cases = []
    for index in range(subjects):
        kind, head = heads[index % len(heads)]
        kind = kind if kind in (BUILT_IN, ICT) else "model"
        case = Case(
            name=f"{index:03d}-{kind}",
            kind=kind,
            head=head,
            seed=1000 * seed + index,
            group=group_of(index, n_heads=len(heads)),
            beyond_model_mm=beyond_model_mm,
        )
        cases.append(case)
    return cases, notes


def photograph_of(case: Case, folder: Path) -> Path:
    """Photograph a person, unless `folder` has this very photograph already; return the image."""
    image, truth = folder / f"{case.name}.png", _truth_file(case, folder)
    if image.is_file() and _holds(truth, case):
        return image
    model = load_head(case.head)
    view = _view(case, model)
    marks = view.landmarks + _noise(case, view.landmarks)
    skin, scored = _about_face(view, model)
    image.parent.mkdir(parents=True, exist_ok=True)
    truth.unlink(missing_ok=True)  # no truth beside another image
    write_image(image, view.image)
    with atomic_path(truth) as part, part.open("wb") as file:
        np.savez_compressed(
            file, about=np.array(json.dumps(_record(case))), landmarks=marks,
            vertices=skin.vertices.astype(np.float32), faces=skin.faces, scored=scored,
            marks=view.face.landmarks, mask=np.packbits(view.mask > _SEEN, axis=-1),
        )  # fmt: skip
    return image


def truth_of(case: Case, folder: Path) -> CaseTruth:
    """Read what is true of a photograph.

    Raises
    ------
    InputError
        None of this person is there.
    """
    path = _truth_file(case, folder)
    if not _holds(path, case):
        raise InputError(f"{path}: not the truth of {case.name}; photograph it again")
    with np.load(path) as arrays:
        skin = Mesh(vertices=arrays["vertices"].astype(np.float64), faces=arrays["faces"])
        face = TrueFace(mesh=skin.selected(arrays["scored"]), landmarks=arrays["marks"])
        mask = np.unpackbits(arrays["mask"], axis=-1, count=WIDTH).astype(np.bool_)
        return CaseTruth(face=face, skin=skin, landmarks=arrays["landmarks"], mask=mask)


def write_landmarks(cases: Sequence[Case], folder: Path) -> Path:
    """Write the landmarks that reconstructions are given as a table; return it."""
    table = folder / "landmarks.csv"
    lines = ["camera,landmark,x,y"]
    for case in cases:
        marks = truth_of(case, folder).landmarks
        lines += [f"{case.name},{i},{x:.4f},{y:.4f}" for i, (x, y) in enumerate(marks)]
    write_text(table, "\n".join(lines) + "\n")
    return table


def _view(case: Case, model: FaceModel) -> SingleView:
    turned_deg, lights = turn_and_light(case.seed, case.group)
    return single_view(
        model,
        seed=case.seed,
        beyond_model_mm=case.beyond_model_mm,
        turned_deg=turned_deg,
        lights=lights,
    )


def _noise(case: Case, landmarks: Floats) -> Floats:
    """Return (68, 2) px of the photograph: 1.5 px where the face fills a crop of 224."""
    reference = reference_points(procedural_head())
    scale, _ = placement(landmarks, size=_CROP_PX, reference5=reference)
    return rng_of(case.seed, "landmarks").normal(0.0, NOISE_PX / scale, (68, 2))


def _about_face(view: SingleView, model: FaceModel) -> tuple[Mesh, Bools]:
    """Return the surface about the face, and which of its triangles are scored."""
    finer = len(view.skin.faces) // len(model.faces)
    about = np.repeat(model.regions["face"][model.faces].any(axis=1), finer)
    scored = np.repeat(model.regions["frontal_face"][model.faces].all(axis=1), finer)
    kept = np.asarray(about | scored)
    return view.skin.selected(kept), np.asarray(scored[kept])


def _truth_file(case: Case, folder: Path) -> Path:
    return folder / f"{case.name}.npz"


def _record(case: Case) -> dict[str, object]:
    return {"version": _VERSION, **asdict(case)}


def _holds(path: Path, case: Case) -> bool:
    try:
        with np.load(path) as arrays:
            return bool(json.loads(str(arrays["about"])) == _record(case))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return False
