"""RealityCapture's (RealityScan's) XMP: one `.xmp` a camera, a rig in and out.

Its conventions, and what is converted:

- `Rotation` is world-to-camera, row by row, OpenCV's axes; `Position` is the camera's centre.
- Everything in the image is a fraction of its **longer side** S, from the **image centre**:
  u = width / 2 + S (f x' + skew y' + PrincipalPointU), v = height / 2 + S (f aspect y' +
  PrincipalPointV), f = FocalLength35mm / **36**. Nothing of K is lost.
- `DistortionCoeficients` (so spelt): k1 k2 k3 k4 t1 t2, x' = x (1 + ...) + **t1** (r2 + 2 x2) +
  2 t2 x y: t1 and t2 stand the other way round than OpenCV's p1 and p2.
- Lengths of a metric rig are written in **metres**.

XMP of RealityCapture says neither the image's size nor the unit. facekit writes the size as
`tiff:ImageWidth`, `tiff:ImageLength` and the unit as `facekit:UnitMm`; where the size is absent
it is taken from the image beside the file. Models with k4, division and rational are refused.

Source
------
RealityCapture XMP Camera Math, support.capturingreality.com 360017783459; the order of t1, t2
after the "OpenCV-compliant" export template of RealityScan's `calibration.xml` (k1, k2, t2, t1,
k3) and AliceVision, `main_importKnownPoses.cpp`.
"""

import logging
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from ...core.arrays import Floats
from ...core.errors import InputError, SchemaError
from ...core.geometry.camera import Camera, Rig
from ..fields import (
    camera_matrix,
    from_center,
    parse,
    rig_of,
    rotation,
    size,
    stated_unit,
    words,
)
from .xmlfile import read_xml, text_of, write_xml

log = logging.getLogger(__name__)

SUFFIX = ".xmp"
XMP = "adobe:ns:meta/"
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
XCR = "http://www.capturingreality.com/ns/xcr/1.1#"
TIFF = "http://ns.adobe.com/tiff/1.0/"
OWN = "urn:facekit:rig"
FULL_FRAME_MM = 36.0
UNIT_MM = 1000.0
MODELS = ("perspective", "brown3", "brown3t2", "brown4", "brown4t2")
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")


def export_realitycapture(folder: Path, rig: Rig) -> None:
    """Write `<camera>.xmp` for each camera, to stand beside the images of those names.

    Raises
    ------
    InputError
        A name cannot be a file's, two differ in case alone, or the folder holds further `.xmp`.
    """
    for name in rig.names:
        if set(name) & set('/\\:*?"<>|') or name.startswith("."):
            raise InputError(f"{name!r}: cannot be the name of a file, as RealityCapture needs")
    if len({name.lower() for name in rig.names}) < len(rig):
        raise InputError(f"{folder}: camera names differ in case alone; RealityCapture needs more")
    others = {p.stem for p in folder.glob(f"*{SUFFIX}")} - set(rig.names)
    if others:
        raise InputError(
            f"{folder}: holds .xmp of other cameras ({min(others)}, ...); choose an empty folder"
        )
    for prefix, uri in (("x", XMP), ("rdf", RDF), ("xcr", XCR), ("tiff", TIFF), ("facekit", OWN)):
        ET.register_namespace(prefix, uri)
    for camera in rig:
        write_xml(folder / f"{camera.name}{SUFFIX}", _document(camera, metric=rig.metric))


def import_realitycapture(path: Path, *, unit_mm: float | None = None) -> Rig:
    """Read one `.xmp` or all of a folder; cameras are named as their files.

    Files without any field of RealityCapture are named in a warning and left out.

    Raises
    ------
    InputError
        A file is absent or no XML, or the image's size is nowhere.
    SchemaError
        A field is missing, damaged, or says something that a `Camera` cannot.
    """
    files = sorted(path.glob(f"*{SUFFIX}")) if path.is_dir() else [path]
    cameras, units, foreign = [], set(), []
    for file in files:
        fields = _fields(read_xml(file))
        if not any(key.startswith(f"{{{XCR}}}") for key in fields):
            foreign.append(file.name)
            continue
        cameras.append(_camera(file, fields))
        unit = fields.get(f"{{{OWN}}}UnitMm")
        where = f"{file}: facekit:UnitMm"
        units.add(stated_unit(None if unit is None else parse(unit, where), where))
    if len(units) > 1:
        raise SchemaError(f"{path}: facekit:UnitMm differs between the files")
    if foreign:
        log.warning("%s: no camera of RealityCapture in %s", path, ", ".join(foreign))
    stated = next(iter(units), None)
    return rig_of(cameras, unit_mm=unit_mm or stated, where=str(path))


def _document(camera: Camera, *, metric: bool) -> ET.Element:
    K, (k1, k2, p1, p2, k3) = camera.K, camera.distortion
    side = max(camera.width, camera.height)
    model = "brown3t2" if p1 or p2 else "brown3" if camera.is_distorted else "perspective"
    attributes = {
        "Version": "3",
        "PosePrior": "locked",
        "Coordinates": "absolute",
        "DistortionModel": model,
        "FocalLength35mm": repr(float(K[0, 0] / side * FULL_FRAME_MM)),
        "Skew": repr(float(K[0, 1] / side)),
        "AspectRatio": repr(float(K[1, 1] / K[0, 0])),
        "PrincipalPointU": repr(float((K[0, 2] - camera.width / 2) / side)),
        "PrincipalPointV": repr(float((K[1, 2] - camera.height / 2) / side)),
        "CalibrationPrior": "exact",
        "CalibrationGroup": "-1",
        "DistortionGroup": "-1",
        "InTexturing": "1",
        "InMeshing": "1",
    }
    root = ET.Element(f"{{{XMP}}}xmpmeta")
    description = ET.SubElement(ET.SubElement(root, f"{{{RDF}}}RDF"), f"{{{RDF}}}Description")
    for key, text in attributes.items():
        description.set(f"{{{XCR}}}{key}", text)
    description.set(f"{{{TIFF}}}ImageWidth", str(camera.width))
    description.set(f"{{{TIFF}}}ImageLength", str(camera.height))
    if metric:
        description.set(f"{{{OWN}}}UnitMm", repr(UNIT_MM))
    elements: dict[str, Iterable[float]] = {
        "Rotation": camera.cam_from_world[:, :3].ravel(),
        "Position": camera.center / (UNIT_MM if metric else 1.0),
        "DistortionCoeficients": [k1, k2, k3, 0.0, p2, p1],
    }
    for key, values in elements.items():
        ET.SubElement(description, f"{{{XCR}}}{key}").text = text_of(values)
    return root


def _fields(root: ET.Element) -> dict[str, str]:
    """Return {namespace}name -> text of all descriptions, be they attributes or elements."""
    found: dict[str, str] = {}
    for description in root.iter(f"{{{RDF}}}Description"):
        found.update(description.attrib)
        found.update({child.tag: child.text or "" for child in description})
    return found


def _camera(path: Path, fields: dict[str, str]) -> Camera:
    def where(key: str) -> str:
        return f"{path}: xcr:{key}"

    def text(key: str, default: str | None = None) -> str:
        found = fields.get(f"{{{XCR}}}{key}", default)
        if found is None:
            raise SchemaError(f"{where(key)} is missing")
        return found

    def value(key: str, default: str | None = None) -> float:
        return parse(text(key, default), where(key))

    width, height = _size(path, fields)
    side = max(width, height)
    fx = value("FocalLength35mm") / FULL_FRAME_MM * side
    K = camera_matrix(
        fx,
        fx * value("AspectRatio", "1"),
        width / 2 + value("PrincipalPointU", "0") * side,
        height / 2 + value("PrincipalPointV", "0") * side,
        skew=value("Skew", "0") * side,
        where=where("FocalLength35mm"),
    )
    R = rotation(words(text("Rotation"), (3, 3), where("Rotation")), where("Rotation"))
    return Camera(
        name=path.stem,
        width=width,
        height=height,
        K=K,
        distortion=_distortion(text("DistortionModel"), text("DistortionCoeficients", ""), path),
        cam_from_world=from_center(R, words(text("Position"), (3,), where("Position"))),
    )


def _distortion(model: str, text: str, path: Path) -> Floats:
    """Return k1, k2, p1, p2, k3; coefficients that the model does not use count as zero."""
    if model not in MODELS:
        raise SchemaError(
            f"{path}: xcr:DistortionModel: {model!r}; export with one of {', '.join(MODELS)}"
        )
    if model == "perspective":
        return np.zeros(5)
    where = f"{path}: xcr:DistortionCoeficients"
    if model == "brown3" and len(text.split()) == 3:
        text += " 0 0 0"
    k1, k2, k3, k4, t1, t2 = words(text, (6,), where)
    if k4 != 0:
        raise SchemaError(f"{where}: k4 is not zero; export with Brown3, facekit's lens has none")
    if not model.endswith("t2") and (t1 or t2):
        raise SchemaError(f"{where}: tangential terms, which the model {model} has not")
    return np.array([k1, k2, t2, t1, k3])


def _size(path: Path, fields: dict[str, str]) -> tuple[int, int]:
    keys = (f"{{{TIFF}}}ImageWidth", f"{{{TIFF}}}ImageLength")
    if any(key in fields for key in keys):
        width, height = (size(fields.get(k), f"{path}: tiff:{k.split('}')[1]}") for k in keys)
        return width, height
    for image in sorted(path.parent.glob("*")):
        if image.stem == path.stem and image.suffix.lower() in IMAGE_SUFFIXES:
            try:
                with Image.open(image) as opened:
                    return opened.size
            except (OSError, ValueError) as error:
                raise InputError(f"{image}: not readable as an image ({error})") from error
    raise InputError(f"{path}: says nothing about the image's size; put the file beside its image")
