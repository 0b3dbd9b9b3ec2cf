"""`topology/<name>.h5`: triangles, chart, landmarks and regions, once for all subjects."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..core.arrays import Bools, Floats, Ints
from ..core.errors import SchemaError
from ..core.facemodel.model import FaceModel
from .audit import audited
from .schema import NAME, TOPOLOGY_FIELDS, TOPOLOGY_ROOT, VERSION, by_path
from .seal import check_seal
from .shardcheck import read_values, verify_topology
from .store import Written, publish, put_attributes, put_field


@dataclass(frozen=True, kw_only=True)
class Topology:
    """What all registered meshes of a face model share."""

    model: str
    n_vertices: int
    faces: Ints
    """(F, 3) int32, counter-clockwise seen from outside."""
    uv: Floats
    """(T, 2), OBJ convention."""
    faces_uv: Ints
    """(F, 3) int32, rows of `uv`."""
    landmarks68: Ints
    """(68,) int32 vertices."""
    regions: Mapping[str, Bools]
    """Name -> (V,)."""

    def attributes(self) -> dict[str, Any]:
        """Return what `schema.TOPOLOGY` asks of a shard that uses this topology."""
        faces = np.ascontiguousarray(self.faces, dtype="<i4")
        chart = hashlib.sha256(np.ascontiguousarray(self.uv, dtype="<f8").tobytes())
        chart.update(np.ascontiguousarray(self.faces_uv, dtype="<i4").tobytes())
        return {
            "model": self.model,
            "topology_sha256": hashlib.sha256(faces.tobytes()).hexdigest(),
            "uv_sha256": chart.hexdigest(),
            "n_vert": self.n_vertices,
            "n_face": len(self.faces),
        }


def topology_of(model: FaceModel) -> Topology:
    """Return the topology of a face model; regions whose names no file may have are left out."""
    return Topology(
        model=model.name, n_vertices=model.n_vertices, faces=model.faces,
        uv=np.asarray(model.uv, dtype=np.float64), faces_uv=model.faces_uv,
        landmarks68=model.landmarks68,
        regions={name: mask for name, mask in model.regions.items() if NAME.fullmatch(name)},
    )  # fmt: skip


def write_topology(path: Path, topology: Topology) -> Written:
    """Write `topology/<name>.h5`, sealed, whole or not at all.

    Raises
    ------
    InputError
        It cannot be written.
    """
    table = by_path(TOPOLOGY_FIELDS)
    data: dict[str, Any] = {
        "faces": topology.faces,
        "uv": topology.uv,
        "faces_uv": topology.faces_uv,
        "landmarks68": topology.landmarks68,
    }
    masks = {f"regions/{name}": mask for name, mask in topology.regions.items()}

    def fill(file: h5py.File, check: Callable[[], None]) -> int:
        given = {"schema_version": VERSION, **topology.attributes()}
        put_attributes(file, TOPOLOGY_ROOT, given, "/")
        n_bytes = 0
        for key, values in sorted((data | masks).items()):
            entry = table["regions/*" if key in masks else key]
            n_bytes += put_field(file, key, entry, values, given={}, where="")
            check()
        return n_bytes

    return publish(path, fill, lambda part: verify_topology(part, read_data=True))


def read_topology(path: Path) -> Topology:
    """Read a topology file; its hashes are held against what it contains.

    Raises
    ------
    InputError
        Absent, unreadable or damaged.
    SchemaError
        It is another format or version, or its parts do not belong together.
    """
    if path.is_file():
        check_seal(path)  # a damaged file may make HDF5 trip over the next one
    verify_topology(path)
    with audited(path) as file:
        found = {
            key: read_values(file[key], path, f"/{key}")
            for key in ("faces", "uv", "faces_uv", "landmarks68")
        }
        regions = {
            name: read_values(data, path, f"/regions/{name}") > 0
            for name, data in file.get("regions", {}).items()
        }
        said = dict(file.attrs)
    n_vertices = int(said["n_vert"])
    topology = Topology(model=str(said["model"]), n_vertices=n_vertices, regions=regions, **found)
    if any(topology.attributes()[key] != said[key] for key in topology.attributes()):
        raise SchemaError(f"{path}: its triangles or chart are not those that it was made of")
    for key, limit in (("faces", n_vertices), ("landmarks68", n_vertices),
                       ("faces_uv", len(found["uv"]))):  # fmt: skip
        if found[key].size and not (found[key].min() >= 0 and found[key].max() < limit):
            raise SchemaError(f"{path}: /{key}: indices beyond 0 to {limit - 1}")
    if any(len(mask) != n_vertices for mask in regions.values()):
        raise SchemaError(f"{path}: /regions: not {n_vertices} vertices")
    return topology
