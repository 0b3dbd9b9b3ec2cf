"""Readers of facekit's stores under test: takes, maps, shards, packed samples, training states."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ...core.errors import FacekitError
from ...core.facemodel.model import UNBOUNDED, FaceModel
from ...core.files import write_json
from ...core.geometry.transform import Similarity
from ...dataset.audit import audited
from ...dataset.bake.mapfile import load_maps, save_maps
from ...dataset.bake.maps import Maps
from ...dataset.erase.packs import people_of_pack
from ...dataset.manifest import read_manifest, read_sums, write_manifest
from ...dataset.register.registered import Registered
from ...dataset.register.registeredfile import load_fit, load_registered, save_registered
from ...dataset.register.takelandmarks import TakeLandmarks, load_landmarks, save_landmarks
from ...dataset.samples import FaceDataset
from ...dataset.seal import check_seal
from ...dataset.shardcheck import read_values, verify_shard, verify_topology
from ...dataset.stereo.consistency import CheckedDepth
from ...dataset.topologyfile import read_topology, write_topology
from ...dataset.verify import verify_dataset
from ...dataset.viewfile import load_depths, save_depth
from ...reconstruct.samples.packed import PackedSource
from ..dataset_bench_store import drawn_capture, drawn_topology, write_drawn
from ..evaluation.casefile import load_case, load_stored, save_case
from ..evaluation.protocol import CaseScore
from .mutateformats import ARCHIVE, NPY
from .mutatehdf5 import HDF5
from .mutatetext import JSON, TEXT
from .parser import Parser
from .parserscameras import small_rig

_SIDE = 16


def store_parsers() -> tuple[Parser, ...]:
    """Return what reads stores."""
    archive = {"*.npz": ARCHIVE}
    return (
        Parser(name="registered", make=make_registered, read=_read_registered, damage=archive),
        Parser(name="maps", make=make_maps, read=load_maps, damage=archive),
        Parser(name="view", make=_view, read=_read_view, damage=archive),
        Parser(name="take-landmarks", make=_landmarks,
               read=lambda root: load_landmarks(root / "landmarks.npz"), damage=archive),
        Parser(name="case", make=_case, read=_read_case, damage={"*.npz": ARCHIVE, "*.json": JSON}),
        Parser(name="shard", make=_shard, read=_read_shard, damage={"subjects/*": HDF5},
               alone=True),
        Parser(name="topology", make=_topology, read=_read_topology, damage={"*": HDF5},
               alone=True),
        Parser(name="manifest", make=_dataset, read=_read_dataset,
               damage={"*.json": JSON, "SHA256SUMS": TEXT}),
        Parser(name="packed", make=_packed, read=_read_packed,
               damage={"*.json": JSON, "*.npy": NPY}),
    )  # fmt: skip


def tiny_model() -> FaceModel:
    """Return a face model of nine vertices and few modes."""
    row = np.arange(9.0)[:, None] * [1.0, 0.5, 0.0]
    row[::2, 1] += 1.0
    triangles = np.array([[0, 1, 2], [3, 4, 5], [6, 7, 8]], np.int32)
    return FaceModel(
        name="tiny", mean=row, faces=triangles, uv=row[:, :2] / 10.0, faces_uv=triangles,
        identity=np.zeros((3, 9, 3)), identity_names=("a", "b", "c"), identity_sigma=np.ones(3),
        expression=np.zeros((2, 9, 3)), expression_names=("d", "e"), expression_range=UNBOUNDED,
        albedo_mean=np.zeros((9, 3)), albedo=np.zeros((1, 9, 3)), albedo_names=("f",),
        landmarks68=np.zeros(68, np.int32),
    )  # fmt: skip


def make_registered(folder: Path) -> None:
    """Write a registered take of `tiny_model`."""
    rng = np.random.default_rng(0)
    registered = Registered(
        model=tiny_model(), world_from_head=Similarity(scale=1.5, R=np.eye(3), t=np.ones(3)),
        identity=np.ones(3), expression=np.zeros(2), offset=rng.normal(size=(9, 3)),
        support=np.ones(9, np.float32), residual=np.zeros(9, np.float32),
    )  # fmt: skip
    save_registered(folder, registered)


def _read_registered(root: Path) -> None:
    load_registered(root, tiny_model())
    load_fit(root, 9)


def make_maps(folder: Path) -> None:
    """Write small maps."""
    n = _SIDE
    inside = np.ones((n, n), bool)
    normal = np.zeros((n, n, 3), np.float32)
    normal[..., 2] = 1
    maps = Maps(
        deformation=np.zeros((n, n, 3), np.float32), deformation_valid=inside,
        deformation_sigma=np.zeros((n, n), np.float32),
        displacement=np.full((n, n), 0.1, np.float32), sigma=np.zeros((n, n), np.float32),
        normal=normal, tangent_normal=normal, valid=inside,
        albedo=np.full((n, n, 3), 0.5, np.float32), albedo_valid=inside,
    )  # fmt: skip
    save_maps(folder, maps)


def _view(folder: Path) -> None:
    n = _SIDE
    found = CheckedDepth(
        depth=np.full((n, n), 900, np.float32), normal=np.zeros((n, n, 3), np.float32),
        confidence=np.ones((n, n), np.float32), n_confirming=np.ones((n, n), np.int32),
    )  # fmt: skip
    save_depth(folder / "cam00.npz", small_rig().cameras[0], found)


def _read_view(root: Path) -> None:
    load_depths(root, ["cam00"])


def _landmarks(folder: Path) -> None:
    marks = TakeLandmarks(
        cameras=("cam00", "cam01"), pixels=np.ones((2, 68, 2)), confidence=np.ones((2, 68)),
        score=np.ones(2), points=np.ones((68, 3)), sigma=np.ones(68),
        residual_px=np.ones((2, 68)), used=np.ones((2, 68), bool), remarks=("a",), detector="table",
    )  # fmt: skip
    save_landmarks(folder / "landmarks.npz", marks)


def _case(folder: Path) -> None:
    score = CaseScore(
        id="one", groups={"set": "a"}, values={"median": 1.0, "mean": float("nan")},
        distances=np.linspace(0, 1, 40), arrays={"points": np.ones((7, 3))}, seconds=0.5,
    )  # fmt: skip
    save_case(folder, score, key="k")


def _read_case(root: Path) -> None:
    load_case(root, "one", key="k")
    load_stored(root, "one")


def _topology(folder: Path) -> None:
    write_topology(folder / "drawn.h5", drawn_topology(side=9))


def _read_topology(root: Path) -> None:
    read_topology(root / "drawn.h5")
    verify_topology(root / "drawn.h5", read_data=True)


def _dataset(folder: Path) -> None:
    write_topology(folder / "topology" / "drawn.h5", drawn_topology())
    record = drawn_capture(np.random.default_rng(0), fine=48, coarse=16, n_views=1)
    write_drawn(folder / "subjects" / "DRAWN00.h5", [record])
    write_manifest(folder, name="drawn", licence="CC0-1.0")


def _shard(folder: Path) -> None:
    _dataset(folder)


def _read_shard(root: Path) -> None:
    """Read as a training does, as `verify` does, and every dataset whatever the tables say.

    What is damaged is refused by its seal, as it is by the commands: HDF5 gets what was changed by
    somebody who sealed it again.
    """
    path, refused = root / "subjects" / "DRAWN00.h5", None
    check_seal(path)
    for reader in (_as_training, _all_of, verify_shard, _with_data):
        try:
            reader(root if reader is _as_training else path)
        except FacekitError as error:
            refused = error
    if refused is not None:
        raise refused


def _as_training(root: Path) -> None:
    keys = ("maps/displacement", "maps/valid", "maps/albedo", "images/*", "masks/*")
    data = FaceDataset(root, keys=keys, verify="off", skip_incomplete=True)
    for index in range(len(data)):
        data[index]
    data.close()


def _all_of(path: Path) -> None:
    with audited(path) as file:
        names: list[str] = []
        file.visititems(lambda name, thing: names.append(name) if _is_data(thing) else None)
        for name in names:
            read_values(file[name], path, name)


def _is_data(thing: Any) -> bool:
    return isinstance(thing, h5py.Dataset)


def _with_data(path: Path) -> None:
    verify_shard(path, read_data=True)


def _read_dataset(root: Path) -> None:
    read_manifest(root)
    read_sums(root)
    verify_dataset(root)


def _packed(folder: Path) -> None:
    part = folder / "part-0000000"
    part.mkdir()
    n, n_takes = 4, 2
    arrays: dict[str, Any] = {
        "image": np.full((n, 16, 16, 3), 128, np.uint8), "mask": np.full((n, 8, 8), 255, np.uint8),
        "landmarks": np.ones((n, 68, 2), np.float32), "K": np.tile(np.eye(3), (n, 1, 1)),
        "cam_from_head": np.tile(np.eye(3, 4), (n, 1, 1)), "take": np.arange(n) // 2,
        "has_truth": np.ones(n_takes, bool), "vertices": np.ones((n_takes, 9, 3), np.float32),
        "support": np.ones((n_takes, 9), np.float16), "identity": np.ones((n_takes, 3), np.float32),
        "expression": np.ones((n_takes, 2), np.float32),
        "displacement": np.zeros((n_takes, 8, 8), np.float16),
        "displacement_valid": np.ones((n_takes, 8, 8), bool),
    }  # fmt: skip
    for name, values in arrays.items():
        np.save(part / f"{name}.npy", values)
    write_json(part / "people.json", ["p0", "p0", "p1", "p1"])
    write_json(
        folder / "packed.json", {"format": "facekit-packed", "version": 1, "source": {}, "part": 9}
    )


def _read_packed(root: Path) -> None:
    people_of_pack(root)
    source = PackedSource(root, n_vertices=9)
    for index in range(min(len(source), 8)):
        source[index]
