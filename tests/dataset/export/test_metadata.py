"""Nothing that a camera or a program wrote beside the pixels goes out, in any format."""

import importlib.util
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pytest
from PIL import Image as PillowImage
from PIL.PngImagePlugin import PngInfo

from facekit.benchmarks.faults.told import CANARIES, beside_pixels, tell, with_segments
from facekit.capture.session import load_session
from facekit.core.files import StageKey, stage_run
from facekit.dataset.export.files import FileFormat, FilesConfig, export_facescape, export_files
from facekit.dataset.export.hdf5 import ExportConfig, export_hdf5

Make = Callable[..., Any]


def check_picture(content: bytes) -> None:
    """Assert that an image file holds pixels alone."""
    assert not beside_pixels(content)


def test_metadata_of_photographs_go_out_in_no_format(make_subject: Make, tmp_path: Path) -> None:
    has_exr = importlib.util.find_spec("OpenEXR") is not None
    formats = [one for one in FileFormat if has_exr or one is not FileFormat.EXR]
    subject = make_subject("one")
    thumbnail = tell(subject.session)
    photographs = list((subject.session.folder / "images").rglob("*.*"))
    kept = b"".join(path.read_bytes() for path in photographs)
    for name, canary in CANARIES.items():
        assert canary in kept, name  # the originals have them
    assert thumbnail in kept
    load_session(subject.session.folder)
    out = tmp_path / "out"
    export_hdf5([subject.build], out / "data", ExportConfig())
    export_files([subject.build], out / "files", formats, FilesConfig())
    files = [path for path in out.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} >= {".h5", ".png", ".glb", ".obj", ".ply"}
    assert has_exr == any(path.suffix == ".exr" for path in files)
    probes = [*CANARIES.values(), thumbnail[-64:], str(tmp_path).encode()]
    for path in files:
        content = path.read_bytes()
        assert not [probe for probe in probes if probe in content], path
        check_picture(content)
    (shard,) = (out / "data" / "subjects").iterdir()
    with h5py.File(shard) as file:
        pictures = [
            thing[()].tobytes()
            for thing in file["captures/smile/images"].values()
        ]  # fmt: skip
        told = [dict(thing.attrs) for thing in file["captures/smile/images"].values()]
    for content in pictures:
        check_picture(content)
        assert not [probe for probe in probes if probe in content]
    assert {key for attributes in told for key in attributes} == {
        "width", "height", "sha256_original", "colourspace", "scale"
    }  # fmt: skip


def test_cameras_called_by_their_serial_numbers_go_out_by_their_place(
    make_subject: Make, tmp_path: Path
) -> None:
    """Ingestion calls cameras by the serials in the files where no folder names them."""
    subject = make_subject("one", takes=("smile",))
    serial, lens = CANARIES["serial"].decode(), "LENS-998877"
    home = subject.build.parent
    for path in (home / "session/session.json", home / "calibration/rig.json"):
        text = path.read_text().replace('"cam.0"', json.dumps(serial))
        path.write_text(text.replace('"cam.1"', json.dumps(f"left_{lens.lower()}")))
    told = json.loads((home / "session/session.json").read_text())
    told["cameras"][0]["serial"] = serial.replace("-", "")
    told["cameras"][1] |= {"serial": "1", "lens_serial": lens}
    (home / "session/session.json").write_text(json.dumps(told))
    key = StageKey(stage="check", config={}, inputs={})
    with stage_run(subject.build / "smile/stages/check", key) as run:
        run.results = {"moved": {serial: 0.5}, "said": f"{serial} and cam.2 moved"}
    export_hdf5([subject.build], tmp_path / "data", ExportConfig())
    with h5py.File(next((tmp_path / "data/subjects").iterdir())) as file:
        take = file["captures/smile"]
        names = ["camera01", "camera02", "cam_2"]
        assert [name.decode() for name in take["cameras/id"][()]] == names
        assert set(take["images"]) == set(names)
        stages = json.loads(take.attrs["stages_json"])["stages"]
    assert stages["check"]["results"] == {
        "moved": {"camera01": 0.5}, "said": "camera01 and cam_2 moved"
    }  # fmt: skip
    (told,) = json.loads((tmp_path / "data/dataset.json").read_text())["subjects"]
    assert set(told["captures"][0]["views"]) == set(names)


def test_a_glb_and_an_exr_tell_of_nobody(make_subject: Make, tmp_path: Path) -> None:
    exr = pytest.importorskip("OpenEXR")
    subject = make_subject("one", takes=("smile",))
    tell(subject.session)
    export_files([subject.build], tmp_path / "out", [FileFormat.GLB, FileFormat.EXR], FilesConfig())
    (glb,) = (tmp_path / "out").rglob("*.glb")
    content = glb.read_bytes()
    size = int.from_bytes(content[12:16], "little")
    values = json.loads(content[20 : 20 + size])
    assert set(values["asset"]) <= {"version", "generator"}
    for image in values["images"]:
        view = values["bufferViews"][image["bufferView"]]
        start = 28 + size + view.get("byteOffset", 0)
        check_picture(content[start : start + view["byteLength"]])
    for path in (tmp_path / "out").rglob("*.exr"):
        header = exr.File(str(path), header_only=True).header()
        told = {name for name in header if not name.startswith("facekit_")}
        assert told <= {
            "channels", "chromaticities", "compression", "dataWindow", "displayWindow",
            "lineOrder", "pixelAspectRatio", "screenWindowCenter", "screenWindowWidth", "type",
        }, path  # fmt: skip


def test_a_folder_of_facescape_s_kind_holds_pixels_alone(
    make_subject: Make, tmp_path: Path
) -> None:
    """Its JPEG is made of the albedo; without a scan nothing is written."""
    subject = make_subject("one", takes=("smile",))
    tell(subject.session)
    with pytest.raises(Exception, match="nothing could be exported"):
        export_facescape([subject.build], tmp_path / "out")
    assert not [path for path in tmp_path.glob("out/**/*.jpg") if path.is_file()]


def test_the_check_sees_what_it_looks_for() -> None:
    image = PillowImage.new("RGB", (8, 8))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG")
    with pytest.raises(AssertionError):
        check_picture(with_segments(buffer.getvalue(), b""))
    info = PngInfo()
    info.add_text("Author", "somebody")
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=info)
    with pytest.raises(AssertionError):
        check_picture(buffer.getvalue())
