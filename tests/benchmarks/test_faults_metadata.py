"""The judge of exported files sees a canary wherever it is packed, and blocks that tell more."""

import base64
import io
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image as PillowImage

from facekit.benchmarks.faults import metadata
from facekit.benchmarks.faults.lab import PEOPLE, make_lab
from facekit.benchmarks.faults.metadata import metadata_faults, searched
from facekit.benchmarks.faults.told import CANARIES, with_segments

SECRET = {"owner": b"Canary Owner"}


def jpeg() -> bytes:
    buffer = io.BytesIO()
    PillowImage.new("RGB", (8, 8)).save(buffer, "JPEG")
    return buffer.getvalue()


def told(folder: Path) -> list[str]:
    return list(searched(sorted(folder.iterdir()), folder, SECRET))


@pytest.mark.parametrize("packed", [False, True])
def test_a_canary_in_a_page_is_found(tmp_path: Path, packed: bool) -> None:
    content = bytes(range(90)) + SECRET["owner"] + bytes(range(90))
    text = base64.b64encode(zlib.compress(content) if packed else content)
    (tmp_path / "a.html").write_bytes(b'<img src="data:image/png;base64,' + text + b'">')
    assert told(tmp_path) == ["a.html holds the owner of a photograph"]


def test_a_canary_in_packed_data_of_hdf5_is_found(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        values = np.frombuffer(SECRET["owner"] * 9, np.uint8)
        file.create_dataset("image", data=values, chunks=True, compression="gzip")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.create_group("a").attrs["note"] = "by Canary Owner"
    assert SECRET["owner"] not in (tmp_path / "a.h5").read_bytes()
    names = [line.split()[0] for line in told(tmp_path)]
    assert names == ["a.h5", "b.h5"]


def test_a_picture_with_more_than_pixels_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg())
    assert told(tmp_path) == []
    (tmp_path / "b.jpg").write_bytes(with_segments(jpeg(), b""))
    found = told(tmp_path)
    assert "b.jpg holds the owner of a photograph" in found
    assert {"b.jpg: segment 0xe1", "b.jpg: segment 0xed", "b.jpg: segment 0xfe"} <= set(found)
    (tmp_path / "b.jpg").unlink()
    (tmp_path / "c.glb").write_bytes(b"glTF" + with_segments(jpeg(), b""))
    assert "c.glb: segment 0xe1" in told(tmp_path)


def test_an_exporter_that_copies_photographs_fails_the_gate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def copy(builds: list[Path], out: Path) -> None:
        out.mkdir()
        for build in builds:
            for path in sorted((build.parent / "session/images").rglob("*.*")):
                (out / f"{path.parent.name}-{path.name}").write_bytes(path.read_bytes())

    monkeypatch.setattr(metadata, "export_all", copy)
    gate = metadata_faults(tmp_path, full=False, seed=0)
    assert not gate.passed and gate.found >= len(CANARIES)
    assert {"thumbnail", *CANARIES} <= set(gate.canaries)
    assert any(line.endswith("holds the thumbnail of a photograph") for line in gate.failures)


def test_photographs_without_canaries_fail_the_gate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else nothing found would mean nothing."""
    monkeypatch.setattr(metadata, "_tell", lambda _: b"no picture")
    monkeypatch.setattr(metadata, "export_all", lambda _, out: out.mkdir())
    gate = metadata_faults(tmp_path, full=False, seed=0)
    assert "no photograph holds its owner" in gate.failures


def test_a_full_run_has_to_export_fifty_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metadata, "PEOPLE", PEOPLE[:1])
    monkeypatch.setattr(
        metadata, "make_lab", lambda folder, **_: make_lab(folder, people=PEOPLE[:1])
    )
    monkeypatch.setattr(metadata, "export_all", lambda _, out: out.mkdir())
    gate = metadata_faults(tmp_path, full=True, seed=0)
    assert "0 files were exported, not 50" in gate.failures
