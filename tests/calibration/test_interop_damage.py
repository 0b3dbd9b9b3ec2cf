"""Damaged or foreign camera files end in one sentence that names file and field."""

import json
import struct

import numpy as np
import pytest

from facekit.calibration.interchange.interop import RigFormat, export_rig, import_rig
from facekit.core.errors import InputError, SchemaError
from facekit.core.geometry.camera import Camera, Rig

FILES = {
    RigFormat.COLMAP_TEXT: ("cameras.txt", "images.txt"),
    RigFormat.COLMAP_BINARY: ("cameras.bin", "images.bin"),
    RigFormat.OPENCV: ("rig.yml",),
    RigFormat.METASHAPE: ("cameras.xml",),
    RigFormat.REALITYCAPTURE: ("A.xmp",),
    RigFormat.TRANSFORMS: ("transforms.json",),
    RigFormat.FACESCAPE: ("params.json",),
}


@pytest.fixture
def rig():
    return Rig(
        cameras=tuple(
            Camera(
                name=name,
                width=1200,
                height=1800,
                K=np.array([[2400.0, 0, 633.25], [0, 2375, 871.5], [0, 0, 1]]),
                distortion=np.array([-0.21, 0.13, 4e-3, -7e-3, 0.05]),
                cam_from_world=np.column_stack([np.eye(3), [15.0, y, 900]]),
            )
            for name, y in (("A", -8), ("B", 20))
        )
    )


@pytest.fixture
def written(rig, tmp_path):
    def write(format):
        path = tmp_path if format.is_folder else tmp_path / FILES[format][0]
        export_rig(rig, path, format)
        return path

    return write


def refused(path, format, words, error=SchemaError):
    with pytest.raises(error, match=words) as caught:
        import_rig(path, format)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message


TEXT_DAMAGE = [
    (RigFormat.METASHAPE, "<f>2375.0</f>", "<f>x</f>", "calibration.f: a number"),
    (RigFormat.METASHAPE, "<f>2375.0</f>", "<f>-1</f>", "focal length"),
    (RigFormat.METASHAPE, "<f>2375.0</f>", "<f>nan</f>", "finite"),
    (RigFormat.METASHAPE, "<f>2375.0</f>", "", "calibration.f is missing"),
    (RigFormat.METASHAPE, "<k1>", "<k4>0.1</k4><k1>", "k4: not zero"),
    (RigFormat.METASHAPE, 'type="frame"', 'type="fisheye"', "fisheye camera"),
    (RigFormat.METASHAPE, 'width="1200"', 'width="12.5"', "resolution.width"),
    (RigFormat.METASHAPE, 'sensor_id="1"', 'sensor_id="9"', "'B'.sensor_id"),
    (RigFormat.METASHAPE, 'sensor_id="1"', 'master_id="0"', "multi-camera"),
    (RigFormat.METASHAPE, "<transform>1.0 0.0", "<transform>1.0", "16 numbers"),
    (RigFormat.METASHAPE, "<transform>1.0 0.0", "<transform>1.5 0.0", "no rotation"),
    (RigFormat.METASHAPE, "<scale>", "<scale>-", "scale: a positive"),
    (RigFormat.METASHAPE, 'label="B"', 'label="A"', "'A' is there 2 times"),
    (RigFormat.METASHAPE, "document", "other", "no camera export"),
    (RigFormat.REALITYCAPTURE, 'FocalLength35mm="', 'FocalLength35mm="x', "FocalLength35mm"),
    (RigFormat.REALITYCAPTURE, "xcr:Position", "xcr:Place", "Position is missing"),
    (RigFormat.REALITYCAPTURE, "xcr:Rotation", "xcr:Turn", "Rotation is missing"),
    (RigFormat.REALITYCAPTURE, "<xcr:Rotation>1.0", "<xcr:Rotation>-1.0", "no rotation"),
    (RigFormat.REALITYCAPTURE, '"brown3t2"', '"division"', "DistortionModel: 'division'"),
    (RigFormat.REALITYCAPTURE, '"brown3t2"', '"brown3"', "tangential"),
    (RigFormat.REALITYCAPTURE, "0.05 0.0 ", "0.05 0.3 ", "k4 is not zero"),
    (RigFormat.REALITYCAPTURE, 'UnitMm="1000.0"', 'UnitMm="1.0"', "UnitMm differs"),
    (RigFormat.OPENCV, "rows: 3", "rows: 2", "numbers expected"),
    (RigFormat.OPENCV, "   R:", "   Q:", r"R is missing"),
    (RigFormat.OPENCV, "2400.", "zz", r"K\.data: a number"),
    (RigFormat.OPENCV, "width: 1200", "width: -3", "width: a positive"),
    (RigFormat.COLMAP_TEXT, "OPENCV 1200", "OPENCV 12.5", r"cameras\.txt:2"),
    (RigFormat.COLMAP_TEXT, "A.png", "A.png extra", r"images\.txt:3: ten fields"),
]


@pytest.mark.parametrize(("format", "old", "new", "words"), TEXT_DAMAGE)
def test_damaged_text_is_named(written, format, old, new, words):
    path = written(format)
    changed = 0
    for name in FILES[format]:
        file = path / name if path.is_dir() else path
        text = file.read_text()
        changed += old in text
        file.write_text(text.replace(old, new))
    assert changed  # the damage was done
    refused(path, format, words)


JSON_DAMAGE = [
    (RigFormat.TRANSFORMS, lambda v: v.update(frames={}), "frames: a list"),
    (RigFormat.TRANSFORMS, lambda v: v["frames"].append(3), r"frames\[2\]: a mapping"),
    (RigFormat.TRANSFORMS, lambda v: v["frames"][1].pop("fl_x"), r"frames\[1\]\.fl_x is missing"),
    (RigFormat.TRANSFORMS, lambda v: v["frames"][1].update(fl_x="2400"), "frames.1..fl_x: a num"),
    (RigFormat.TRANSFORMS, lambda v: v["frames"][1].update(w=True), r"frames\[1\]\.w"),
    (RigFormat.TRANSFORMS, lambda v: v["frames"][1].update(k4=0.1), "k4: not zero"),
    (RigFormat.TRANSFORMS, lambda v: v.update(camera_model="OPENCV_FISHEYE"), "camera_model"),
    (RigFormat.TRANSFORMS, lambda v: v["frames"][0]["transform_matrix"].pop(), "4x4"),
    (RigFormat.TRANSFORMS, lambda v: v["frames"][0]["transform_matrix"][3].reverse(), "last row"),
    (RigFormat.TRANSFORMS, lambda v: v["frames"][0]["transform_matrix"].reverse(), "last row"),
    (RigFormat.TRANSFORMS, lambda v: v["frames"][0].update(name=7), "name: a text"),
    (RigFormat.TRANSFORMS, lambda v: v.update(unit_mm=-1), "unit_mm"),
    (RigFormat.TRANSFORMS, lambda v: v["frames"][0].update(cx=10**400), "cx"),
    (RigFormat.FACESCAPE, lambda v: v.pop("1_Rt"), "1_Rt is missing"),
    (RigFormat.FACESCAPE, lambda v: v["1_K"][0].__setitem__(0, "2400"), "1_K: 3x3 numbers"),
    (RigFormat.FACESCAPE, lambda v: v["1_K"][0].__setitem__(0, -1), "1_K: no camera matrix"),
    (RigFormat.FACESCAPE, lambda v: v["1_distortion"].pop(), "1_distortion: 5"),
    (RigFormat.FACESCAPE, lambda v: v["1_Rt"][0].__setitem__(0, 2), "1_Rt: no rotation"),
    (RigFormat.FACESCAPE, lambda v: v.update({"1_height": None}), "1_height"),
    (RigFormat.FACESCAPE, lambda v: v.update({"0_valid": False, "1_valid": 0}), "no camera"),
]


@pytest.mark.parametrize(("format", "change", "words"), JSON_DAMAGE)
def test_damaged_json_is_named(written, format, change, words):
    path = written(format)
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))
    refused(path, format, words)


def overwrite(file, at, layout, *values):
    content = bytearray(file.read_bytes())
    struct.pack_into(layout, content, at, *values)
    file.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "at", "layout", "value", "words"),
    [
        ("cameras.bin", 0, "<Q", 2**63, "too short"),
        ("cameras.bin", 0, "<Q", 1, "bytes too many"),
        ("cameras.bin", 12, "<i", 5, "model number 5"),
        ("cameras.bin", 12, "<i", -1, "model number -1"),
        ("cameras.bin", 16, "<Q", 0, "width and height"),
        ("cameras.bin", 32, "<d", float("nan"), "not finite"),
        ("cameras.bin", 32, "<d", -5.0, "focal length"),
        ("images.bin", 0, "<Q", 2**60, "too short"),
        ("images.bin", 12, "<d", 7.0, "unit length"),
        ("images.bin", 12, "<d", float("inf"), "not finite"),
        ("images.bin", 68, "<I", 99, "camera 99"),
        ("images.bin", 72, "<B", 0xFF, "no UTF-8"),
        ("images.bin", 78, "<Q", 2**62, "too short"),
    ],
)
def test_damaged_binary_models_are_named(written, name, at, layout, value, words):
    path = written(RigFormat.COLMAP_BINARY)
    overwrite(path / name, at, layout, value)
    refused(path, RigFormat.COLMAP_BINARY, words)


@pytest.mark.parametrize("format", list(RigFormat))
def test_no_damage_ends_in_anything_but_an_input_error(written, format):
    """Cut anywhere, bytes and bits changed at random: read well or refused, never a traceback."""
    path = written(format)
    rng = np.random.default_rng(7)
    for name in FILES[format]:
        file = path / name if path.is_dir() else path
        whole = file.read_bytes()
        damaged = [whole[:cut] for cut in rng.integers(0, len(whole), 40)]
        for _ in range(150):
            content = bytearray(whole)
            for at in rng.integers(0, len(whole), rng.integers(1, 4)):
                content[at] = rng.choice([0, 0x2D, 0x20, 0x39, 0xFF, content[at] ^ 1])
            damaged.append(bytes(content))
        for content in damaged:
            file.write_bytes(content)
            try:
                found = import_rig(path, format)
            except InputError as error:
                assert str(path) in str(error)
            else:
                assert all(np.isfinite(camera.cam_from_world).all() for camera in found)
        file.write_bytes(whole)


@pytest.mark.parametrize(
    "doctype",
    [
        '<!DOCTYPE d [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>',
        '<!DOCTYPE d [<!ENTITY f SYSTEM "file:///etc/hostname">]>',
        '<!DOCTYPE d SYSTEM "http://localhost/x.dtd">',
    ],
)
@pytest.mark.parametrize("format", [RigFormat.METASHAPE, RigFormat.REALITYCAPTURE])
def test_xml_with_a_doctype_is_refused(written, format, doctype):
    path = written(format)
    file = path / "A.xmp" if path.is_dir() else path
    head, _, rest = file.read_text().partition("\n")
    file.write_text(f"{head}\n{doctype}\n{rest}")
    refused(path, format, "DOCTYPE")


def test_deep_nesting_and_aliases_are_refused(tmp_path):
    (tmp_path / "a.json").write_text("[" * 100_000)
    refused(tmp_path / "a.json", RigFormat.TRANSFORMS, "JSON|deeply", InputError)
    (tmp_path / "a.yml").write_text("%YAML:1.0\n---\na: " + "[" * 5_000)
    refused(tmp_path / "a.yml", RigFormat.OPENCV, "YAML", InputError)
    (tmp_path / "b.yml").write_text("%YAML:1.0\n---\na: &x [1, 2]\nb: [*x, *x]\n")
    refused(tmp_path / "b.yml", RigFormat.OPENCV, "aliases", InputError)


def test_cameras_without_a_pose_are_told(written, caplog):
    path = written(RigFormat.METASHAPE)
    text = path.read_text()
    start = text.index("<transform>", text.index('label="B" enabled'))
    end = text.index("</transform>", start) + len("</transform>")
    path.write_text(text[:start] + text[end:])
    assert import_rig(path).names == ("A",)
    assert "no pose for B" in caplog.text


def test_invalid_facescape_cameras_are_told(written, caplog):
    path = written(RigFormat.FACESCAPE)
    value = json.loads(path.read_text())
    value["0_valid"] = False
    path.write_text(json.dumps(value))
    assert import_rig(path).names == ("B",)
    assert "not valid: 0" in caplog.text


def test_xmp_without_a_size_takes_it_from_the_image(written, rig):
    from PIL import Image

    path = written(RigFormat.REALITYCAPTURE)
    for name in rig.names:
        file = path / f"{name}.xmp"
        text = file.read_text()
        file.write_text(
            text.replace("tiff:ImageWidth", "tiff:a").replace("tiff:ImageLen", "tiff:b")
        )
    refused(path, RigFormat.REALITYCAPTURE, "image's size", InputError)
    for name in rig.names:
        Image.new("L", (1200, 1800)).save(path / f"{name}.png")
    for a, b in zip(rig, import_rig(path), strict=True):
        np.testing.assert_allclose(a.K, b.K, rtol=1e-12)
        assert (b.width, b.height) == (1200, 1800)


def test_a_metashape_component_transform_is_applied(written, rig):
    """Newer exports keep the way to the world in the components: turned, scaled, shifted."""
    path = written(RigFormat.METASHAPE)
    text = path.read_text()
    start, end = text.rindex("<transform>"), text.rindex("</transform>") + len("</transform>")
    component = (
        '<components><component id="3"><transform><rotation>0 -1 0 1 0 0 0 0 1</rotation>'
        "<translation>1 2 3</translation><scale>0.5</scale></transform></component></components>"
    )
    text = text[:start] + component + text[end:]
    path.write_text(text.replace('enabled="true">\n        <tr', 'component_id="3"><tr'))
    for a, b in zip(rig, import_rig(path), strict=True):
        x, y, z = a.center
        # a quarter turn about z, half a metre a unit, then the shift in metres
        expected = [1000 * (-0.5 * y + 1), 1000 * (0.5 * x + 2), 1000 * (0.5 * z + 3)]
        np.testing.assert_allclose(b.center, expected, rtol=1e-12)


def test_nerf_angle_of_view_stands_for_the_focal_length(tmp_path):
    """Blender's scenes have `camera_angle_x` alone: f = w / 2 / tan(angle / 2)."""
    frame = {"file_path": "./train/r_0", "transform_matrix": np.eye(4).tolist()}
    value = {"camera_angle_x": np.pi / 2, "w": 800, "h": 600, "frames": [frame]}
    (tmp_path / "transforms.json").write_text(json.dumps(value))
    rig = import_rig(tmp_path)
    assert rig.names == ("r_0",)
    np.testing.assert_allclose(rig["r_0"].K, [[400, 0, 400], [0, 400, 300], [0, 0, 1]])
    # the camera looks along the world's -z: a point there lies in the image's centre
    np.testing.assert_allclose(rig["r_0"].project(np.array([0.0, 0, -5]))[0], [400, 300])


def test_two_yaml_nodes_of_one_name_are_refused(written):
    path = written(RigFormat.OPENCV)
    path.write_text(path.read_text().replace("camera_0", "camera_1"))
    refused(path, RigFormat.OPENCV, "camera_1 is there twice", InputError)
