"""Agisoft Metashape's camera XML (File > Export > Export Cameras): a rig in and out.

Metashape's conventions, and what is converted:

- Camera axes as OpenCV's; `transform` of a camera is the 4x4 **chunk-from-camera**, row by row.
- The centre of the top-left pixel is (0.5, 0.5), as in facekit. `cx`, `cy` count from the
  **image centre**: u = width / 2 + cx + x' (f + b1) + y' b2, v = height / 2 + cy + y' f.
  So f = fy, b1 = fx - fy, b2 = skew: nothing of K is lost.
- x' = x (1 + k1 r2 + k2 r4 + k3 r6) + **p1** (r2 + 2 x2) + 2 p2 x y: p1 and p2 stand the other
  way round than in OpenCV.
- The chunk's (or component's) `transform` leads to the world, whose unit is the **metre**. A
  metric rig is written with chunk units of a millimetre and a scale of 0.001; a rig of unknown
  size has no such transform.

k4, p3, p4 other than zero, other than frame cameras, and multi-camera systems are refused.

Source
------
Metashape Professional Edition User Manual, appendix "Camera models", frame cameras.
"""

import logging
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np

from ...core.arrays import Floats
from ...core.errors import SchemaError
from ...core.geometry.camera import Camera, Rig
from ..fields import (
    Lens,
    camera_matrix,
    from_center,
    last_row,
    parse,
    rig_of,
    rotation,
    size,
    words,
)
from .xmlfile import read_xml, text_of, write_xml

log = logging.getLogger(__name__)

METRE_MM = 1000.0
ZERO_PARAMETERS = ("k4", "p3", "p4")


def export_metashape(path: Path, rig: Rig) -> None:
    """Write a chunk with one sensor a camera."""
    document = ET.Element("document", version="2.0.0")
    chunk = ET.SubElement(document, "chunk", label="facekit", enabled="true")
    sensors = ET.SubElement(chunk, "sensors", next_id=str(len(rig)))
    cameras = ET.SubElement(chunk, "cameras", next_id=str(len(rig)), next_group_id="0")
    for index, camera in enumerate(rig):
        _write_sensor(sensors, str(index), camera)
        element = ET.SubElement(
            cameras,
            "camera",
            id=str(index),
            sensor_id=str(index),
            label=camera.name,
            enabled="true",
        )
        chunk_from_cam = np.eye(4)
        chunk_from_cam[:3, :3] = camera.cam_from_world[:, :3].T
        chunk_from_cam[:3, 3] = camera.center
        ET.SubElement(element, "transform").text = text_of(chunk_from_cam.ravel())
    if rig.metric:
        transform = ET.SubElement(chunk, "transform")
        ET.SubElement(transform, "rotation").text = text_of(np.eye(3).ravel())
        ET.SubElement(transform, "translation").text = text_of(np.zeros(3))
        ET.SubElement(transform, "scale").text = repr(1 / METRE_MM)
    write_xml(path, document)


def import_metashape(path: Path, *, unit_mm: float | None = None) -> Rig:
    """Read the cameras that have a pose; those without are named in a warning.

    Parameters
    ----------
    unit_mm : float, optional
        Size of the file's unit; by default metres where a transform to the world is given, else
        unknown.

    Raises
    ------
    InputError
        The file is absent or no XML.
    SchemaError
        A field is missing, damaged, or says something that a `Camera` cannot.
    """
    chunk = _chunk(path)
    lenses = {sensor.get("id", ""): sensor for sensor in chunk.iterfind("sensors/sensor")}
    worlds = _worlds(chunk, path)
    cameras: list[Camera] = []
    unposed: list[str] = []
    frames: set[bool] = set()
    parent = chunk.find("cameras")
    for element in parent.iter("camera") if parent is not None else ():
        label = element.get("label") or ""
        where = f"{path}: camera {label or element.get('id')!r}"
        if element.get("master_id") is not None:
            raise SchemaError(f"{where}: belongs to a multi-camera system, which is not read")
        if element.find("transform") is None:
            unposed.append(label)
            continue
        sensor = lenses.get(element.get("sensor_id", ""))
        if sensor is None:
            raise SchemaError(f"{where}.sensor_id: no such sensor")
        lens = _lens(sensor, f"{path}: sensor {sensor.get('id')}")
        world = worlds.get(element.get("component_id", ""), worlds.get("chunk"))
        frames.add(world is not None)
        cameras.append(_camera(label, lens, element, world=world, where=where))
    if len(frames) > 1:
        raise SchemaError(f"{path}: cameras of several components without a common frame")
    if unposed:
        log.warning("%s: no pose for %s", path, ", ".join(unposed))
    stated = METRE_MM if frames == {True} else None
    return rig_of(cameras, unit_mm=unit_mm or stated, where=str(path))


def _chunk(path: Path) -> ET.Element:
    root = read_xml(path)
    chunks = [root] if root.tag == "chunk" else root.findall("chunk")
    if root.tag not in ("document", "chunk") or not chunks:
        raise SchemaError(f"{path}: no camera export of Metashape (document/chunk is missing)")
    if len(chunks) > 1:
        raise SchemaError(f"{path}: {len(chunks)} chunks; export the cameras of one")
    return chunks[0]


def _worlds(chunk: ET.Element, path: Path) -> dict[str, tuple[float, Floats, Floats]]:
    """Return "chunk" or a component's id -> scale, R, t of the way to the world (metres)."""
    found = {"chunk": chunk.find("transform")}
    for component in chunk.iterfind("components/component"):
        found[component.get("id", "")] = component.find("transform")
    worlds = {}
    for name, transform in found.items():
        if transform is None or transform.find("scale") is None:
            continue
        where = f"{path}: transform of {name if name == 'chunk' else 'component ' + name}"
        scale = parse(transform.findtext("scale"), f"{where}.scale")
        if scale <= 0:
            raise SchemaError(f"{where}.scale: a positive number expected")
        R = words(transform.findtext("rotation"), (3, 3), f"{where}.rotation")
        t = words(transform.findtext("translation"), (3,), f"{where}.translation")
        worlds[name] = (scale, rotation(R, f"{where}.rotation"), t)
    return worlds


def _camera(
    name: str,
    lens: Lens,
    element: ET.Element,
    *,
    world: tuple[float, Floats, Floats] | None,
    where: str,
) -> Camera:
    matrix = words(element.findtext("transform"), (4, 4), f"{where}.transform")
    chunk_from_cam = last_row(matrix, f"{where}.transform")
    R, center = rotation(chunk_from_cam[:, :3], f"{where}.transform"), chunk_from_cam[:, 3]
    if world is not None:
        scale, world_R, t = world
        R, center = world_R @ R, scale * (world_R @ center) + t
    return Camera(
        name=name,
        width=lens.width,
        height=lens.height,
        K=lens.K,
        distortion=lens.distortion,
        cam_from_world=from_center(R.T, center),
    )


def _lens(sensor: ET.Element, where: str) -> Lens:
    calibrations = sensor.findall("calibration")
    adjusted = [c for c in calibrations if c.get("class") == "adjusted"]
    if not calibrations:
        raise SchemaError(f"{where}: no calibration")
    calibration = (adjusted or calibrations)[-1]
    for element in (sensor, calibration):
        if element.get("type", "frame") != "frame":
            raise SchemaError(
                f"{where}: a {element.get('type')} camera; only frame cameras are read"
            )
    resolution = calibration.find("resolution")
    if resolution is None:
        resolution = sensor.find("resolution")
    if resolution is None:
        raise SchemaError(f"{where}: resolution is missing")
    width = size(resolution.get("width"), f"{where}.resolution.width")
    height = size(resolution.get("height"), f"{where}.resolution.height")

    def parameter(key: str) -> float:
        element = calibration.find(key)  # Metashape leaves out what is zero
        return 0.0 if element is None else parse(element.text, f"{where}.calibration.{key}")

    if calibration.find("f") is None:
        raise SchemaError(f"{where}.calibration.f is missing")
    for key in ZERO_PARAMETERS:
        if parameter(key) != 0:
            raise SchemaError(
                f"{where}.calibration.{key}: not zero; align without it, facekit's lens has none"
            )
    f = parameter("f")
    K = camera_matrix(
        f + parameter("b1"),
        f,
        width / 2 + parameter("cx"),
        height / 2 + parameter("cy"),
        skew=parameter("b2"),
        where=f"{where}.calibration.f",
    )
    distortion = np.array([parameter(key) for key in ("k1", "k2", "p2", "p1", "k3")])
    return Lens(width=width, height=height, K=K, distortion=distortion)


def _write_sensor(sensors: ET.Element, number_: str, camera: Camera) -> None:
    resolution = {"width": str(camera.width), "height": str(camera.height)}
    sensor = ET.SubElement(sensors, "sensor", id=number_, label=camera.name, type="frame")
    ET.SubElement(sensor, "resolution", resolution)
    ET.SubElement(sensor, "property", name="fixed", value="false")
    calibration = ET.SubElement(sensor, "calibration", {"type": "frame", "class": "adjusted"})
    ET.SubElement(calibration, "resolution", resolution)
    K, (k1, k2, p1, p2, k3) = camera.K, camera.distortion
    parameters = {
        "f": K[1, 1],
        "cx": K[0, 2] - camera.width / 2,
        "cy": K[1, 2] - camera.height / 2,
        "b1": K[0, 0] - K[1, 1],
        "b2": K[0, 1],
        "k1": k1,
        "k2": k2,
        "k3": k3,
        "p1": p2,
        "p2": p1,
    }
    for key, value in parameters.items():
        ET.SubElement(calibration, key).text = repr(float(value))
