"""`docs/formats/hdf5.md`, printed from the tables of the format; a test holds the two equal.

Print it anew by

    python -c "from facekit.dataset.schemapage import *; write_page('docs/formats/hdf5.md')"

in the root of a checkout.
"""

from collections.abc import Iterable
from pathlib import Path

from ..core.files import write_text
from .audit import MOST_BYTES, MOST_OBJECTS
from .schema import (
    CAPTURE,
    FIELDS,
    FORMAT,
    MOST_ATTRIBUTE_BYTES,
    ROOT,
    TOPOLOGY,
    TOPOLOGY_FIELDS,
    TOPOLOGY_FORMAT,
    TOPOLOGY_ROOT,
    VERSION,
    Attribute,
    Field,
)
from .seal import SEAL_BYTES

_HEAD = f"""# The dataset: `facekit-hdf5/1`

This page is printed from the tables in `dataset/schema.py`, by which files are written and verified (version {VERSION}).

```
dataset/
  dataset.json            subjects, captures, their fields, splits: all that a reader needs to begin
  SHA256SUMS              of every file; `sha256sum --check SHA256SUMS` works, too
  topology/<name>.h5      triangles and chart of a face model, once for all subjects
  subjects/<id>.h5        one file a subject, called a shard; plain h5py reads it anywhere
  originals/sha256/ab/cd….jpg    optional: the photographs in full, named by their hash
```

A shard is written under another name, read back, sealed and then renamed: what has its final name is whole. Published files are never changed; a `*.part.h5` is what a killed writer left and may be deleted.

**Integrity.** The first {SEAL_BYTES} bytes of a shard (HDF5's user block) hold the SHA-256 of all bytes after them, so that `facekit verify` finds any changed bit, wherever the file has gone; every dataset also has Fletcher-32 checksums, which any HDF5 program checks while it reads. Data are stored with shuffle and gzip 1, encoded images as they are.

**Safety.** Only hard links, groups, and datasets of numbers and fixed bytes: no links to elsewhere, external or virtual storage, variable-length data or foreign filters; at most {MOST_OBJECTS} objects, {MOST_BYTES >> 20} MiB a dataset, {MOST_ATTRIBUTE_BYTES} bytes a text. `facekit verify` and `FaceDataset` refuse a file that has anything else before they read any data of it (with `verify="off"`, `FaceDataset` looks only at what it reads: of 10,000 damaged shards three made the HDF5 library run for ever).

**Versions.** A reader takes any minor version of the same major one: what it does not know it leaves alone, and fields that came later are not asked of older files. Another major version is refused.

**Conventions.** Lengths are mm. *Head frame*: x to the subject's left, y up, z out of the face. *World frame*: the rig's; `mesh/pose` leads from head to world. Cameras are OpenCV's: x right, y down, z forward, with the centre of the top left pixel at (0.5, 0.5). Maps: row 0 is v = 1; the texel in row r and column c has its centre at u = (c + 0.5)/width, v = 1 - (r + 0.5)/height. *M0* is the face model's fit, *M1* is M0 with the deformation map, read bilinearly at the vertices. The displacement moves along M1's smooth unit normals, interpolated from the vertices; it starts where its attribute `base` says: on M1's triangles (`flat`; `M1` in older files), or (`curved`) ½ Σᵢ wᵢ ((vᵢ - p) · nᵢ) (nᵢ · n) mm above them, with p the point of the triangle, n its smooth normal, and wᵢ, vᵢ, nᵢ the weights, corners and vertex normals. Where `valid` is 0 a texel is not measured: do not train on it.

**`dataset.json`** (`format` `facekit-dataset`, `version` 1): `name`, `licence`, `created_utc` (of the newest shard), `topologies` (names), `counts`, and `subjects`: of each `id`, `split` (`train`, `val` or `test`; a subject is in one alone) and `captures` with `name`, `fields` (the datasets that it has, as below), `views` and `masks` (cameras that have an image, a mask).

Names of captures, cameras and subjects are 1 to 64 of `A-Z a-z 0-9 _ -`. Who a subject is, and what describes a person, is not in these files.
"""  # noqa: E501

_READING = """## Reading

```python
from facekit.dataset.samples import FaceDataset

data = FaceDataset("dataset", keys=["images/cam00", "maps/valid"], split="train")
data[0]["maps/valid"]  # (n, n) bool
```

or with h5py alone:

```python
with h5py.File("dataset/subjects/S7F3A.h5") as shard:
    stored = shard["captures/E01/maps/displacement"]
    mm = (stored[:].astype("f4") - stored.attrs["offset"]) * stored.attrs["scale_mm"]
```

`FaceDataset` goes straight into `torch.utils.data.DataLoader`, under fork, spawn and forkserver; `persistent_workers=True` keeps workers from checking every shard anew in each epoch.
"""  # noqa: E501


def schema_page() -> str:
    """Return the page as Markdown."""
    parts = [
        _HEAD,
        f"## Shard (`format` = `{FORMAT}`)\n",
        "Attributes of the file:\n",
        _attributes(ROOT),
        "Attributes of `/topology`:\n",
        _attributes(TOPOLOGY),
        "Attributes of each group `/captures/<capture>`:\n",
        _attributes(CAPTURE),
        "Datasets of a capture. A word in a shape is a length that is the same wherever it stands "
        "within the capture (`bytes`: of this file). *o*: may be absent.\n",
        _fields(FIELDS),
        "Attributes of these datasets:\n",
        _field_attributes(FIELDS),
        f"## Topology (`format` = `{TOPOLOGY_FORMAT}`)\n",
        "Attributes of the file:\n",
        _attributes(TOPOLOGY_ROOT),
        "Datasets:\n",
        _fields(TOPOLOGY_FIELDS),
        _READING,
    ]
    return "\n".join(parts)


def write_page(path: Path | str) -> None:
    """Write the page."""
    write_text(Path(path), schema_page())


def _attributes(attributes: Iterable[Attribute]) -> str:
    rows = (
        f"| `{one.name}` | {one.kind} | {_value(one)} | {one.meaning or one.name} |\n"
        for one in attributes
    )
    return "| attribute | kind | value | meaning |\n|---|---|---|---|\n" + "".join(rows)


def _value(attribute: Attribute) -> str:
    allowed = attribute.choices if attribute.value is None else (attribute.value,)
    return ", ".join(f"`{value}`".replace("|", "\\|") for value in allowed)


def _fields(fields: Iterable[Field]) -> str:
    rows = []
    for one in fields:
        shape = "(" + ", ".join(map(str, one.shape)) + ("," if len(one.shape) == 1 else "") + ")"
        notes = [one.meaning]
        if one.range is not None:
            notes.append(f"{one.range[0]:g} to {one.range[1]:g}")
        if one.since:
            notes.append(f"since 1.{one.since}")
        name = f"`{one.path}`" + (" *o*" if one.optional else "")
        rows.append(
            f"| {name} | {one.dtype.lstrip('<|')} | {shape} | {one.unit} | {'; '.join(notes)} |\n"
        )
    return "| dataset | type | shape | unit | meaning |\n|---|---|---|---|---|\n" + "".join(rows)


def _field_attributes(fields: Iterable[Field]) -> str:
    rows = (
        f"| `{one.path}` | `{attribute.name}` | {attribute.kind} | {_value(attribute)} "
        f"| {attribute.meaning} |\n"
        for one in fields
        for attribute in one.attributes
    )
    return "| dataset | attribute | kind | value | meaning |\n|---|---|---|---|---|\n" + "".join(
        rows
    )
