"""Readers that go where a name in a file leads: sessions, builds, datasets, assets, meshes."""

import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ...calibration.interchange.interop import RigFormat, export_rig
from ...calibration.rigfile import RIG_FILE, load_rig, save_rig
from ...capture.masks import read_mask
from ...capture.session import SESSION_FILE, load_session
from ...capture.sidecar import CONSENT_FILE
from ...core.assets import RECORD, load_asset
from ...core.errors import InputError
from ...core.geometry.meshio import load_mesh
from ...core.imaging.imageio import read_image, write_image
from ...core.jobs.certificates import Certificates
from ...core.jobs.schedulerfile import SCHEDULER_FILE, load_scheduler_file, write_scheduler_file
from ...dataset.bake.mapfile import MAPS_FILE, load_maps
from ...dataset.build import SUMMARY
from ...dataset.erase.erase import erase
from ...dataset.erase.identity import Identity
from ...dataset.erase.journal import JOURNAL, Journal
from ...dataset.export.files import FileFormat, FilesConfig, export_files
from ...dataset.export.hdf5 import ExportConfig, export_hdf5
from ...dataset.export.source import load_source
from ...dataset.manifest import MANIFEST, SUMS
from ...dataset.register.registeredfile import load_registered
from ...dataset.samples import FaceDataset
from ...dataset.verify import verify_dataset
from ..esrc.layout import list_items, prediction_files
from ..evaluation.predictions import read_mesh
from ..heads.subjects import INDEX, people_in, truth_files
from ..now.layout import find_photograph, list_images
from ..view.contents import contents_of
from .hostilepaths import Target
from .hostilestores import lay, sound_dataset
from .lab import PEOPLE, home_of, make_lab
from .parser import Parser
from .parserscameras import small_rig
from .parsersmeshes import mesh_parsers
from .parsersrecords import AssetsIn, make_session, record_parsers
from .parsersresults import result_parsers
from .parsersstores import make_maps, tiny_model

_PHOTOGRAPH = "images/neutral/cam00.png"
_SHARD = "subjects/DRAWN00.h5"
_LAB = home_of(Path(), PEOPLE[0]).as_posix()


def targets() -> tuple[Target, ...]:
    """Return them all."""
    return (*_of_captures(), *_of_stores(), *_of_others(), *_of_meshes())


def _of_captures() -> tuple[Target, ...]:
    shot = ("takes", 0, "shots", 0)
    return (
        Target(name="photograph of a session", make=make_session, own=_PHOTOGRAPH,
               put=_in_json(SESSION_FILE, (*shot, "file")), read=_read_photographs),
        Target(name="mask of a session", make=_masked, own="masks/cam00.png",
               put=_in_json(SESSION_FILE, (*shot, "mask")), read=_read_masks),
        Target(name="take of a build", make=_of(result_parsers(), "build"), read=_read_build,
               put=_put_take, own="build/neutral", before="build"),
        Target(name="take of a view", make=_of(result_parsers(), "build"), read=_view_build,
               put=_put_take, own="build/neutral", before="build"),
        Target(name="camera of a rig", make=_rig, own="out/cam00.xmp", before="out",
               suffix=True, put=_in_json(RIG_FILE, ("cameras", 0, "name")), read=_write_rig),
        Target(name="take of an export", make=_lab, own=f"{_LAB}/build/neutral", slow=True,
               before=f"{_LAB}/build", put=_put_lab_take, read=_export),
        Target(name="camera of an export", make=_lab, own=f"{_LAB}/session/{SESSION_FILE}",
               slow=True, before="out/subjects", put=_put_lab_camera, read=_export),
        Target(name="subject of an export", make=_lab, own=f"{_LAB}/build/neutral", slow=True,
               before="out", read=_export,
               put=_in_json(f"{_LAB}/session/{CONSENT_FILE}", ("pseudonym",))),
    )  # fmt: skip


def _of_stores() -> tuple[Target, ...]:
    return (
        Target(name="line of SHA256SUMS", make=sound_dataset, own=_SHARD, read=verify_dataset,
               put=_put_sum, links=True),
        Target(name="subject of a dataset", make=sound_dataset, own=_SHARD, before="subjects",
               suffix=True, read=_sample, put=_in_json(MANIFEST, ("subjects", 0, "id"))),
        Target(name="topology of a dataset", make=sound_dataset, own="topology/drawn.h5",
               before="topology", suffix=True, read=verify_dataset,
               put=_in_json(MANIFEST, ("topologies", 0))),
        Target(name="file of an asset", make=_asset, own="hrn/files/weights.bin",
               before="hrn/files", read=_read_asset,
               put=_in_json(f"hrn/{RECORD}", ("files", 0, "name"))),
        Target(name="folder of an asset", make=_asset, own="hrn/files", before="hrn",
               put=_in_json(f"hrn/{RECORD}", ("folder",)), read=_read_asset),
        Target(name="member of an archive", make=make_maps, own=MAPS_FILE, put=_put_member,
               read=load_maps),
        Target(name="unit of an erasure", make=_journal, own="session", put=_put_unit,
               read=lambda root: erase("ABCDEFG", [root.resolve()]), links=True),
        Target(name="certificate of a cluster", make=_scheduler, own="key.pem",
               put=_in_json(SCHEDULER_FILE, ("certificates", "key")), read=_read_scheduler),
    )  # fmt: skip


def _of_others() -> tuple[Target, ...]:
    return (
        Target(name="virtual person", make=_of(result_parsers(), "people"), before="truth",
               own="truth/S0001.ply", suffix=True, put=_in_json(INDEX, ("subjects", 0, "name")),
               read=_read_people),
        Target(name="photograph of NoW", make=_now, own="now/all/S/C/one.png", before="now",
               put=_put_text("now/imagepathsvalidation.txt"), read=_read_now),
        Target(name="photograph of ESRC", make=_esrc, own="predictions/set/a/one.obj",
               before="predictions", suffix=True, put=_put_text("images.txt"), read=_read_esrc),
    )  # fmt: skip


def _of_meshes() -> tuple[Target, ...]:
    return (
        Target(name="materials of an OBJ", make=_obj, own="face.mtl",
               put=_replaced("mesh.obj", "face.mtl"), read=_read_mesh("mesh.obj")),
        Target(name="map of a material", make=_obj, own="skin.png",
               put=_replaced("face.mtl", "skin.png"), read=_read_mesh("mesh.obj")),
        Target(name="buffer of a GLB", make=_glb, own="mesh.bin", put=_put_glb("buffers"),
               read=_read_mesh("mesh.glb")),
        Target(name="image of a GLB", make=_glb, own="skin.png", put=_put_glb("images"),
               read=_read_mesh("mesh.glb")),
    )  # fmt: skip


def _of(parsers: tuple[Parser, ...], name: str) -> Callable[[Path], None]:
    return next(parser.make for parser in parsers if parser.name == name)


def _in_json(file: str, keys: tuple[str | int, ...]) -> Callable[[Path, str], None]:
    """Return what writes a name into a JSON file."""

    def put(root: Path, name: str) -> None:
        values = json.loads((root / file).read_text(encoding="utf-8"))
        inner = values
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = name
        (root / file).write_text(json.dumps(values), encoding="utf-8")

    return put


def _put_text(file: str) -> Callable[[Path, str], None]:
    def put(root: Path, name: str) -> None:
        (root / file).write_bytes(name.encode("utf-8", "surrogateescape") + b"\n")

    return put


def _replaced(file: str, old: str) -> Callable[[Path, str], None]:
    def put(root: Path, name: str) -> None:
        content, given = (root / file).read_bytes(), name.encode("utf-8", "surrogateescape")
        (root / file).write_bytes(content.replace(old.encode(), given))

    return put


def _read_photographs(root: Path) -> None:
    session = load_session(root)
    for take in session.takes:
        for shot in take.shots:
            read_image(session.path(shot))  # whether it is as it was ingested or not
            session.read(shot)


def _masked(root: Path) -> None:
    make_session(root)
    (root / "masks").mkdir()
    write_image(root / "masks/cam00.png", np.full((30, 20), 255, np.uint8))


def _read_masks(root: Path) -> None:
    session = load_session(root)
    for shot in session.takes[0].shots:
        if (path := session.mask_path(shot)) is not None:
            read_mask(path, width=20, height=30)


def _put_take(root: Path, name: str) -> None:
    _in_json("session/session.json", ("takes", 0, "id"))(root, name)
    _in_json(f"build/{SUMMARY}", ("takes",))(root, {name: {}})  # type: ignore[arg-type]


def _read_build(root: Path) -> None:
    source = load_source(root / "build")
    for take in source.takes:
        source.hashes_of(take)
        folder = source.take_folder(take)
        load_registered(folder, tiny_model())
        load_maps(folder)


def _view_build(root: Path) -> None:
    for path in (root / "build", root / "session"):
        found = contents_of(path)
        for choice in found.choices:
            found.show(choice)


def _rig(root: Path) -> None:
    save_rig(root / RIG_FILE, small_rig())
    (root / "out").mkdir()
    (root / "out/cam00.xmp").write_text("x", encoding="utf-8")


def _write_rig(root: Path) -> None:
    rig = load_rig(root / RIG_FILE)
    for format in (RigFormat.REALITYCAPTURE, RigFormat.COLMAP_TEXT):
        export_rig(rig, root / "out", format)


def _one_person(root: Path) -> None:
    make_lab(root, people=PEOPLE[:1])


def _lab(root: Path) -> None:
    lay(_one_person, root)


def _put_lab_take(root: Path, name: str) -> None:
    _put_take(root / _LAB, name)


def _put_lab_camera(root: Path, name: str) -> None:
    for file in (f"session/{SESSION_FILE}", f"calibration/{RIG_FILE}"):
        path = root / _LAB / file
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace('"cam0"', json.dumps(name)), encoding="utf-8")


def _export(root: Path) -> None:
    builds = [root / _LAB / "build"]
    export_files(builds, root / "out", [FileFormat.ALBEDO], FilesConfig())
    export_hdf5(builds, root / "data", ExportConfig())


def _put_sum(root: Path, name: str) -> None:
    content = (root / SUMS).read_bytes()
    given = name.encode("utf-8", "surrogateescape")
    (root / SUMS).write_bytes(content.replace(_SHARD.encode(), given))


def _sample(root: Path) -> None:
    data = FaceDataset(root, keys=("maps/valid",), verify="off")
    try:
        data[0]
    finally:
        data.close()


def _asset(root: Path) -> None:
    _of(record_parsers(), "asset")(root)
    (folder,) = (path for path in (root / "hrn").iterdir() if path.is_dir())
    folder.rename(root / "hrn/files")
    _in_json(f"hrn/{RECORD}", ("folder",))(root, "files")


def _read_asset(root: Path) -> None:
    with AssetsIn(root):
        asset = load_asset("hrn")
        if asset is None:
            raise InputError("nothing is registered")
        _opened(asset.path)


def _opened(path: Path) -> None:
    """Read a file as its reader would, whatever is in it."""
    try:
        path.read_bytes()
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not readable ({error})") from error


def _put_member(root: Path, name: str) -> None:
    with zipfile.ZipFile(root / MAPS_FILE, "a") as archive:
        link = zipfile.ZipInfo(name.encode("utf-8", "replace").decode() + ".npy")
        link.external_attr = 0o120777 << 16  # a symbolic link, for what unpacks it as one
        archive.writestr(link, "../outside")


def _journal(root: Path) -> None:
    (root / "session").mkdir()
    (root / "session/a.txt").write_text("a", encoding="utf-8")
    _write_journal(root, str(root.resolve() / "session"))


def _write_journal(root: Path, unit: str) -> None:
    who = Identity(pseudonym="ABCDEFG", sessions=frozenset([unit]))
    journal = Journal(identity=who, roots=(root.resolve(),), probes={b"x" * 32})
    journal.save()
    _in_json(JOURNAL, ("units",))(root, {unit: "session"})  # type: ignore[arg-type]


def _put_unit(root: Path, name: str) -> None:
    given = name if name.startswith("/") else f"{root.resolve()}/{name}"
    _write_journal(root, given)


def _scheduler(root: Path) -> None:
    names = ("authority", "certificate", "key")
    for name in names:
        (root / f"{name}.pem").write_text(name, encoding="ascii")
        (root / f"{name}.pem").chmod(0o600)
    paths = {name: root / f"{name}.pem" for name in names}
    write_scheduler_file(root, "tls://127.0.0.1:1", Certificates(**paths))


def _read_scheduler(root: Path) -> None:
    found = load_scheduler_file(root).certificates
    assert found is not None
    _opened(found.key)


def _read_people(root: Path) -> None:
    for person in people_in(root):
        for path in truth_files(root, person.name).values():
            _opened(path)


def _now(root: Path) -> None:
    place = root / "now/all/S/C"
    place.mkdir(parents=True)
    write_image(place / "one.png", np.full((30, 20, 3), 90, np.uint8))
    (root / "now/imagepathsvalidation.txt").write_text("all/S/C/one.png\n", encoding="utf-8")


def _read_now(root: Path) -> None:
    for image in list_images(root / "now", None):
        if (path := find_photograph(root / "now", image)) is not None:
            read_image(path)


def _esrc(root: Path) -> None:
    (root / "predictions/set/a").mkdir(parents=True)
    (root / "predictions/set/a/one.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    (root / "images.txt").write_text("set/a/one.jpg\n", encoding="utf-8")


def _read_esrc(root: Path) -> None:
    scans = dict.fromkeys(("a", "c", "outside"), (root, root))
    for item in list_items(root, scans):
        read_mesh(prediction_files(root / "predictions", item)[0])


def _obj(root: Path) -> None:
    _of(mesh_parsers(), "obj-material")(root)
    write_image(root / "skin.png", np.full((8, 8, 3), 90, np.uint8))


def _read_mesh(name: str) -> Callable[[Path], Any]:
    return lambda root: load_mesh(root / name)


_TRIANGLE = struct.pack("<9f3I", 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 1, 2)


def _glb(root: Path) -> None:
    """Write a triangle whose numbers and picture lie in files beside it."""
    (root / "mesh.bin").write_bytes(_TRIANGLE)
    write_image(root / "skin.png", np.full((8, 8, 3), 90, np.uint8))
    _write_glb(root, {"buffers": "mesh.bin", "images": "skin.png"})


def _write_glb(root: Path, names: dict[str, str]) -> None:
    values: dict[str, Any] = {
        "asset": {"version": "2.0"}, "scene": 0, "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [
            {"attributes": {"POSITION": 0}, "indices": 1, "material": 0}]}],
        "materials": [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}],
        "textures": [{"source": 0}], "images": [{"uri": names["images"]}],
        "buffers": [{"uri": names["buffers"], "byteLength": len(_TRIANGLE)}],
        "bufferViews": [{"buffer": 0, "byteLength": 36},
                        {"buffer": 0, "byteOffset": 36, "byteLength": 12}],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3",
             "min": [0, 0, 0], "max": [1, 1, 0]},
            {"bufferView": 1, "componentType": 5125, "count": 3, "type": "SCALAR"}],
    }  # fmt: skip
    text = json.dumps(values).encode()
    text += b" " * (-len(text) % 4)
    head = struct.pack("<4sIII4s", b"glTF", 2, 20 + len(text), len(text), b"JSON")
    (root / "mesh.glb").write_bytes(head + text)


def _put_glb(which: str) -> Callable[[Path, str], None]:
    def put(root: Path, name: str) -> None:
        _write_glb(root, {"buffers": "mesh.bin", "images": "skin.png", which: name})

    return put
