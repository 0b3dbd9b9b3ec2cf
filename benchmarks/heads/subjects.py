"""The virtual people on disk: photographs, cameras and landmarks for any method, and the truth.

<data>/virtual.json                       who they are; what was asked for
<data>/single/<subject>.png               one photograph a person; landmarks.csv of all
<data>/single/masks/<subject>.png         white on the head
<data>/multi/<subject>/<camera>.png       photographs of a rig; landmarks.csv, rig.json, masks/
<data>/truth/<subject>.ply                fine surface about the face, relief included
<data>/truth/<subject>_head.ply           the whole head in the model's topology, without relief
<data>/truth/<subject>_landmarks.txt      68 lines of x y z
<data>/truth/<subject>.json               cameras and poses; written last: the person is finished

Truth is in the head frame, mm. `docs/evaluation.md` tells of each file.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...calibration.rigfile import RIG_FILE, save_rig
from ...capture.virtual.layouts import draw_rig, load_layout
from ...capture.virtual.lights import Lights
from ...capture.virtual.render import snapshot
from ...capture.virtual.scene import Scene, build_scene
from ...capture.virtual.sensor import BACKDROP, Optics
from ...capture.virtual.studio import load_head, rng_of
from ...capture.virtual.subject import Subject
from ...core.arrays import Floats
from ...core.console import track
from ...core.errors import InputError
from ...core.facemodel.model import FaceModel
from ...core.files import is_file_name, read_json, write_json, write_text
from ...core.geometry.camera import Camera, Rig
from ...core.geometry.mesh import Mesh, subdivide_loop
from ...core.geometry.meshio import save_mesh
from ...core.imaging.imageio import write_image
from ..stereo_bench_config import BUILT_IN, ICT
from .people import (
    Group,
    drawn_person,
    found_landmarks,
    group_of,
    heads_here,
    portrait_camera,
    skin_about_face,
    turn_and_light,
    world_from_head,
)
from .settings import HeadsConfig, heads_config

log = logging.getLogger(__name__)

INDEX, TRUTH, SINGLE, MULTI, MASKS = "virtual.json", "truth", "single", "multi", "masks"
LANDMARKS = "landmarks.csv"
SMOOTH = ("smooth_x", "smooth_y", "smooth_z")
"""Where a vertex lies without relief: attributes of the truth."""
_FORMAT, _VERSION = "facekit-virtual-heads", 1
_COUNTING = ("seed", "beyond_model_mm", "layout", "megapixels")  # settings that change people
_FINEST_MM = 0.6  # edges of the truth: relief from 1 mm on is in it
_SHOWN = 0.5  # share of a pixel that makes it the head's
_LANDMARK_COLUMNS = "camera,landmark,x,y"


@dataclass(frozen=True, kw_only=True)
class Person:
    """One virtual person."""

    name: str
    kind: str
    """What they are drawn from: `builtin`, `ict`, or `model`."""
    group: Group
    seed: int


def people_of(config: HeadsConfig) -> tuple[list[tuple[Person, str]], tuple[str, ...]]:
    """Return the people, each with the file of their head, and what a user should know.

    Raises
    ------
    InputError
        None of the face models is there.
    """
    heads = heads_here(config.heads)
    notes: tuple[str, ...] = ()
    if len(heads) < len(config.heads):
        notes = ("no ICT face model is registered: all people are of the built-in head",)
    people = []
    for index in range(config.subjects):
        kind, head = heads[index % len(heads)]
        kind = kind if kind in (BUILT_IN, ICT) else "model"
        person = Person(
            name=f"{index:03d}-{kind}",
            kind=kind,
            group=group_of(index, n_heads=len(heads)),
            seed=1000 * config.seed + index,
        )
        people.append((person, head))
    return people, notes


def make_heads(data: Path, config: HeadsConfig, *, views: bool = True) -> None:
    """Draw and photograph the people of a configuration; those finished are kept.

    More people of a folder's own seed can be asked for later, and views, too.

    Parameters
    ----------
    views : bool
        Also photograph them by a rig, for methods that take several views.

    Raises
    ------
    InputError
        The folder holds people of other settings, or a face model is not there.
    """
    index = data / INDEX
    _refuse_other_files(data)
    others: list[dict[str, Any]] = []
    if index.is_file():
        had = read_json(index, format_name=_FORMAT, version=_VERSION)
        known = list(config.heads) == had["made_of"].get("heads")  # whether they are here or not
        kinds = list(config.heads) if known else [kind for kind, _ in heads_here(config.heads)]
        _same_settings(index, had["made_of"], _asked(config, kinds))
        there = _people_of_record(index, had)[: config.subjects]
        others = had["subjects"][config.subjects :]
        if len(there) == config.subjects and all(
            _finished(data, person, had["made_of"], views=views) for person in there
        ):
            return
    people, notes = people_of(config)
    asked = _asked(config, [kind for kind, _ in heads_here(config.heads)])
    if index.is_file():
        _same_settings(index, had["made_of"], asked)
    for note in notes:
        log.warning("%s", note)
    for person, head in track(people, "virtual people"):
        if not _finished(data, person, asked, views=views):
            _make_person(data, person, load_head(head), config, asked, views=views)
    everyone = [asdict(person) for person, _ in people] + others
    _join_landmarks(data, [entry["name"] for entry in everyone])
    save_index(data, everyone, made_of=asked, notes=notes)


def save_index(
    data: Path, people: Sequence[Mapping[str, Any]], *, made_of: Mapping[str, Any],
    notes: Sequence[str],
) -> None:  # fmt: skip
    """Write who a folder's people are, each with the fields of `Person`."""
    record = {
        "format": _FORMAT, "version": _VERSION, "made_of": dict(made_of), "notes": list(notes),
        "frame": "head: +x to the subject's left, +y up, +z out of the face; mm",
        "subjects": list(people),
    }  # fmt: skip
    write_json(data / INDEX, record)


def config_for(data: Path, settings: Mapping[str, str]) -> HeadsConfig:
    """Return the configuration of `--set key=value`; what is not set is as `data` has it.

    Raises
    ------
    InputError
        A setting cannot be used, or `data` holds damaged people.
    """
    index = data / INDEX
    if not index.is_file():
        return heads_config(settings)
    had = read_json(index, format_name=_FORMAT, version=_VERSION)
    try:
        made_of = {key: str(had["made_of"][key]) for key in _COUNTING}
        made_of["heads"] = ",".join(had["made_of"]["heads"])
        made_of["subjects"] = str(len(had["subjects"]))
    except (KeyError, TypeError) as error:
        raise InputError(f"{index}: damaged ({error}); make the people again") from error
    return heads_config({**made_of, **settings})


def people_in(data: Path, n_subjects: int | None = None) -> list[Person]:
    """Return the people of a folder, the first `n_subjects` of them, files checked.

    Raises
    ------
    InputError
        It is no such folder, a person's truth is missing, or there are fewer people.
    """
    index = data / INDEX
    if not index.is_file():
        raise InputError(f"{index}: no such file; leave out --data to make the virtual people")
    record = read_json(index, format_name=_FORMAT, version=_VERSION)
    people = _people_of_record(index, record)
    if n_subjects is not None and n_subjects > len(people):
        raise InputError(f"{index}: {len(people)} people, not {n_subjects}; make more, or ask less")
    people = people[:n_subjects]
    for person in people:
        for path in truth_files(data, person.name).values():
            if not path.is_file():
                raise InputError(f"{path}: no such file; make the virtual people again")
    return people


def truth_files(data: Path, name: str) -> dict[str, Path]:
    """Return the files of what is true of a person."""
    folder = data / TRUTH
    return {
        "skin": folder / f"{name}.ply",
        "head": folder / f"{name}_head.ply",
        "landmarks": folder / f"{name}_landmarks.txt",
        "about": folder / f"{name}.json",
    }


def _people_of_record(index: Path, record: Mapping[str, Any]) -> list[Person]:
    try:
        if not all(is_file_name(str(entry["name"])) for entry in record["subjects"]):
            raise ValueError("a name that is none of a file")
        return [
            Person(
                name=str(entry["name"]), kind=str(entry["kind"]), group=Group(entry["group"]),
                seed=int(entry["seed"]),
            )
            for entry in record["subjects"]
        ]  # fmt: skip
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{index}: damaged ({error}); make the people again") from error


def _refuse_other_files(data: Path) -> None:
    """Refuse to draw people among files of another kind."""
    if not data.exists() or (data / INDEX).is_file():
        return
    if not data.is_dir():
        raise InputError(f"{data}: is a file; give a folder for the virtual people")
    other = next((p for p in sorted(data.iterdir()) if p.name not in (TRUTH, SINGLE, MULTI)), None)
    if other is not None:
        raise InputError(
            f"{data}: holds {other.name}, but no {INDEX}: not virtual people; leave out --data, "
            "or give an empty folder to make them in"
        )


def _make_person(
    data: Path,
    person: Person,
    model: FaceModel,
    config: HeadsConfig,
    asked: Mapping[str, Any],
    *,
    views: bool,
) -> None:
    """Write all files of a person."""
    subject = drawn_person(model, seed=person.seed, beyond_model_mm=config.beyond_model_mm)
    turned_deg, lights = turn_and_light(person.seed, person.group)
    scene = build_scene(
        subject, lights, footprint_mm=_FINEST_MM, rng=rng_of(person.seed, "light visibility")
    )
    marks = subject.vertices()[model.landmarks68]
    files = truth_files(data, person.name)
    files["about"].unlink(missing_ok=True)
    camera = portrait_camera(model, rng_of(person.seed, "single view"), turned_deg=turned_deg)
    camera = replace(camera, name=person.name)
    _write_picture(data / SINGLE, scene, camera, lights, person)
    seen = {person.name: found_landmarks(camera, marks, seed=person.seed)}
    write_text(_made(data / SINGLE / MASKS / f"{person.name}.csv"), _table(seen))
    world = world_from_head(rng_of(person.seed, "world"))
    if views:
        _photograph_together(data / MULTI / person.name, scene, lights, person, config, marks=marks)
    _write_truth(files, scene, subject)
    about = {
        "made_of": dict(asked),
        **asdict(person),
        "camera": camera.record(),
        "world_from_head": {"R": world.R.tolist(), "t": world.t.tolist()},
    }
    write_json(files["about"], about)


def _photograph_together(
    folder: Path, scene: Scene, lights: Lights, person: Person, config: HeadsConfig, *,
    marks: Floats,
) -> None:  # fmt: skip
    """Write what a rig's cameras see of a person, all of one moment."""
    layout = replace(load_layout(config.layout), distortion=(0.0, 0.0, 0.0, 0.0))
    rig = draw_rig(layout, megapixels=config.megapixels, rng=rng_of(person.seed, "rig"))
    seen = {}
    for camera in rig:
        _write_picture(folder, scene, camera, lights, person)
        seen[camera.name] = found_landmarks(camera, marks, seed=person.seed)
    write_text(folder / LANDMARKS, _table(seen))
    world = world_from_head(rng_of(person.seed, "world"))
    cameras = tuple(camera.moved(world) for camera in rig)
    save_rig(folder / RIG_FILE, Rig(cameras=cameras, metric=True))


def _write_truth(files: Mapping[str, Path], scene: Scene, subject: Subject) -> None:
    model = subject.model
    skin = skin_about_face(scene, model)
    n_times = round(np.log(len(scene.surface.faces) / len(model.faces)) / np.log(4))
    smooth = np.asarray(subdivide_loop(scene.coarse, n_times=n_times).vertices)[skin.vertices]
    scored = np.zeros(len(skin.mesh.vertices), np.float32)
    scored[skin.mesh.faces[skin.scored]] = 1
    attributes = {
        "scored": scored,
        "relief": scene.relief[skin.vertices],
        **{name: smooth[:, k].astype(np.float32) for k, name in enumerate(SMOOTH)},
    }
    save_mesh(_made(files["skin"]), replace(skin.mesh, attributes=attributes))
    region = np.asarray(model.regions["frontal_face"], np.float32)
    head = Mesh(vertices=subject.vertices(), faces=model.faces, attributes={"scored": region})
    save_mesh(files["head"], head)
    marks = subject.vertices()[model.landmarks68]
    lines = [f"{x:.5f} {y:.5f} {z:.5f}" for x, y, z in marks]
    write_text(files["landmarks"], "\n".join(lines) + "\n")


def _write_picture(
    folder: Path, scene: Scene, camera: Camera, lights: Lights, person: Person
) -> None:
    """Write what a camera sees, and where it shows the head."""
    backdrop = np.full((camera.height, camera.width, 3), BACKDROP, np.float32)
    rng = rng_of(person.seed, f"noise/{camera.name}")
    image, cover = snapshot(scene, camera, lights, Optics(), backdrop=backdrop, rng=rng)
    mask = np.where(cover > _SHOWN, np.uint8(255), np.uint8(0))
    write_image(_made(folder / f"{camera.name}.png"), image)
    write_image(_made(folder / MASKS / f"{camera.name}.png"), mask)


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _table(seen: Mapping[str, Floats]) -> str:
    """Return landmarks (68, 2) of photographs as a table; those not seen are left out."""
    lines = [_LANDMARK_COLUMNS]
    for camera, points in seen.items():
        lines += [
            f"{camera},{i},{x:.4f},{y:.4f}" for i, (x, y) in enumerate(points) if np.isfinite(x)
        ]
    return "\n".join(lines) + "\n"


def _join_landmarks(data: Path, names: Sequence[str]) -> None:
    """Write one table for all single photographs."""
    tables = [data / SINGLE / MASKS / f"{name}.csv" for name in names]
    rows = [
        line
        for table in tables
        if table.is_file()
        for line in table.read_text(encoding="utf-8").splitlines()[1:]
    ]
    write_text(data / SINGLE / LANDMARKS, "\n".join([_LANDMARK_COLUMNS, *rows]) + "\n")


def _asked(config: HeadsConfig, kinds: Sequence[str]) -> dict[str, Any]:
    """Return the settings that people depend on, other than how many they are."""
    counting = {key: getattr(config, key) for key in _COUNTING}
    return {"version": _VERSION, "heads": list(kinds), **counting}


def _same_settings(where: Path, had: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    for key, value in asked.items():
        if had.get(key) != value:
            raise InputError(
                f"{where}: its people were made with {key} = {had.get(key)}, not {value}; give "
                "another --data or --out, or leave the setting as it was"
            )


def _finished(data: Path, person: Person, asked: Mapping[str, Any], *, views: bool) -> bool:
    try:
        about = read_json(truth_files(data, person.name)["about"])
    except InputError:
        return False
    if views and not (data / MULTI / person.name / RIG_FILE).is_file():  # written last
        return False
    return bool(about.get("made_of") == asked and about.get("seed") == person.seed)
