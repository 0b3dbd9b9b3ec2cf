"""`facekit-hdf5/1`: every object of a shard, as one table.

The writer makes what the table says, the verifier checks it, and `docs/formats/hdf5.md` prints
it. A shard is one file, `subjects/<pseudonym>.h5`, of one subject:

    /                         attributes only, see `ROOT`
    /topology                 attributes only: which chart and triangles, kept in `topology/`
    /captures/<capture>/      one group a take, see `CAPTURE` and `FIELDS`

`topology/<name>.h5` holds `TOPOLOGY_FIELDS`, once for all subjects. Only hard links, fixed
shapes, numbers and bytes: no references, no variable-length data, no external storage. Every
dataset is checksummed (Fletcher-32), and nothing is ever appended to a published file.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ..core.errors import SchemaError
from .displacementcode import OFFSET, STEP_MM

FORMAT = "facekit-hdf5"
TOPOLOGY_FORMAT = "facekit-topology"
VERSION = "1.0.0"
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""Of captures, cameras and subjects: nothing that a path or another program stumbles over."""

MOST_ATTRIBUTE_BYTES = 64_000
"""Of one text."""


@dataclass(frozen=True, kw_only=True)
class Attribute:
    """An attribute that an object has to have."""

    name: str
    kind: str
    """`text`, `int`, `float`, `bool`."""
    meaning: str
    value: Any = None
    """The only one allowed, where there is only one."""
    choices: tuple[str, ...] = ()
    """Those allowed, where there are a few."""


@dataclass(frozen=True, kw_only=True)
class Field:
    """A dataset of a capture, or of a topology file."""

    path: str
    """Within the capture's group; `*` stands for the name of a camera or region."""
    dtype: str
    """As numpy writes it, little-endian."""
    shape: tuple[int | str, ...]
    """A word stands for a length that is the same wherever it stands within the capture."""
    unit: str
    meaning: str
    optional: bool = False
    attributes: tuple[Attribute, ...] = ()
    chunk: int | None = None
    """Side of the square chunks; None: stored as one."""
    is_file: bool = False
    """The bytes of an encoded image: checksummed, not compressed again."""
    range: tuple[float, float] | None = None
    """Least and greatest value."""
    nan: bool = False
    """May hold NaN, which then stands for unknown; else every number is finite."""
    since: int = 0
    """Minor version of the format that brought it: older files need not have it."""


def _text(name: str, meaning: str, value: str | None = None) -> Attribute:
    return Attribute(name=name, kind="text", meaning=meaning, value=value)


def _int(name: str, meaning: str) -> Attribute:
    return Attribute(name=name, kind="int", meaning=meaning)


ROOT = (
    _text("format", "what this file is", FORMAT),
    _text("schema_version", "major.minor.patch; a reader refuses another major"),
    _text("facekit_version", "that wrote it"),
    _text("created_utc", "when the newest capture was built, ISO 8601"),
    _text("config_sha256", "of the settings of all captures"),
    _text("units_length", "of every length", "mm"),
    _text("axes", "of the head frame; left is the subject's", "x-left,y-up,z-out"),
    _text("camera_convention", "x right, y down, z forward; pixel centres at .5",
          "opencv cam_from_world"),
    _text("uv_origin", "v up from the lower left; row 0 of a map is v = 1", "lower-left|row0=top"),
    _text("subject", "random pseudonym"),
    _text("consent_id", "salted hash of the consent record, or `none`"),
    _text("licence", "under which the data may be used"),
)  # fmt: skip

TOPOLOGY = (
    _text("model", "face model that was registered"),
    _text("topology_sha256", "of the triangles, int32, row by row"),
    _text("uv_sha256", "of the texture coordinates, float64, then their triangles, int32"),
    _int("n_vert", "vertices"),
    _int("n_face", "triangles"),
)

CAPTURE = (
    _text("take", "its name in the session"),
    _text("expression", "what the face does, as far as known"),
    _text("session", "what stands for the session; equal for takes of one session"),
    _text("capture_sha256", "of the hashes of its photographs"),
    _text("status", "only complete captures are published", "complete"),
    _text("stages_json", "of each stage: version, settings, inputs, seconds"),
)

_SIZE = (_int("width", "px"), _int("height", "px"))

FIELDS = (
    Field(path="cameras/K", dtype="<f8", shape=("views", 3, 3), unit="px",
          meaning="intrinsics at `size`"),
    Field(path="cameras/RT", dtype="<f8", shape=("views", 3, 4), unit="mm",
          meaning="cam_from_world"),
    Field(path="cameras/dist", dtype="<f8", shape=("views", 8), unit="1",
          meaning="OpenCV distortion k1 k2 p1 p2 k3 k4 k5 k6, zeros at the end"),
    Field(path="cameras/size", dtype="<i4", shape=("views", 2), unit="px",
          meaning="width and height that K is for"),
    Field(path="cameras/id", dtype="|S64", shape=("views",), unit="", meaning="name, ASCII"),
    Field(path="cameras/reproj_rms_px", dtype="<f8", shape=("views",), unit="px",
          meaning="of the calibration; NaN where unknown", nan=True),
    Field(path="cameras/valid", dtype="|u1", shape=("views",), unit="",
          meaning="1: its photograph was used", range=(0, 1)),
    Field(path="images/*", dtype="|u1", shape=("bytes",), unit="", is_file=True,
          meaning="the photograph, JPEG, at most 1024 px, distorted as it was taken",
          attributes=(*_SIZE, _text("sha256_original", "of the photograph in the session"),
                      Attribute(name="scale", kind="float", meaning="of `size` to this image"),
                      _text("colourspace", "of the 8-bit values", "sRGB"))),
    Field(path="masks/*", dtype="|u1", shape=("bytes",), unit="", is_file=True, optional=True,
          meaning="white is subject, PNG, same size as the image", attributes=_SIZE),
    Field(path="mesh/vertices", dtype="<f4", shape=("vertices", 3), unit="mm",
          meaning="registered topology with the deformation map, M1, world frame"),
    Field(path="mesh/coarse_vertices", dtype="<f4", shape=("vertices", 3), unit="mm",
          meaning="morphable fit M0, head frame"),
    Field(path="mesh/support", dtype="<f4", shape=("vertices",), unit="1", range=(0, 1),
          meaning="1: rests on measured scan, 0: follows the model alone"),
    Field(path="mesh/identity", dtype="<f8", shape=("identity",), unit="sigma",
          meaning="coefficients of the face model, N(0, 1) over people"),
    Field(path="mesh/expression", dtype="<f8", shape=("expression",), unit="1",
          meaning="activations of the face model"),
    Field(path="mesh/pose", dtype="<f8", shape=(3, 4), unit="mm",
          meaning="world_from_head: R and t side by side; both frames in mm"),
    Field(path="maps/deformation", dtype="<f4", shape=("coarse", "coarse", 3), unit="mm",
          meaning="M1 - M0 in the head frame, unposed",
          attributes=(_text("frame", "of the offsets", "head, unposed"),
                      _text("base", "what they are added to", "M0"),
                      _text("interp", "how to read it at a vertex",
                            "bilinear between texel centres"))),
    Field(path="maps/deformation_valid", dtype="|u1", shape=("coarse", "coarse"), unit="",
          meaning="1: texel of the face that rests on measured scan", range=(0, 1)),
    Field(path="maps/deformation_sigma", dtype="<f2", shape=("coarse", "coarse"), unit="mm",
          meaning="standard deviation along the normal; 0 where not valid", range=(0, 1000)),
    Field(path="maps/displacement", dtype="<u2", shape=("fine", "fine"), unit="0.1 um", chunk=512,
          meaning="from `base` along M1's normal to the scan: (value - offset) * scale_mm",
          attributes=(Attribute(name="scale_mm", kind="float", meaning="of a step",
                                value=STEP_MM),
                      Attribute(name="offset", kind="int", meaning="stored for 0",
                                value=OFFSET),
                      _text("direction", "along which it moves",
                            "smooth vertex normal of M1, + outward"),
                      Attribute(name="base", kind="text", choices=("curved", "flat", "M1"),
                                meaning="what it is added to: `curved`, the curved surface "
                                "through M1's vertices, or `flat`, in older files `M1`: its "
                                "triangles"))),
    Field(path="maps/valid", dtype="|u1", shape=("fine", "fine"), unit="", chunk=512,
          meaning="1: displacement and normal rest on measured scan", range=(0, 1)),
    Field(path="maps/sigma", dtype="<f2", shape=("fine", "fine"), unit="mm", chunk=512,
          meaning="standard deviation of the displacement; 0 where not valid", range=(0, 1000)),
    Field(path="maps/normal", dtype="|u1", shape=("bytes",), unit="", is_file=True, optional=True,
          meaning="head-frame normal of the detailed surface, 16-bit PNG, RGB = (n + 1) / 2",
          attributes=_SIZE),
    Field(path="maps/tangent_normal", dtype="|u1", shape=("bytes",), unit="", is_file=True,
          optional=True,
          meaning="the same in the tangent frame of M1 (x along u, y along v), 16-bit PNG",
          attributes=_SIZE),
    Field(path="maps/albedo", dtype="|u1", shape=("bytes",), unit="", is_file=True, optional=True,
          meaning="diffuse colour, 8-bit PNG",
          attributes=(*_SIZE, _text("colourspace", "of the 8-bit values", "sRGB"),
                      Attribute(name="calibrated", kind="bool",
                                meaning="by a colour chart; else as the cameras saw it"))),
    Field(path="maps/albedo_valid", dtype="|u1", shape=("bytes",), unit="", is_file=True,
          optional=True, meaning="white: seen by a camera where the scan was measured, PNG",
          attributes=_SIZE),
    Field(path="landmarks/points", dtype="<f8", shape=(68, 3), unit="mm", optional=True,
          meaning="Multi-PIE order, world frame; NaN where unknown", nan=True),
    Field(path="landmarks/sigma", dtype="<f8", shape=(68,), unit="mm", optional=True,
          meaning="standard deviation of each; NaN where unknown", nan=True),
    Field(path="landmarks/pixels", dtype="<f8", shape=("views", 68, 2), unit="px", optional=True,
          meaning="in each photograph at `size`; NaN where not found", nan=True),
)  # fmt: skip

TOPOLOGY_ROOT = (_text("format", "what this file is", TOPOLOGY_FORMAT), ROOT[1], *TOPOLOGY)

TOPOLOGY_FIELDS = (
    Field(path="faces", dtype="<i4", shape=("faces", 3), unit="",
          meaning="vertices of each triangle, counter-clockwise seen from outside"),
    Field(path="uv", dtype="<f8", shape=("corners", 2), unit="1",
          meaning="texture coordinates, as in OBJ: origin lower left, v up"),
    Field(path="faces_uv", dtype="<i4", shape=("faces", 3), unit="",
          meaning="rows of `uv` at the triangle's corners"),
    Field(path="landmarks68", dtype="<i4", shape=(68,), unit="",
          meaning="vertices in Multi-PIE (iBUG) order"),
    Field(path="regions/*", dtype="|u1", shape=("vertices",), unit="", optional=True,
          meaning="1: vertex of the region", range=(0, 1)),
)  # fmt: skip


def by_path(table: Iterable[Field]) -> Mapping[str, Field]:
    """Return the fields of a table by their paths."""
    return MappingProxyType({entry.path: entry for entry in table})


def field_of(path: str, table: Iterable[Field] = FIELDS) -> Field | None:
    """Return the field that a dataset is, by its path within its capture; None: of no field."""
    fields = by_path(table)
    if path in fields:
        return None if path.endswith("*") else fields[path]
    group, _, name = path.partition("/")
    return fields.get(f"{group}/*") if NAME.fullmatch(name) else None


def minor_of(version: object, *, where: str) -> int:
    """Return the minor number of a file's schema version.

    Raises
    ------
    SchemaError
        No version, or one of another major number; `where` begins the message.
    """
    found = re.fullmatch(r"(\d{1,6})\.(\d{1,6})\.(\d{1,6})", str(version))
    if found is None:
        raise SchemaError(f"{where}: its schema version {str(version)[:40]!r} is none")
    if found[1] != VERSION.split(".", maxsplit=1)[0]:
        raise SchemaError(
            f"{where}: schema version {version}, but this facekit reads {VERSION}; use the "
            "facekit that wrote it, or export anew"
        )
    return int(found[2])
